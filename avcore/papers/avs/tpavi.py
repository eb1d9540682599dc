"""TPAVI: how the sound of a clip reaches every pixel of every frame, without the large matrix.

Source: Zhou et al., "Audio-Visual Segmentation" (ECCV 2022), Sec. 3.2, and its public code. With
θ, φ, g three 1×1×1 convolutions to C/2 channels and N = T·H·W, the paper computes

    z = LayerNorm(x + W_z(θ(x) φ(a)ᵀ g(x) / N)),

where a is the sound, tiled over all pixels. θ φᵀ is an N×N matrix, N = 15,680 for five frames of
56×56. It has no softmax, so the products may be taken in the other order: M = φᵀ g / N is a C/2 by
C/2 matrix, and θ M is the same thing. And φ(a) does not change over space, so only the sum of g
over each frame enters M. Then W_z(θ(x) M) before its batch normalisation is linear in x, one C×C
matrix and one constant for each clip. All steps are exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.official import only_tensors
from avcore.nn.weights import fill
from avcore.support import AvcoreError, CheckpointError

AUDIO_CHANNELS = 128


class TPAVI(nn.Module):
    """Temporal pixel-wise audio-visual interaction of features with C channels.

    Attributes have the official names: `align_channel` brings the sound to C channels, `theta`,
    `phi`, `g` and `W_z` are the convolutions, `norm_layer` the layer normalisation.
    """

    def __init__(self, channels: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or max(channels // 2, 1)
        self.align_channel = nn.Linear(AUDIO_CHANNELS, channels)
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.g = nn.Conv3d(channels, inner, 1)
        norm = nn.BatchNorm3d(channels)
        self.W_z = nn.Sequential(nn.Conv3d(inner, channels, 1), norm)
        nn.init.zeros_(norm.weight)  # begins as the identity, then the normalisation
        nn.init.zeros_(norm.bias)
        self.norm_layer = nn.LayerNorm(channels)

    @classmethod
    def from_official(cls, state_dict: dict[str, Tensor]) -> TPAVI:
        """The block with published weights, in evaluation mode; a misfit is a `CheckpointError`."""
        theta = only_tensors(state_dict, "this").get("theta.weight")
        if theta is None or theta.ndim != 5:
            raise CheckpointError("this state dict is of another model: theta.weight is missing")
        inner, channels = theta.shape[:2]
        model = cls(channels, inner)
        fill(model, state_dict, "this state dict")
        return model.eval()

    def forward(self, x: Tensor, audio: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Features x (B, C, T, H, W) and sound (B, T, 128) -> z like x, and the aligned sound.

        The aligned sound is (B, T, C). Without sound the pixels attend to each other (the video
        self-attention of the official code) and it is None.
        """
        self._check(x, audio)
        places = x.movedim(1, -1).flatten(1, 3)  # (B, N, C)
        theta, phi, g, back = (
            _matrix(conv) for conv in (self.theta, self.phi, self.g, self.W_z[0])
        )
        if audio is None:
            aligned = None
            share = places.shape[1] ** -0.5  # of the N: the sum below stays small in half precision
            key, value = (
                functional.linear(places, share * weight, share * bias) for weight, bias in (phi, g)
            )
        else:
            aligned = self.align_channel(audio)
            key = functional.linear(aligned, *phi)  # (B, T, C/2)
            per_frame = places.unflatten(1, (x.shape[2], -1))
            value = functional.linear(per_frame.mean(2), *g) / x.shape[2]  # (B, T, C/2)
        matrix = key.transpose(1, 2) @ value  # M, (B, C/2, C/2)
        # W_z(M θ(x)) is linear in x: one C×C matrix and one constant for each clip
        after = matrix @ back[0].T  # (B, C/2, C)
        whole = theta[0].T @ after
        constant = theta[1] @ after + back[1]  # (B, C)
        y = torch.baddbmm(constant[:, None], places, whole).to(x.dtype)
        # in place: the gradient needs what goes into the normalisation, not what comes out
        z = self.W_z[1](y.transpose(1, 2).unflatten(2, x.shape[2:])).add_(x)
        return self.norm_layer(z.movedim(1, -1)).movedim(-1, 1), aligned

    def _check(self, x: Tensor, audio: Tensor | None) -> None:
        channels = self.theta.in_channels
        if x.ndim != 5 or x.shape[1] != channels:
            raise AvcoreError(f"x must be (B, {channels}, T, H, W), got {tuple(x.shape)}")
        wanted = (len(x), x.shape[2], AUDIO_CHANNELS)
        if audio is not None and audio.shape != wanted:
            raise AvcoreError(f"audio must be {wanted}, got {tuple(audio.shape)}")


def _matrix(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (outputs, inputs) and bias of a 1×1×1 convolution."""
    return conv.get_parameter("weight").flatten(1), conv.get_parameter("bias")


def published_form(block: TPAVI, x: Tensor, audio: Tensor) -> Tensor:
    """The same z with the whole N×N matrix, as published; to compare with."""
    frames, height, width = x.shape[2:]
    tiled = block.align_channel(audio).transpose(1, 2)[..., None, None]
    tiled = tiled.expand(-1, -1, -1, height, width)
    theta, phi, g = (
        layer(values).flatten(2)
        for layer, values in ((block.theta, x), (block.phi, tiled), (block.g, x))
    )
    attention = theta.transpose(1, 2) @ phi / theta.shape[-1]  # (B, N, N)
    y = (attention @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, (frames, height, width))
    z = x + block.W_z(y)
    return block.norm_layer(z.movedim(1, -1)).movedim(-1, 1)
