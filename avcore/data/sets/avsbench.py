"""AVSBench in its published layout.

Source: Zhou et al., "Audio-Visual Segmentation" (ECCV 2022), settings S4 (a single sound source;
in the split train only the first frame has a mask) and MS3 (several sources). The root is the
folder `avsbench_data`, or the one in it that holds the csv file::

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

Columns and files that are not named here are left alone: the log-mel pictures that the authors
pickled (`audio_log_mel`) are never opened, for reading a pickle can run any program; they are
computed again from the sounds.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from avcore.data.media.apt import Progress
from avcore.data.sets import clips
from avcore.data.sets.clips import Clip, ClipDataset, Index
from avcore.data.sets.files import SPLITS, ClipConfig, Entry, missing
from avcore.data.sets.table import read_rows
from avcore.nn.vggish import SAMPLE_RATE, examples
from avcore.support import MediaError, choose

FOLDERS = {"S4": "Single-source", "MS3": "Multi-sources"}  # by setting
COLUMNS = {"S4": ("category", "split"), "MS3": ("split",)}  # that are needed, by setting
FRAMES = 5  # of a video, one each second
SHORTEST = 1.0  # s, of a sound


class Sample(NamedTuple):
    """One video, or B of them with names and categories as tuples.

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


class AVSBench(ClipDataset):
    """The videos of one split as `Sample`s.

    Parameters
    ----------
    root, setting, split
        As in `read_index`.
    size, skip_bad, progress
        As in `ClipConfig` and `ClipDataset`; in the published files all pictures have 224 pixels.

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
        self.setting, self.split = setting, choose(SPLITS, split, "split")
        config, index = _config(size), list_videos(root, setting, split)
        name = f"{setting}, {split}"
        super().__init__(root, index, config, to_sample, skip_bad, progress, name)


def _config(size: int = 224) -> ClipConfig:
    return ClipConfig(size, SAMPLE_RATE, SHORTEST)


def to_sample(clip: Clip) -> Sample:
    """A clip with what VGGish hears of it.

    As in the official code the last example is repeated when there are fewer than five; what
    follows after the fifth is left out. Silence is a sound.
    """
    found = examples(clip.waveform, SAMPLE_RATE)[:FRAMES]
    heard = torch.cat([found, found[-1:].expand(FRAMES - len(found), -1, -1, -1)])
    return Sample(clip.frames, heard, clip.masks, clip.name, clip.category)


def read_index(root: str | Path, setting: str, split: str | None = None) -> Index:
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


def verify(
    root: str | Path, setting: str, progress: Progress | None = None, split: str | None = None
) -> Index:
    """Open every file: the videos that can be used, and everything that is wrong.

    `progress` as in `clips.verify`, all else as in `read_index`.
    """
    return clips.verify(root, list_videos(root, setting, split), _config(), progress)


def list_videos(root: str | Path, setting: str, split: str | None = None) -> Index:
    """As `read_index`, without a look at which files of the videos exist."""
    choose(FOLDERS, setting, "setting")
    if split is not None:
        choose(SPLITS, split, "split")
    table = _find_table(Path(root), setting)
    videos, problems = [], []
    for row, problem in read_rows(table, COLUMNS[setting], {"split": SPLITS}):
        if split not in (None, row["split"]) and row["split"] in SPLITS:
            continue
        if problem is not None:
            problems.append(problem)
        else:
            videos.append(_video(table.parent, setting, row))
    return videos, problems


def _video(base: Path, setting: str, row: dict[str, str]) -> Entry:
    """Where the files of a video lie; `base` is the folder of the csv file."""
    name, category, split = row["name"], row.get("category", ""), row["split"]
    data = base / f"{setting.lower()}_data"
    if setting == "S4":
        place = Path(split, category)
        seen, stem, count = place / name, name, 1 if split == "train" else FRAMES
    else:
        place = Path(split)
        seen, stem, count = Path(name), f"{name}.mp4", FRAMES
    frames = [data / "visual_frames" / seen / f"{stem}_{i + 1}.png" for i in range(FRAMES)]
    masks = [data / "gt_masks" / place / name / f"{name}_{i + 1}.png" for i in range(count)]
    sound = data / "audio_wav" / place / f"{name}.wav"
    return Entry(name, tuple(frames), sound, tuple(masks), category, split)


def _find_table(root: Path, setting: str) -> Path:
    if not root.is_dir():
        raise MediaError(f"{root}: there is no such folder")
    name = f"{setting.lower()}_meta_data.csv"
    inside = root / FOLDERS[setting] / name
    for table in (inside, root / name):
        if table.is_file():
            return table
    raise MediaError(f"{inside}: there is no such file")
