"""The experiments behind claims A1 to A8, and the clips and training of chapters 40 and 41.

All networks of a seed start from the same taught streams and see the same clips, in the same
order, for the same number of steps. Deviations: clips of 64×64 pixels, a small network, batches
of four clips as published.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from avcore import metrics
from avcore.audio import log_mel
from avcore.papers.avs import localizers
from avcore.papers.avs.evaluation import f_by_batch, other_sounds, scores
from avcore.papers.avs.model import AVSModel
from avcore.papers.avs.naming import Namer, listen, teach
from avcore.papers.avs.scenes import SETTINGS, ClipMaker, Clips, find_setting
from avcore.papers.avs.small import small_avs
from avcore.papers.avs.training import Recipe, segment, train
from avcore.stage import AssetBank
from avcore.support import Splits, by_scale, choose
from avcore.training import History, TrainConfig, seeded

MATCHING = 0.5  # the published weight of the matching loss


@dataclass(frozen=True)
class Data(Splits[Clips]):
    """Clips of a setting whose sound a listener has heard; and what silence is to it, (128,)."""

    silence: Tensor


def make_data(
    setting: str,
    scale: str,
    seed: int,
    namer: Namer,
    bank: AssetBank | None = None,
    counts: tuple[int, int, int] | None = None,
) -> Data:
    """Clips to learn from, to choose on and to be measured on; MS3 has fewer to learn from."""
    few = find_setting(setting).labelled > 1
    counts = counts or by_scale(
        scale,
        smoke=(16, 8, 8),
        quick=(800, 40, 120) if few else (1000, 40, 120),
        full=(3000, 64, 500) if few else (12_000, 200, 500),
    )
    maker, workers = ClipMaker(setting, bank, seed), by_scale(scale, smoke=0, quick=2, full=8)
    parts = [
        maker.draw(split, count, workers=workers)
        for split, count in zip(("train", "val", "test"), counts, strict=True)
    ]
    train, val, test = (replace(p, heard=listen(namer.listener, p.heard)) for p in parts)
    return Data(train, val, test, silence(namer, maker.stage.config.sample_rate))


def silence(namer: Namer, sample_rate: int = 16_000) -> Tensor:
    """What the listener makes of a second of nothing, (128,)."""
    return listen(namer.listener, log_mel(torch.zeros(1, sample_rate))[None])[0, 0]


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of chapters 40 and 41 and of all their claims."""
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=720, full=8000),
        batch_size=4,
        learning_rate=1e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=1, quick=20, full=200),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def fit_small(
    fusion: str,
    clips: Clips,
    config: TrainConfig,
    recipe: Recipe,
    namer: Namer,
    start: AVSModel | None = None,
    **fit_args,
) -> tuple[AVSModel, History]:
    """A small AVS on the taught encoder, its other weights drawn from the configuration's seed.

    With `start` it goes on from that network's weights.
    """
    with seeded(config.seed):
        model = small_avs(fusion, encoder=namer.encoder)
    if start is not None:
        model.load_state_dict(start.state_dict())
    return model, train(model, clips, config, recipe, **fit_args)


@dataclass(frozen=True)
class Variant:
    """One network of the comparison: where it is trained, how the sound comes in, how it starts."""

    setting: str
    fusion: str = "TPAVI"
    matching: float = 0.0
    from_single: bool = False


VARIANTS = {
    "S4, TPAVI": Variant("S4"),
    "S4, addition": Variant("S4", "addition"),
    "S4, no sound": Variant("S4", "no sound"),
    "MS3, TPAVI": Variant("MS3"),
    "MS3, addition": Variant("MS3", "addition"),
    "MS3, no sound": Variant("MS3", "no sound"),
    "MS3, TPAVI with matching": Variant("MS3", matching=MATCHING),
    "MS3, TPAVI after S4": Variant("MS3", from_single=True),
    "MS3, video convolution": Variant("MS3", "video convolution"),
    "MS3, video self-attention": Variant("MS3", "video self-attention"),
}
UNLABELLED = {f"MS3, {name}": name for name in localizers.LOSSES}


