"""The experiments behind claims I1 to I7, and the trainings of chapters 30 and 31.

All variants of a seed start from the same stage one, the one that CSOL has, and take the same
steps on the same sounds and scenes. Thresholds are chosen on validation scenes. Deviations: drawn
objects of twelve classes, one second, 128×128 pixels; see also `choices`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from avcore import metrics
from avcore.class_aware import evaluation as shared
from avcore.class_aware.scenes import SIZE, Scenes, draw, make_data
from avcore.class_aware.solos import StageOneResult, drawn_stage_one, train_config
from avcore.nn import pretrained
from avcore.papers.ier import evaluation
from avcore.papers.ier.evaluation import GAPS
from avcore.papers.ier.identifier import Identifier
from avcore.papers.ier.referrer import MASKS, Referred, Referrer
from avcore.papers.ier.training import FIXED, Curriculum, identify, refer
from avcore.stage import ProceduralBank
from avcore.support import Splits, by_scale, choose
from avcore.training import TrainConfig

PAIRS = {"one_class": "one class", "two_classes": "two classes"}  # values, and kinds of scene
CONDITIONS = ("equal", "10 dB", "20 dB", "off screen")
EVEN = Curriculum(gap_db=0.0)


@dataclass(frozen=True)
class Variant:
    """How an identifier is made and taught."""

    steps: str = "each"
    level: str = "mid"
    plan: Curriculum | None = None  # the paper's


VARIANTS = {
    "steps": Variant(),
    "one step for all": Variant(steps="common"),
    "classifier": Variant(steps="classifier"),
    "high-level input": Variant(level="high"),
    "no curriculum": Variant(plan=FIXED),
    "even volumes": Variant(plan=EVEN),
}


def identify_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of the identifier."""
    config = train_config(scale, seed, device)
    return replace(config, batch_size=_batch(scale), learning_rate=1e-3)


def refer_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of the referrer."""
    steps = by_scale(scale, smoke=4, quick=120, full=1200)
    config = train_config(scale, seed, device)
    return replace(config, steps=steps, batch_size=_batch(scale), learning_rate=3e-4)


def _batch(scale: str) -> int:
    return by_scale(scale, smoke=16, quick=64, full=64)


def teach(
    variant: str, first: StageOneResult, solos: Scenes, config: TrainConfig, **fit_args
) -> Identifier:
    """An identifier of one of `VARIANTS`, on the pseudo-labels of stage one."""
    how = choose(VARIANTS, variant, "variant")
    labels = first.dictionary.labels
    return identify(first.model, solos, labels, config, how.plan, how.steps, how.level, **fit_args)[
        0
    ]


def identifier_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims I1, I2 and I5, for one of `VARIANTS`.

    "named@0", "named@10" and "named@20": how often the quieter of two held-out sounds, so many dB
    below the other, is among the two classes named first. "ap@4": mean average precision in
    mixtures of four. Of "steps" also "gain@0" and "gain@20", what it is ahead of one step for all.
    "chance_named" is what drawing two classes gives.
    """
    pretrained.check(scale)
    values = _named(variant, seed, scale, device)
    if variant == "steps":
        rival = _named("one step for all", seed, scale, device)
        gains = {f"gain@{gap:g}": values[f"named@{gap:g}"] - rival[f"named@{gap:g}"]
                 for gap in GAPS}  # fmt: skip
        values = {**values, **gains}
    return {**values, "chance_named": 2 / len(ProceduralBank().classes)}


@dataclass(frozen=True)
class Filters:
    """Which filters a referrer is trained and read with."""

    silent: bool = True
    off_screen: bool = True
    mask: str = "image max"
    trained: bool = True


FILTERS = {
    "both filters": Filters(),
    "no off-screen filter": Filters(off_screen=False),
    "no filter": Filters(silent=False, off_screen=False),
    "untrained": Filters(trained=False),
    **{f"mask: {mask}": Filters(mask=mask) for mask in MASKS},
}


