"""What DenseAV is measured by: prompted segmentation, retrieval, what each head hears.

Source: the official evaluation code. Deviation: maps are made at the network's resolution and
enlarged bilinearly to the masks'; the scores do not depend on the min-max scaling over the set.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avcore import metrics
from avcore.papers.denseav.model import DenseAV, Features, mask_steps
from avcore.papers.denseav.similarity import paired_volume, pooled_similarity
from avcore.papers.denseav.training import (
    GLOBAL_POOLS,
    Clips,
    Recipe,
    global_features,
    similarities,
)
from avcore.support import AvcoreError
from avcore.training import predict

BATCH = 64


def encode(model: DenseAV, clips: Clips) -> tuple[Features, Tensor]:
    """Features of all clips on the CPU, and the mask of their steps (N, T)."""

    def function(model: DenseAV, batch: Clips) -> tuple[Tensor, ...]:
        return model(batch.seen.float(), batch.heard.float())[:-1]

    parts = predict(model, clips, function, BATCH)
    features = Features._make([*parts, model.log_scale.detach().cpu()])
    return features, mask_steps(clips.mask, features.audio.shape[-1])


def heatmaps(features: Features, mask: Tensor, heads: int, head: int | None = None) -> Tensor:
    """Mean over marked steps of the best head's similarity (or of one head's), (N, h, w).

    `mask` (N, T) marks the prompt: the steps with sound, or those of a word. Where it marks
    nothing the map is 0.
    """
    maps = []
    for start in range(0, len(mask), BATCH):
        part = slice(start, start + BATCH)
        volume = paired_volume(features.audio[part], features.image[part], heads).mean(2)
        volume = volume.amax(1) if head is None else volume[:, head]  # (b, T, h, w)
        weight = mask[part].to(volume.dtype)
        total = torch.einsum("bthw,bt->bhw", volume, weight)
        maps.append(total / weight.sum(1).clamp_min(1)[:, None, None])
    return torch.cat(maps)


def recipe_maps(features: Features, mask: Tensor, heads: int, recipe: Recipe) -> Tensor:
    """Maps (N, h, w) as a network's recipe compares: by inner products, or by cosines.

    A network that was trained with global features is asked for the cosine of the sound's one
    feature with each place, which is what its training has compared.
    """
    if recipe.pool not in GLOBAL_POOLS:
        return heatmaps(features, mask, heads)
    sound, _ = global_features(features, mask, recipe.pool)
    places = functional.normalize(features.image, dim=1)
    return torch.einsum("nc,nchw->nhw", functional.normalize(sound, dim=1), places)


def prompted_segmentation(maps: Tensor, target: Tensor, class_id: Tensor) -> dict[str, float]:
    """Mean over classes of average precision and of the oracle's IoU, all pixels of a class pooled.

    Parameters
    ----------
    maps
        (N, h, w), enlarged to the masks.
    target
        (N, H, W) bool, the pixels of what the prompt names.
    class_id
        (N,), what each prompt names. The threshold of the IoU is the best for each class: oracle.
    """
    if not target.any():
        raise AvcoreError("no pixel of any mask is marked; there is nothing to segment")
    maps = metrics.resize_maps(maps, target.shape[-1])
    scores = [
        (
            metrics.average_precision(maps[class_id == c], target[class_id == c]),
            metrics.best_iou(maps[class_id == c], target[class_id == c]),
        )
        for c in class_id.unique()
        if target[class_id == c].any()
    ]
    means = torch.tensor(scores, dtype=torch.float64).mean(0)
    return {"ap": means[0].item(), "oracle_iou": means[1].item()}


def retrieval(
    features: Features, mask: Tensor, heads: int, recipe: Recipe, ks: tuple[int, ...] = (1, 5, 10)
) -> dict[str, float]:
    """Recall at k of pictures by sounds and of sounds by pictures.

    As the official code does, heads are pooled one by one and then summed.
    """
    if recipe.pool in GLOBAL_POOLS:
        return metrics.recall_at_k(similarities(features, mask, heads, recipe), ks)
    sims = pooled_similarity(features.audio, features.image, mask, heads, recipe.pool, "sum")
    return metrics.recall_at_k(sims, ks)


def head_scores(features: Features, mask: Tensor, heads: int) -> Tensor:
    """Eq. 2 of each own pair for every head alone, (N, K)."""
    rows = []
    for start in range(0, len(mask), BATCH):
        part = slice(start, start + BATCH)
        volume = paired_volume(features.audio[part], features.image[part], heads)
        best = volume.amax((-2, -1)).mean(2)  # (b, K, T)
        weight = mask[part, None].to(best.dtype)
        rows.append((best * weight).sum(-1) / weight.sum(-1).clamp_min(1))
    return torch.cat(rows)


def retrieval_ceiling(fits: Tensor, k: int = 10) -> float:
    """The recall at k that perfect knowledge of the classes reaches, averaged over both ways.

    `fits` (A, V) bool says which picture shows what is heard in which sound. Who knows all of it
    still has to guess among those that fit.
    """
    ways = [k / fits.sum(way).double() for way in (0, 1)]
    return torch.stack([way.clamp_max(1).mean() for way in ways]).mean().item()
