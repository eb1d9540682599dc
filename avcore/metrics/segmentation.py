"""Which pixels sound? AVSBench's scores as coded, average precision, and the oracle IoU."""

from __future__ import annotations

import math

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from avcore.metrics.checks import Values, mask_tensor, scores_tensor
from avcore.support import AvcoreError

CHUNK = 2**18  # pixels that are counted at once: they fit into the processor's cache


def mask_ious(logits: Values, target: Values) -> Tensor:
    """IoU of each frame as AVSBench counts it, (N,) float64.

    A pixel is foreground when sigmoid(logit) > 0.5. An **empty target** is scored by the pixels
    rightly left as background, over all pixels. This lifts the mean of sets with silent frames,
    and an all-background answer scores 1 there. Source: AVSBench `utility.py`, `mask_iou`.

    Parameters
    ----------
    logits, target
        (N, H, W) real numbers, and masks.
    """
    logits = scores_tensor(logits, "logits", dims=3)
    target = mask_tensor(target, "target", logits.shape)
    pred = logits.sigmoid() > 0.5
    intersection = (pred & target).sum((1, 2))
    union = (pred | target).sum((1, 2))
    empty = ~target.flatten(1).any(1)
    intersection = torch.where(empty, (~pred).sum((1, 2)), intersection)
    union = torch.where(empty, target[0].numel(), union)
    return intersection.double() / (union.double() + 1e-7)


def mask_iou(logits: Values, target: Values) -> float:
    """Mean of `mask_ious` over the frames, AVSBench's mIoU, in [0, 1]."""
    return mask_ious(logits, target).mean().item()


def f_curves(logits: Values, target: Values, beta2: float = 0.3, n_thresholds: int = 255) -> Tensor:
    """F-measure of each frame at each threshold, (N, n_thresholds) float64.

    F = (1 + β²) · P · R / (β² · P + R), and 0 where that is undefined, also for an empty target.
    The thresholds are evenly spaced from 0 to 1. One pass counts, in place of one a threshold:
    a pixel that passes j thresholds passes the first j, so a histogram of j, summed from the
    right, counts the pixels above every threshold.

    Parameters
    ----------
    logits, target
        (N, H, W) real numbers, and masks.

    Raises
    ------
    AvcoreError
        When `beta2` is negative or not finite.
    """
    if not 0 <= beta2 < math.inf:
        raise AvcoreError(f"beta2 must not be negative and must be finite, got {beta2}")
    logits = scores_tensor(logits, "logits", dims=3)
    target = mask_tensor(target, "target", logits.shape).flatten(1)
    limits = torch.linspace(0, 1 - 1e-10, n_thresholds, dtype=logits.dtype, device=logits.device)
    rows = max(CHUNK // target.shape[1], 1)
    counts = [
        _histograms(part.sigmoid(), mask, limits)
        for part, mask in zip(logits.flatten(1).split(rows), target.split(rows), strict=True)
    ]
    above = torch.cat(counts).flip(-1).cumsum(-1).flip(-1)[..., 1:].double()
    selected, true_positives = above.sum(1), above[:, 1]
    precision = true_positives / (selected + 1e-20)
    recall = true_positives / (target.sum(1, keepdim=True) + 1e-20)
    f = (1 + beta2) * precision * recall / (beta2 * precision + recall)
    return f.nan_to_num(0.0)


def f_measure(logits: Values, target: Values, beta2: float = 0.3, n_thresholds: int = 255) -> float:
    """Best F-measure over thresholds of the mean curve, as AVSBench computes it for one batch.

    Frames with an empty target are left out. The threshold is an **oracle**: it is picked on the
    targets. AVSBench takes this maximum for each test batch and averages the maxima, so its
    figure changes with the batch size; give all frames at once for the data-set-level value.
    Source: AVSBench `utility.py`, `Eval_Fmeasure`.

    Returns
    -------
    float in [0, 1]; NaN when every target is empty.
    """
    curves = f_curves(logits, target, beta2, n_thresholds)
    filled = mask_tensor(target, "target").flatten(1).any(1)
    return curves[filled].mean(0).max().item()


def average_precision(scores: Values, target: Values) -> float:
    """Average precision over all pixels of all samples pooled together.

    This is DenseAV's segmentation AP of one class, and IEr's PIAP.

    Returns
    -------
    float in [0, 1]; NaN when no pixel of the target is set.
    """
    scores = scores_tensor(scores, "scores")
    target = mask_tensor(target, "target", scores.shape)
    if not target.any():
        return float("nan")
    return float(average_precision_score(target.flatten().cpu(), scores.flatten().cpu()))


def average_precisions(scores: Values, target: Values) -> Tensor:
    """Average precision of each sample of (N, …), (N,) float64; its mean is IEr's CAP.

    NaN for a sample whose target is empty, so average with `nanmean`.
    """
    scores = scores_tensor(scores, "scores")
    target = mask_tensor(target, "target", scores.shape)
    pairs = zip(scores.flatten(1), target.flatten(1), strict=True)
    values = [average_precision(score[None], mask[None]) for score, mask in pairs]
    return torch.tensor(values, dtype=torch.float64)


def best_iou(scores: Values, target: Values, n_thresholds: int = 20) -> float:
    """**Oracle** IoU: the best over thresholds picked on the targets, all pixels pooled.

    The thresholds are evenly spaced from the lowest to the highest score, and a pixel must be
    strictly above. Source: DenseAV `eval_utils.py`.

    Returns
    -------
    float in [0, 1]; 0 for constant scores or an empty target.
    """
    scores = scores_tensor(scores, "scores")
    target = mask_tensor(target, "target", scores.shape)
    low, high = scores.min().item(), scores.max().item()
    limits = torch.linspace(low, high, n_thresholds, dtype=scores.dtype)
    best = 0.0
    for limit in limits.tolist():
        pred = scores > limit
        union = int((pred | target).sum())
        best = max(best, int((pred & target).sum()) / max(union, 1))
    return best


def _histograms(score: Tensor, target: Tensor, limits: Tensor) -> Tensor:
    """How many pixels reach 0, 1, … of the evenly spaced limits: (N, 2, n + 1), outside and inside.

    A product gives the number of limits that a score reaches, or one too many, and a look at the
    last of them settles it.
    """
    count, n = len(score), len(limits)
    last = score.mul(n - 1).add_(1e-6 * n).int().clamp_max_(n - 1)
    passed = last + (score >= limits[last])
    row = 2 * torch.arange(count, dtype=passed.dtype, device=score.device)[:, None]
    passed += (n + 1) * (row + target)
    return torch.bincount(passed.flatten(), minlength=2 * count * (n + 1)).view(count, 2, n + 1)
