"""The loop: a batch, a loss, a step; stopped when it goes wrong, resumed where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from avcore.support import AvcoreError, TrainingError
from avcore.training.config import TrainConfig
from avcore.training.keep import Best, History, Kept
from avcore.training.launch import launch, progress_bar, synchronised
from avcore.training.predict import evaluating
from avcore.training.sampler import Batch, BatchSource, Shuffled, map_tensors, rows_of
from avcore.training.seeds import DRAW, EVALUATE, seeded, step_seed

ADVICE = (
    "try a lower learning rate, clip_norm=1.0 or precision='32-true', "
    "and look for silence or NaN in the data"
)


def fit(
    model: nn.Module,
    loss_fn: Callable[[nn.Module, Batch], Tensor | dict[str, Tensor]],
    batches: Shuffled | BatchSource,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    *,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    evaluate_every: int = 0,
    best: str | None = None,
    identity: dict[str, Any] | None = None,
) -> History:
    """Train `model` in place and return what was measured on the way.

    With a checkpoint that is there already the run goes on from it, and ends as if it had not been
    interrupted. A finished run goes on if more steps are wanted: at a constant rate it ends as the
    longer run; along a cosine, whose rate had come to zero, the rate rises again to where the
    longer cosine is at that step.

    Parameters
    ----------
    loss_fn
        Called as `loss_fn(model, batch)`; gives the loss, or a dict of scalars with a "loss".
        It must call `model(...)` itself, which brings precision and several devices.
    batches
        `Shuffled`, of which each process reads its share; or a function of (step, generator) that
        gives the joined batch of that step, of which each process takes its rows.
    optimizer
        Over the model's parameters; AdamW from the configuration by default.
    on_step
        Called as `on_step(step, values)` after every update, counted from 1, and after what is
        kept of it was written.
    evaluate
        Gives scores of the model, which is in evaluation mode. Called without gradients on the
        main process, after every `evaluate_every` steps (0: only at the end) and at the end,
        before the checkpoint of that step is written. The history holds the scores.
    best
        The score whose highest value chooses the weights that the model ends with. They are kept
        in `best_path(config.checkpoint)`, or in memory without a checkpoint, which itself always
        holds the last weights.
    identity
        Plain values that make the run beside `config`, such as its data; a checkpoint resumes no
        other run.

    Raises
    ------
    TrainingError
        When the loss or gradient is not finite. The parameters are those after the last good
        step and the last checkpoint is untouched; the running statistics of normalisation layers
        may be spoiled by the bad batch.
    CheckpointError
        When `config.checkpoint` holds something else than this run's past, or cannot be written.
    """
    if best is not None and evaluate is None:
        raise AvcoreError(f"to choose by {best!r}, a function that evaluates is wanted")
    fabric = launch(config)
    source = _shared(batches, fabric)
    model = synchronised(model, fabric)
    optimizer = optimizer or torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    history = History()
    wrapped, stepper = fabric.setup(model, optimizer)
    run = Kept(config, identity or {}, fabric)
    done = run.resume(model, optimizer, history)
    chosen = None if best is None else Best(best, run, done > 0)
    judge = _Judge(evaluate, evaluate_every, chosen, config, fabric)
    wrapped.train()
    began = time.perf_counter() - history.seconds
    with progress_bar(fabric, config, done) as bar, seeded(config.seed, fabric.device):
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
            judge.after(model, history, step + 1)
            run.save(model, optimizer, history, step + 1)
            if on_step is not None:
                on_step(step + 1, {name: float(value) for name, value in values.items()})
        judge.conclude(model, history)
    model.eval()
    return history


def _update(model, loss_fn, source, optimizer, fabric, config: TrainConfig, step: int) -> dict:
    """One step of the optimiser; gives the detached values of the loss function."""
    generator = torch.Generator().manual_seed(step_seed(config.seed, step, DRAW))
    batch = source(step, generator)
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


def _shared(batches: Shuffled | BatchSource, fabric) -> BatchSource:
    """The batches of this process."""
    rank, world = fabric.global_rank, fabric.world_size
    if isinstance(batches, Shuffled):
        return batches.share(rank, world)
    if not callable(batches):
        raise AvcoreError(
            "batches are asked for by their step: give a function of (step, generator), or "
            "Shuffled(data, batch_size, seed) of tensors or of a data set"
        )

    def part(step: int, generator: torch.Generator) -> Batch:
        def rows(tensor: Tensor) -> Tensor:
            return tensor[rows_of(len(tensor), rank, world)] if tensor.ndim else tensor

        return map_tensors(batches(step, generator), rows)

    return part


class _Judge:
    """Scores the model when it is due, and keeps the best weights where a score chooses them."""

    def __init__(self, evaluate, every: int, best: Best | None, config: TrainConfig, fabric):
        self.evaluate, self.every, self.best = evaluate, every, best
        self.config, self.fabric = config, fabric

    def after(self, model: nn.Module, history: History, step: int) -> None:
        last = step == self.config.steps
        if self.evaluate is not None and (last or (self.every > 0 and step % self.every == 0)):
            self._score(model, history, step)

    def conclude(self, model: nn.Module, history: History) -> None:
        """Give the model the best weights; what was lost of a run that is over is scored again."""
        if self.best is None:
            return
        if self.best.score is None:
            self._score(model, history, self.config.steps)
        self.best.restore(model)

    def _score(self, model: nn.Module, history: History, step: int) -> None:
        scores = None
        if self.fabric.is_global_zero:
            seed = step_seed(self.config.seed, step, EVALUATE)
            with evaluating(model), torch.no_grad(), seeded(seed, self.fabric.device):
                scores = {name: float(value) for name, value in self.evaluate(model).items()}
        scores = self.fabric.broadcast(scores)
        if step not in history.scored:
            history.add_scores(step, scores)
        if self.best is not None:
            self.best.offer(model, scores, step)
