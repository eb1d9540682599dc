"""Which files of the stamps' package make a class: animals by description, other things by a list.

An animal's class is what its description says. The descriptions of other things are sentences
("Remember to flush the toilet!"), and many of their recordings are of something else (a bugle for
a pair of boots), so `THINGS` lists the photographs that make the sound of their recording.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

ANIMALS = "animals/"
THINGS = {  # stem -> class and group
    "hobbies/music/percussion/cymbal_crash": ("cymbal", "instrument"),
    "hobbies/music/percussion/drum_tomtom_floor": ("tom", "instrument"),
    "hobbies/music/percussion/drumkit": ("drum kit", "instrument"),
    "hobbies/music/string/cello": ("cello", "instrument"),
    "hobbies/music/string/violin": ("violin", "instrument"),
    "hobbies/music/wind/bassoon": ("bassoon", "instrument"),
    "food/fruit/apple_red": ("apple", "thing"),
    "hobbies/camera_35mm": ("camera", "thing"),
    "household/arttools/scissors_small_closed": ("scissors", "thing"),
    "household/arttools/scissors_small_open": ("scissors", "thing"),
    "household/kettle": ("kettle", "thing"),
    "household/rubberduck": ("rubber duck", "thing"),
    "household/toilet": ("toilet", "thing"),
    "household/tools/hammer": ("hammer", "thing"),
    "household/tools/mallet_metal": ("mallet", "thing"),
    "household/tools/saw": ("saw", "thing"),
    "vehicles/emergency/firetruck": ("fire engine", "thing"),
}
NO_NAMES = ("household/toilet",)  # what is said of it is the sentence above
PLAINER = {"baby sheep": "lamb", "xanthia": "xanthia moth"}  # names of animals


@dataclass
class Group:
    """The files of one class-to-be: file name in the media folder -> file of the package."""

    kind: str  # "animal", "instrument" or "thing"
    stems: list[str] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    sounds: dict[str, Path] = field(default_factory=dict)
    words: dict[str, Path] = field(default_factory=dict)


def wanted(name: str) -> bool:
    """Whether a file, by its path within the stamps' folder, is of an animal or a listed thing."""
    return name.startswith(ANIMALS) or re.sub(r"(_desc\w*)?\.\w+$", "", name) in THINGS


def group(root: Path) -> tuple[dict[str, Group], list[str]]:
    """Sort the files of the stamps' folder into classes by name; also what is left out."""
    files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    groups, left_out = _animals(files)
    for stem, (name, kind) in THINGS.items():
        if f"{stem}.png" in files:
            _add(groups.setdefault(name, Group(kind)), stem, files)
    stems = {name[:-4] for name in files if name.endswith((".png", ".svg"))}
    left_out += [
        f"{name}: no picture of it"
        for name in files
        if name.endswith(".ogg") and "_desc" not in name and name[:-4] not in stems
    ]
    return groups, left_out


def _animals(files: dict[str, Path]) -> tuple[dict[str, Group], list[str]]:
    """The animals that have a recording: pictures of one description are one class."""
    groups: dict[str, Group] = defaultdict(lambda: Group("animal"))
    left_out = []
    for picture in files:
        if not picture.startswith(ANIMALS) or not picture.endswith((".png", ".svg")):
            continue
        if {"cartoon", "toys"} & set(PurePosixPath(picture).parts) or picture.endswith(".svg"):
            left_out.append(f"{picture}: a drawing or a toy by its place")
            continue
        stem = picture[:-4]
        said = describe(files[f"{stem}.txt"].read_bytes()) if f"{stem}.txt" in files else ""
        _add(groups[said or PurePosixPath(stem).name], stem, files)
    named = {}
    for text, item in groups.items():
        if item.sounds:
            name = class_name(text, item.stems)
            named[PLAINER.get(name, name)] = item
        else:
            left_out += [f"{name}: no recording of it" for name in item.pictures]
    return named, left_out


def _add(item: Group, stem: str, files: dict[str, Path]) -> None:
    """Add the picture, the recording and the spoken names of one stamp."""
    base = PurePosixPath(stem).name
    item.stems.append(base)
    item.pictures[f"{base}.png"] = files[f"{stem}.png"]
    if f"{stem}.ogg" in files:
        item.sounds[f"{base}.ogg"] = files[f"{stem}.ogg"]
    if stem in NO_NAMES:
        return
    pattern = re.compile(re.escape(stem) + r"_desc(?:_(\w+))?(\.\w+)")
    known = {path.read_bytes() for path in item.words.values()}
    for name, path in files.items():
        found = pattern.fullmatch(name)
        if found and path.read_bytes() not in known:
            language = found[1] or "en"
            first = not any(word.startswith(language + ".") for word in item.words)
            item.words[f"{language}{'' if first else '-' + base}{found[2]}"] = path


def describe(text: bytes) -> str:
    """What a description file says in English, without article, brackets and full stop."""
    line = (text.decode("utf-8", "replace").splitlines() or [""])[0]
    line = re.sub(r"\([^)]*\)", "", line).strip(" .!")
    return re.sub(r"^(an?|the)\s+", "", line, flags=re.IGNORECASE)


def class_name(description: str, stems: list[str]) -> str:
    """The file name where the description has its words ("rooster"), else the description."""
    said = set(description.casefold().split())
    for stem in sorted(stems, key=len):
        words = re.split(r"[-_\s]+", stem)
        if {word.casefold() for word in words} <= said:
            return " ".join(words)
    return description


def is_drawing(picture: np.ndarray) -> bool:
    """Whether eight colours (of 64 levels a channel) cover over 85 % of an RGBA picture's object.

    In the package's photographs they cover at most 60 %, in its drawings mostly over 90 %.
    """
    colours = picture[..., :3][picture[..., 3] > 200].astype(np.int64) // 4
    if len(colours) == 0:
        return False
    counts = np.unique(colours @ np.array([1, 64, 4096]), return_counts=True)[1]
    return bool(np.sort(counts)[-8:].sum() > 0.85 * len(colours))
