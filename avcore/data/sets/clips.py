"""Clips, pictures with sound, as a data set of tensors; every file is checked first."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from avcore.data.media.apt import Progress
from avcore.data.media.folder import Problem
from avcore.data.sets.files import (
    SPLITS,
    ClipConfig,
    Entry,
    check,
    files_digest,
    is_video,
    read_mask,
    read_pictures,
    read_sound,
)
from avcore.data.sets.video import duration
from avcore.support import AvcoreError, MediaError, require

SHOWN = 10  # problems that an error or a warning lists
Index = tuple[list[Entry], list[Problem]]  # what an indexer finds: clips, and what is wrong


class Clip(NamedTuple):
    """One clip, as its files have it.

    Attributes
    ----------
    frames
        (T, 3, size, size) uint8, RGB.
    waveform
        (n,) float32 at the rate of the configuration.
    masks
        (L, size, size) bool, of the first L frames.
    name, category
        As in the data set; the category is "" where there is none.
    """

    frames: Tensor
    waveform: Tensor
    masks: Tensor
    name: str
    category: str


class ClipDataset(Dataset):
    """The clips that an indexer found, each as `transform(Clip)`.

    Parameters
    ----------
    root
        The folder in which all files lie; messages name them from there.
    index
        Clips, and what the indexer found to be wrong.
    config
        How they are read.
    transform
        Makes the sample of a `Clip`; the clip itself by default. What it draws from torch's random
        numbers is repeatable in a training.
    skip_bad
        Warn once of what cannot be used, and go on without it.
    progress
        Called as ("check", fraction done) while the files are checked.
    name
        Of the data set, for messages.

    Raises
    ------
    MediaError
        Something cannot be used (unless `skip_bad`), or no clip is left.
    """

    def __init__(
        self,
        root: str | Path,
        index: Index,
        config: ClipConfig | None = None,
        transform: Callable[[Clip], Any] | None = None,
        skip_bad: bool = False,
        progress: Progress | None = None,
        name: str = "",
    ) -> None:
        self.config, self.transform = config or ClipConfig(), transform
        self.entries, problems = verify(root, index, self.config, progress)
        where, listing = f"{root} ({name})" if name else str(root), _listing(problems)
        if not self.entries:
            raise MediaError(f"{where}: no clip can be used{listing}")
        if problems and not skip_bad:
            raise MediaError(
                f"{where}: not everything can be used (skip_bad=True, or --skip-bad, goes on "
                f"without it){listing}"
            )
        if problems:
            left = f"{len(self.entries)} clips are left"
            level = 2 if type(self) is ClipDataset else 3  # where the data set is asked for
            warnings.warn(f"{where}: {left}, not everything can be used{listing}", stacklevel=level)

    @property
    def files(self) -> str:
        """What tells these clips from others; see `files_digest`."""
        return files_digest(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Any:
        clip = read_clip(self.entries[index], self.config)
        return clip if self.transform is None else self.transform(clip)

    @staticmethod
    def collate(samples: Sequence[Any]) -> Any:
        """See the function of this name."""
        return collate(samples)


def verify(
    root: str | Path, index: Index, config: ClipConfig, progress: Progress | None = None
) -> Index:
    """Open every file: the clips that can be used, and everything that is wrong.

    `progress` is called as ("check", fraction done).
    """
    report = progress or (lambda what, fraction: None)
    entries, problems = index[0], list(index[1])
    usable = []
    for number, entry in enumerate(entries):
        report("check", number / len(entries))
        if found := check(Path(root), entry, config):
            problems += found
        else:
            usable.append(entry)
    report("check", 1.0)
    return usable, list(dict.fromkeys(problems))  # moments of one video share theirs


def verify_splits(
    root: str | Path,
    find: Callable[[str], Index],
    config: ClipConfig,
    progress: Progress | None = None,
) -> Index:
    """As `verify`, of all splits of a data set; `find` gives the index of each."""
    parts = [find(split) for split in SPLITS]
    entries = [entry for found, _ in parts for entry in found]
    problems = [problem for _, found in parts for problem in found]
    return verify(root, (entries, list(dict.fromkeys(problems))), config, progress)


def read_clip(entry: Entry, config: ClipConfig, place: float | None = None) -> Clip:
    """Read the files of a clip.

    Where in the clip's moment the stretch lies says `place`, from 0 at its beginning to 1 at its
    end. By default it is in the middle, or drawn if the configuration says so.

    Raises
    ------
    MediaError
        When a file cannot be used.
    """
    if place is None:
        place = torch.rand(()).item() if config.drawn else 0.5
    moment = entry.moment
    pictures = [p for path in entry.frames for p in read_pictures(path, config, moment, place)]
    frames = np.stack([_resized(picture, config.size) for picture in pictures])
    lasts = duration(entry.frames[0]) if is_video(entry.frames[0]) else None
    sound = read_sound(entry.sound, config, moment, place, lasts)
    masks = [_resized(read_mask(path), config.size) for path in entry.masks]
    stacked = np.stack(masks) if masks else np.zeros((0, config.size, config.size), bool)
    return Clip(
        torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(sound),
        torch.from_numpy(stacked),
        entry.name,
        entry.category,
    )


def collate(samples: Sequence[Any]) -> Any:
    """Samples, named tuples of one kind, as one: tensors stacked, all else as tuples.

    Raises
    ------
    AvcoreError
        When there are none, or a tensor differs in shape; it is named.
    """
    if not samples:
        raise AvcoreError("a batch wants at least one sample")
    columns: list[Any] = []
    for name, column in zip(samples[0]._fields, zip(*samples, strict=True), strict=True):
        if isinstance(column[0], Tensor):
            shapes = sorted({tuple(value.shape) for value in column})
            if len(shapes) > 1:
                raise AvcoreError(
                    f"a batch wants samples of one form, but their {name} have the shapes "
                    f"{' and '.join(map(str, shapes))}"
                )
            columns.append(torch.stack(column))
        else:
            columns.append(column)
    return type(samples[0])(*columns)


def fit_length(waveform: Tensor, samples: int) -> Tensor:
    """The first `samples` of a sound (n,), with silence at its end where it is shorter."""
    return torch.nn.functional.pad(waveform[:samples], (0, max(samples - len(waveform), 0)))


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
