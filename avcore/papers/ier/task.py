"""IEr on MUSIC or VGGSound, with the small network on a frozen eye.

Source: IEr and its supplement, in four phases: both of stage one; the identifier, on mixtures made
of solos by a curriculum; and the referrer, on mixtures of which nothing is known. No code of the
authors is public: rates and lengths are the book's, and what else was open stands in
`ier.choices`. The pseudo-labels of the identifier are the entries that solos resemble most once
stage one is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from avcore.class_aware import evaluation as shared
from avcore.class_aware import videos
from avcore.class_aware.phases import (
    CONFIG,
    STAGE_ONE,
    Correspondence,
    begin_classes,
    learn_stage_one,
)
from avcore.class_aware.solos import Heard, nearest, solo_loss
from avcore.class_aware.videos import Videos
from avcore.data.sets.music import SOLO_CLASSES
from avcore.papers.ier import evaluation
from avcore.papers.ier.experiments import localisation
from avcore.papers.ier.learner import Learner, Network
from avcore.papers.ier.training import (
    Curriculum,
    Mixer,
    leave_heads,
    named_loss,
    pairs_of,
    referred_loss,
    sound_prototypes,
)
from avcore.support import AvcoreError
from avcore.training import Parts, Phase, Preset, Task, seeded

GAPS = (0.0, 20.0)  # dB between two solos that are to be named


@dataclass(frozen=True)
class Referring:
    """The last phase: whether what is out of view is weighted down in what is heard."""

    off_screen: bool = True


def build(network: Network, seed: int = 0) -> Learner:
    """The untrained network."""
    with seeded(seed):
        return Learner(network)


def prepare(model: Learner, recipe: Any) -> None:
    """Each phase trains its own part, of which prototypes and entries stay."""
    parts = {Curriculum: "identifier", Referring: "referrer"}
    model.learning = parts.get(type(recipe), "network")
    model.requires_grad_(False)
    if isinstance(recipe, Correspondence):
        learn_stage_one(model.referrer.network)
    elif isinstance(recipe, Curriculum):
        model.referrer.identifier.requires_grad_(True)
    else:
        model.referrer.network.requires_grad_(True)
        leave_heads(model.referrer.network)


def begin(model: Learner, data: Parts, phase: Phase) -> dict[str, Any] | None:
    """The pseudo-labels of the solos, "labels" (N,), and how many "clusters", where needed.

    The identifier's ear begins as that of stage one, and prototypes are what it hears of solos.
    """
    network, solos = model.referrer.network, data["solos"]
    if phase.name == "classes":
        dictionary, seed = model.referrer.dictionary, phase.config.seed
        labels = begin_classes(network, dictionary, model.class_of, solos, seed)
        return {"labels": labels, "clusters": len(dictionary)}
    if phase.name != "identifier":
        return None
    labels = nearest(network, model.referrer.dictionary.cpu(), solos)
    identifier = model.referrer.identifier
    identifier.ear.load_state_dict(network.audio_net.state_dict())
    identifier.prototypes.copy_(sound_prototypes(network, solos, labels))
    return {"labels": labels, "clusters": len(identifier.prototypes)}


def lesson(data: Parts, notes: dict[str, Any] | None, phase: Phase) -> Any:
    """Solos with pseudo-labels; mixtures made of them by the curriculum; mixtures beside solos."""
    solos = data["solos"]
    if phase.name == "referrer":
        return pairs_of(data["mixtures"], solos, phase.config)
    if notes is None:
        return Heard.of(solos)
    if phase.name == "classes":
        return Heard.of(solos, notes["labels"])
    return Mixer(solos.mel, notes["labels"], notes["clusters"], phase.config, phase.recipe)


def loss(model: Any, batch: Any, recipe: Any) -> Any:
    """That of stage one, of the identifier or of the referrer."""
    if isinstance(recipe, Correspondence):
        return solo_loss(model, batch, recipe.loss, recipe.pool)
    if isinstance(recipe, Curriculum):
        return {"loss": named_loss(model, batch)}
    return referred_loss(model, batch, recipe.off_screen)


def evaluate(model: Learner, loader: dict[str, Any]) -> dict[str, float]:
    """Scores of held-out solos and of collages, whose boxes are the tiles.

    Of solos "named@0" and "named@20", see `evaluation.named`, and `cluster_scores`; of collages
    `experiments.localisation` and `class_aware.evaluation.by_loudness` with both filters, and
    "trivial_ciou@0.3" and "trivial_auc", of maps that never listen.
    """
    solos, mixtures = loader["solos"].data, loader["mixtures"].data
    if not model.referrer.dictionary.any():
        raise AvcoreError("this network has no object dictionary; give a checkpoint of a training")
    referrer, class_of = model.referrer, model.class_of.cpu()
    classes = int(max(class_of.max(), mixtures.class_id.max())) + 1
    found = evaluation.refer_to(referrer, mixtures)
    maps = evaluation.class_maps(found, class_of, classes)
    trivial = shared.trivial(mixtures, classes)
    named = {
        f"named@{gap:g}": evaluation.named(referrer.identifier, solos, class_of, gap)
        for gap in GAPS
    }
    return {
        **localisation(maps, mixtures),
        **shared.by_loudness(maps, mixtures),
        **named,
        **videos.cluster_scores(referrer.network, referrer.dictionary.cpu(), class_of, solos),
        **{f"trivial_{name}": value for name, value in trivial.items()},
    }


NAMING = replace(CONFIG, steps=2000, learning_rate=1e-3)
PHASES = (
    *STAGE_ONE,
    Phase(NAMING, Curriculum(), "identifier", part="solos"),
    Phase(replace(CONFIG, steps=600, learning_rate=3e-4), Referring(), "referrer", 0, "mixtures"),
)
TASK = Task(
    name="ier",
    presets={
        "music": Preset(PHASES, Network(), Videos(classes=SOLO_CLASSES, spread_db=20.0)),
        "vggsound": Preset(PHASES, Network(clusters=98), Videos("vggsound", spread_db=20.0)),
    },
    build=build,
    data=videos.read,
    loss=loss,
    evaluate=evaluate,
    best="auc",
    least=2,
    prepare=prepare,
    begin=begin,
    lesson=lesson,
)
