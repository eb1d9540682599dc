"""The experiments behind claims D1 to D7, and the scenes and training that chapters 50 and 51 use.

Two kinds of scenes stand for AudioSet and PlacesAudio: in a *chirp* a thing is heard, in a *chat*
an unseen voice says the name of a thing that is seen. Evaluation scenes show two things, one of
them silent and unnamed. Deviation: pictures of 64 pixels, sounds of 1 s, small backbones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avcore import metrics
from avcore.metrics import baselines
from avcore.papers.denseav.evaluation import (
    encode,
    head_scores,
    heatmaps,
    prompted_segmentation,
    retrieval,
)
from avcore.papers.denseav.model import DenseAV, Features
from avcore.papers.denseav.small import small_denseav
from avcore.papers.denseav.training import Clips, Recipe, train
from avcore.stage import STILL, AssetBank, SceneBatch, render_splits
from avcore.support import by_scale, choose
from avcore.training import History, TrainConfig, seeded

CHIRP = replace(STILL, size=64)
CHAT = replace(CHIRP, sounding=(0, 0), names=(1, 1))
KINDS = {"chirp": CHIRP, "chat": CHAT}


@dataclass(frozen=True)
class Prompted:
    """Clips with what was heard in them, and where it is seen: for evaluation alone."""

    clips: Clips
    target: Tensor  # (N, H, W) bool
    class_id: Tensor  # (N,)

    @classmethod
    def of(cls, batch: SceneBatch) -> Prompted:
        """The one class that sounds or is named in each scene, and the pixels that show it."""
        heard = torch.where(batch.sounding, batch.class_id, -1).amax(1)
        shown = batch.visible & (batch.class_id == heard[:, None])
        target = (batch.masks & shown[:, :, None, None, None]).any(1)[:, 0]
        return cls(Clips.of(batch), target, heard)


@dataclass(frozen=True)
class Data:
    """What is learned from, and held-out scenes of each kind."""

    train: Clips
    val: dict[str, Prompted]
    test: dict[str, Prompted]


def make_data(
    kinds: tuple[str, ...],
    scale: str,
    seed: int,
    bank: AssetBank | None = None,
    counts: tuple[int, int, int] | None = None,
    objects: tuple[int, int] = (1, 1),
) -> Data:
    """Scenes of "chirp", "chat" or both; `counts` of each kind in training, validation and test.

    Training scenes show `objects`, the others two. Splits share no scene, voice or performance.
    """
    counts = counts or by_scale(
        scale, smoke=(32, 16, 16), quick=(4000, 150, 300), full=(20_000, 500, 1000)
    )

    workers = by_scale(scale, smoke=0, quick=2, full=8)
    parts, val, test = [], {}, {}
    for kind in kinds:
        learn = replace(KINDS[kind], objects=objects)
        scenes = render_splits(learn, KINDS[kind], counts, bank, seed, workers)
        parts.append(Clips.of(scenes.train))
        val[kind], test[kind] = Prompted.of(scenes.val), Prompted.of(scenes.test)
    return Data(join(parts), val, test)


def join(parts: list[Clips]) -> Clips:
    """Several sets of clips as one."""
    return Clips(*(torch.cat([getattr(p, name) for p in parts]) for name in Clips.__annotations__))


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of chapters 50 and 51 and of all their claims."""
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=600, full=6000),
        batch_size=by_scale(scale, smoke=16, quick=64, full=64),
        learning_rate=1e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=1, quick=30, full=200),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def fit_small(
    clips: Clips, config: TrainConfig, recipe: Recipe, heads: int = 1, **fit_args
) -> tuple[DenseAV, History]:
    """A small DenseAV trained from scratch, its beginning drawn from the configuration's seed."""
    with seeded(config.seed):
        model = small_denseav(heads)
    return model, train(model, clips, config, recipe, **fit_args)


def measure(model: DenseAV, prompted: Prompted, recipe: Recipe) -> dict[str, float]:
    """AP, oracle IoU, pointing, and recall at 10 averaged over both ways, on held-out scenes."""
    features, mask = encode(model, prompted.clips)
    maps = heatmaps(features, mask, model.heads)
    size = prompted.target.shape[-1]
    found = retrieval(features, mask, model.heads, recipe)
    return {
        **prompted_segmentation(maps, prompted.target, prompted.class_id),
        "pointing": metrics.pointing(metrics.resize_maps(maps, size), prompted.target)
        .mean()
        .item(),
        "recall@10": (found["A_r10"] + found["I_r10"]) / 2,
        "whole_picture_ap": prompted.target.float().mean().item(),
    }


