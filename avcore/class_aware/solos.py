"""Stage one: single sources, until objects have kinds.

Source: CSOL, Sec. 3.1 and 3.2; IEr begins with it too. Deviation: localisation and classification
are lowered together in the rounds of alternation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore import metrics
from avcore.class_aware.dictionary import ObjectDictionary, build_dictionary, object_features
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import Scenes, eye, make_data
from avcore.metrics.clusters import Matching
from avcore.nn.losses import info_nce, pair_bce
from avcore.nn.pictures import mirror_at_random
from avcore.stage import ProceduralBank
from avcore.support import by_scale, choose
from avcore.training import History, TrainConfig, fit, predict, seeded, shuffled
from avcore.training.features import cached, code_digest, weights_digest

LOSSES = {"infonce": info_nce, "bce": pair_bce}
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda volume: volume.amax((2, 3)),
    "attention": lambda volume: (volume.flatten(2).softmax(-1) * volume.flatten(2)).sum(-1),
}
UNDER = ("map", "truth", "picture")  # where the features of an object are averaged


@dataclass(frozen=True)
class Heard:
    """What a stage may learn from: pictures, sounds, and a pseudo-label each (-1: none yet).

    In a second stage the label may be of another form, such as the logits of the clusters that
    are said to sound, (N, K).
    """

    seen: Tensor
    mel: Tensor
    label: Tensor

    @classmethod
    def of(cls, scenes: Scenes, label: Tensor | None = None) -> Heard:
        unknown = torch.full((len(scenes),), -1)
        return cls(scenes.seen, scenes.mel, unknown if label is None else label)


@dataclass(frozen=True)
class StageOneResult:
    """The trained network, its dictionary, and the labels and losses of each round."""

    model: SmallLocaliser
    dictionary: ObjectDictionary
    rounds: list[Tensor]  # pseudo-labels (N,) after each round, the first before any class
    histories: list[History]


def stage_one(
    scenes: Scenes,
    clusters: int,
    config: TrainConfig,
    rounds: int = 1,
    loss: str = "bce",
    pool: str = "max",
    **fit_args,
) -> StageOneResult:
    """Correspondence on single sources, then `rounds` of clustering and classification.

    `config.steps` are those of the correspondence alone; each round adds half of them, in which
    localisation and the classification of the pseudo-labels are lowered together. 0 rounds leave
    the classification out (the dictionary is made all the same).

    `loss` is one of `LOSSES`. `pool` says how a map becomes one score: "max", or "attention", the
    mean over places weighted by the softmax of the map (Senocak et al., CVPR 2018).
    """
    choose(LOSSES, loss, "loss"), choose(POOLS, pool, "pooling")
    with seeded(config.seed):
        model = SmallLocaliser(clusters)

    def loss_fn(model: nn.Module, batch: Heard) -> dict[str, Tensor]:
        return solo_loss(model, batch, loss, pool)

    first = Heard.of(scenes)
    histories = [fit(model, loss_fn, shuffled(first, config), config, **fit_args)]
    found = find_objects(model, scenes, clusters, config.seed)
    labels = [found.labels]
    for number in range(rounds):
        short = replace(config, steps=max(config.steps // 2, 1), seed=config.seed + number + 1)
        with seeded(short.seed):
            begin_heads(model)
        batches = shuffled(Heard.of(scenes, found.labels), short)
        histories.append(fit(model, loss_fn, batches, short, **fit_args))
        if number + 1 < rounds:
            found = find_objects(model, scenes, clusters, config.seed)
            labels.append(found.labels)
    return StageOneResult(model, found, labels, histories)


def solo_loss(
    model: nn.Module, batch: Heard, loss: str = "bce", pool: str = "max"
) -> dict[str, Tensor]:
    """What stage one minimises: "location", and "classes" where there are pseudo-labels.

    `loss` is one of `LOSSES` and `pool` one of `POOLS`; pictures are mirrored at random.
    """
    function, pooled = choose(LOSSES, loss, "loss"), choose(POOLS, pool, "pooling")
    out = model(mirror_at_random(batch.seen), batch.mel, pairs=True)
    location = function(pooled(out.volume))
    # every weight wants a gradient, also those of heads that have no label yet
    nothing = 0 * (out.v_logits.sum() + out.a_logits.sum())
    if (batch.label < 0).any():
        return {"loss": location + nothing, "location": location}
    classes = functional.cross_entropy(out.v_logits, batch.label)
    classes = classes + functional.cross_entropy(out.a_logits, batch.label)
    return {"loss": location + classes, "location": location, "classes": classes}


def begin_heads(model: SmallLocaliser) -> None:
    """Let the class heads begin anew, since clusters have no fixed numbers."""
    for head in (model.v_class_layer, model.a_class_layer):
        torch.nn.init.normal_(head.weight, std=0.01)
        torch.nn.init.zeros_(head.bias)


def find_objects(
    model: SmallLocaliser, scenes: Scenes, clusters: int, seed: int = 0
) -> ObjectDictionary:
    """The dictionary of what sounds in scenes of a single source."""
    return build_dictionary(features_under(model, scenes), clusters, seed)


def features_under(model: SmallLocaliser, scenes: Scenes, where: str = "map") -> Tensor:
    """Object features (N, 152), averaged under the sounding map, the true mask, or everywhere.

    `where` is "map", "truth" or "picture".
    """
    choose(UNDER, where, "place")

    def function(model: nn.Module, batch: Scenes) -> Tensor:
        out = model(batch.seen, batch.mel)
        masks = metrics.resize_maps(batch.target().float(), out.objects.shape[-1])
        maps = {"map": out.av_logits, "truth": masks, "picture": torch.zeros_like(masks)}
        return object_features(out.objects, maps[where])

    return predict(model, scenes, function)


def match(model: SmallLocaliser, entries: Tensor, solos: Scenes, classes: int) -> Matching:
    """The class of each cluster (K,), by held-out solos; see `metrics.match_clusters`."""
    return metrics.match_clusters(
        nearest(model, entries, solos), solos.label(), len(entries), classes
    )


def nearest(model: SmallLocaliser, entries: Tensor, solos: Scenes) -> Tensor:
    """The entry of the dictionary that the object of each solo resembles most, (N,)."""

    found = functional.normalize(features_under(model, solos), dim=1)
    return (found @ functional.normalize(entries, dim=1).T).argmax(1)


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The correspondence of stage one."""
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=400, full=4000),
        batch_size=by_scale(scale, smoke=16, quick=32, full=64),
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=1, quick=30, full=200),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


