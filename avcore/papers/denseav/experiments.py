"""The experiments behind claims D1 to D7, and the training that chapters 50 and 51 use.

Deviation: pictures of 128 pixels, sounds of 1 s, and the small networks of `denseav.small`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from avcore import metrics
from avcore.metrics import baselines
from avcore.nn import pretrained
from avcore.papers.denseav.evaluation import (
    encode,
    head_scores,
    heatmaps,
    prompted_segmentation,
    recipe_maps,
    retrieval,
    retrieval_ceiling,
)
from avcore.papers.denseav.model import DenseAV, Features
from avcore.papers.denseav.scenes import (
    CHAT,
    CHIRP,
    KINDS,
    Data,
    Prompted,
    halves,
    join,
    make_data,
)
from avcore.papers.denseav.small import small_denseav
from avcore.papers.denseav.training import Clips, Recipe, train
from avcore.support import by_scale, choose
from avcore.training import History, TrainConfig, seeded

__all__ = ["CHAT", "CHIRP", "KINDS", "Data", "Prompted", "make_data"]


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of chapters 50 and 51 and of all their claims."""
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=200, full=2000),
        batch_size=by_scale(scale, smoke=16, quick=64, full=64),
        learning_rate=1e-2,
        weight_decay=0.3,
        warmup=by_scale(scale, smoke=1, quick=30, full=200),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def fit_small(
    clips: Clips,
    config: TrainConfig,
    recipe: Recipe,
    heads: int = 1,
    start: str = "frozen",
    **fit_args,
) -> tuple[DenseAV, History]:
    """A small DenseAV whose new weights are drawn from the configuration's seed, trained."""
    with seeded(config.seed):
        model = small_denseav(heads, start=start)
    return model, train(model, clips, config, recipe, **fit_args)


def measure(model: DenseAV, prompted: Prompted, recipe: Recipe) -> dict[str, float]:
    """What a network reaches on held-out scenes, and its yardsticks.

    AP, oracle IoU and pointing of its maps; pointing with the wrong sound (another scene's, of
    another class); the best AP of baselines that never listen; recall at 10 averaged over both
    ways, and the recall of one who knows all classes.
    """
    features, mask = encode(model, prompted.clips)
    maps = recipe_maps(features, mask, model.heads, recipe)
    wrong = recipe_maps(*wrong_sounds(features, mask, prompted), model.heads, recipe)
    found = retrieval(features, mask, model.heads, recipe)
    trivial = {name: segmented(each, prompted)["ap"] for name, each in unheard(prompted).items()}
    return {
        **segmented(maps, prompted),
        "pointing": pointing(maps, prompted),
        "wrong_sound_pointing": pointing(wrong, prompted),
        "trivial_ap": max(trivial.values()),
        "recall@10": (found["A_r10"] + found["I_r10"]) / 2,
        "recall@10_ceiling": retrieval_ceiling(prompted.fits),
        "whole_picture_ap": trivial["whole picture"],
    }


def segmented(maps: Tensor, prompted: Prompted) -> dict[str, float]:
    """AP and oracle IoU of maps."""
    return prompted_segmentation(maps, prompted.target, prompted.class_id)


def pointing(maps: Tensor, prompted: Prompted) -> float:
    """The share of scenes in which the peak is on what is heard or named."""
    large = metrics.resize_maps(maps, prompted.target.shape[-1])
    return metrics.pointing(large, prompted.target).mean().item()


def wrong_sounds(features: Features, mask: Tensor, prompted: Prompted) -> tuple[Features, Tensor]:
    """Each picture with the next scene's sound in which another class is heard."""
    other = prompted.others
    swapped = features._replace(
        audio=features.audio[other], audio_token=features.audio_token[other]
    )
    return swapped, mask[other]


def unheard(prompted: Prompted) -> dict[str, Tensor]:
    """Maps of baselines that never listen: everything, the centre, colours that stand out."""
    shape = prompted.target.shape
    return {
        "whole picture": baselines.everything(shape),
        "centre": baselines.centre(shape),
        "saliency": baselines.saliency(prompted.image),
    }


