"""What the published networks minimise, with which optimisers, and for how long.

Source: Owens and Efros (ECCV 2018) and its public code (`shift_params.py`, `sep_params.py`). The
loss on the phase is in the code alone. The pretext minimises the cross-entropy of `shift`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from avcore.papers.multisensory.published_separation import Separated
from avcore.training import TrainConfig

MOMENTUM = 0.9
PHASE = 0.01  # weight of the loss on the phase

WARM_UP = TrainConfig(  # on every fourth frame
    steps=30_000,
    batch_size=15,  # clips on each GPU, each with both of its sounds
    learning_rate=1e-2,
    weight_decay=1e-5,
    schedule="constant",
    clip_norm=5.0,
)
PRETEXT = replace(WARM_UP, steps=650_000, batch_size=5)  # on all frames
SEPARATION = TrainConfig(
    steps=120_000,
    batch_size=6,  # on each GPU
    learning_rate=1e-4,
    weight_decay=1e-5,
    schedule="constant",
    clip_norm=10.0,
)
SEPARATION_END = replace(SEPARATION, steps=40_000, learning_rate=1e-5)  # goes on from it


def momentum(model: nn.Module, config: TrainConfig = PRETEXT) -> torch.optim.SGD:
    """The optimiser of the pretext, for `avcore.training.fit`."""
    return torch.optim.SGD(_groups(model, config), config.learning_rate, MOMENTUM)


def adam(model: nn.Module, config: TrainConfig = SEPARATION) -> torch.optim.Adam:
    """The optimiser of separation, for `avcore.training.fit`."""
    return torch.optim.Adam(_groups(model, config), config.learning_rate)


def distance(spectrogram: Tensor, target: Tensor, phase: float = PHASE) -> Tensor:
    """L1 of the levels plus `phase` times L1 of the phases, (B, 2, steps, bins) -> (B,).

    Both are scaled to [-1, 1], as `published_separation.encode` gives them.
    """
    parts = (spectrogram - target).abs().mean((-2, -1))  # (B, 2)
    return parts[..., 0] + phase * parts[..., 1]


def separation_loss(found: Separated, true: Separated, phase: float = PHASE) -> Tensor:
    """The distances of both sounds, on screen and off screen, summed: (B,)."""
    return distance(found.on, true.on, phase) + distance(found.off, true.off, phase)


def permutation_invariant_loss(found: Separated, true: Separated, phase: float = PHASE) -> Tensor:
    """The smaller `separation_loss` of the two assignments of sounds, (B,); Yu et al. (2017).

    The public code trains with the phase and chooses among checkpoints without, `phase=0`.
    """
    as_named = separation_loss(found, true, phase)
    swapped = separation_loss(found, Separated(true.off, true.on), phase)
    return torch.minimum(as_named, swapped)


def _groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Weights, which decay (L2), and offsets, scales and biases, which do not."""
    learned = [tensor for tensor in model.parameters() if tensor.requires_grad]
    weights = [tensor for tensor in learned if tensor.ndim > 1]
    others = [tensor for tensor in learned if tensor.ndim <= 1]
    decay = config.weight_decay
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
