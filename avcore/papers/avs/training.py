"""Training for masks: the first frame labelled or all, with or without audio-visual matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avcore.nn.pictures import normalise
from avcore.papers.avs.clips import Clips
from avcore.papers.avs.losses import DISTANCES, TARGETS, all_frames_bce, avm_loss
from avcore.papers.avs.model import Segmented
from avcore.support import AvcoreError, choose
from avcore.training import History, TrainConfig, fit, predict, shuffled


@dataclass(frozen=True)
class Recipe:
    """What is minimised.

    Attributes
    ----------
    labelled
        How many frames of a clip have masks, from the first: 1 (S4) or all of them (MS3).
    matching
        Weight of the masked audio-visual matching loss; the paper's is 0.5 for MS3, 0 for S4.
    distance, target, normalise, threshold
        Its form, see `avm_loss`; the default is that of the published run.
    """

    labelled: int = 5
    matching: float = 0.0
    distance: str = "kl"
    target: str = "audio"
    normalise: bool = False
    threshold: bool = False

    def __post_init__(self) -> None:
        if self.labelled < 1 or self.matching < 0:
            raise AvcoreError("labelled must be at least 1, and matching must not be negative")
        choose(DISTANCES, self.distance, "distance")
        choose(TARGETS, self.target, "target")


def prepared(frames: Tensor) -> Tensor:
    """Frames (B, T, 3, H, W) uint8 as the network takes them, (B·T, 3, H, W), channels last."""
    return normalise(frames).flatten(0, 1).contiguous(memory_format=torch.channels_last)


def run(model: nn.Module, batch: Any) -> Segmented:
    """What a network gives for a batch: of `Clips` by their features, of videos by their frames."""
    if isinstance(batch, Clips):
        return model(batch.maps, batch.heard)
    return model(prepared(batch.frames), batch.heard.flatten(0, 1))


def total_loss(model: nn.Module, batch: Any, recipe: Recipe) -> dict[str, Tensor]:
    """The "loss" of a batch and the parts it is made of, not yet weighted.

    Raises
    ------
    AvcoreError
        When matching is asked of a network that does not hear.
    """
    out = run(model, batch)
    masks = batch.masks[:, : recipe.labelled].flatten(0, 1)[:, None]
    logits = out.logits.unflatten(0, (len(batch.masks), -1))[:, : recipe.labelled].flatten(0, 1)
    parts = {"bce": all_frames_bce(logits, masks)}
    loss = parts["bce"]
    if recipe.matching:
        pairs = [(a, v) for a, v in zip(out.audio, out.stages, strict=True) if a is not None]
        if not pairs:
            raise AvcoreError("matching needs a network that hears; none of its stages does")
        parts["matching"] = avm_loss(
            out.logits,
            [sound for sound, _ in pairs],
            [features for _, features in pairs],
            distance=recipe.distance,
            target=recipe.target,
            normalise=recipe.normalise,
            threshold=recipe.threshold,
        )
        loss = loss + recipe.matching * parts["matching"]
    return {"loss": loss, **parts}


def train(
    model: nn.Module, clips: Clips, config: TrainConfig, recipe: Recipe | None = None, **fit_args
) -> History:
    """Train `model` in place on clips of which only the labelled masks are seen.

    Half of the batches, drawn at random, are mirrored; as published there is no augmentation.

    Raises
    ------
    AvcoreError
        When a recipe wants more labelled frames than the clips have.
    """
    recipe = recipe or Recipe()
    if not 1 <= recipe.labelled <= clips.masks.shape[1]:
        raise AvcoreError(
            f"{recipe.labelled} labelled frames are wanted, the clips have {clips.masks.shape[1]}"
        )

    def loss_fn(model: nn.Module, batch: Clips) -> dict[str, Tensor]:
        return total_loss(model, batch.mirrored() if torch.rand(()) < 0.5 else batch, recipe)

    return fit(model, loss_fn, shuffled(clips, config), config, **fit_args)


def segment(model: nn.Module, clips: Clips, batch: int = 16) -> Tensor:
    """Logits of every frame, (N, T, H, W), on the CPU; above 0 is marked."""
    return predict(model, clips, segment_batch, batch)


def segment_batch(model: nn.Module, batch: Any) -> Tensor:
    """Logits (B, T, H, W) of a batch, on the model's device."""
    return run(model, batch).logits[:, 0].unflatten(0, (len(batch.masks), -1))
