"""Claims and what became of them: the records of `avcore.claims` as cards and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avcore.support import AvcoreError
from avcore.viz.forest import forest
from avcore.viz.tables import number, span, table
from avcore.viz.view import Html, output, text

Record = Mapping[str, Any]
_RING = '<circle cx="10" cy="10" r="8"/>'
ICONS = {
    "reproduced": _RING + '<path d="M6.2 10.4l2.6 2.6 5-5.6"/>',
    "contradicted": _RING + '<path d="M7 7l6 6M13 7l-6 6"/>',
    "inconclusive": _RING + '<path d="M6 11c1.3-2.4 2.7-2.4 4-1s2.7 1.4 4-1"/>',
    "not judged": _RING + '<path d="M7 10h6"/>',
}
COLUMNS = ("Claim", "Says", "Paper’s figures", "Difference", "Verdict")
_NEEDED = ("id", "sentence", "seeds", "differences", "verdict")


def claim_table(records: Sequence[Record] | Mapping[str, Record], caption: str = "") -> Html:
    """One row a claim: its sentence, the paper's figures, the differences, the verdict.

    Parameters
    ----------
    records
        Records as `avcore.claims` writes them, or a mapping from ids to them.
    caption
        What to see; how to read the picture of the seeds is added to it.

    Raises
    ------
    AvcoreError
        For a record that lacks a field.
    """
    chosen = list(records.values() if isinstance(records, Mapping) else records)
    if not chosen:
        return Html(output("<p>No claims are recorded yet.</p>", kind="table"))
    rows = [_row(_checked(record)) for record in chosen]
    note = (
        "Circles are seeds, the diamond is their mean, the bar its 95 % bootstrap interval; the"
        " tinted side is what the claim says."
    )
    return Html(table(rows, COLUMNS, f"{caption} {note}".strip()))


def claim_card(record: Record | None) -> Html:
    """Everything about one claim: what was run, on what, and what came out.

    `record` is as `avcore.claims` writes it; None says that nothing is recorded yet.

    Raises
    ------
    AvcoreError
        For a record that lacks a field.
    """
    if record is None:
        return Html(output("<p>No runs of this claim are recorded yet.</p>", kind="card"))
    record = _checked(record)
    facts = "".join(
        f"<dt>{name}</dt><dd>{value}</dd>" for name, value in _facts(record).items() if value
    )
    explained = f"<p>{text(record['explanation'])}</p>" if record.get("explanation") else ""
    body = (
        f"<header><span><b>{text(record['id'])}</b> · {text(record.get('paper', ''))}</span>"
        f"{verdict_html(record['verdict'])}</header>"
        f'<p class="av-sentence">{text(record["sentence"])}</p>'
        f"{forest(record, width=300)}{explained}<dl>{facts}</dl>"
    )
    return Html(output(body, kind="card", styles=("table.css",)))


def verdict_html(verdict: str | None) -> str:
    """A verdict as icon and word."""
    word = verdict if verdict in ICONS else "not judged"
    return (
        f'<span class="av-verdict av-{word.replace(" ", "-")}">'
        f'<svg viewBox="0 0 20 20" aria-hidden="true">{ICONS[word]}</svg> {word}</span>'
    )


def _checked(record: Record) -> Record:
    lacking = [name for name in _NEEDED if name not in record]
    if lacking:
        raise AvcoreError(f"a claim's record lacks {', '.join(lacking)}")
    return record


def _row(record: Record) -> list[str]:
    paper = text(record.get("paper", ""))
    return [
        f"{text(record['id'])}<small>{paper}</small>",
        text(record["sentence"]),
        _reported(record),
        f"{_difference(record)}{forest(record) if record['differences'] else ''}",
        verdict_html(record["verdict"]),
    ]


def _difference(record: Record) -> str:
    if record.get("mean_difference") is None:
        return '<span class="av-none">no runs</span>'
    between = f" {span(*record['interval'])}" if record.get("interval") else ""
    count = len(record["seeds"])
    metric = f"{text(record['metric'])}, " if record.get("metric") else ""
    seeds = "1 seed" if count == 1 else f"{count} seeds"
    return f"{number(record['mean_difference'])}{between}<small>{metric}{seeds}</small>"


def _reported(record: Record) -> str:
    """The paper's own figures, each with its source."""
    made = [
        f"{text(each['what'])}: {number(each['value'], each.get('unit', ''))}"
        f"<small>{text(each.get('source', ''))}</small>"
        for each in record.get("reported") or ()
    ]
    return "".join(f"<div>{each}</div>" for each in made) or '<span class="av-none">none</span>'


def _facts(record: Record) -> dict[str, str]:
    compared = [record.get("treatment"), record.get("baseline")]
    chance = record.get("sign_test")
    return {
        "Compared": text(f"{compared[0]} against {compared[1]}") if all(compared) else "",
        "Difference": _difference(record),
        "Sign test": f"p = {number(chance)}" if chance is not None else "",
        "Paper": _reported(record),
        "Ran": _ran(record),
    }


def _ran(record: Record) -> str:
    scale = f"{record['scale']} scale" if record.get("scale") else ""
    seeds = f"seeds {', '.join(map(str, record['seeds']))}" if record["seeds"] else ""
    seconds = f"{record['seconds']:.0f} s" if record.get("seconds") is not None else ""
    commit = str(record["commit"])[:10] if record.get("commit") else ""
    hardware = record.get("hardware") or record.get("device") or ""
    return text(" · ".join(filter(None, [scale, seeds, hardware, seconds, commit])))
