"""The animals of the Tux Paint stamps: photographs, recordings and spoken names, GPL-2.

The Debian package `tuxpaint-stamps-default` holds cut-out pictures (NAME.png), for some of them a
recording (NAME.ogg), what they are (NAME.txt) and that said aloud (NAME_desc.ogg in English,
NAME_desc_LANG.ogg in ten other languages). `fetch` makes a media folder of them, in the layout of
`avcore.data.folder`:

- Pictures with one description are one class ("A lion." twice is one class with two pictures).
- Only photographs: nothing from a folder of cartoons or toys, and no picture of which eight
  colours cover most (`stamp_files.is_drawing`).
- Only classes with a photograph and a recording that pass the checks of `read_folder`: nothing
  silent, and no recording that an earlier class has.

What was left out, and why, stands in the folder's `manifest.json`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from avcore.data import deb
from avcore.data.apt import Progress, download
from avcore.data.cache import cache_folder, put_in_place, sha256, workplace
from avcore.data.cleaning import tidy
from avcore.data.folder import CREDIT, read_folder
from avcore.data.read import read_audio, read_image
from avcore.data.stamp_files import Group, group, is_drawing
from avcore.support import MediaError, require

PACKAGE = "tuxpaint-stamps-default"
INSIDE = "usr/share/tuxpaint/stamps/animals/"  # what is used of the package
LICENCE = f"usr/share/doc/{PACKAGE}/copyright"
KNOWN_PACKAGE = "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"  # 2022.06.04-1
KNOWN_ANIMALS = {  # version -> `contents`, the same however it was packed
    "2022.06.04": "e634d29f2ca73911b44d2850066e876d73ad6b92a9acdc7e781891ea9314c094"
}
NEEDED = 300_000_000  # bytes of disk while the folder is made
WORD_RATE = 16_000  # Hz, of the spoken names as they are kept
FOLDER, MANIFEST = "tuxpaint-stamps", "manifest.json"
CREDIT_TEXT = (
    "Photographs, recordings and spoken names: Tux Paint stamps {version}, "
    "copyright 2002-2022 Bill Kendrick and the contributors to Tux Paint (tuxpaint.org), "
    "GNU General Public License version 2."
)


def available(cache: str | Path | None = None) -> Path | None:
    """The media folder when it has been fetched and every file of it is as it was, else None."""
    folder = cache_folder(cache) / FOLDER
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        whole = all(sha256(folder / name) == want for name, want in manifest["files"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return folder if whole else None


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
    if (ready := available(cache)) is not None:
        return ready
    root = cache_folder(cache)
    with workplace(root, NEEDED) as work:
        if (ready := available(cache)) is not None:  # another process was first
            return ready
        promised = ""
        if package is None:
            package, promised = download(PACKAGE, work, report)
        arrange(Path(package), work / FOLDER, report, promised)
        put_in_place(work / FOLDER, root / FOLDER)
    return root / FOLDER


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
    version, digest = _inspect(package, promised)
    animals = dict(deb.files(package, lambda name: name.startswith(INSIDE) or name == LICENCE))
    licence = animals.pop(LICENCE, b"")
    note = "" if digest == KNOWN_PACKAGE else _compare(package, version, animals)
    if note:
        progress(note, 1.0)
    progress("unpack", 1.0)
    groups, left_out = group({name[len(INSIDE) :]: data for name, data in animals.items()})
    for name, files in groups.items():
        _write_class(target / name.replace(" ", "_"), files)
    left_out += _keep_words(target, progress)
    left_out += _keep_usable(target, progress)
    (target / CREDIT).write_text(CREDIT_TEXT.format(version=version) + "\n", encoding="utf-8")
    (target / "copyright").write_bytes(licence)
    _write_manifest(
        target, version=version, package_sha256=digest, note=note, left_out=sorted(left_out)
    )


def _inspect(package: Path, promised: str) -> tuple[str, str]:
    """The version and SHA-256 of a package file, which must be that of the stamps."""
    if not package.is_file():
        raise MediaError(f"{package}: there is no such file")
    digest = sha256(package)
    if promised and digest != promised:
        raise MediaError(f"{package.name} came with a wrong checksum; please fetch it again")
    fields = deb.control(package)
    if fields.get("Package") != PACKAGE:
        raise MediaError(f"{package}: is the package {fields.get('Package')!r}, not {PACKAGE!r}")
    return fields.get("Version", "unknown"), digest


def _compare(package: Path, version: str, animals: dict[str, bytes]) -> str:
    """Compare with what is known; a sentence for a version that is not, else ""."""
    known = KNOWN_ANIMALS.get(version.partition("-")[0])
    if known is None:
        return f"version {version} of {PACKAGE} is not the one this was made with (2022.06.04)"
    if known != contents(animals):
        raise MediaError(f"{package}: the checksum of its animals is wrong; is it damaged?")
    return ""


def contents(files: dict[str, bytes]) -> str:
    """One SHA-256 over names and bytes, however the files were packed."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def _write_class(folder: Path, files: Group) -> None:
    (folder / "words").mkdir(parents=True)
    for name, data in {**files.pictures, **files.sounds}.items():
        (folder / name).write_bytes(data)
    for name, data in files.words.items():
        (folder / "words" / name).write_bytes(data)


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


def _write_manifest(target: Path, **facts: object) -> None:
    files = {
        path.relative_to(target).as_posix(): sha256(path)
        for path in sorted(target.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({**facts, "files": files}, indent=1, ensure_ascii=False)
    (target / MANIFEST).write_text(text + "\n", encoding="utf-8")
