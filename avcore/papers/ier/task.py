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

import torch
from torch import Tensor, nn

from avcore.class_aware import evaluation as shared
from avcore.class_aware import videos
from avcore.class_aware.network import SEEN, WIDTH, SmallLocaliser
from avcore.class_aware.phases import (
    Correspondence,
    begin_classes,
    learn_stage_one,
    stage_one_phases,
)
from avcore.class_aware.solos import Heard, nearest, solo_loss
from avcore.class_aware.videos import Videos
from avcore.data.sets.music import SOLO_CLASSES
from avcore.papers.ier import evaluation
from avcore.papers.ier.experiments import localisation
from avcore.papers.ier.identifier import LEVELS, STEPS, Identifier
from avcore.papers.ier.referrer import MASKS, Referrer
from avcore.papers.ier.training import (
    Curriculum,
    Mixer,
    leave_heads,
    named_loss,
    pairs_of,
    referred_loss,
    sound_prototypes,
)
from avcore.support import AvcoreError, choose
from avcore.training import Parts, Phase, Preset, Task, TrainConfig, seeded

GAPS = (0.0, 20.0)  # dB between two solos that are to be named


@dataclass(frozen=True)
class Network:
    """Of how many clusters there are, and of `Identifier` and `Referrer` what may be chosen.

    `distinguishing` is what `Identifier` calls `steps`.
    """

    clusters: int = len(SOLO_CLASSES)
    distinguishing: str = "each"
    level: str = "mid"
    mask: str = "image max"

    def __post_init__(self) -> None:
        choose(STEPS, self.distinguishing, "kind of steps")
        choose(LEVELS, self.level, "level")
        choose(MASKS, self.mask, "mask")
        if self.distinguishing == "classifier":
            raise AvcoreError("a classifier has no features to refer to; choose each or common")
        if self.clusters < 1:
            raise AvcoreError(f"clusters are at least 1, got {self.clusters}")


@dataclass(frozen=True)
class Referring:
    """The last phase: whether what is out of view is weighted down in what is heard."""

    off_screen: bool = True


class Learner(nn.Module):
    """A referrer and its parts, of which each phase trains one; called, it is that part.

    Attributes
    ----------
    referrer
        With `network`, `identifier` and `dictionary` in it.
    class_of
        (K,) int64: the class of each cluster, -1 for none.
    """

    class_of: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        localiser, nothing = SmallLocaliser(network.clusters), torch.zeros(network.clusters, WIDTH)
        ear = localiser.audio_net
        identifier = Identifier(ear, nothing, network.distinguishing, network.level)
        entries = torch.zeros(network.clusters, SEEN)
        self.referrer = Referrer(localiser, identifier, entries, network.mask)
        self.register_buffer("class_of", torch.full((network.clusters,), -1))
        self.learning = "referrer"

    @property
    def part(self) -> nn.Module:
        """What learns, by the name in `learning`."""
        whole = self.learning == "referrer"
        return self.referrer if whole else getattr(self.referrer, self.learning)

    def train(self, mode: bool = True) -> Learner:
        """Only the part that learns is in training mode."""
        super().train(mode)
        if self.part is not self.referrer:
            self.referrer.eval()
            self.part.train(mode)
        return self

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.part(*inputs, **options)


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


CONFIG = TrainConfig(
    batch_size=64,
    learning_rate=2e-3,
    weight_decay=1e-3,
    warmup=30,
    clip_norm=1.0,
    checkpoint_every=200,
)
NAMING = replace(CONFIG, steps=2000, learning_rate=1e-3)
PHASES = (
    *stage_one_phases(CONFIG, (2000, 1000)),
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
    prepare=prepare,
    begin=begin,
    lesson=lesson,
)
