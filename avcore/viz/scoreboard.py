"""Claims and what became of them: the records of `avcore.claims` as cards and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from avcore.support import AvcoreError
from avcore.viz.forest import forest
from avcore.viz.tables import number, span, table
from avcore.viz.terms import compared, in_terms, repeated_measure, term
from avcore.viz.view import Html, output, text

Record = Mapping[str, Any]
_RING = '<circle cx="10" cy="10" r="8"/>'
ICONS = {
    "reproduced": _RING + '<path d="M6.2 10.4l2.6 2.6 5-5.6"/>',
    "contradicted": _RING + '<path d="M7 7l6 6M13 7l-6 6"/>',
    "no effect that counts": _RING + '<path d="M6.5 8.3h7M6.5 11.7h7"/>',
    "inconclusive": _RING + '<path d="M6 11c1.3-2.4 2.7-2.4 4-1s2.7 1.4 4-1"/>',
    "not testable here": _RING + '<path d="M5 15L15 5"/>',
    "not judged": _RING + '<path d="M7 10h6"/>',
}
VERDICTS = tuple(ICONS)[:-1]  # those of claims that are judged
KINDS = {
    "paper": "Of the papers’ claims, counted with their variants, {} were tested",
    "ours": "of our own {}",
    "by construction": "of those that are true by construction {}",
}
COLUMNS = ("Claim", "Says", "Paper’s figures", "Difference", "Verdict")
SMALLEST_P = 0.0001  # a p-value below it is given as smaller
_NEEDED = ("id", "sentence", "seeds", "differences", "verdict")


def claim_table(records: Sequence[Record] | Mapping[str, Record], caption: str = "") -> Html:
    """One row per claim: its sentence, the paper's figures, the differences, the verdict.

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
        "Circles are seeds, the diamond is their mean, the bar its 95 % t interval (90 % where"
        " the claim is equality); what the claim says is tinted, from the smallest effect that"
        " counts on."
    )
    return Html(table(rows, COLUMNS, f"{caption} {note}".strip()))


def claim_summary(records: Mapping[str, Record], lines: int = 10) -> Html:
    """What held and what did not: verdicts counted for each kind of claim, then a few claims.

    Parameters
    ----------
    records
        From ids to records as `avcore.claims` writes them.
    lines
        How many claims to show at most. Each verdict has its turn, and within one the claims of
        the papers come first, then those whose difference is largest beside the smallest effect
        that counts. Of the variants of a claim (A6, A6b, …) the first that is judged is shown.

    Raises
    ------
    AvcoreError
        For a record that lacks a field.
    """
    judged = [_checked(each) for each in records.values()]
    judged = [each for each in judged if each["verdict"] in VERDICTS]
    if not judged:
        told = "No claim is judged yet: the recorded runs are of an earlier design, or too few."
        return Html(output(f"<p>{told}</p>", kind="held", styles=("table.css",)))
    items = "".join(
        f"<li>{verdict_html(each['verdict'])}<span>{text(each['sentence'])}"
        f"<small>{text(each['id'])}, {text(each.get('paper', ''))}: {_briefly(each)}</small>"
        f"</span></li>"
        for each in _chosen(judged, lines)
    )
    told = "; ".join(filter(None, (_counted(judged, *each) for each in KINDS.items())))
    body = f'<p>{told[0].upper()}{told[1:]}. Among them:</p><ul class="av-claims">{items}</ul>'
    return Html(output(body, kind="held", styles=("table.css",)))


def _counted(judged: Sequence[Record], kind: str, name: str) -> str:
    """How many claims of a kind have each verdict, in a sentence."""
    verdicts = [each["verdict"] for each in judged if each.get("kind", "paper") == kind]
    counts = [f"{verdicts.count(word)} {word}" for word in VERDICTS if word in verdicts]
    return f"{name.format(len(verdicts))}: {', '.join(counts)}" if verdicts else ""


