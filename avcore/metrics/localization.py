"""Where is the sound? Maps against masks and boxes, one value a map, then averages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from avcore.metrics.checks import Values, mask_tensor, scores_tensor
from avcore.support import AvcoreError

Boxes = Sequence[Sequence[float]]  # of one image: (class, x, y, w, h), fractions of the image
SUCCESS_THRESHOLDS = tuple(0.05 * i for i in range(21))
EDGE = 0.01  # how far an annotated box may reach past the image


def resize_maps(maps: Values, size: int | Sequence[int]) -> Tensor:
    """Resize maps (..., h, w) to `size` bilinearly (half-pixel centres, as OpenCV does)."""
    maps = scores_tensor(maps, "maps")
    sides = (size, size) if isinstance(size, int) else tuple(size)
    flat = maps.reshape(1, -1, *maps.shape[-2:])  # (1, all, h, w)
    resized = functional.interpolate(flat, size=sides, mode="bilinear", align_corners=False)
    return resized.reshape(*maps.shape[:-2], *sides)


def threshold_map(maps: Values, fraction: float = 0.5) -> Tensor:
    """Pixels of maps (..., H, W) that reach `fraction` of their own map's maximum.

    A map without a positive value, such as the all-zero map of silence, selects nothing.
    """
    maps = scores_tensor(maps, "maps")
    peak = maps.amax((-2, -1), keepdim=True)
    return (maps >= fraction * peak) & (peak > 0)


def stretched(maps: Values) -> Tensor:
    """Maps (…, h, w), each from 0, its least value, to 1, its greatest; 0 where it is constant."""
    maps = scores_tensor(maps, "maps")
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-8)


def best_threshold(maps: Values, target: Values, thresholds: Sequence[float] | Tensor) -> float:
    """The threshold at which maps (N, H, W) have the highest mean IoU with masks (N, H, W).

    One for all maps; call it on validation scenes. Of equal ones the first.
    """
    maps = scores_tensor(maps, "maps", dims=3)
    limits = torch.as_tensor(thresholds)
    found = torch.stack([iou(maps >= limit, target).mean() for limit in limits])
    return limits[found.argmax()].item()


def iou(pred_mask: Values, target_mask: Values) -> Tensor:
    """Intersection over union of each pair of masks (..., H, W), as a float64 tensor (...).

    Two empty masks agree, which scores 1; one empty mask against a full one scores 0.
    """
    pred = mask_tensor(pred_mask, "pred_mask")
    target = mask_tensor(target_mask, "target_mask", pred.shape)
    intersection = (pred & target).sum((-2, -1)).double()
    union = (pred | target).sum((-2, -1)).double()
    return torch.where(union > 0, intersection / union.clamp(min=1), 1.0)


def ciou(maps: Values, target: Values, fraction: float = 0.1) -> Tensor:
    """IoU of each map under CSOL's solo protocol.

    The map is resized to the target, cut at `fraction` of its maximum, and compared:
    IoU = TP / (|GT| + FP), which is intersection over union by another name.
    Source: CSOL (facts of its `tools.py`); its threshold is 0.1 for solos, 0.5 or 0.2 elsewhere,
    so never compare across protocols.

    Parameters
    ----------
    maps
        (..., h, w) scores, larger where the sound is.
    target
        (..., H, W) mask.

    Returns
    -------
    (...) float64 in [0, 1]; see `iou` for empty targets.
    """
    target = mask_tensor(target, "target")
    return iou(threshold_map(resize_maps(maps, tuple(target.shape[-2:])), fraction), target)


def success_curve(ious: Values, thresholds: Sequence[float] = SUCCESS_THRESHOLDS) -> Tensor:
    """Fraction of samples whose IoU reaches each threshold; undefined (NaN) samples are left out.

    Returns
    -------
    (len(thresholds),) float64; NaN when no sample is defined.
    """
    ious = torch.as_tensor(ious).double().flatten()
    defined = ious[~ious.isnan()]
    limits = torch.tensor(thresholds, dtype=torch.float64, device=ious.device)
    return (defined >= limits[:, None]).double().mean(1)


def success_auc(ious: Values) -> float:
    """Area under the success curve over 21 thresholds 0, 0.05, … 1, by trapezoids (CSOL)."""
    curve = success_curve(ious)
    limits = torch.tensor(SUCCESS_THRESHOLDS, dtype=torch.float64, device=curve.device)
    return torch.trapezoid(curve, limits).item()


def pointing(maps: Values, target: Values) -> Tensor:
    """Whether the maximum of each map (..., H, W) lies on its target; float64 (...).

    When several pixels share the maximum the value is the fraction of them on the target, so a
    constant map scores the target's area, which is chance.
    """
    maps = scores_tensor(maps, "maps")
    target = mask_tensor(target, "target", maps.shape)
    peaks = maps == maps.amax((-2, -1), keepdim=True)
    return (peaks & target).sum((-2, -1)).double() / peaks.sum((-2, -1))


def class_aware_scores(
    maps: Values,
    boxes: Sequence[Boxes],
    map_threshold: float = 0.5,
    silent_threshold: float = 0.2,
    size: int = 224,
) -> tuple[Tensor, Tensor]:
    """CIoU and NSA of each image; see `class_aware_localization` for the arguments.

    Returns
    -------
    Two (N,) float64 tensors. CIoU is NaN for an image without boxes, NSA for an image in which
    every class is present.
    """
    maps = scores_tensor(maps, "maps", dims=4)
    if len(maps) != len(boxes):
        raise AvcoreError(f"maps of {len(maps)} images but boxes of {len(boxes)}")
    cious, nsas = [], []
    for image_maps, image_boxes in zip(resize_maps(maps, size), boxes, strict=True):
        targets = _rasterise(image_boxes, len(image_maps), size).to(maps.device)  # (K, S, S)
        present = targets.flatten(1).any(1)
        found = iou(threshold_map(image_maps, map_threshold), targets)
        quiet = (image_maps <= silent_threshold).double().mean((1, 2))
        cious.append(found[present].mean())
        nsas.append(quiet[~present].mean())
    return torch.stack(cious), torch.stack(nsas)


def class_aware_localization(
    maps: Values,
    boxes: Sequence[Boxes],
    map_threshold: float = 0.5,
    silent_threshold: float = 0.2,
    size: int = 224,
) -> dict[str, float]:
    """CSOL's class-aware localisation: are the sounding classes found, and the others quiet?

    CIoU of an image is the mean IoU over its sounding classes, each map cut at `map_threshold`
    of its own maximum. NSA is the part of the absent classes' maps that stays at or below
    `silent_threshold` (absolute). Source: CSOL's `eval.py`; its pathology is kept: a uniform
    softmax map scores an NSA of 1, so always read NSA beside CIoU.

    Parameters
    ----------
    maps
        (N, K, h, w) scores, one map a class.
    boxes
        For each image its sounding boxes (class, x, y, w, h), fractions of the image.
    size
        Side of the square, in pixels, on which both are compared.

    Returns
    -------
    `ciou@0.3` and `ciou@0.5` (fractions of images), `auc`, `nsa`, all in [0, 1].

    Raises
    ------
    AvcoreError
        For a box of an unknown class, without area, or outside [0, 1], such as one in pixels.
    """
    cious, nsas = class_aware_scores(maps, boxes, map_threshold, silent_threshold, size)
    at_30, at_50 = success_curve(cious, (0.3, 0.5)).tolist()
    return {
        "ciou@0.3": at_30,
        "ciou@0.5": at_50,
        "auc": success_auc(cious),
        "nsa": nsas.nanmean().item(),
    }


def _rasterise(boxes: Boxes, classes: int, size: int) -> Tensor:
    """Masks (classes, size, size) of boxes; edges are cut down to whole pixels, as CSOL does."""
    masks = torch.zeros(classes, size, size, dtype=torch.bool)
    for class_id, x, y, width, height in boxes:
        if not (0 <= class_id < classes and class_id == int(class_id)):
            raise AvcoreError(f"a box names class {class_id}, but there are {classes} class maps")
        if not (width > 0 and height > 0):
            raise AvcoreError(f"a box of class {class_id} is {width} wide and {height} high")
        corners = (x, y, x + width, y + height)
        if not all(-EDGE <= value <= 1 + EDGE for value in corners):
            raise AvcoreError(
                f"boxes are fractions of the image, from 0 to 1; one of class {class_id} has the "
                f"corners {corners}"
            )
        columns = slice(max(0, int(x * size)), max(0, int((x + width) * size)))
        rows = slice(max(0, int(y * size)), max(0, int((y + height) * size)))
        masks[int(class_id), rows, columns] = True
    return masks
