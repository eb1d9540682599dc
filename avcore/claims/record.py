"""Records: one JSON file a claim and scale, written whole, never read when damaged."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from avcore.claims.catalogue import CLAIMS, find_claim
from avcore.claims.claim import Claim
from avcore.claims.fingerprint import fingerprint
from avcore.claims.statistics import NOT_JUDGED, bootstrap_interval, sign_test, verdict
from avcore.environment import ROOT
from avcore.support import SCALES, AvcoreError, atomic_write, by_scale

FORMAT = 1
Run = dict[str, Any]  # with RUN_FIELDS
RUN_FIELDS = {
    "variant", "seed", "values", "seconds", "device", "hardware", "commit", "versions",
}  # fmt: skip
FIELDS = {
    "format", "id", "paper", "sentence", "experiment", "treatment", "baseline", "metric",
    "direction", "margin", "reported", "explanation", "scale", "seeds", "treatment_values",
    "baseline_values", "differences", "mean_difference", "interval", "confidence", "sign_test",
    "verdict", "seconds", "device", "hardware", "commit", "versions", "fingerprint", "runs",
}  # fmt: skip


class DamagedRecord(AvcoreError):
    """A results file that is not a whole record."""


def results_folder(results_dir: str | Path | None = None) -> Path:
    """Where records are kept: `results_dir`, else $AVCORE_RESULTS, else the book's own results."""
    if results_dir is not None or os.environ.get("AVCORE_RESULTS"):
        return Path(results_dir or os.environ["AVCORE_RESULTS"])
    return (ROOT if (ROOT / "book").is_dir() else Path.cwd()) / "book" / "results"


def record_path(claim_id: str, scale: str, results_dir: str | Path | None = None) -> Path:
    """The file that holds a claim's record at a scale."""
    by_scale(scale, **dict.fromkeys(SCALES))  # an unknown scale is an error
    return results_folder(results_dir) / scale / f"{claim_id}.json"


def load_record(
    claim_id: str, scale: str, results_dir: str | Path | None = None
) -> dict[str, Any] | None:
    """The record of a claim at a scale, or None when there is none.

    A damaged file is named in a warning and counts as none; `reproduce` sets it aside. The
    explanation is that of the catalogue as it is now.
    """
    claim = find_claim(claim_id)
    path = record_path(claim_id, scale, results_dir)
    try:
        if not path.exists():
            return None
        record = read_record(path)
        values = record["treatment_values"], record["baseline_values"]
        return record | {"explanation": claim.explained(*values)}
    except DamagedRecord as error:
        warnings.warn(str(error), stacklevel=2)
        return None


def recorded(
    claim_id: str, scale: str, results_dir: str | Path | None = None
) -> dict[str, Any] | None:
    """The record of a claim at a scale or, where there is none, at quick or at full scale."""
    found = (load_record(claim_id, each, results_dir) for each in (scale, "quick", "full"))
    return next((record for record in found if record is not None), None)


def is_current(record: dict[str, Any]) -> bool:
    """Whether a record was made by the code of its experiment as it is now, see `fingerprint`."""
    return record["fingerprint"] == fingerprint(find_claim(record["id"]))


def load_records(scale: str, results_dir: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """All records at a scale, by claim, in the order of `CLAIMS`."""
    found = {claim_id: load_record(claim_id, scale, results_dir) for claim_id in CLAIMS}
    return {claim_id: record for claim_id, record in found.items() if record is not None}


def read_record(path: Path) -> dict[str, Any]:
    """Content of a record.

    Raises
    ------
    DamagedRecord
        When the file is not whole, not JSON or not a record.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = FIELDS <= content.keys() and all(map(_is_run, content["runs"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRecord(f"the results file {path} is damaged") from error
    if not whole:
        raise DamagedRecord(f"the results file {path} is damaged")
    if content["format"] != FORMAT or content["id"] != path.stem:
        raise DamagedRecord(f"{path} is not a record of claim {path.stem}")
    return content


def _is_run(run: dict[str, Any]) -> bool:
    """Whether all is there that a record says of a run, with numbers that are numbers."""
    numbers = [*run["values"].values(), run["seconds"]]
    return (
        RUN_FIELDS <= run.keys()
        and type(run["seed"]) is int
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    )


def set_aside(path: Path, why: str, say: Callable[[str], None]) -> Path:
    """Rename a results file so that it is kept but no longer read, and say so."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.{why}-{number}.json.old")).exists():
        number += 1
    path.rename(aside)
    say(f"{path} is {why}: kept as {aside.name}, its runs are made again")
    return aside


def save_record(claim: Claim, scale: str, code: str, runs: list[Run], path: Path) -> dict:
    """Summarise `runs` of the code with this fingerprint, write the record, and return it."""
    record = summarise(claim, scale, runs) | {"fingerprint": code, "runs": runs}
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text + "\n")
    return json.loads(text)


def summarise(claim: Claim, scale: str, runs: list[Run]) -> dict[str, Any]:
    """What the runs say about the claim, from the seeds for which both variants were run."""
    by_variant = {
        variant: {
            run["seed"]: run["values"][claim.metric] for run in runs if run["variant"] == variant
        }
        for variant in (claim.treatment, claim.baseline)
    }
    treated, plain = by_variant[claim.treatment], by_variant[claim.baseline]
    seeds = sorted(treated.keys() & plain.keys())
    differences = [treated[seed] - plain[seed] for seed in seeds]
    judged = NOT_JUDGED if scale == "smoke" else verdict(differences, claim.direction, claim.margin)
    described = asdict(claim) | {"experiment": claim.experiment_name}
    described["explanation"] = claim.explained(
        [treated[seed] for seed in seeds], [plain[seed] for seed in seeds]
    )
    return {
        "format": FORMAT,
        **{name: value for name, value in described.items() if name != "scales"},
        "scale": scale,
        "seeds": seeds,
        "treatment_values": [treated[seed] for seed in seeds],
        "baseline_values": [plain[seed] for seed in seeds],
        "differences": differences,
        "mean_difference": float(np.mean(differences)) if seeds else None,
        "interval": bootstrap_interval(differences),
        "confidence": 0.95,
        "sign_test": sign_test(differences) if seeds else None,
        "verdict": judged,
        "seconds": round(sum(run["seconds"] for run in runs), 2),
        **{name: _joined(runs, name) for name in ("device", "hardware", "commit")},
        "versions": runs[-1]["versions"] if runs else {},
    }


def _joined(runs: list[Run], name: str) -> str | None:
    """The one value that all runs share, or all of them."""
    return "; ".join(sorted({str(run[name]) for run in runs if run[name]})) or None
