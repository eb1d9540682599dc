"""Small trees in the layout of AVSBench that tests write: real PNG and WAV files, exact masks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from media_tree import tone, write_picture, write_sound
from PIL import Image

FRAMES = 5
CATEGORIES = ("dog_barking", "playing_piano")
COUNTS = {"train": 2, "val": 1, "test": 1}


def write_tree(
    root: Path,
    setting: str = "S4",
    counts: Mapping[str, int] = COUNTS,
    size: int | tuple[int, int] = 32,
) -> Path:
    """A good tree: in every frame one bright thing on a dark ground, and a steady tone of 5 s.

    Parameters
    ----------
    counts
        Videos by split. They are called as `video_name` says, and video number n of the tree
        (over all splits) looks as `picture` and sounds as `pitch` say.
    size
        Pixels of frames and masks: one number, or width and height.
    """
    width, height = (size, size) if isinstance(size, int) else size
    base = root / {"S4": "Single-source", "MS3": "Multi-sources"}[setting]
    data = base / f"{setting.lower()}_data"
    rows, videos = [], [(split, i) for split, count in counts.items() for i in range(count)]
    for number, (split, i) in enumerate(videos):
        name, category = video_name(split, i), CATEGORIES[number % len(CATEGORIES)]
        place = Path(split, category) if setting == "S4" else Path(split)
        seen = place / name / name if setting == "S4" else Path(name) / f"{name}.mp4"
        rows.append([name, 0, category, split])
        for frame in range(FRAMES):
            image, mask = picture(number, frame, width, height)
            write_picture(data / "visual_frames" / f"{seen}_{frame + 1}.png", image)
            if (setting, split) != ("S4", "train") or frame == 0:
                write_picture(data / "gt_masks" / place / name / f"{name}_{frame + 1}.png", mask)
        write_sound(data / "audio_wav" / place / f"{name}.wav", tone(pitch(number), FRAMES))
    header = ["name", "start", "category", "split"]
    keep = slice(None) if setting == "S4" else [0, 1, 3]
    write_table(base / f"{setting.lower()}_meta_data.csv", np.array([header, *rows])[:, keep])
    return root


def write_table(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def video_name(split: str, i: int) -> str:
    """The name of a split's video i, as odd as those of the data set may be."""
    return f"-{split}{i}_x"


def pitch(number: int) -> float:
    """The tone of video `number` of a tree, Hz."""
    return 400.0 * 1.5 ** (number % 6)


def picture(number: int, frame: int, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """A frame (RGB) and its mask (L, 0 and 255); the bright thing moves from frame to frame."""
    inside = thing(number, frame, width, height)
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[...] = (10, 20, 10 + 5 * frame)
    rgb[inside] = (250, 255 - 20 * (number % 6), 230)
    return Image.fromarray(rgb), Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))


def thing(number: int, frame: int, width: int, height: int) -> np.ndarray:
    """Where the bright thing of a frame is, (height, width) bool: a disc of about an eighth."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.hypot(x - 0.3 - 0.1 * frame, y - 0.35 - 0.06 * (number % 6)) < 0.2
