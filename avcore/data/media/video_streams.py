"""The pictures and the sound of an encoded video, decoded in a stream.

Every reader opens the file for itself, so that each is read at its own pace and nothing but a few
frames stays in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from avcore.data.media.read import _first_line
from avcore.data.media.video import Video, opened, picture_streams, start_of
from avcore.support import MediaError, require

SAYS_ITS_LENGTH = ("mov", "matroska", "avi", "flv")  # containers whose header is exact
SLACK = 0.5  # s by which a header may exceed what follows it
JOINT = 0.02  # s by which the clock of the sound may be off before a gap is filled with silence


class Picture(NamedTuple):
    """A decoded frame of PyAV, the s at which it appears and at which it should disappear.

    `turns` is the number of quarter turns against the clock that put it upright (as of a film
    that a telephone took): np.rot90(array, turns).
    """

    time: float
    until: float
    frame: Any
    turns: int


def turns_of(frame: Any) -> int:
    """The quarter turns of a decoded frame; see `Picture`."""
    return round(frame.rotation / 90) % 4


def pictures(video: Video) -> Iterator[Picture]:
    """All pictures in the order of their times.

    Raises
    ------
    MediaError
        The stream has no picture, is damaged, or ends earlier than the header says.
    """
    with opened(video.path) as container:
        stream = picture_streams(container)[0]
        stream.thread_type = "AUTO"
        usual, time = float(1 / video.rate), -math.inf
        until = 0.0
        for frame in _decoded(video, container, stream, "picture"):
            if frame.time is not None and frame.time - video.start <= time:
                continue  # its clock stands still or runs back
            time = until if frame.time is None else frame.time - video.start
            until = time + (float((frame.duration or 0) * (frame.time_base or 0)) or usual)
            yield Picture(time, until, frame, turns_of(frame))
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
    written = 0
    for begins, block in _resampled(video, rate, None if layout == "mono" else layout):
        if not np.isfinite(block).all():
            raise MediaError(f"{video.path}: has samples that are not finite numbers")
        if layout == "mono":
            block = block.mean(0, keepdims=True)
        gap = round((begins - video.start) * rate) - written if begins is not None else 0
        for length in _parts(gap, rate):
            yield written / rate, np.zeros((len(block), length), np.float32)
            written += length
        if block.shape[1]:
            yield written / rate, block
        written += block.shape[1]
    if not written:
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
        resampler: Any = None
        kind, expected, begins = None, -math.inf, None
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
    if stream.duration is not None:
        first = start_of(stream) - video.start
        must_last(video, until, first + float(stream.duration * stream.time_base), what)


def must_last(video: Video, until: float, declared: float, what: str = "video") -> None:
    """Whether a video was read up to the s that its header declares, where headers are exact.

    Raises
    ------
    MediaError
        It ends `SLACK` earlier or more.
    """
    if video.container.startswith(SAYS_ITS_LENGTH) and until < declared - SLACK:
        raise MediaError(
            f"{video.path}: the {what} ends early, after {until:.1f} s of {declared:.1f} s"
        )
