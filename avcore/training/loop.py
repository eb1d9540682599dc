"""The loop: a batch, a loss, a step; stopped when it goes wrong, resumed where it stopped."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from avcore.support import CheckpointError, TrainingError, require
from avcore.training import checkpoint
from avcore.training.batches import (
    DRAW,
    Batch,
    BatchSource,
    Replayed,
    map_tensors,
    share_of,
    step_seed,
)
from avcore.training.config import TrainConfig, pick_device

# Settings that may differ between an interrupted run and the one that resumes it.
FREE_ON_RESUME = {"device", "devices", "checkpoint", "checkpoint_every", "progress"}
ADVICE = (
    "try a lower learning rate, clip_norm=1.0 or precision='32-true', "
    "and look for silence or NaN in the data"
)


@dataclass
class History:
    """What a run measured: `history["loss"][i]` belongs to update number `history.steps[i]`."""

    steps: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def __getitem__(self, name: str) -> list[float]:
        return self.values[name]

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append the values measured at one update."""
        self.steps.append(step)
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch within the block (new layers, dropout), and leave its random state as it was.

    That of the CPU, and of `device`; other GPUs keep the seed.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def fit(
    model: nn.Module,
    loss_fn: Callable[[nn.Module, Batch], Tensor | dict[str, Tensor]],
    batches: BatchSource | Iterable[Batch],
    config: TrainConfig,
    optimizer: torch.optim.Optimizer | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> History:
    """Train `model` in place and return what was measured on the way.

    Parameters
    ----------
    loss_fn
        Called as `loss_fn(model, batch)`; gives the loss, or a dict of scalars with a "loss".
        It must call `model(...)` itself, which brings precision and several devices.
    batches
        A function of (step, generator) that gives the batch of that step, such as `shuffled`'s;
        or an iterable of batches, begun anew when it ends (to resume, its items are drawn and
        skipped). With several devices each works on its part of the joined batch.
    optimizer
        Over the model's parameters; AdamW from the configuration by default.
    on_step
        Called as `on_step(step, values)` after every update, counted from 1, also in training
        mode: whoever evaluates in it sets the model back to `model.train()`.

    Raises
    ------
    TrainingError
        When the loss or gradient is not finite. The parameters are those after the last good
        step and the last checkpoint is untouched; the running statistics of normalisation layers
        may be spoiled by the bad batch.
    CheckpointError
        When `config.checkpoint` holds something else than this run's past.
    """
    fabric = _fabric(config)
    source = batches if callable(batches) else Replayed(batches, config.seed)
    optimizer = optimizer or torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    history = History()
    wrapped, stepper = fabric.setup(model, optimizer)
    done = _resume(model, optimizer, history, fabric, config)
    wrapped.train()
    began = time.perf_counter() - history.seconds
    with _bar(fabric, config, done) as bar, seeded(config.seed, fabric.device):
        for step in range(done, config.steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * config.rate_factor(step)
            values = _update(wrapped, loss_fn, source, stepper, fabric, config, step)
            history.seconds = time.perf_counter() - began
            if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
                values = {name: _mean(fabric, value) for name, value in values.items()}
                history.add(step + 1, values)
                bar.set_postfix(loss=f"{values['loss']:.4g}", refresh=False)
            bar.update()
            if _save_now(step + 1, config):
                _save(model, optimizer, history, fabric, config, step + 1)
            if on_step is not None:
                on_step(step + 1, {name: float(value) for name, value in values.items()})
    model.eval()
    return history


def _update(model, loss_fn, source, optimizer, fabric, config: TrainConfig, step: int) -> dict:
    """One step of the optimiser; gives the detached values of the loss function."""
    generator = torch.Generator().manual_seed(step_seed(config.seed, step, DRAW))
    batch = share_of(source(step, generator), fabric.global_rank, fabric.world_size)
    torch.manual_seed(step_seed(config.seed, step, rank=fabric.global_rank))
    batch = map_tensors(batch, lambda tensor: tensor.to(fabric.device))
    values = loss_fn(model, batch)
    values = values if isinstance(values, dict) else {"loss": values}
    if "loss" not in values:
        raise TrainingError(f"the loss function gave {', '.join(values)}, but no 'loss'")
    if not torch.isfinite(values["loss"]).all():
        raise TrainingError(f"the loss is {values['loss'].item()} at step {step + 1}; {ADVICE}")
    optimizer.zero_grad()
    fabric.backward(values["loss"])
    limit = math.inf if config.clip_norm is None else config.clip_norm
    norm = fabric.clip_gradients(model, optimizer, max_norm=limit, error_if_nonfinite=False)
    if not torch.isfinite(norm) and config.precision != "16-mixed":  # its scaler skips such steps
        raise TrainingError(f"the gradient is not finite at step {step + 1}; {ADVICE}")
    optimizer.step()
    return {name: torch.as_tensor(value).detach() for name, value in values.items()}


def _mean(fabric, value: Tensor) -> float:
    return float(fabric.all_reduce(value.float(), reduce_op="mean"))


def _fabric(config: TrainConfig):
    """Lightning Fabric for the configured devices, or for the processes torchrun started."""
    device = pick_device(config.device)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    nodes = int(os.environ.get("WORLD_SIZE", local)) // local
    devices = [device.index] if device.index is not None and local == 1 else local
    fabric = _lightning().Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if local * nodes > 1 else "auto",
        precision=config.precision,
    )
    fabric.launch()
    return fabric


def _lightning():
    """Lightning Fabric, which comes by itself or as a part of the package `lightning`."""
    try:
        return require("lightning_fabric", "train")
    except ImportError:
        if importlib.util.find_spec("lightning") is None:
            raise
        return importlib.import_module("lightning.fabric")


def _save_now(step: int, config: TrainConfig) -> bool:
    if config.checkpoint is None:
        return False
    every = config.checkpoint_every
    return step == config.steps or (every > 0 and step % every == 0)


def _settings(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name not in FREE_ON_RESUME}


def _save(model, optimizer, history: History, fabric, config: TrainConfig, step: int) -> None:
    if fabric.is_global_zero:
        content = {
            "step": step,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": fabric.strategy.precision.state_dict(),
            "history": asdict(history),
            "settings": _settings(config),
        }
        checkpoint.write(config.checkpoint, content)
    fabric.barrier()


def _resume(model, optimizer, history: History, fabric, config: TrainConfig) -> int:
    """Restore the run that `config.checkpoint` holds, if any; gives the steps already done."""
    if config.checkpoint is None or not os.path.exists(config.checkpoint):
        return 0
    content = checkpoint.read(config.checkpoint)
    if "step" not in content:
        raise CheckpointError(f"{config.checkpoint} holds weights, but no training run to resume")
    for name, value in _settings(config).items():
        if content["settings"].get(name) != value:
            raise CheckpointError(
                f"{config.checkpoint} is of a run with {name}={content['settings'].get(name)}, "
                f"not {value}; choose another path or delete it"
            )
    checkpoint.fill(model, content["model"], config.checkpoint)
    try:
        optimizer.load_state_dict(content["optimizer"])
    except ValueError as error:
        raise CheckpointError(f"{config.checkpoint} is of a run with another optimiser") from error
    fabric.strategy.precision.load_state_dict(content["scaler"])
    history.steps, history.values = content["history"]["steps"], content["history"]["values"]
    history.seconds = content["history"]["seconds"]
    return content["step"]


class _NoBar:
    """Stands in for a progress bar where nobody would see one."""

    def update(self) -> None: ...

    def set_postfix(self, **_: Any) -> None: ...


@contextlib.contextmanager
def _bar(fabric, config: TrainConfig, done: int):
    """A progress bar on the main process, in a terminal or a live notebook."""
    live = "ipykernel" in sys.modules and not os.environ.get("AVCORE_STATIC")
    if not (config.progress and fabric.is_global_zero and (live or sys.stderr.isatty())):
        yield _NoBar()
        return
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError:
        yield _NoBar()
        return
    with tqdm(total=config.steps, initial=done, unit="step", leave=False) as bar:
        yield bar
