"""A video as a network sees it: overlapping windows of small square pictures with their sound.

A picture keeps its aspect and is fitted into the square with black bars, so that nothing of it is
lost; `Fit` says where it lies, which is needed to put a map back on the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from avcore.data.media.video import Video
from avcore.data.media.video_streams import Picture, must_last, pictures, sound
from avcore.support import AvcoreError, MediaError

EARLY = 0.002  # s; containers round the times of pictures to 1 ms


@dataclass(frozen=True)
class ClipForm:
    """The form of the clips that a network takes.

    Attributes
    ----------
    size
        Pixels of a picture's side.
    fps
        Pictures per second.
    sample_rate
        Of the sound, Hz, which becomes mono.
    duration
        s of a clip. Half of it holds a whole number of pictures and of samples.
    """

    size: int = 64
    fps: float = 16.0
    sample_rate: int = 16_000
    duration: float = 2.0

    def __post_init__(self) -> None:
        if self.size < 1 or not min(self.fps, self.sample_rate, self.duration) > 0:
            raise AvcoreError("size, fps, sample_rate and duration of a clip are positive")
        for rate in (self.fps, self.sample_rate):
            if self.duration * rate < 2 or self.duration * rate % 2:
                raise AvcoreError(
                    f"half of a clip of {self.duration:g} s does not hold a whole number of"
                    f" pictures or samples at {rate:g} per second"
                )

    @property
    def n_frames(self) -> int:
        """Pictures of a clip."""
        return round(self.duration * self.fps)

    @property
    def n_samples(self) -> int:
        """Samples of a clip."""
        return round(self.duration * self.sample_rate)


class Window(NamedTuple):
    """One clip of a video.

    `start` in s; `frames` (T, 3, S, S) uint8; `waveform` (n,) float32; the first `real` s of it
    are of the video, after them the last picture is repeated and the sound is silent.
    """

    start: float
    frames: np.ndarray
    waveform: np.ndarray
    real: float


class Fit(NamedTuple):
    """Where an upright picture lies in a square, in pixels of the square."""

    left: int
    top: int
    width: int
    height: int


def fit(width: float, height: float, size: int) -> Fit:
    """The largest place of a picture of some aspect in the middle of a square of `size` pixels."""
    scale = size / max(width, height)
    inner = [max(round(side * scale), 1) for side in (width, height)]
    return Fit((size - inner[0]) // 2, (size - inner[1]) // 2, *inner)


def fit_stored(video: Video, size: int) -> Fit:
    """The place of the stored picture, which is not turned upright yet, in a square."""
    return fit(video.width * video.aspect, video.height, size)


def windows(video: Video, form: ClipForm) -> Iterator[Window]:
    """Clips of a video that overlap by half, from time 0 to the end of picture and sound.

    The picture of a moment k / fps is what is on the screen then. Both streams are decoded once;
    what stays in memory does not depend on the length.

    Raises
    ------
    MediaError
        As `pictures` and `sound` of `video_streams`; or the video is shorter than a clip.
    """
    shown = _Joined(_at_rate(video, form), form.n_frames)
    heard = _Joined(
        (block[0] for _, block in sound(video, form.sample_rate, "mono")), form.n_samples
    )
    start = 0.0
    while True:
        frames, waveform = shown.clip(), heard.clip()
        real = max(len(frames) / form.fps, len(waveform) / form.sample_rate)
        if start == 0 and real < form.duration - EARLY:
            raise MediaError(
                f"{video.path}: lasts {real:.2f} s; at least {form.duration:g} s is needed"
            )
        missing = form.n_frames - len(frames)
        frames = np.concatenate([frames, *[shown.last[None]] * missing])
        waveform = np.pad(waveform, (0, form.n_samples - len(waveform)))
        yield Window(start, frames, waveform, real)
        if not (shown.more() or heard.more()):
            must_last(video, start + real, (video.duration or 0) - max(video.start, 0))
            return
        start += form.duration / 2


class _Joined:
    """Blocks (n, ...) of any lengths, given out as clips that overlap by half."""

    def __init__(self, blocks: Iterator[np.ndarray], length: int) -> None:
        self.blocks, self.length = blocks, length
        self.held = next(blocks)
        self.last = self.held[-1]

    def clip(self) -> np.ndarray:
        """Up to `length` values; fewer at the end."""
        self._fill(self.length)
        clip, self.held = self.held[: self.length], self.held[self.length // 2 :]
        return clip

    def more(self) -> bool:
        """Whether the clip given out last did not reach the end."""
        self._fill(self.length // 2 + 1)
        return len(self.held) > self.length // 2

    def _fill(self, length: int) -> None:
        parts, count = [self.held], len(self.held)
        while count < length and (block := next(self.blocks, None)) is not None:
            parts.append(block)
            count += len(block)
            self.last = block[-1] if len(block) else self.last
        self.held = np.concatenate(parts)


def _at_rate(video: Video, form: ClipForm) -> Iterator[np.ndarray]:
    """The picture on the screen at every k / fps, each (1, 3, S, S) uint8."""
    place = fit_stored(video, form.size)
    slot, arriving = 0, pictures(video)
    shown: Picture | None = next(arriving)  # before its time too, where the sound begins first
    while shown is not None:
        after, small = next(arriving, None), None
        until = after.time if after else max(shown.until, 1 / form.fps)
        while slot / form.fps < until - EARLY:
            small = _squared(shown, place, form.size) if small is None else small
            yield small
            slot += 1
        shown = after


def _squared(picture: Picture, place: Fit, size: int) -> np.ndarray:
    """A picture upright and with black bars, (1, 3, size, size) uint8."""
    frame: Any = picture.frame.reformat(place.width, place.height, "rgb24", interpolation="AREA")
    square = np.zeros((size, size, 3), np.uint8)
    rows = slice(place.top, place.top + place.height)
    square[rows, place.left : place.left + place.width] = frame.to_ndarray()
    return np.rot90(square, picture.turns).transpose(2, 0, 1)[None].copy()
