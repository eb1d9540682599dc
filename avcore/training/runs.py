"""Training and scoring a paper by what it says of itself (see `avcore.training.task`)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from avcore.support import AvcoreError, CheckpointError, choose
from avcore.training import checkpoint
from avcore.training.config import pick_device
from avcore.training.keep import History
from avcore.training.loop import fit
from avcore.training.sampler import Ordered, count_samples, shuffled
from avcore.training.settings import changed
from avcore.training.task import Phase, Preset, Reading, Task, configure


@dataclass
class Trained:
    """What came of a training: the model with its best weights, and a history per phase."""

    model: nn.Module
    histories: dict[str, History] = field(default_factory=dict)


def train_task(
    task: Task,
    preset: str,
    root: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    reading: Reading | None = None,
) -> Trained:
    """Train a paper as a preset says, with other `settings` (see `configure`).

    With the setting `checkpoint` the training goes on where it stopped, whichever phase that was,
    and keeps the best weights in `best_path(checkpoint)`. A phase before the last has a checkpoint
    of its own, `CHECKPOINT.PHASE`; it is over where that of a later one is there.

    Raises
    ------
    AvcoreError
        For wrong settings, or when a batch is larger than the data.
    MediaError
        When the data cannot be used; with `skip_bad` only when nothing is left.
    CheckpointError
        When the checkpoint is of another run; what differs is named.
    """
    run, reading = configure(task, preset, settings), reading or Reading()
    pick_device(run.phases[-1].config.device)
    model = task.build(run.network, run.phases[0].config.seed)
    train, val = (task.data(run.data, root, split, reading) for split in ("train", "val"))
    loader = Ordered(val, task.batch, reading.workers)
    identity = {"task": task.name, "preset": preset, **_network_of(model, run), **asdict(run.data)}
    identity |= {"samples": count_samples(train)}
    trained, phases = Trained(model), _phases(run, count_samples(train))
    for number, phase in enumerate(phases):
        config, last = phase.config, phase is phases[-1]
        task.prepare(model, phase.recipe)
        if not any(_begun(later) for later in phases[number + 1 :]):
            trained.histories[phase.name] = fit(
                model,
                partial(_loss, task, phase.recipe),
                shuffled(train, config, workers=reading.workers),
                config,
                evaluate=partial(_scores, task, loader) if last else None,
                evaluate_every=config.checkpoint_every,
                best=task.best if last else None,
                identity={**identity, "phase": phase.name, **asdict(phase.recipe)},
            )
        identity |= _past(phase)
    return trained


def evaluate_task(
    task: Task,
    source: str | Path,
    root: str | Path | None = None,
    split: str = "test",
    settings: Mapping[str, Any] | None = None,
    reading: Reading | None = None,
    device: str = "auto",
) -> dict[str, float]:
    """Scores of a trained network on a split.

    Parameters
    ----------
    source
        The checkpoint of a training, to which `settings` may give other data; or the name of a
        preset, to which they give the files of a trained network, such as the authors'.

    Raises
    ------
    AvcoreError
        For wrong settings, or a preset without such a file.
    CheckpointError, MediaError
        When the network or the data cannot be used.
    """
    place, reading = pick_device(device), reading or Reading()
    if str(source) in task.presets:
        preset = configure(task, str(source), settings)
        files = _path_fields(preset.network)
        if all(getattr(preset.network, name) is None for name in files):
            raise AvcoreError(
                f"the preset {source} has no trained network: give a checkpoint of a training, or "
                f"the file of one with {' or '.join(f'{name}=FILE' for name in files)}"
            )
        model, options = task.build(preset.network, 0), preset.data
    else:
        model, run = load_task(task, source)
        options = changed(_first(task).data, run)
        for key in settings or {}:
            choose([part.name for part in fields(options)], key, "key of the data")
        options = changed(options, settings or {})
    data = task.data(options, root, split, reading)
    return task.evaluate(model.to(place).eval(), Ordered(data, task.batch, reading.workers))


def load_task(task: Task, path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a training, in evaluation mode, and all that the training was, by key.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or not of a training of this task.
    """
    content = checkpoint.read(path)
    run = content.get("settings", {})
    if (found := run.get("task")) != task.name:
        what = f"of a training of {found}, not of" if found else "not of a training of"
        raise CheckpointError(f"{path} is {what} {task.name}")
    network = _first(task).network
    files = _path_fields(network)
    if any(part.name not in run for part in fields(network)):
        raise CheckpointError(f"{path} is damaged: it does not say of what network it is")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that weights begin at random: these are filled
        model = task.build(changed(network, run | dict.fromkeys(files)), 0)
    checkpoint.fill(model, content["model"], path)
    return model.eval(), run


def _first(task: Task) -> Preset:
    return next(iter(task.presets.values()))


def _path_fields(network: Any) -> list[str]:
    """The options of a network that are files."""
    return [part.name for part in fields(network) if "Path" in str(part.type)]


def _phases(run: Preset, samples: int) -> list[Phase]:
    """The phases with their steps and the checkpoint of each."""
    return [_phase(phase, samples, phase is run.phases[-1]) for phase in run.phases]


def _phase(phase: Phase, samples: int, last: bool) -> Phase:
    config = phase.config
    if config.checkpoint is not None and not last:
        config = replace(config, checkpoint=f"{config.checkpoint}.{phase.name}")
    if phase.epochs:
        epoch = max(samples // config.batch_size, 1)
        config = replace(config, steps=phase.epochs * epoch, checkpoint_every=epoch)
    return replace(phase, config=config)


def _begun(phase: Phase) -> bool:
    return phase.config.checkpoint is not None and Path(phase.config.checkpoint).exists()


def _past(phase: Phase) -> dict[str, Any]:
    """What the phases after this one owe to it."""
    kept = ("steps", "batch_size", "learning_rate", "schedule")
    values = {name: getattr(phase.config, name) for name in kept} | asdict(phase.recipe)
    return {f"{phase.name}.{name}": value for name, value in values.items()}


def _network_of(model: nn.Module, run: Preset) -> dict[str, Any]:
    """The options of the network; a file is known by its name and by what is in it."""
    options = asdict(getattr(model, "network", run.network))
    return {name: stamp(v) if isinstance(v, Path) else v for name, v in options.items()}


def stamp(path: Path) -> str:
    """A file's name and the beginning of its digest."""
    with open(path, "rb") as file:
        return f"{path.name} ({hashlib.file_digest(file, 'sha256').hexdigest()[:8]})"


def _loss(task: Task, recipe: Any, model: nn.Module, batch: Any) -> Any:
    return task.loss(model, batch, recipe)


def _scores(task: Task, loader: Ordered, model: nn.Module) -> dict[str, float]:
    return task.evaluate(model, loader)
