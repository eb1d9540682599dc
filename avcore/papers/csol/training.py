"""Stage two: mixtures of several sources, of which the dictionary knows the kinds."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import Scenes
from avcore.class_aware.solos import Heard
from avcore.nn.losses import distribution_loss
from avcore.nn.pictures import mirror_at_random
from avcore.papers.csol.losses import LOCATION, location_loss
from avcore.training import History, TrainConfig, fit, predict, shuffled

POOLED = 4.0  # sharpens the means of the class maps before their softmax


def stage_two(
    start: SmallLocaliser,
    dictionary: Tensor | None,
    scenes: Scenes,
    config: TrainConfig,
    silent_filter: str = "soft",
    told: Tensor | None = None,
    **fit_args,
) -> tuple[SmallLocaliser, History]:
    """From the network of stage one: what is seen to sound shall be what is heard.

    The sound's classes are told by `start`, which stays as it is, or by `told`, the logits of the
    clusters of each scene (N, K). Without a dictionary only the localisation is trained on
    mixtures, as a class-agnostic rival would be.
    """
    model = copy.deepcopy(start)
    if told is None and dictionary is not None:
        told = tell(start, scenes)

    def loss_fn(model: nn.Module, batch: Heard) -> dict[str, Tensor]:
        return mixture_loss(model, batch, dictionary, silent_filter)

    history = fit(model, loss_fn, shuffled(Heard.of(scenes, told), config), config, **fit_args)
    return model, history


def tell(teacher: SmallLocaliser, scenes: Scenes) -> Tensor:
    """The logits of the clusters that a teacher hears in each scene, (N, K).

    Training does not change the sounds, so they are heard once.
    """
    return predict(teacher, scenes, lambda model, part: model(part.seen, part.mel).a_logits)


def mixture_loss(
    model: nn.Module,
    batch: Heard,
    dictionary: Tensor | None,
    silent_filter: str = "soft",
    pooled: float = POOLED,
) -> dict[str, Tensor]:
    """What stage two minimises: "kl" of seen and told classes and, with `LOCATION`, "location".

    `batch.label` are the logits of the clusters that are told to sound; `pooled` sharpens the means
    of the class maps; pictures are mirrored at random.
    """
    seen = mirror_at_random(batch.seen)
    entries = None if dictionary is None else dictionary.to(seen.device)
    out = model(seen, batch.mel, entries, silent_filter, pairs=True)
    location = location_loss(out.volume)
    unused = 0 * (out.v_logits.sum() + out.a_logits.sum())
    if out.class_maps is None:
        return {"loss": location + unused, "location": location}
    kl = distribution_loss(pooled * out.class_maps.mean((2, 3)), batch.label.softmax(1))
    return {"loss": kl + LOCATION * location + unused, "kl": kl, "location": location}
