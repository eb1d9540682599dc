"""The index of AVSBench in its published layout: which videos there are, and where their files lie.

The root is the folder `avsbench_data`, or the one in it that holds the csv file::

    Single-source/s4_meta_data.csv     S4: the first column is the name; "category" and "split"
    Single-source/s4_data/
        visual_frames/SPLIT/CATEGORY/NAME/NAME_1.png …     five frames, one each second
        gt_masks/SPLIT/CATEGORY/NAME/NAME_1.png …          one mask (train) or five
        audio_wav/SPLIT/CATEGORY/NAME.wav                  five seconds
    Multi-sources/ms3_meta_data.csv    MS3: the first column is the name; "split"
    Multi-sources/ms3_data/
        visual_frames/NAME/NAME.mp4_1.png …                not by split
        gt_masks/SPLIT/NAME/NAME_1.png …                   five masks in every split
        audio_wav/SPLIT/NAME.wav

Columns and files that are not named here are left alone.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from avcore.data.media.folder import Problem
from avcore.support import MediaError, choose

SPLITS = ("train", "val", "test")
FOLDERS = {"S4": "Single-source", "MS3": "Multi-sources"}  # by setting
COLUMNS = {"S4": ("category", "split"), "MS3": ("split",)}  # that are needed, by setting
FRAMES = 5  # of a video, one each second


@dataclass(frozen=True)
class Video:
    """One video and its files: five frames, the masks of the first of them, and the sound."""

    name: str
    category: str  # "" in MS3
    split: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    sound: Path


def read_index(
    root: str | Path, setting: str, split: str | None = None
) -> tuple[list[Video], list[Problem]]:
    """The videos of the csv file whose files are all there, and all rows and videos with a flaw.

    No picture and no sound is opened.

    Parameters
    ----------
    root
        The folder `avsbench_data`, or the one in it that holds the csv file.
    setting
        "S4" or "MS3".
    split
        "train", "val" or "test"; all of them when None. A row that does not say which of them it
        belongs to is a problem of each.

    Raises
    ------
    AvcoreError
        The setting or the split is unknown.
    MediaError
        The folder, its csv file or a column of that is missing, or the file cannot be read.
    """
    videos, problems = list_videos(root, setting, split)
    lacking = [missing(Path(root), video) for video in videos]
    whole = [video for video, found in zip(videos, lacking, strict=True) if not found]
    return whole, problems + [problem for found in lacking for problem in found]


def list_videos(
    root: str | Path, setting: str, split: str | None = None
) -> tuple[list[Video], list[Problem]]:
    """As `read_index`, without a look at which files of the videos exist."""
    choose(FOLDERS, setting, "setting")
    if split is not None:
        choose(SPLITS, split, "split")
    table = _find_table(Path(root), setting)
    header, lines = _read_table(table, COLUMNS[setting])
    videos: list[Video] = []
    problems: list[Problem] = []
    first: dict[str, int] = {}  # line of each name
    for line, row in lines:
        fields = dict(zip(header, row, strict=False))
        name, place = row[0] if row else "", fields.get("split", "")
        used = {"name": name, **{column: fields.get(column, "") for column in COLUMNS[setting]}}
        reason = _reason(row, header, used)
        if not reason and first.setdefault(name, line) != line:
            reason = f"{name} stands in line {first[name]} already"
        if split not in (None, place) and place in SPLITS:
            continue
        if reason:
            problems.append(Problem(f"{table.name}, line {line}", reason))
        else:
            videos.append(_video(table.parent, setting, name, fields.get("category", ""), place))
    return videos, problems


def missing(root: Path, video: Video) -> list[Problem]:
    """Which files of a video are not there: a problem each for frames, masks and sound."""
    problems = []
    for kind, paths in (("frames", video.frames), ("masks", video.masks)):
        names = [path.name for path in paths if not os.path.isfile(path)]
        if names:
            reason = f"{len(names)} of {len(paths)} {kind} missing ({', '.join(names)})"
            problems.append(Problem(paths[0].parent.relative_to(root).as_posix(), reason))
    if not os.path.isfile(video.sound):
        item = video.sound.relative_to(root).as_posix()
        problems.append(Problem(item, "there is no such file"))
    return problems


def _video(base: Path, setting: str, name: str, category: str, split: str) -> Video:
    """Where the files of a video lie; `base` is the folder of the csv file."""
    data = base / f"{setting.lower()}_data"
    if setting == "S4":
        place = Path(split, category)
        seen, stem, count = place / name, name, 1 if split == "train" else FRAMES
    else:
        place, category = Path(split), ""
        seen, stem, count = Path(name), f"{name}.mp4", FRAMES
    frames = [data / "visual_frames" / seen / f"{stem}_{i + 1}.png" for i in range(FRAMES)]
    masks = [data / "gt_masks" / place / name / f"{name}_{i + 1}.png" for i in range(count)]
    sound = data / "audio_wav" / place / f"{name}.wav"
    return Video(name, category, split, tuple(frames), tuple(masks), sound)


def _find_table(root: Path, setting: str) -> Path:
    if not root.is_dir():
        raise MediaError(f"{root}: there is no such folder")
    name = f"{setting.lower()}_meta_data.csv"
    inside = root / FOLDERS[setting] / name
    for table in (inside, root / name):
        if table.is_file():
            return table
    raise MediaError(f"{inside}: there is no such file")


def _read_table(
    table: Path, columns: tuple[str, ...]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows of a csv file, these with the number of their line."""
    try:
        with open(table, newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)  # else a stray quote swallows all that follows
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{table}: cannot be read as a csv file ({error})") from error
    while rows and not rows[-1][1]:  # lines left blank at the end
        rows.pop()
    if not rows:
        raise MediaError(f"{table}: the file is empty")
    header = rows[0][1]
    if lacking := [repr(column) for column in columns if column not in header]:
        raise MediaError(f"{table}: has no column {' and no column '.join(lacking)}")
    return header, rows[1:]


def _reason(row: list[str], header: list[str], used: dict[str, str]) -> str:
    """What is wrong with a row, of which the fields `used` matter; "" when all is well."""
    if not any(row):
        return "the row is empty"
    if len(row) > len(header):
        return f"has {len(row)} fields, but there are {len(header)} columns"
    for what, text in used.items():
        if not text:
            return f"has no {what}"
        if text == "." or ".." in text or set(text) & set("/\\") or not text.isprintable():
            return f"the {what} {text!r} cannot be part of a file's name"
    if used["split"] not in SPLITS:
        return f"the split {used['split']!r} is none of {', '.join(SPLITS)}"
    return ""