SOUND_RECIPES = {
    "mean over time, max over space": Recipe(pool="misa"),
    "max over time and space": Recipe(pool="mima"),
    "mean over time and space": Recipe(pool="sisa"),
    "global features": Recipe(pool="global"),
}


def sound_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claims D1, D2, D7: one head, scenes with sounds, one way to pool the volume (`variant`).

    "ahead" is how far retrieval runs ahead of localisation: recall at 10 minus pointing, each
    rescaled so that chance is 0 and perfection 1.
    """
    recipe = choose(SOUND_RECIPES, variant, "variant")
    data = make_data(("chirp",), scale, seed, objects=(1, 2))
    config = replace(train_config(scale, seed, device), progress=False)
    model, _ = fit_small(data.train, config, recipe)
    values = measure(model, data.test["chirp"], recipe)
    chance = 10 / len(data.test["chirp"].clips)
    area = values["whole_picture_ap"]
    recall = (values["recall@10"] - chance) / (1 - chance)
    values["ahead"] = recall - (values["pointing"] - area) / (1 - area)
    return values


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


def mixed_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claims D3, D4, D5: scenes with sounds and scenes with names; see `MIXED_RECIPES`.

    "one head, channels split" is one head whose channels are cut in two after training: the two
    halves that anyone can make.
    """
    heads, recipe = choose(MIXED_RECIPES, variant, "variant")
    data = make_data(("chirp", "chat"), scale, seed)
    config = replace(train_config(scale, seed, device), progress=False)
    model, history = fit_small(data.train, config, recipe, heads)
    return {
        **_measure_kinds(model, data.test, recipe, history),
        **head_disentanglement(model, data.test),
    }


def _measure_kinds(
    model: DenseAV, kinds: dict[str, Prompted], recipe: Recipe, history: History
) -> dict[str, float]:
    """`measure` of each kind, the mean of their AP, and the last 20 values of InfoNCE averaged."""
    values = {
        f"{kind}_{name}": value
        for kind, prompted in kinds.items()
        for name, value in measure(model, prompted, recipe).items()
    }
    last = history["nce"][-20:]
    values["ap"] = sum(values[f"{kind}_ap"] for kind in kinds) / len(kinds)
    return {**values, "nce": sum(last) / len(last)}


def head_disentanglement(
    model: DenseAV, kinds: dict[str, Prompted], heads: int = 2
) -> dict[str, float]:
    """Pred.Dis and Act.Dis of the own pairs of words and of sounds."""
    scores = [head_scores(*encode(model, kinds[kind].clips), heads) for kind in ("chat", "chirp")]
    return metrics.head_disentanglement(*scores)


def warm_up_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claim D6: new aligners on backbones that know sounds already, with and without a warm-up.

    Both variants start from the same backbones, trained on scenes with sounds; the aligners are
    drawn anew, and half of the usual steps follow on scenes with sounds and names. In the
    variant "warm-up" the backbones are left alone for the first quarter of them.
    """
    choose(("warm-up", "no warm-up"), variant, "variant")
    config = replace(train_config(scale, seed, device), progress=False)
    short = replace(config, steps=max(config.steps // 2, 2))
    chirps = make_data(("chirp",), scale, seed).train
    taught, _ = fit_small(chirps, config, PLAIN, heads=2)
    with seeded(seed + 1):
        model = small_denseav(heads=2).to(taught.log_scale.device)
    model.image_encoder.load_state_dict(taught.image_encoder.state_dict())
    model.audio_encoder.load_state_dict(taught.audio_encoder.state_dict())
    warm_up = max(short.steps // 4, 1) if variant == "warm-up" else 0
    data = make_data(("chirp", "chat"), scale, seed)
    history = train(model, data.train, short, replace(PLAIN, warm_up=warm_up))
    return _measure_kinds(model, data.test, PLAIN, history)


def baseline_maps(
    model: DenseAV, prompted: Prompted, features: Features, mask: Tensor
) -> dict[str, Tensor]:
    """Maps (N, h, w) of trivial baselines: what a network has to beat.

    "whole picture" and "centre" never listen; the network itself hears another scene ("permuted
    sound") or nothing ("silence").
    """
    maps = heatmaps(features, mask, model.heads)
    other = features._replace(audio=features.audio.roll(1, 0))
    hushed = replace(
        prompted.clips,
        heard=torch.full_like(prompted.clips.heard, prompted.clips.heard.min().item()),
    )
    silent, _ = encode(model, hushed)
    return {
        "whole picture": baselines.everything(maps.shape),
        "centre": baselines.centre(maps.shape),
        "permuted sound": heatmaps(other, mask.roll(1, 0), model.heads),
        "silence": heatmaps(silent, torch.ones_like(mask), model.heads),
    }
