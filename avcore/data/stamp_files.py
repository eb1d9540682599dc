"""Which files of the stamps' package make a class: by what their descriptions say."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np


@dataclass
class Group:
    """The files of one class-to-be: file name -> bytes."""

    stems: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    sounds: dict[str, bytes] = field(default_factory=dict)
    words: dict[str, bytes] = field(default_factory=dict)


def group(files: dict[str, bytes]) -> tuple[dict[str, Group], list[str]]:
    """Sort the animals' files into classes by description; also what is left out.

    Parameters
    ----------
    files
        Path within the animals' folder -> bytes.
    """
    groups: dict[str, Group] = defaultdict(Group)
    left_out = []
    pictures = [name for name in sorted(files) if name.endswith((".png", ".svg"))]
    stems = {name[:-4] for name in pictures}
    for picture in pictures:
        stem = picture[:-4]
        drawn = {"cartoon", "toys"} & set(PurePosixPath(picture).parts) or picture.endswith(".svg")
        if drawn:
            left_out.append(f"{picture}: a drawing or a toy by its place")
            continue
        base = PurePosixPath(stem).name
        item = groups[describe(files.get(f"{stem}.txt", b"")) or base]
        item.stems.append(base)
        item.pictures[f"{base}.png"] = files[picture]
        if f"{stem}.ogg" in files:
            item.sounds[f"{base}.ogg"] = files[f"{stem}.ogg"]
        _add_words(item, stem, base, files)
    named = {}
    for text, item in groups.items():
        if item.sounds:
            named[class_name(text, item.stems)] = item
        else:
            left_out += [f"{name}: no recording of it" for name in item.pictures]
    left_out += [
        f"{name}: no picture of it"
        for name in files
        if name.endswith(".ogg") and "_desc" not in name and name[:-4] not in stems
    ]
    return named, left_out


def _add_words(item: Group, stem: str, base: str, files: dict[str, bytes]) -> None:
    """Add the spoken names of one stamp; a recording that the class has already is not repeated."""
    pattern = re.compile(re.escape(stem) + r"_desc(?:_(\w+))?(\.\w+)")
    for name in sorted(files):
        found = pattern.fullmatch(name)
        if found and files[name] not in item.words.values():
            language = found[1] or "en"
            first = not any(word.startswith(language + ".") for word in item.words)
            item.words[f"{language}{'' if first else '-' + base}{found[2]}"] = files[name]


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