def referrer_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims I3, I4, I6 and I7: the class-specific maps of a referrer, for one of `FILTERS`.

    Found at equal volumes are "loud" and "quiet" (the first and the other object), and with the
    other so many dB below "quiet@10" and "quiet@20"; see `class_aware.evaluation.found_objects`.
    At equal volumes too "pointing", "ciou@0.3", "auc", "nsa", "cap" and "piap". With a sound from
    off screen in every scene "sounding", "silent" and "off_screen" (the false activations) as in
    `class_aware.evaluation.lit`, at the threshold that is best on validation scenes;
    "in_view_accuracy" is the mean of the first and of what is left of the last. "one_class"
    and "two_classes": pointing at the one of two objects that sounds, if they are of one class or
    of two. Of what never listens "trivial_ciou@0.3", and "chance_found", a third.
    """
    pretrained.check(scale)
    filters, classes = choose(FILTERS, variant, "variant"), len(ProceduralBank().classes)

    def maps(where: str, split: str) -> Tensor:
        found = _referred(where, split, filters, seed, scale, device)
        return evaluation.class_maps(
            found,
            drawn_stage_one(seed, scale, device)[1],
            classes,
            filters.silent,
            filters.off_screen,
        )

    test = {where: _scenes(where, "test", seed, scale) for where in CONDITIONS}
    tested = {where: maps(where, "test") for where in CONDITIONS}
    by_volume = {where: shared.by_loudness(tested[where], test[where]) for where in CONDITIONS[:3]}
    trivial = shared.trivial(test["equal"], classes)
    cut = threshold(
        [maps(where, "val") for where in CONDITIONS],
        [_scenes(where, "val", seed, scale) for where in CONDITIONS],
    )
    peaks = shared.object_peaks(tested["off screen"], test["off screen"])
    lit = shared.lit(peaks, test["off screen"], cut)
    pairs = {
        name: (maps(kind, "test"), _scenes(kind, "test", seed, scale))
        for name, kind in PAIRS.items()
    }
    return {
        **by_volume["equal"],
        "quiet@10": by_volume["10 dB"]["quiet"],
        "quiet@20": by_volume["20 dB"]["quiet"],
        **localisation(tested["equal"], test["equal"]),
        **lit,
        "in_view_accuracy": (lit["sounding"] + 1 - lit["off_screen"]) / 2,
        **{name: shared.object_hits(*pairs[name], True).mean().item() for name in PAIRS},
        "trivial_ciou@0.3": trivial["ciou@0.3"],
        "chance_found": 1 / 3,
    }


def localisation(maps: Tensor, scenes: Scenes) -> dict[str, float]:
    """Where class maps (N, classes, h, w) are: CSOL's scores, "pointing", "cap" and "piap".

    The last two are average precisions of the pixels of each sounding object under its class's
    map: the mean over objects, and of the pixels of all objects pooled.
    """
    found = metrics.class_aware_localization(maps, scenes.boxes(), shared.MAP_CUT, size=SIZE)
    scene, number = ((scenes.class_id >= 0) & scenes.sounding).nonzero(as_tuple=True)
    of_class = metrics.resize_maps(maps[scene, scenes.class_id[scene, number]], SIZE)
    masks = scenes.masks[scene, number]
    shown = masks.flatten(1).any(1)
    return {
        **found,
        "pointing": shared.object_hits(maps, scenes, True).mean().item(),
        "cap": metrics.average_precisions(of_class[shown], masks[shown]).mean().item(),
        "piap": metrics.average_precision(of_class[shown], masks[shown]),
    }


def threshold(maps: Sequence[Tensor], scenes: Sequence[Scenes]) -> float:
    """The peak that tells best what sounds, in class maps of all conditions together."""
    peaks: dict[bool, list[Tensor]] = {True: [], False: []}
    for some, of in zip(maps, scenes, strict=True):
        for on, found in peaks.items():
            chosen = (of.class_id >= 0) & (of.sounding == on)
            found.append(shared.object_peaks(some, of)[chosen])
    return shared.best_peak(torch.cat(peaks[True]), torch.cat(peaks[False]))


# --- what a seed has in common -------------------------------------------------------------------


@lru_cache(maxsize=4)
def _solos(seed: int, scale: str) -> Splits[Scenes]:
    return make_data("solo", scale, seed)


@lru_cache(maxsize=32)
def _scenes(kind: str, split: str, seed: int, scale: str) -> Scenes:
    count = by_scale(scale, smoke=16, quick=300, full=1000)
    if kind == "mixture":
        count = by_scale(scale, smoke=32, quick=1200, full=20_000)
    return draw(kind, split, count, seed, workers=by_scale(scale, smoke=0, quick=2, full=8))


@lru_cache(maxsize=8)
def _identifier(variant: str, seed: int, scale: str, device: str) -> Identifier:
    config = replace(identify_config(scale, seed, device), progress=False)
    return teach(
        variant, drawn_stage_one(seed, scale, device)[0], _solos(seed, scale).train, config
    )


@lru_cache(maxsize=16)
def _named(variant: str, seed: int, scale: str, device: str) -> dict[str, float]:
    test, class_of = _solos(seed, scale).test, drawn_stage_one(seed, scale, device)[1]
    model = _identifier(variant, seed, scale, device)
    return {
        **{f"named@{gap:g}": evaluation.named(model, test, class_of, gap) for gap in GAPS},
        "ap@4": evaluation.mixture_ap(model, test, class_of, 4),
    }


@lru_cache(maxsize=8)
def _referrer(
    off_screen: bool, mask: str, trained: bool, seed: int, scale: str, device: str
) -> Referrer:
    first = drawn_stage_one(seed, scale, device)[0]
    identifier = _identifier("steps", seed, scale, device)
    model = Referrer(first.model, identifier, first.dictionary.entries, mask)
    if trained:
        config = replace(refer_config(scale, seed, device), progress=False)
        mixtures = _scenes("mixture", "train", seed, scale)
        refer(model, mixtures, _solos(seed, scale).train, config, off_screen)
    return model.eval()


def _referred(
    kind: str, split: str, filters: Filters, seed: int, scale: str, device: str
) -> Referred:
    # without the filter for off screen the mask plays no part
    mask = filters.mask if filters.off_screen else Filters.mask
    trained_with = filters.off_screen or not filters.silent  # no filter is read, not trained
    model = _referrer(trained_with, mask, filters.trained, seed, scale, device)
    return evaluation.refer_to(model, _scenes(kind, split, seed, scale))
