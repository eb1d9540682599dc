"""The files of a clip: where they lie, what is in them, and all that is wrong with them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avcore.data.media.folder import Problem
from avcore.data.media.read import BY_CONTAINER, read_audio, read_image
from avcore.data.sets.video import duration, has_sound, read_video, sound_delay, stretch
from avcore.support import AvcoreError, MediaError, require

SPLITS = ("train", "val", "test")
MASK_MODES = ("1", "L", "P")  # of Pillow: pictures of one channel
ORIENTATION = 0x0112  # the Exif tag that says how a picture has to be turned


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
        Seconds that a sound must last, and a video.
    frames
        Of a video, how many frames are taken, from the middles of as many equal parts.
    seconds
        How long the stretch of a video and its sound is that is read, around the middle of the
        clip's moment; 0 reads the whole moment.
    drawn
        Whether that stretch is drawn anew from torch's random numbers, anywhere in the moment,
        whenever a clip is read.
    may_be_silent
        Whether a video without a sound track can be used; its sound is then of no samples.
    """

    size: int = 224
    sample_rate: int = 16_000
    shortest: float = 0.0
    frames: int = 1
    seconds: float = 0.0
    drawn: bool = False
    may_be_silent: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise AvcoreError(f"a picture has at least 1 pixel along a side, got size={self.size}")
        if min(self.sample_rate, self.frames) < 1 or not min(self.shortest, self.seconds) >= 0:
            raise AvcoreError(
                "sample_rate and frames are at least 1, shortest and seconds are not negative"
            )

    @property
    def samples(self) -> int:
        """Of the sound of a stretch."""
        return round(self.seconds * self.sample_rate)


def files_digest(entries: Iterable[Entry]) -> str:
    """Eight digits that tell these clips from others: their names and the sizes of their files."""
    digest = hashlib.sha256()
    for entry in entries:
        paths = (*entry.frames, entry.sound, *entry.masks)
        sizes = [os.path.getsize(path) if os.path.isfile(path) else 0 for path in paths]
        digest.update(repr((entry.name, entry.category, entry.moment, sizes)).encode())
    return digest.hexdigest()[:8]


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


def is_video(path: Path) -> bool:
    """Whether a file's ending is that of a video."""
    return path.suffix.lower() in BY_CONTAINER


def read_pictures(
    path: Path, config: ClipConfig, moment: tuple[int, int] = (0, 1), place: float = 0.5
) -> list[np.ndarray]:
    """The frames of a video, or the one of a picture, each (H, W, 3) uint8 at its own size.

    They are upright: turned as the file says that they have to be shown.
    `place` as in `video.stretch`.

    Raises
    ------
    MediaError
        The file is missing, damaged or too short, or has no pictures in it.
    """
    if not is_video(path):
        return [_upright(path, read_image(path)[..., :3])]
    if config.shortest:
        _must_last(path, duration(path), config)
    return read_video(path, config.frames, moment, config.seconds, place)


def _upright(path: Path, picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) turned and mirrored as its Exif tag says."""
    pillow = require("PIL.Image", "media")
    with pillow.open(path) as image:
        orientation = image.getexif().get(ORIENTATION, 1)
    if orientation == 1:
        return picture
    turned = pillow.fromarray(picture)
    turned.getexif()[ORIENTATION] = orientation
    return np.array(require("PIL.ImageOps", "media").exif_transpose(turned))


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


def read_sound(
    path: Path,
    config: ClipConfig,
    moment: tuple[int, int] = (0, 1),
    place: float = 0.5,
    lasts: float | None = None,
) -> np.ndarray:
    """The sound of a clip's moment, (n,) float32, mono at the wanted rate.

    `place` as in `video.stretch`. Its stretch is that of pictures that last so many s, with silence
    where there is no sound; without pictures it lies where the sound's own length puts it.

    Raises
    ------
    MediaError
        The file is missing, damaged or too short, or has samples that are not finite.
    """
    if config.may_be_silent and is_video(path) and not has_sound(path):
        return np.zeros(0, np.float32)
    try:
        wave = read_audio(path, config.sample_rate)
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: the text of its tags is not UTF-8") from error
    own = len(wave) / config.sample_rate
    _must_last(path, own, config)
    start, length = stretch(lasts or own, moment, config.seconds, place)
    start -= sound_delay(path) if lasts and is_video(path) else 0.0
    first, count = round(start * config.sample_rate), round(length * config.sample_rate)
    part = wave[max(first, 0) : max(first + count, 0)]
    before = min(max(-first, 0), count)
    return np.pad(part, (before, count - before - len(part)))


def _must_last(path: Path, lasts: float, config: ClipConfig) -> None:
    if lasts < config.shortest:
        raise MediaError(f"{path}: lasts {lasts:.2f} s; at least {config.shortest:g} s is needed")
