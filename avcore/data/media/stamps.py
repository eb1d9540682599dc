"""The photographs of the Tux Paint stamps, with recordings and spoken names; GPL-2 or later.

The Debian package `tuxpaint-stamps-default` holds cut-out pictures (NAME.png), for some of them a
recording (NAME.ogg), what they are (NAME.txt) and that said aloud (NAME_desc.ogg in English,
NAME_desc_LANG.ogg in ten other languages). `fetch` makes a media folder of them, in the layout of
`avcore.data.media.folder`:

- Animals with one description are one class ("A lion." twice is one class with two pictures).
- Instruments and other things are those of `stamp_files.THINGS`.
- Only photographs: nothing from a folder of cartoons or toys, and no picture of which eight
  colours cover most (`stamp_files.is_drawing`).
- Only classes with a photograph and a recording that pass the checks of `read_folder`: nothing
  silent, and no recording that an earlier class has.

What was left out, and why, stands in the folder's `manifest.json`. Four recordings (camera,
hammer, saw, toilet) have a rate of 8 kHz, so that their bandwidth gives them away. Most animals
have a spoken English name, the other things have names in other languages only.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np

from avcore.data.media import deb
from avcore.data.media.apt import Progress, download
from avcore.data.media.cache import cache_folder, contents, fetched, is_whole, write_manifest
from avcore.data.media.cleaning import tidy
from avcore.data.media.folder import CREDIT, GROUPS, class_folders, read_folder
from avcore.data.media.read import read_audio, read_image
from avcore.data.media.stamp_files import Group, group, is_drawing, wanted
from avcore.support import MediaError, require

PACKAGE = "tuxpaint-stamps-default"
INSIDE = "usr/share/tuxpaint/stamps/"  # in the package
LICENCE = f"usr/share/doc/{PACKAGE}/copyright"
KNOWN_PACKAGE = "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"  # 2022.06.04-1
KNOWN_FILES = {  # version -> `contents`, the same however it was packed
    "2022.06.04": "1af3d26301a0b12452eefb1c18390d1b688dcc1aa5b0fa6d53f6c88baa1f55b7"
}
NEEDED = 300_000_000  # bytes of disk while the folder is made
WORD_RATE = 16_000  # Hz, of the spoken names as they are kept
FOLDER = "tuxpaint-stamps"
EDITION = 3  # of the folder; one that an earlier edition of this module made is made anew
CREDIT_TEXT = (
    "Photographs, recordings and spoken names: Tux Paint stamps {version}, "
    "copyright 2002-2022 Bill Kendrick and the contributors to Tux Paint (tuxpaint.org), "
    "GNU General Public License version 2 or later."
)


def available(cache: str | Path | None = None) -> Path | None:
    """The media folder when it has been fetched and every file of it is as it was, else None."""
    folder = cache_folder(cache) / FOLDER
    return folder if is_whole(folder, edition=EDITION) else None


def fetch(
    cache: str | Path | None = None,
    progress: Progress | None = None,
    package: str | Path | None = None,
) -> Path:
    """Make the media folder of the stamps, unless it is there; return its path.

    Parameters
    ----------
    cache
        See `cache_folder`. The folder appears in it when it is complete, by a rename; a killed
        run leaves nothing that reads as whole, and the next run removes what it left.
    progress
        Called as (what, fraction done); what is "package lists", "download", "unpack", "words",
        "check" or a sentence to show.
    package
        The .deb file, when it was downloaded by other means; else `apt-get download` is used.

    Raises
    ------
    MediaError
        No apt, no network, a wrong checksum, a full disk: one sentence.
    """
    report = progress or (lambda what, fraction: None)

    def make(target: Path) -> None:
        found, promised = package, ""
        if found is None:
            found, promised = download(PACKAGE, target.parent, report)
        arrange(Path(found), target, report, promised)

    return fetched(cache_folder(cache) / FOLDER, make, NEEDED, edition=EDITION)


def arrange(package: Path, target: Path, progress: Progress, promised: str = "") -> None:
    """Make a media folder of a package file.

    Parameters
    ----------
    target
        The folder to make; it must not exist.
    promised
        The SHA-256 that the package must have, if it is known.
    """
    progress("unpack", 0.0)
    version, digest = deb.identify(package, PACKAGE, promised)
    unpacked = target.with_name(f"{target.name}-unpacked")
    deb.unpack(package, unpacked, lambda name: name == LICENCE or _is_wanted(name))
    files = unpacked / INSIDE
    note = "" if digest == KNOWN_PACKAGE else _compare(package, version, files)
    if note:
        progress(note, 1.0)
    progress("unpack", 1.0)
    groups, left_out = group(files)
    for name, item in groups.items():
        _write_class(target / name.replace(" ", "_"), item)
    left_out += _keep_words(target, progress)
    left_out += _keep_usable(target, progress)
    _write_texts(target, {name: item.kind for name, item in groups.items()}, version)
    if (unpacked / LICENCE).is_file():
        shutil.copyfile(unpacked / LICENCE, target / "copyright")
    write_manifest(
        target,
        edition=EDITION,
        version=version,
        package_sha256=digest,
        note=note,
        left_out=sorted(left_out),
    )


def _is_wanted(name: str) -> bool:
    return name.startswith(INSIDE) and wanted(name.removeprefix(INSIDE))


def _compare(package: Path, version: str, files: Path) -> str:
    """Compare with what is known; a sentence for a version that is not, else ""."""
    known = KNOWN_FILES.get(version.partition("-")[0])
    if known is None:
        return f"version {version} of {PACKAGE} is not the one this was made with (2022.06.04)"
    if known != contents(files):
        raise MediaError(f"{package}: the checksum of its files is wrong; is it damaged?")
    return ""


def _write_class(folder: Path, item: Group) -> None:
    (folder / "words").mkdir(parents=True)
    for name, path in {**item.pictures, **item.sounds}.items():
        shutil.copyfile(path, folder / name)
    for name, path in item.words.items():
        shutil.copyfile(path, folder / "words" / name)


def _keep_words(target: Path, progress: Progress) -> list[str]:
    """Replace the spoken names by tidied ones at 16 kHz, which load 20 times faster."""
    soundfile = require("soundfile", "media")
    left_out = []
    paths = sorted(target.glob("*/words/*"))
    for number, path in enumerate(paths):
        progress("words", number / len(paths))
        try:
            wave = tidy(read_audio(path, WORD_RATE), WORD_RATE)
            reason = "the recording is silent"
        except MediaError as error:
            wave, reason = np.zeros(0, np.float32), str(error).removeprefix(f"{path}: ")
        path.unlink()
        if len(wave):
            scaled = 0.9 * wave / np.abs(wave).max()
            soundfile.write(path.with_suffix(".flac"), scaled, WORD_RATE, subtype="PCM_16")
        else:
            left_out.append(f"{path.relative_to(target).as_posix()}: {reason}")
    progress("words", 1.0)
    return left_out


def _keep_usable(target: Path, progress: Progress) -> list[str]:
    """Remove drawings and everything that `read_folder` finds wrong; say what and why."""
    left_out = []
    progress("check", 0.0)
    for path in sorted(target.glob("*/*.png")):
        if _drawn(path):
            left_out.append(f"{path.relative_to(target).as_posix()}: a drawing")
            path.unlink()
    for problem in read_folder(target)[1]:
        left_out.append(str(problem))
        path = target / problem.item
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    progress("check", 1.0)
    return left_out


def _drawn(path: Path) -> bool:
    try:
        return is_drawing(read_image(path))
    except MediaError:
        return False  # the check that follows names it


def _write_texts(target: Path, kinds: dict[str, str], version: str) -> None:
    """The credit, and a line for each group of classes (`folder.GROUPS`)."""
    members = defaultdict(list)
    for path in class_folders(target):
        name = path.name.replace("_", " ")
        members[kinds[name]].append(name)
    lines = [f"{kind}: {', '.join(names)}\n" for kind, names in sorted(members.items())]
    (target / GROUPS).write_text("".join(lines), encoding="utf-8")
    (target / CREDIT).write_text(CREDIT_TEXT.format(version=version) + "\n", encoding="utf-8")
