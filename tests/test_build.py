"""The pipeline of the book, on a book of two pages: what runs again, what a failure leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from avcore.support import AvcoreError
from book.pipeline import publish, site
from book.pipeline.build import Row, format_table, only_one
from book.pipeline.execute import ChapterError, code_cells, execute_chapter, failure_report
from book.pipeline.inputs import MEDIA, chapter_inputs, imported_modules, refresh
from book.pipeline.layout import REPOSITORY, Layout

CONFIG = """
title: A tiny book
only_build_toc_files: true
execute: {execute_notebooks: "off"}
sphinx: {config: {suppress_warnings: [myst.domains]}}
"""
TOC = "format: jb-book\nroot: index\nchapters:\n  - file: notebooks/tiny\n"


def write_notebook(path: Path, *cells: str, text: str = "# A chapter") -> None:
    """A chapter of one text, the parameters, and code cells."""
    code = [nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(cells)]
    parameters = nbformat.v4.new_code_cell('scale = "quick"', id="p")
    parameters.metadata["tags"] = ["parameters"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [nbformat.v4.new_markdown_cell(text, id="t"), parameters, *code]
    nbformat.write(notebook, path)


@pytest.fixture
def tiny(tmp_path: Path) -> Layout:
    """A repository with one page of prose and one chapter; its folder has a space in its name."""
    root = tmp_path / "a tiny book"
    for folder in ("book", "notebooks", "avcore/sub"):
        (root / folder).mkdir(parents=True)
    (root / "_config.yml").write_text(CONFIG)
    (root / "constraints.txt").write_text("")
    (root / "book" / "_toc.yml").write_text(TOC)
    (root / "book" / "index.md").write_text("# A tiny book\n\nFirst words.\n")
    for module in ("__init__", "used", "lazy", "other", "sub/__init__", "sub/deep"):
        (root / f"avcore/{module}.py").touch()
    write_notebook(root / "notebooks" / "tiny.ipynb", "print(scale, 6 * 7)")
    return Layout(root, "smoke")


def build(layout: Layout) -> subprocess.CompletedProcess[str]:
    """The whole build, as `make book` calls it."""
    command = [sys.executable, "-m", "book.pipeline", "--root", str(layout.root)]
    command += ["--scale", layout.scale, "build"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


# ------------------------------------------------------------------------ what depends on what


def test_a_chapter_depends_on_what_it_imports_directly_or_not(tiny: Layout) -> None:
    (tiny.root / "avcore/used.py").write_text("def f():\n    from .sub.deep import g\n")
    (tiny.root / "avcore/sub/deep.py").write_text("from ..lazy import h\n")
    files = imported_modules(tiny.root, "from avcore import used\nimport numpy")
    names = {path.relative_to(tiny.root / "avcore").as_posix() for path in files}
    assert names == {"__init__.py", "used.py", "sub/__init__.py", "sub/deep.py", "lazy.py"}


def test_a_module_named_in_a_string_counts(tiny: Layout) -> None:
    files = imported_modules(tiny.root, 'run(experiment="avcore.sub.deep:trial")')
    assert tiny.root / "avcore/sub/deep.py" in files
    assert tiny.root / "avcore/other.py" not in files


def test_the_experiments_of_the_catalogue_count_where_claims_are_run(tiny: Layout) -> None:
    (tiny.root / "avcore/used.py").write_text("CLAIM = 'avcore.sub.deep:trial'\n")
    experiment = tiny.root / "avcore/sub/deep.py"
    code = "from avcore import used\n"
    assert experiment not in imported_modules(tiny.root, code)
    assert experiment in imported_modules(tiny.root, code + "used.reproduce()")


def test_the_media_count_where_they_are_used(
    tiny: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from avcore.data.media import cache, elsewhere, stamps, words

    folders = [stamps.FOLDER, *(source.folder for source in elsewhere.SOURCES)]
    assert sum(MEDIA.values(), ()) == (*(f"{f}/{cache.MANIFEST}" for f in folders), words.FOLDER)
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    (tiny.root / "avcore/data/media").mkdir(parents=True)
    (tiny.root / "avcore/data/media/stamps.py").touch()
    (tiny.root / "avcore/data/media/words.py").touch()
    write_notebook(tiny.notebook("tiny"), "from avcore.data.media import stamps, words")
    places = ["tuxpaint-stamps/manifest.json", "words"]
    assert chapter_inputs(tiny, "tiny")[-2:] == [f"absent  media: {place}" for place in places]
    manifest = tmp_path / places[0]
    manifest.parent.mkdir()
    manifest.write_text("{}")
    (tmp_path / "words").mkdir()
    assert not any("absent" in line for line in chapter_inputs(tiny, "tiny"))
    before = chapter_inputs(tiny, "tiny")
    (tmp_path / "words" / "lion.npz").touch()
    assert chapter_inputs(tiny, "tiny")[-1] != before[-1]


def test_all_media_are_tried_though_one_cannot_be_fetched(monkeypatch, tmp_path: Path) -> None:
    from book.pipeline import media

    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    tried = []
    monkeypatch.setattr(media, "_run", lambda name: tried.append(name) or name == "stamps")
    assert media.fetch_media() == 1 and tried == ["stamps", "elsewhere", "words"]
    monkeypatch.setattr(media, "_has_elsewhere", lambda: True)
    monkeypatch.setattr(media, "_run", lambda name: tried.append(name) or 0)
    assert media.fetch_media() == 0 and tried[3:] == ["stamps", "words"]


def test_a_chapter_that_calls_the_shell_depends_on_everything(tiny: Layout) -> None:
    assert len(imported_modules(tiny.root, "!avcore doctor")) == 6


def test_a_chapter_that_installs_packages_depends_on_what_it_imports(tiny: Layout) -> None:
    install = 'if colab:\n    %pip install -q "avcore @ git+https://example.org"\n'
    code = "from avcore import support\n"
    assert imported_modules(tiny.root, install + code) == imported_modules(tiny.root, code)


@pytest.mark.parametrize(
    ("code", "uses_results"), [("from avcore.claims import CLAIMS", True), ("1 + 1", False)]
)
def test_recorded_results_count_where_they_are_used(
    tiny: Layout, monkeypatch: pytest.MonkeyPatch, code: str, uses_results: bool
) -> None:
    monkeypatch.delenv("AVCORE_RESULTS", raising=False)
    record = tiny.root / "book/results/full/C7.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    write_notebook(tiny.notebook("tiny"), code)
    before = chapter_inputs(tiny, "tiny")
    record.write_text('{"id": "C7"}')
    assert (chapter_inputs(tiny, "tiny") != before) is uses_results


def test_touching_and_prose_leave_the_inputs_of_a_chapter_alone(tiny: Layout) -> None:
    refresh(tiny)
    listed = tiny.inputs("tiny")
    before = listed.stat().st_mtime_ns
    write_notebook(tiny.notebook("tiny"), "print(scale, 6 * 7)", text="# Other words")
    os.utime(tiny.root / "constraints.txt")
    refresh(tiny)
    assert listed.stat().st_mtime_ns == before
    write_notebook(tiny.notebook("tiny"), "print(scale, 6 * 8)")
    refresh(tiny)
    assert listed.stat().st_mtime_ns > before


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_a_damaged_notebook_is_named(tiny: Layout, damage: str) -> None:
    tiny.notebook("tiny").write_text(damage)
    with pytest.raises(AvcoreError, match=r"tiny\.ipynb is not a notebook"):
        refresh(tiny)


def test_an_unknown_scale_is_named() -> None:
    with pytest.raises(AvcoreError, match="unknown scale 'medium'; choose one of smoke, quick"):
        Layout(scale="medium")


# ------------------------------------------------------------------------------ a failing cell


def failing_notebook(*sources: str, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    """An executed notebook whose last cell raised an error in its third line."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    traceback = ["\x1b[0;31mValueError\x1b[0m", "\x1b[0;36mCell In[4], line 3\x1b[0m\n..."]
    evalue = "\n".join("abcdefg")
    error = nbformat.v4.new_output("error", ename="ValueError", evalue=evalue, traceback=traceback)
    cells[-1].outputs = [error]
    cells[-1].metadata["tags"] = list(tags)
    return nbformat.v4.new_notebook(cells=cells)


def test_the_report_is_short_and_says_where() -> None:
    source = "\n".join(f"line {number}" for number in range(1, 9))
    report = failure_report(failing_notebook("fine", source), "some-chapter").splitlines()
    assert report[0] == "chapter some-chapter failed in code cell 2 of 2:"
    assert report[1:6] == [f"  {'>' if n == 3 else ' '}   {n}  line {n}" for n in range(1, 6)]
    assert report[6:] == ["ValueError: a", "b", "c", "d", "  ... (3 more lines)"]


def test_an_intended_error_is_no_failure() -> None:
    assert failure_report(failing_notebook("x", tags=("raises-exception",)), "some") == ""


def test_a_failed_chapter_leaves_no_executed_notebook(tiny: Layout) -> None:
    write_notebook(tiny.notebook("tiny"), "x = 1", "y = 2\nz = x / 0", "print('never')")
    with pytest.raises(ChapterError, match=r"code cell 3 of 4:[^$]*> +2  z = x / 0\nZeroDivision"):
        execute_chapter(tiny, "tiny")
    assert not tiny.executed("tiny").exists()
    assert tiny.failed("tiny").exists()


def test_a_dead_kernel_is_reported(tiny: Layout) -> None:
    write_notebook(tiny.notebook("tiny"), "import os\nos._exit(9)")
    with pytest.raises(ChapterError, match="tiny: its Python process stopped"):
        execute_chapter(tiny, "tiny")


def test_a_full_disk_leaves_no_half_chapter(tiny: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avcore.support.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        execute_chapter(tiny, "tiny")
    assert not list(tiny.work.rglob("*tiny.ipynb*"))


# ----------------------------------------------------------------------------------- the pages


def test_a_staged_chapter_is_its_source_with_outputs(tiny: Layout) -> None:
    execute_chapter(tiny, "tiny")
    write_notebook(tiny.notebook("tiny"), "print(scale, 6 * 7)", text="# New words")
    notebook = site.with_outputs(tiny, "tiny")
    assert notebook.cells[0].source == "# New words"
    parameters, code = code_cells(notebook)
    assert parameters.source == 'scale = "smoke"'
    assert code.outputs[0].text == "smoke 42\n"


def make_site(folder: Path, words: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(words)
    return folder


def test_publication_replaces_the_whole_book(tmp_path: Path) -> None:
    target = make_site(tmp_path / "html", "old")
    (target / "stale.html").touch()
    publish.publish(make_site(tmp_path / "site", "new"), target, label="quick")
    assert (target / "index.html").read_text() == "new"
    assert not (target / "stale.html").exists()
    assert publish.published_scale(target) == "quick"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["html", "site"]


def test_a_full_disk_keeps_the_old_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_site(tmp_path / "html", "old")
    new = make_site(tmp_path / "site", "new")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(site.SiteError, match="No space left on device"):
        publish.publish(new, target, label="quick")
    assert (target / "index.html").read_text() == "old"


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_kill_while_publishing_loses_no_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    target = make_site(tmp_path / "html", "old")
    new = make_site(tmp_path / "site", "new")
    renames = []

    def rename(self: Path, to: Path) -> None:
        renames.append(to)
        if len(renames) == killed_at:
            raise KeyboardInterrupt
        os.rename(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            publish.publish(new, target, label="quick")
    publish.restore(target)
    assert (target / "index.html").read_text() == "old"
    publish.publish(new, target, label="quick")
    assert (target / "index.html").read_text() == "new"


def test_only_one_build_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with only_one(lock), pytest.raises(AvcoreError, match="another build"), only_one(lock):
        pass
    with only_one(lock):
        pass


def test_the_table_lines_up() -> None:
    rows = [Row("00-start", 1.25, "executed"), Row("scoreboard", None, "not reached")]
    assert format_table(rows).splitlines() == [
        "chapter     seconds  status",
        "00-start        1.2  executed",
        "scoreboard        -  not reached",
    ]


# ------------------------------------------------------------------------------ the whole build


@pytest.mark.slow
def test_only_what_changed_is_made_again(tiny: Layout) -> None:
    first = build(tiny)
    assert first.returncode == 0, first.stderr
    page = tiny.html / "index.html"
    assert "First words" in page.read_text()
    assert json.loads((tiny.html / "claims.json").read_text())["claims"][0]["id"] == "C7"
    executed, published = tiny.executed("tiny").stat().st_mtime_ns, page.stat().st_mtime_ns

    again = build(tiny)
    assert again.returncode == 0
    assert again.stdout.count("up to date") == 2
    assert page.stat().st_mtime_ns == published

    (tiny.root / "book/index.md").write_text("# A tiny book\n\nSecond words.\n")
    edited = build(tiny)
    assert edited.returncode == 0, edited.stderr
    assert "Second words" in page.read_text()
    assert tiny.executed("tiny").stat().st_mtime_ns == executed


@pytest.mark.slow
def test_a_failing_cell_stops_the_build_and_keeps_the_book(tiny: Layout) -> None:
    good = make_site(tiny.html, "the last good book") / "index.html"
    write_notebook(tiny.notebook("tiny"), "one = 1", "raise RuntimeError('on purpose')")
    failed = build(tiny)
    assert failed.returncode != 0
    assert "chapter tiny failed in code cell 3 of 3:" in failed.stderr
    assert "RuntimeError: on purpose" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert len(failed.stderr.splitlines()) < 20, failed.stderr
    assert "FAILED" in failed.stdout
    assert good.read_text() == "the last good book"


@pytest.mark.slow
def test_what_a_tagged_cell_shows_can_stand_on_another_page() -> None:
    cell = nbformat.v4.new_code_cell("show()", metadata={"tags": ["hide-input", "front-held"]})
    html = nbformat.v4.new_output("display_data", {"text/html": "<b>so</b>", "text/plain": "so"})
    words = nbformat.v4.new_output("display_data", {"text/markdown": "**so**"})
    cell.outputs = [html, words]
    shown = site.shown_elsewhere(nbformat.v4.new_notebook(cells=[cell]))
    fence = site.FENCE
    assert shown == {"front-held": f"{fence}{{raw}} html\n<b>so</b>\n{fence}\n\n**so**\n"}


def test_a_warning_stops_the_pages_each_time_and_keeps_the_book(tiny: Layout) -> None:
    good = make_site(tiny.html, "the last good book") / "index.html"
    execute_chapter(tiny, "tiny")
    (tiny.root / "book/index.md").write_text("# A tiny book\n\n[nowhere](nowhere.md)\n")
    for _ in range(2):  # by itself Sphinx forgets the warnings of pages it has read once
        with pytest.raises(site.SiteError, match=r"index\.md:3: WARNING: .*nowhere\.md"):
            site.build_site(tiny)
    assert good.read_text() == "the last good book"


@pytest.mark.slow
def test_a_killed_build_goes_on(tiny: Layout) -> None:
    write_notebook(tiny.notebook("tiny"), "import time", "time.sleep(60)")
    command = [sys.executable, "-m", "book.pipeline", "--root", str(tiny.root)]
    command += ["--scale", "smoke", "build"]
    run = subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not tiny.log("tiny").exists():  # until the chapter is running
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not tiny.executed("tiny").exists()
    write_notebook(tiny.notebook("tiny"), "print('done')")
    resumed = build(tiny)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(tiny.executed("tiny").read_text())["cells"][-1]["outputs"]
