"""A media folder: pictures, sounds and spoken names by class, checked and made ready.

The layout, the same for the stamps that `avcore.data.media.stamps` fetches and for a folder of
one's own::

    CREDIT.txt              optional: shown wherever the media are shown
    GROUPS.txt              optional: lines such as "animal: lion, sea lion"
    sea_lion/               one folder a class; its name is the class ("_" reads as a space)
        any name.png        cut-out pictures: one object on a transparent ground
        any name.wav        sounds of the class (WAV, OGG, FLAC, MP3; video containers too)
        words/              optional: its spoken name, one recording a file,
            en.flac         named by the language,
            fr-anna.ogg     with the speaker after a hyphen when there are several

Files with other endings, and those whose names begin with a dot, are left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avcore.data.media import read
from avcore.data.media.cleaning import FRAME_RATE, PAD, active, envelope, same_recordings, tidy
from avcore.support import MediaError

CREDIT, GROUPS = "CREDIT.txt", "GROUPS.txt"
FAINT = 12  # of 255: alpha up to this is dirt
SMALLEST_PICTURE = 16  # pixels along the longer side
SHORTEST = 0.12  # s that are heard, of a sound or a spoken name
LONGEST_NAME = 3.0  # s; what is longer says more than a name
SOUNDS = read.SOUNDS + read.BY_CONTAINER


@dataclass(frozen=True)
class Problem:
    """Something of a media folder that cannot be used: the file or class, and the reason."""

    item: str
    reason: str

    def __str__(self) -> str:
        return f"{self.item}: {self.reason}"


@dataclass(frozen=True)
class Spoken:
    """A spoken name: (n,) float32 with `PAD` s of silence around it, and who says it."""

    language: str
    speaker: str
    wave: np.ndarray


@dataclass(frozen=True)
class MediaClass:
    """The usable media of one class, in the order of their file names.

    Attributes
    ----------
    name
        Readable: the folder's name with spaces.
    pictures
        By file name: (H, W, 4) uint8 RGBA.
    sounds
        By file name: (n,) float32, tidied.
    words
        Its spoken names.
    group
        What GROUPS.txt says it is, such as "animal"; "" when that does not name it.
    """

    name: str
    folder: str
    pictures: dict[str, np.ndarray]
    sounds: dict[str, np.ndarray]
    words: tuple[Spoken, ...]
    group: str = ""


def read_folder(
    folder: str | Path, sample_rate: int = 16_000, photographs: bool = False
) -> tuple[list[MediaClass], list[Problem]]:
    """Read and check a media folder; a class needs a picture and a sound of its own.

    Parameters
    ----------
    sample_rate
        Of all sounds, Hz.
    photographs
        Pictures may be whole photographs, without alpha, and a class may have either pictures or
        sounds alone (`avcore.data.media.elsewhere`).

    Returns
    -------
    The usable classes by name, and everything that is wrong with the folder.

    Raises
    ------
    MediaError
        The folder is missing or has no class folders.
    """
    folder = Path(folder)
    problems: list[Problem] = []
    pictured = read.read_image if photographs else read_picture
    classes = [
        _read_class(folder, path, sample_rate, pictured, problems) for path in class_folders(folder)
    ]
    groups = read_groups(folder)
    classes = [replace(item, group=groups.get(item.name.casefold(), "")) for item in classes]
    _drop_same_names(classes, problems)
    _drop_same_pictures(classes, problems)
    if not photographs:  # only seen classes claim a recording
        classes = _with(("pictures",), classes, problems)
    _drop_same_sounds(classes, sample_rate, problems)
    kinds = ("pictures", "sounds") if photographs else ("sounds",)
    return _with(kinds, classes, problems), problems


def class_folders(folder: Path) -> list[Path]:
    """The class folders of a media folder, by name."""
    if not folder.is_dir():
        raise MediaError(f"{folder}: there is no such folder")
    found = [p for p in _listed(folder) if p.is_dir() and not p.name.startswith(".")]
    if not found:
        raise MediaError(f"{folder}: has no class folders (each class wants a folder of its own)")
    return found


def class_names(folder: str | Path) -> list[str]:
    """The names of a media folder's classes, usable or not, as people read them."""
    return [readable(path.name) for path in class_folders(Path(folder))]


def read_credit(folder: str | Path) -> str:
    """The credit line of a media folder; empty when it has none."""
    return _text(Path(folder) / CREDIT).strip()


def read_groups(folder: str | Path) -> dict[str, str]:
    """The group of each class that GROUPS.txt names, by the class's name in small letters."""
    groups: dict[str, str] = {}
    for line in _text(Path(folder) / GROUPS).splitlines():
        group, colon, names = line.partition(":")
        if colon:
            groups |= {readable(name).casefold(): group.strip() for name in names.split(",")}
    return groups


def _text(path: Path) -> str:
    """What a text file says; nothing when it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""


def readable(name: str) -> str:
    """A class name for people: the folder's name with spaces for underscores."""
    return " ".join(name.replace("_", " ").split())


