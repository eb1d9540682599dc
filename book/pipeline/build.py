"""The whole build: one at a time, through Snakemake, with a table of the chapters at the end."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avcore.support import AvcoreError

from .inputs import prepare
from .layout import REPOSITORY, Layout

SNAKEFILE = REPOSITORY / "book" / "Snakefile"


@dataclass(frozen=True)
class Row:
    """A line of the table: what was made, how long it took (s), and how it went."""

    name: str
    seconds: float | None
    status: str


def build_book(layout: Layout, cores: int = 2) -> int:
    """Make the book and print the table; return the exit status, 0 when all went well."""
    start = time.time()
    with only_one(layout.build / ".lock") as lock:
        prepare(layout)
        status = 0 if is_up_to_date(layout) else run_snakemake(layout, cores, lock)
    print(f"\n{format_table(table(layout, start))}\n")
    if status == 0:
        print(f"The book: {layout.html / 'index.html'}")
    elif layout.html.exists():
        print(f"The build stopped; the last good book is still at {layout.html}")
    else:
        print("The build stopped.")
    return status


def is_up_to_date(layout: Layout) -> bool:
    """Whether everything is newer than what it is made from; saves the start of Snakemake."""
    made = [(layout.executed(name), layout.inputs(name)) for name in layout.chapters()]
    made += [(layout.site_marker, executed) for executed, _ in made]
    made += [(layout.site_marker, layout.inputs("pages"))]
    return all(
        target.is_file() and source.is_file() and target.stat().st_mtime >= source.stat().st_mtime
        for target, source in made
    )


def run_snakemake(layout: Layout, cores: int, lock: tuple[int, ...] = ()) -> int:
    """Let Snakemake run what is out of date; return its exit status.

    It holds the lock too, so that no second build begins while it outlives a killed first one.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)]
    command += ["--cores", str(cores), "--quiet", "all", "--nolock", "--rerun-incomplete"]
    command += ["--rerun-triggers", "mtime", "--directory", str(layout.build)]
    command += ["--config", f"scale={layout.scale}", f"root={layout.root}"]
    process = subprocess.Popen(command, pass_fds=lock)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # Snakemake got it too and is stopping its job
            print("\nstopping; `make book` goes on from here", file=sys.stderr)


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[tuple[int, ...]]:
    """Hold a lock that the system gives back by itself when the run ends or is killed.

    Gives the descriptor of the lock, for a child process that is to hold it too.

    Raises
    ------
    AvcoreError
        When another build holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield ()
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AvcoreError(f"another build of this book is running (it holds {lock})") from None
        yield (file.fileno(),)


def table(layout: Layout, start: float) -> list[Row]:
    """What became of each chapter, and of the pages, in a build that began at `start`."""
    rows = [_chapter_row(layout, chapter, start) for chapter in layout.chapters()]
    marker = layout.site_marker
    if not marker.is_file():
        return [*rows, Row("pages", None, "not built")]
    seconds = float(marker.read_text() or 0)
    return [*rows, Row("pages", seconds, _freshness(marker, start, "built"))]


def _chapter_row(layout: Layout, chapter: str, start: float) -> Row:
    failed, executed = layout.failed(chapter), layout.executed(chapter)
    if failed.is_file() and failed.stat().st_mtime >= start:
        return Row(chapter, _duration(failed), "FAILED")
    if executed.is_file():
        return Row(chapter, _duration(executed), _freshness(executed, start, "executed"))
    return Row(chapter, None, "not reached")


def _freshness(path: Path, start: float, verb: str) -> str:
    return verb if path.stat().st_mtime >= start else "up to date"


def _duration(notebook: Path) -> float | None:
    metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("papermill", {}).get("duration")


def format_table(rows: list[Row]) -> str:
    """The rows as plain text: chapter, seconds, status."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'chapter':{width}}  seconds  status"]
    for row in rows:
        seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
        lines.append(f"{row.name:{width}}  {seconds:>7}  {row.status}")
    return "\n".join(lines)
