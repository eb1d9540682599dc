"""The network of the pretext task at its published size: picture and sound meet early.

Source: Owens and Efros (ECCV 2018), Sec. 3, and its public code (`shift_net.py`), whose sizes,
strides, activations and constants are kept. Deviations:

- The sound is pooled over evenly spread regions, not over random ones (fractional max-pooling).
- Batch normalisation is not renormalised, and each layer learns a scale. In the public code the
  pretext learns offsets only; separation learns scales too.
- A bias in front of a batch normalisation does nothing and is left out.
- Padding is symmetric where the strides of the public code put the odd pixel at the end.
- The spectrogram stream is ours: the paper reports it, but neither text nor code describe it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.papers.multisensory.model import compand
from avcore.support import AvcoreError, choose

SAMPLE_RATE = 21_000  # Hz
FRAMES, SAMPLES, SIZE = 125, 87_588, 224  # of 4.2 s at 29.97 fps; height and width
CHANNELS, BANDS = 2, 64  # of the waveform (stereo) and of the log-mel
DECAY, EPSILON = 0.9997, 1e-3  # of batch normalisation: running statistics take 10,000 steps

CONVOLUTIONS: Mapping[int, Any] = {1: nn.Conv1d, 3: nn.Conv3d}
NORMS: Mapping[int, Any] = {1: nn.BatchNorm1d, 3: nn.BatchNorm3d}
POOLS: Mapping[int, Any] = {1: nn.MaxPool1d, 3: nn.MaxPool3d}
ONCE, TWICE = (1, 1, 1), (2, 2, 2)  # strides over time, height and width
CUBE = (3, 3, 3)


class Scales(NamedTuple):
    """The maps that separation reads; C is 64, or the width that the network was given."""

    video: Tensor  # (B, C, T/4, H/8, W/8): the picture alone
    early: Tensor  # (B, 2C, T/4, H/8, W/8): soon after picture and sound met
    last: Tensor  # (B, 8C, T/8, H/32, W/32), or H/16 × W/16 without the last stride


class Block(nn.Module):
    """Residual block: convolution, norm, ReLU, convolution; plus shortcut; norm, ReLU.

    The shortcut is a 1×1 max-pooling where the channels stay, else a 1×1 convolution with a norm.
    The kernel has one entry for sound (time), three for video (time, height, width).
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple, stride: tuple) -> None:
        super().__init__()
        dims = len(kernel)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            point = _convolution(inputs, outputs, (1,) * dims, stride)
            self.shortcut = nn.Sequential(point, _norm(outputs, dims))
        elif max(stride) > 1:
            self.shortcut = POOLS[dims](1, stride)
        self.first = _layer(inputs, outputs, kernel, stride)
        self.second = _convolution(outputs, outputs, kernel, (1,) * dims)
        self.norm = _norm(outputs, dims)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.shortcut(x) + self.second(self.first(x))))


class VideoStream(nn.Sequential):
    """Frames (B, 3, T, H, W) in [-1, 1] -> (B, C, T/4, H/8, W/8)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(
            _layer(3, width, (5, 7, 7), TWICE),  # (B, C, T/2, H/2, W/2)
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),  # (B, C, T/2, H/4, W/4)
            Block(width, width, CUBE, ONCE),
            Block(width, width, CUBE, TWICE),  # (B, C, T/4, H/8, W/8)
        )


class WaveformStream(nn.Sequential):
    """Companded waveform (B, 2, n) -> (B, 4C, n/1024), one step per 49 ms."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(
            _layer(CHANNELS, width, (65,), (4,)),  # (B, C, n/4)
            nn.MaxPool1d(4),  # (B, C, n/16)
            Block(width, 2 * width, (15,), (4,)),  # (B, 2C, n/64)
            Block(2 * width, 2 * width, (15,), (4,)),  # (B, 2C, n/256)
            Block(2 * width, 4 * width, (15,), (4,)),  # (B, 4C, n/1024)
        )


