"""What the runs say about a claim; never read from a file, always computed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from avcore.claims.claim import Claim
from avcore.claims.statistics import (
    CONFIDENCE,
    CONTRADICTED,
    FEWEST_SEEDS,
    NOT_JUDGED,
    NOT_TESTABLE,
    REPRODUCED,
    holm,
    judging_confidence,
    p_value,
    sign_test,
    t_interval,
    verdict,
)

Run = dict[str, Any]  # variant, seed, values and what they were made with


def paired(claim: Claim, runs: Sequence[Run]) -> dict[str, list[dict[str, float]]]:
    """The values of each variant's runs, in the order of the seeds for which all were run."""
    found = {(run["variant"], run["seed"]): run["values"] for run in runs}
    seeds = complete_seeds(claim, runs)
    return {variant: [found[variant, seed] for seed in seeds] for variant in claim.needs}


def complete_seeds(claim: Claim, runs: Sequence[Run]) -> list[int]:
    """The seeds for which every variant has been run and gives the values that are read of it."""
    found = {
        (run["variant"], run["seed"]) for run in runs if claim.uses(run["variant"], run["values"])
    }
    seeds = {seed for _, seed in found}
    return sorted(seed for seed in seeds if all((each, seed) in found for each in claim.needs))


def summarise(
    claim: Claim, scale: str, runs: Sequence[Run], repeat: Run | None = None
) -> dict[str, Any]:
    """The computed part of a record: differences, interval, tests, gates, noise and verdict."""
    seeds, values = complete_seeds(claim, runs), paired(claim, runs)
    treated = [run[claim.treatment.metric] for run in values[claim.treatment.variant]]
    plain = [run[claim.baseline.metric] for run in values[claim.baseline.variant]]
    differences = [one - other for one, other in zip(treated, plain, strict=True)]
    failed = [str(gate) for gate in claim.gates if seeds and not gate.passes(values[gate.variant])]
    if scale == "smoke" or len(seeds) < max(claim.planned, FEWEST_SEEDS):
        judged = NOT_JUDGED
    elif failed:
        judged = NOT_TESTABLE
    else:
        judged = verdict(differences, claim.direction, claim.effect)
    level = judging_confidence(claim.direction)
    interval = t_interval(differences, level)
    return {
        "seeds": seeds,
        "treatment_values": treated,
        "baseline_values": plain,
        "differences": differences,
        "mean_difference": fmean(differences) if seeds else None,
        "interval": list(interval) if interval else None,
        "confidence": level,
        "p_value": p_value(differences, claim.direction, claim.effect),
        "sign_test": sign_test(differences),
        "gates_failed": failed,
        "noise": noise(claim, runs, repeat),
        "verdict": judged,
        "seconds": round(sum(run["seconds"] for run in runs), 2),
        **{name: _joined(runs, name) for name in ("device", "hardware", "commit")},
        "versions": runs[-1]["versions"] if runs else {},
    }


def noise(claim: Claim, runs: Sequence[Run], repeat: Run | None) -> dict[str, Any] | None:
    """How far a score moved when one seed was run again, with other threads.

    The score is the treatment's metric; where one run gives both sides, it is their difference.
    """
    side, other = claim.treatment, claim.baseline
    both = side.variant == other.variant
    for first in runs if repeat else ():
        if (first["variant"], first["seed"]) == (side.variant, repeat["seed"]):
            once, again = (
                run["values"][side.metric] - (run["values"][other.metric] if both else 0.0)
                for run in (first, repeat)
            )
            return {
                "seed": repeat["seed"],
                "of": "difference" if both else "treatment",
                "threads": [first["threads"], repeat["threads"]],
                "hardware": [first["hardware"], repeat["hardware"]],
                "values": [once, again],
                "spread": abs(once - again),
            }
    return None


def corrected(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records by claim, each with Holm's correction over the judged claims of the same paper.

    `holm` is None for a record that is not judged, else the corrected p value, over how many
    claims, and whether the verdict survives; None where there is nothing to survive.
    """
    judged = [
        each for each in records.values() if each["verdict"] not in (NOT_JUDGED, NOT_TESTABLE)
    ]
    found: dict[str, Any] = {}
    for paper in {each["paper"] for each in judged}:
        family = {each["id"]: each["p_value"] for each in judged if each["paper"] == paper}
        for claim_id, chance in holm(family).items():
            decided = records[claim_id]["verdict"] in (REPRODUCED, CONTRADICTED)
            survives = chance < 1 - CONFIDENCE if decided else None
            found[claim_id] = {"p_value": chance, "claims": len(family), "survives": survives}
    return {claim_id: each | {"holm": found.get(claim_id)} for claim_id, each in records.items()}


def _joined(runs: Sequence[Run], name: str) -> str | None:
    """The one value that all runs share, or all of them."""
    return "; ".join(sorted({str(run[name]) for run in runs if run[name]})) or None
