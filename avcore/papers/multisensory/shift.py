"""The shifted-audio pretext task: does the sound belong to this moment of the picture?

Source: Owens and Efros (ECCV 2018), Sec. 3. Deviation: the sound is shifted by 0.5 s to 1 s.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel
from avcore.papers.multisensory.model import EarlyFusion
from avcore.stage import SceneBatch, SceneConfig
from avcore.support import by_scale, choose
from avcore.training import History, Shuffled, TrainConfig, fit, seeded

SENSES = {"both": (1, 1), "sound only": (0, 1), "picture only": (1, 0)}  # (picture, sound)
BATCH = 50  # clips that are measured at a time


def shifted_pairs(batch: SceneBatch, config: SceneConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Every clip twice, with its own sound and with sound from 0.5 s to 1 s away.

    Returns frames (2N, 3, T, H, W), log-mel (2N, …) and labels (2N,), 1 for aligned. Both kinds
    share a pass: apart, batch normalisation would give the label away.
    """
    count, rate = len(batch), config.sample_rate
    length, margin = round(config.duration * rate), round(config.margin * rate)
    shift = (0.5 + 0.5 * torch.rand(count)) * torch.where(torch.rand(count) < 0.5, -1, 1)
    starts = margin + (shift * rate).round().long()
    index = starts[:, None].to(batch.sound.device) + torch.arange(length, device=batch.sound.device)
    sound = torch.cat([batch.sound[:, margin : margin + length], batch.sound.gather(1, index)])
    frames = batch.frames.transpose(1, 2).float() / 255
    labels = torch.cat([torch.ones(count), torch.zeros(count)]).to(sound.device)
    return torch.cat([frames, frames]), log_mel(sound), labels


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of the shift task, the same for every choice of senses."""
    return TrainConfig(
        steps=by_scale(scale, smoke=2, quick=650, full=4000),
        batch_size=by_scale(scale, smoke=4, quick=16, full=32),
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=0, quick=20, full=100),
        seed=seed,
        device=device,
    )


class Shift:
    """The task on clips of one configuration, with `senses` (see `SENSES`) switched on."""

    def __init__(self, config: SceneConfig, senses: str = "both") -> None:
        self.config, self.senses = config, choose(SENSES, senses, "choice of senses")

    def logits(self, model: nn.Module, batch: SceneBatch) -> tuple[Tensor, Tensor]:
        """Logits and labels (2N,) of every clip with its own and with shifted sound."""
        frames, mel, labels = shifted_pairs(batch, self.config)
        return model(self.senses[0] * frames, self.senses[1] * mel), labels

    def loss(self, model: nn.Module, batch: SceneBatch) -> Tensor:
        """Binary cross-entropy of aligned against shifted."""
        return functional.binary_cross_entropy_with_logits(*self.logits(model, batch))

    def train(self, clips: SceneBatch, config: TrainConfig) -> tuple[EarlyFusion, History]:
        """A network trained on the clips, its initial weights drawn from the seed."""
        with seeded(config.seed):
            model = EarlyFusion()
        batches = Shuffled(clips, config.batch_size, config.seed)
        return model, fit(model, self.loss, batches, config)

    @torch.no_grad()
    def accuracy(self, model: nn.Module, clips: SceneBatch, seed: int = 0) -> float:
        """Share of the pairs that are told right; shifts are drawn from the seed."""
        device, right = next(model.parameters()).device, []
        with seeded(seed):
            for start in range(0, len(clips), BATCH):
                values, labels = self.logits(model, clips[start : start + BATCH].to(device))
                right.append((values > 0) == (labels > 0.5))
        return torch.cat(right).float().mean().item()
