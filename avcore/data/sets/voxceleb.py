"""VoxCeleb 1 and 2: short clips of talking faces.

Source: Nagrani et al., "VoxCeleb" (Interspeech 2017), and Chung et al., "VoxCeleb2" (Interspeech
2018), as their archives unpack; Owens and Efros (ECCV 2018), Sec. 6, separate talkers on it, with
other speakers in training than in the test. The root holds::

    dev/mp4/SPEAKER/VIDEO/00001.mp4      SPEAKER is such as id00012; to learn from and choose on
    dev/wav/SPEAKER/VIDEO/00001.wav      its sound; or
    dev/aac/SPEAKER/VIDEO/00001.m4a      without either the video's own sound is read
    test/…                               the same, of other speakers
    vox1_meta.csv, vox2_meta.csv         optional: the columns "VoxCeleb1 ID" (or 2) and "Gender"

The split test is the published one; for val one speaker in ten of dev, two at least, is taken, by a
digest of the name. A sound without a video is left alone. Deviations: Owens and Efros cut videos to
5 s and draw 2.1 s of these, here they are drawn from the whole clip; sound is mono.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from avcore.data.media.apt import Progress
from avcore.data.media.folder import Problem
from avcore.data.sets import clips
from avcore.data.sets.clips import Clip, ClipDataset, Index, fit_length
from avcore.data.sets.files import SPLITS, ClipConfig, Entry
from avcore.data.sets.shares import held_out, shuffled_by_name
from avcore.data.sets.table import read_lines
from avcore.support import AvcoreError, MediaError, choose

TABLES = ("vox1_meta.csv", "vox2_meta.csv")
SPEAKER = re.compile(r"id\d{5}")
SEXES = ("f", "m")
CONFIG = ClipConfig(224, 21_000, shortest=2.1, frames=63, seconds=2.1)  # of Owens and Efros


class Talker(NamedTuple):
    """One clip of a talking face, or B of them with all but the tensors as tuples.

    Attributes
    ----------
    frames
        (T, 3, size, size) uint8, RGB.
    waveform
        (n,) float32 at the rate of the configuration, of the same stretch of time.
    speaker
        Who talks, such as "id00012".
    sex
        "f" or "m" by the tables of the root, "" where none says it.
    name
        SPEAKER/VIDEO/NUMBER.
    """

    frames: Tensor
    waveform: Tensor
    speaker: str
    sex: str
    name: str


class VoxCeleb(ClipDataset):
    """The clips of one split as `Talker`s.

    Parameters
    ----------
    root, split, most
        As in `list_clips`.
    config
        How clips are read; a stretch of its `seconds` is drawn from each clip when the split is
        train, and taken from the middle otherwise.
    skip_bad, progress
        As in `ClipDataset`.

    Raises
    ------
    AvcoreError
        An unknown split, or a configuration without `seconds`.
    MediaError
        Something cannot be used (unless `skip_bad`), or no clip is left.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        config: ClipConfig = CONFIG,
        most: int = 0,
        skip_bad: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if not config.seconds:
            raise AvcoreError("clips of VoxCeleb differ in length, so seconds is above 0")
        index = list_clips(root, split, most)
        self.split, self.sexes = split, read_sexes(root)[0]
        config = replace(config, drawn=split == "train")
        shape = partial(to_talker, sexes=self.sexes, samples=config.samples)
        super().__init__(root, index, config, shape, skip_bad, progress, f"VoxCeleb, {split}")


def to_talker(clip: Clip, sexes: Mapping[str, str], samples: int) -> Talker:
    """A clip with its speaker, whose sex `sexes` tells; its sound has so many samples."""
    sex = sexes.get(clip.category, "")
    return Talker(clip.frames, fit_length(clip.waveform, samples), clip.category, sex, clip.name)


