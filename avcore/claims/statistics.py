"""What a handful of paired differences can and cannot say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from avcore.claims.claim import check_direction
from avcore.support import AvcoreError

FEWEST_SEEDS = 3
NOT_JUDGED = "not judged"
WORDS = ("less", "equal", "more")


def bootstrap_interval(
    differences: Sequence[float], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean difference; None for fewer than two.

    The percentile bootstrap is too narrow for few values: with three, the 95 % interval is
    simply from the smallest to the largest. It excludes zero exactly when all three differences
    have the same sign, which happens by chance, without any effect, one time in four (with five
    seeds one in sixteen). So always show n, and `sign_test`, beside it.

    Parameters
    ----------
    differences
        One number a seed, treatment minus baseline.
    confidence
        Between 0 and 1.
    """
    values = _finite(differences)
    if len(values) < 2:
        return None
    result = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=9999,
        method="percentile",
        random_state=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def sign_test(differences: Sequence[float]) -> float | None:
    """Two-sided chance, without any effect, of signs as unequal as these; zeros are left out.

    It assumes nothing but that seeds are independent. None when every difference is zero.
    """
    signs = np.sign(_finite(differences))
    signs = signs[signs != 0]
    if len(signs) == 0:
        return None
    return float(stats.binomtest(int((signs > 0).sum()), len(signs)).pvalue)


def verdict(
    differences: Sequence[float],
    direction: str = "higher",
    margin: float = 0.0,
    confidence: float = 0.95,
) -> str:
    """Judge a claim by its differences, treatment minus baseline, one a seed.

    Returns
    -------
    "reproduced" when the bootstrap interval of the mean excludes zero on the claimed side,
    "contradicted" when it excludes zero on the other, "inconclusive" when it holds zero, and
    "not judged" for fewer than three seeds. See `bootstrap_interval` for how little three say.

    A claim that two variants are "equal" is reproduced when the interval lies within `margin` of
    zero, contradicted when it lies beyond the margin on one side, else inconclusive: that no
    difference was found is not yet equality.
    """
    check_direction(direction, margin)
    if len(differences) < FEWEST_SEEDS:
        return NOT_JUDGED
    low, high = bootstrap_interval(differences, confidence)
    if direction == "equal":
        if -margin < low and high < margin:
            return "reproduced"
        return "contradicted" if low > margin or high < -margin else "inconclusive"
    if low <= 0 <= high:
        return "inconclusive"
    return "reproduced" if (low > 0) == (direction == "higher") else "contradicted"


def compare(
    values: Sequence[float], others: Sequence[float], words: tuple[str, str, str] = WORDS
) -> str:
    """Whether paired values are less or more than others: the words of a sentence on them.

    Parameters
    ----------
    values, others
        One number a sample each, of the same samples: arrays, tensors or lists of length N.
    words
        What to say when the bootstrap interval of the mean difference lies below zero, holds it
        (or fewer than two samples allow none), and lies above.

    Raises
    ------
    AvcoreError
        When the two differ in length or are not finite.
    """
    if len(values) != len(others):
        raise AvcoreError(f"{len(values)} values cannot be paired with {len(others)}")
    differences = np.asarray(values, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    low, high = bootstrap_interval(differences) or (-1.0, 1.0)
    return words[2] if low > 0 else words[0] if high < 0 else words[1]


def _finite(differences: Sequence[float]) -> np.ndarray:
    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise AvcoreError(f"differences must be finite numbers, got {list(differences)}")
    return values
