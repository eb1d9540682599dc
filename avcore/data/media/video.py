"""An encoded video with sound: its file, and what its header says.

Time 0 is where the first of picture and sound begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from avcore.data.media.read import _first_line, _must_have_content
from avcore.support import MediaError, require

SLOWEST = Fraction(1, 60)  # pictures a second; below it a header is not believed


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


def describe(path: str | Path) -> Video:
    """Read the header of a video.

    Raises
    ------
    MediaError
        There is no such file, it is no video, it lacks pictures or sound, or FFmpeg knows no way
        to decode them.
    """
    path = Path(path)
    with opened(path) as container:
        pictures, sounds = picture_streams(container), container.streams.audio
        if not pictures:
            raise MediaError(f"{path}: has no pictures in it")
        if not sounds:
            raise MediaError(f"{path}: has no sound in it")
        picture, sound = pictures[0], sounds[0]
        must_be_known(path, picture, "pictures are")
        must_be_known(path, sound, "sound is")
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
        rate = picture.average_rate or picture.guessed_rate or Fraction(25)
        if rate < SLOWEST:
            raise MediaError(f"{path}: {float(rate):.3g} pictures a second cannot be right")
        return Video(
            path=path,
            start=min(starts, default=0.0),
            duration=length / require("av", "media").time_base if length else None,
            width=picture.width,
            height=picture.height,
            aspect=float(picture.sample_aspect_ratio or 1),
            rate=rate,
            codec=picture.codec_context.name,
            container=container.format.name,
            colours=(picture.colorspace, picture.color_primaries, picture.color_trc),
            sample_rate=sound.rate,
            channels=sound.channels,
        )


def picture_streams(container: Any) -> list:
    """Streams of moving pictures; the cover of a piece of music is none."""
    cover = require("av.stream", "media").Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def must_be_known(path: Path, stream: Any, what: str) -> None:
    """Whether FFmpeg can decode a stream.

    Raises
    ------
    MediaError
        It cannot; `what` begins as "pictures are".
    """
    if stream.codec_context is None:
        raise MediaError(f"{path}: its {what} of an unknown codec")


def start_of(stream: Any) -> float:
    """When a stream begins, s on the clock of its file; 0 where it does not say."""
    return float((stream.start_time or 0) * stream.time_base)


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
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a whole video ({_first_line(error)})") from error
    with container:
        yield container
