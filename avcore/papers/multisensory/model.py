"""The early-fusion network: picture and sound meet after the first layers.

Source: Owens and Efros, "Audio-Visual Scene Analysis with Self-Supervised Multisensory Features"
(ECCV 2018), Sec. 3. Deviations: a small network, log-mel instead of the waveform.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class EarlyFusion(nn.Module):
    """A small early-fusion 3-D convolutional network with one logit per clip.

    The sound is pooled to T steps and tiled over the picture. Both inputs have the clip's own mean
    subtracted, so that changes stand out.
    """

    def __init__(self, n_mels: int = 64, width: int = 32) -> None:
        super().__init__()
        self.video = nn.Sequential(
            _layer(3, width // 2, (3, 5, 5), (1, 4, 4)),
            _layer(width // 2, width, (3, 3, 3), (1, 2, 2)),
        )
        self.sound = nn.Sequential(
            nn.Conv1d(n_mels, width, 5, padding=2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        )
        self.fused = nn.Sequential(
            _layer(2 * width, 2 * width, (1, 1, 1), (1, 1, 1)),
            _layer(2 * width, 2 * width, (3, 3, 3), (1, 2, 2)),
            _layer(2 * width, 2 * width, (3, 3, 3), (2, 1, 1)),
        )
        self.head = nn.Linear(2 * width, 1)

    def forward(self, frames: Tensor, mel: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] and log-mel (B, n_mels, n) -> logits (B,)."""
        moving = 4 * (frames - frames.mean(2, keepdim=True))
        changing = (mel - mel.mean(-1, keepdim=True)) / 4
        video = self.video(moving)  # (B, width, T, H/8, W/8)
        sound = functional.adaptive_max_pool1d(self.sound(changing), video.shape[2])
        tiled = sound[..., None, None].expand(-1, -1, -1, *video.shape[3:])
        fused = self.fused(torch.cat([video, tiled], 1))
        return self.head(fused.mean((-3, -2, -1)))[:, 0]


def _layer(inputs: int, outputs: int, kernel: tuple, stride: tuple) -> nn.Sequential:
    padding = tuple(k // 2 for k in kernel)
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    )
