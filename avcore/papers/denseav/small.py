"""DenseAV small enough for two cores: aligners on an eye and an ear that have learned before.

The eye is EfficientNet-Lite0, trained on ImageNet, where the paper has DINO; the ear is the masked
listener of avcore, where the paper has HuBERT. What never learns is a front, computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from avcore.audio import log_mel
from avcore.nn.backbones import ImageStream, conv_block
from avcore.nn.listeners import MASKED_CHANNELS, listener
from avcore.nn.pictures import normalise
from avcore.nn.pretrained import CHANNELS, LITE0, JoinedFeatures, eye, image_backbone, joined
from avcore.papers.denseav.aligners import AudioAligner, ImageAligner
from avcore.papers.denseav.model import DenseAV
from avcore.support import choose

SEEN = sum(CHANNELS[LITE0][1:3])  # channels of the eye at strides 8 and 16
WIDTH = 96  # channels of the backbones that start from nothing
STEP = 0.08  # s between two steps of the aligned sound


class Frozen(nn.Module):
    """A network that stays as it is: without gradients, always in evaluation mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


class Eye(nn.Module):
    """The eye: pictures (B, 3, H, W) in [0, 1] -> (B, 152, H/8, W/8)."""

    def __init__(self) -> None:
        super().__init__()
        self.joined = JoinedFeatures(eye())

    def forward(self, image: Tensor) -> Tensor:
        return self.joined(image)[0]


class FineEye(nn.Module):
    """The eye up to stride 8: pictures (B, 3, H, W) in [0, 1] -> (B, 40, H/8, W/8)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.stem = nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:3])

    def forward(self, image: Tensor) -> Tensor:
        return self.stem(normalise(image))


class LastBlocks(nn.Module):
    """The eye from stride 8 to 16: (B, 40, h, w) -> (B, 152, h, w), those of both strides.

    The features of stride 16 are enlarged to the places of stride 8. Normalisation layers keep
    their statistics also where the weights learn.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*network.blocks[3:5])

    def train(self, mode: bool = True) -> LastBlocks:
        super().train(mode)
        self.blocks.eval()
        return self

    def forward(self, fine: Tensor) -> Tensor:
        return joined(fine, self.blocks(fine))


class Ear(nn.Module):
    """Waveforms (B, n) at 16 kHz -> the masked listener's features (B, 96, 1, n / 640)."""

    def __init__(self) -> None:
        super().__init__()
        self.listener = listener("masked")

    def forward(self, waveform: Tensor) -> Tensor:
        return self.listener(log_mel(waveform))


class ImageEncoder(nn.Module):
    """`layers`, each channel standardised; and their mean over places as the class token."""

    def __init__(self, layers: nn.Module, channels: int) -> None:
        super().__init__()
        self.layers, self.norm = layers, nn.BatchNorm2d(channels, affine=False)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        features = self.norm(self.layers(seen))
        return features, features.mean((-2, -1))


class AudioEncoder(nn.Module):
    """`layers`, each channel standardised: what the front heard -> (B, 96, 1, T)."""

    def __init__(self, layers: nn.Module, channels: int) -> None:
        super().__init__()
        self.layers, self.norm = layers, nn.BatchNorm2d(channels, affine=False)

    def forward(self, heard: Tensor) -> Tensor:
        return self.norm(self.layers(heard))


class SmallListener(nn.Module):
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


def _halve_frequency(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution that keeps every step of time, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, (2, 1), 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Parts(NamedTuple):
    """What of a small DenseAV has learned before, or may learn with its aligners."""

    image_encoder: ImageEncoder
    audio_encoder: AudioEncoder
    front: Callable[[Tensor], Tensor]
    image_front: nn.Module | None
    width: int  # channels of the image encoder


def _frozen() -> Parts:
    image = ImageEncoder(nn.Identity(), SEEN)
    audio = AudioEncoder(nn.Identity(), MASKED_CHANNELS)
    return Parts(image, audio, Frozen(Ear()), Frozen(Eye()), SEEN)


def _tuned() -> Parts:
    network = image_backbone().network
    image = ImageEncoder(LastBlocks(network), SEEN)
    ear = listener("masked")
    hidden = ear.get_parameter("hidden").detach()
    del ear.hidden
    ear.register_buffer("hidden", hidden)  # nothing is hidden from it any more, so it cannot learn
    audio = AudioEncoder(ear, MASKED_CHANNELS)
    return Parts(image, audio, log_mel, Frozen(FineEye(network)), SEEN)


def _scratch() -> Parts:
    image = ImageEncoder(ImageStream(WIDTH), WIDTH)
    return Parts(image, AudioEncoder(SmallListener(), WIDTH), log_mel, None, WIDTH)


START = {"frozen": _frozen, "tuned": _tuned, "scratch": _scratch}


def small_denseav(heads: int = 1, channels: int = 96, start: str = "frozen") -> DenseAV:
    """DenseAV for the stage: a place each 8 pixels, a step of sound each 80 ms.

    Parameters
    ----------
    heads
        K.
    channels
        K·C, of all heads together.
    start
        "frozen": the aligners alone learn, on the features of the eye and the ear. "tuned": the
        eye's last blocks and the ear learn too. "scratch": small backbones learn from nothing.

    Raises
    ------
    CheckpointError
        The ear's weights are missing; or, for "tuned", the eye's (for "frozen" a stand-in takes
        its place, see `avcore.nn.pretrained.eye`).
    """
    parts = choose(START, start, "start")()
    return DenseAV(
        parts.image_encoder,
        parts.audio_encoder,
        ImageAligner(parts.width, channels),
        AudioAligner(WIDTH, channels, strides=(2, 1), attention_heads=4),
        heads,
        parts.front,
        parts.image_front,
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
