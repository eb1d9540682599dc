"""The multisensory network, small: picture and sound meet after the first layers.

Source: Owens and Efros (ECCV 2018), Sec. 3 and Fig. 2. The streams of frames and sound are brought
to the same T steps; the sound is tiled over the picture, both are concatenated and go on through
3-D convolutions to a mean over space and time and a logit. The class activation map (CAM) is the
last layer applied in each place instead of to the mean. Deviations: 0.2 million weights; a log-mel
by default; what changes in the picture and what stays go through layers of their own, without which
the plateau at chance lasts far longer; no residual connections; the last maps keep the resolution
of the fusion. The published sizes are in `published`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel
from avcore.support import AvcoreError, choose

MOVING, STILL, FUSED = 32, 16, 64  # channels of what changes, of what stays, of joint layers
SEEN = MOVING + STILL
COMPANDING = 255.0


class EarlyFusion(nn.Module):
    """A small early-fusion network with a logit per excerpt: do picture and sound belong together?

    Parameters
    ----------
    sound
        How the sound is heard: "log-mel" or "waveform".
    """

    def __init__(self, sound: str = "log-mel") -> None:
        super().__init__()
        self.moving = nn.Sequential(  # (B, 3, T, H, W) -> (B, 32, T, H/8, W/8)
            _layer(3, MOVING // 2, (3, 5, 5), (1, 4, 4)),
            _layer(MOVING // 2, MOVING, (3, 3, 3), (1, 2, 2)),
        )
        self.still = nn.Sequential(  # (B, 3, 1, H, W) -> (B, 16, 1, H/8, W/8)
            _layer(3, STILL, (1, 5, 5), (1, 4, 4)),
            _layer(STILL, STILL, (1, 3, 3), (1, 2, 2)),
        )
        self.sound = choose(HEARING, sound, "kind of sound")()  # (B, n) -> (B, 64, frames)
        self.fusion = _layer(SEEN + FUSED, FUSED, (1, 1, 1), (1, 1, 1))
        self.joint = nn.Sequential(  # -> (B, 64, T/2, H/8, W/8)
            _layer(FUSED, FUSED, (5, 1, 1), (2, 1, 1)),
            _layer(FUSED, FUSED, (3, 3, 3), (1, 1, 1)),
        )
        self.head = nn.Linear(FUSED, 1)

    def see(self, frames: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] -> (B, 48, T, H/8, W/8).

        Changes from the excerpt's mean frame, and that frame itself, which is looked at once.
        """
        if frames.ndim != 5 or frames.shape[1] != 3:
            raise AvcoreError(f"frames want shape (B, 3, T, H, W), got {tuple(frames.shape)}")
        mean = frames.mean(2, keepdim=True)
        moving, still = self.moving(4 * (frames - mean)), self.still(2 * mean - 1)
        return torch.cat([moving, still.expand(-1, -1, moving.shape[2], -1, -1)], 1)

    def hear(self, sound: Tensor, steps: int) -> Tensor:
        """Waveforms (R, n) -> (R, 64, steps): the maximum within each step."""
        return functional.adaptive_max_pool1d(self.sound(sound), steps)

    def fuse(self, seen: Tensor, heard: Tensor) -> Tensor:
        """(B, 48, T, h, w) and (R, 64, T) -> (R, 64, T/2, h, w).

        R is B, or a multiple of it: then the sounds b, b + B, … all belong to the picture b.
        """
        repeats, rest = divmod(len(heard), len(seen))
        if rest or not repeats:
            raise AvcoreError(f"{len(heard)} sounds do not go with {len(seen)} pictures")
        seen = seen.repeat(repeats, 1, 1, 1, 1)
        tiled = heard[..., None, None].expand(-1, -1, -1, *seen.shape[3:])
        return self.joint(self.fusion(torch.cat([seen, tiled], 1)))

    def maps(self, frames: Tensor, sound: Tensor) -> Tensor:
        """The last maps, (R, 64, T/2, h, w); the picture is seen once for all its sounds."""
        seen = self.see(frames)
        return self.fuse(seen, self.hear(sound, seen.shape[2]))

    def forward(self, frames: Tensor, sound: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] and waveforms (R, n) -> logits (R,); see `fuse`."""
        return self.head(self.maps(frames, sound).mean((2, 3, 4)))[:, 0]

    def cam(self, frames: Tensor, sound: Tensor) -> Tensor:
        """The class activation map (B, T/2, h, w): where and when the evidence for a match lies.

        Its mean over all places, plus the bias of the head, is the logit.
        """
        return torch.einsum("bcthw,c->bthw", self.maps(frames, sound), self.head.weight[0])


class LogMel(nn.Module):
    """Hears a log-mel picture whose mean over time is subtracted in each band."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_band(64, FUSED, 5, 1), *_band(FUSED, FUSED, 5, 1))

    def forward(self, sound: Tensor) -> Tensor:
        """(R, n) -> (R, 64, n // 160 + 1)."""
        mel = log_mel(sound)
        return self.layers((mel - mel.mean(-1, keepdim=True)) / 4)


class Waveform(nn.Module):
    """Hears the waveform itself, companded; strides and a pooling make 1 step of 1024 samples.

    Sizes and strides are the published ones, the channels are not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_band(1, 16, 65, 4),
            nn.MaxPool1d(4),
            *_band(16, 32, 15, 4),
            *_band(32, FUSED, 15, 4),
            *_band(FUSED, FUSED, 15, 4),
        )

    def forward(self, sound: Tensor) -> Tensor:
        """(R, n) -> (R, 64, about n / 1024)."""
        return self.layers(compand(sound)[:, None])


def compand(sound: Tensor) -> Tensor:
    """sign(x) · log(1 + 255·|x|) / log 256: soft sounds are made louder; any shape, in [-1, 1]."""
    return sound.sign() * torch.log1p(COMPANDING * sound.abs()) / math.log1p(COMPANDING)


HEARING = {"log-mel": LogMel, "waveform": Waveform}


def _layer(inputs: int, outputs: int, kernel: tuple, stride: tuple) -> nn.Sequential:
    padding = tuple(k // 2 for k in kernel)
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    )


def _band(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    ]
