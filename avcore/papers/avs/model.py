"""The segmentation network: encoder, dilated heads, TPAVI at any stages, decoder.

Source: Zhou et al., "Audio-Visual Segmentation" (ECCV 2022), Sec. 3, and its public code, whose
in-place ReLUs are part of the model: the decoder's residual units add ReLU(x), not x, and the
stages' features leave the network after a ReLU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.official import only_tensors
from avcore.nn.pvt import PVTv2
from avcore.nn.weights import fill
from avcore.papers.avs.tpavi import TPAVI
from avcore.support import AvcoreError, choose, require

DILATIONS = (3, 6, 12, 18)
BACKBONES = {"resnet50": (256, 512, 1024, 2048), "pvt_v2_b5": (64, 128, 320, 512)}


class Segmented(NamedTuple):
    """What the network gives for B clips of T frames."""

    logits: Tensor  # (B·T, 1, H, W)
    stages: list[Tensor]  # features of the four stages, (B·T, C, h, w), finest first
    audio: list[Tensor | None]  # the sound aligned at each stage, (B, T, C)


class ResNet50(nn.Module):
    """The four stages of torchvision's ResNet-50, (B, 3, H, W) -> 1/4, 1/8, 1/16, 1/32."""

    def __init__(self) -> None:
        super().__init__()
        whole = require("torchvision.models", "media").resnet50()
        self.conv1, self.bn1 = whole.conv1, whole.bn1
        self.layers = nn.ModuleList([whole.layer1, whole.layer2, whole.layer3, whole.layer4])

    def forward(self, image: Tensor) -> list[Tensor]:
        x = functional.max_pool2d(torch.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps


class DilatedHead(nn.ModuleList):
    """Four 3×3 convolutions of growing reach, summed."""

    def __init__(self, inputs: int, channels: int, dilations: Sequence[int] = DILATIONS) -> None:
        super().__init__(nn.Conv2d(inputs, channels, 3, padding=d, dilation=d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        return sum(convolution(x) for convolution in self)


class ResidualUnit(nn.Module):
    """ReLU(x) plus two 3×3 convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        return x + self.conv2(torch.relu(self.conv1(x)))


class Fusion(nn.Module):
    """Add a finer stage to what comes from below, and double the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resConfUnit1 = ResidualUnit(channels)
        self.resConfUnit2 = ResidualUnit(channels)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        x = x if finer is None else x + self.resConfUnit1(finer)
        return _enlarge(self.resConfUnit2(x), align_corners=True)


class AVSModel(nn.Module):
    """Masks of what sounds, for every frame of a clip.

    Parameters
    ----------
    encoder
        Pictures (N, 3, H, W) -> four maps at 1/4, 1/8, 1/16 and 1/32 of the size.
    widths
        Channels of the four maps.
    channels
        C, in which stages and sound meet.
    tpavi_stages
        At which stages (0 the finest, 3 the coarsest) the sound comes in; none for a network
        without sound.
    frames
        T, the frames of a clip.
    dilations
        Of the four convolutions of each head, in places of its map.
    fusion
        What stands at the TPAVI stages, made from C: `TPAVI`, or another block that takes
        (B, C, T, h, w) with the sound (B, T, 128) or None and gives both back.
    last
        Channels at the full size, before the mask.
    """

    def __init__(
        self,
        encoder: nn.Module,
        widths: Sequence[int],
        channels: int = 256,
        tpavi_stages: Sequence[int] = (0, 1, 2, 3),
        frames: int = 5,
        dilations: Sequence[int] = DILATIONS,
        fusion: Callable[[int], nn.Module] = TPAVI,
        last: int = 32,
    ) -> None:
        super().__init__()
        self.encoder, self.frames = encoder, frames
        self.heads = nn.ModuleList(DilatedHead(width, channels, dilations) for width in widths)
        self.tpavi = nn.ModuleDict({str(stage): fusion(channels) for stage in tpavi_stages})
        self.paths = nn.ModuleList(Fusion(channels) for _ in widths)
        self.paths[-1].resConfUnit1.requires_grad_(False)  # nothing comes to it, as published
        self.output = nn.ModuleList(
            [
                nn.Conv2d(channels, channels // 2, 3, padding=1),
                nn.Conv2d(channels // 2, last, 3, padding=1),
                nn.Conv2d(last, 1, 1),
            ]
        )

    @classmethod
    def published(
        cls,
        backbone: str = "resnet50",
        tpavi_stages: Sequence[int] = (0, 1, 2, 3),
        fusion: Callable[[int], nn.Module] = TPAVI,
    ) -> AVSModel:
        """The published architecture with random weights; its heads begin as N(0, 0.01²).

        Parameters
        ----------
        backbone
            "resnet50" (of torchvision) or "pvt_v2_b5".
        tpavi_stages, fusion
            See the class; the published networks have TPAVI at all stages.

        Raises
        ------
        AvcoreError
            For another backbone.
        """
        widths = choose(BACKBONES, backbone, "backbone")
        encoder = ResNet50() if backbone == "resnet50" else PVTv2()
        model = cls(encoder, widths, tpavi_stages=tpavi_stages, fusion=fusion)
        for head in model.heads:
            for convolution in head.children():
                nn.init.normal_(convolution.get_parameter("weight"), std=0.01)
        return model

    @classmethod
    def from_official(cls, state_dict: dict[str, Tensor], backbone: str = "resnet50") -> AVSModel:
        """The published model with its weights, in evaluation mode.

        Raises
        ------
        AvcoreError
            For a backbone other than "resnet50" and "pvt_v2_b5".
        CheckpointError
            When it is no state dict, or a weight is missing, unknown or of another shape; it is
            named.
        """
        choose(BACKBONES, backbone, "backbone")
        official = only_tensors(state_dict, "this")
        named = ((_rename(key), value) for key, value in official.items())
        renamed = {name: value for name, value in named if name is not None}
        stages = sorted({int(key.split(".")[1]) for key in renamed if key.startswith("tpavi.")})
        with torch.device("meta"):
            model = cls.published(backbone, stages)
        fill(model, renamed, "this state dict", assign=True)
        return model.eval()

    def forward(self, frames: Tensor, audio: Tensor | None = None) -> Segmented:
        """Frames (B·T, 3, H, W), normalised as ImageNet, and VGGish features (B·T, 128).

        H and W are multiples of 32, else an `AvcoreError` says so. Without `audio` the pixels
        attend to each other at the TPAVI stages.
        """
        x, stages, heard = self.features(frames, audio)
        x = _enlarge(self.output[0](x), align_corners=False)
        logits = self.output[2](torch.relu(self.output[1](x)))
        return Segmented(logits, [torch.relu(stage) for stage in stages], heard)

    def features(
        self, frames: Tensor, audio: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """What the mask is made from, (B·T, C, H/2, W/2), the stages, and the aligned sound."""
        if len(frames) % self.frames or (audio is not None and len(audio) != len(frames)):
            raise AvcoreError(
                f"clips of {self.frames} frames with a feature of sound each are wanted, got "
                f"{len(frames)} frames and {'no' if audio is None else len(audio)} features"
            )
        if frames.shape[-1] % 32 or frames.shape[-2] % 32:
            raise AvcoreError(f"sides must be multiples of 32, got {tuple(frames.shape[-2:])}")
        stages = [head(x) for head, x in zip(self.heads, self.encoder(frames), strict=True)]
        heard: list[Tensor | None] = [None] * len(stages)
        sound = None if audio is None else audio.unflatten(0, (-1, self.frames))
        for name, block in self.tpavi.items():
            clips = stages[int(name)].unflatten(0, (-1, self.frames)).transpose(1, 2)
            clips, heard[int(name)] = block(clips, sound)
            stages[int(name)] = clips.transpose(1, 2).flatten(0, 1)
        x = self.paths[-1](stages[-1])
        for path, stage in zip(self.paths[-2::-1], stages[-2::-1], strict=True):
            x = path(x, stage)
        return x, stages, heard


def _enlarge(x: Tensor, align_corners: bool) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=align_corners)


def _rename(key: str) -> str | None:
    """Our name for an official one; None for the second branch of ResNet, which nothing uses."""
    if re.match(r"resnet\.layer[34]_2\.", key):
        return None
    rules = (
        (r"^resnet\.layer(\d)(?:_1)?\.", lambda m: f"encoder.layers.{int(m[1]) - 1}."),
        (r"^resnet\.", "encoder."),
        (r"^encoder_backbone\.", "encoder."),
        (r"^conv(\d)\.conv2d_list\.", lambda m: f"heads.{int(m[1]) - 1}."),
        (r"^path(\d)\.", lambda m: f"paths.{int(m[1]) - 1}."),
        (r"^tpavi_b(\d)\.", lambda m: f"tpavi.{int(m[1]) - 1}."),
        (r"^output_conv\.(\d)\.", lambda m: f"output.{int(m[1]) // 2}."),
    )
    for pattern, replacement in rules:
        key, found = re.subn(pattern, replacement, key)
        if found:
            break
    return key
