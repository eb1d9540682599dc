"""The rule of verdicts: by hand, in its degenerate cases, and how often it is wrong."""

import math

import numpy as np
import pytest
from scipy import stats

from avcore.claims import compare, holm, p_value, sign_test, t_interval, verdict
from avcore.support import AvcoreError

CLEAR = [0.10, 0.12, 0.08, 0.11, 0.09]
SMALL = [0.010, 0.012, 0.008, 0.011, 0.009]
MIXED = [0.3, -0.2, 0.1, -0.3, 0.2]


def minus(values):
    return [-value for value in values]


# --- verdicts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "direction", "effect", "expected"),
    [
        (CLEAR, "higher", 0.0, "reproduced"),
        (CLEAR, "higher", 0.05, "reproduced"),
        (CLEAR, "lower", 0.05, "contradicted"),
        (minus(CLEAR), "higher", 0.05, "contradicted"),
        (minus(CLEAR), "lower", 0.05, "reproduced"),
        (SMALL, "higher", 0.0, "reproduced"),
        (SMALL, "higher", 0.02, "no effect that counts"),  # surely not zero, but too small
        (minus(SMALL), "higher", 0.02, "no effect that counts"),
        (SMALL, "lower", 0.02, "no effect that counts"),
        (SMALL, "higher", 0.0105, "inconclusive"),  # the interval reaches beyond, the mean not
        (MIXED, "higher", 0.02, "inconclusive"),
        (MIXED, "lower", 0.02, "inconclusive"),
        (MIXED, "higher", 0.0, "inconclusive"),
        (CLEAR[:4], "higher", 0.0, "not judged"),
        ([], "higher", 0.0, "not judged"),
    ],
)
def test_the_verdict_by_hand(differences, direction, effect, expected):
    assert verdict(differences, direction, effect) == expected


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([-0.01, 0.0, 0.02, -0.01, 0.01], "reproduced"),
        (SMALL, "reproduced"),  # a difference, but none that counts
        ([-0.02, 0.02, 0.05, 0.0, 0.03], "inconclusive"),
        (CLEAR, "contradicted"),
        (minus(CLEAR), "contradicted"),
        ([0.0] * 4, "not judged"),
    ],
)
def test_equality_is_judged_within_a_margin(differences, expected):
    assert verdict(differences, "equal", 0.03) == expected


def test_equality_takes_two_one_sided_tests():
    values = [0.00, 0.01, 0.02, 0.03, 0.02]
    ninety, ninety_five = t_interval(values, 0.90), t_interval(values)
    margin = (ninety[1] + ninety_five[1]) / 2  # between the ends of the two
    assert verdict(values, "equal", margin) == "reproduced"
    assert p_value(values, "equal", margin) < 0.05 < p_value(values, "equal", ninety[1] - 1e-4)


@pytest.mark.parametrize(
    ("value", "direction", "effect", "expected"),
    [
        (0.1, "higher", 0.02, "reproduced"),
        (0.02, "higher", 0.02, "reproduced"),
        (0.01, "higher", 0.02, "no effect that counts"),
        (0.0, "higher", 0.02, "no effect that counts"),
        (0.0, "higher", 0.0, "no effect that counts"),
        (-0.1, "higher", 0.0, "contradicted"),
        (-0.1, "lower", 0.1, "reproduced"),
        (0.01, "equal", 0.02, "reproduced"),
        (0.03, "equal", 0.02, "contradicted"),
        (0.02, "equal", 0.02, "inconclusive"),  # exactly on the margin
    ],
)
def test_differences_without_any_spread(value, direction, effect, expected):
    for count in (5, 7, 8):
        assert t_interval([value] * count) == (value, value)
        assert verdict([value] * count, direction, effect) == expected


def test_fewer_seeds_than_planned_are_not_judged():
    assert verdict(CLEAR, planned=8) == "not judged"
    assert verdict(CLEAR[:3], planned=3) == "not judged"  # five are the fewest of all


