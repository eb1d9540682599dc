"""All claims and what became of them, as one JSON file for readers and machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avcore.claims.catalogue import CLAIMS
from avcore.claims.claim import Claim
from avcore.claims.evidence import Record
from avcore.claims.record import is_current, load_records
from avcore.support import atomic_write

FORMAT = 1
JUDGED_AT = ("quick", "full")
OUTCOME = (
    "verdict", "seeds", "differences", "mean_difference", "interval", "confidence", "p_value",
    "holm", "sign_test", "gates_failed", "noise", "explanation", "stale", "superseded", "seconds",
    "device", "hardware", "commit", "versions", "fingerprint",
)  # fmt: skip


def registry(path: str | Path, results_dir: str | Path | None = None) -> dict[str, Any]:
    """Write all claims, with the outcome of their records at quick and full scale, to `path`.

    Parameters
    ----------
    path
        The JSON file; written whole or not at all.
    results_dir
        Folder of the records, see `results_folder`.

    Returns
    -------
    What was written: `format` and `claims`, a list in the order of `CLAIMS`. A claim has its
    declaration, and `outcomes` by scale; `current` says whether an outcome is of the present code.
    """
    records = {scale: load_records(scale, results_dir) for scale in JUDGED_AT}
    content = {
        "format": FORMAT,
        "claims": [
            _declared(claim)
            | {
                "outcomes": {
                    scale: _outcome(found[claim.id])
                    for scale, found in records.items()
                    if claim.id in found
                }
            }
            for claim in CLAIMS.values()
        ],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text + "\n")
    return json.loads(text)


def _declared(claim: Claim) -> dict[str, Any]:
    """The claim as it was declared before its runs."""
    words = {name: getattr(claim, name) for name in ("id", "paper", "kind", "sentence")}
    return words | {"reported": [asdict(each) for each in claim.reported]} | claim.design


def _outcome(record: Record) -> dict[str, Any]:
    return {name: record[name] for name in OUTCOME} | {"current": is_current(record)}
