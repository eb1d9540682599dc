"""What a claim is."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from avcore.support import SCALES, AvcoreError

Experiment = Callable[..., dict[str, float]]


DIRECTIONS = ("higher", "lower", "equal")


def check_direction(direction: str, margin: float) -> None:
    """An unknown direction, or a margin where none belongs or is missing, is an `AvcoreError`."""
    if direction not in DIRECTIONS:
        raise AvcoreError(f"a claim's direction is {', '.join(DIRECTIONS)}, not {direction!r}")
    if (direction == "equal") != (margin > 0):
        raise AvcoreError(f"only 'equal' has a margin, above 0; got {direction!r} with {margin}")


@dataclass(frozen=True)
class Reported:
    """A figure of the paper's own: what it measures, its value, and where it is printed."""

    what: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Spread:
    """How the numbers of several seeds are spread, for an explanation.

    Attributes
    ----------
    low, high, mean
        The smallest, the largest and their mean.
    near, far
        The smallest and the largest without their signs.
    """

    low: float
    high: float
    mean: float
    near: float
    far: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        sizes = [abs(value) for value in values]
        return cls(min(values), max(values), sum(values) / len(values), min(sizes), max(sizes))


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, and the experiment that can show it wrong.

    Attributes
    ----------
    id, paper, sentence
        Such as "C7", "CSOL (TPAMI 2021)", and the claim in plain words.
    experiment
        The function, or where it is ("package.module:function"), called as
        `experiment(variant=…, seed=…, scale=…, device=…)`; gives a dict of finite numbers.
        Claims that name the same experiment share its runs.
    treatment, baseline
        The two variants that are compared, with the same seed.
    metric, direction
        Which of the numbers is compared, and whether the claim says that the treatment's is
        "higher" or "lower" than the baseline's, or "equal" to it.
    margin
        For "equal": the largest difference that counts for nothing, in the metric's unit.
    reported
        The paper's own figures; empty when it prints none.
    explanation
        What a reader should know about the outcome, above all when the claim did not hold. Its
        numbers are fields that the record fills, see `Spread`: "by {difference.near:.2f}".
    scales
        The scales at which it may be run.
    """

    id: str
    paper: str
    sentence: str
    experiment: str | Experiment
    treatment: str
    baseline: str
    metric: str
    direction: str = "higher"
    margin: float = 0.0
    reported: tuple[Reported, ...] = ()
    explanation: str = ""
    scales: tuple[str, ...] = SCALES

    def __post_init__(self) -> None:
        check_direction(self.direction, self.margin)
        if not self.id.isalnum():
            raise AvcoreError(f"a claim's id is letters and digits, not {self.id!r}")

    def explained(self, treated: list[float], plain: list[float]) -> str:
        """The explanation with the numbers of the runs, one of each variant a seed."""
        if not treated:
            return ""
        differences = [one - other for one, other in zip(treated, plain, strict=True)]
        filled = self.explanation.format(
            treatment=Spread.of(treated),
            baseline=Spread.of(plain),
            difference=Spread.of(differences),
        )
        return re.sub(r"(?<!\w)-(?=\d)", "\u2212", filled)

    @property
    def experiment_name(self) -> str:
        """Where the experiment is defined, "package.module:function"."""
        if isinstance(self.experiment, str):
            return self.experiment
        return f"{self.experiment.__module__}:{self.experiment.__qualname__}"

    def load_experiment(self) -> Experiment:
        """The experiment's function; its module is imported only now."""
        if not isinstance(self.experiment, str):
            return self.experiment
        module, _, name = self.experiment.partition(":")
        return getattr(importlib.import_module(module), name)
