"""The dual encoder: a backbone and an aligner for each sense, and the similarity between them.

Source: DenseAV (Hamilton et al., CVPR 2024), Sec. 3.3; details from the official code. The
aligners bring both senses to K·C channels: channel LayerNorm and a 1×1 convolution for pictures;
channel LayerNorm, two strided convolutions over time and a self-attention block for sound.
Deviation: gradients reach the image branch (the released code runs it without any).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn import lora
from avcore.nn.hubert import Hubert
from avcore.nn.official import only_tensors
from avcore.nn.vit import VisionTransformer
from avcore.nn.weights import fill
from avcore.papers.denseav.aligners import EPS, AudioAligner, ImageAligner
from avcore.papers.denseav.keys import rename

CHANNELS, IMAGE_WIDTH, AUDIO_WIDTH = 384, 384, 1024  # K·C, of DINO ViT-S/8, of HuBERT large


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
        What `image_front` gives -> features (B, Ci, h, w) and a class token (B, Ci).
    audio_encoder
        What `front` gives -> features (B, Ca, F, T).
    image_aligner, audio_aligner
        To the K·C channels in which the senses meet.
    heads
        K.
    front, image_front
        From waveforms (B, n) at 16 kHz to what the audio encoder reads, and from pictures
        (B, 3, H, W) to what the image encoder reads; nothing by default. They never learn.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        audio_encoder: nn.Module,
        image_aligner: ImageAligner,
        audio_aligner: AudioAligner,
        heads: int = 1,
        front: Callable[[Tensor], Tensor] | None = None,
        image_front: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.image_encoder, self.audio_encoder = image_encoder, audio_encoder
        self.image_aligner, self.audio_aligner = image_aligner, audio_aligner
        self.heads = heads
        self.front, self.image_front = front or nn.Identity(), image_front or nn.Identity()
        self.log_scale = nn.Parameter(torch.zeros(1))  # log γ, the learned inverse temperature

    @classmethod
    def published(cls, heads: int = 2, lora_rank: int = 8) -> DenseAV:
        """The published architecture with random weights (340 million).

        It takes what `official.prepare_image` and `official.prepare_waveform` give.
        """
        return cls(
            VisionTransformer(eps=EPS, lora_rank=lora_rank),
            Hubert(eps=EPS),
            ImageAligner(IMAGE_WIDTH, CHANNELS),
            AudioAligner(AUDIO_WIDTH, CHANNELS),
            heads,
        )

    @classmethod
    def from_official(
        cls, state_dict: Mapping[str, Tensor], heads: int = 2, fold: bool = False
    ) -> DenseAV:
        """The published model with its weights, in evaluation mode.

        Parameters
        ----------
        state_dict
            The official weights; see `official.load_file` for a downloaded checkpoint.
        heads
            2 for `denseav_2head`, 1 for the others.
        fold
            Whether LoRA becomes part of the layers it adapts; otherwise it is kept and can be
            trained.

        Raises
        ------
        CheckpointError
            When it is no state dict, or a weight is missing, unknown or of another shape; it is
            named.
        """
        with torch.device("meta"):
            model = cls.published(heads)
        official = only_tensors(state_dict, "this")
        named = ((rename(key), value) for key, value in official.items())
        renamed = {name: value for name, value in named if name is not None}
        fill(model, renamed, "this state dict", assign=True)
        if fold:
            lora.fold(model)
        return model.eval()

    def encode_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, K·C, h, w), one feature per place of the image encoder.

        The grid is the same in training and in evaluation mode. The official code averages it over
        2×2 places in training mode; here the training loop does so, see `training.coarse`.
        """
        return self.see(self.image_front(image))[0]

    def encode_audio(self, waveform: Tensor) -> Tensor:
        """(B, n) at 16 kHz -> (B, K·C, 1, T)."""
        return self.hear(self.front(waveform))[0]

    def see(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Dense features (B, K·C, h, w) and the class token (B, K·C) of what `image_front` gave."""
        return self.image_aligner(*self.image_encoder(seen))

    def hear(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Dense features (B, K·C, 1, T) and the class token (B, K·C) of what `front` gave."""
        return self.audio_aligner(self.audio_encoder(heard))

    def forward(self, seen: Tensor, heard: Tensor) -> Features:
        """All that a loss needs of what the fronts gave for V pictures and A sounds."""
        image, image_token = self.see(seen)
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
