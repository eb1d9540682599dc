"""An encoded video with sound: what its header says, its pictures and its sound in a stream.

Time 0 is where the first of picture and sound begins. Every reader opens the file for itself, so
that each is read at its own pace and nothing but a few frames stays in memory.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avcore.data.media.read import _first_line, _must_have_content
from avcore.support import MediaError, require

SAYS_ITS_LENGTH = ("mov", "matroska", "avi", "flv")  # containers whose header is exact
SLACK = 0.5  # s by which a header may exceed what follows it
JOINT = 0.02  # s of a gap between two blocks of sound that is not filled with silence


@dataclass(frozen=True)
class Video:
    """What the header of a video says.

    Attributes
    ----------
    path
        The file.
    start
        s on the file's own clock at which the first of picture and sound begins: our time 0.
    duration
        s of the longer of both, or None where the header does not say.
    width, height
        Of the stored picture, pixels.
    aspect
        Width over height of one stored pixel.
    rate
        Pictures per second, on average.
    codec, container
        FFmpeg's names, such as "h264" and "mov,mp4,m4a,3gp,3g2,mj2".
    colours
        FFmpeg's numbers of its colour space, primaries and transfer function.
    sample_rate, channels
        Of the sound, Hz.
    """

    path: Path
    start: float
    duration: float | None
    width: int
    height: int
    aspect: float
    rate: Fraction
    codec: str
    container: str
    colours: tuple[int, int, int]
    sample_rate: int
    channels: int


class Picture(NamedTuple):
    """A decoded frame of PyAV, the s at which it appears and at which it should disappear.

    `turns` is the number of quarter turns against the clock that put it upright (as of a film
    that a telephone took): np.rot90(array, turns).
    """

    time: float
    until: float
    frame: Any
    turns: int


def describe(path: str | Path) -> Video:
    """Read the header of a video.

    Raises
    ------
    MediaError
        There is no such file, it is no video, or it lacks pictures or sound.
    """
    path = Path(path)
    with opened(path) as container:
        pictures, sounds = _picture_streams(container), container.streams.audio
        if not pictures:
            raise MediaError(f"{path}: has no pictures in it")
        if not sounds:
            raise MediaError(f"{path}: has no sound in it")
        picture, sound = pictures[0], sounds[0]
        if not (picture.width and picture.height):
            raise MediaError(f"{path}: has no pictures in it")
        if not (sound.rate and sound.channels):
            raise MediaError(f"{path}: has no sound in it")
        starts = [
            float(stream.start_time * stream.time_base)
            for stream in (picture, sound)
            if stream.start_time is not None
        ]
        length = container.duration
        return Video(
            path=path,
            start=min(starts, default=0.0),
            duration=length / require("av", "media").time_base if length else None,
            width=picture.width,
            height=picture.height,
            aspect=float(picture.sample_aspect_ratio or 1),
            rate=picture.average_rate or picture.guessed_rate or Fraction(25),
            codec=picture.codec_context.name,
            container=container.format.name,
            colours=(picture.colorspace, picture.color_primaries, picture.color_trc),
            sample_rate=sound.rate,
            channels=sound.channels,
        )


def pictures(video: Video) -> Iterator[Picture]:
    """All pictures in the order of their times.

    Raises
    ------
    MediaError
        The stream has no picture, is damaged, or ends earlier than the header says.
    """
    with opened(video.path) as container:
        stream = _picture_streams(container)[0]
        stream.thread_type = "AUTO"
        usual, time = float(1 / video.rate), -math.inf
        until = 0.0
        for frame in _decoded(video, container, stream, "picture"):
            if frame.time is not None and frame.time - video.start <= time:
                continue  # its clock stands still or runs back
            time = until if frame.time is None else frame.time - video.start
            until = time + (float((frame.duration or 0) * (frame.time_base or 0)) or usual)
            yield Picture(time, until, frame, round(frame.rotation / 90) % 4)
        if time == -math.inf:
            raise MediaError(f"{video.path}: has no pictures in it")
        _must_be_whole(video, stream, until, "picture")


def sound(
    video: Video, sample_rate: int | None = None, layout: str | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """The sound from time 0 on in blocks without a gap: (s, (channels, n) float32).

    Where the file has none at first or in between there is silence.

    Parameters
    ----------
    sample_rate
        Hz; the file's own when None.
    layout
        "mono" or "stereo", or None for the file's own channels. "mono" is their mean.

    Raises
    ------
    MediaError
        The stream has no sound, is damaged, has samples that are no numbers, or ends earlier than
        the header says.
    """
    rate = sample_rate or video.sample_rate
    written, until = 0, 0.0
    for begins, block in _resampled(video, rate, None if layout == "mono" else layout):
        if not np.isfinite(block).all():
            raise MediaError(f"{video.path}: has samples that are not finite numbers")
        if layout == "mono":
            block = block.mean(0, keepdims=True)
        gap = round((begins - video.start) * rate) - written if begins is not None else 0
        for length in _parts(gap if gap > JOINT * rate else 0, rate):
            yield written / rate, np.zeros((len(block), length), np.float32)
            written += length
        yield written / rate, block
        written += block.shape[1]
        until = written / rate
    if not until:
        raise MediaError(f"{video.path}: has no sound in it")


def _parts(length: int, most: int) -> Iterator[int]:
    while length > 0:
        yield min(length, most)
        length -= most


def _resampled(
    video: Video, rate: int, layout: str | None
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Decoded blocks at another rate: when each begins on the file's clock, (channels, n).

    What a block is expected to begin with follows from those before; a time is given where the
    clock jumps, and None elsewhere.
    """
    av = require("av", "media")
    with opened(video.path) as container:
        stream = container.streams.audio[0]
        kind, resampler, expected, begins = None, None, -math.inf, None
        for frame in _decoded(video, container, stream, "sound"):
            time = expected if frame.time is None else frame.time
            if kind != (frame.sample_rate, frame.layout.name) or time - expected > JOINT:
                yield from ((None, out.to_ndarray()) for out in _flushed(resampler))
                kind = (frame.sample_rate, frame.layout.name)
                resampler = av.AudioResampler("fltp", layout, rate)
                begins, expected = time, time
            frame.pts = None  # the order of the blocks is their time from here on
            for out in resampler.resample(frame):
                yield begins, out.to_ndarray()
                begins = None
            expected += frame.samples / frame.sample_rate
        yield from ((None, out.to_ndarray()) for out in _flushed(resampler))
        if kind is not None:
            _must_be_whole(video, stream, expected - video.start, "sound")


