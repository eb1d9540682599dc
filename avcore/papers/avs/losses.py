"""The losses of AVS: cross-entropy of masks, and masked audio-visual matching in all its forms.

Source: Zhou et al., "Audio-Visual Segmentation" (ECCV 2022), Sec. 3.3, and the two loss files of
the public code, which differ: that of the single-source setting ("cosine" here) thresholds the
sigmoid of the full-size logits and takes -log of the cosine, that of the multi-source setting
pools the logits first and compares by KL divergence or distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from avcore.metrics.checks import mask_tensor
from avcore.support import AvcoreError, choose

DISTANCES = ("kl", "euclidean", "cosine")
TARGETS = ("audio", "visual")
EPS = 1e-6


def first_frame_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of the first frame of each clip: the semi-supervised setting (S4).

    logits (B·T, 1, H, W); target (B, 1, H, W) or (B, 1, 1, H, W), 0 or 1. T follows from the two.

    Raises
    ------
    AvcoreError
        When the frames are not so many clips of equal length, sizes differ, or the target holds
        other numbers than 0 and 1.
    """
    target = target.reshape(len(target), 1, *target.shape[-2:])
    if len(logits) % len(target):
        raise AvcoreError(f"{len(logits)} frames cannot be {len(target)} clips of equal length")
    first = logits[:: len(logits) // len(target)]
    return all_frames_bce(first, target)


def all_frames_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of all frames, logits and target (B·T, 1, H, W): the setting MS3.

    Raises
    ------
    AvcoreError
        When the two differ in shape, or the target holds other numbers than 0 and 1.
    """
    if logits.shape != target.shape:
        raise AvcoreError(
            f"logits and masks differ: {tuple(logits.shape)} and {tuple(target.shape)}"
        )
    target = mask_tensor(target, "the target")
    return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def avm_loss(
    logits: Tensor,
    audio: Sequence[Tensor],
    visual: Sequence[Tensor],
    distance: str = "kl",
    target: str = "audio",
    threshold: bool = False,
    normalise: bool = True,
) -> Tensor:
    """Masked audio-visual matching, averaged over stages: what is marked should fit the sound.

    Parameters
    ----------
    logits
        (B·T, 1, H, W).
    audio, visual
        For each stage the aligned sound (B, T, C) and the features (B·T, C, h, w).
    distance
        "kl" (summed over the frames, as coded), "euclidean" (mean), or "cosine": the form of the
        single-source file, with its own threshold and order of sigmoid and pooling.
    target
        "audio", or "visual": the masked features of the frame of the batch that sounds nearest.
    threshold
        Whether the mask is cut at 0.5 instead of weighting the features; "cosine" always does.
    normalise
        Whether both features are scaled to length one first: so by default in the public code,
        whose own training turns it off, as `Recipe` does. "cosine" always has it.

    Raises
    ------
    AvcoreError
        For an unknown form, no stage, or sounds and features that do not fit each other.
    """
    choose(DISTANCES, distance, "distance")
    choose(TARGETS, target, "target")
    if len(audio) != len(visual) or not audio:
        raise AvcoreError(f"as many sounds as stages are wanted: {len(audio)}, {len(visual)}")
    losses = []
    for sound, features in zip(audio, visual, strict=True):
        sound = sound.flatten(0, -2)  # (B·T, C)
        if sound.shape != features.shape[:2]:
            raise AvcoreError(
                f"sound {tuple(sound.shape)} and features {tuple(features.shape)} do not fit"
            )
        marked = _masked_mean(logits, features, distance == "cosine", threshold)
        if normalise or distance == "cosine":
            sound, marked = (functional.normalize(value, dim=-1) for value in (sound, marked))
        wanted = marked[_nearest(sound)] if target == "visual" else sound
        losses.append(_distance(marked, wanted, distance))
    return torch.stack(losses).mean()


def _masked_mean(logits: Tensor, features: Tensor, cosine: bool, threshold: bool) -> Tensor:
    """Mean of the features under the predicted mask, (B·T, C)."""
    size = (features.shape[-2], features.shape[-1])
    if cosine:
        mask = functional.adaptive_avg_pool2d(logits.sigmoid(), size)
    else:
        mask = functional.adaptive_avg_pool2d(logits, size).sigmoid()
    if cosine or threshold:
        mask = (mask > 0.5).to(features.dtype)
        return (features * mask).sum((-2, -1)) / (mask.sum((-2, -1)) + EPS)
    return (features * mask).mean((-2, -1))


def _nearest(sound: Tensor) -> Tensor:
    """For each frame, the other frame of the batch with the nearest sound.

    The public code adds 10 to a frame's distance to itself, which only is enough for sounds of
    length one; of others each would often be its own nearest, and the loss zero.
    """
    sound = sound.detach()
    return torch.cdist(sound, sound).fill_diagonal_(torch.inf).argmin(0)


def _distance(marked: Tensor, wanted: Tensor, distance: str) -> Tensor:
    if distance == "kl":
        log_marked = marked.log_softmax(-1)
        return functional.kl_div(log_marked, wanted.softmax(-1), reduction="sum")
    if distance == "euclidean":
        return functional.pairwise_distance(wanted, marked).mean()
    return -(functional.relu((marked * wanted).sum(-1)) + EPS).log().mean()