@lru_cache(maxsize=4)
def drawn_stage_one(seed: int, scale: str, device: str) -> tuple[StageOneResult, Tensor]:
    """Stage one of the drawn solos, with one round, and the class of each cluster (K,).

    Chapters 21, 30 and 31 and IEr's claims start from it. It is trained once on a computer and kept
    beside the features, under all code of the library, so it has no histories.
    """
    data, classes = make_data("solo", scale, seed), len(ProceduralBank().classes)
    config = replace(train_config(scale, seed, device), progress=False)
    key = {
        "what": "stage one of drawn solos",
        "config": asdict(config),
        "scale": scale,
        "code": code_digest("avcore"),
        "eye": weights_digest(eye()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }

    def train() -> dict[str, Tensor]:
        found = stage_one(data.train, classes, config)
        weights = {f"model.{name}": value for name, value in found.model.state_dict().items()}
        return {**weights, **found.dictionary._asdict()}

    kept = cached(key, train)
    model = SmallLocaliser(classes)
    prefix = "model."
    model.load_state_dict(
        {name[len(prefix) :]: value for name, value in kept.items() if name.startswith(prefix)}
    )
    dictionary = ObjectDictionary(kept["entries"], kept["labels"])
    found = StageOneResult(model.eval(), dictionary, [dictionary.labels], [])
    return found, match(found.model, found.dictionary.entries, data.val, classes).class_of
