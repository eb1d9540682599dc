"""Losses that papers share: of all sounds against all pictures, and of two distributions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(logits: Tensor) -> Tensor:
    """Cross-entropy of finding each sound's picture in the batch, and each picture's sound.

    Source: van den Oord et al. (2018). logits (B, B), the positive pairs on the diagonal.
    """
    target = torch.arange(len(logits), device=logits.device)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2


def pair_bce(logits: Tensor) -> Tensor:
    """Binary cross-entropy of one positive and one negative picture per sound, as in CSOL.

    logits (B, B); the negative picture is the next one of the batch.
    """
    positive, negative = logits.diagonal(), logits.roll(-1, dims=1).diagonal()
    return (functional.softplus(-positive).mean() + functional.softplus(negative).mean()) / 2


def distribution_loss(sounding_logits: Tensor, told: Tensor) -> Tensor:
    """KL divergence of the classes that are seen to sound from those that a teacher tells.

    Source: CSOL, Sec. 3.3, and IEr. sounding_logits (B, K); told (B, K), probabilities, which get
    no gradient. Summed over classes and averaged over the batch; CSOL's public code averages over
    both, which only scales it by 1/K.
    """
    logs = sounding_logits.log_softmax(1)
    return functional.kl_div(logs, told.detach(), reduction="batchmean")
