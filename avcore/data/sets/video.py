"""Videos: how long they last, whether they have sound, and frames of a stretch of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avcore.data.media.video import must_be_known, picture_streams, start_of
from avcore.data.media.video_streams import SLACK, turns_of
from avcore.support import MediaError, require

FAR = 2.0  # s ahead; to come so far, going to the last key frame before is faster than decoding
EARLY = 1e-4  # s that a frame may come too late, by rounding


def stretch(
    lasts: float, moment: tuple[int, int], seconds: float, place: float = 0.5
) -> tuple[float, float]:
    """Where a stretch begins and how long it is, in s, of a file that lasts so many s.

    It lies in part i of n, `moment`: with a `place` of 0 at its beginning, of 0.5 in its middle,
    of 1 at its end. It stays within the file; with 0 seconds it is that part.
    """
    part = lasts / moment[1]
    length = min(seconds or part, lasts)
    start = moment[0] * part + place * (part - length)
    return min(max(start, 0.0), lasts - length), length


def duration(path: Path) -> float:
    """How long the pictures of a video last, s; none of them is decoded.

    Raises
    ------
    MediaError
        The file is missing, damaged, has no pictures, or does not say how long it lasts.
    """
    with _opened(path) as container:
        return _duration(path, container)


def sound_delay(path: Path) -> float:
    """How many s after its pictures the sound of a video begins, negative where before.

    0.0 where it has only one of the two, or does not say.

    Raises
    ------
    MediaError
        The file is missing or damaged.
    """
    with _opened(path) as container:
        both = (*picture_streams(container)[:1], *container.streams.audio[:1])
        starts = [start_of(stream) for stream in both]
        return starts[1] - starts[0] if len(starts) == 2 else 0.0


def has_sound(path: Path) -> bool:
    """Whether a video has a sound track, silent or not.

    Raises
    ------
    MediaError
        The file is missing or damaged.
    """
    with _opened(path) as container:
        return bool(container.streams.audio)


def read_video(
    path: Path,
    count: int = 1,
    moment: tuple[int, int] = (0, 1),
    seconds: float = 0.0,
    place: float = 0.5,
) -> list[np.ndarray]:
    """Frames from the middles of `count` equal parts of a video, each (H, W, 3) uint8, upright.

    Or of one `stretch` of it. A video that is shorter than its stretch stands still at its end; a
    single frame is from the middle of what there is.

    Raises
    ------
    MediaError
        The file is missing, damaged, has no pictures, does not say how long it lasts, or ends
        earlier than it says.
    """
    with _opened(path) as container:
        lasts = _duration(path, container)
        start, length = stretch(lasts, moment, seconds, place)
        step = (length if count == 1 else seconds or length) / count
        times = [min(start + step * (i + 0.5), lasts) for i in range(count)]
        return _frames_at(path, container, times)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A container of PyAV, whose errors become sentences."""
    if not path.is_file():
        raise MediaError(f"{path}: there is no such file")
    av = require("av", "media")
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a whole video") from error


def _pictures(path: Path, container: Any) -> Any:
    """The stream of a video's pictures, which can be decoded."""
    streams = picture_streams(container)
    if not streams:
        raise MediaError(f"{path}: has no pictures in it")
    must_be_known(path, streams[0], "pictures are")
    return streams[0]


def _duration(path: Path, container: Any) -> float:
    stream = _pictures(path, container)
    length = stream.duration and float(stream.duration * stream.time_base)
    if not length:  # Matroska says when all ends, counted from the beginning of its clock
        length = (container.duration or 0) / require("av", "media").time_base
        length -= max(start_of(stream), 0.0)
    if not length > 0:
        raise MediaError(f"{path}: does not say how long it lasts")
    return length


def _frames_at(path: Path, container: Any, times: list[float]) -> list[np.ndarray]:
    """The frame that is shown at each of rising times, s from the start."""
    stream = _pictures(path, container)
    first = stream.start_time or 0
    shown, ahead, frames = None, None, []
    pictures: Iterator[Any] = iter(())
    for time in times:
        stamp = first + time / stream.time_base
        if shown is None or stamp - shown.pts > FAR / stream.time_base:
            container.seek(int(stamp), stream=stream)
            pictures = (frame for frame in container.decode(stream) if frame.pts is not None)
            shown = ahead = next(pictures, None)
        while ahead is not None and ahead.pts <= stamp + EARLY / stream.time_base:
            shown, ahead = ahead, next(pictures, None)
        if shown is None:
            raise MediaError(f"{path}: not a whole video")
        if ahead is None and shown.duration:  # the last picture, and how long it is shown
            until = float((shown.pts + shown.duration - first) * stream.time_base)
            if time > until + SLACK:
                raise MediaError(f"{path}: its pictures end early, after {until:.1f} s")
        upright = np.rot90(shown.to_ndarray(format="rgb24"), turns_of(shown))
        frames.append(np.ascontiguousarray(upright))
    return frames
