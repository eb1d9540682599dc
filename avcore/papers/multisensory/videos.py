"""Locating and separating the sounds of a video of any length, with memory that does not grow.

Source: Owens and Efros (ECCV 2018), Sec. 4 (class activation maps) and Sec. 6 (on- and off-screen
separation). A network sees windows that overlap by half; what it makes of them is cross-faded with
weights that sum to one. The network itself is an argument.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avcore.data.media import video as reading
from avcore.data.media.video import Video
from avcore.data.media.video_writer import (
    VideoWriter, can_copy, compressed, sound_rate, write_video,
)  # fmt: skip
from avcore.data.media.windows import ClipForm, Window, windows
from avcore.papers.multisensory.overlay import Overlay, RunningScale
from avcore.support import AvcoreError, MediaError, choose, require

SIDES = ("left", "right")
LOCATED, ON_SCREEN, OFF_SCREEN = "located.mp4", "on-screen.mp4", "off-screen.mp4"
Split = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Heat = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Written:
    """The files that were written, and how many s of video were read."""

    files: tuple[Path, ...]
    seconds: float


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


def separate_video(
    path: str | Path,
    out: str | Path,
    split: Split,
    form: ClipForm = ClipForm(),
    hide: str | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write a video twice, with the sound of what is on screen and with all other sound.

    H.264 in MP4, MOV or Matroska is copied; other pictures, and such of which half is hidden, are
    encoded again. The sound is mono at `form.sample_rate`.

    Parameters
    ----------
    path, out
        The video, and the folder of on-screen.mp4 and off-screen.mp4.
    split
        Frames (T, 3, S, S) in [0, 1] and the waveform (n,) of a window -> on and off, each (n,).
    form
        What `split` takes.
    hide
        "left" or "right": this half is black, for the network and in what is written.
    progress
        Is told the fraction that is done, where the length is known.

    Raises
    ------
    MediaError
        The video cannot be used, or nothing can be written; no partial file is left.
    AvcoreError
        `split` gives other shapes or values that are not finite.
    """
    if hide is not None:
        choose(SIDES, hide, "half of the picture")
    video = reading.describe(path)
    files = _targets(video, out, ON_SCREEN, OFF_SCREEN)
    fades = CrossFade(), CrossFade()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(write_video(file)) for file in files]
        for writer in writers:
            writer.add_sound(form.sample_rate)
        pictures = stack.enter_context(_pictures(video, writers, hide))
        samples = 0
        for window in windows(video, form):
            parts = _checked_split(split, _seen(window, form, hide))
            for writer, fade, part in zip(writers, fades, parts, strict=True):
                writer.sound(_mono(fade.add(part)))
            samples = round((window.start + window.real) * form.sample_rate)
            pictures(window.start + form.duration / 2)
            _report(progress, video, window)
        rest = samples - round((window.start + form.duration / 2) * form.sample_rate)
        for writer, fade in zip(writers, fades, strict=True):
            writer.sound(_mono(fade.end()[:rest]))
        pictures(float("inf"))
    return Written(files, samples / form.sample_rate)


def locate_video(
    path: str | Path,
    out: str | Path,
    heat: Heat,
    colours: np.ndarray,
    form: ClipForm = ClipForm(),
    progress: Progress | None = None,
) -> Written:
    """Write a video with a map of where its sound comes from laid over its pictures.

    Parameters
    ----------
    path, out
        The video, and the folder of located.mp4. It keeps its sound.
    heat
        Frames (T, 3, S, S) in [0, 1] and the waveform (n,) of a window -> maps (T', h, w), which
        divide its time evenly; positive where the sound is.
    colours
        (256, 3) uint8, from weak to strong; see `avcore.viz.theme.colour_table`.
    form, progress
        As in `separate_video`.

    Raises
    ------
    MediaError
        The video cannot be used, or nothing can be written; no partial file is left.
    AvcoreError
        `heat` gives another shape or values that are not finite.
    """
    video = reading.describe(path)
    (file,) = _targets(video, out, LOCATED)
    channels, rate = min(video.channels, 2), sound_rate(video.sample_rate)
    overlay, seconds, maps = Overlay(video, colours), 0.0, None
    with write_video(file) as writer:
        shown = _Until((each.time, each) for each in reading.pictures(video))
        first = shown.peek()
        writer.encode_pictures(video, first.turns)
        writer.add_sound(rate, channels)
        layout = ("mono", "stereo")[channels - 1]
        heard = _Until(reading.sound(video, rate, layout))
        for start, maps, seconds in _maps(video, heat, form, progress):
            end = start + form.duration / 2
            for block in heard.until(end):
                writer.sound(block)
            for picture in shown.until(end):
                at = min(max(int((picture.time - start) * form.fps), 0), len(maps) - 1)
                writer.picture(picture, overlay.paint(picture, maps[at]))
        for block in heard.until(float("inf")):
            writer.sound(block)
    return Written((file,), seconds)


