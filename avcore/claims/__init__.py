"""Claims are data: what a paper says, the experiment that tests it, and what came out.

`CLAIMS` lists them, `reproduce` runs them (paired by seed, resumable) and records one JSON file
per claim, `recorded` reads it back, `verdict` is the rule that judges, `registry` publishes all.
"""

from avcore.claims.catalogue import CLAIMS, find_claim
from avcore.claims.claim import Claim, Gate, Reported, Side
from avcore.claims.engine import reproduce, run_claim
from avcore.claims.record import (
    is_current,
    load_record,
    load_records,
    record_path,
    recorded,
    recorded_differences,
    recorded_values,
    results_folder,
)
from avcore.claims.registry import registry
from avcore.claims.statistics import (
    VERDICTS,
    Comparison,
    compare,
    holm,
    p_value,
    sign_test,
    t_interval,
    verdict,
)

__all__ = [
    "CLAIMS",
    "VERDICTS",
    "Claim",
    "Comparison",
    "Gate",
    "Reported",
    "Side",
    "compare",
    "find_claim",
    "holm",
    "is_current",
    "load_record",
    "load_records",
    "p_value",
    "record_path",
    "recorded",
    "recorded_differences",
    "recorded_values",
    "registry",
    "reproduce",
    "results_folder",
    "run_claim",
    "sign_test",
    "t_interval",
    "verdict",
]
