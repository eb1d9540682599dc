"""What chapters 40 and 41 ask of a trained network beside its scores: other sounds, other times.

Negatives follow Juanola et al. ("A critical assessment of visual sound source localization models
including negative audio", 2024): silence, noise and sounds from outside of the picture.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avcore.audio import log_mel, set_level
from avcore.data.media import stamps
from avcore.papers.avs.clips import SAMPLE_RATE, Clips, listen
from avcore.papers.avs.experiments import Data, make_data, train_config
from avcore.stage import SceneBatch
from avcore.stage.media import MediaBank
from avcore.support import by_scale
from avcore.training import TrainConfig

LEVEL_DB = -26.0  # of the noise, re. full scale
ANIMALS = (
    *("cow", "crow", "dog", "duck", "elephant", "frog", "goat", "horse"),
    *("lamb", "lion", "owl", "pig", "rooster", "seagull", "tiger"),
)  # whose photographs and voices are shown


def animals() -> MediaBank | None:
    """Photographs of `ANIMALS` with their voices; None where they are not in the cache."""
    folder = stamps.available()
    return MediaBank(folder, skip_bad=True, only=ANIMALS) if folder else None


def photographed_pairs(bank: MediaBank, scale: str, seed: int) -> Data:
    """Clips with two animals, of which one is heard; fewer than of drawn ones."""
    counts = by_scale(scale, smoke=(16, 2, 12), quick=(1500, 2, 60), full=(20_000, 2, 300))
    return make_data("pair", scale, seed, bank, counts)


def photographed_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training on `photographed_pairs`, with fewer steps than on drawn ones."""
    steps = by_scale(scale, smoke=4, quick=360, full=5400)
    return replace(train_config(scale, seed, device, "pair"), steps=steps)


def sounds_instead(
    clips: Clips, scenes: SceneBatch, silence: Tensor, seed: int = 0
) -> dict[str, Clips]:
    """The same frames with sounds that are not their own.

    Parameters
    ----------
    clips, scenes
        N clips in each of which one visible object sounds and another does not, and the same as
        scenes, whose classes are needed.
    silence
        What the ear makes of a second of nothing, (128,).
    seed
        Of the noise.

    Returns
    -------
    "other object"
        The sound of the silent object, taken from a clip in which its class sounds.
    "off-screen"
        The sound of a class that is not in the picture.
    "silence", "noise"
        The same for all seconds of a clip.

    Where no clip fits, the sound of the next one stands in.
    """
    voice = voice_of(scenes)
    mute = _class_of(scenes, scenes.visible & ~scenes.sounding)
    absent = (voice != scenes.class_id[..., None]).all(1)  # (N, N): clip n lacks the class of m
    return {
        "other object": replace(clips, heard=clips.heard[next_fitting(voice == mute[:, None])]),
        "off-screen": replace(clips, heard=clips.heard[next_fitting(absent)]),
        "silence": replace(clips, heard=silence.expand_as(clips.heard)),
        "noise": replace(clips, heard=noise(len(clips), seed).expand_as(clips.heard)),
    }


def voice_of(scenes: SceneBatch) -> Tensor:
    """The class that sounds in each scene of one sounding object, (N,)."""
    return _class_of(scenes, scenes.sounding)


def next_fitting(fits: Tensor) -> Tensor:
    """For each row of (N, N) bool the next column that is true, counted from the diagonal on.

    Columns go round; a row without any gets the column after its own.
    """
    count = len(fits)
    order = (torch.arange(count)[:, None] + torch.arange(1, count + 1)) % count
    first = fits.gather(1, order).int().argmax(1, keepdim=True)
    return order.gather(1, first)[:, 0]


def noise(count: int, seed: int = 0) -> Tensor:
    """What the ear makes of a second of white noise, (count, 1, 128)."""
    generator = torch.Generator().manual_seed(seed)
    waveform = set_level(torch.randn(count, SAMPLE_RATE, generator=generator), LEVEL_DB)
    return listen(log_mel(waveform)[:, None])


def joined(before: Clips, after: Clips, second: int) -> Clips:
    """Clips with the sound and the masks of `before` up to a second, from there of `after`.

    The frames are those of `before`.
    """
    count = before.masks.shape[1]
    late = torch.arange(count) >= second
    heard = torch.where(late[:, None], after.heard, before.heard)
    masks = torch.where(late[:, None, None], after.masks, before.masks)
    return replace(before, heard=heard, masks=masks)


def covered(logits: Tensor, pixels: Tensor) -> Tensor:
    """Which share of these pixels (N, T, H, W) is marked in each frame, (N, T); 0 for none."""
    marked = ((logits > 0) & pixels).flatten(2).sum(2)
    return marked / pixels.flatten(2).sum(2).clamp_min(1)


def _class_of(scenes: SceneBatch, chosen: Tensor) -> Tensor:
    return torch.where(chosen, scenes.class_id, -1).amax(1)
