"""VGGSound: ten seconds of sound and picture each, with one label.

Source: Chen et al., "VGGSound" (ICASSP 2020). The root holds::

    vggsound.csv           no header; id of YouTube, start in seconds, label, train or test
    video/ID_START.mp4     START as it is or with six digits; or beside the csv file

There is no published split val: one training video in ten, by a digest of its name, is taken for
it. Videos that have vanished from YouTube are named; `skip_bad` goes on without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from avcore.data.media.folder import Problem
from avcore.data.sets.clips import Index
from avcore.data.sets.files import SPLITS, Entry
from avcore.data.sets.shares import at_moments, half_of, shuffled_by_name
from avcore.data.sets.table import cannot_name, read_lines
from avcore.support import choose

COLUMNS = ("id", "start", "label", "split")


def list_videos(
    root: str | Path, split: str, classes: Sequence[str] = (), half: int = 0, moments: int = 1
) -> Index:
    """The videos of a split, each with its label as `category`, and all rows with a flaw.

    No video is opened. The parameters and errors are those of `music.list_solos`; `classes` are
    labels, and `half` takes every second training video of each.
    """
    choose(SPLITS, split, "split")
    half_of((), half)
    table = Path(root) / "vggsound.csv"
    of_label: dict[str, list[Entry]] = {}
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for line, row in read_lines(table):
        found = _entry(Path(root), row)
        if isinstance(found, Entry) and first.setdefault(found.name, line) != line:
            found = f"{found.name} stands in line {first[found.name]} already"
        if isinstance(found, Entry):
            of_label.setdefault(found.category, []).append(found)
        else:
            problems.append(Problem(f"{table.name}, line {line}", found))
    chosen: list[Entry] = []
    for label in classes or sorted(of_label):
        videos = shuffled_by_name(choose(of_label, label, f"label of {table.name}"))
        chosen += half_of(_part(videos, split), half if split == "train" else 0)
    return at_moments(chosen, moments), problems


def _part(videos: list[Entry], split: str) -> list[Entry]:
    """Of the videos of a label those of a split."""
    learned = [video for video in videos if video.split == "train"]
    held_out = -(-len(learned) // 10)
    if split == "val":
        return [replace(video, split="val") for video in learned[:held_out]]
    return learned[held_out:] if split == "train" else [v for v in videos if v.split == "test"]


def _entry(root: Path, row: list[str]) -> Entry | str:
    """The video of a row, or why it is none."""
    if len(row) != len(COLUMNS):
        return f"has {len(row)} fields, but wants {', '.join(COLUMNS)}"
    video, start, label, split = row
    if cannot_name(video):
        return f"the id {video!r} cannot be part of a file's name"
    if not start.isdecimal():
        return f"the start {start!r} is no number of seconds"
    if not label:
        return "has no label"
    if split not in ("train", "test"):
        return f"the split {split!r} is none of train, test"
    folder = root / "video" if (root / "video").is_dir() else root
    name = f"{video}_{int(start):06d}"
    paths = [folder / f"{name}.mp4", folder / f"{video}_{int(start)}.mp4"]
    path = next((path for path in paths if path.is_file()), paths[0])
    return Entry(name, (path,), path, (), label, split)
