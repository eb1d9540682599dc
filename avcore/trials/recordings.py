"""Trials on photographs that ask how new a recording may be: CSOL and IEr on collages.

Tux Paint has one recording of most classes. A test can hear that same recording, a stretch of it
that the training never heard, or recordings from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from avcore.class_aware.evaluation import (
    by_loudness,
    class_aware,
    class_specific,
    localise,
    trivial,
)
from avcore.class_aware.lessons import SHARED, apart_bank, shared_bank, told_apart, wrong_sounds
from avcore.class_aware.scenes import Scenes, draw, make_data
from avcore.class_aware.solos import StageOneResult, match, train_config
from avcore.data.media import elsewhere
from avcore.papers.csol import experiments as csol
from avcore.papers.csol.training import stage_two
from avcore.papers.ier import experiments as ier
from avcore.papers.ier.evaluation import class_maps, refer_to
from avcore.papers.ier.referrer import Referrer
from avcore.papers.ier.training import refer
from avcore.stage.media import MediaBank
from avcore.support import MediaError, Splits, by_scale
from avcore.trials.photographs import photographs

COLLAGE = ("ciou@0.3", "nsa", "told_apart", "pointing")  # what a collage is heard by


def photograph_collage_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """CSOL on collages of photographs, with Tux Paint's recordings and with those from elsewhere.

    It learns from Tux Paint alone, on the animals and instruments of which both have a recording.
    "photographs_collage_…" and "elsewhere_collage_…" are the values of `evaluation.class_aware`
    and `lessons.told_apart` with Tux Paint's recordings, most of which are heard in training too,
    and with those from elsewhere, of which none is. For "…_wrong_sound_…" the sound is that of a
    collage with other objects, where there is one; "…_trivial_ciou@0.3" is that of the best map
    that never listens and knows no class.

    Raises
    ------
    MediaError
        The photographs or the media from elsewhere have not been fetched.
    """
    home, away = _shared_banks()
    classes = len(home.classes)
    solos, mixtures = (make_data(kind, scale, seed, home) for kind in ("solo", "synthetic"))
    first, class_of = _first_stage(solos, classes, scale, seed, device)
    entries = first.dictionary.entries
    config = replace(csol.second_config(scale, seed, device), progress=False)
    model, _ = stage_two(first.model, entries, mixtures.train, config)

    def scores(scenes: Scenes) -> dict[str, float]:
        maps = localise(model, scenes, entries).class_maps
        assert maps is not None  # a dictionary was given
        apart = told_apart(class_specific(maps, class_of, classes), scenes)
        found = class_aware(maps, class_of, scenes, classes)
        return found | {"told_apart": apart.mean().item()}

    values = {"collage_classes": float(classes)}
    heard_away = draw("synthetic", "test", len(mixtures.test), seed, away)
    for where, test in (("photographs", mixtures.test), ("elsewhere", heard_away)):
        found, wrong = scores(test), scores(wrong_sounds(test))
        found |= {f"wrong_sound_{name}": wrong[name] for name in COLLAGE}
        found["trivial_ciou@0.3"] = trivial(test, classes)["ciou@0.3"]
        found["ciou_ahead_of_trivial"] = found["ciou@0.3"] - found["trivial_ciou@0.3"]
        values |= {f"{where}_collage_{name}": value for name, value in found.items()}
    return values


def photograph_interference_trial(
    scale: str, seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """IEr on collages of photographs, the second source 10 dB below the first.

    "photographs_…" has recordings of the training; "elsewhere_…" other recordings of the same
    classes; "apart_…" stretches of its recordings that the training of a second network, with the
    classes of `lessons.apart_bank`, never heard. "…_quieter_found" and "…_louder_found" are as in
    `evaluation.by_loudness`, "…_wrong_sound_found" is the former with the sound of a collage with
    other objects. What never listens finds a third.

    Raises
    ------
    MediaError
        The photographs or the media from elsewhere have not been fetched.
    """
    home, away = _shared_banks()
    apart = apart_bank(photographs())
    if apart is None:
        raise MediaError("too few photographs keep a stretch of a recording for the test")
    values: dict[str, float] = {}
    for train, tests in (
        (home, {"photographs": home, "elsewhere": away}),
        (apart, {"apart": apart}),
    ):
        maps_of = _referrer(train, scale, seed, device)
        for name, bank in tests.items():
            count = by_scale(scale, smoke=16, quick=300, full=1000)
            test = draw("10 dB", "test", count, seed, bank)
            found = by_loudness(maps_of(test), test)
            wrong = by_loudness(maps_of(wrong_sounds(test)), test)
            values[f"{name}_quieter_found"] = found["quiet"]
            values[f"{name}_louder_found"] = found["loud"]
            values[f"{name}_wrong_sound_found"] = wrong["quiet"]
    return values


def _referrer(bank: MediaBank, scale: str, seed: int, device: str) -> Callable[[Scenes], Tensor]:
    """IEr with all its stages, trained on a bank: scenes -> maps of its classes (N, K, h, w)."""
    solos, classes = make_data("solo", scale, seed, bank), len(bank.classes)
    first, class_of = _first_stage(solos, classes, scale, seed, device)
    identifying, referring = (
        replace(config(scale, seed, device), progress=False)
        for config in (ier.identify_config, ier.refer_config)
    )
    identifier = ier.teach("steps", first, solos.train, identifying)
    model = Referrer(first.model, identifier, first.dictionary.entries)
    count = by_scale(scale, smoke=32, quick=1200, full=20_000)
    refer(model, draw("mixture", "train", count, seed, bank), solos.train, referring)
    return lambda scenes: class_maps(refer_to(model, scenes), class_of, classes)


def _shared_banks() -> tuple[MediaBank, MediaBank]:
    """The classes of `lessons.SHARED`; the test of the second bank hears those from elsewhere."""
    foreign = [item for item in elsewhere.read(known=SHARED) if item.sounds]
    return shared_bank(photographs()), shared_bank(photographs(), foreign)


def _first_stage(
    solos: Splits[Scenes], classes: int, scale: str, seed: int, device: str
) -> tuple[StageOneResult, Tensor]:
    """Stage one with alternation, and the class of each cluster."""
    config = replace(train_config(scale, seed, device), progress=False)
    first = csol.first_stage("alternating", solos.train, classes, config)
    return first, match(first.model, first.dictionary.entries, solos.val, classes).class_of
