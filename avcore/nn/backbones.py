"""Small convolutional streams, trained from scratch on the stage in minutes."""

from __future__ import annotations

import torch
from torch import nn


def conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ImageStream(nn.Module):
    """A picture to a grid of features: (B, 3, H, W) in [0, 1] -> (B, channels, H/8, W/8).

    Non-overlapping 4×4 patches first, which is cheap; each output sees 44×44 pixels.
    """

    def __init__(self, channels: int = 128, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 4, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            conv_block(width, 2 * width, 2),
            conv_block(2 * width, 2 * width),
            conv_block(2 * width, 2 * width),
            nn.Conv2d(2 * width, channels, 1),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(2 * image - 1)


class SoundStream(nn.Module):
    """A log-mel picture to one feature: (B, n_mels, frames) -> (B, channels).

    The layers see each sound with its own mean taken away, so that loudness does not matter. The
    responses are pooled over time and frequency twice, by their maximum (a short sound counts as
    much as a long one) and by their mean.
    """

    def __init__(self, channels: int = 128, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_block(1, width, 2),
            conv_block(width, 2 * width, 2),
            conv_block(2 * width, 4 * width, 2),
            conv_block(4 * width, 4 * width),
        )
        self.head = nn.Linear(8 * width, channels)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        centred = (log_mel - log_mel.mean((-2, -1), keepdim=True)) / 4
        maps = self.layers(centred[:, None])
        return self.head(torch.cat([maps.amax((-2, -1)), maps.mean((-2, -1))], 1))