def test_more_confidence_takes_more():
    values = [0.1, 0.3, 0.02, 0.2, 0.15]
    assert verdict(values) == "reproduced" and verdict(values, confidence=0.99) == "inconclusive"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"direction": "up"}, "higher, lower, equal"),
        ({"direction": "equal"}, "wants a margin"),
        ({"effect": -0.1}, "from 0 up, not -0.1"),
        ({"effect": math.nan}, "from 0 up"),
        ({"effect": math.inf}, "from 0 up"),
        ({"effect": None}, "from 0 up"),
        ({"confidence": 95}, "between 0 and 1, such as 0.95, got 95"),
        ({"confidence": 0.0}, "between 0 and 1"),
        ({"confidence": 1.0}, "between 0 and 1"),
        ({"direction": "equal", "effect": 0.1, "confidence": 0.5}, "above 0.5"),
        ({"differences": [0.1, math.nan, 0.2]}, "finite"),
        ({"differences": [0.1, math.inf]}, "finite"),
        ({"differences": ["a"] * 5}, "finite"),
        ({"differences": [[0.1] * 5] * 5}, "finite"),
        ({"differences": 0.1}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused_even_for_few_seeds(options, words):
    with pytest.raises(AvcoreError, match=words):
        verdict(**{"differences": [0.1, 0.2], **options})


# --- how often the rule is wrong ------------------------------------------------------------


@pytest.mark.parametrize("seeds", [5, 8])
@pytest.mark.parametrize(
    ("spread", "most"),
    [(stats.norm, 0.06), (stats.laplace, 0.06), (stats.uniform(-1, 2), 0.075)],
    ids=["normal", "long tails", "no tails"],
)
def test_without_an_effect_one_verdict_in_twenty_is_false(seeds, spread, most):
    drawn = spread.rvs(size=(4000, seeds), random_state=seeds)
    found = [verdict(differences) for differences in drawn]
    above, below = found.count("reproduced") / 4000, found.count("contradicted") / 4000
    assert 0.025 < above + below < most
    assert above == pytest.approx(below, abs=0.01)  # neither side is favoured


def test_a_smallest_effect_makes_false_verdicts_rarer():
    drawn = np.random.default_rng(1).normal(0, 0.02, (2000, 8))
    found = [verdict(differences, "higher", 0.02) for differences in drawn]
    assert sum(each in ("reproduced", "contradicted") for each in found) / 2000 < 0.02


@pytest.mark.parametrize("direction", ["higher", "equal"])
def test_an_effect_on_the_edge_is_seldom_denied(direction):
    drawn = np.random.default_rng(2).normal(0.02, 0.01, (2000, 8))
    denied = "reproduced" if direction == "equal" else "no effect that counts"
    found = [verdict(differences, direction, 0.02) for differences in drawn]
    assert found.count(denied) / 2000 < 0.06


# --- the numbers beside it ------------------------------------------------------------------


def test_the_interval_is_students():
    assert t_interval(CLEAR) == pytest.approx(
        stats.t.interval(0.95, 4, np.mean(CLEAR), stats.sem(CLEAR))
    )
    assert t_interval([1, 3]) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)
    assert t_interval([1.0]) is None and t_interval([]) is None
    wide, narrow = t_interval(CLEAR), t_interval(CLEAR, 0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_p_values_agree_with_scipy():
    assert p_value(MIXED) == pytest.approx(stats.ttest_1samp(MIXED, 0).pvalue)
    beyond = stats.ttest_1samp(SMALL, 0.02, alternative="less").pvalue
    assert p_value(SMALL, "equal", 0.02) == pytest.approx(beyond)
    outside = stats.ttest_1samp(CLEAR, 0.05, alternative="greater").pvalue
    assert p_value(minus(CLEAR), "equal", 0.05) == pytest.approx(outside)
    assert p_value([0.1] * 5) == 0 and p_value([0.0] * 5) == 1 and p_value([1.0]) is None


def test_the_sign_test_by_hand():
    assert sign_test([0.3, 0.1, 0.2]) == pytest.approx(1 / 4)
    assert sign_test([1, 1, 1, 1, 1]) == pytest.approx(1 / 16)
    assert sign_test([1, 1, 1, 1, -1, 0]) == pytest.approx(12 / 32)
    assert sign_test([0.0, 0.0]) is None and sign_test([]) is None


def test_holm_by_hand():
    corrected = holm({"a": 0.04, "b": 0.01, "c": 0.02, "d": 0.9})
    assert list(corrected) == ["a", "b", "c", "d"]
    assert corrected == pytest.approx({"b": 0.04, "c": 0.06, "a": 0.08, "d": 0.9})
    assert holm({"a": 0.03, "b": 0.03}) == {"a": 0.06, "b": 0.06} and holm({}) == {}


@pytest.mark.parametrize("chance", [math.nan, -0.1, 1.1])
def test_what_is_no_p_value_is_refused(chance):
    with pytest.raises(AvcoreError, match=r"p values lie between 0 and 1, got .* for a"):
        holm({"a": chance, "b": 0.01})


def test_paired_values_are_compared():
    first, second = np.array([0.5, 0.7, 0.6, 0.6]), np.array([0.1, 0.2, 0.2, 0.1])
    found = compare(first, second)
    assert found.word == "more" and compare(second, first).word == "less"
    assert (found.mean, found.other, found.difference) == pytest.approx((0.6, 0.15, 0.45))
    assert found.low < found.difference < found.high and found.n == 4
    assert compare([1, 0, 1, 0], [0, 1, 0, 1]).word == compare([1.0], [0.0]).word == "equal"
    assert compare([1.0], [0.0]).low == -math.inf  # one sample tells nothing
    for others in (second[:2], []):
        with pytest.raises(AvcoreError, match="cannot be paired"):
            compare(first if len(others) else [], others)
