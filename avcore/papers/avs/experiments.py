"""The experiments behind claims A1 to A8, and the data and training of chapters 40 and 41.

All networks of a seed see by the same frozen eye, hear by the same frozen ear and learn from the
same clips in the same order. On S4 they learn from first frames alone, each with its second of
sound; on MS3 each starts from the S4 network of its own fusion, as the paper's optional start.
Deviations: clips of 128×128 pixels, a small network, batches of sixteen first frames on S4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from avcore import metrics
from avcore.nn import pretrained
from avcore.papers.avs import localizers
from avcore.papers.avs.clips import Clips, draw_clips, silence
from avcore.papers.avs.evaluation import measure, scores
from avcore.papers.avs.scenes import find_setting
from avcore.papers.avs.small import FUSIONS, SmallAVS
from avcore.papers.avs.training import Recipe, train
from avcore.stage import SPLITS, AssetBank
from avcore.support import Splits, by_scale, choose
from avcore.training import History, TrainConfig, seeded

MATCHING = 0.5  # the published weight of the matching loss
START = "S4"  # the setting whose networks the others start from


class Size(NamedTuple):
    """Clips to learn from and steps of the training at quick scale."""

    clips: int
    steps: int


def size_of(setting: str) -> Size:
    """MS3 has fewer clips than the settings with first frames; "pair" is for a chapter's figure."""
    if find_setting(setting).labelled > 1:
        return Size(400, 300)
    return Size(3000, 1200) if setting == "pair" else Size(2000, 800)


@dataclass(frozen=True)
class Data(Splits[Clips]):
    """Clips of a setting; and what silence is to the ear, (128,)."""

    silence: Tensor


def make_data(
    setting: str,
    scale: str,
    seed: int,
    bank: AssetBank | None = None,
    counts: tuple[int, int, int] | None = None,
) -> Data:
    """Clips to learn from, to choose on and to be measured on."""
    size = size_of(setting)
    counts = counts or by_scale(
        scale,
        smoke=(16, 8, 8),
        quick=(size.clips, 40, 100),
        full=(10 * size.clips, 100, 500),
    )
    workers = by_scale(scale, smoke=0, quick=2, full=8)
    train, val, test = (
        draw_clips(setting, split, count, seed, bank, workers)
        for split, count in zip(SPLITS, counts, strict=True)
    )
    return Data(train, val, test, silence())


def train_config(scale: str, seed: int, device: str = "auto", setting: str = START) -> TrainConfig:
    """The training of chapters 40 and 41 and of all their claims, on first frames or on clips."""
    few, steps = find_setting(setting).labelled > 1, size_of(setting).steps
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=steps, full=6 * steps),
        batch_size=4 if few else by_scale(scale, smoke=4, quick=16, full=16),
        learning_rate=2e-3 if few else 3e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=1, quick=40, full=300),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def fit_small(
    fusion: str,
    clips: Clips,
    config: TrainConfig,
    recipe: Recipe | None = None,
    start: SmallAVS | None = None,
    **fit_args,
) -> tuple[SmallAVS, History]:
    """A small AVS trained on clips, its weights drawn from the configuration's seed.

    With `start` it goes on from that network's weights. Without a recipe all masks of the clips
    are seen and nothing is matched.
    """
    with seeded(config.seed):
        model = SmallAVS(fusion)
    if start is None:
        model.measure(clips.maps, clips.heard)
    else:
        model.load_state_dict(start.state_dict())
    recipe = recipe or Recipe(clips.masks.shape[1])
    return model, train(model, clips, config, recipe, **fit_args)


@dataclass(frozen=True)
class Variant:
    """One network of the comparison.

    Attributes
    ----------
    setting, fusion, matching
        Where it is trained and measured, how the sound comes in, the weight of the matching loss.
    started
        Whether it starts from the S4 network of its fusion.
    few
        How many of the clips it learns from; None for all of them.
    long
        Whether it takes the steps of both phases, S4's and its own.
    """

    setting: str
    fusion: str = "TPAVI"
    matching: float = 0.0
    started: bool = False
    few: int | None = None
    long: bool = False