def baseline_maps(
    model: DenseAV, prompted: Prompted, features: Features, mask: Tensor
) -> dict[str, Tensor]:
    """Maps of trivial baselines: what a network has to beat.

    Those that are `unheard`; and the network itself, hearing a scene of another class ("wrong
    sound") or nothing ("silence").
    """
    samples = round(CHIRP.duration * CHIRP.sample_rate)
    device = features.log_scale.device
    with torch.no_grad():
        quiet = model.eval().front(torch.zeros(1, samples, device=model.log_scale.device))
        audio = model.hear(quiet)[0].to(device).expand_as(features.audio)
    return {
        **unheard(prompted),
        "wrong sound": heatmaps(*wrong_sounds(features, mask, prompted), model.heads),
        "silence": heatmaps(features._replace(audio=audio), torch.ones_like(mask), model.heads),
    }


SOUND_RECIPES = {
    "mean over time, max over space": Recipe(pool="misa"),
    "max over time and space": Recipe(pool="mima"),
    "mean over time and space": Recipe(pool="sisa"),
    "global features": Recipe(pool="global"),
    "class token": Recipe(pool="cls"),
    "SimPool": Recipe(pool="simpool"),
}


def sound_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claims D1, D2, D7: one head, scenes with sounds, one way to pool the volume (`variant`).

    "ahead" is how far retrieval runs ahead of localisation: recall at 10 minus pointing, each
    rescaled so that chance is 0 and the best possible 1; for recall that is its ceiling.
    """
    pretrained.check(scale)
    recipe = choose(SOUND_RECIPES, variant, "variant")
    data = make_data(("chirp",), scale, seed)
    config = replace(train_config(scale, seed, device), progress=False)
    model, _ = fit_small(data.train, config, recipe)
    values = measure(model, data.test["chirp"], recipe)
    values["recall"] = rescaled(
        values["recall@10"], 10 / len(data.test["chirp"].clips), values["recall@10_ceiling"]
    )
    located = rescaled(values["pointing"], values["whole_picture_ap"], 1.0)
    return {**values, "ahead": values["recall"] - located}


def rescaled(value: float, chance: float, best: float) -> float:
    """A score with chance at 0 and the best possible at 1."""
    return (value - chance) / (best - chance) if best > chance else 0.0


PLAIN = Recipe()
UNSTABLE = replace(PLAIN, smoothness=0, nonnegative=0, silence=0, balance=0)
MIXED_RECIPES = {
    "two heads": (2, PLAIN),
    "two heads, no disentangling": (2, replace(PLAIN, disentangle=0)),
    "one head, channels split": (1, PLAIN),
    "no stability terms": (2, UNSTABLE),
    "no smoothness": (2, replace(PLAIN, smoothness=0)),
    "no nonnegative pressure": (2, replace(PLAIN, nonnegative=0)),
    "no silence term": (2, replace(PLAIN, silence=0)),
    "no temperature balance": (2, replace(PLAIN, balance=0)),
}
SAME, DIFFERENT, SOUNDS = "same pictures", "different pictures", "all sounds"
CONDITIONS = (SAME, DIFFERENT, SOUNDS)


def two_sets(
    condition: str, scale: str, seed: int, counts: tuple[int, int, int] | None = None
) -> Data:
    """Two sets of scenes, called "chat" and "chirp", under one of `CONDITIONS`.

    "same pictures": words and sounds of all classes; "different pictures": words about one half
    of the classes, sounds of the other; "all sounds": sounds of both halves, so that no scene has
    a word. `counts` of training, validation and test scenes of each set are the scale's where they
    are not given.
    """
    counts = counts or by_scale(
        scale, smoke=(32, 16, 16), quick=(1200, 100, 300), full=(10_000, 500, 1000)
    )
    ours, theirs = (None, None) if condition == SAME else halves()
    kind = "chirp" if condition == SOUNDS else "chat"
    first = make_data((kind,), scale, seed, ours, counts)
    second = make_data(("chirp",), scale, seed + 1000, theirs, counts)
    return Data(
        join([first.train, second.train]),
        {"chat": first.val[kind], "chirp": second.val["chirp"]},
        {"chat": first.test[kind], "chirp": second.test["chirp"]},
    )


def mixed_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claims D3, D4, D5: two sets of scenes, such as words and sounds.

    `variant` is one of `MIXED_RECIPES`, or, after a colon, with one of `CONDITIONS` (the first by
    default). "one head, channels split" is one head whose channels are cut in two after training:
    the two halves that anyone can make.
    """
    pretrained.check(scale)
    name, _, condition = variant.partition(": ")
    heads, recipe = choose(MIXED_RECIPES, name, "variant")
    data = two_sets(choose(CONDITIONS, condition or SAME, "condition"), scale, seed)
    config = replace(train_config(scale, seed, device), progress=False)
    model, history = fit_small(data.train, config, recipe, heads)
    values = _measure_kinds(model, data.test, recipe)
    return {
        **values,
        **course(history, values, config.batch_size),
        **head_disentanglement(model, data.test),
    }


