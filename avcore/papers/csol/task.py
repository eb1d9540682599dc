"""CSOL on MUSIC or VGGSound, with the small network on a frozen eye.

Source: CSOL, Sec. 3, in three phases: correspondence of solos; their classes, by the pseudo-labels
of an object dictionary that is made when the phase begins; and mixtures, whose classes are told by
the network as it is then. Deviations: the network and the rates are those of
`avcore.class_aware.network` and of the book's experiments, not the published ones (ResNet-18, Adam
at 1e-4, 15 epochs of solos and 5 of mixtures); see also `class_aware.phases` and
`class_aware.videos`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from avcore.class_aware import evaluation, videos
from avcore.class_aware.network import FILTERS, SEEN, SmallLocaliser
from avcore.class_aware.phases import (
    Correspondence,
    begin_classes,
    learn_stage_one,
    stage_one_phases,
)
from avcore.class_aware.solos import Heard, solo_loss
from avcore.class_aware.videos import Videos
from avcore.data.sets.music import SOLO_CLASSES
from avcore.papers.csol.training import mixture_loss, tell
from avcore.support import AvcoreError, choose
from avcore.training import Parts, Phase, Preset, Task, TrainConfig, seeded


@dataclass(frozen=True)
class Network:
    """How many clusters the dictionary has, and how silent objects are filtered out."""

    clusters: int = len(SOLO_CLASSES)
    silent_filter: str = "soft"

    def __post_init__(self) -> None:
        choose(FILTERS, self.silent_filter, "filter")
        if self.clusters < 1:
            raise AvcoreError(f"clusters are at least 1, got {self.clusters}")


@dataclass(frozen=True)
class Mixtures:
    """Stage two, which leaves nothing to choose but what all phases have."""


class Localiser(SmallLocaliser):
    """The small network with its dictionary.

    Attributes
    ----------
    dictionary
        (K, 152): the entries; zeros before there are any.
    class_of
        (K,) int64: the class of each cluster, -1 for none.
    """

    dictionary: Tensor
    class_of: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__(network.clusters)
        self.silent_filter = network.silent_filter
        self.register_buffer("dictionary", torch.zeros(network.clusters, SEEN))
        self.register_buffer("class_of", torch.full((network.clusters,), -1))


def build(network: Network, seed: int = 0) -> Localiser:
    """The untrained network."""
    with seeded(seed):
        return Localiser(network)


def prepare(model: Localiser, recipe: Any) -> None:
    """Each phase trains what it makes."""
    if isinstance(recipe, Correspondence):
        learn_stage_one(model)
    else:
        model.requires_grad_(True)


def begin(model: Localiser, data: Parts, phase: Phase) -> Tensor | None:
    """Pseudo-labels of the solos (N,), or the logits of what is heard in mixtures (N, K)."""
    if phase.name == "classes":
        return begin_classes(
            model, model.dictionary, model.class_of, data["solos"], phase.config.seed
        )
    return tell(model, data["mixtures"]) if phase.name == "mixtures" else None


def lesson(data: Parts, notes: Tensor | None, phase: Phase) -> Heard:
    """What a phase sees and hears, with what it noted as labels."""
    return Heard.of(data[phase.part], notes)


def loss(model: Any, batch: Heard, recipe: Any) -> dict[str, Tensor]:
    """That of stage one on solos, or that of stage two on mixtures."""
    if isinstance(recipe, Correspondence):
        return solo_loss(model, batch, recipe.loss, recipe.pool)
    return mixture_loss(model, batch, model.dictionary, model.silent_filter)


def evaluate(model: Localiser, loader: dict[str, Any]) -> dict[str, float]:
    """Scores of held-out solos, `cluster_scores`, and of collages, `evaluation.class_aware`.

    The boxes are the tiles. "trivial_ciou@0.3" and "trivial_auc" are of maps that never listen.
    """
    solos, mixtures = loader["solos"].data, loader["mixtures"].data
    entries, class_of = model.dictionary.cpu(), model.class_of.cpu()
    classes = int(max(class_of.max(), mixtures.class_id.max())) + 1
    maps = evaluation.localise(model, mixtures, entries, model.silent_filter).class_maps
    assert maps is not None  # a dictionary was given
    trivial = evaluation.trivial(mixtures, classes)
    return {
        **evaluation.class_aware(maps, class_of, mixtures, classes),
        **videos.cluster_scores(model, entries, class_of, solos),
        **{f"trivial_{name}": value for name, value in trivial.items()},
    }


CONFIG = TrainConfig(
    batch_size=64,
    learning_rate=2e-3,
    weight_decay=1e-3,
    warmup=30,
    clip_norm=1.0,
    checkpoint_every=200,
)
PHASES = (
    *stage_one_phases(CONFIG, (2000, 1000)),
    Phase(replace(CONFIG, steps=1500, learning_rate=1e-3), Mixtures(), "mixtures", 0, "mixtures"),
)
TASK = Task(
    name="csol",
    presets={
        "music": Preset(PHASES, Network(), Videos(classes=SOLO_CLASSES)),
        "vggsound": Preset(PHASES, Network(clusters=98), Videos("vggsound")),
    },
    build=build,
    data=videos.read,
    loss=loss,
    evaluate=evaluate,
    best="auc",
    prepare=prepare,
    begin=begin,
    lesson=lesson,
)
