"""Tables that set a paper's figures beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avcore.support import AvcoreError
from avcore.viz.encode import finite
from avcore.viz.view import Html, output, significant, text

MISSING = '<span class="av-none">not available</span>'
COLUMNS = ("", "Paper", "This run", "Recorded runs", "Differences of protocol")
_KEYS = {"quantity", "paper", "source", "run", "recorded", "differences", "unit"}


def number(value: float, unit: str = "", digits: int = 3) -> str:
    """A number with so many significant digits and a true minus sign."""
    written = significant(value, digits) if abs(value) < 1000 else f"{value:,.0f}"
    joined = f"{written}{unit}" if unit == "%" else f"{written} {unit}".strip()
    return text(joined.replace("-", "\u2212"))


def span(low: float, high: float) -> str:
    """An interval, in HTML."""
    return f'<span class="av-span">[{number(low)}, {number(high)}]</span>'


def results_table(rows: Sequence[Mapping[str, Any]], caption: str = "") -> Html:
    """Set the paper's figures beside this run and the recorded runs.

    Parameters
    ----------
    rows
        Mappings with `quantity` (plain text), and any of: `paper` (a number; None is shown as
        not available), `source` of the paper's figure, `run` (a number), `recorded` (one number
        per seed, or a mapping with `mean`, `interval` and `n`), `differences` (a text or several),
        `unit`.
    caption
        What to see.

    Raises
    ------
    AvcoreError
        For a row without `quantity`, an unknown key, or numbers that are not finite.
    """
    note = "Intervals are 95 % t intervals of the mean over seeds."
    return Html(table([_row(row) for row in rows], COLUMNS, f"{caption} {note}".strip()))


def values_table(
    rows: Mapping[str, Mapping[str, float | str]],
    columns: Mapping[str, str],
    caption: str = "",
    digits: int = 3,
) -> Html:
    """A table of measured values.

    Parameters
    ----------
    rows
        What heads each row, and its values by name: numbers, or words such as yes and no.
    columns
        Which values to show, and what heads their columns.
    caption
        What to see.
    digits
        How many stand after the point.
    """
    cells = [
        [text(name), *(_decimals(row[key], digits) for key in columns)]
        for name, row in rows.items()
    ]
    return Html(table(cells, ["", *columns.values()], caption))


def _decimals(value: float | str, digits: int) -> str:
    if isinstance(value, str):
        return text(value)
    finite(np.asarray(float(value)), "a table")
    return text(f"{value:z.{digits}f}".replace("-", "\u2212"))


def _row(row: Mapping[str, Any]) -> list[str]:
    unknown = set(row) - _KEYS
    if unknown or "quantity" not in row:
        raise AvcoreError(
            f"a row of results wants 'quantity' and any of {sorted(_KEYS)}, got {sorted(row)}"
        )
    unit = row.get("unit", "")
    source = f"<small>{text(row['source'])}</small>" if row.get("source") else ""
    return [
        text(row["quantity"]),
        _figure(row.get("paper"), unit) + source,
        f"<b>{_figure(row.get('run'), unit)}</b>",
        _recorded(row.get("recorded"), unit),
        listed(row.get("differences") or ()),
    ]


def _figure(value: Any, unit: str) -> str:
    if value is None:
        return MISSING
    if isinstance(value, str):
        return text(value)
    finite(np.asarray(float(value)), "a table")
    return number(float(value), unit)


def _recorded(recorded: Any, unit: str) -> str:
    if recorded is None or (isinstance(recorded, Sequence) and not len(recorded)):
        return '<span class="av-none">none yet</span>'
    if isinstance(recorded, Mapping):
        mean, interval, n = recorded["mean"], recorded.get("interval"), recorded["n"]
    else:
        from avcore.claims.statistics import t_interval  # needs scipy

        values = finite(np.asarray(recorded, dtype=float), "a row's recorded runs")
        mean, interval, n = float(values.mean()), t_interval(values), len(values)
    between = f" {span(*interval)}" if interval else ""
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    return f"{number(mean, unit)}{between} <small>{seeds}</small>"


def listed(items: str | Sequence[str]) -> str:
    """One text, or several as a list, in HTML."""
    if isinstance(items, str):
        return text(items)
    if not items:
        return '<span class="av-none">none</span>'
    return f"<ul>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>"


def table(rows: Sequence[Sequence[str]], columns: Sequence[str], caption: str) -> str:
    """A table of HTML cells; the first cell heads its row. A narrow page stacks the cells."""
    head = "".join(f'<th role="columnheader" scope="col">{text(name)}</th>' for name in columns)
    body = []
    for first, *rest in rows:
        cells = "".join(
            f'<td role="cell" data-label="{text(name)}"><div>{cell}</div></td>'
            for name, cell in zip(columns[1:], rest, strict=True)
        )
        body.append(f'<tr role="row"><th role="rowheader" scope="row">{first}</th>{cells}</tr>')
    # The roles are said aloud because a table whose cells are stacked by CSS would lose them.
    heads = f'<thead><tr role="row">{head}</tr></thead>'
    markup = f'<table role="table">{heads}<tbody>{"".join(body)}</tbody></table>'
    return output(markup, kind="table", styles=("table.css",), caption=caption)
