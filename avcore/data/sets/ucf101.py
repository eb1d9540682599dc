"""UCF-101: short videos of actions.

Source: Soomro et al., "UCF101" (2012), with the published lists of its three splits, called folds
here; Owens and Efros (ECCV 2018), Sec. 5, classify stretches of 2.56 s with their sound. The root
holds::

    UCF-101/CLASS/v_CLASS_g01_c01.avi      clip c01 of group g01: one person, one place
    ucfTrainTestlist/classInd.txt          a line NUMBER CLASS each, from 1
    ucfTrainTestlist/trainlist01.txt       a line CLASS/VIDEO.avi NUMBER each
    ucfTrainTestlist/testlist01.txt        a line CLASS/VIDEO.avi each; 02 and 03 are other folds

A video is spelled as its list spells it (those in `HandstandPushups` begin with `v_HandStand`).
About half of the classes have sound. Of each class one training group in ten, at least one, is for
val, by a digest of its name; clips of one group look alike, so no group is in two splits. A clip
shorter than its stretch stands still at its end, and is silent there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from avcore.data.media.apt import Progress
from avcore.data.media.folder import Problem
from avcore.data.sets import clips
from avcore.data.sets.clips import Clip, ClipDataset, Index, fit_length
from avcore.data.sets.files import SPLITS, ClipConfig, Entry
from avcore.data.sets.shares import held_out
from avcore.data.sets.table import cannot_name, read_text
from avcore.data.sets.video import has_sound
from avcore.support import AvcoreError, MediaError, choose

FOLDS = (1, 2, 3)
VIDEOS, LISTS = "UCF-101", "ucfTrainTestlist"
VIDEO = re.compile(r"v_.+_(g\d+)_c\d+")  # the group of its name
CONFIG = ClipConfig(224, 21_000, frames=64, seconds=2.56, may_be_silent=True)  # 25 frames per s


class Action(NamedTuple):
    """One video, or B of them with the names as a tuple.

    Attributes
    ----------
    frames
        (T, 3, size, size) uint8, RGB.
    waveform
        (n,) float32 at the rate of the configuration, of the same stretch of time; silence where
        there is no sound.
    has_sound
        () bool: whether the video has a sound track.
    label
        () int64: the number of its class in `read_classes`.
    name
        Such as v_Archery_g01_c01.
    """

    frames: Tensor
    waveform: Tensor
    has_sound: Tensor
    label: Tensor
    name: str


class UCF101(ClipDataset):
    """The videos of one split as `Action`s.

    Parameters
    ----------
    root, split, fold, with_sound
        As in `list_videos`.
    config
        How they are read; a stretch of its `seconds` is drawn from each video when the split is
        train, and taken from the middle otherwise.
    skip_bad, progress
        As in `ClipDataset`.

    Raises
    ------
    AvcoreError
        An unknown split or fold, or a configuration without `seconds`.
    MediaError
        Something cannot be used (unless `skip_bad`), or no video is left.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        fold: int = 1,
        config: ClipConfig = CONFIG,
        with_sound: bool = False,
        skip_bad: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if not config.seconds:
            raise AvcoreError("videos of UCF-101 differ in length, so seconds is above 0")
        index = list_videos(root, split, fold, with_sound)
        self.split, self.labels = split, read_classes(root)
        config = replace(config, drawn=split == "train", may_be_silent=True)
        shape = partial(to_action, labels=self.labels, samples=config.samples)
        name = f"UCF-101, fold {fold}, {split}"
        super().__init__(root, index, config, shape, skip_bad, progress, name)


def to_action(clip: Clip, labels: Mapping[str, int], samples: int) -> Action:
    """A clip with the number of its class; its sound has so many samples."""
    return Action(
        clip.frames,
        fit_length(clip.waveform, samples),
        torch.tensor(len(clip.waveform) > 0),
        torch.tensor(labels[clip.category]),
        clip.name,
    )


def read_classes(root: str | Path) -> dict[str, int]:
    """The number of each class, from 0, by `classInd.txt`.

    Raises
    ------
    MediaError
        The list is missing, or it does not number its classes from 1.
    """
    path = Path(root) / LISTS / "classInd.txt"
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if not rows or [row[0] for row in rows] != [str(n + 1) for n in range(len(rows))]:
        raise MediaError(f"{path}: does not number its classes 1, 2, 3 …")
    if {len(row) for row in rows} != {2} or len({row[1] for row in rows}) < len(rows):
        raise MediaError(f"{path}: wants lines NUMBER CLASS, and each class once")
    return {name: n for n, (_, name) in enumerate(rows)}


