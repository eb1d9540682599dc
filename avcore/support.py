"""What every other module leans on: errors, scales, optional imports, safe writing."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Generic, TypeVar, overload

SCALES = ("smoke", "quick", "full")
T = TypeVar("T")


class AvcoreError(ValueError):
    """A mistake that the caller can mend; the message is one clear sentence."""


class MediaError(AvcoreError):
    """A picture, recording or media folder that cannot be used."""


class CheckpointError(AvcoreError):
    """A file that is not a checkpoint this library can load."""


class TrainingError(AvcoreError):
    """A training run that cannot go on, such as one whose loss is not finite."""


@dataclass(frozen=True)
class Splits(Generic[T]):
    """The three parts of a data set: to learn from, to choose on, to be measured on."""

    train: T
    val: T
    test: T


@overload
def choose(known: Mapping[str, T], name: Any, what: str) -> T: ...
@overload
def choose(known: Iterable[str], name: Any, what: str) -> str: ...
def choose(known: Mapping[str, Any] | Iterable[str], name: Any, what: str) -> Any:
    """Return the value of `name` in a mapping, or `name` itself if it is among the names given.

    Raises
    ------
    AvcoreError
        When there is no such name; it says `what` was asked for and lists the names.
    """
    names = list(known)
    if name not in names:
        raise AvcoreError(f"unknown {what} {name!r}; choose one of {', '.join(names)}")
    return known[name] if isinstance(known, Mapping) else name


def by_scale(scale: str, *, smoke: T, quick: T, full: T) -> T:
    """Return the value that belongs to `scale`: one of "smoke", "quick", "full"."""
    return choose({"smoke": smoke, "quick": quick, "full": full}, scale, "scale")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional `module`, or say which extra of avcore brings it.

    Raises
    ------
    ImportError
        With the command to run, when the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ImportError(
            f"this needs the package {module.split('.')[0]!r}; run: pip install 'avcore[{extra}]'"
        ) from error


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file that appears at `path` only when it has been written whole.

    The text or bytes go to a temporary neighbour, are flushed to the disk and renamed into
    place. On any error (a full disk, a killed run) the old file stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_leftovers(path: str | Path) -> None:
    """Remove the temporary neighbours of `path` that writers left which were killed."""
    path = Path(path)
    ours = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}\.tmp")
    for file in path.parent.iterdir() if path.parent.is_dir() else ():
        if ours.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