def _measure_kinds(model: DenseAV, kinds: dict[str, Prompted], recipe: Recipe) -> dict[str, float]:
    """`measure` of each kind by its name, and the means over the kinds."""
    found = {kind: measure(model, prompted, recipe) for kind, prompted in kinds.items()}
    values = {f"{kind}_{name}": v for kind, each in found.items() for name, v in each.items()}
    names = next(iter(found.values()))
    return values | {name: sum(e[name] for e in found.values()) / len(found) for name in names}


def course(history: History, values: dict[str, float], batch_size: int) -> dict[str, float]:
    """How a training went.

    "nce": InfoNCE over the last twenty steps. "spikes": steps whose InfoNCE lies by more than half
    a nat above the median of the twenty before. "collapsed": 1 where the training ended no better
    than knowing nothing: InfoNCE above nine tenths of ln(batch size), or an AP that a baseline
    reaches which never listens.
    """
    losses = history["nce"]
    last = sum(losses[-20:]) / len(losses[-20:])
    before = (median(losses[step - 20 : step]) for step in range(20, len(losses)))
    spikes = sum(now > usual + 0.5 for now, usual in zip(losses[20:], before, strict=True))
    collapsed = last > 0.9 * math.log(batch_size) or values["ap"] <= values["trivial_ap"]
    return {"nce": last, "spikes": float(spikes), "collapsed": float(collapsed)}


def head_disentanglement(
    model: DenseAV, kinds: dict[str, Prompted], heads: int = 2
) -> dict[str, float]:
    """Pred.Dis and Act.Dis of the own pairs of words and of sounds."""
    scores = [head_scores(*encode(model, kinds[kind].clips), heads) for kind in ("chat", "chirp")]
    return metrics.head_disentanglement(*scores)


def warm_up_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claim D6: new aligners, and backbones that learn further, with and without a warm-up.

    The eye's last blocks and the ear learn with the aligners, on scenes with sounds and names. In
    the variant "warm-up" the aligners alone learn for the first quarter of the steps.
    """
    choose(("warm-up", "no warm-up"), variant, "variant")
    config = replace(train_config(scale, seed, device), progress=False)
    short = replace(
        config, steps=by_scale(scale, smoke=4, quick=150, full=2000), learning_rate=1e-3
    )
    recipe = replace(PLAIN, warm_up=short.steps // 4 if variant == "warm-up" else 0)
    counts = by_scale(scale, smoke=(32, 16, 16), quick=(1000, 50, 300), full=(10_000, 500, 1000))
    data = make_data(("chirp", "chat"), scale, seed, counts=counts, start="tuned")
    model, history = fit_small(data.train, short, recipe, heads=2, start="tuned")
    values = _measure_kinds(model, data.test, recipe)
    return {**values, **course(history, values, config.batch_size)}
