"""What is done to pictures before a network sees them: normalisation and augmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, channel by channel


def normalise(image: Tensor) -> Tensor:
    """Pictures (…, 3, H, W), uint8 or in [0, 1], with the mean and spread of ImageNet removed."""
    image = image if image.is_floating_point() else image.float() / 255
    mean, std = (torch.tensor(x, device=image.device).view(3, 1, 1) for x in (MEAN, STD))
    return (image - mean) / std


def mirror_at_random(image: Tensor) -> Tensor:
    """Pictures (B, …, H, W), each mirrored left to right with probability 0.5."""
    mirrored = torch.rand(len(image), device=image.device) < 0.5
    return torch.where(mirrored.view(-1, *[1] * (image.ndim - 1)), image.flip(-1), image)


def augment(image: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1], augmented as DenseAV does, with new draws per picture.

    A crop of 25 % to 100 % of the area, a mirror image, brightness, contrast and saturation
    changed by up to 20 %, grey in one of five.
    """
    count, device = len(image), image.device

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, device=device)

    side = draw(0.25, 1.0).sqrt()
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0], matrix[:, 1, 1] = (side * mirror)[:, 0, 0, 0], side[:, 0, 0, 0]
    matrix[:, :, 2] = ((1 - side) * draw(-1, 1)).view(count, 1).expand(-1, 2).clone()
    matrix[:, 1, 2] = ((1 - side) * draw(-1, 1)).view(count)
    grid = functional.affine_grid(matrix, list(image.shape), align_corners=False)
    image = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    weights = torch.tensor([0.299, 0.587, 0.114], device=device).view(1, 3, 1, 1)
    grey = (image * weights).sum(1, keepdim=True)
    image = torch.where(draw(0, 1) < 0.2, grey, grey + draw(0.8, 1.2) * (image - grey))
    mean = image.mean((1, 2, 3), keepdim=True)
    return (draw(0.8, 1.2) * (mean + draw(0.8, 1.2) * (image - mean))).clamp(0, 1)
