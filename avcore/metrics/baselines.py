"""Maps that need no training and no sound: what a localiser has to beat.

All functions give maps (N, H, W), float32 in [0, 1]; 1 is where the baseline is surest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def everything(shape: Sequence[int]) -> Tensor:
    """The whole picture: maps of `shape` (N, H, W) that are 1 everywhere."""
    return torch.ones(tuple(shape))


def nothing(shape: Sequence[int]) -> Tensor:
    """No pixel: maps of `shape` (N, H, W) that are 0 everywhere."""
    return torch.zeros(tuple(shape))


def centre(shape: Sequence[int]) -> Tensor:
    """The centre bias: maps of `shape` (N, H, W) that fall from 1 in the middle to 0 in the
    corners, linearly with the distance in half-sides.

    Along an even side the middle lies between two pixels, and no pixel is 1.
    """
    count, height, width = shape
    down, across = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    distance = torch.hypot(down[:, None], across)
    return (1 - distance / 2**0.5).clamp_min(0).repeat(count, 1, 1)


def saliency(image: Tensor) -> Tensor:
    """Image-only saliency: the distance of each pixel's colour from the picture's mean, smoothed.

    Frequency-tuned saliency in the manner of Achanta et al. (CVPR 2009), in RGB;
    (N, 3, H, W) uint8 -> (N, H, W). A picture of one colour gives about 0.
    """
    picture = functional.avg_pool2d(image.float() / 255, 9, 1, 4, count_include_pad=False)
    distance = (picture - picture.mean((-2, -1), keepdim=True)).norm(dim=1)
    largest = distance.amax((-2, -1), keepdim=True)
    return distance / largest.clamp_min(1e-4)  # rounding is not salient
