"""Claims N1 and N2: what a localiser marks when its source is missing, and without listening.

N1 follows the negatives of Juanola et al. ("A critical assessment of visual sound source
localization models including negative audio", 2024): silence, noise and off-screen sounds, with
one universal threshold. N2 follows the vision-only rivals of arXiv 2409.06709: which share of a
score needs no sound.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avcore import metrics
from avcore.audio import set_level
from avcore.metrics import baselines
from avcore.nn import pretrained
from avcore.papers import avc
from avcore.sceptic.localisers import LOCALISERS, Localiser
from avcore.stage import SceneBatch, Stage, render
from avcore.support import by_scale, choose

SCENES = replace(avc.SCENES, kind="sceptic")  # two objects, one of which sounds
HIDDEN = replace(SCENES, kind="sceptic, hidden", sounding=(0, 0), offscreen=(1, 1))
CUTS = 60  # thresholds that are tried
OTHERS = 8  # other sounds whose maps are averaged
LEVEL_DB = -26.0  # of the noise, re. full scale
NEGATIVES = ("silence", "noise", "offscreen")


def sceptic_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims N1 and N2, for one of `LOCALISERS`; see `measure`."""
    pretrained.check(scale)
    localise = choose(LOCALISERS, variant, "localiser")(scale, seed, device)
    val, test = (
        render(Stage(SCENES, seed=seed), split, count)
        for split, count in (
            ("val", by_scale(scale, smoke=8, quick=200, full=500)),
            ("test", by_scale(scale, smoke=16, quick=300, full=1000)),
        )
    )
    hidden = render(Stage(HIDDEN, seed=seed), "test", len(test))
    return measure(localise, val, test, hidden, seed)


def measure(
    localise: Localiser, val: SceneBatch, test: SceneBatch, hidden: SceneBatch, seed: int = 0
) -> dict[str, float]:
    """What a localiser marks with its own sound, with negatives, and without listening.

    Parameters
    ----------
    val
        Scenes on which the one threshold for all is chosen, by the mean IoU.
    test
        Held-out scenes of visible objects of which one sounds.
    hidden
        Scenes of silent objects with a sound from outside of the picture.

    Returns
    -------
    "iou", "pointing", "ap", "area" (pixels marked for each true one) with the own sound; the area
    with each of `NEGATIVES` and their mean, "negative_area"; "wrong_sound_pointing",
    "trivial_ap" (the best of everything, the centre and saliency), "blind_iou" (a perfect
    segmenter that never listens); "unheard_ap", "unheard_pointing" of the mean of the maps for
    the sounds of other scenes, "unheard_share" of the average precision that it reaches, and
    "half", one half.
    """
    cut = universal_threshold(localise(val), val.target()[:, 0])
    target, visible = test.target()[:, 0], test.target(sounding=None)[:, 0]
    own = _large(localise(test), target)
    unheard = _large(without_listening(localise, test), target)
    wrong = _large(localise(with_sound(test, test.waveform.roll(1, 0))), target)
    true_pixels = target.sum().item()
    values = {
        "iou": metrics.iou(own >= cut, target).mean().item(),
        "pointing": _pointing(own, target),
        "ap": metrics.average_precision(own, target),
        "area": (own >= cut).sum().item() / true_pixels,
        "wrong_sound_pointing": _pointing(wrong, target),
        "trivial_ap": _trivial_ap(test, target),
        "blind_iou": metrics.iou(visible, target).mean().item(),
        "unheard_ap": metrics.average_precision(unheard, target),
        "unheard_pointing": _pointing(unheard, target),
        "half": 0.5,
    }
    for name, scenes in negatives(test, hidden, seed).items():
        marked = _large(localise(scenes), target) >= cut
        values[f"{name}_area"] = marked.sum().item() / true_pixels
    areas = [values[f"{name}_area"] for name in NEGATIVES]
    values["negative_area"] = sum(areas) / len(areas)
    values["unheard_share"] = values["unheard_ap"] / values["ap"]
    return values


def universal_threshold(maps: Tensor, target: Tensor) -> float:
    """The one threshold for all maps (N, h, w) with the highest mean IoU; for validation scenes.

    `target` is (N, H, W) bool. Thresholds are tried at quantiles of the maps.
    """
    large = _large(maps, target)
    cuts = torch.quantile(large.flatten()[:: max(1, large.numel() // 1_000_000)],
                          torch.linspace(0.3, 0.999, CUTS))  # fmt: skip
    return metrics.best_threshold(large, target, cuts)


def negatives(test: SceneBatch, hidden: SceneBatch, seed: int = 0) -> dict[str, SceneBatch]:
    """Scenes whose sound has no source in the picture, by `NEGATIVES`."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(test.waveform.shape, generator=generator)
    return {
        "silence": with_sound(test, torch.zeros_like(test.waveform)),
        "noise": with_sound(test, set_level(noise, LEVEL_DB)),
        "offscreen": hidden,
    }


def without_listening(localise: Localiser, scenes: SceneBatch) -> Tensor:
    """The mean of the maps that a localiser makes with the sounds of `OTHERS` other scenes.

    It knows the picture and what objects look like, and never hears the scene's own sound.
    """
    shifts = range(1, min(OTHERS, len(scenes) - 1) + 1)
    maps = (localise(with_sound(scenes, scenes.waveform.roll(shift, 0))) for shift in shifts)
    return torch.stack(list(maps)).mean(0)


def with_sound(scenes: SceneBatch, waveform: Tensor) -> SceneBatch:
    """The same pictures with other sounds (N, n)."""
    return replace(scenes, waveform=waveform)


def _large(maps: Tensor, target: Tensor) -> Tensor:
    return metrics.resize_maps(maps, target.shape[-1])


def _pointing(maps: Tensor, target: Tensor) -> float:
    return metrics.pointing(maps, target).mean().item()


def _trivial_ap(scenes: SceneBatch, target: Tensor) -> float:
    maps = (
        baselines.everything(target.shape),
        baselines.centre(target.shape),
        _large(baselines.saliency(scenes.frames[:, 0]), target),
    )
    return max(metrics.average_precision(each, target) for each in maps)
