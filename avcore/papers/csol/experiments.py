"""The experiments behind claims C1 to C5, and the training of chapters 20 and 21.

All networks of a seed see by the same frozen eye and learn from the same solos, then from the same
mixtures, in the same order and for the same steps. Clusters are matched to classes on validation
solos. Deviations: drawn objects of twelve classes, one second, 128×128 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from torch import nn

from avcore import metrics
from avcore.class_aware import evaluation
from avcore.class_aware.dictionary import build_dictionary
from avcore.class_aware.scenes import Scenes, make_data
from avcore.class_aware.solos import (
    StageOneResult,
    features_under,
    match,
    nearest,
    stage_one,
    train_config,
)
from avcore.nn import pretrained
from avcore.papers.csol.rivals import RIVALS, learn_rival
from avcore.papers.csol.training import stage_two
from avcore.stage import ProceduralBank
from avcore.support import Splits, by_scale, choose
from avcore.training import TrainConfig


def second_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """Stage two, on mixtures."""
    steps = by_scale(scale, smoke=4, quick=300, full=3000)
    return replace(train_config(scale, seed, device), steps=steps, learning_rate=1e-3)


@dataclass(frozen=True)
class Variant:
    """One network of stage one: its loss, its pooling, and the rounds of alternation."""

    loss: str = "bce"
    pool: str = "max"
    rounds: int = 1


VARIANTS = {
    "alternating": Variant(),
    "localisation alone": Variant(rounds=0),  # as Objects that Sound (ECCV 2018)
    "Attention": Variant(pool="attention", rounds=0),
    "InfoNCE": Variant(loss="infonce", rounds=0),
}
FILTERS = {"CSOL": "soft", "CSOL, binary filter": "binary", "CSOL, no filter": "none"}
AGNOSTIC = (*(name for name in VARIANTS if name != "alternating"), *RIVALS)


def first_stage(
    name: str,
    solos: Scenes,
    clusters: int,
    config: TrainConfig,
    **fit_args,
) -> StageOneResult:
    """Stage one of a variant; one without alternation takes the steps of the round as well."""
    variant = choose(VARIANTS, name, "variant")
    if not variant.rounds:
        config = _with_round(config)
    return stage_one(
        solos, clusters, config, variant.rounds, variant.loss, variant.pool, **fit_args
    )


def _with_round(config: TrainConfig) -> TrainConfig:
    """As many steps as stage one takes with its round of classes."""
    return replace(config, steps=config.steps + config.steps // 2)


def solo_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claims C4 and C5, for one of `VARIANTS` or `RIVALS`: the values of `evaluation.solo`.

    Networks of `VARIANTS` also have the dictionary's "nmi"; "true_nmi" is that of k-means under the
    true masks, as a perfect segmenter would give them.
    """
    pretrained.check(scale)
    data = _data("solo", seed, scale)
    if variant in RIVALS:
        return evaluation.solo(_rival(variant, seed, scale, device), data.val, data.test)
    found = _first(variant, seed, scale, device)
    held_out = nearest(found.model, found.dictionary.entries, data.test)
    under_truth = features_under(found.model, data.train, "truth")
    label, classes = data.train.label(), len(ProceduralBank().classes)
    return {
        **evaluation.solo(found.model, data.val, data.test),
        "nmi": metrics.mutual_information(found.dictionary.labels, label),
        "held_out_nmi": metrics.mutual_information(held_out, data.test.label()),
        "true_nmi": metrics.mutual_information(
            build_dictionary(under_truth, classes, seed).labels, label
        ),
    }


def class_aware_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims C1 to C3: one of `FILTERS` or of `AGNOSTIC`, after a comma on which scenes.

    "CSOL: realistic" is measured on freely placed objects, "CSOL" on the collage on which it is
    trained. Values are those of `evaluation.class_aware` or `evaluation.agnostic`, with
    "trivial_ciou@0.3" and "gain_ciou@0.3", what is won over the best of `AGNOSTIC`.
    """
    pretrained.check(scale)
    name, _, where = variant.partition(": ")
    test = _data(where or "synthetic", seed, scale).test
    classes = len(ProceduralBank().classes)
    values = _scored(name, where, seed, scale, device)
    beside = {f"trivial_{k}": v for k, v in evaluation.trivial(test, classes).items()}
    if name in FILTERS:
        rivals = [_scored(each, where, seed, scale, device)["ciou@0.3"] for each in AGNOSTIC]
        beside["agnostic_ciou@0.3"] = max(rivals)
        beside["gain_ciou@0.3"] = values["ciou@0.3"] - max(rivals)
    return {**values, **beside}


@lru_cache(maxsize=64)
def _scored(name: str, where: str, seed: int, scale: str, device: str) -> dict[str, float]:
    choose((*FILTERS, *AGNOSTIC), name, "variant")
    test = _data(where or "synthetic", seed, scale).test
    classes = len(ProceduralBank().classes)
    model = _second(name, seed, scale, device)
    if name not in FILTERS:
        return evaluation.agnostic(evaluation.localise(model, test).av_logits, test, classes)
    first = _first("alternating", seed, scale, device)
    entries = first.dictionary.entries
    matched = match(first.model, entries, _data("solo", seed, scale).val, classes)
    maps = evaluation.localise(model, test, entries, FILTERS[name]).class_maps
    assert maps is not None  # a dictionary was given
    return evaluation.class_aware(maps, matched.class_of, test, classes)


@lru_cache(maxsize=8)
def _data(kind: str, seed: int, scale: str) -> Splits[Scenes]:
    return make_data(kind, scale, seed)


@lru_cache(maxsize=16)
def _first(name: str, seed: int, scale: str, device: str) -> StageOneResult:
    config = replace(train_config(scale, seed, device), progress=False)
    classes = len(ProceduralBank().classes)
    return first_stage(name, _data("solo", seed, scale).train, classes, config)


@lru_cache(maxsize=4)
def _rival(name: str, seed: int, scale: str, device: str) -> nn.Module:
    config = replace(_with_round(train_config(scale, seed, device)), progress=False)
    return learn_rival(name, _data("solo", seed, scale).train, config)


@lru_cache(maxsize=32)
def _second(name: str, seed: int, scale: str, device: str) -> nn.Module:
    config = replace(second_config(scale, seed, device), progress=False)
    mixtures = _data("synthetic", seed, scale).train
    if name in RIVALS:
        more = mixtures if RIVALS[name].mixtures else _data("solo", seed, scale).train
        return learn_rival(name, more, config, _rival(name, seed, scale, device))
    first = _first("alternating" if name in FILTERS else name, seed, scale, device)
    entries = first.dictionary.entries if name in FILTERS else None
    return stage_two(first.model, entries, mixtures, config, FILTERS.get(name, "soft"))[0]
