"""Where a mixture sounds, in stage two. Source: CSOL, Sec. 3.3, and its public code."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

QUARTERS = 2  # a negative picture is asked in 2×2 parts
LOCATION = 0.5  # weight of the localisation loss in stage two


def location_loss(volume: Tensor) -> Tensor:
    """Stage two: somewhere in the own picture, and in no quarter of the next one.

    Logits (B, B, h, w) of every sound at every place of every picture; the negative picture of a
    sound is the next one of the batch.
    """
    each = torch.arange(len(volume), device=volume.device)
    own, other = volume[each, each], volume[each, (each + 1) % len(volume)]
    quarters = functional.adaptive_max_pool2d(other[:, None], QUARTERS)
    positive = functional.softplus(-own.amax((1, 2))).mean()
    return 0.5 * (positive + functional.softplus(quarters).mean())
