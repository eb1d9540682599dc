"""AVS small enough for two cores: for clips of 64×64 pixels, without pretrained weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from avcore.nn.backbones import SoundStream, conv_block
from avcore.papers.avs.fusion import Addition, TemporalConvolution, VideoSelfAttention
from avcore.papers.avs.model import AVSModel
from avcore.papers.avs.tpavi import AUDIO_CHANNELS, TPAVI
from avcore.support import choose

WIDTHS = (32, 48, 64, 96)  # channels of the small encoder's four stages
CHANNELS = 32  # C
LAST = 12  # channels at the full size
DILATIONS = (1, 2, 3, 5)  # the published ones, scaled from a grid of 56 to one of 16

# What stands where the sound comes in; None for nothing.
FUSIONS: dict[str, Callable[[int], nn.Module] | None] = {
    "TPAVI": TPAVI,
    "addition": Addition,
    "video self-attention": VideoSelfAttention,
    "video convolution": TemporalConvolution,
    "no sound": None,
}


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


def small_avs(
    fusion: str = "TPAVI", frames: int = 5, encoder: SmallEncoder | None = None
) -> AVSModel:
    """AVS for the stage, with one of `FUSIONS` at all four stages.

    A copy of `encoder` is used where one is given, on the CPU as all that is new; its weights are
    otherwise drawn at random.
    """
    block = choose(FUSIONS, fusion, "fusion")
    return AVSModel(
        copy.deepcopy(encoder).cpu() if encoder else SmallEncoder(),
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
