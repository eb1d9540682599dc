"""The same maximum by one fused kernel on a CUDA device: products, maximum and place at once.

A program owns a block of steps of one head and one picture, walks over the places and channels
in tiles, and keeps the best value and place of each step in registers; the volume is never
written. The backward pass of the steps needs no atomics: a program owns its steps and gathers the
places that won. That of the places adds with atomics, so its last bits may differ between runs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

STEPS, PLACES, CHANNELS = 64, 64, 32  # sizes of a tile


def forward(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Best values and places, (V, K, R) float32 and int32.

    `rows` (K, R, C) are the steps of all sounds, `columns` (V, K, P, C) the places of each
    picture; both contiguous, float32 or bfloat16. Sums are float32, products exact (no TF32).
    """
    heads, steps, channels = rows.shape
    pictures, _, places, _ = columns.shape
    best = torch.empty(pictures, heads, steps, device=rows.device)
    place = torch.empty(pictures, heads, steps, device=rows.device, dtype=torch.int32)
    grid = (triton.cdiv(steps, STEPS), pictures * heads)
    _forward_kernel[grid](
        rows, columns, best, place, heads, steps, places, channels, STEPS, PLACES, CHANNELS
    )
    return best, place


def backward(rows: Tensor, columns: Tensor, place: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of rows and columns, float32, from weights (V, K, R) at their places (V, K, R)."""
    heads, steps, channels = rows.shape
    pictures, _, places, _ = columns.shape
    grad_rows = torch.empty(rows.shape, device=rows.device)
    grad_columns = torch.zeros(columns.shape, device=rows.device)
    blocks = (triton.cdiv(steps, STEPS), heads, triton.cdiv(channels, CHANNELS))
    sizes = (heads, steps, places, channels, pictures, STEPS, CHANNELS)
    _backward_kernel[blocks](rows, columns, place, weight, grad_rows, grad_columns, *sizes)
    return grad_rows, grad_columns


@triton.jit
def _forward_kernel(
    rows, columns, best, place, heads, steps,
    places: tl.constexpr, channels: tl.constexpr,
    STEPS: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(1).to(tl.int64)  # picture · heads + head
    head = pair % heads
    step = tl.program_id(0) * STEPS + tl.arange(0, STEPS)
    value = tl.full((STEPS,), float("-inf"), tl.float32)
    where = tl.zeros((STEPS,), tl.int32)
    for first in range(0, places, PLACES):
        at = first + tl.arange(0, PLACES)
        tile = tl.zeros((STEPS, PLACES), tl.float32)
        for start in range(0, channels, CHANNELS):
            channel = start + tl.arange(0, CHANNELS)
            inside = channel[None, :] < channels
            row = tl.load(
                rows + (head * steps + step[:, None]) * channels + channel[None, :],
                mask=inside & (step[:, None] < steps), other=0.0,
            )  # fmt: skip
            column = tl.load(
                columns + (pair * places + at[:, None]) * channels + channel[None, :],
                mask=inside & (at[:, None] < places), other=0.0,
            )  # fmt: skip
            tile += tl.dot(row, tl.trans(column), input_precision="ieee")
        tile = tl.where(at[None, :] < places, tile, float("-inf"))
        top, index = tl.max(tile, axis=1, return_indices=True)
        better = top > value
        where = tl.where(better, first + index, where)
        value = tl.where(better, top, value)
    kept = step < steps
    tl.store(best + pair * steps + step, value, mask=kept)
    tl.store(place + pair * steps + step, where, mask=kept)


@triton.jit
def _backward_kernel(
    rows, columns, place, weight, grad_rows, grad_columns,
    heads, steps,
    places: tl.constexpr, channels: tl.constexpr, pictures: tl.constexpr,
    STEPS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1).to(tl.int64)
    step = tl.program_id(0) * STEPS + tl.arange(0, STEPS)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    kept = step < steps
    inside = kept[:, None] & (channel[None, :] < channels)
    own = (head * steps + step[:, None]) * channels + channel[None, :]
    row = tl.load(rows + own, mask=inside, other=0.0).to(tl.float32)
    total = tl.zeros((STEPS, CHANNELS), tl.float32)
    for picture in range(0, pictures):
        pair = picture * heads + head
        share = tl.load(weight + pair * steps + step, mask=kept, other=0.0)
        at = tl.load(place + pair * steps + step, mask=kept, other=0)
        other = (pair * places + at[:, None]) * channels + channel[None, :]
        used = inside & (share[:, None] != 0.0)
        total += share[:, None] * tl.load(columns + other, mask=used, other=0.0)
        tl.atomic_add(grad_columns + other, share[:, None] * row, mask=used)
    tl.store(grad_rows + own, total, mask=inside)
