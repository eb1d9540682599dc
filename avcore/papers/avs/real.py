"""AVS on AVSBench itself: training and scores on the published layout.

Source: the training scripts of the public code: Adam with a constant rate of 1e-4 (AdamW without
weight decay is the same), four videos a batch, 15 epochs of S4 or 30 of MS3, and the epoch kept
that is best on the validation videos. The networks are those of `avs.listening`. Deviations: an
epoch that was interrupted while it was scored is not scored again, unless it is the last; and
masks of several values are refused, see `avcore.data.avsbench_files.read_mask`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avcore.data.avsbench import AVSBench, collate
from avcore.data.avsbench_index import FRAMES
from avcore.papers.avs.evaluation import BATCH, scores
from avcore.papers.avs.listening import HEARING, Listening, Network
from avcore.papers.avs.training import Recipe, prepared, total_loss
from avcore.support import AvcoreError, choose
from avcore.training import History, Loaded, TrainConfig, fit
from avcore.training.batches import worded
from avcore.training.checkpoint import read, write
from avcore.training.loop import FREE_ON_RESUME

EPOCHS = {"S4": 15, "MS3": 30}  # as published, by setting
RECIPES = {"S4": Recipe(1), "MS3": Recipe(FRAMES, 0.5)}  # as published, by setting


@dataclass(frozen=True)
class Videos:
    """What is trained on: so many videos of a setting, with frames of `size` pixels a side."""

    setting: str = "S4"
    size: int = 224
    videos: int = 0


@dataclass(frozen=True)
class Run(TrainConfig, Recipe, Network, Videos):
    """All that a training on AVSBench is; a checkpoint only resumes a run that is the same."""


def recipe(
    setting: str,
    fusion: str = "TPAVI",
    matching: float | None = None,
    distance: str = "kl",
    target: str = "audio",
) -> Recipe:
    """What is minimised in a setting; without `matching` its weight is the published one.

    A network that does not hear has nothing to match: 0, and an `AvcoreError` for another weight.
    """
    published = choose(RECIPES, setting, "setting")
    if matching is None:
        matching = published.matching if fusion in HEARING else 0.0
    if matching and fusion not in HEARING:
        raise AvcoreError(f"matching needs a network that hears: {' or '.join(HEARING)}")
    return replace(published, matching=matching, distance=distance, target=target)


def train(
    model: Listening,
    data: AVSBench,
    config: TrainConfig,
    recipe: Recipe,
    workers: int = 0,
    validation: AVSBench | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> History:
    """Train `model` in place on the videos of a split; a checkpoint resumes where it stopped.

    Parameters
    ----------
    workers
        Processes that read.
    validation
        Videos to score after each epoch; the weights with the best mean IoU are kept beside the
        checkpoint, see `best_path`.
    on_step
        As in `fit`.

    Raises
    ------
    AvcoreError
        When a batch is larger than the split, or the best is to be kept without a checkpoint.
    CheckpointError
        When the checkpoint is of another run; what differs is named.
    """
    if len(data) < config.batch_size:
        raise AvcoreError(f"a batch of {config.batch_size} from only {len(data)} videos")
    if validation is not None and config.checkpoint is None:
        raise AvcoreError("the best epoch is kept beside the checkpoint, but there is none")
    videos = Videos(data.setting, data.size, len(data))
    run = Run(**vars(config), **vars(recipe), **vars(model.network), **vars(videos))
    batches = Loaded(data, config.batch_size, config.seed, workers, collate)

    def loss_fn(model: nn.Module, batch) -> dict[str, Tensor]:
        return total_loss(model, batch, recipe)

    if validation is None:
        return fit(model, loss_fn, batches, run, on_step=on_step)
    best = _Best(model, validation, run, workers)

    def after(step: int, values: dict[str, float]) -> None:
        if step % batches.per_epoch == 0 or step == run.steps:
            best.score(step)
            model.train()
        if on_step is not None:
            on_step(step, values)

    history = fit(model, loss_fn, batches, run, on_step=after)
    if best.scored != run.steps:  # the run was over before: it may have been stopped at this point
        best.score(run.steps)
    return history


def best_path(checkpoint: str | Path) -> Path:
    """Where `train` keeps the best epoch of a run."""
    return Path(f"{checkpoint}.best")


def read_best(checkpoint: str | Path) -> dict[str, Any]:
    """What `train` kept: "scores" of the best epoch, "after" how many steps, and its "model"."""
    return read(best_path(checkpoint))


@torch.no_grad()
def evaluate(model: nn.Module, data: AVSBench, workers: int = 0) -> dict[str, float]:
    """`scores` of the videos of a split, in batches of four as published.

    Raises
    ------
    AvcoreError
        When only the first frames have masks, as in the split train of S4.
    """
    if (labelled := len(data.videos[0].masks)) != FRAMES:
        raise AvcoreError(
            f"scores need the masks of all {FRAMES} frames; the split {data.split} of "
            f"{data.setting} has {labelled} for each video, choose another"
        )
    model.eval()
    device = next(model.parameters()).device
    logits, masks = [], []
    loader = DataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=collate)
    for part in worded(loader):
        heard = part.heard.to(device).flatten(0, 1)
        out = model(prepared(part.frames.to(device)), heard).logits[:, 0].cpu()
        logits.append(out.unflatten(0, (len(part.frames), -1)))
        masks.append(part.masks)
    return scores(torch.cat(logits), torch.cat(masks), BATCH)


class _Best:
    """Keeps the weights of a run that scored best on the validation videos."""

    def __init__(self, model: Listening, data: AVSBench, run: Run, workers: int) -> None:
        self.model, self.data, self.workers = model, data, workers
        self.path, self.scored, self.miou = best_path(run.checkpoint), 0, -1.0
        self.settings = {k: v for k, v in asdict(run).items() if k not in FREE_ON_RESUME}
        if Path(run.checkpoint).exists() and self.path.exists():
            kept = read_best(run.checkpoint)
            if kept.get("settings") == self.settings:  # else it was left by another run
                self.miou = kept["scores"]["miou"]

    def score(self, step: int) -> None:
        found, self.scored = evaluate(self.model, self.data, self.workers), step
        if found["miou"] > self.miou:
            self.miou = found["miou"]
            weights = self.model.state_dict()
            content = {"model": weights, "settings": self.settings, "scores": found, "after": step}
            write(self.path, content)
