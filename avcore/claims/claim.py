"""What a claim is."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from avcore.claims.statistics import check_effect
from avcore.support import SCALES, AvcoreError

Experiment = Callable[..., dict[str, float]]
Values = Mapping[str, float]  # what one run of an experiment gives
KINDS = ("paper", "ours", "by construction")


@dataclass(frozen=True)
class Reported:
    """A figure of the paper's own: what it measures, its value, and where it is printed."""

    what: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a variant of the experiment, and which of its values counts."""

    variant: str
    metric: str

    def __str__(self) -> str:
        return f"{self.variant}: {self.metric}"


@dataclass(frozen=True)
class Gate:
    """A condition without which the comparison proves nothing: a network that learned something.

    Attributes
    ----------
    variant, metric
        Which value is looked at.
    above, below
        Where it has to lie, one of the two: a number, or the name of another value of the same
        run, such as "blind_miou".
    every_run
        Whether each run has to pass, or the mean over the seeds.
    """

    variant: str
    metric: str
    above: str | float | None = None
    below: str | float | None = None
    every_run: bool = False

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise AvcoreError(f"the gate on {self.metric!r} wants either `above` or `below`")

    @property
    def limit(self) -> str | float:
        """The number, or the name of the value, on whose other side the metric has to lie."""
        return self.below if self.above is None else self.above

    @property
    def metrics(self) -> tuple[str, ...]:
        """The values that the gate reads."""
        return (self.metric, self.limit) if isinstance(self.limit, str) else (self.metric,)

    def passes(self, runs: Sequence[Values]) -> bool:
        """Whether the values of the variant's runs, one mapping per seed, meet the condition."""
        limit = self.limit
        distances = [
            run[self.metric] - (run[limit] if isinstance(limit, str) else limit) for run in runs
        ]
        sign = 1 if self.below is None else -1
        measured = distances if self.every_run else [fmean(distances)]
        return all(sign * distance > 0 for distance in measured)

    def __str__(self) -> str:
        word = "above" if self.below is None else "below"
        runs = "in every run" if self.every_run else "on average"
        return f"{self.variant}: {self.metric} had to be {word} {self.limit} {runs}"


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
    def of(cls, values: Sequence[float]) -> Spread:
        sizes = [abs(value) for value in values]
        return cls(min(values), max(values), fmean(values), min(sizes), max(sizes))


