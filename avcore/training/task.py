"""The pattern of a paper: what it says of itself in one place.

A paper fills a `Task`; `avcore.training.runs` trains and scores it, and the commands do so by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from avcore.support import AvcoreError, choose
from avcore.training.config import TrainConfig
from avcore.training.settings import apply


@dataclass(frozen=True)
class Phase:
    """One stretch of a training.

    Attributes
    ----------
    config
        Its conditions; where `epochs` is given, its steps follow from the data.
    recipe
        What is minimised: a frozen dataclass of the paper.
    name
        Of a phase among several.
    epochs
        How often the training data are seen; 0 for `config.steps` updates. The checkpoint is then
        written after every epoch.
    part
        Of data in `Parts`, the part that it learns from.
    """

    config: TrainConfig
    recipe: Any
    name: str = "training"
    epochs: int = 0
    part: str = ""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise AvcoreError(f"epochs must not be negative, got {self.epochs}")


class Parts(dict[str, Any]):
    """Data of several kinds in one split, by name, such as solos and mixtures.

    Attributes
    ----------
    files
        What tells the files that they were read from from others, such as a `files_digest`.
    """

    files: str | None = None


@dataclass(frozen=True)
class Reading:
    """How data are read.

    Attributes
    ----------
    workers
        Processes that read ahead.
    skip_bad
        Whether to go on without what cannot be used.
    progress
        Called with what is being done, and how much of it, 0 to 1.
    """

    workers: int = 0
    skip_bad: bool = False
    progress: Callable[[str, float], None] | None = None

    def progress_of(self, where: str) -> Callable[[str, float], None] | None:
        """The same, which also says where."""
        report = self.progress
        return report and (lambda what, done: report(f"{what} {where}", done))


@dataclass(frozen=True)
class Preset:
    """One way to train a paper: its phases, its network and its data.

    `network` and `data` are frozen dataclasses of the paper. Every preset of a paper has the same
    kinds of them. No two parts of a preset have a
    field of the same name, so that `key=value` says which is meant.
    """

    phases: tuple[Phase, ...]
    network: Any
    data: Any


def _as_it_is(preset: Preset, given: Mapping[str, Any]) -> Preset:
    return preset


def _nothing(model: nn.Module, recipe: Any) -> None: ...


def _no_files(network: Any) -> tuple[str, ...]:
    return ()


def _no_notes(model: nn.Module, data: Any, phase: Phase) -> None: ...


def _all_data(data: Any, notes: Any, phase: Phase) -> Any:
    return data[phase.part] if isinstance(data, Parts) else data


@dataclass(frozen=True)
class Task:
    """What a paper says of itself.

    Attributes
    ----------
    name
        As in `avcore train NAME`.
    presets
        By name.
    build
        `build(network, seed)` gives the model. Fields of `network` that are paths bring its first
        weights; of `network` without them, the same model untrained. A model may say in its
        attribute `network` what became of the options.
    data
        `data(options, root, split, reading)` gives the samples of a split, checked; or `Parts`,
        where phases learn from different data. An attribute `files` of theirs, if there is one,
        says which files they are (see `files_digest`): a training goes on with the same only.
        Data that are made and not read have no use for a root.
    loss
        `loss(model, batch, recipe)` gives a dict of scalars with a "loss".
    evaluate
        `evaluate(model, loader)` gives scores; the loader is an `Ordered`, or a dict of them by
        name for data in `Parts`.
    best
        The score whose highest value on the split val chooses the weights of the last phase, which
        is scored whenever its checkpoint is due.
    batch
        Samples in a batch of the evaluation.
    least
        The fewest samples that a batch of the training can learn from, such as two where the
        others of a batch are the negatives.
    trained
        `trained(network)` names the fields of `network` whose file brings a whole trained network.
        By default none does.
    settle
        `settle(preset, given)` checks a preset whose settings were given, and completes it.
    prepare
        `prepare(model, recipe)` makes the model ready for a phase: what does not learn in it.
    begin
        `begin(model, data, phase)` is called once, before the first update of a phase, with all
        that `data` gave of the split train. It may change the weights, and gives notes for the
        phase, such as pseudo-labels: tensors and plain values, or None for nothing of both. Notes
        and weights are kept beside the checkpoint (see `avcore.training.runs.begun_path`), so that
        a phase that is resumed goes on with the same.
    lesson
        `lesson(data, notes, phase)` gives what a phase learns from: what `shuffled` takes, or a
        function of (step, generator) as `fit` takes it. By default the data, or their part.
    """

    name: str
    presets: Mapping[str, Preset]
    build: Callable[[Any, int], nn.Module]
    data: Callable[..., Any]
    loss: Callable[[Any, Any, Any], Mapping[str, Any]]
    evaluate: Callable[[Any, Any], dict[str, float]]
    best: str
    batch: int = 64
    least: int = 1
    trained: Callable[[Any], tuple[str, ...]] = _no_files
    settle: Callable[[Preset, Mapping[str, Any]], Preset] = _as_it_is
    prepare: Callable[[Any, Any], None] = _nothing
    begin: Callable[[Any, Any, Phase], Any] = _no_notes
    lesson: Callable[[Any, Any, Phase], Any] = _all_data


def configure(task: Task, preset: str, settings: Mapping[str, Any] | None = None) -> Preset:
    """The preset of that name with other `settings`: by key, or by "phase.key" for one phase.

    Values that are text are read as the type of their key.

    Raises
    ------
    AvcoreError
        For an unknown preset or key, which lists what is possible, a value of a wrong type, or
        batches that are too small to learn from.
    """
    chosen, given = choose(task.presets, preset, f"preset of {task.name}"), dict(settings or {})
    run = task.settle(apply(chosen, given), given)
    for phase in run.phases:
        if phase.config.batch_size < task.least:
            raise AvcoreError(
                f"{task.name} wants a batch_size of at least {task.least}, since samples are "
                f"compared with others of their batch; got {phase.config.batch_size}"
            )
    return run
