"""Fetching the photographs, recordings and words that some sections use, unless they are there."""

from __future__ import annotations

import subprocess
import sys

from avcore.data.media import elsewhere, stamps, words
from avcore.data.media.folder import class_names
from avcore.support import MediaError


def fetch_media() -> int:
    """Fetch what is missing, each by its command, which says in a sentence what went wrong.

    Returns 0 when all of it is there, else 1: the book goes on without it.
    """
    there = {"stamps": _has_stamps, "elsewhere": _has_elsewhere, "words": _has_words}
    failed = [name for name, is_there in there.items() if not is_there() and _run(name)]
    return int(bool(failed))


def _has_stamps() -> bool:
    return stamps.available() is not None


def _has_elsewhere() -> bool:
    return len(elsewhere.available()) == len(elsewhere.SOURCES)


def _has_words() -> bool:
    folder = stamps.available()
    try:
        return folder is not None and bool(words.load(class_names(folder)))
    except MediaError:
        return False


def _run(name: str) -> int:
    """`avcore data NAME`, in a process of its own; its exit status."""
    code = f"import avcore.cli, sys; sys.exit(avcore.cli.main(['data', {name!r}]))"
    return subprocess.call([sys.executable, "-c", code])
