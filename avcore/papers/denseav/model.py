"""The dual encoder: a backbone and an aligner for each sense, and the similarity between them.

Source: DenseAV (Hamilton et al., CVPR 2024), Sec. 3.3; details from the official code. The
aligners bring both senses to K·C channels: channel LayerNorm and a 1×1 convolution for pictures;
channel LayerNorm, two strided convolutions over time and a self-attention block for sound.
Deviation: gradients reach the image branch (the released code runs it without any).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

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


class Features(NamedTuple):
    """Dense features, class tokens and log γ of a batch."""

    audio: Tensor  # (A, K·C, 1, T)
    image: Tensor  # (V, K·C, h, w)
    audio_token: Tensor  # (A, K·C)
    image_token: Tensor  # (V, K·C)
    log_scale: Tensor  # (1,)


class DenseAV(nn.Module):
    """Pictures and sounds as dense features that meet in the similarity volume.

    Parameters
    ----------
    image_encoder
        (B, 3, H, W) -> features (B, Ci, h, w) and a class token (B, Ci).
    audio_encoder
        What `front` gives -> features (B, Ca, F, T).
    image_aligner, audio_aligner
        To the K·C channels in which the senses meet.
    heads
        K.
    front
        From waveforms (B, n) at 16 kHz to what the audio encoder reads; nothing by default.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        audio_encoder: nn.Module,
        image_aligner: ImageAligner,
        audio_aligner: AudioAligner,
        heads: int = 1,
        front: Callable[[Tensor], Tensor] = lambda waveform: waveform,
    ) -> None:
        super().__init__()
        self.image_encoder, self.audio_encoder = image_encoder, audio_encoder
        self.image_aligner, self.audio_aligner = image_aligner, audio_aligner
        self.heads, self.front = heads, front
        self.log_scale = nn.Parameter(torch.zeros(1))  # log γ, the learned inverse temperature

    @classmethod
    def from_official(cls, weights: dict[str, Tensor], **options) -> DenseAV:
        """The published model from its weights; see `avcore.papers.denseav.official.load`."""
        from avcore.papers.denseav import official

        return official.load(weights, **options)

    def encode_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, K·C, h, w)."""
        return self.see(image)[0]

    def encode_audio(self, waveform: Tensor) -> Tensor:
        """(B, n) at 16 kHz -> (B, K·C, 1, T)."""
        return self.hear(self.front(waveform))[0]

    def see(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Dense features (B, K·C, h, w) and the class token (B, K·C) of pictures.

        In training the dense features are averaged over 2×2 places, as in the official code.
        """
        features, token = self.image_aligner(*self.image_encoder(image))
        return (functional.avg_pool2d(features, 2) if self.training else features), token

    def hear(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Dense features (B, K·C, 1, T) and the class token (B, K·C) of what `front` gave."""
        return self.audio_aligner(self.audio_encoder(heard))

    def forward(self, image: Tensor, heard: Tensor) -> Features:
        """All that a loss needs of pictures (V, 3, H, W) and of what `front` gave for A sounds."""
        image, image_token = self.see(image)
        audio, audio_token = self.hear(heard)
        return Features(audio, image, audio_token, image_token, self.log_scale + 0)

    def set_aligners_only(self, only: bool) -> None:
        """Warm-up: let only the aligners and γ learn; or afterwards, all that is not adapted."""
        for encoder in (self.image_encoder, self.audio_encoder):
            for name, parameter in encoder.named_parameters():
                parameter.requires_grad_(not only and name not in frozen_names(encoder))


def frozen_names(encoder: nn.Module) -> set[str]:
    """Names of the weights that stay as they are, because LoRA adapts the encoder instead."""
    names = [name for name, _ in encoder.named_parameters()]
    adapted = any("lora_" in name for name in names)
    return {name for name in names if adapted and "lora_" not in name}


def mask_steps(mask: Tensor, steps: int) -> Tensor:
    """A mask (A, m) of samples or frames as one of `steps` steps, (A, steps) bool.

    A step counts where the interpolated mask exceeds 0.01, as in the official code.
    """
    mask = functional.interpolate(mask[:, None, None].float(), (1, steps), mode="bilinear")
    return mask[:, 0, 0] > 0.01