@dataclass(frozen=True)
class Claim:
    """A sentence that can be wrong, and the experiment that can show it.

    Attributes
    ----------
    id, paper, sentence
        Such as "C7", "CSOL (TPAMI 2021)", and the claim in plain words.
    experiment
        The function, or where it is ("package.module:function"), called as
        `experiment(variant=…, seed=…, scale=…, device=…)`; gives a dict of finite numbers, the
        metric and its yardsticks. Claims that name the same experiment share its runs.
    treatment, baseline
        The two sides that are compared, with the same seed. They may be two metrics of one run.
    effect
        The smallest difference that counts, in the metric's unit, declared before the runs; for
        "equal" the margin.
    direction
        Whether the claim says that the treatment is "higher" or "lower" than the baseline, or
        "equal" to it.
    planned, first_seed
        How many seeds are run before the claim is judged, and the first of them. A claim whose
        design has changed since its runs moves on to seeds that no run has used.
    gates
        Conditions on the runs; where one fails the claim is not testable here.
    kind
        "paper", "ours", or "by construction" for what cannot come out otherwise.
    reported
        The paper's own figures; empty when it prints none.
    explanation
        What a reader should know about the outcome, above all when the claim did not hold. Its
        numbers are fields that the record fills, see `explained`: "by {difference.near:.2f}".
    scales
        The scales at which it may be run.
    """

    id: str
    paper: str
    sentence: str
    experiment: str | Experiment
    treatment: Side
    baseline: Side
    effect: float
    direction: str = "higher"
    planned: int = 8
    first_seed: int = 0
    gates: tuple[Gate, ...] = ()
    kind: str = "paper"
    reported: tuple[Reported, ...] = ()
    explanation: str = ""
    scales: tuple[str, ...] = SCALES

    def __post_init__(self) -> None:
        check_effect(self.direction, self.effect)
        if not self.id.isalnum():
            raise AvcoreError(f"a claim's id is letters and digits, not {self.id!r}")
        if self.kind not in KINDS:
            raise AvcoreError(f"a claim is one of {', '.join(KINDS)}, not {self.kind!r}")
        if not isinstance(self.treatment, Side) or not isinstance(self.baseline, Side):
            raise AvcoreError(f"the two sides of {self.id} are each a Side(variant, metric)")
        if self.treatment == self.baseline:
            raise AvcoreError(f"{self.id} compares {self.treatment} with itself")
        for name, least in (("planned", 1), ("first_seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise AvcoreError(f"{name} is a whole number from {least} up, not {value!r}")

    @property
    def seeds(self) -> range:
        """The planned seeds."""
        return range(self.first_seed, self.first_seed + self.planned)

    @property
    def needs(self) -> dict[str, set[str]]:
        """Each variant that is run, the treatment first, and the values that are read of it."""
        needed: dict[str, set[str]] = {}
        for side in (self.treatment, self.baseline):
            needed.setdefault(side.variant, set()).add(side.metric)
        for gate in self.gates:
            needed.setdefault(gate.variant, set()).update(gate.metrics)
        return needed

    def uses(self, variant: str, values: Values) -> bool:
        """Whether a run of `variant` with these values is one that the claim reads."""
        return variant in self.needs and self.needs[variant] <= values.keys()

    @property
    def experiment_name(self) -> str:
        """Where the experiment is defined, "package.module:function"."""
        if isinstance(self.experiment, str):
            return self.experiment
        return f"{self.experiment.__module__}:{self.experiment.__qualname__}"

    @property
    def design(self) -> dict[str, Any]:
        """Everything that decides the verdict, as JSON holds it; declared before the runs."""
        return {
            "experiment": self.experiment_name,
            "treatment": asdict(self.treatment),
            "baseline": asdict(self.baseline),
            "direction": self.direction,
            "effect": self.effect,
            "planned": self.planned,
            "first_seed": self.first_seed,
            "gates": [asdict(gate) for gate in self.gates],
        }

    def load_experiment(self) -> Experiment:
        """The experiment's function; its module is imported only now."""
        if not isinstance(self.experiment, str):
            return self.experiment
        module, _, name = self.experiment.partition(":")
        return getattr(importlib.import_module(module), name)

    def explained(self, treated: Sequence[Values], plain: Sequence[Values]) -> str:
        """The explanation with the numbers of the runs of both sides, one of each per seed.

        Fields are `treatment`, `baseline` and `difference`, each a `Spread` of the compared
        values, and `treatment_run[name]` and `baseline_run[name]`, that of another value of the
        same runs: "{treatment_run[blind_miou].mean:.2f}".

        Raises
        ------
        AvcoreError
            For a field that the runs do not have.
        """
        if not treated:
            return ""
        ours = [run[self.treatment.metric] for run in treated]
        theirs = [run[self.baseline.metric] for run in plain]
        try:
            filled = self.explanation.format(
                treatment=Spread.of(ours),
                baseline=Spread.of(theirs),
                difference=Spread.of([a - b for a, b in zip(ours, theirs, strict=True)]),
                treatment_run=_spreads(treated),
                baseline_run=_spreads(plain),
            )
        except (KeyError, AttributeError, IndexError) as error:
            raise AvcoreError(f"the explanation of {self.id} asks for {error}") from error
        return re.sub(r"(?<!\w)-(?=\d)", "\u2212", filled)


def _spreads(runs: Sequence[Values]) -> dict[str, Spread]:
    """Spread of each value that all runs have."""
    names = set.intersection(*(set(run) for run in runs))
    return {name: Spread.of([run[name] for run in runs]) for name in names}
