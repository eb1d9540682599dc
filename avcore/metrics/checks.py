"""What every metric asks of its arguments before it counts anything."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avcore.support import AvcoreError

Values = Tensor | np.ndarray | list


def scores_tensor(scores: Values, name: str, dims: int | None = None) -> Tensor:
    """Return `scores` as a detached float tensor of at least two, or of exactly `dims`, axes."""
    scores = torch.as_tensor(scores).detach()
    if scores.dtype not in (torch.float32, torch.float64):
        scores = scores.float()
    if scores.ndim < 2 or (dims is not None and scores.ndim != dims):
        wanted = "at least two" if dims is None else dims
        raise AvcoreError(f"{name} wants {wanted} axes, got the shape {tuple(scores.shape)}")
    if scores.numel() == 0:
        raise AvcoreError(f"{name} is empty: its shape is {tuple(scores.shape)}")
    if not torch.isfinite(scores).all():
        bad = int((~torch.isfinite(scores)).nonzero()[0, 0])
        raise AvcoreError(f"{name} holds NaN or infinity (the first one in sample {bad})")
    return scores


def mask_tensor(mask: Values, name: str, shape: torch.Size | None = None) -> Tensor:
    """Return `mask` as a bool tensor; numbers must be 0 or 1, and the shape must be `shape`."""
    mask = torch.as_tensor(mask).detach()
    if shape is not None and mask.shape != shape:
        raise AvcoreError(f"{name} has the shape {tuple(mask.shape)}, expected {tuple(shape)}")
    if mask.dtype != torch.bool:
        if not ((mask == 0) | (mask == 1)).all():
            raise AvcoreError(f"{name} is a mask: it must hold only 0 and 1")
        mask = mask.bool()
    return mask
