"""AVSBench as a data set of tensors, from the published files, each of which is checked first.

Source: Zhou et al., "Audio-Visual Segmentation" (ECCV 2022), settings S4 (a single sound source;
in the split train only the first frame has a mask) and MS3 (several sources). The layout stands
in `avcore.data.avsbench_index`; how files are read and checked in `avcore.data.avsbench_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from avcore.data.avsbench_files import read_heard, read_mask, verify
from avcore.data.avsbench_index import SPLITS, Video, read_index
from avcore.data.media.apt import Progress
from avcore.data.media.folder import Problem
from avcore.data.media.read import read_image
from avcore.support import AvcoreError, MediaError, choose, require

__all__ = ["AVSBench", "Batch", "Sample", "Video", "collate", "read_index", "verify"]

SHOWN = 10  # problems that an error or a warning lists


class Sample(NamedTuple):
    """One video.

    Attributes
    ----------
    frames
        (5, 3, size, size) uint8, RGB.
    heard
        (5, 1, 96, 64) float32: the log-mel examples of `avcore.nn.vggish.examples`.
    masks
        (L, size, size) bool, of the first L frames; L is 1 in the split train of S4, else 5.
    name, category
        As in the csv file; the category is "" in MS3.
    """

    frames: Tensor
    heard: Tensor
    masks: Tensor
    name: str
    category: str


class Batch(NamedTuple):
    """B samples: (B, 5, 3, size, size), (B, 5, 1, 96, 64), (B, L, size, size), B names each."""

    frames: Tensor
    heard: Tensor
    masks: Tensor
    names: tuple[str, ...]
    categories: tuple[str, ...]


class AVSBench(Dataset):
    """The videos of one split as `Sample`s; every file is checked at the start.

    Parameters
    ----------
    root, setting, split
        As in `read_index`.
    size
        Pixels along both sides of frames and masks. What has another size is resized and loses
        its aspect (as published, where all have 224): frames bilinearly, masks to the nearest.
    skip_bad
        Warn once of the videos that cannot be used, and go on without them.
    progress
        Called as ("check", fraction done) while the files are checked.

    Raises
    ------
    AvcoreError
        An unknown setting or split, or a size below 1.
    MediaError
        Something cannot be used (unless `skip_bad`), or no video is left.
    """

    def __init__(
        self,
        root: str | Path,
        setting: str = "S4",
        split: str = "train",
        size: int = 224,
        skip_bad: bool = False,
        progress: Progress | None = None,
    ) -> None:
        choose(SPLITS, split, "split")
        if size < 1:
            raise AvcoreError(f"a picture has at least 1 pixel along a side, got size={size}")
        self.setting, self.split, self.size = setting, split, size
        self.videos, problems = verify(root, setting, progress, split)
        where, listing = f"{root} ({setting}, {split})", _listing(problems)
        if not self.videos:
            raise MediaError(f"{where}: no video can be used{listing}")
        if problems and not skip_bad:
            raise MediaError(
                f"{where}: not everything can be used (skip_bad=True goes on without it){listing}"
            )
        if problems:
            left = f"{len(self.videos)} videos are left"
            warnings.warn(f"{where}: {left}, not everything can be used{listing}", stacklevel=2)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Sample:
        video = self.videos[index]
        frames = [_resized(read_image(path)[..., :3], self.size) for path in video.frames]
        masks = [_resized(read_mask(path), self.size) for path in video.masks]
        return Sample(
            torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous(),
            read_heard(video.sound),
            torch.from_numpy(np.stack(masks)),
            video.name,
            video.category,
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples with equally many masks of one size as a `Batch`; for torch's `DataLoader`.

    Raises
    ------
    AvcoreError
        When they differ in the number or size of their masks.
    """
    if len({sample.masks.shape for sample in samples}) != 1:
        raise AvcoreError("a batch wants samples with equally many masks of one size")
    frames, heard, masks, names, categories = zip(*samples, strict=True)
    return Batch(torch.stack(frames), torch.stack(heard), torch.stack(masks), names, categories)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 or (H, W) bool at another size, whatever its aspect."""
    pillow = require("PIL.Image", "media")
    how = pillow.Resampling.NEAREST if image.dtype == bool else pillow.Resampling.BILINEAR
    resized = pillow.fromarray(image.astype(np.uint8)).resize((size, size), how)
    return np.array(resized).astype(image.dtype)


def _listing(problems: list[Problem]) -> str:
    """The first problems, a line each, and how many more there are."""
    lines = ["", *(str(problem) for problem in problems[:SHOWN])]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN} more")
    return "\n".join(lines)