def list_videos(root: str | Path, split: str, fold: int = 1, with_sound: bool = False) -> Index:
    """The videos of a split, each with its class as `category`, and all that is wrong.

    Parameters
    ----------
    root
        The folder with the layout above.
    split
        "train", "val" or "test"; no two share a group.
    fold
        Which of the published splits: 1, 2 or 3.
    with_sound
        Leave out the videos without a sound track, for which all are opened; else none is.

    Raises
    ------
    AvcoreError
        The split or the fold is unknown.
    MediaError
        A list is missing or cannot be read.
    """
    choose(SPLITS, split, "split")
    if fold not in FOLDS:
        raise AvcoreError(f"fold is 1, 2 or 3, got {fold}")
    root = Path(root)
    labels = read_classes(root)
    names = [f"{kind}list{fold:02d}.txt" for kind in ("train", "test")]
    (learned, problems), (tested, others) = (_listed(root, name, labels) for name in names)
    groups = {group_of(entry) for entry in tested}
    if split == "test":
        entries, problems = tested, others
    else:
        both = sorted(groups & {group_of(entry) for entry in learned})
        problems += [Problem(names[0], f"{group} is in {names[1]} too") for group in both]
        entries, few = _part([e for e in learned if group_of(e) not in groups], split)
        problems += few
    entries, absent = _in_folders(root, entries, split)
    return [each for each in entries if not with_sound or _sounds(each)], problems + absent


def verify(root: str | Path, progress: Progress | None = None, fold: int = 1) -> Index:
    """Open every file of all splits: the videos that can be used, and everything that is wrong.

    `progress` as in `clips.verify`.
    """
    find: Callable[[str], Index] = partial(list_videos, root, fold=fold)
    return clips.verify_splits(root, find, CONFIG, progress)


def group_of(entry: Entry) -> str:
    """Class and group of a video, such as "Archery g01"."""
    found = VIDEO.fullmatch(entry.name)
    return f"{entry.category} {found[1] if found else ''}"


def _part(learned: Iterable[Entry], split: str) -> Index:
    """Of the videos of the training list those of train or of val."""
    of_class: dict[str, list[Entry]] = {}
    for entry in learned:
        of_class.setdefault(entry.category, []).append(entry)
    entries, problems = [], []
    for name, videos in of_class.items():
        groups = {group_of(video) for video in videos}
        if len(groups) < 2:
            reason = "has 1 training group; two at least are needed for train and val"
            problems.append(Problem(f"{VIDEOS}/{name}", reason))
            continue
        val = held_out(groups)
        entries += [video for video in videos if (group_of(video) in val) == (split == "val")]
    return entries, problems


def _in_folders(root: Path, entries: list[Entry], split: str) -> Index:
    """The videos whose class has a folder, and the classes that have none."""
    names = sorted({entry.category for entry in entries})
    absent = [name for name in names if not (root / VIDEOS / name).is_dir()]
    problems = [Problem(f"{VIDEOS}/{name}", "there is no such folder") for name in absent]
    there = [replace(entry, split=split) for entry in entries if entry.category not in absent]
    return there, problems


def _sounds(entry: Entry) -> bool:
    """Whether a video has sound; what cannot be opened is kept, to be named when it is checked."""
    try:
        return has_sound(entry.sound)
    except MediaError:
        return True


def _listed(root: Path, name: str, labels: Mapping[str, int]) -> Index:
    """The videos of a list, and its bad lines."""
    entries, problems = [], []
    first: dict[str, int] = {}
    for line, text in enumerate(read_text(root / LISTS / name).splitlines(), 1):
        found = _video(root, text.split(), labels)
        if isinstance(found, Entry) and first.setdefault(found.name, line) != line:
            found = f"{found.name} stands in line {first[found.name]} already"
        if isinstance(found, Entry):
            entries.append(found)
        elif text.strip():
            problems.append(Problem(f"{name}, line {line}", found))
    return entries, problems


def _video(root: Path, words: list[str], labels: Mapping[str, int]) -> Entry | str:
    """The video of a line, or why it is none."""
    category, slash, video = (words or [""])[0].partition("/")
    if not slash or len(words) > 2:
        return "wants CLASS/VIDEO.avi, and in a training list the number of the class"
    if category not in labels:
        return f"classInd.txt has no class {category!r}"
    if cannot_name(video):
        return f"{video!r} cannot be part of a file's name"
    stem = video.removesuffix(".avi")
    if stem == video or not VIDEO.fullmatch(stem):
        return f"{video!r} is not of the form v_CLASS_g01_c01.avi"
    if words[1:] not in ([], [str(labels[category] + 1)]):
        return f"{category} has the number {labels[category] + 1}, not {words[1]}"
    path = root / VIDEOS / category / video
    return Entry(stem, (path,), path, (), category)
