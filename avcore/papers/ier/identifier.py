"""The audio-instance identifier: one mixed sound, and a feature of each kind that may be in it.

Source: IEr, its section on the audio-instance identifier and the supplement's on the steps.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.backbones import SoundStream
from avcore.support import AvcoreError, choose

HIDDEN = (512, 128)  # of the MLP; its last layer gives each class a step
LEVELS = ("mid", "high")
STEPS = ("each", "common", "classifier")


class Identified(NamedTuple):
    """What is heard in B sounds, for each of K classes."""

    features: Tensor  # (B, K, 128): F_k = f + Δ_k
    logits: Tensor  # (B, K): of "class k is heard", from the cosine of F_k with its prototype


class Identifier(nn.Module):
    """Turns the feature of a sound into K features, one step for each class.

    Parameters
    ----------
    ear
        Gives the feature f; copied, and trained further.
    prototypes
        P_k (K, 128): the mean feature of single sounds of each class.
    steps
        "each" class its own step, as in the paper; "common", one step for all, or "classifier",
        plain logits and no steps, to compare with. The last gives no features.
    level
        What the steps are made of: "mid", the pooled maps of the ear's layers, or "high", f.
    """

    def __init__(
        self, ear: SoundStream, prototypes: Tensor, steps: str = "each", level: str = "mid"
    ) -> None:
        super().__init__()
        if prototypes.ndim != 2 or prototypes.shape[1] != ear.head.out_features:
            raise AvcoreError(
                f"prototypes want shape (K, {ear.head.out_features}), got {tuple(prototypes.shape)}"
            )
        self.steps, self.level = (
            choose(STEPS, steps, "kind of steps"),
            choose(LEVELS, level, "level"),
        )
        self.ear = copy.deepcopy(ear)
        classes, width = prototypes.shape
        inside = ear.head.in_features if level == "mid" else width
        out = {"each": classes * width, "common": width, "classifier": classes}[steps]
        self.mlp = nn.Sequential(
            nn.Linear(inside, HIDDEN[0]),
            nn.ReLU(),
            nn.Linear(*HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN[1], out),
        )
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-2.0))
        self.register_buffer("prototypes", prototypes.clone())

    prototypes: Tensor

    def forward(self, mel: Tensor) -> Identified:
        """Of log-mels (B, 64, n)."""
        middle = middle_features(self.ear, mel)
        feature = self.ear.head(middle)
        found = self.mlp(middle if self.level == "mid" else feature)
        if self.steps == "classifier":
            return Identified(feature[:, None].expand(-1, len(self.prototypes), -1), found)
        moved = feature[:, None] + found.unflatten(1, (-1, feature.shape[1]))
        moved = moved.expand(-1, len(self.prototypes), -1)
        cosine = functional.cosine_similarity(moved, self.prototypes, dim=-1)
        return Identified(moved, self.log_scale.exp() * cosine + self.bias)


def middle_features(ear: SoundStream, mel: Tensor) -> Tensor:
    """What the ear's layers say of log-mels (B, 64, n), pooled, before its head: (B, 128)."""
    centred = (mel - mel.mean((-2, -1), keepdim=True)) / 4
    maps = ear.layers(centred[:, None])
    return torch.cat([maps.amax((-2, -1)), maps.mean((-2, -1))], 1)


def prototypes_of(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Means (K, C) of features (N, C) of unit length, by label (N,).

    Zeros for a class without a sample: no feature resembles it, and it is never heard.
    """
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    sums = features.new_zeros(classes, features.shape[1])
    sums.index_add_(0, labels, functional.normalize(features, dim=1))
    return sums / counts[:, None]
