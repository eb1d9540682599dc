"""The files of AVSBench: masks and sounds as arrays, and a check that opens every file.

The log-mel pictures that the authors pickled (`audio_log_mel`) are never opened, for reading a
pickle can run any program; they are computed again from the sounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avcore.data.avsbench_index import FRAMES, Video, list_videos, missing
from avcore.data.media.apt import Progress
from avcore.data.media.folder import Problem
from avcore.data.media.read import read_audio, read_image
from avcore.nn.vggish import SAMPLE_RATE, examples
from avcore.support import MediaError, require

SHORTEST = 1.0  # s, of a sound
MASK_MODES = ("1", "L", "P")  # of Pillow: pictures of one channel


def verify(
    root: str | Path, setting: str, progress: Progress | None = None, split: str | None = None
) -> tuple[list[Video], list[Problem]]:
    """Open every file: the videos that can be used, and everything that is wrong.

    Parameters
    ----------
    progress
        Called as ("check", fraction done).
    root, setting, split
        As in `read_index`, as are the errors raised.
    """
    report = progress or (lambda what, fraction: None)
    videos, problems = list_videos(root, setting, split)
    usable = []
    for number, video in enumerate(videos):
        report("check", number / len(videos))
        if found := _check(Path(root), video):
            problems += found
        else:
            usable.append(video)
    report("check", 1.0)
    return usable, problems


def _check(root: Path, video: Video) -> list[Problem]:
    """All that is wrong with the files of one video."""
    problems = missing(root, video)

    def attempt(read: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | None:
        try:
            return read(path) if os.path.isfile(path) else None
        except MediaError as error:
            reason = str(error).removeprefix(f"{path}: ")
            problems.append(Problem(path.relative_to(root).as_posix(), reason))
            return None

    frames = [attempt(read_image, path) for path in video.frames]
    for path, frame in zip(video.masks, frames, strict=False):
        mask = attempt(read_mask, path)
        if mask is not None and frame is not None and mask.shape != frame.shape[:2]:
            (height, width), (frame_height, frame_width) = mask.shape, frame.shape[:2]
            reason = f"has {width}x{height} pixels, its frame {frame_width}x{frame_height}"
            problems.append(Problem(path.relative_to(root).as_posix(), reason))
    attempt(_read_wave, video.sound)
    return problems


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


def read_heard(path: Path) -> Tensor:
    """Read a sound as the log-mel examples of five seconds, (5, 1, 96, 64) float32.

    As in the official code the last example is repeated when there are fewer than five; what
    follows after the fifth is left out. Silence is a sound.

    Raises
    ------
    MediaError
        The file is missing, corrupt or shorter than 1 s, or has samples that are not finite.
    """
    found = examples(torch.from_numpy(_read_wave(path)), SAMPLE_RATE)[:FRAMES]
    return torch.cat([found, found[-1:].expand(FRAMES - len(found), -1, -1, -1)])


def _read_wave(path: Path) -> np.ndarray:
    """(n,) float32, mono at 16 kHz, at least 1 s."""
    wave = read_audio(path, SAMPLE_RATE)
    if len(wave) < SHORTEST * SAMPLE_RATE:
        lasts = len(wave) / SAMPLE_RATE
        raise MediaError(f"{path}: lasts {lasts:.2f} s; at least {SHORTEST:.0f} s is needed")
    return wave
