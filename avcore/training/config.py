"""What a training run is: one frozen configuration, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from avcore.support import AvcoreError, choose

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true")
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True)
class TrainConfig:
    """The conditions of one training run.

    Attributes
    ----------
    steps, batch_size, seed
        How many updates, from how many samples each (over all devices together), and the seed
        that every random draw of the run follows from.
    learning_rate, weight_decay
        Of AdamW, unless `fit` is given another optimiser.
    schedule, warmup
        The rate rises linearly over the first `warmup` steps, then stays ("constant") or falls
        to zero along half a cosine ("cosine").
    clip_norm
        Largest norm of the whole gradient, or None.
    precision
        One of `PRECISIONS`, in the words of Lightning Fabric.
    device, devices
        "auto", "cpu", "cuda", "cuda:1", …; and how many of them. `torchrun` overrides `devices`.
    checkpoint, checkpoint_every
        File to save to every so many steps (0: only at the end) and to resume from, or None.
    log_every
        Steps between two entries of the history.
    progress
        Whether to show a progress bar where someone can see it.
    """

    steps: int = 1000
    batch_size: int = 32
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    clip_norm: float | None = None
    precision: str = "32-true"
    device: str = "auto"
    devices: int = 1
    checkpoint: str | Path | None = None
    checkpoint_every: int = 0
    log_every: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.devices, self.log_every) < 1:
            raise AvcoreError("steps, batch_size, devices and log_every must be at least 1")
        if min(self.seed, self.weight_decay, self.warmup, self.checkpoint_every) < 0:
            raise AvcoreError(
                "seed, weight_decay, warmup and checkpoint_every must not be negative"
            )
        if not self.learning_rate > 0:
            raise AvcoreError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise AvcoreError(f"clip_norm must be positive or None, got {self.clip_norm}")
        choose(SCHEDULES, self.schedule, "schedule")
        choose(PRECISIONS, self.precision, "precision")

    def rate_factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step` (0, 1, …), in [0, 1]."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.schedule == "constant":
            return 1.0
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * done))


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device that `device` names; "auto" is a GPU where there is one, else the CPU.

    Raises
    ------
    AvcoreError
        When the name is unknown or this machine has no such device.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise AvcoreError(f"unknown device {device!r}; choose auto, cpu, cuda or mps") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise AvcoreError(f"there is no device {device} on this machine; choose auto or cpu")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise AvcoreError("there is no device mps on this machine; choose auto or cpu")
    return chosen
