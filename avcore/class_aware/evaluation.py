"""What CSOL and IEr are measured by, and what never listens.

Source: `tools.py` and `eval.py` of CSOL's public code. Deviation: where a solo's map is cut is
chosen on validation scenes for every network, not fixed at a tenth of the maximum.
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
    maps = class_specific(class_maps, class_of, classes)
    found = metrics.class_aware_localization(maps, scenes.boxes(), MAP_CUT, size=SIZE)
    hits = {on: object_hits(maps, scenes, on) for on in (True, False)}
    return {
        **found,
        "pointing": hits[True].mean().item() if len(hits[True]) else 0.0,
        "silent_pointing": hits[False].mean().item() if len(hits[False]) else 0.0,
    }


def class_specific(class_maps: Tensor, class_of: Tensor, classes: int) -> Tensor:
    """CSOL's maps of classes (N, classes, h, w): a softmax over the clusters (N, K, h, w)."""
    return by_class((TEMPERATURE * class_maps).softmax(1), class_of, classes)


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


def object_peaks(maps: Tensor, scenes: Scenes) -> Tensor:
    """The greatest value of each object's class map, and of sources off screen, (N, S).

    Maps are (N, classes, h, w); NaN where there is nothing.
    """
    ids = torch.maximum(scenes.class_id, scenes.offscreen)
    peaks = maps.amax((2, 3)).gather(1, ids.clamp(min=0))
    return torch.where(ids >= 0, peaks, torch.nan)


def found_objects(maps: Tensor, scenes: Scenes) -> Tensor:
    """Which objects are found, (N, S) bool.

    An object that sounds is found when the peak of its class's map lies on it, and stands above
    the peaks of all silent objects' classes in the same map. What never listens puts a given one
    of two sounding objects above two silent ones in a third of the scenes.
    """
    peaks = object_peaks(maps, scenes)
    sounds = (scenes.class_id >= 0) & scenes.sounding
    silent = (scenes.class_id >= 0) & ~scenes.sounding
    quiet = torch.where(silent, peaks, -torch.inf).amax(1, keepdim=True)
    on_it = torch.zeros_like(sounds)
    on_it[sounds.nonzero(as_tuple=True)] = object_hits(maps, scenes, True) > 0.5
    return sounds & on_it & (peaks > quiet)


def loudest(scenes: Scenes) -> Tensor:
    """The first object of each scene that sounds, (N, S) bool; see `scenes.Kind.gap_db`."""
    sounds = (scenes.class_id >= 0) & scenes.sounding
    return sounds & (sounds.cumsum(1) == 1)


def by_loudness(maps: Tensor, scenes: Scenes) -> dict[str, float]:
    """How often the objects of each scene are found: "loud", and the others, "quiet"."""
    found, loud = found_objects(maps, scenes), loudest(scenes)
    quiet = (scenes.class_id >= 0) & scenes.sounding & ~loud
    return {"loud": _share(found[loud]), "quiet": _share(found[quiet])}


def best_peak(sounding: Tensor, silent: Tensor) -> float:
    """The threshold that tells best what sounds, of the peaks of sounding and of silent objects.

    It has the greatest mean of two shares: of the sounding that reach it, and of the silent that
    do not.
    """
    cuts = torch.cat([sounding, silent]).unique()
    below = [
        torch.searchsorted(each.sort().values, cuts) / len(each) for each in (sounding, silent)
    ]
    return cuts[(below[1] - below[0]).argmax()].item()


def lit(peaks: Tensor, scenes: Scenes, threshold: float) -> dict[str, float]:
    """Whose peaks reach a threshold: "sounding" and "silent" objects in view, and "off_screen".

    The last are the false activations: the share of classes that are heard, are not in view, and
    light up all the same. NaN where the scenes have none.
    """
    reached = (peaks >= threshold).double()
    in_view = scenes.class_id >= 0
    return {
        "sounding": reached[in_view & scenes.sounding].mean().item(),
        "silent": reached[in_view & ~scenes.sounding].mean().item(),
        "off_screen": reached[scenes.offscreen >= 0].mean().item(),
    }


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
