"""A cache of fetched media: folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from avcore.support import MediaError

LEFTOVER = ".unfinished-"
MANIFEST = "manifest.json"  # of a fetched folder: facts about it, and the SHA-256 of every file


def cache_folder(cache: str | Path | None = None) -> Path:
    """Where fetched media are kept: `cache`, else $AVCORE_CACHE, else ~/.cache/avcore."""
    chosen = cache or os.environ.get("AVCORE_CACHE") or Path.home() / ".cache" / "avcore"
    return Path(chosen).expanduser()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(folder: Path) -> str:
    """One SHA-256 over the names and bytes of all files, however they were packed."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def write_manifest(folder: Path, **facts: object) -> None:
    """Write what `is_whole` compares with; the facts are for people."""
    text = json.dumps({**facts, "files": _hashes(folder)}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def is_whole(folder: Path, **facts: object) -> bool:
    """Whether a folder has its manifest with these facts, and no file missing, other or foreign."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        same = all(manifest.get(key) == value for key, value in facts.items())
        return same and manifest["files"] == _hashes(folder)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return False


def _hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of all files but the manifest and those that a dot hides."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {
        name: sha256(path)
        for name, path in names.items()
        if path.is_file() and name != MANIFEST and "/." not in f"/{name}"
    }


def fetched(folder: Path, make: Callable[[Path], None], needed: int = 0, **facts: object) -> Path:
    """The folder of the cache, made first unless it is whole (`is_whole`, with these facts).

    Parameters
    ----------
    make
        Called with the path of the folder to make. The folder it makes, with a manifest, is then
        renamed into place, and what was there before is removed.
    needed
        Bytes that must be free.

    Raises
    ------
    MediaError
        What `make` raises; the disk is full, or the cache may not be written.
    """
    if is_whole(folder, **facts):
        return folder
    with workplace(folder.parent, needed) as work:
        if not is_whole(folder, **facts):  # else another process was first
            make(made := work / folder.name)
            if folder.exists():
                os.replace(folder, work / f"{folder.name}.old")
            os.replace(made, folder)
    return folder


@contextlib.contextmanager
def workplace(root: Path, needed: int = 0) -> Iterator[Path]:
    """A temporary folder in the cache `root`, removed afterwards, for one process at a time.

    It lies beside what it makes, so that a rename puts that into place. What killed runs left
    behind is removed first.

    Parameters
    ----------
    needed
        Bytes that must be free.

    Raises
    ------
    MediaError
        The disk is full or the folder may not be written.
    """
    with _plain_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            for leftover in root.glob(f"{LEFTOVER}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            if shutil.disk_usage(root).free < needed:
                raise OSError(errno.ENOSPC, f"{needed / 1e6:.0f} MB must be free")
            with tempfile.TemporaryDirectory(prefix=LEFTOVER, dir=root) as work:
                yield Path(work)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Wait until no other process works in `root`; a killed process gives its lock back."""
    try:
        import fcntl
    except ImportError:  # not on Windows, where apt is not either
        yield
        return
    with open(root / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _plain_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise MediaError(f"{root}: the disk is full ({error.strerror})") from error
        raise MediaError(f"{root}: cannot be written ({error.strerror or error})") from error