def _briefly(record: Record) -> str:
    """The difference, its interval and the number of seeds in one line."""
    if record.get("mean_difference") is None:
        return "no runs"
    between = f" {span(*record['interval'])}" if record.get("interval") else ""
    count = len(record["seeds"])
    told = f"{number(record['mean_difference'])}{between} in {_metric(record)}"
    if record.get("direction") == "equal":
        told += f", 90 % interval, equal if within ±{record['effect']:g}"
    return f"{told}, {'1 seed' if count == 1 else f'{count} seeds'}"


def _chosen(judged: Sequence[Record], lines: int) -> list[Record]:
    """At most so many records, from each verdict in turn, in the order of the verdicts."""
    first: dict[str, Record] = {}
    for each in judged:
        first.setdefault(_stem(each), each)
    places: Counter[str] = Counter()
    turns = []
    for each in sorted(first.values(), key=_standing):
        turns.append((places[each["verdict"]], each))
        places[each["verdict"]] += 1
    chosen = [each for _, each in sorted(turns, key=lambda turn: turn[0])[:lines]]
    return sorted(chosen, key=lambda each: VERDICTS.index(each["verdict"]))


def _stem(record: Record) -> str:
    """A6 of A6, A6b, A6c …"""
    return str(record["id"]).rstrip("bcdefgh")


def _standing(record: Record) -> tuple[bool, float]:
    """The papers' own claims first, then the larger differences."""
    size = abs(record.get("mean_difference") or 0.0) / (record.get("effect") or 1.0)
    return bool(_kind(record)), -size


def noise_table(records: Mapping[str, Record], caption: str = "") -> Html:
    """How far the same seed moved when it was run again, beside the smallest effect that counts.

    Records without such a repeated run are left out.
    """
    columns = ("Claim", "First run", "Run again", "Apart", "Counts from")
    rows = [
        [
            text(f"{record['id']}, {repeated_measure(record)}"),
            *(f"{number(value)}" for value in noise["values"]),
            number(noise["spread"]),
            number(record["effect"]),
        ]
        for record in records.values()
        if (noise := record.get("noise"))
    ]
    if not rows:
        return Html(output("<p>No seed has been run again yet.</p>", kind="table"))
    return Html(table(rows, columns, caption))


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
    told = [record.get("stale"), record.get("explanation")]
    explained = "".join(f"<p>{text(words)}</p>" for words in told if words)
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
        f"{text(record['id'])}<small>{paper}{text(_kind(record, ', '))}</small>",
        text(record["sentence"]),
        _reported(record),
        f"{_difference(record)}{forest(record) if record['differences'] else ''}",
        f"{verdict_html(record['verdict'])}<small>{text(_beside(record))}</small>",
    ]


def _kind(record: Record, before: str = "") -> str:
    """What sort of claim it is, unless it is the paper's own."""
    kind = record.get("kind", "paper")
    return "" if kind == "paper" else f"{before}{kind}"


def _beside(record: Record) -> str:
    """What a reader must know beside the verdict."""
    notes = [record.get("stale") or ""]
    if record["verdict"] == "not testable here":
        notes += [f"Gate: {in_terms(gate)}." for gate in record.get("gates_failed", ())]
    if (record.get("holm") or {}).get("survives") is False:
        notes.append("It does not survive Holm’s correction.")
    return " ".join(filter(None, notes))


def _difference(record: Record) -> str:
    if record.get("mean_difference") is None:
        return '<span class="av-none">no runs</span>'
    between = f" {span(*record['interval'])}" if record.get("interval") else ""
    count = len(record["seeds"])
    told = [_metric(record), "1 seed" if count == 1 else f"{count} seeds"]
    if record.get("sign_test") is not None:
        told.append(f"sign test {_chance(record['sign_test'])}")
    beside = f"<small>{', '.join(filter(None, told))}</small>"
    return f"{number(record['mean_difference'])}{between}{beside}"


