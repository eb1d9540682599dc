"""Where the sources of the book and the products of a build lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avcore.support import SCALES, AvcoreError

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """The folders of one build of the book.

    Parameters
    ----------
    root : Path
        The repository, with `book/`, `notebooks/` and `avcore/` in it.
    scale : str
        The scale the chapters are executed at: one of `avcore.support.SCALES`.
    """

    root: Path = REPOSITORY
    scale: str = "quick"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            known = ", ".join(SCALES)
            raise AvcoreError(f"unknown scale {self.scale!r}; choose one of {known}")

    @property
    def build(self) -> Path:
        """Everything that is made, and nothing else."""
        return self.root / "_build"

    @property
    def work(self) -> Path:
        """What this scale makes on its way to the pages."""
        return self.build / self.scale

    @property
    def html(self) -> Path:
        """The published pages; a smoke build never replaces the real book."""
        return self.work / "html" if self.scale == "smoke" else self.build / "html"

    @property
    def site_marker(self) -> Path:
        """File that says: the pages of this scale are built and published."""
        return self.work / "pages.done"

    @property
    def results(self) -> Path:
        """The recorded results of the claims."""
        return Path(os.environ.get("AVCORE_RESULTS", self.root / "book" / "results"))

    def notebook(self, chapter: str) -> Path:
        """The source of a chapter, without outputs."""
        return self.root / "notebooks" / f"{chapter}.ipynb"

    def executed(self, chapter: str) -> Path:
        """The chapter with its outputs; the file exists only when every cell has run."""
        return self.work / "executed" / f"{chapter}.ipynb"

    def failed(self, chapter: str) -> Path:
        """The chapter as far as it got, when a cell failed."""
        return self.work / "failed" / f"{chapter}.ipynb"

    def log(self, chapter: str) -> Path:
        """What the cells of the chapter printed."""
        return self.work / "logs" / f"{chapter}.log"

    def inputs(self, name: str) -> Path:
        """List of the files, with their hashes, that a chapter or the pages are made from."""
        return self.work / "inputs" / f"{name}.txt"

    def pages(self) -> list[str]:
        """Names of all pages in reading order, as the table of contents gives them."""
        toc = yaml.safe_load((self.root / "book" / "_toc.yml").read_text(encoding="utf-8"))
        return [toc["root"], *_files_below(toc)]

    def chapters(self) -> list[str]:
        """Names of the pages that are notebooks."""
        return [Path(page).name for page in self.pages() if page.startswith("notebooks/")]


def _files_below(entry: dict[str, Any]) -> list[str]:
    children = [
        child for key in ("parts", "chapters", "sections") for child in entry.get(key) or []
    ]
    files = []
    for child in children:
        files += [child["file"]] if "file" in child else []
        files += _files_below(child)
    return files
