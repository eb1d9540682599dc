"""Locating and separating the sounds of a video of any length, with memory that does not grow.

Source: Owens and Efros (ECCV 2018), Sec. 4 (class activation maps) and Sec. 6 (on- and off-screen
separation). The network is an argument.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional

from avcore.data.media.video import Video, describe
from avcore.data.media.video_streams import Picture, pictures, sound
from avcore.data.media.video_writer import (
    VideoWriter,
    can_copy,
    compressed,
    sound_rate,
    write_video,
)  # fmt: skip
from avcore.data.media.windows import EARLY, ClipForm, Window, windows
from avcore.papers.multisensory.overlay import Overlay, RunningScale
from avcore.papers.multisensory.windowed import (
    CrossFade,
    Heat,
    Split,
    Until,
    blacken,
    heat_window,
    split_window,
)  # fmt: skip
from avcore.support import MediaError, choose, require

FORM = ClipForm()
SIDES = ("left", "right")
LOCATED, ON_SCREEN, OFF_SCREEN = "located.mp4", "on-screen.mp4", "off-screen.mp4"
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Written:
    """The files that were written, and how many s of video were read."""

    files: tuple[Path, ...]
    seconds: float


def separate_video(
    path: str | Path,
    out: str | Path,
    split: Split,
    form: ClipForm = FORM,
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
    video = describe(path)
    files = _targets(video, out, ON_SCREEN, OFF_SCREEN)
    fades = CrossFade(), CrossFade()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(write_video(file)) for file in files]
        for writer in writers:
            writer.add_sound(form.sample_rate)
        write_pictures = stack.enter_context(_picture_writer(video, writers, hide))
        samples = 0
        for window in windows(video, form):
            parts = split_window(split, window, hide)
            for writer, fade, part in zip(writers, fades, parts, strict=True):
                writer.sound(_mono(fade.add(part)))
            samples = round((window.start + window.real) * form.sample_rate)
            write_pictures(window.start + form.duration / 2)
            _report(progress, video, window)
        rest = samples - round((window.start + form.duration / 2) * form.sample_rate)
        for writer, fade in zip(writers, fades, strict=True):
            writer.sound(_mono(fade.end()[:rest]))
        write_pictures(math.inf)
    return Written(files, samples / form.sample_rate)


def locate_video(
    path: str | Path,
    out: str | Path,
    heat: Heat,
    colours: np.ndarray,
    form: ClipForm = FORM,
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
    video = describe(path)
    (file,) = _targets(video, out, LOCATED)
    channels, rate = min(video.channels, 2), sound_rate(video.sample_rate)
    overlay, seconds = Overlay(video, colours), 0.0
    with write_video(file) as writer:
        shown = Until((each.time, each) for each in pictures(video))
        first = shown.peek()
        writer.encode_pictures(video, first.turns)
        writer.add_sound(rate, channels)
        layout = ("mono", "stereo")[channels - 1]
        heard = Until(sound(video, rate, layout))
        for start, maps, read in _maps(video, heat, form, progress):
            end, seconds = start + form.duration / 2, read
            for block in heard.until(end):
                writer.sound(block)
            for picture in shown.until(end):
                slot = math.floor((picture.time - start + EARLY) * form.fps)
                heat_now = maps[min(max(slot, 0), len(maps) - 1)]
                writer.picture(picture, overlay.paint(picture, heat_now))
        for block in heard.until(math.inf):
            writer.sound(block)
    return Written((file,), seconds)


def _maps(
    video: Video, heat: Heat, form: ClipForm, progress: Progress | None
) -> Iterator[tuple[float, Tensor, float]]:
    """Half windows of maps: s where it starts, (T/2, h, w) in 0 to 1, s of video read so far."""
    fade, scale = CrossFade(), RunningScale()
    start = seconds = 0.0
    for window in windows(video, form):
        maps = heat_window(heat, window)
        resized = functional.interpolate(
            maps[None, None], (form.n_frames, *maps.shape[1:]), mode="trilinear"
        )
        start, seconds = window.start, window.start + window.real
        yield start, scale(fade.add(resized[0, 0])), seconds
        _report(progress, video, window)
    yield start + form.duration / 2, scale(fade.end()), seconds


@contextlib.contextmanager
def _picture_writer(
    video: Video, writers: list[VideoWriter], hide: str | None
) -> Iterator[Callable[[float], None]]:
    """A function that gives all writers the pictures before a time: copied or encoded once."""
    if hide is None and can_copy(video):
        with compressed(video) as (stream, packets):
            for writer in writers:
                writer.copy_pictures(stream)
            waiting = Until(packets)

            def copy(time: float) -> None:
                for packet in waiting.until(time):
                    for writer in writers:
                        writer.packet(packet)

            yield copy
        return
    shown = Until((each.time, each) for each in pictures(video))
    first, *others = writers
    first.encode_pictures(video, shown.peek().turns)
    for other in others:
        other.follow(first)

    def encode(time: float) -> None:
        for picture in shown.until(time):
            first.picture(picture, hidden(picture, hide) if hide else None)

    yield encode
    first.end_pictures()


def hidden(picture: Picture, side: str) -> Any:
    """A frame of PyAV (rgb24) of a picture whose left or right half, seen upright, is black."""
    pixels = picture.frame.to_ndarray(format="rgb24")
    blacken(np.rot90(pixels, picture.turns), side, axis=1)  # a view of the same pixels
    return require("av", "media").VideoFrame.from_ndarray(pixels, "rgb24")


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