def _metric(record: Record) -> str:
    return text(compared(record))


def _reported(record: Record) -> str:
    """The paper's own figures, each source below those that it gives."""
    by_source: dict[str, list[str]] = {}
    for each in record.get("reported") or ():
        figure = f"{text(each['what'])}: {number(each['value'], each.get('unit', ''), 4)}"
        by_source.setdefault(text(each.get("source", "")), []).append(f"<div>{figure}</div>")
    made = [f"{''.join(figures)}<small>{source}</small>" for source, figures in by_source.items()]
    return "".join(f"<div>{each}</div>" for each in made) or '<span class="av-none">none</span>'


def _facts(record: Record) -> dict[str, str]:
    effect = record.get("effect")
    return {
        "Kind": text(_kind(record)),
        "Compared": text(_compared(record)),
        "Counts from": number(effect) if effect else "",
        "Difference": _difference(record),
        "Tests": _tests(record),
        "Gates": text(
            "; ".join(f"failed: {in_terms(gate)}" for gate in record.get("gates_failed") or ())
        ),
        "Noise": _noise(record),
        "Paper": _reported(record),
        "Ran": _ran(record),
        "Before": "".join(
            f"<div>{_earlier(each)}</div>" for each in record.get("superseded") or ()
        ),
    }


def _compared(record: Record) -> str:
    sides = [record.get("treatment"), record.get("baseline")]
    if not all(sides):
        return ""
    if sides[0]["metric"] == sides[1]["metric"]:
        return " against ".join(side["variant"] for side in sides)
    return " against ".join(f"{side['variant']}, {term(side['metric'])}" for side in sides)


def _tests(record: Record) -> str:
    if record.get("p_value") is None:
        return ""
    told = f"t test {_chance(record['p_value'])}"
    if holm := record.get("holm"):
        survives = {True: ": the verdict survives", False: ": the verdict does not survive"}
        over = "1 claim" if holm["claims"] == 1 else f"{holm['claims']} claims"
        told += f"; after Holm’s correction over {over} "
        told += _chance(holm["p_value"]) + survives.get(holm["survives"], "")
    return told


def _chance(p: float) -> str:
    """A p-value, in HTML; of a very small one its size says nothing more."""
    return f"p = {number(p)}" if p >= SMALLEST_P else f"p &lt; {number(SMALLEST_P)}"


def _noise(record: Record) -> str:
    """How far one seed moved when it was run again with another number of threads."""
    if not (noise := record.get("noise")):
        return ""
    once, again = noise["threads"]
    seed, spread = noise["seed"], number(noise["spread"])
    where = ", on different computers" if len(set(noise["hardware"])) > 1 else ""
    what = " of the difference" if noise.get("of") == "difference" else ""
    runs = f"between two runs of seed {seed}, with {once} and with {again} threads"
    return f"{spread}{what} {runs}{where}"


def _earlier(superseded: Record) -> str:
    """A verdict that earlier code or an earlier design led to."""
    seeds = ", ".join(map(str, superseded["seeds"]))
    return text(
        ", ".join(filter(None, [f"{superseded['verdict']} on seeds {seeds}", _commits(superseded)]))
    )


def _commits(record: Record) -> str:
    """Of which code the runs are, and whether it was committed."""
    names = str(record.get("commit") or "").replace("+dirty", " with uncommitted changes")
    return f"commit{'s' * ('; ' in names)} {names.replace('; ', ', ')}" if names else ""


def _ran(record: Record) -> str:
    scale = f"{record['scale']} scale" if record.get("scale") else ""
    seeds = f"seeds {', '.join(map(str, record['seeds']))}" if record["seeds"] else ""
    seconds = f"{record['seconds']:.0f} s" if record.get("seconds") is not None else ""
    hardware = record.get("hardware") or record.get("device") or ""
    return text(" · ".join(filter(None, [scale, seeds, hardware, seconds, _commits(record)])))
