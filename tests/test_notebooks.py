"""The chapters: clean sources, and an execution of every one of them at smoke scale."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from book.pipeline.execute import code_cells
from book.pipeline.layout import Layout

CHAPTERS = Layout().chapters()
PARAMETERS = {"scale": "quick", "seed": 0, "device": "auto"}
SMOKE_SECONDS = 45  # three times the budget of 15 s, for machines with other work
LARGEST_SOURCE = 300_000  # bytes
COLUMNS = 84  # of code, more is cut off


def source(chapter: str) -> nbformat.NotebookNode:
    return nbformat.read(Layout().notebook(chapter), as_version=4)


def test_every_notebook_is_in_the_table_of_contents(repository: Path) -> None:
    assert sorted(CHAPTERS) == sorted(p.stem for p in (repository / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_source_is_clean(chapter: str) -> None:
    notebook = source(chapter)
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.outputs == [], "outputs are made by the build: run nbstripout"
        assert cell.execution_count is None
    identities = [cell.id for cell in notebook.cells]
    assert len(set(identities)) == len(identities)
    assert "widgets" not in notebook.metadata
    assert Layout().notebook(chapter).stat().st_size < LARGEST_SOURCE


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_it_opens_with_a_title_and_the_parameters(chapter: str) -> None:
    notebook = source(chapter)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    first = code_cells(notebook)[0]
    assert first.metadata.get("tags") == ["parameters"]
    given: dict[str, object] = {}
    exec(first.source, given)
    assert {name: given.get(name) for name in PARAMETERS} == PARAMETERS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_colab_installs_the_library_in_one_line(chapter: str) -> None:
    lines = [line for cell in code_cells(source(chapter)) for line in cell.source.splitlines()]
    installing = [number for number, line in enumerate(lines) if "%pip" in line]
    assert len(installing) == 1
    for number in installing:
        assert re.fullmatch(r' *home = "git\+https://\S+"', lines[number - 1])
        wanted = r' *%pip install -q "avcore\[[a-z,]+\] @ \{home\}"'  # IPython fills it in
        assert re.fullmatch(wanted, lines[number])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_code_fits_into_a_page(chapter: str) -> None:
    lines = [line for cell in code_cells(source(chapter)) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_code_says_holds_no_formulas(chapter: str) -> None:
    """A page shows them as they stand, dollar signs and all; JupyterLab would typeset them."""
    lines = [line for cell in code_cells(source(chapter)) for line in cell.source.splitlines()]
    assert [line for line in lines if re.search(r"\$[A-Za-z\\]", line)] == []


@pytest.mark.notebooks
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_it_runs_at_smoke_scale(smoke_book: Layout, chapter: str) -> None:
    executed = nbformat.read(smoke_book.executed(chapter), as_version=4)
    assert executed.metadata.papermill.parameters.scale == "smoke"
    assert executed.metadata.papermill.duration < SMOKE_SECONDS
    for number, cell in enumerate(code_cells(executed), start=1):
        assert cell.execution_count is not None, f"cell {number} did not run"
        for output in cell.outputs:
            meant = "raises-exception" in cell.metadata.get("tags", [])
            assert output.output_type != "error" or meant, f"cell {number} failed"
            assert output.get("name") != "stderr", f"cell {number} complains: {output.text[:300]}"
            widget = "application/vnd.jupyter.widget-view+json"
            assert widget not in output.get("data", {}), f"cell {number} shows a live widget"
