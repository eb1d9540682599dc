"""What a handful of paired differences can and cannot say."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import stats

from avcore.support import AvcoreError

FEWEST_SEEDS = 5
CONFIDENCE = 0.95
DIRECTIONS = ("higher", "lower", "equal")
REPRODUCED, CONTRADICTED = "reproduced", "contradicted"
NO_EFFECT, INCONCLUSIVE = "no effect that counts", "inconclusive"
NOT_TESTABLE, NOT_JUDGED = "not testable here", "not judged"
VERDICTS = (REPRODUCED, CONTRADICTED, NO_EFFECT, INCONCLUSIVE, NOT_TESTABLE, NOT_JUDGED)


def t_interval(
    differences: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Student's t interval of the mean difference; None for fewer than two.

    It is exact when the differences are normal. Of n differences with mean m and standard
    deviation s it reaches from m - t s/√n to m + t s/√n, where t is the quantile of Student's t
    distribution with n - 1 degrees of freedom. Differences that are all the same give an interval
    without width.

    Parameters
    ----------
    differences
        One finite number per seed, treatment minus baseline.
    confidence
        Between 0 and 1, such as 0.95.
    """
    _check_confidence(confidence)
    values = _finite(differences)
    if len(values) < 2:
        return None
    mean, error = _mean_and_error(values)
    reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


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
    effect: float = 0.0,
    confidence: float = CONFIDENCE,
    planned: int = FEWEST_SEEDS,
) -> str:
    """Judge a claim by its differences, treatment minus baseline, one per seed.

    Parameters
    ----------
    differences
        Finite numbers.
    direction
        What the claim says of the treatment: "higher", "lower" or "equal".
    effect
        The smallest difference that counts, at least 0; for "equal" the margin, above 0.
    confidence
        Of the t interval of the mean that judges; "equal" uses two one-sided tests, that is, the
        interval of confidence 2 · confidence - 1.
    planned
        How many seeds were planned: fewer are not judged, nor are fewer than five.

    Returns
    -------
    For "higher" and "lower": "reproduced" when the interval excludes zero on the claimed side and
    the mean reaches `effect`; "contradicted" when the same holds on the other side; "no effect
    that counts" when the interval lies within ±`effect`; else "inconclusive".
    For "equal": "reproduced" when the interval lies within ±`effect`, "contradicted" when it lies
    beyond on one side; else "inconclusive". That no difference was found is not yet equality.
    For too few seeds: "not judged".

    Raises
    ------
    AvcoreError
        For an unknown direction, an effect or a confidence out of range, or a difference that is
        not a finite number.
    """
    check_effect(direction, effect)
    values = _finite(differences)
    interval = t_interval(values, judging_confidence(direction, confidence))
    if interval is None or len(values) < max(planned, FEWEST_SEEDS):
        return NOT_JUDGED
    low, high = interval
    if direction == "equal":
        beyond = low > effect or high < -effect
        within = -effect < low and high < effect
        return REPRODUCED if within else CONTRADICTED if beyond else INCONCLUSIVE
    mean = statistics.mean(values)
    if (low > 0 or high < 0) and abs(mean) >= effect:
        return REPRODUCED if (mean > 0) == (direction == "higher") else CONTRADICTED
    return NO_EFFECT if -effect <= low and high <= effect else INCONCLUSIVE


def judging_confidence(direction: str, confidence: float = CONFIDENCE) -> float:
    """Confidence of the interval that judges: two one-sided tests need less for "equal"."""
    _check_confidence(confidence)
    level = 2 * confidence - 1 if direction == "equal" else confidence
    if level <= 0:
        raise AvcoreError(f"equality is judged with a confidence above 0.5, got {confidence}")
    return level


def p_value(
    differences: Sequence[float], direction: str = "higher", effect: float = 0.0
) -> float | None:
    """p value of the test that the verdict rests on; None for fewer than two differences.

    For "higher" and "lower": the two-sided paired t test of no difference. For "equal": the
    larger of the two one-sided tests of a difference of at least `effect`; when the mean itself
    lies beyond the margin, the one-sided test of a difference within it.
    """
    check_effect(direction, effect)
    values = _finite(differences)
    if len(values) < 2:
        return None
    mean, error = _mean_and_error(values)
    if direction != "equal":
        return 2 * _tail(abs(mean), error, len(values))
    return _tail(abs(abs(mean) - effect), error, len(values))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for their number by Holm's step-down rule, in the same order.

    With the k-th smallest of m multiplied by m - k + 1, and none smaller than the one before,
    all that stay below 0.05 are false together at most once in twenty times.

    Raises
    ------
    AvcoreError
        For a p value that is none.
    """
    for name, chance in p_values.items():
        if not 0 <= chance <= 1:
            raise AvcoreError(f"p values lie between 0 and 1, got {chance} for {name}")
    corrected, largest = {}, 0.0
    for position, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


class Comparison(NamedTuple):
    """Paired values set against others: means, and the 95 % t interval of the difference."""

    mean: float
    other: float
    difference: float
    low: float  # -inf and inf where fewer than two samples allow no interval
    high: float
    n: int

    @property
    def word(self) -> str:
        """ "more" or "less" where the interval excludes zero, else "equal": not told apart."""
        return "more" if self.low > 0 else "less" if self.high < 0 else "equal"


def compare(values: Sequence[float], others: Sequence[float]) -> Comparison:
    """Set paired values against others of the same samples, each of length N.

    Raises
    ------
    AvcoreError
        When the two differ in length, are empty or are not finite.
    """
    if not 0 < len(values) == len(others):
        raise AvcoreError(f"{len(values)} values cannot be paired with {len(others)}")
    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (values, others))
    low, high = t_interval(ours - theirs) or (-math.inf, math.inf)
    means = float(ours.mean()), float(theirs.mean())
    return Comparison(*means, means[0] - means[1], low, high, len(ours))


def check_effect(direction: str, effect: float) -> None:
    """Refuse an unknown direction, and a smallest effect that is no size or missing for "equal"."""
    if direction not in DIRECTIONS:
        raise AvcoreError(f"a claim's direction is {', '.join(DIRECTIONS)}, not {direction!r}")
    if not isinstance(effect, Real) or not 0 <= effect < math.inf:
        raise AvcoreError(f"the smallest effect that counts is a number from 0 up, not {effect!r}")
    if direction == "equal" and effect == 0:
        raise AvcoreError("a claim of 'equal' wants a margin above 0 as its effect")


def _check_confidence(confidence: float) -> None:
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise AvcoreError(f"a confidence lies between 0 and 1, such as 0.95, got {confidence!r}")


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, exact in that equal values have an error of zero."""
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return mean, deviation / math.sqrt(len(values))


def _tail(distance: float, error: float, count: int) -> float:
    """Chance of a mean at least so far beyond the null hypothesis, on one side."""
    if error == 0:
        return 0.0 if distance > 0 else 0.5
    return float(stats.t.sf(distance / error, count - 1))


def _finite(differences: Sequence[float]) -> list[float]:
    try:
        values = np.asarray(differences, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.array([math.nan])
    if values.ndim != 1 or not np.isfinite(values).all():
        raise AvcoreError(f"differences must be finite numbers, got {differences!r}")
    return values.tolist()
