"""What both stages minimise. Source: CSOL, Secs. 3.1 and 3.3, and its public code."""

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


def distribution_loss(sounding_logits: Tensor, a_logits: Tensor) -> Tensor:
    """KL divergence of the classes that are seen to sound from those that are heard, (B, K) both.

    What is heard is the teacher and gets no gradient. Summed over classes and averaged over the
    batch; the public code averages over both, which only scales it by 1/K.
    """
    heard = a_logits.detach().softmax(1)
    return functional.kl_div(sounding_logits.log_softmax(1), heard, reduction="batchmean")