def _maps(
    video: Video, heat: Heat, form: ClipForm, progress: Progress | None
) -> Iterator[tuple[float, Tensor, float]]:
    """Half windows of maps: s where it starts, (T/2, h, w) in 0 to 1, s of video read so far."""
    fade, scale = CrossFade(), RunningScale()
    start = seconds = 0.0
    for window in windows(video, form):
        maps = _checked_heat(heat, _seen(window, form, None))
        resized = functional.interpolate(
            maps[None, None], (form.n_frames, *maps.shape[1:]), mode="trilinear"
        )
        start, seconds = window.start, window.start + window.real
        yield start, scale(fade.add(resized[0, 0])), seconds
        _report(progress, video, window)
    yield start + form.duration / 2, scale(fade.end()), seconds


class _Until:
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


@contextlib.contextmanager
def _pictures(
    video: Video, writers: list[VideoWriter], hide: str | None
) -> Iterator[Callable[[float], None]]:
    """A function that gives all writers the pictures before a time: copied or encoded once."""
    if hide is None and can_copy(video):
        with compressed(video) as (stream, packets):
            for writer in writers:
                writer.copy_pictures(stream)
            waiting = _Until(packets)

            def copy(time: float) -> None:
                for packet in waiting.until(time):
                    for writer in writers:
                        writer.packet(packet)

            yield copy
        return
    shown = _Until((each.time, each) for each in reading.pictures(video))
    first, *others = writers
    first.encode_pictures(video, shown.peek().turns)
    for other in others:
        other.follow(first)

    def encode(time: float) -> None:
        for picture in shown.until(time):
            first.picture(picture, hidden(picture, hide) if hide else None)

    yield encode


def hidden(picture: reading.Picture, side: str) -> Any:
    """A frame of PyAV (rgb24) of a picture whose left or right half, seen upright, is black."""
    pixels = picture.frame.to_ndarray(format="rgb24")
    _blacken(np.rot90(pixels, picture.turns), side, axis=1)  # a view of the same pixels
    return require("av", "media").VideoFrame.from_ndarray(pixels, "rgb24")


def _blacken(pixels: Any, side: str, axis: int) -> None:
    middle = pixels.shape[axis] // 2
    half = slice(None, middle) if side == "left" else slice(middle, None)
    pixels[(slice(None),) * axis + (half,)] = 0


def _seen(window: Window, form: ClipForm, hide: str | None) -> tuple[Tensor, Tensor]:
    """What the network is given of a window."""
    frames = torch.from_numpy(window.frames).float() / 255
    if hide:
        _blacken(frames, hide, axis=3)
    return frames, torch.from_numpy(window.waveform)


def _checked_split(split: Split, seen: tuple[Tensor, Tensor]) -> list[Tensor]:
    with torch.no_grad():
        parts = [part.detach().float().cpu() for part in split(*seen)]
    if len(parts) != 2 or any(part.shape != seen[1].shape for part in parts):
        shapes = [tuple(part.shape) for part in parts]
        raise AvcoreError(f"split wants to give two sounds of {len(seen[1])} samples, got {shapes}")
    if not all(part.isfinite().all() for part in parts):
        raise AvcoreError("the separated sound has values that are not finite")
    return parts


def _checked_heat(heat: Heat, seen: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        maps = heat(*seen).detach().float().cpu()
    if maps.ndim != 3 or not maps.numel():
        raise AvcoreError(f"heat wants to give maps (T, h, w), got {tuple(maps.shape)}")
    if not maps.isfinite().all():
        raise AvcoreError("a map of where the sound is has values that are not finite")
    return maps.clamp_min(0)


def _targets(video: Video, out: str | Path, *names: str) -> tuple[Path, ...]:
    """Where results are written: a folder that is none of a file's, and not over the video."""
    out = Path(out)
    files = tuple(out / name for name in names)
    if out.exists() and not out.is_dir():
        raise MediaError(f"{out}: is a file; results are written into a folder")
    for file in files:
        if file.exists() and file.samefile(video.path):
            raise MediaError(f"{file}: is the video itself; choose another folder")
    return files


def _mono(waveform: Tensor) -> np.ndarray:
    return waveform[None].numpy()


def _report(progress: Progress | None, video: Video, window: Window) -> None:
    if progress and video.duration:
        progress(min((window.start + window.real) / video.duration, 1.0))