def _flushed(resampler: Any) -> list:
    return [] if resampler is None else resampler.resample(None)


def _decoded(video: Video, container: Any, stream: Any, what: str) -> Iterator[Any]:
    """Frames of a stream; damage is an error that says where it is."""
    time, av = 0.0, require("av", "media")
    stream.codec_context.options = {"err_detect": "explode"}
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise MediaError(f"{video.path}: the {what} is damaged at {time:.1f} s")
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise MediaError(f"{video.path}: the {what} is damaged at {time:.1f} s")
                time = time if frame.time is None else frame.time - video.start
                yield frame
    except av.FFmpegError as error:
        reason = _first_line(error)
        raise MediaError(
            f"{video.path}: the {what} is damaged at {time:.1f} s ({reason})"
        ) from error


def _must_be_whole(video: Video, stream: Any, until: float, what: str) -> None:
    """Whether a stream lasts as long as its own header says."""
    if stream.duration is None or not video.container.startswith(SAYS_ITS_LENGTH):
        return
    first = float((stream.start_time or 0) * stream.time_base) - video.start
    declared = first + float(stream.duration * stream.time_base)
    if until < declared - SLACK:
        raise MediaError(
            f"{video.path}: the {what} ends early, after {until:.1f} s of {declared:.1f} s"
        )


def _picture_streams(container: Any) -> list:
    """Streams of moving pictures; the cover of a piece of music is none."""
    cover = require("av.stream", "media").Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a container of PyAV to read from.

    Raises
    ------
    MediaError
        The file is missing, may not be read, is empty, or is no container.
    """
    _must_have_content(path)
    av = require("av", "media")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a whole video ({_first_line(error)})") from error
    with container:
        yield container
