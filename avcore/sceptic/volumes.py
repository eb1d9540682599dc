"""CSOL and IEr on the same scenes: who finds the quieter of two sources? Claim I1b.

Both start from the same stage one, see the same mixtures of unequal volumes, and take as many
steps in batches of one size: IEr's identifier and referrer together as many as CSOL's second stage.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from avcore.class_aware import evaluation
from avcore.class_aware.scenes import Scenes, draw, make_data
from avcore.class_aware.solos import drawn_stage_one
from avcore.nn import pretrained
from avcore.papers.csol.experiments import second_config
from avcore.papers.csol.training import stage_two
from avcore.papers.ier import evaluation as ier
from avcore.papers.ier.experiments import identify_config, refer_config, teach
from avcore.papers.ier.referrer import Referrer
from avcore.papers.ier.training import refer
from avcore.stage import ProceduralBank
from avcore.support import by_scale, choose

METHODS = ("CSOL", "IEr")
VOLUMES = {"equal": "", "10 dB": "@10", "20 dB": "@20"}


def volume_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claim I1b, for "CSOL" or "IEr".

    "loud" and "quiet", with "@10" and "@20" where the second source lies so many dB below the
    first: how often each is found, see `class_aware.evaluation.found_objects`; "chance_found" is
    what never listens gets, a third.
    """
    choose(METHODS, variant, "method")
    pretrained.check(scale)
    values = {"chance_found": 1 / 3}
    for kind, suffix in VOLUMES.items():
        scenes = draw(kind, "test", by_scale(scale, smoke=16, quick=300, full=1000), seed)
        found = evaluation.by_loudness(_maps(variant, scenes, seed, scale, device), scenes)
        values |= {name + suffix: value for name, value in found.items()}
    return values


def _maps(method: str, scenes: Scenes, seed: int, scale: str, device: str) -> Tensor:
    model, classes = _trained(method, seed, scale, device), len(ProceduralBank().classes)
    first, class_of = drawn_stage_one(seed, scale, device)
    if method == "IEr":
        return ier.class_maps(ier.refer_to(model, scenes), class_of, classes)
    maps = evaluation.localise(model, scenes, first.dictionary.entries).class_maps
    assert maps is not None  # a dictionary was given
    return evaluation.class_specific(maps, class_of, classes)


@lru_cache(maxsize=4)
def _trained(method: str, seed: int, scale: str, device: str):
    first, solos = drawn_stage_one(seed, scale, device)[0], make_data("solo", scale, seed).train
    mixtures = draw("mixture", "train", by_scale(scale, smoke=32, quick=1200, full=20_000), seed)
    identifying, referring = (
        replace(config(scale, seed, device), progress=False)
        for config in (identify_config, refer_config)
    )
    entries = first.dictionary.entries
    if method == "IEr":
        model = Referrer(first.model, teach("steps", first, solos, identifying), entries)
        refer(model, mixtures, solos, referring)
        return model
    config = replace(
        second_config(scale, seed, device),
        steps=identifying.steps + referring.steps,
        batch_size=referring.batch_size,
        progress=False,
    )
    return stage_two(first.model, entries, mixtures, config)[0]
