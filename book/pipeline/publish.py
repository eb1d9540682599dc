"""Publication by rename: readers see the old book or the new one, never half of one."""

from __future__ import annotations

import shutil
from pathlib import Path

from avcore.support import AvcoreError


class SiteError(AvcoreError):
    """Pages that could not be built; the book published before stays as it is."""


def publish(site: Path, target: Path, label: str) -> None:
    """Put a whole copy of `site` at `target` by renaming; readers never see half a book.

    A run that is killed in the middle leaves the old pages in place, or, between the two
    renames, beside it, from where `restore` brings them back.
    """
    fresh, old = _beside(target, "new"), _beside(target, "old")
    restore(target)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(site, fresh)
        (fresh / ".nojekyll").touch()
        (fresh / ".scale").write_text(label, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise SiteError(f"the pages could not be copied to {target}: {error}") from error
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def restore(target: Path) -> None:
    """Bring the old pages back after a run that was killed while it exchanged them."""
    old = _beside(target, "old")
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def published_scale(target: Path) -> str:
    """Scale of the pages at `target`; empty when there are none."""
    label = target / ".scale"
    return label.read_text(encoding="utf-8") if label.is_file() else ""


def _beside(target: Path, word: str) -> Path:
    return target.with_name(f".{target.name}.{word}")
