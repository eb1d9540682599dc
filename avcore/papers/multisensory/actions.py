"""Actions: what the pretext task taught, measured on few labelled clips.

Source: Owens and Efros (ECCV 2018), Sec. 5: the network is fine-tuned on UCF-101, with a linear
layer on the mean of its last maps. Deviation: the twelve classes of the stage, each of which looks,
moves and sounds in its own way. Linear probes of frozen features, which fine-tuning overwrites, are
our addition.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from avcore.papers.multisensory.clips import Clips, Excerpts, mirrored
from avcore.papers.multisensory.localization import middle
from avcore.papers.multisensory.model import FUSED, EarlyFusion
from avcore.support import by_scale
from avcore.training import History, TrainConfig, fit, predict, seeded


class ActionNet(nn.Module):
    """The multisensory network with a logit per class.

    Parameters
    ----------
    deaf
        Whether the features of the sound are set to zero.
    """

    def __init__(self, network: EarlyFusion, classes: int, deaf: bool = False) -> None:
        super().__init__()
        self.network, self.deaf = network, deaf
        self.classify = nn.Linear(FUSED, classes)

    def forward(self, frames: Tensor, sound: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] and waveforms (B, n) -> logits (B, classes)."""
        seen = self.network.see(frames)
        heard = self.network.hear(sound, seen.shape[2])
        fused = self.network.fuse(seen, heard * (not self.deaf))
        return self.classify(fused.mean((2, 3, 4)))


class Labelled(NamedTuple):
    """B excerpts and their classes (B,)."""

    excerpts: Excerpts
    label: Tensor


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The fine-tuning, the same for every start."""
    return TrainConfig(
        steps=by_scale(scale, smoke=2, quick=150, full=600),
        batch_size=by_scale(scale, smoke=4, quick=16, full=32),
        learning_rate=1e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=0, quick=15, full=50),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def fine_tune(
    start: EarlyFusion | None,
    clips: Clips,
    config: TrainConfig,
    deaf: bool = False,
    **fit_args,
) -> tuple[ActionNet, History]:
    """A classifier of the labelled clips; it starts from a copy of `start`, or from nothing."""
    classes = int(clips.label.max()) + 1
    with seeded(config.seed):
        model = ActionNet(EarlyFusion(), classes, deaf)
    if start is not None:
        model.network.load_state_dict(start.state_dict())

    def batches(step: int, generator: torch.Generator) -> Labelled:
        which = torch.randint(len(clips), (config.batch_size,), generator=generator)
        starts = torch.randint(clips.starts, (config.batch_size,), generator=generator)
        frames, sound = clips.cut(which, starts)
        return Labelled(Excerpts(mirrored(frames, generator), sound), clips.label[which])

    return model, fit(model, action_loss, batches, config, **fit_args)


def action_loss(model: nn.Module, batch: Labelled) -> Tensor:
    """Cross-entropy of the classes."""
    return functional.cross_entropy(model(*batch.excerpts), batch.label)


def guesses(model: ActionNet, clips: Clips) -> Tensor:
    """The class of the largest logit for the middle excerpt of each clip, (N,)."""
    excerpts = clips.cut(*middle(clips))
    return predict(model, excerpts, lambda net, part: net(*part), batch_size=32).argmax(1)


def accuracy(model: ActionNet, clips: Clips) -> float:
    """Share of clips whose class is guessed right."""
    return (guesses(model, clips) == clips.label).float().mean().item()


def features(network: EarlyFusion, clips: Clips) -> Tensor:
    """The mean of the last maps of the middle excerpt of each clip, (N, 64)."""

    def mean(model: EarlyFusion, part: Excerpts) -> Tensor:
        return model.maps(*part).mean((2, 3, 4))

    return predict(network, clips.cut(*middle(clips)), mean, batch_size=32)


def probe_accuracy(network: EarlyFusion, train: Clips, test: Clips) -> float:
    """Share of test clips that a logistic regression on frozen `features` labels right."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    probe.fit(features(network, train), train.label)
    return float(probe.score(features(network, test), test.label))