def _with(
    kinds: Sequence[str], classes: list[MediaClass], problems: list[Problem]
) -> list[MediaClass]:
    """The classes that have media of any of these kinds."""
    lacking = [item.folder for item in classes if not any(getattr(item, kind) for kind in kinds)]
    problems += [Problem(folder, f"has no usable {' or '.join(kinds)}") for folder in lacking]
    return [item for item in classes if item.folder not in lacking]


def _read_class(
    folder: Path,
    path: Path,
    sample_rate: int,
    read_picture: Callable[[Path], np.ndarray],
    problems: list[Problem],
) -> MediaClass:
    pictures: dict[str, np.ndarray] = {}
    sounds: dict[str, np.ndarray] = {}
    words: list[Spoken] = []
    for file in _media_files(path):
        try:
            if file.suffix.lower() in read.PICTURES:
                pictures[file.name] = read_picture(file)
            else:
                sounds[file.name] = read_sound(file, sample_rate)
        except MediaError as error:
            problems.append(_problem(folder, file, error))
    for file in _media_files(path / "words"):
        try:
            words.append(_read_word(file, sample_rate))
        except MediaError as error:
            problems.append(_problem(folder, file, error))
    return MediaClass(readable(path.name), path.name, pictures, sounds, tuple(words))


def _media_files(path: Path) -> Iterator[Path]:
    endings = SOUNDS if path.name == "words" else SOUNDS + read.PICTURES
    for file in _listed(path):
        if file.is_file() and file.suffix.lower() in endings and not file.name.startswith("."):
            yield file


def _listed(path: Path) -> list[Path]:
    """What a folder holds, by name; nothing when it is not there, or no longer."""
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _problem(folder: Path, file: Path, error: MediaError) -> Problem:
    return Problem(file.relative_to(folder).as_posix(), str(error).removeprefix(f"{file}: "))


def read_picture(path: Path) -> np.ndarray:
    """Read a cut-out and crop it to its object, (H, W, 4) uint8 RGBA."""
    image = read.read_cutout(path).copy()
    seen = image[..., 3] > FAINT
    image[~seen] = 0
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if max(image.shape[:2]) < SMALLEST_PICTURE:
        raise MediaError(
            f"{path}: the object is {image.shape[1]}x{image.shape[0]} pixels; "
            f"{SMALLEST_PICTURE} along the longer side are needed"
        )
    return image


def _read_word(path: Path, sample_rate: int) -> Spoken:
    wave = read_sound(path, sample_rate)
    if (length := len(wave) / sample_rate - 2 * PAD) > LONGEST_NAME:
        raise MediaError(
            f"{path}: lasts {length:.1f} s; a spoken name lasts at most {LONGEST_NAME:.0f} s"
        )
    language, _, speaker = path.stem.partition("-")
    return Spoken(language, speaker, wave)


def read_sound(path: Path, sample_rate: int) -> np.ndarray:
    """Read a recording and tidy it; silent and too short ones are errors."""
    wave = tidy(read.read_audio(path, sample_rate), sample_rate)
    if len(wave) == 0:
        raise MediaError(f"{path}: the recording is silent")
    heard = active(envelope(wave, sample_rate)).sum() / FRAME_RATE
    if heard < SHORTEST:
        raise MediaError(f"{path}: only {heard:.2f} s are heard; {SHORTEST} s are needed")
    return wave


def _drop_same_names(classes: list[MediaClass], problems: list[Problem]) -> None:
    """Two folders whose names read alike would be one class under two numbers."""
    first: dict[str, str] = {}
    for item in list(classes):
        other = first.setdefault(item.name.casefold(), item.folder)
        if other != item.folder:
            problems.append(Problem(item.folder, f"reads like the class folder {other!r}"))
            classes.remove(item)


def _drop_same_pictures(classes: list[MediaClass], problems: list[Problem]) -> None:
    """A picture belongs to one class, the first by name; elsewhere it would be a wrong answer."""
    first: dict[str, str] = {}
    for item in classes:
        for name, picture in list(item.pictures.items()):
            file = f"{item.folder}/{name}"
            key = hashlib.sha256(picture.tobytes()).hexdigest() + str(picture.shape)
            if key in first:
                problems.append(Problem(file, f"is the same picture as {first[key]}"))
                del item.pictures[name]
            first.setdefault(key, file)


def _drop_same_sounds(classes: list[MediaClass], sample_rate: int, problems: list[Problem]) -> None:
    """A recording belongs to one class, the first by name, which then is the only one to sound so.

    Within a class too: a copy would be heard in training and again in the test.
    """
    entries = [(item, name) for item in classes for name in item.sounds]
    pairs = same_recordings([item.sounds[name] for item, name in entries], sample_rate)
    first = {later: earlier for earlier, later in sorted(pairs, reverse=True)}
    for later, earlier in sorted(first.items()):
        item, name = entries[later]
        other, other_name = entries[earlier]
        reason = f"is the same recording as {other.folder}/{other_name}"
        problems.append(Problem(f"{item.folder}/{name}", reason))
        del item.sounds[name]
