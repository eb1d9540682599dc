"""What CSOL is measured by: solo localisation, class-aware localisation, and what never listens.

Source: the public code's `tools.py` and `eval.py`. Deviation: where a solo's map is cut is chosen
on validation scenes for every network, not fixed at a tenth of the maximum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcore import metrics
from avcore.class_aware.scenes import SIZE, Scenes
from avcore.metrics import baselines
from avcore.training import predict

TEMPERATURE = 3.0  # of the softmax over classes, in the test alone
CUTS = tuple(c / 20 for c in range(4, 19))  # of a stretched map, chosen on validation scenes
MAP_CUT = 0.5  # of a class map's maximum


class Maps(NamedTuple):
    """Of N scenes: the sounding map's logits (N, h, w), and class maps (N, K, h, w) if asked."""

    av_logits: Tensor
    class_maps: Tensor | None


def localise(
    model: nn.Module,
    scenes: Scenes,
    dictionary: Tensor | None = None,
    silent_filter: str = "soft",
) -> Maps:
    """The maps of a network, on the CPU."""

    def function(model: nn.Module, batch: Scenes) -> tuple[Tensor, ...]:
        entries = None if dictionary is None else dictionary.to(batch.seen.device)
        out = model(batch.seen, batch.mel, entries, silent_filter)
        return (out.av_logits, *([] if entries is None else [out.class_maps]))

    found = predict(model, scenes, function)
    return Maps(found[0], found[1] if dictionary is not None else None)


def stretched(maps: Tensor) -> Tensor:
    """Maps (N, h, w) at the size of the pictures, each from 0 to 1."""
    return metrics.stretched(metrics.resize_maps(maps, SIZE))


def solo(model: nn.Module, val: Scenes, test: Scenes) -> dict[str, float]:
    """Localisation of single sources: "iou@0.5", "auc", "pointing", and the yardsticks.

    "whole_iou@0.5" of the whole picture, "centre_pointing", and "wrong_sound_pointing".
    """
    on_val = stretched(localise(model, val).av_logits)
    cut = metrics.best_threshold(on_val, val.target(), CUTS)
    maps, target = stretched(localise(model, test).av_logits), test.target()
    ious = metrics.iou(maps >= cut, target)
    whole = metrics.iou(torch.ones_like(target), target)
    wrong = localise(model, replace(test, mel=test.mel.roll(1, 0))).av_logits
    return {
        "iou@0.5": _share(ious >= 0.5),
        "auc": metrics.success_auc(ious),
        "pointing": _pointing(maps, target),
        "whole_iou@0.5": _share(whole >= 0.5),
        "centre_pointing": _pointing(baselines.centre(target.shape), target),
        "wrong_sound_pointing": _pointing(metrics.resize_maps(wrong, SIZE), target),
    }


def class_aware(
    class_maps: Tensor, class_of: Tensor, scenes: Scenes, classes: int
) -> dict[str, float]:
    """Scores of class maps (N, K, h, w), given the class of each cluster (K,); -1 for none.

    "ciou@0.3", "ciou@0.5", "auc" and "nsa" as coded, of a softmax over the clusters; "pointing",
    the share of sounding objects on which the peak of their class's map lies; and
    "silent_pointing", how often the peak of a silent object's class lies on it.
    """
    maps = by_class((TEMPERATURE * class_maps).softmax(1), class_of, classes)
    found = metrics.class_aware_localization(maps, scenes.boxes(), MAP_CUT, size=SIZE)
    hits = {on: object_hits(maps, scenes, on) for on in (True, False)}
    return {
        **found,
        "pointing": hits[True].mean().item() if len(hits[True]) else 0.0,
        "silent_pointing": hits[False].mean().item() if len(hits[False]) else 0.0,
    }


def by_class(maps: Tensor, class_of: Tensor, classes: int) -> Tensor:
    """Maps of clusters (N, K, h, w) -> of classes (N, classes, h, w), clusters of a class added."""
    found = maps.new_zeros(len(maps), classes, *maps.shape[2:])
    kept = (class_of >= 0).nonzero().flatten()
    return found.index_add_(1, class_of[kept], maps[:, kept])


def object_hits(maps: Tensor, scenes: Scenes, sounding: bool) -> Tensor:
    """For each object that sounds (or is silent), whether the peak of its class's map is on it."""
    chosen = (scenes.class_id >= 0) & (scenes.sounding == sounding)
    which, number = chosen.nonzero(as_tuple=True)
    of_class = maps[which, scenes.class_id[which, number]]
    large = metrics.resize_maps(of_class, SIZE)
    return metrics.pointing(large, scenes.masks[which, number])


def agnostic(av_logits: Tensor, scenes: Scenes, classes: int) -> dict[str, float]:
    """The scores of one map for all classes, stretched: what a class-agnostic network gets."""
    maps = metrics.stretched(av_logits)[:, None].expand(-1, classes, -1, -1)
    found = metrics.class_aware_localization(maps, scenes.boxes(), MAP_CUT, size=SIZE)
    return {**found, "pointing": object_hits(maps, scenes, True).mean().item()}


def trivial(scenes: Scenes, classes: int) -> dict[str, float]:
    """The best "ciou@0.3" and "auc" of maps that never listen and know no class."""
    count = len(scenes)
    maps = (baselines.everything((count, 16, 16)), baselines.centre((count, 16, 16)))
    scored = [agnostic(each.float(), scenes, classes) for each in maps]
    return {name: max(each[name] for each in scored) for name in ("ciou@0.3", "auc")}


def _pointing(maps: Tensor, target: Tensor) -> float:
    return metrics.pointing(maps, target).mean().item()


def _share(values: Tensor) -> float:
    return values.double().mean().item()
