"""Training and scoring a paper by what it says of itself (see `avcore.training.task`)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import distributed, nn

from avcore.support import AvcoreError, CheckpointError, choose
from avcore.training import checkpoint
from avcore.training.config import pick_device
from avcore.training.keep import History
from avcore.training.launch import is_main_process
from avcore.training.loop import fit
from avcore.training.predict import device_of
from avcore.training.sampler import Ordered, count_samples, shuffled
from avcore.training.seeds import seeded
from avcore.training.settings import changed
from avcore.training.task import Parts, Phase, Preset, Reading, Task, configure


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
    of its own, `CHECKPOINT.PHASE`; it is over where a later one has begun. What a phase noted at
    its beginning is kept in `begun_path` of its checkpoint.

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
    train, val = (task.data(run.data, root, split, reading) for split in ("train", "val"))
    model = task.build(run.network, run.phases[0].config.seed)
    loader = _in_order(task, val, reading)
    identity = {"task": task.name, "preset": preset, **_network_of(model, run), **asdict(run.data)}
    identity |= {
        "samples": _of_each(count_samples, train),
        "files": [_files(part) for part in (train, val)],
    }
    trained, phases = Trained(model), _phases(run, train)
    for number, phase in enumerate(phases):
        config, last = phase.config, phase is phases[-1]
        task.prepare(model, phase.recipe)
        if not any(_begun(later) for later in phases[number + 1 :]):
            known = {**identity, "phase": phase.name, **asdict(phase.recipe)}
            notes = _begin(task, model, train, phase, known)
            lesson = task.lesson(train, notes, phase)
            trained.histories[phase.name] = fit(
                model,
                partial(_loss, task, phase.recipe),
                lesson if callable(lesson) else shuffled(lesson, config, workers=reading.workers),
                config,
                evaluate=partial(_scores, task, loader) if last else None,
                evaluate_every=config.checkpoint_every,
                best=task.best if last else None,
                identity=known,
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
        preset, to which they give the files of a trained network, such as the authors'. A `Path`
        is always a checkpoint.

    Raises
    ------
    AvcoreError
        For wrong settings, or a preset without such a file.
    CheckpointError, MediaError
        When the network or the data cannot be used.
    """
    place, reading = pick_device(device), reading or Reading()
    if isinstance(source, str) and source in task.presets:
        preset = configure(task, source, settings)
        files = task.trained(preset.network)
        if all(getattr(preset.network, name) is None for name in files):
            by_file = f", or the file of one with {' or '.join(f'{n}=FILE' for n in files)}"
            raise AvcoreError(
                f"the preset {source} has no trained network: give a checkpoint of a training"
                f"{by_file if files else ''}"
            )
        model, options = task.build(preset.network, 0), preset.data
    else:
        model, run = load_task(task, source)
        options = changed(_first(task).data, run)
        for key in settings or {}:
            choose([part.name for part in fields(options)], key, "key of the data")
        options = changed(options, settings or {})
    data = task.data(options, root, split, reading)
    return task.evaluate(model.to(place).eval(), _in_order(task, data, reading))


def load_task(task: Task, path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a training, in evaluation mode, and all that the training was, by key.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or not of a training of this task.
    """
    if Path(path).is_dir():
        raise CheckpointError(f"{path} is a folder; give the file of a checkpoint")
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


def _in_order(task: Task, data: Any, reading: Reading) -> Any:
    """The loader of data, or one of each part."""
    return _of_each(lambda part: Ordered(part, task.batch, reading.workers), data)


def _of_each(ask: Callable[[Any], Any], data: Any) -> Any:
    """What `ask` says of the data, or of each part of them by its name."""
    if isinstance(data, Parts):
        return {name: _of_each(ask, part) for name, part in data.items()}
    return ask(data)


def _files(data: Any) -> Any:
    """Which files the data are, or each part of them; None where they do not say."""
    own = getattr(data, "files", None)
    return _of_each(lambda part: getattr(part, "files", None), data) if own is None else own


def _phases(run: Preset, data: Any) -> list[Phase]:
    """The phases with their steps and the checkpoint of each."""
    found = []
    for phase in run.phases:
        samples = count_samples(data[phase.part] if isinstance(data, Parts) else data)
        found.append(_phase(phase, samples, phase is run.phases[-1]))
    return found


def _phase(phase: Phase, samples: int, last: bool) -> Phase:
    config = phase.config
    if config.checkpoint is not None and not last:
        config = replace(config, checkpoint=f"{config.checkpoint}.{phase.name}")
    if phase.epochs:
        epoch = max(samples // config.batch_size, 1)
        config = replace(config, steps=phase.epochs * epoch, checkpoint_every=epoch)
    return replace(phase, config=config)


def begun_path(checkpoint: str | Path) -> Path:
    """Where it is kept what a phase with this checkpoint noted when it began; see `Task.begin`."""
    return Path(f"{checkpoint}.begun")


def _begun(phase: Phase) -> bool:
    path = phase.config.checkpoint
    return path is not None and (Path(path).exists() or begun_path(path).exists())


def _begin(task: Task, model: nn.Module, data: Any, phase: Phase, identity: dict[str, Any]) -> Any:
    """The notes of a phase; its model is then as it is at the phase's beginning.

    Where several processes train together, all have those of the first.
    """
    checkpoint_of, seed = phase.config.checkpoint, phase.config.seed
    path = None if checkpoint_of is None else begun_path(checkpoint_of)
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in identity.items()}
    settings = {**plain, "seed": seed}
    if path is not None and path.exists():
        content = checkpoint.read(path)
        if not {"model", "notes"} <= set(content):
            raise CheckpointError(f"{path} is damaged: a part of it is missing")
        if differing := _differing(content.get("settings", {}), settings):
            raise CheckpointError(
                f"{path} is of a run with {' and '.join(differing)}; choose another path or "
                "delete it"
            )
    else:
        with seeded(seed, device_of(model)):
            notes = task.begin(model, data, phase)
        if notes is None:
            return None
        content = {"model": model.state_dict(), "notes": notes, "settings": settings}
        if distributed.is_available() and distributed.is_initialized():
            several = [content]
            distributed.broadcast_object_list(several)
            content = several[0]
        if path is not None and is_main_process():
            checkpoint.write(path, content)
    checkpoint.fill(model, content["model"], path or "the first process")
    return content["notes"]


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What is another in the second settings than in the first."""
    pairs = {name: (old.get(name), new.get(name)) for name in {**new, **old}}
    return [f"{name}={a}, not {b}" for name, (a, b) in pairs.items() if a != b]


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


def _scores(task: Task, loader: Any, model: nn.Module) -> dict[str, float]:
    return task.evaluate(model, loader)