class SpectrogramStream(nn.Sequential):
    """Log-mel (B, 64, m) at 100 steps per second -> (B, 4C, m/4); the design is ours."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(
            _layer(BANDS, width, (5,), (1,)),  # (B, C, m)
            Block(width, 2 * width, (5,), (2,)),  # (B, 2C, m/2)
            Block(2 * width, 2 * width, (5,), (2,)),  # (B, 2C, m/4)
            Block(2 * width, 4 * width, (5,), (1,)),  # (B, 4C, m/4)
        )


class Merge(nn.Module):
    """Early fusion: the sound, pooled to the video's steps, at every place of the picture.

    A 1×1×1 convolution of the video beside the tiled sound is the sum of two: that of the video,
    computed once for all sounds, and that of the sound, computed once for all places.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.sound = _layer(4 * width, 2 * width, (3,), (1,))
        self.from_video = _convolution(width, 8 * width, ONCE, ONCE)
        self.from_sound = _convolution(2 * width, 8 * width, (1,), (1,))
        self.norm = _norm(8 * width, 3)
        self.second = _convolution(8 * width, 2 * width, ONCE, ONCE)
        self.last_norm = _norm(2 * width, 3)

    def forward(self, video: Tensor, sound: Tensor | None, repeats: int = 1) -> Tensor:
        """Video (B, C, T, h, w) and sound (R·B, 4C, n) or None -> (R·B, 2C, T, h, w)."""
        if sound is None:
            heard = video.new_zeros(len(video), 2 * self.width, video.shape[2])
        else:
            heard = self.sound(functional.adaptive_max_pool1d(sound, video.shape[2]))
        seen = self.from_video(video).repeat(repeats, 1, 1, 1, 1)  # (R·B, 8C, T, h, w)
        x = torch.relu(self.norm(seen + self.from_sound(heard)[..., None, None]))
        tiled = heard[:, -self.width :, :, None, None].expand(-1, -1, -1, *video.shape[3:])
        shortcut = torch.cat([video.repeat(repeats, 1, 1, 1, 1), tiled], 1)
        return torch.relu(self.last_norm(self.second(x) + shortcut))  # (R·B, 2C, T, h, w)


