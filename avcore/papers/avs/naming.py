"""Networks that know things by sight and by ear before segmentation begins.

The published model starts from an image network trained on ImageNet and a sound network (VGGish)
trained on AudioSet. Here two small streams learn to name what is seen and what is heard, on
scenes of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel
from avcore.nn.pictures import normalise
from avcore.papers.avs.small import WIDTHS, SmallEncoder, small_listener
from avcore.papers.avs.tpavi import AUDIO_CHANNELS
from avcore.stage import STILL, AssetBank, SceneBatch, Stage, render
from avcore.support import by_scale
from avcore.training import Shuffled, TrainConfig, fit, predict, seeded

SCENES = replace(STILL, size=64, objects=(1, 1), sounding=(1, 1))
ELSEWHERE = 7_000_000  # added to the seed, so that these scenes are no others' scenes


@dataclass(frozen=True)
class Named:
    """Pictures of one thing with its class, and mixtures of up to two sounds with theirs."""

    image: Tensor  # (N, 3, H, W) uint8
    seen: Tensor  # (N,) int64
    mel: Tensor  # (N, n_mels, n)
    heard: Tensor  # (N, classes) float, 0 or 1

    @classmethod
    def of(cls, batch: SceneBatch, classes: int, seed: int = 0) -> Named:
        """Scenes of one sounding thing each, and their sounds mixed with the next scene's."""
        on = torch.rand(2, len(batch), generator=torch.Generator().manual_seed(seed)) < 0.7
        one_hot = functional.one_hot(batch.class_id[:, 0], classes).float()

        def mixed(values: Tensor) -> Tensor:
            return on[0, :, None] * values + on[1, :, None] * values.roll(1, 0)

        mel, heard = log_mel(mixed(batch.waveform)), mixed(one_hot).clamp_max(1)
        return cls(batch.frames[:, 0].contiguous(), batch.class_id[:, 0].clone(), mel, heard)


class Namer(nn.Module):
    """Both streams with layers that name: the places of two maps (1/8, 1/16), and the sound."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = SmallEncoder()
        self.listener = small_listener()
        self.name_seen = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in WIDTHS[1:3])
        self.name_heard = nn.Linear(AUDIO_CHANNELS, classes)

    def forward(self, image: Tensor, mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """Pictures (B, 3, H, W) uint8, log-mel (B, n_mels, n) -> logits (B, classes) of what is
        seen, by each map, and of what is heard. A map's logit is the log-sum-exp of its places."""
        maps = self.encoder(normalise(image))[1:3]
        named = [name(x) for name, x in zip(self.name_seen, maps, strict=True)]
        return [x.flatten(2).logsumexp(-1) for x in named], self.name_heard(self.listener(mel))


def teach(
    scale: str = "quick",
    seed: int = 0,
    bank: AssetBank | None = None,
    device: str = "auto",
    progress: bool = False,
) -> Namer:
    """Both streams after learning to name; the classes of a scene are the labels, no mask is."""
    stage = Stage(SCENES, bank, seed + ELSEWHERE)
    count, steps, workers = by_scale(
        scale, smoke=(64, 4, 0), quick=(3000, 300, 2), full=(40_000, 10_000, 8)
    )
    classes = len(stage.bank.classes)
    known = Named.of(render(stage, "train", count, workers=workers), classes, seed)
    with seeded(seed):
        model = Namer(classes)
    config = TrainConfig(
        steps=steps,
        batch_size=by_scale(scale, smoke=16, quick=64, full=128),
        learning_rate=3e-3,
        weight_decay=1e-3,
        seed=seed,
        device=device,
        progress=progress,
    )

    def loss_fn(model: nn.Module, batch: Named) -> dict[str, Tensor]:
        seen, heard = model(batch.image, batch.mel)
        each = [functional.cross_entropy(logits, batch.seen) for logits in seen]
        parts = {
            "seen": torch.stack(each).sum(),
            "heard": functional.binary_cross_entropy_with_logits(heard, batch.heard),
        }
        return {"loss": parts["seen"] + parts["heard"], **parts}

    fit(model, loss_fn, Shuffled(known, config.batch_size, seed), config)
    return model.eval()


def listen(listener: nn.Module, mel: Tensor, batch: int = 256) -> Tensor:
    """What a listener that learns no more makes of log-mel (N, T, …): (N, T, 128), on the CPU."""
    features = predict(listener, mel.flatten(0, 1), lambda model, part: model(part), batch)
    return features.unflatten(0, mel.shape[:2])