def segmentation_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims A2 to A6: one network, measured on the held-out clips of its setting.

    Beside `scores`, the same with other sounds: "silence_…" and "permuted_…".
    """
    ways = dict.fromkeys(VARIANTS, _measured) | dict.fromkeys(UNLABELLED, _measured_localizer)
    return dict(choose(ways, variant, "variant")(variant, seed, scale, device))


def gain_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claim A1: what the sound adds to the mean IoU in a setting, "S4" or "MS3"."""
    find_setting(variant)
    with_sound, without = (
        _measured(f"{variant}, {fusion}", seed, scale, device) for fusion in ("TPAVI", "no sound")
    )
    return {f"gain_{name}": value - without[name] for name, value in with_sound.items()}


def scoring_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claim A7: one network and one test set, scored in four ways.

    "as coded" and "frames with a source" differ in the frames that the IoU counts; "one clip a
    batch" and "one batch" in the batch whose best threshold the F-measure takes.
    """
    model, data = _trained("MS3, TPAVI", seed, scale, device)
    logits, masks = segment(model, data.test), data.test.masks
    values = scores(logits, masks)
    ways = {
        "as coded": {"iou": values["miou"], "f": values["f"]},
        "frames with a source": {"iou": values["miou_filled"], "f": values["f"]},
        "one clip a batch": {"iou": values["miou"], "f": f_by_batch(logits, masks, 1)},
        "one batch": {"iou": values["miou"], "f": values["f_whole"]},
    }
    return choose(ways, variant, "variant")


SOUNDS = {"own sound": "", "silence": "silence_", "permuted": "permuted_"}


def sound_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claim A8: one network of a setting, the same frames, another sound: "S4, silence".

    The sounds are "own sound", "silence" and "permuted" (another clip's).
    """
    known = {f"{setting}, {sound}": (setting, sound) for setting in SETTINGS for sound in SOUNDS}
    setting, sound = choose(known, variant, "variant")
    values = _measured(f"{setting}, TPAVI", seed, scale, device)
    return {name: values[SOUNDS[sound] + name] for name in ("miou", "miou_filled", "area")}


@lru_cache(maxsize=4)
def _taught(seed: int, scale: str, device: str) -> Namer:
    return teach(scale, seed, device=device)


@lru_cache(maxsize=8)
def _data(setting: str, seed: int, scale: str, device: str) -> Data:
    return make_data(setting, scale, seed, _taught(seed, scale, device))


@lru_cache(maxsize=32)
def _trained(name: str, seed: int, scale: str, device: str) -> tuple[AVSModel, Data]:
    """The network of a variant, trained; one process trains each only once."""
    variant = VARIANTS[name]
    data = _data(variant.setting, seed, scale, device)
    start = _trained("S4, TPAVI", seed, scale, device)[0] if variant.from_single else None
    recipe = Recipe(SETTINGS[variant.setting].labelled, variant.matching)
    config = replace(train_config(scale, seed, device), progress=False)
    namer = _taught(seed, scale, device)
    model, _ = fit_small(variant.fusion, data.train, config, recipe, namer, start)
    return model, data


@lru_cache(maxsize=64)
def _measured(name: str, seed: int, scale: str, device: str) -> dict[str, float]:
    model, data = _trained(name, seed, scale, device)
    values = scores(segment(model, data.test), data.test.masks)
    for sound, clips in other_sounds(data.test, data.silence).items():
        other = scores(segment(model, clips), clips.masks)
        values |= {f"{sound}_{key}": value for key, value in other.items()}
    return values


@lru_cache(maxsize=32)
def _measured_localizer(name: str, seed: int, scale: str, device: str) -> dict[str, float]:
    """A localiser without masks; where its map is cut is chosen on the masks of validation."""
    namer, data = _taught(seed, scale, device), _data("MS3", seed, scale, device)
    config = replace(train_config(scale, seed, device), progress=False)
    with seeded(seed):
        model = localizers.Localizer(small_avs("no sound", encoder=namer.encoder))
    localizers.train(model, data.train, config, UNLABELLED[name])
    cut = best_cut(localizers.localise(model, data.val), data.val.masks)
    return scores(localizers.localise(model, data.test) - cut, data.test.masks)


def best_cut(maps: Tensor, masks: Tensor, candidates: int = 40) -> float:
    """The limit with the highest mean IoU, maps and masks (N, T, H, W); for validation clips."""
    frames, truth = maps.flatten(0, 1), masks.flatten(0, 1)
    limits = torch.linspace(maps.min(), maps.max(), candidates)
    found = torch.tensor([metrics.mask_iou(frames - limit, truth) for limit in limits])
    return limits[found.argmax()].item()
