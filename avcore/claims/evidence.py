"""What a results file holds, read with suspicion and written whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avcore.claims.claim import Claim, Gate, Reported, Side
from avcore.claims.statistics import NOT_JUDGED, VERDICTS
from avcore.claims.summary import Run, complete_seeds, summarise
from avcore.support import AvcoreError, atomic_write

FORMAT = 2
NUMBER, WORD = (int, float), (str,)  # exact types: True is no number
RUN = {
    "variant": WORD, "seed": (int,), "values": (dict,), "seconds": NUMBER, "device": WORD,
    "hardware": WORD, "commit": (str, type(None)), "versions": (dict,),
    "threads": (int, type(None)),
}  # fmt: skip
HISTORY = {
    "verdict": WORD, "mean_difference": NUMBER, "interval": (list,), "seeds": (list,),
    "effect": NUMBER, "fingerprint": WORD, "commit": (str, type(None)),
}  # fmt: skip
UNREADABLE = (  # what a file of anybody's making may lead to
    OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
Record = dict[str, Any]


class DamagedRecord(AvcoreError):
    """A results file that is not a whole record."""


class FutureRecord(AvcoreError):
    """A results file of a version that this code does not know; it is left alone."""


@dataclass(frozen=True)
class Evidence:
    """What a results file holds that cannot be computed.

    Attributes
    ----------
    claim
        As it was declared when the runs were made.
    fingerprint
        Of the code that made the runs.
    repeat
        A run with another number of threads, whose first is among `runs`.
    superseded
        The verdicts that earlier code or an earlier design led to.
    format
        Of the file; format 1 knew neither smallest effects nor planned seeds.
    """

    claim: Claim
    scale: str
    fingerprint: str
    runs: tuple[Run, ...]
    repeat: Run | None = None
    superseded: tuple[dict[str, Any], ...] = ()
    format: int = FORMAT

    def is_of(self, experiment: str, code: str) -> bool:
        """Whether the runs are of this experiment and code; the first format hashed otherwise."""
        made = (self.format, self.claim.experiment_name, self.fingerprint)
        return made == (FORMAT, experiment, code)

    def belongs_to(self, claim: Claim, code: str) -> bool:
        """Whether the runs were made by this code for the claim as it is declared now."""
        return self.is_of(claim.experiment_name, code) and self.claim.design == claim.design

    @property
    def n_seeds(self) -> int:
        """How many seeds are complete."""
        return len(complete_seeds(self.claim, self.runs))

    def record(self) -> Record:
        """The whole record; all that can be computed is."""
        described = {name: getattr(self.claim, name) for name in ("paper", "kind", "sentence")}
        described |= {"reported": [asdict(each) for each in self.claim.reported]}
        return {
            "format": FORMAT,
            "id": self.claim.id,
            **described,
            "scale": self.scale,
            **self.claim.design,
            "fingerprint": self.fingerprint,
            **summarise(self.claim, self.scale, self.runs, self.repeat),
            "superseded": list(self.superseded),
            "repeat": self.repeat,
            "runs": list(self.runs),
        }

    def history(self) -> tuple[dict[str, Any], ...]:
        """The verdicts that these runs and those before them led to."""
        record = self.record()
        if record["verdict"] == NOT_JUDGED:
            return self.superseded
        return (*self.superseded, {name: record[name] for name in HISTORY})


def read_evidence(path: Path) -> Evidence:
    """What a results file holds; nothing in it that can be computed is trusted.

    Raises
    ------
    DamagedRecord
        When the file is not whole, not JSON or not a record of the claim that it is named after.
    FutureRecord
        When a later version of avcore wrote it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format"]
        if type(version) is int and version > FORMAT:
            raise FutureRecord(
                f"{path} is a record of format {version}, and this version of avcore reads up to"
                f" {FORMAT}: use a later one; the file was left as it is"
            )
        json.dumps(content, allow_nan=False)  # it must be possible to write it again
        evidence = {1: _from_format_1, FORMAT: _from_format_2}[version](content)
        summarise(evidence.claim, evidence.scale, evidence.runs, evidence.repeat)
    except FutureRecord:
        raise
    except UNREADABLE as error:
        raise DamagedRecord(f"the results file {path} is damaged") from error
    if (evidence.claim.id, evidence.scale) != (path.name.partition(".")[0], path.parent.name):
        raise DamagedRecord(f"{path} is not a record of claim {path.name.partition('.')[0]}")
    return evidence


def _from_format_2(content: Record) -> Evidence:
    claim = Claim(
        **{name: content[name] for name in ("id", "paper", "kind", "sentence", "experiment")},
        **{name: content[name] for name in ("direction", "effect", "planned", "first_seed")},
        treatment=Side(**content["treatment"]),
        baseline=Side(**content["baseline"]),
        gates=tuple(Gate(**gate) for gate in content["gates"]),
        reported=tuple(Reported(**figure) for figure in content["reported"]),
    )
    repeat = content["repeat"]
    return Evidence(
        claim=claim,
        scale=content["scale"],
        fingerprint=_typed({"fingerprint": WORD}, content)["fingerprint"],
        runs=tuple(_checked_run(run) for run in content["runs"]),
        repeat=None if repeat is None else _checked_run(repeat),
        superseded=tuple(_checked_history(each) for each in content["superseded"]),
    )


def _from_format_1(content: Record) -> Evidence:
    """A record of before smallest effects and planned seeds; its verdict becomes history."""
    metric = content["metric"]
    claim = Claim(
        **{name: content[name] for name in ("id", "paper", "sentence", "experiment", "direction")},
        treatment=Side(content["treatment"], metric),
        baseline=Side(content["baseline"], metric),
        effect=content["margin"],
    )
    told = {name: content.get(name, content["margin"]) for name in HISTORY}  # effect: the margin
    judged = content["verdict"] != NOT_JUDGED
    return Evidence(
        claim=claim,
        scale=content["scale"],
        fingerprint=_typed({"fingerprint": WORD}, content)["fingerprint"],
        runs=tuple(_checked_run({"threads": None} | run) for run in content["runs"]),
        superseded=(_checked_history(told),) if judged else (),
        format=1,
    )


def _checked_run(run: Run) -> Run:
    """The run, if all is there that a record says of a run, with numbers that are numbers."""
    for number in [*_typed(RUN, run)["values"].values(), run["seconds"]]:
        if type(number) not in NUMBER or not math.isfinite(number):
            raise ValueError("a value is no finite number")
    return run


def _checked_history(superseded: dict[str, Any]) -> dict[str, Any]:
    """An earlier verdict, if it is one."""
    told = _typed(HISTORY, superseded)
    numbers = [told["mean_difference"], told["effect"], *told["interval"], *told["seeds"]]
    if told["verdict"] not in VERDICTS or not all(type(each) in NUMBER for each in numbers):
        raise ValueError("a verdict that is none")
    return told


def _typed(types: dict[str, tuple[type, ...]], content: Record) -> Record:
    """What `types` names, if each is there and exactly of one of its types."""
    for name, allowed in types.items():
        if type(content[name]) not in allowed:
            raise TypeError(f"{name} is a {type(content[name]).__name__}")
    return {name: content[name] for name in types}


def save(evidence: Evidence, path: Path) -> None:
    """Write the record, whole or not at all."""
    text = json.dumps(evidence.record(), indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text + "\n")


def set_aside(path: Path, why: str, say: Callable[[str], None]) -> Path:
    """Rename a results file so that it is kept but no longer read, and say so."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.{why}-{number}.json.old")).exists():
        number += 1
    path.rename(aside)
    say(f"{path} is {why}: kept as {aside.name}, its runs are made again")
    return aside
