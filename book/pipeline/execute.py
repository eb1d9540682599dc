"""One chapter through papermill: all of its cells, or a short report about the one that failed."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import IO, Any

import nbformat
from nbformat import NotebookNode

from avcore.support import AvcoreError, atomic_write

from .layout import Layout

ANSI = re.compile(r"\x1b\[[0-9;]*m")
FAILED_LINE = re.compile(r"Cell In\s*\[\d+\], line (\d+)|^-+> (\d+) ", re.MULTILINE)
CONTEXT_LINES = 2
MESSAGE_LINES = 4
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# With glibc, memory of large tensors is kept and used again; by default each of them gets new pages
# from the system and gives them back, which took a quarter of the time of the eye's features.
MEMORY_VARIABLES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}


class ChapterError(AvcoreError):
    """A chapter that could not be executed to its end."""


def execute_chapter(layout: Layout, chapter: str, threads: int = 2) -> None:
    """Run every cell of a chapter and keep the result if none of them failed.

    The executed notebook appears at `layout.executed(chapter)` whole or not at all. A cell that
    is meant to fail carries the tag `raises-exception`.

    Raises
    ------
    ChapterError
        Naming the chapter, the cell, its lines and the error, when a cell fails or the process
        behind the notebook dies. What ran until then is kept at `layout.failed(chapter)`.
    """
    notebook = _with_parameters(layout, chapter)
    layout.failed(chapter).unlink(missing_ok=True)
    try:
        with _environment(threads), contextlib.chdir(layout.root / "notebooks"):
            _run_cells(notebook, chapter, layout.log(chapter))
        problem = failure_report(notebook, chapter)
    except Exception as error:  # the kernel died or never started
        problem = f"chapter {chapter}: its Python process stopped. {_first_lines(str(error))}"
    if problem:
        _write(notebook, layout.failed(chapter))
        shown = os.path.relpath(layout.failed(chapter))
        raise ChapterError(f"{problem}\nAs far as it got: {shown}")
    _write(notebook, layout.executed(chapter))


def _with_parameters(layout: Layout, chapter: str) -> NotebookNode:
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(str(layout.notebook(chapter)))
    return parameterize_notebook(notebook, {"scale": layout.scale}, kernel_name="python3")


def _run_cells(notebook: NotebookNode, chapter: str, log: Path) -> None:
    """Let papermill's engine execute the notebook in place, with a progress bar."""
    from papermill.engines import papermill_engines

    log.parent.mkdir(parents=True, exist_ok=True)
    pace = 0.5 if sys.stderr.isatty() else 20  # seconds between lines of progress
    with log.open("w", encoding="utf-8") as printed:
        papermill_engines.execute_notebook_with_engine(
            None,
            notebook,
            kernel_name="python3",
            progress_bar={"desc": chapter, "mininterval": pace, "ncols": 88},
            stdout_file=printed,
            stderr_file=printed,
            kernel_manager_class=_manager(printed),
            extra_arguments=["--IPKernelApp.log_level=50"],
        )


def _manager(log: IO[str]) -> type:
    """A kernel manager whose process complains into `log`.

    A kernel that is told to stop may still answer on a closed socket and print a traceback that
    says nothing about the chapter; a kernel that dies leaves its last words there.
    """
    from jupyter_client.manager import AsyncKernelManager

    class LoggedKernelManager(AsyncKernelManager):
        async def start_kernel(self, **options):
            return await super().start_kernel(**{**options, "stderr": log})

    return LoggedKernelManager


@contextlib.contextmanager
def _environment(threads: int):
    """Variables that the notebook's process inherits, put back afterwards."""
    before = dict(os.environ)
    os.environ["AVCORE_STATIC"] = "1"
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) | MEMORY_VARIABLES)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def failure_report(notebook: NotebookNode, chapter: str) -> str:
    """Say which cell of an executed notebook failed and why; an empty text if none did."""
    cells = code_cells(notebook)
    for number, cell in enumerate(cells, start=1):
        if "raises-exception" in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = f"chapter {chapter} failed in code cell {number} of {len(cells)}:"
                return "\n".join([where, *_source_lines(cell.source, output), _message(output)])
    return ""


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that stand in the source: all but the one that papermill puts in."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
    ]


def _source_lines(source: str, output: dict[str, Any]) -> list[str]:
    """The lines around the one that failed, which is marked, or the first ones of the cell."""
    lines = source.splitlines()
    traceback = ANSI.sub("", "\n".join(output.get("traceback", [])))
    places = [int(a or b) for a, b in FAILED_LINE.findall(traceback)]
    failed = next((line for line in places if line <= len(lines)), None)
    middle = failed or 1
    first, last = max(1, middle - CONTEXT_LINES), min(len(lines), middle + CONTEXT_LINES)
    return [
        f"  {'>' if number == failed else ' '} {number:3d}  {lines[number - 1]}"
        for number in range(first, last + 1)
    ]


def _message(output: dict[str, Any]) -> str:
    return f"{output['ename']}: {_first_lines(ANSI.sub('', output['evalue']))}"


def _first_lines(text: str) -> str:
    lines = text.strip().splitlines()
    left = len(lines) - MESSAGE_LINES
    more = [f"  ... ({left} more lines)"] if left > 0 else []
    return "\n".join([*lines[:MESSAGE_LINES], *more])


def _write(notebook: NotebookNode, path: Path) -> None:
    with atomic_write(path) as file:
        nbformat.write(notebook, file)
