"""The pages: put the sources together, run Jupyter Book, publish the result in one step."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from avcore.claims import registry
from avcore.support import atomic_write

from .execute import ANSI, code_cells
from .layout import Layout
from .publish import SiteError, publish

PROSE = ("*.md", "*.bib", "_toc.yml", "_static/**/*")
PARAMETER = re.compile(r'^scale = "\w+"', re.MULTILINE)
PROBLEM = re.compile(r"WARNING|ERROR|Error|Exception")
PROBLEM_LINES = 12
MADE = "_made"  # folder beside the prose for what chapters show on other pages
FENCE = "`" * 8  # longer than any within
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]


def build_site(layout: Layout) -> None:
    """Make the pages from prose and executed chapters, and publish them.

    Raises
    ------
    SiteError
        With the warnings of Jupyter Book, each of which counts as an error.
    """
    source, site = layout.work / "source", layout.work / "site"
    unfinished = layout.work / "pages.unfinished"
    stage(layout, source)
    if unfinished.exists() or _groundwork_changed(layout, source):
        # Sphinx would trust what a failed or killed run left, and hide its warnings
        shutil.rmtree(site, ignore_errors=True)
    unfinished.touch()
    run_jupyter_book(layout, source, site)
    html = site / "_build" / "html"
    offer_sources(layout, html)
    registry(html / "claims.json", layout.results)
    publish(html, layout.html, label=layout.scale)
    unfinished.unlink()


def stage(layout: Layout, source: Path) -> None:
    """Bring the folder that Sphinx reads up to date, leaving equal files alone.

    A chapter is its present source with the outputs of its execution, so an edit of the text
    between the cells needs no new execution.
    """
    wanted = {}
    for pattern in PROSE:
        for path in (layout.root / "book").glob(pattern):
            if path.is_file():
                wanted[source / path.relative_to(layout.root / "book")] = path.read_bytes()
    for chapter in layout.chapters():
        notebook = with_outputs(layout, chapter)
        wanted[source / "notebooks" / f"{chapter}.ipynb"] = nbformat.writes(notebook).encode()
        for name, text in shown_elsewhere(notebook).items():
            wanted[source / MADE / f"{name}.md"] = text.encode()
    for path, content in wanted.items():
        if not path.is_file() or path.read_bytes() != content:
            with atomic_write(path, "wb") as file:
                file.write(content)
    for path in source.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def shown_elsewhere(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What cells tagged "front-…" show, as Markdown by tag, for a page of prose to include.

    So the first page of the book holds results and a player without any being typed or drawn twice.
    """
    found = {}
    for cell in code_cells(notebook):
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("front-"):
                found[tag] = "\n\n".join(filter(None, map(_as_markdown, cell.outputs))) + "\n"
    return found


def _as_markdown(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return f"{FENCE}{{raw}} html\n{data['text/html']}\n{FENCE}"
    return data.get("text/markdown", "")


def with_outputs(layout: Layout, chapter: str) -> nbformat.NotebookNode:
    """The source notebook of a chapter, with the outputs of the executed one."""
    notebook = nbformat.read(layout.notebook(chapter), as_version=4)
    executed = nbformat.read(layout.executed(chapter), as_version=4)
    for cell, done in zip(code_cells(notebook), code_cells(executed), strict=True):
        cell.outputs = done.outputs
        cell.execution_count = done.execution_count
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = PARAMETER.sub(f'scale = "{layout.scale}"', cell.source)
    return notebook


def _groundwork_changed(layout: Layout, source: Path) -> bool:
    """Whether something changed that shows on every page, such as a title or the settings.

    Sphinx writes a page again when its own text changes; the titles in its margin do not count.
    """
    titles = [_title(source, page) for page in layout.pages()]
    files = [layout.root / "_config.yml", layout.root / "constraints.txt", source / "_toc.yml"]
    files += [*(layout.root / "book" / "_ext").glob("*.py"), *source.glob("*.bib")]
    files += [path for path in source.glob("_static/**/*") if path.is_file()]
    text = "\n".join(titles).encode() + b"".join(p.read_bytes() for p in files if p.is_file())
    digest, record = hashlib.sha256(text).hexdigest(), layout.work / "groundwork.txt"
    changed = not record.is_file() or record.read_text() != digest
    with atomic_write(record) as file:
        file.write(digest)
    return changed


def _title(source: Path, page: str) -> str:
    notebook = source / f"{page}.ipynb"
    if notebook.is_file():
        cells = nbformat.read(notebook, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = (source / f"{page}.md").read_text(encoding="utf-8")
    return next((line for line in text.splitlines() if line.startswith("# ")), page)


def run_jupyter_book(layout: Layout, source: Path, site: Path) -> None:
    """Call `jupyter-book build` with every warning an error.

    Raises
    ------
    SiteError
        With the lines that say what is wrong.
    """
    command = [*JUPYTER_BOOK, "build", str(source)]
    command += ["--path-output", str(site), "--config", str(layout.root / "_config.yml")]
    command += ["--toc", str(source / "_toc.yml"), "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    log = ANSI.sub("", done.stdout + done.stderr)
    with atomic_write(layout.log("pages")) as file:
        file.write(log)
    if done.returncode != 0:
        lines = list(_problems(log, source)) or log.strip().splitlines()[-PROBLEM_LINES:]
        raise SiteError("the pages could not be built:\n" + "\n".join(f"  {x}" for x in lines))


def _problems(log: str, source: Path) -> Iterator[str]:
    """The warnings in the output of Sphinx, with short paths."""
    lines = [line for line in log.splitlines() if PROBLEM.search(line)]
    for line in lines[:PROBLEM_LINES]:
        yield line.replace(f"{source}/", "")
    if len(lines) > PROBLEM_LINES:
        yield f"... and {len(lines) - PROBLEM_LINES} more"


def offer_sources(layout: Layout, html: Path) -> None:
    """Let the download button of a chapter give its source, not the copy full of outputs."""
    for chapter in layout.chapters():
        copy = html / "_sources" / "notebooks" / f"{chapter}.ipynb"
        if copy.is_file():
            shutil.copyfile(layout.notebook(chapter), copy)
