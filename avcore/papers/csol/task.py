"""CSOL on MUSIC or VGGSound: the small network on a frozen eye, or the published one.

Source: CSOL, Sec. 3, in three phases: correspondence of solos; their classes, by the pseudo-labels
of an object dictionary that is made when the phase begins; and mixtures, whose classes are told by
the network as it is then. The preset "published" has ResNet-18, batches of 32, AdamW at 1e-4, 15
epochs of solos and 5 of mixtures. Its deviations: pictures are mirrored, but neither cropped nor
changed in colour; the log-mel is of the power; the class heads learn no faster than the rest; solos
are clustered once, under the stretched map. See also `class_aware.phases` and `class_aware.videos`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avcore.class_aware import evaluation, videos
from avcore.class_aware.network import FILTERS, SEEN, SmallLocaliser
from avcore.class_aware.phases import (
    CONFIG,
    STAGE_ONE,
    Classes,
    Correspondence,
    begin_classes,
    learn_stage_one,
)
from avcore.class_aware.solos import Heard, solo_loss
from avcore.class_aware.videos import Videos
from avcore.data.sets.music import SOLO_CLASSES
from avcore.papers.csol.model import FEATURES
from avcore.papers.csol.published import UNUSED, PublishedLocaliser, fill_eye
from avcore.papers.csol.training import POOLED, mixture_loss, tell
from avcore.support import AvcoreError, choose
from avcore.training import Parts, Phase, Preset, Task, TrainConfig, seeded

WIDTHS = {"small": SEEN, "published": FEATURES}  # of the dictionary's entries


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes
    ----------
    clusters
        K, of the dictionary.
    silent_filter
        How silent objects are kept out of class maps, one of `class_aware.network.FILTERS`.
    backbones
        "small", on the frozen eye, or "published".
    resnet
        File with the public weights of ResNet-18, of the published network.
    """

    clusters: int = len(SOLO_CLASSES)
    silent_filter: str = "soft"
    backbones: str = "small"
    resnet: Path | None = None

    def __post_init__(self) -> None:
        choose(FILTERS, self.silent_filter, "filter")
        choose(WIDTHS, self.backbones, "backbones")
        if self.clusters < 1:
            raise AvcoreError(f"clusters are at least 1, got {self.clusters}")
        if self.backbones == "small" and self.resnet:
            raise AvcoreError("the small network has an eye of its own; set backbones=published")


@dataclass(frozen=True)
class Mixtures:
    """Stage two; `sharpened` are the means of class maps before their softmax, so many times."""

    sharpened: float = POOLED


def build(network: Network, seed: int = 0) -> Any:
    """The untrained network, with buffers for its dictionary.

    "dictionary" (K, C) has zeros before there are entries, and "class_of" (K,) int64 the class of
    each cluster, -1 for none.

    Raises
    ------
    CheckpointError
        When the file of public weights is missing, damaged or of another network.
    """
    model: Any
    with seeded(seed):
        small = network.backbones == "small"
        model = (SmallLocaliser if small else PublishedLocaliser)(network.clusters)
    if not small:
        fill_eye(model, network.resnet)
    model.silent_filter = network.silent_filter
    width = WIDTHS[network.backbones]
    model.register_buffer("dictionary", torch.zeros(network.clusters, width))
    model.register_buffer("class_of", torch.full((network.clusters,), -1))
    return model


def settle(preset: Preset, given: Mapping[str, Any]) -> Preset:
    """The small network sees features, the published one pictures; an error for anything else."""
    features = preset.network.backbones == "small"
    if preset.data.features != features:
        raise AvcoreError(
            f"backbones={preset.network.backbones} wants features={str(features).lower()}"
        )
    return preset


def prepare(model: Any, recipe: Any) -> None:
    """Each phase trains what it makes."""
    model.requires_grad_(True)
    if isinstance(recipe, Correspondence):
        learn_stage_one(model)
    for name, weight in model.named_parameters():
        if name.startswith(UNUSED):
            weight.requires_grad_(False)


def begin(model: Any, data: Parts, phase: Phase) -> Tensor | None:
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
    filtered = model.dictionary, model.silent_filter
    return mixture_loss(model, batch, *filtered, pooled=recipe.sharpened)


def evaluate(model: Any, loader: dict[str, Any]) -> dict[str, float]:
    """Scores of held-out solos, `cluster_scores`, and of collages, `evaluation.class_aware`.

    The boxes are the tiles. "trivial_ciou@0.3" and "trivial_auc" are of maps that never listen.
    """
    solos, mixtures = loader["solos"].data, loader["mixtures"].data
    if not model.dictionary.any():
        raise AvcoreError("this network has no object dictionary; give a checkpoint of a training")
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


PHASES = (
    *STAGE_ONE,
    Phase(replace(CONFIG, steps=1500, learning_rate=1e-3), Mixtures(), "mixtures", 0, "mixtures"),
)
PUBLISHED = TrainConfig(batch_size=32, learning_rate=1e-4, weight_decay=1e-4, schedule="constant")
LONG = (
    Phase(PUBLISHED, Correspondence(), "correspondence", 2, "solos"),
    Phase(PUBLISHED, Classes(), "classes", 13, "solos"),
    Phase(PUBLISHED, Mixtures(1.0), "mixtures", 5, "mixtures"),
)
SECONDS = Videos(classes=SOLO_CLASSES, size=224, moments=10, features=False)
TASK = Task(
    name="csol",
    presets={
        "music": Preset(PHASES, Network(), Videos(classes=SOLO_CLASSES)),
        "vggsound": Preset(PHASES, Network(clusters=98), Videos("vggsound")),
        "published": Preset(LONG, Network(backbones="published"), SECONDS),
    },
    build=build,
    data=videos.read,
    loss=loss,
    evaluate=evaluate,
    best="auc",
    least=2,
    settle=settle,
    prepare=prepare,
    begin=begin,
    lesson=lesson,
)
