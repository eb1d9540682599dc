"""Shares of a data set that no list names: halves, moments of a video, an order by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from avcore.data.sets.files import Entry
from avcore.support import AvcoreError


def at_moments(entries: Iterable[Entry], moments: int) -> list[Entry]:
    """Each clip once for each of so many equal parts, named NAME#1 and so on; one keeps its name.

    Raises
    ------
    AvcoreError
        When moments are below 1.
    """
    if moments < 1:
        raise AvcoreError(f"a video has at least 1 moment, got moments={moments}")
    if moments == 1:
        return list(entries)
    return [
        replace(entry, name=f"{entry.name}#{i + 1}", moment=(i, moments))
        for entry in entries
        for i in range(moments)
    ]


def shuffled_by_name(entries: Iterable[Entry]) -> list[Entry]:
    """Clips in the order of a digest of their names, the same wherever they lie."""
    return sorted(entries, key=lambda entry: _digest(entry.name))


def held_out(names: Iterable[str], least: int = 1) -> set[str]:
    """Of speakers, groups and the like one in ten, at least so many, in the order of a digest."""
    ordered = sorted(set(names), key=_digest)
    return set(ordered[: max(len(ordered) // 10, least)])


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def half_of(entries: Sequence[Entry], half: int) -> list[Entry]:
    """Every second clip, from the first (half 1) or the second (half 2); 0 gives all.

    Raises
    ------
    AvcoreError
        For another number.
    """
    if half not in (0, 1, 2):
        raise AvcoreError(f"half is 1 or 2, or 0 for both, got {half}")
    return list(entries[half - 1 :: 2]) if half else list(entries)
