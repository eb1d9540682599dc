"""The best place of every sound in every picture, without ever holding the similarity volume.

The volume s[a,v,k,f,t,h,w] = Σ_c audio[a,k,c,f,t] · image[v,k,c,h,w] of a batch is large: for 80
clips of 50 steps and 28×28 places it has 502 million numbers, 2 GB a copy, and training by the
straightforward einsum keeps several. Its maximum over places needs one tile at a time and, for
the gradient, the place of the maximum alone: that is exact, since the gradient of a maximum is one
at the best place and zero elsewhere.

Source: the volume and its pooling are Eqs. 1 and 2 of DenseAV (Hamilton et al., CVPR 2024); the
tiling is ours.
"""

from __future__ import annotations

import importlib.util
import itertools

import torch
from torch import Tensor

HAS_TRITON = importlib.util.find_spec("triton") is not None  # comes with torch on Linux


def spatial_max(audio: Tensor, image: Tensor, over_heads: bool) -> Tensor:
    """max over places (and over heads) of the inner products of every sound and every picture.

    Parameters
    ----------
    audio
        (A, K, C, N): N steps (time, or time and frequency) of K heads.
    image
        (V, K, C, P): P places.
    over_heads
        Whether the maximum is also taken over the heads.

    Returns
    -------
    (A, V, K, N), or (A, V, 1, N) with `over_heads`, in float32 (float64 for float64). It is
    differentiable once; among equal maxima the first head and place receive the gradient.
    """
    return _SpatialMax.apply(audio, image, over_heads)


class _SpatialMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, audio: Tensor, image: Tensor, over_heads: bool) -> Tensor:
        heads, sounds = audio.shape[1], len(audio)
        rows = audio.permute(1, 0, 3, 2).flatten(1, 2).contiguous()  # (K, A·N, C)
        columns = image.transpose(2, 3).contiguous()  # (V, K, P, C)
        ctx.fused = audio.is_cuda and audio.dtype != torch.float64 and HAS_TRITON
        best, place = (_triton() if ctx.fused else _Tiles).forward(rows, columns)
        ctx.winner = None
        if over_heads and heads > 1:
            best, ctx.winner = best.max(1, keepdim=True)
        ctx.shape = (sounds, heads)
        ctx.save_for_backward(rows, columns, place)
        return best.unflatten(2, (sounds, -1)).permute(2, 0, 1, 3)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, columns, place = ctx.saved_tensors
        weight = grad.permute(1, 2, 0, 3).flatten(2).contiguous()  # (V, K or 1, A·N)
        if ctx.winner is not None:  # the other heads receive nothing
            weight = weight.new_zeros(place.shape).scatter_(1, ctx.winner, weight)
        grad_rows, grad_columns = (_triton() if ctx.fused else _Tiles).backward(
            rows, columns, place, weight
        )
        grad_audio = grad_rows.unflatten(1, (ctx.shape[0], -1)).permute(1, 0, 3, 2)
        return grad_audio.to(rows.dtype), grad_columns.transpose(2, 3).to(columns.dtype), None


class _Tiles:
    """Both passes in plain torch, one picture and head at a time; see `similarity_triton`."""

    @staticmethod
    def forward(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        rows, columns = rows.to(dtype), columns.to(dtype)
        best = rows.new_empty(len(columns), *rows.shape[:2])  # (V, K, A·N)
        place = torch.empty(best.shape, dtype=torch.int32, device=best.device)
        for v, k in itertools.product(range(len(columns)), range(len(rows))):
            tile = columns[v, k] @ rows[k].T  # (P, A·N): all that is ever held
            best[v, k], place[v, k] = tile.max(0)
        return best, place

    @staticmethod
    def backward(
        rows: Tensor, columns: Tensor, place: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, columns = rows.to(weight.dtype), columns.to(weight.dtype)
        grad_rows, grad_columns = torch.zeros_like(rows), torch.zeros_like(columns)
        for v, k in itertools.product(range(len(columns)), range(len(rows))):
            step = weight[v, k].nonzero()[:, 0]
            share, at = weight[v, k, step, None], place[v, k, step]
            grad_rows[k].index_add_(0, step, columns[v, k][at] * share)
            grad_columns[v, k].index_add_(0, at, rows[k][step] * share)
        return grad_rows, grad_columns


def _triton():
    from avcore.nn import similarity_triton

    return similarity_triton
