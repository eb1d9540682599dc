"""A network that sees a video window by window: what it is given, checks of what it gives, joining.

What a network makes of windows that overlap by half is cross-faded with weights that sum to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from avcore.data.media.windows import Window
from avcore.support import AvcoreError

Split = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Heat = Callable[[Tensor, Tensor], Tensor]


def blacken(pixels: Any, side: str, axis: int) -> None:
    middle = pixels.shape[axis] // 2
    half = slice(None, middle) if side == "left" else slice(middle, None)
    pixels[(slice(None),) * axis + (half,)] = 0


def seen(window: Window, hide: str | None = None) -> tuple[Tensor, Tensor]:
    """What the network is given of a window."""
    frames = torch.from_numpy(window.frames).float() / 255
    if hide:
        blacken(frames, hide, axis=3)
    return frames, torch.from_numpy(window.waveform)


def split_window(split: Split, window: Window, hide: str | None) -> list[Tensor]:
    """What is on and what is off screen in a window, each (n,) on the CPU.

    Raises
    ------
    AvcoreError
        `split` gives other shapes or values that are not finite.
    """
    with torch.no_grad():
        parts = [part.detach().float().cpu() for part in split(*seen(window, hide))]
    if len(parts) != 2 or any(part.shape != window.waveform.shape for part in parts):
        shapes = [tuple(part.shape) for part in parts]
        raise AvcoreError(
            f"split wants to give two sounds of {len(window.waveform)} samples, got {shapes}"
        )
    if not all(part.isfinite().all() for part in parts):
        raise AvcoreError("the separated sound has values that are not finite")
    return parts


def heat_window(heat: Heat, window: Window) -> Tensor:
    """Maps (T', h, w) of a window on the CPU; what is negative becomes 0.

    Raises
    ------
    AvcoreError
        `heat` gives another shape or values that are not finite.
    """
    with torch.no_grad():
        maps = heat(*seen(window)).detach().float().cpu()
    if maps.ndim != 3 or not maps.numel():
        raise AvcoreError(f"heat wants to give maps (T, h, w), got {tuple(maps.shape)}")
    if not maps.isfinite().all():
        raise AvcoreError("a map of where the sound is has values that are not finite")
    return maps.clamp_min(0)


class CrossFade:
    """Joins windows that overlap by half into a stream: the weights of a moment sum to one."""

    def __init__(self) -> None:
        self._tail: Tensor | None = None

    def add(self, window: Tensor) -> Tensor:
        """The next window (2m, ...); gives the m values that are final now."""
        half = len(window) // 2
        head, tail = window[:half], window[half:]
        if self._tail is not None:
            rise = torch.sin(torch.pi / 2 * (torch.arange(half) + 0.5) / half).square()
            rise = rise.view(-1, *[1] * (window.ndim - 1)).to(window)
            head = self._tail * (1 - rise) + head * rise
        self._tail = tail
        return head

    def end(self) -> Tensor:
        """The m values after the last window's middle."""
        assert self._tail is not None  # a video has one window at least
        return self._tail


class Until:
    """Items with their times, given out up to a time."""

    def __init__(self, items: Iterator[tuple[float, Any]]) -> None:
        self._items = iter(items)
        self._next = next(self._items, None)

    def peek(self) -> Any:
        """The first item that was not given out."""
        return self._next[1] if self._next else None

    def until(self, time: float) -> Iterator[Any]:
        """All items before `time`, in s."""
        while self._next is not None and self._next[0] < time:
            item = self._next[1]
            yield item
            self._next = next(self._items, None)
