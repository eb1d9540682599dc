"""Clips as the networks get them: what a frozen eye and a frozen ear make of them, computed once.

The published networks start from an image network trained on ImageNet and from VGGish, which is
not trained further. Here both stay as they are, so each clip passes through them only once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcore.audio import log_mel
from avcore.nn import pretrained
from avcore.nn.listeners import listener
from avcore.papers.avs.scenes import ClipMaker, RawClips, find_setting
from avcore.stage import AssetBank, ProceduralBank
from avcore.training import predict
from avcore.training.features import (
    Tensors,
    bank_digest,
    cached,
    code_digest,
    embed,
    weights_digest,
)
from avcore.training.sampler import take

MADE_BY = ("avcore.stage", "avcore.audio", "avcore.papers.avs.scenes", "avcore.papers.avs.clips")
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Clips:
    """N clips of T frames with one second of sound each, seen and heard, and the truth.

    Attributes
    ----------
    maps
        What the eye makes of the frames: four tensors (N, T, C, h, w) float16, finest first.
    heard
        What the ear makes of each second, (N, T, 128).
    masks, visible
        (N, T, H, W) bool: the pixels of the objects that sound, and of all that can be seen.
    """

    maps: list[Tensor]
    heard: Tensor
    masks: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, which) -> Clips:
        return take(self, which)

    def mirrored(self) -> Clips:
        """The same clips, left and right exchanged."""
        maps = [each.flip(-1) for each in self.maps]
        return Clips(maps, self.heard, self.masks.flip(-1), self.visible.flip(-1))


class Senses(NamedTuple):
    """The eye (`avcore.nn.pretrained`) and the ear (`avcore.nn.listeners`), both frozen."""

    eye: nn.Module
    ear: nn.Module


@lru_cache(maxsize=1)
def senses() -> Senses:
    """The pretrained eye and the ear that learned to name sounds, on the CPU."""
    return Senses(pretrained.eye(), listener("named"))


def perceive(raw: RawClips) -> Clips:
    """What eye and ear make of clips."""
    eye, _ = senses()
    maps = [each.unflatten(0, raw.masks.shape[:2]) for each in embed(eye, raw.frames.flatten(0, 1))]
    return Clips(maps, listen(raw.log_mel), raw.masks, raw.visible)


def listen(log_mel: Tensor) -> Tensor:
    """What the ear makes of seconds, (N, T, n_mels, n) -> (N, T, 128)."""
    features = predict(senses().ear, log_mel.flatten(0, 1), lambda ear, part: ear(part), 256)
    return features.unflatten(0, log_mel.shape[:2])


def silence() -> Tensor:
    """What the ear makes of a second of nothing, (128,)."""
    return listen(log_mel(torch.zeros(1, SAMPLE_RATE))[None])[0, 0]


def draw_clips(
    setting: str,
    split: str,
    count: int,
    seed: int = 0,
    bank: AssetBank | None = None,
    workers: int = 0,
) -> Clips:
    """The first clips of a split, from the cache of features where they have been made before."""
    eye, ear = senses()
    key = {
        "setting": asdict(find_setting(setting)),
        "split": split,
        "count": count,
        "seed": seed,
        "bank": bank_digest(bank or ProceduralBank()),
        "code": code_digest(*MADE_BY),
        "eye": weights_digest(eye),
        "ear": weights_digest(ear),
    }

    def make() -> Tensors:
        clips = perceive(ClipMaker(setting, bank, seed).draw(split, count, workers=workers))
        maps = {f"map{stage}": each for stage, each in enumerate(clips.maps)}
        return {**maps, "heard": clips.heard, "masks": clips.masks, "visible": clips.visible}

    found = cached(key, make)
    maps = [found.pop(f"map{stage}") for stage in range(4)]
    return Clips(maps, **found)