class MultisensoryNet(nn.Module):
    """The fused 3-D network, with one logit per clip: does the sound belong to this moment?

    Parameters
    ----------
    stride_last
        Whether the last maps are halved; without, they are twice as fine, for `cam`. The weights
        are the same.
    sound
        "waveform", or "spectrogram" for the stream of our design.
    width
        C, channels of the first layers; 64 as published.
    """

    def __init__(self, stride_last: bool = True, sound: str = "waveform", width: int = 64) -> None:
        super().__init__()
        streams = {"waveform": WaveformStream, "spectrogram": SpectrogramStream}
        self.takes, self.channels = sound, (width, 2 * width, 8 * width)
        self.video = VideoStream(width)
        self.sound = choose(streams, sound, "sound")(width)
        self.merge = Merge(width)
        self.early = nn.Sequential(*(Block(2 * width, 2 * width, CUBE, ONCE) for _ in range(2)))
        self.late = nn.Sequential(
            Block(2 * width, 4 * width, CUBE, TWICE),  # (B, 4C, T/8, H/16, W/16)
            Block(4 * width, 4 * width, CUBE, ONCE),
            Block(4 * width, 8 * width, CUBE, (1, 2, 2) if stride_last else ONCE),
            Block(8 * width, 8 * width, CUBE, ONCE),  # (B, 8C, T/8, H/32, W/32)
        )
        self.head = nn.Linear(8 * width, 1)
        _initialise(self)

    def forward(self, frames: Tensor, sound: Tensor | None) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] and sound -> logits (R·B,).

        The sound is a waveform (R·B, n, 2) in [-1, 1], a log-mel (R·B, 64, m), or None for no
        sound. Given R sounds per clip (all clips with the first, then all with the second, …),
        the video stream is computed once, and all versions share every other pass: apart, batch
        normalisation would give the label away.
        """
        return self.head(self.features(frames, sound).last.mean((2, 3, 4)))[:, 0]

    def features(self, frames: Tensor, sound: Tensor | None) -> Scales:
        """The maps of the clips at three scales; arguments as in `forward`."""
        return self.fuse(self.see(frames), None if sound is None else self.hear(sound))

    def cam(self, frames: Tensor, sound: Tensor | None) -> Tensor:
        """Class activation map, (R·B, T/8, h, w) in logits: the head at each place.

        Its mean over a clip is the clip's logit.
        """
        last = self.features(frames, sound).last
        return self.head(last.movedim(1, -1))[..., 0]

    def see(self, frames: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] -> maps of the video stream (B, C, T/4, H/8, W/8)."""
        if frames.ndim != 5 or frames.shape[1] != 3 or not frames.is_floating_point():
            raise AvcoreError(
                "frames (B, 3, T, H, W) in [0, 1] are wanted, got "
                f"{tuple(frames.shape)} of {frames.dtype}"
            )
        return self.video(2 * frames - 1)

    def hear(self, sound: Tensor) -> Tensor:
        """Waveform (B, n, 2) or log-mel (B, 64, m) -> (B, 4C, n/1024 or m/4)."""
        waveform = self.takes == "waveform"
        axis, wanted = (2, CHANNELS) if waveform else (1, BANDS)
        if sound.ndim != 3 or sound.shape[axis] != wanted:
            form = f"a waveform (B, n, {CHANNELS})" if waveform else f"a log-mel (B, {BANDS}, m)"
            raise AvcoreError(f"{form} is wanted, got the shape {tuple(sound.shape)}")
        if waveform and sound.shape[1] < 1024:
            raise AvcoreError(
                f"a sound of {sound.shape[1]} samples is too short: 1,024 make a step"
            )
        if waveform:
            return self.sound(compand(sound).transpose(1, 2))
        return self.sound((sound - sound.mean(2, keepdim=True)) / 4)  # as in the small network

    def fuse(self, video: Tensor, sound: Tensor | None) -> Scales:
        """What `see` gave of B clips and `hear` of R·B sounds (or None) -> maps of R·B clips."""
        repeats = 1 if sound is None else len(sound) // len(video)
        if sound is not None and (not repeats or len(sound) % len(video)):
            raise AvcoreError(
                f"{len(video)} clips want as many sounds each, not {len(sound)} in all"
            )
        early = self.early(self.merge(video, sound, repeats))
        return Scales(video.repeat(repeats, 1, 1, 1, 1), early, self.late(early))


def _convolution(inputs: int, outputs: int, kernel: tuple, stride: tuple) -> Any:
    padding = tuple(size // 2 for size in kernel)
    return CONVOLUTIONS[len(kernel)](inputs, outputs, kernel, stride, padding, bias=False)


def _norm(channels: int, dims: int) -> nn.Module:
    return NORMS[dims](channels, eps=EPSILON, momentum=1 - DECAY)


def _layer(inputs: int, outputs: int, kernel: tuple, stride: tuple) -> nn.Sequential:
    convolution = _convolution(inputs, outputs, kernel, stride)
    return nn.Sequential(convolution, _norm(outputs, len(kernel)), nn.ReLU(inplace=True))


def _initialise(model: MultisensoryNet) -> None:
    """He's normal initialisation; both parts of the fusing convolution count as one."""
    for weight in (each for each in model.parameters() if each.ndim > 1):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
    width = model.merge.width
    for part in (model.merge.from_video, model.merge.from_sound):
        nn.init.normal_(part.weight, std=math.sqrt(2 / (3 * width)))
    nn.init.zeros_(model.head.bias)