FEW = 60  # labelled clips of the scarce MS3
HEARING = ("TPAVI", "addition")
WORLDS = ("MS3 with pauses", "MS3 still", "MS3 still with pauses")  # beside "MS3", for A2
VARIANTS = {
    **{f"S4, {fusion}": Variant("S4", fusion) for fusion in FUSIONS},
    **{f"solo, {fusion}": Variant("solo", fusion) for fusion in ("addition", "no sound")},
    **{f"pair, {fusion}": Variant("pair", fusion) for fusion in (*HEARING, "no sound")},
    **{f"MS3, {fusion}": Variant("MS3", fusion, started=True) for fusion in FUSIONS},
    **{f"{w}, {fusion}": Variant(w, fusion, started=True) for w in WORLDS for fusion in HEARING},
    "MS3 large, TPAVI": Variant("MS3 large", started=True),
    "MS3 large, TPAVI with matching": Variant("MS3 large", matching=MATCHING, started=True),
    "MS3 scarce, TPAVI after S4": Variant("MS3", started=True, few=FEW),
    "MS3 scarce, TPAVI from nothing": Variant("MS3", few=FEW, long=True),
}
UNLABELLED = {f"MS3, {name}": name for name in localizers.LOSSES}


def segmentation_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims A2 to A8: one network, measured on the held-out clips of its setting.

    Beside the values of `evaluation.measure`, for localisers of `scores`, stands "blind_miou":
    what a perfect segmenter scores that marks all visible objects and never listens.
    """
    pretrained.check(scale)
    ways = dict.fromkeys(VARIANTS, _measured) | dict.fromkeys(UNLABELLED, _measured_localizer)
    return dict(choose(ways, variant, "variant")(variant, seed, scale, device))


def gain_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claim A1: what the sound adds to each score in a setting, "S4" or "MS3"; "gain_miou", …

    The scores of the network that listens stand beside the gains.
    """
    pretrained.check(scale)
    choose((START, "MS3"), variant, "variant")
    with_sound, without = (
        _measured(f"{variant}, {fusion}", seed, scale, device) for fusion in ("TPAVI", "no sound")
    )
    gains = {f"gain_{name}": with_sound[name] - value for name, value in without.items()}
    return {**with_sound, **gains}


@lru_cache(maxsize=4)
def _data(setting: str, seed: int, scale: str) -> Data:
    return make_data(setting, scale, seed)


@lru_cache(maxsize=512)
def _trained(name: str, seed: int, scale: str, device: str) -> SmallAVS:
    """The network of a variant, trained; one process trains each only once."""
    variant = VARIANTS[name]
    start = None
    if variant.started:
        start = _trained(f"{START}, {variant.fusion}", seed, scale, device)
    seen = _data(variant.setting, seed, scale).train
    if variant.few:
        seen = seen[: variant.few]
    config = _quiet(scale, seed, device, variant.setting)
    if variant.long:
        config = replace(config, steps=config.steps + _quiet(scale, seed, device).steps)
    recipe = Recipe(find_setting(variant.setting).labelled, variant.matching)
    return fit_small(variant.fusion, seen, config, recipe, start)[0]


@lru_cache(maxsize=512)
def _measured(name: str, seed: int, scale: str, device: str) -> dict[str, float]:
    model, data = _trained(name, seed, scale, device), _data(VARIANTS[name].setting, seed, scale)
    return measure(model, data.test, data.silence)


@lru_cache(maxsize=512)
def _measured_localizer(name: str, seed: int, scale: str, device: str) -> dict[str, float]:
    """A localiser that learns from the first frames of S4 without their masks.

    It sees as many of them as the S4 networks, in batches twice as large. Where its map is cut is
    chosen on the masks of validation.
    """
    unlabelled, data = _data(START, seed, scale), _data("MS3", seed, scale)
    with seeded(seed):
        model = localizers.Localizer()
    config = _quiet(scale, seed, device)
    config = replace(config, steps=-(-config.steps // 2), batch_size=2 * config.batch_size)
    localizers.train(model, unlabelled.train, config, UNLABELLED[name])
    cut = best_cut(localizers.localise(model, data.val), data.val.masks)
    return scores(localizers.localise(model, data.test) - cut, data.test.masks)


def _quiet(scale: str, seed: int, device: str, setting: str = START) -> TrainConfig:
    return replace(train_config(scale, seed, device, setting), progress=False)


def best_cut(maps: Tensor, masks: Tensor, candidates: int = 40) -> float:
    """The limit with the highest mean IoU, maps and masks (N, T, H, W); for validation clips."""
    frames, truth = maps.flatten(0, 1), masks.flatten(0, 1)
    limits = torch.linspace(maps.min(), maps.max(), candidates)
    found = torch.tensor([metrics.mask_iou(frames - limit, truth) for limit in limits])
    return limits[found.argmax()].item()
