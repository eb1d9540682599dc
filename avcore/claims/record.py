"""Records: one JSON file per claim and scale, computed anew from its runs when it is read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from avcore.claims.catalogue import CLAIMS, find_claim
from avcore.claims.claim import Claim
from avcore.claims.evidence import (
    FORMAT,
    Evidence,
    Record,
    read_evidence,
)
from avcore.claims.fingerprint import fingerprint
from avcore.claims.statistics import NOT_JUDGED
from avcore.claims.summary import corrected, paired
from avcore.environment import ROOT
from avcore.support import SCALES, AvcoreError, by_scale


def results_folder(results_dir: str | Path | None = None) -> Path:
    """Where records are kept: `results_dir`, else $AVCORE_RESULTS, else the book's own results."""
    if results_dir is not None or os.environ.get("AVCORE_RESULTS"):
        return Path(results_dir or os.environ["AVCORE_RESULTS"])
    return (ROOT if (ROOT / "book").is_dir() else Path.cwd()) / "book" / "results"


def record_path(claim_id: str, scale: str, results_dir: str | Path | None = None) -> Path:
    """The file that holds a claim's record at a scale."""
    by_scale(scale, **dict.fromkeys(SCALES))  # an unknown scale is an error
    return results_folder(results_dir) / scale / f"{claim_id}.json"


def load_record(claim_id: str, scale: str, results_dir: str | Path | None = None) -> Record | None:
    """The record of a claim at a scale, or None when there is none; see `load_records`."""
    paper = find_claim(claim_id).paper
    return load_records(scale, results_dir, paper).get(claim_id)


def recorded(claim_id: str, scale: str, results_dir: str | Path | None = None) -> Record | None:
    """The record of a claim at a scale or, where there is none, at quick or at full scale."""
    found = (load_record(claim_id, each, results_dir) for each in (scale, "quick", "full"))
    return next((record for record in found if record is not None), None)


def recorded_values(record: Record | None, variant: str, metric: str) -> list[float]:
    """A value of a variant's runs, one per seed; none of a record that is missing or stale."""
    runs = record["runs"] if record and not record["stale"] else ()
    return [
        run["values"][metric]
        for run in sorted(runs, key=lambda run: run["seed"])
        if run["variant"] == variant and metric in run["values"]
    ]


def recorded_differences(record: Record | None) -> list[float]:
    """Treatment minus baseline, one per seed; none of a record that is missing or stale."""
    return list(record["differences"]) if record and not record["stale"] else []


def load_records(
    scale: str,
    results_dir: str | Path | None = None,
    paper: str | None = None,
    claims: Mapping[str, Claim] | None = None,
) -> dict[str, Record]:
    """All records at a scale, or those of one paper, by claim, in the order of `claims`.

    Verdicts, intervals and all else that can be computed is computed from the runs. The words
    are the catalogue's as they are now. A record of an earlier design is not judged: `stale` says
    why, and `superseded` holds its verdict. A file that is damaged or of a future version is
    named in a warning and counts as none.
    """
    found = {}
    for claim in (CLAIMS if claims is None else claims).values():
        path = record_path(claim.id, scale, results_dir)
        if paper in (None, claim.paper) and path.exists():
            try:
                found[claim.id] = present(claim, read_evidence(path))
            except AvcoreError as error:
                warnings.warn(str(error), stacklevel=2)
    return corrected(found)


def is_current(record: Record) -> bool:
    """Whether a record is of the claim's present design and code, see `fingerprint`."""
    return not record["stale"] and record["fingerprint"] == fingerprint(find_claim(record["id"]))


def present(claim: Claim, evidence: Evidence) -> Record:
    """The record in the catalogue's present words."""
    record = evidence.record()
    words = {name: getattr(claim, name) for name in ("paper", "kind", "sentence")}
    record |= words | {"reported": [asdict(each) for each in claim.reported]}
    if evidence.format != FORMAT or evidence.claim.design != claim.design:
        why = "These runs belong to an earlier design of the claim, so they are not judged."
        history = list(evidence.history())
        return record | {
            "verdict": NOT_JUDGED, "superseded": history, "stale": why, "explanation": ""
        }  # fmt: skip
    values = paired(claim, evidence.runs)
    treated, plain = (values[side.variant] for side in (claim.treatment, claim.baseline))
    return record | {"stale": "", "explanation": claim.explained(treated, plain)}
