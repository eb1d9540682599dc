"""The files of a clip: where they lie, what is in them, and all that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avcore.data.media.folder import Problem
from avcore.data.media.read import BY_CONTAINER, read_audio, read_image
from avcore.support import AvcoreError, MediaError, require

SPLITS = ("train", "val", "test")
MASK_MODES = ("1", "L", "P")  # of Pillow: pictures of one channel


@dataclass(frozen=True)
class Entry:
    """A clip and its files.

    Attributes
    ----------
    name
        What it is called in its data set.
    frames
        Its pictures in order; or one video, of which frames are taken.
    sound
        A recording, or the video again.
    masks
        Of the first frames, as many as there are; none where nothing is known.
    category, split
        "" where the data set has none.
    moment
        (i, n): which of n equal parts of a video and its sound, from 0; see `ClipConfig.seconds`.
    """

    name: str
    frames: tuple[Path, ...]
    sound: Path
    masks: tuple[Path, ...] = ()
    category: str = ""
    split: str = ""
    moment: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class ClipConfig:
    """How clips are read.

    Attributes
    ----------
    size
        Pixels along both sides of frames and masks. What has another size is resized and loses
        its aspect: frames bilinearly, masks to the nearest pixel.
    sample_rate
        Of the sound, Hz, which becomes mono.
    shortest
        Seconds that a sound must last.
    frames
        Of a video, how many frames are taken, from the middles of as many equal parts.
    seconds
        How long the stretch of a video and its sound is that is read, around the middle of the
        clip's moment; 0 reads the whole moment.
    """

    size: int = 224
    sample_rate: int = 16_000
    shortest: float = 0.0
    frames: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise AvcoreError(f"a picture has at least 1 pixel along a side, got size={self.size}")
        if min(self.sample_rate, self.frames) < 1 or not min(self.shortest, self.seconds) >= 0:
            raise AvcoreError(
                "sample_rate and frames are at least 1, shortest and seconds are not negative"
            )


def missing(root: Path, entry: Entry) -> list[Problem]:
    """Which files of a clip are not there: a problem each for frames, masks and sound.

    A video that is its own sound is one problem.
    """
    problems = []
    pictures = tuple(path for path in entry.frames if path != entry.sound)
    for kind, paths in (("frames", pictures), ("masks", entry.masks)):
        names = [path.name for path in paths if not os.path.isfile(path)]
        if names:
            reason = f"{len(names)} of {len(paths)} {kind} missing ({', '.join(names)})"
            problems.append(Problem(paths[0].parent.relative_to(root).as_posix(), reason))
    if not os.path.isfile(entry.sound):
        item = entry.sound.relative_to(root).as_posix()
        problems.append(Problem(item, "there is no such file"))
    return problems


def check(root: Path, entry: Entry, config: ClipConfig) -> list[Problem]:
    """Open all files of a clip; everything that is wrong with them."""
    problems = missing(root, entry)

    def attempt(read: Callable[[Path], Any], path: Path) -> Any:
        try:
            return read(path) if os.path.isfile(path) else None
        except MediaError as error:
            reason = str(error).removeprefix(f"{path}: ")
            problems.append(Problem(path.relative_to(root).as_posix(), reason))
            return None

    def pictures(path: Path) -> list[np.ndarray]:
        return read_pictures(path, config, entry.moment)

    frames = [attempt(pictures, path) for path in entry.frames]
    for path, frame in zip(entry.masks, frames, strict=False):
        mask = attempt(read_mask, path)
        if mask is not None and frame is not None and mask.shape != frame[0].shape[:2]:
            (height, width), (frame_height, frame_width) = mask.shape, frame[0].shape[:2]
            reason = f"has {width}x{height} pixels, its frame {frame_width}x{frame_height}"
            problems.append(Problem(path.relative_to(root).as_posix(), reason))
    attempt(lambda path: read_sound(path, config), entry.sound)
    return problems


def read_pictures(
    path: Path, config: ClipConfig, moment: tuple[int, int] = (0, 1)
) -> list[np.ndarray]:
    """The frames of a video, or the one of a picture, each (H, W, 3) uint8 at its own size.

    Raises
    ------
    MediaError
        The file is missing, damaged, or has no pictures in it.
    """
    if path.suffix.lower() in BY_CONTAINER:
        return read_video(path, config.frames, moment, config.seconds)
    return [read_image(path)[..., :3]]


def stretch(lasts: float, moment: tuple[int, int], seconds: float) -> tuple[float, float]:
    """Where a stretch begins and how long it is, in s, of a file that lasts so many s.

    It has the middle of part i of n, `moment`, in its middle, but stays within the file; with 0
    seconds it is that part.
    """
    part = lasts / moment[1]
    length = min(seconds or part, lasts)
    start = (moment[0] + 0.5) * part - length / 2
    return min(max(start, 0.0), lasts - length), length


def read_video(
    path: Path, count: int = 1, moment: tuple[int, int] = (0, 1), seconds: float = 0.0
) -> list[np.ndarray]:
    """Frames from the middles of `count` equal parts of a video, each (H, W, 3) uint8.

    Or of one `stretch` of it.

    Raises
    ------
    MediaError
        The file is missing, damaged, has no pictures, or does not say how long it lasts.
    """
    if not path.is_file():
        raise MediaError(f"{path}: there is no such file")
    av = require("av", "media")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MediaError(f"{path}: has no pictures in it")
            stream = container.streams.video[0]
            length = stream.duration and float(stream.duration * stream.time_base)
            length = length or (container.duration or 0) / av.time_base
            if not length > 0:
                raise MediaError(f"{path}: does not say how long it lasts")
            start, length = stretch(length, moment, seconds)
            times = [start + length * (i + 0.5) / count for i in range(count)]
            return [_frame_at(path, container, time) for time in times]
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a whole video") from error


def _frame_at(path: Path, container: Any, time: float) -> np.ndarray:
    """The first frame at or after `time` s from the start, or the last there is."""
    stream, found = container.streams.video[0], None
    start = stream.start_time or 0
    container.seek(start + int(time / stream.time_base), stream=stream)
    for found in container.decode(stream):
        if found.time is None or found.time - float(start * stream.time_base) >= time:
            break
    if found is None:
        raise MediaError(f"{path}: not a whole video")
    return found.to_ndarray(format="rgb24")


def read_mask(path: Path) -> np.ndarray:
    """Read a mask, (H, W) bool: where the value (in mode P the index of the colour) is not 0.

    Deviation: the published loaders convert any picture to one channel; here one that is not
    clearly a mask (colours, or shades between two values) is refused, since no rule for it is
    published.

    Raises
    ------
    MediaError
        The file is missing or no whole picture, or it has several channels or more than one
        value beside 0.
    """
    if not path.is_file():
        raise MediaError(f"{path}: there is no such file")
    pillow = require("PIL.Image", "media")
    try:
        with pillow.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError, EOFError, pillow.DecompressionBombError) as error:
        raise MediaError(f"{path}: not a whole picture") from error
    if mode not in MASK_MODES:
        raise MediaError(
            f"{path}: a mask has one channel (mode {', '.join(MASK_MODES)}), this has mode {mode}"
        )
    if (others := len(np.unique(values[values != 0]))) > 1:
        raise MediaError(f"{path}: a mask has one value beside 0, this has {others}")
    return values != 0


def read_sound(path: Path, config: ClipConfig, moment: tuple[int, int] = (0, 1)) -> np.ndarray:
    """The sound of a clip's moment, (n,) float32, mono at the wanted rate.

    Raises
    ------
    MediaError
        The file is missing, damaged or too short, or has samples that are not finite.
    """
    wave = read_audio(path, config.sample_rate)
    if (lasts := len(wave) / config.sample_rate) < config.shortest:
        raise MediaError(f"{path}: lasts {lasts:.2f} s; at least {config.shortest:g} s is needed")
    start, length = stretch(lasts, moment, config.seconds)
    first = round(start * config.sample_rate)
    return wave[first : first + round(length * config.sample_rate)]
