"""DenseAV small enough for two cores: backbones for the stage, trained from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcore.audio import log_mel
from avcore.nn.backbones import ImageStream, conv_block
from avcore.papers.denseav.aligners import AudioAligner, ImageAligner
from avcore.papers.denseav.model import DenseAV

WIDTH = 96  # channels of the backbones
STEP = 0.08  # s between two steps of the aligned sound


class SmallImageEncoder(nn.Module):
    """(B, 3, H, W) in [0, 1] -> features (B, 96, H/8, W/8), and their mean as the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = ImageStream(WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.norm(self.stream(image))
        return features, features.mean((-2, -1))


def _halve_frequency(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution that keeps every step of time, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, (2, 1), 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SmallAudioEncoder(nn.Module):
    """Log-mel (B, 64, n) -> features (B, 96, 1, n/4), one each 40 ms; each step hears 0.3 s.

    The layers see each sound with its own mean taken away, so that loudness does not matter.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_block(1, width, 2),
            conv_block(width, 2 * width, 2),
            _halve_frequency(2 * width, 4 * width),
            _halve_frequency(4 * width, 4 * width),
        )
        self.mix = nn.Sequential(
            nn.Conv2d(16 * width, WIDTH, (1, 3), padding=(0, 1), bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(inplace=True),
        )

    def forward(self, mel: Tensor) -> Tensor:
        centred = (mel - mel.mean((-2, -1), keepdim=True)) / 4
        maps = self.layers(centred[:, None])  # (B, 4·width, 4, n/4)
        return self.mix(maps.flatten(1, 2).unsqueeze(2))


def small_denseav(heads: int = 1, channels: int = 96) -> DenseAV:
    """DenseAV for the stage: 64×64 pictures to 8×8 places, sound to a step each 80 ms.

    `channels` is K·C, the channels of all heads together.
    """
    return DenseAV(
        SmallImageEncoder(),
        SmallAudioEncoder(),
        ImageAligner(WIDTH, channels),
        AudioAligner(WIDTH, channels, strides=(2, 1), attention_heads=4),
        heads,
        log_mel,
    )


def audible(mel: Tensor, below: float = 5.0) -> Tensor:
    """Which frames of log-mel (B, n_mels, n) can be heard, (B, n) bool.

    Those whose loudest band is at most `below` (natural units; 5 is 22 dB) under the loudest of
    the sound, and above the floor that silence has. Of total silence none can be heard.
    """
    loudest = mel.amax(1)
    peak = loudest.amax(-1, keepdim=True)
    floor = torch.log(torch.tensor(1e-5))
    return (loudest > peak - below) & (loudest > floor)
