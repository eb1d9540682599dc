"""A cache of fetched media: folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from avcore.support import MediaError

LEFTOVER = ".unfinished-"


def cache_folder(cache: str | Path | None = None) -> Path:
    """Where fetched media are kept: `cache`, else $AVCORE_CACHE, else ~/.cache/avcore."""
    chosen = cache or os.environ.get("AVCORE_CACHE") or Path.home() / ".cache" / "avcore"
    return Path(chosen).expanduser()


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def put_in_place(made: Path, target: Path) -> None:
    """Rename the finished folder `made` to `target`; an older one goes to `made`'s workplace."""
    if target.exists():
        os.replace(target, made.with_name(f"{made.name}.old"))
    os.replace(made, target)


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