def list_clips(root: str | Path, split: str, most: int = 0) -> Index:
    """The clips of a split, each with its speaker as `category`, and all that is wrong.

    No video is opened.

    Parameters
    ----------
    root
        The folder with the layout above.
    split
        "train", "val" or "test"; no two share a speaker.
    most
        Clips of a speaker, in the order of a digest of their names; 0 takes all.

    Raises
    ------
    AvcoreError
        The split is unknown, or `most` is negative.
    MediaError
        A folder is missing, or a table cannot be read.
    """
    choose(SPLITS, split, "split")
    if most < 0:
        raise AvcoreError(f"most is the number of clips of a speaker, or 0 for all, got {most}")
    root = Path(root)
    base = root / ("test" if split == "test" else "dev")
    speakers, problems = _speakers(root, base)
    problems += read_sexes(root)[1]
    if split != "test":
        if len(speakers) < 4:
            reason = f"has {len(speakers)} speakers; train and val need two each at least"
            return [], [*problems, Problem("dev/mp4", reason)]
        val = held_out(speakers, least=2)
        speakers = [name for name in speakers if (name in val) == (split == "val")]
    entries: list[Entry] = []
    for name in speakers:
        if found := _clips_of(base, name, split):
            entries += shuffled_by_name(found)[:most] if most else found
        else:
            problems.append(Problem(f"{base.name}/mp4/{name}", "has no video in it"))
    return entries, problems


def verify(root: str | Path, progress: Progress | None = None) -> Index:
    """Open every file of all splits: the clips that can be used, and everything that is wrong.

    `progress` as in `clips.verify`.
    """
    find: Callable[[str], Index] = partial(list_clips, root)
    return clips.verify_splits(root, find, CONFIG, progress)


def _speakers(root: Path, base: Path) -> tuple[list[str], list[Problem]]:
    """The folders of speakers in one half, but of dev none who is in the test too."""
    folder, tested = base / "mp4", root / "test" / "mp4"
    if not folder.is_dir():
        raise MediaError(f"{folder}: there is no such folder")
    speakers, problems = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        item = path.relative_to(root).as_posix()
        if not (SPEAKER.fullmatch(path.name) and path.is_dir()):
            problems.append(Problem(item, "is no folder of a speaker, such as id00012"))
        elif folder != tested and (tested / path.name).is_dir():
            problems.append(Problem(item, "this speaker is in the test too"))
        else:
            speakers.append(path.name)
    return speakers, problems


def _clips_of(base: Path, speaker: str, split: str) -> list[Entry]:
    found = []
    for path in sorted((base / "mp4" / speaker).glob("*/*.mp4")):
        if path.name.startswith("."):
            continue
        place = path.relative_to(base / "mp4").with_suffix("")
        sounds = [base / "wav" / f"{place}.wav", base / "aac" / f"{place}.m4a"]
        sound = next((sound for sound in sounds if sound.is_file()), path)
        found.append(Entry(place.as_posix(), (path,), sound, (), speaker, split))
    return found


def read_sexes(root: str | Path) -> tuple[dict[str, str], list[Problem]]:
    """The sex of each speaker, "f" or "m", by the tables that are there, and their bad rows.

    Fields are divided by tabs, as in VoxCeleb1, or by commas, as in VoxCeleb2.

    Raises
    ------
    MediaError
        A table cannot be read, is empty, or lacks a column.
    """
    sexes: dict[str, str] = {}
    problems = []
    for table in (Path(root) / name for name in TABLES if (Path(root) / name).is_file()):
        (_, header), *rows = read_lines(table, tabs=True)
        columns = [_column(table, header, name) for name in ("VoxCeleb[12] ID", "Gender")]
        for line, row in rows:
            speaker, sex = (row[k].lower() if k < len(row) else "" for k in columns)
            if not SPEAKER.fullmatch(speaker):
                reason = f"the speaker {speaker!r} is not of the form id00012"
            elif sex not in SEXES:
                reason = f"the gender {sex!r} is none of {', '.join(SEXES)}"
            else:
                sexes[speaker] = sex
                continue
            problems.append(Problem(f"{table.name}, line {line}", reason))
    return sexes, problems


def _column(table: Path, header: list[str], name: str) -> int:
    found = [number for number, cell in enumerate(header) if re.fullmatch(name, cell)]
    if len(found) != 1:
        raise MediaError(f"{table}: has {len(found)} columns {name!r}, but wants one")
    return found[0]
