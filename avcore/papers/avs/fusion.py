"""What may stand in TPAVI's place: the sound added to every pixel, or the frames alone.

Source: the comparisons of Zhou et al., "Audio-Visual Segmentation" (ECCV 2022), Sec. 4.2: "A⊕V"
adds the sound to the features; a video object segmentation network looks along time and hears
nothing. All blocks take and give what `TPAVI` does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avcore.papers.avs.tpavi import AUDIO_CHANNELS, TPAVI
from avcore.support import AvcoreError


class Addition(nn.Module):
    """z = LayerNorm(x + W·sound), the same sound at every place of a frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.align_channel = nn.Linear(AUDIO_CHANNELS, channels)
        self.norm_layer = nn.LayerNorm(channels)

    def forward(self, x: Tensor, audio: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features x (B, C, T, H, W) and sound (B, T, 128) -> z like x, aligned sound (B, T, C)."""
        if audio is None:
            raise AvcoreError("to add the sound, the sound is needed; got none")
        aligned = self.align_channel(audio)
        z = x.movedim(1, -1) + aligned[:, :, None, None]
        return self.norm_layer(z).movedim(-1, 1), aligned


class VideoSelfAttention(TPAVI):
    """TPAVI in which the pixels of all frames attend to each other; the sound is ignored."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        del self.align_channel

    def forward(self, x: Tensor, audio: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Features x (B, C, T, H, W) -> z like x, and no sound."""
        return super().forward(x, None)


class TemporalConvolution(nn.Module):
    """z = LayerNorm(x + two 3×1×1 convolutions along time): a network of pictures that move.

    Source: 3-D convolutional video segmentation in the manner of Mahadevan et al. (BMVC 2020);
    ours is factorised, since the decoder mixes space. The sound is ignored.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.second = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        self.norm_layer = nn.LayerNorm(channels)

    def forward(self, x: Tensor, audio: Tensor | None = None) -> tuple[Tensor, None]:
        """Features x (B, C, T, H, W) -> z like x, and no sound."""
        z = x + self.second(torch.relu(self.first(x)))
        return self.norm_layer(z.movedim(1, -1)).movedim(-1, 1), None
