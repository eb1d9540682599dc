"""AVS small enough for two cores: on the features of a frozen eye and a frozen ear.

`SmallAVS` has the parts of the published network behind its encoder. `small_avs` is the same
size with an encoder of its own that starts from nothing, for `avcore train avs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.backbones import SoundStream, conv_block
from avcore.nn.pretrained import CHANNELS as EYE_CHANNELS
from avcore.nn.pretrained import LITE0
from avcore.papers.avs.fusion import Addition, TemporalConvolution, VideoSelfAttention
from avcore.papers.avs.model import AVSModel, DilatedHead, Fusion, Segmented
from avcore.papers.avs.tpavi import AUDIO_CHANNELS, TPAVI
from avcore.support import AvcoreError, choose

WIDTHS = (32, 48, 64, 96)  # channels of the small encoder's four stages
CHANNELS = 32  # C
LAST = 12  # channels at the full size of `small_avs`
DILATIONS = (1, 2, 3, 5)  # the published ones, scaled to the smaller maps

# What stands where the sound comes in; None for nothing.
FUSIONS: dict[str, Callable[[int], nn.Module] | None] = {
    "TPAVI": TPAVI,
    "addition": Addition,
    "video self-attention": VideoSelfAttention,
    "video convolution": TemporalConvolution,
    "no sound": None,
}


class Standardise(nn.Module):
    """(x - mean) / spread, channel by channel along axis `axis`, as measured once on features.

    Frozen features have channels of very different size; without this the sound is not learned.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, channels: int, axis: int = -1) -> None:
        super().__init__()
        self.shape = (channels, *[1] * (-1 - axis))
        self.register_buffer("mean", torch.zeros(self.shape))
        self.register_buffer("spread", torch.ones(self.shape))

    def measure(self, x: Tensor) -> None:
        """Take mean and spread of features (…, channels, …); a tenth of the mean spread is added,
        so that a channel that hardly ever responds is not blown up."""
        rows = x.movedim(x.ndim - len(self.shape), -1).flatten(0, -2).float()
        spread = rows.std(0)
        self.mean.copy_(rows.mean(0).view(self.shape))
        self.spread.copy_((spread + 0.1 * spread.mean() + 1e-6).view(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.mean.dtype) - self.mean) / self.spread


class SmallAVS(nn.Module):
    """Masks of the sounding objects from frozen features.

    Parameters
    ----------
    fusion
        How the sound comes in at all four stages, one of `FUSIONS`.
    widths
        Channels of the eye's four maps.
    channels
        C, in which maps and sound meet.
    """

    def __init__(
        self,
        fusion: str = "TPAVI",
        widths: Sequence[int] = EYE_CHANNELS[LITE0],
        channels: int = CHANNELS,
    ) -> None:
        super().__init__()
        block = choose(FUSIONS, fusion, "fusion")
        self.see = nn.ModuleList(Standardise(width, axis=-3) for width in widths)
        self.hear = Standardise(AUDIO_CHANNELS)
        self.heads = nn.ModuleList(DilatedHead(width, channels, DILATIONS) for width in widths)
        self.fusions = nn.ModuleList(block(channels) for _ in widths) if block else None
        self.paths = nn.ModuleList(Fusion(channels) for _ in widths)
        self.paths[-1].resConfUnit1.requires_grad_(False)  # nothing comes to it, as published
        self.output = nn.Sequential(
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 2, 1, 1),
        )

    def measure(self, maps: Sequence[Tensor], heard: Tensor) -> None:
        """Take the standardisation from features to learn from."""
        for layer, each in zip(self.see, maps, strict=True):
            cast(Standardise, layer).measure(each)
        self.hear.measure(heard)

    def forward(self, maps: Sequence[Tensor], heard: Tensor) -> Segmented:
        """Maps of four sizes (B, T, C, h, w) and sound (B, T, 128) -> logits (B·T, 1, 4h, 4w)."""
        x, stages, sounds = self.features(maps, heard)
        logits = functional.interpolate(self.output(x), scale_factor=2, mode="bilinear")
        return Segmented(logits, [torch.relu(stage) for stage in stages], sounds)

    def features(
        self, maps: Sequence[Tensor], heard: Tensor
    ) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """What the mask is made from, (B·T, C, 2h, 2w), the stages, and the aligned sounds."""
        clips = heard.shape[:2]
        if any(each.shape[:2] != clips for each in maps):
            raise AvcoreError(
                f"maps and sound (B, T, …) do not fit: {[*maps[0].shape], [*heard.shape]}"
            )
        seen = [
            scale(each.float()).flatten(0, 1) for scale, each in zip(self.see, maps, strict=True)
        ]
        stages = [head(each) for head, each in zip(self.heads, seen, strict=True)]
        sounds: list[Tensor | None] = [None] * len(stages)
        sound = self.hear(heard)
        for number, block in enumerate(self.fusions or ()):
            x = stages[number].unflatten(0, clips).transpose(1, 2)  # (B, C, T, h, w)
            x, sounds[number] = block(x, sound)
            stages[number] = x.transpose(1, 2).flatten(0, 1)
        x = self.paths[-1](stages[-1])
        for path, stage in zip(self.paths[-2::-1], stages[-2::-1], strict=True):
            x = path(x, stage)
        return x, stages, sounds


class SmallEncoder(nn.Module):
    """(N, 3, H, W) -> maps of 32, 48, 64, 96 channels at 1/4, 1/8, 1/16 and 1/32 of the size."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Sequential(conv_block(3, 24, 2), conv_block(24, WIDTHS[0], 2))
        rest = [
            nn.Sequential(conv_block(inputs, outputs, 2), conv_block(outputs, outputs))
            for inputs, outputs in pairwise(WIDTHS)
        ]
        self.stages = nn.ModuleList([first, *rest])

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            image = stage(image)
            maps.append(image)
        return maps


def small_avs(fusion: str = "TPAVI", frames: int = 5) -> AVSModel:
    """AVS of pictures with a small encoder, all of it drawn at random, and one of `FUSIONS`."""
    block = choose(FUSIONS, fusion, "fusion")
    return AVSModel(
        SmallEncoder(),
        WIDTHS,
        CHANNELS,
        tpavi_stages=range(4) if block else (),
        frames=frames,
        dilations=DILATIONS,
        fusion=block or TPAVI,
        last=LAST,
    )


def small_listener() -> nn.Sequential:
    """Log-mel of a second (B, n_mels, n) -> 128 numbers (B, 128), none negative, as VGGish's."""
    return nn.Sequential(SoundStream(AUDIO_CHANNELS), nn.ReLU())
