"""The pretext task: does the sound belong to this moment of the picture?

Source: Owens and Efros (ECCV 2018), Sec. 3: aligned sound against sound of the same clip that is
shifted, and for comparison against sound of another clip ("random pairs"). Both versions of an
excerpt share a batch and its picture. Deviation: the sound is shifted by 0.5 s to 1.5 s instead of
2.0 s to 5.8 s, since the clips are shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.papers.multisensory.clips import FPS, Clips, mirrored
from avcore.papers.multisensory.model import EarlyFusion
from avcore.support import AvcoreError, by_scale, choose
from avcore.training import History, Ordered, TrainConfig, fit, predict, seeded

LEAST = FPS // 2  # frames: the smallest shift, 0.5 s
NEGATIVES = ("shift", "random pairs")
SENSES = {"both": (1.0, 1.0), "sound only": (0.0, 1.0), "picture only": (1.0, 0.0)}


class Pairs(NamedTuple):
    """B excerpts with two sounds.

    Attributes
    ----------
    frames
        (B, 3, T, H, W) float32 in [0, 1].
    own, other
        (B, n) float32: the excerpt's own sound, and one that does not belong to it.
    """

    frames: Tensor
    own: Tensor
    other: Tensor

    def with_senses(self, senses: str) -> Pairs:
        """The same with a sense switched off; one of `SENSES`."""
        picture, sound = choose(SENSES, senses, "choice of senses")
        return Pairs(picture * self.frames, sound * self.own, sound * self.other)


@dataclass(frozen=True)
class Pretext:
    """Draws pairs from clips; for `fit`, by step.

    Attributes
    ----------
    negatives
        Where the other sound comes from, one of `NEGATIVES`: the same clip, at least `least`
        frames away, or another clip.
    mirrored
        Whether half of the batches are mirrored.
    """

    clips: Clips
    batch_size: int
    negatives: str = "shift"
    least: int = LEAST
    mirrored: bool = True

    def __post_init__(self) -> None:
        choose(NEGATIVES, self.negatives, "kind of negatives")
        if self.negatives == "shift" and self.clips.starts <= 2 * self.least:
            raise AvcoreError(
                f"clips of {self.clips.frames.shape[1]} frames are too short for excerpts that "
                f"are shifted by {self.least} frames or more"
            )
        if self.negatives == "random pairs" and len(self.clips) < 2:
            raise AvcoreError("random pairs want two clips at least")

    def __call__(self, step: int, generator: torch.Generator) -> Pairs:
        which = torch.randint(len(self.clips), (self.batch_size,), generator=generator)
        pairs = self.draw(which, generator)
        if not self.mirrored:
            return pairs
        return pairs._replace(frames=mirrored(pairs.frames, generator))

    def draw(self, which: Tensor, generator: torch.Generator) -> Pairs:
        """An excerpt of each of the clips `which` (B,), with both sounds."""
        clips, count = self.clips, len(which)
        starts = torch.randint(clips.starts, (count,), generator=generator)
        frames, own = clips.cut(which, starts)
        if self.negatives == "shift":
            return Pairs(frames, own, clips.cut_sound(which, self._shifted(starts, generator)))
        others = which + torch.randint(1, len(clips), (count,), generator=generator)
        return Pairs(frames, own, clips.cut_sound(others % len(clips), starts))

    def _shifted(self, starts: Tensor, generator: torch.Generator) -> Tensor:
        """For each start (B,) another one that is at least `least` frames away, drawn evenly."""
        every = torch.arange(self.clips.starts)
        far = (every - starts[:, None]).abs() >= self.least
        return torch.multinomial(far.float(), 1, generator=generator)[:, 0]


def pretext_loss(model: nn.Module, pairs: Pairs) -> dict[str, Tensor]:
    """Binary cross-entropy of own against other sound, and the "accuracy" in the batch.

    Both kinds share a forward pass: apart, batch normalisation would give the label away.
    """
    logits = model(pairs.frames, torch.cat([pairs.own, pairs.other]))
    labels = torch.cat([torch.ones(len(pairs.own)), torch.zeros(len(pairs.other))]).to(logits)
    loss = functional.binary_cross_entropy_with_logits(logits, labels)
    return {"loss": loss, "accuracy": ((logits > 0) == (labels > 0)).float().mean()}


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of the pretext task, the same for all its variants."""
    return TrainConfig(
        steps=by_scale(scale, smoke=2, quick=500, full=4000),
        batch_size=by_scale(scale, smoke=4, quick=16, full=32),
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=0, quick=25, full=100),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def pretrain(
    clips: Clips,
    config: TrainConfig,
    negatives: str = "shift",
    senses: str = "both",
    sound: str = "log-mel",
    **fit_args,
) -> tuple[EarlyFusion, History]:
    """A network that learned the pretext task on clips, its first weights drawn from the seed."""
    choose(SENSES, senses, "choice of senses")
    with seeded(config.seed):
        model = EarlyFusion(sound)

    def loss(model: nn.Module, pairs: Pairs) -> dict[str, Tensor]:
        return pretext_loss(model, pairs.with_senses(senses))

    batches = Pretext(clips, config.batch_size, negatives)
    return model, fit(model, loss, batches, config, **fit_args)


def accuracy(
    model: nn.Module,
    clips: Clips,
    negatives: str = "shift",
    senses: str = "both",
    seed: int = 0,
) -> float:
    """Share of right answers at a logit of 0, over one excerpt per clip with either sound."""
    task = Pretext(clips, 1, negatives, mirrored=False)
    pairs = task.draw(torch.arange(len(clips)), torch.Generator().manual_seed(seed))
    return accuracy_on(model, pairs.with_senses(senses))


def accuracy_on(model: nn.Module, pairs: Pairs | Ordered) -> float:
    """The same over pairs, or over a loader of them."""
    logits = predict(model, pairs, _both_logits)
    return torch.stack([logits[:, 0] > 0, logits[:, 1] <= 0]).float().mean().item()


def _both_logits(model: nn.Module, pairs: Pairs) -> Tensor:
    """(B, 2): with the excerpt's own sound, and with the other."""
    return model(pairs.frames, torch.cat([pairs.own, pairs.other])).unflatten(0, (2, -1)).T
