"""The aligners: from each backbone's features to the channels in which the senses meet.

Source: DenseAV (Hamilton et al., CVPR 2024), Sec. 3.3; details from the official code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcore.nn.vit import Block
from avcore.support import AvcoreError

EPS = 1e-4  # of all layer normalisations


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, H, W), or of (B, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ImageAligner(nn.Module):
    """Channel normalisation and a 1×1 convolution; the class token has a linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(inputs)
        self.layer = nn.Conv2d(inputs, outputs, 1)
        self.cls_layer = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, H, W) and (B, inputs) -> (B, outputs, H, W) and (B, outputs)."""
        return self.layer(self.norm(features)), self.cls_layer(token)


class AudioAligner(nn.Module):
    """Channel normalisation, two convolutions over time, and self-attention over the steps.

    A learned class token takes part in the attention. `strides` are the widths of the two
    convolutions, which do not overlap; `attention_heads` must divide `outputs`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        strides: tuple[int, int] = (3, 3),
        attention_heads: int = 6,
    ) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(inputs))
        self.norm = ChannelNorm(inputs)
        self.first = nn.Conv2d(inputs, outputs, (1, strides[0]), (1, strides[0]))
        self.second = nn.Conv2d(outputs, outputs, (1, strides[1]), (1, strides[1]))
        self.cls_layer = nn.Linear(inputs, outputs)
        self.block = Block(outputs, attention_heads, EPS)
        self.shortest = strides[0] * strides[1]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, F, T) -> (B, outputs, 1, T'), a mean over frequency, and (B, outputs)."""
        if features.shape[-1] < self.shortest:
            raise AvcoreError(
                f"the sound is too short: {features.shape[-1]} steps, at least {self.shortest}"
            )
        x = self.second(self.first(self.norm(features.mean(2, keepdim=True))))
        token = self.cls_layer(self.norm(self.token[None]))
        tokens = torch.cat([token[:, None].expand(len(x), -1, -1), x[:, :, 0].transpose(1, 2)], 1)
        tokens = self.block(tokens)
        return tokens[:, 1:].transpose(1, 2).unsqueeze(2), tokens[:, 0]
