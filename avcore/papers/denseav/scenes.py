"""The scenes that chapters 50 and 51 and their claims learn from and are measured on.

Two kinds stand for AudioSet and PlacesAudio: in a *chirp* an object is heard, in a *chat* an unseen
voice says the name of an object that is seen. Training scenes show one or two objects, the others
two, one of them silent and unnamed. The fronts of the network see and hear them once (`cached`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avcore.audio import log_mel
from avcore.papers.denseav.model import DenseAV
from avcore.papers.denseav.small import small_denseav
from avcore.papers.denseav.training import Clips
from avcore.stage import (
    SPLITS,
    STILL,
    AssetBank,
    Performance,
    ProceduralBank,
    SceneBatch,
    Sprite,
    Stage,
    render,
)
from avcore.support import by_scale
from avcore.training.features import bank_digest, cached, code_digest, weights_digest

CHIRP = replace(STILL, size=128, kind="chirp")
CHAT = replace(CHIRP, kind="chat", sounding=(0, 0), names=(1, 1))
KINDS = {"chirp": CHIRP, "chat": CHAT}
CODE = ("avcore.stage", "avcore.audio", "avcore.nn.listeners", "avcore.nn.pretrained", *(
    f"avcore.papers.denseav.{name}" for name in ("scenes", "small", "training")
))  # fmt: skip


@dataclass(frozen=True)
class Prompted:
    """Clips with what was heard in them, and where it is seen: for evaluation alone."""

    clips: Clips
    image: Tensor  # (N, 3, H, W) uint8
    mel: Tensor  # (N, 64, n), log-mel in half precision
    target: Tensor  # (N, H, W) bool
    class_id: Tensor  # (N,)
    shown: Tensor  # (N, S): the classes that are seen, -1 for none

    @classmethod
    def of(cls, batch: SceneBatch, model: DenseAV) -> Prompted:
        """The one class that sounds or is named in each scene, and the pixels that show it."""
        heard = torch.where(batch.sounding, batch.class_id, -1).amax(1)
        meant = batch.visible & (batch.class_id == heard[:, None])
        return cls(
            Clips.of(batch, model),
            batch.frames[:, 0].contiguous(),
            log_mel(batch.waveform).half(),
            (batch.masks & meant[:, :, None, None, None]).any(1)[:, 0],
            heard,
            torch.where(batch.visible, batch.class_id, -1),
        )

    @property
    def fits(self) -> Tensor:
        """Whether a picture (second axis) shows what is heard in a sound (first), (N, N) bool."""
        return (self.class_id[:, None, None] == self.shown).any(-1)

    @property
    def others(self) -> Tensor:
        """For each scene the next in which another class is heard, (N,): the wrong sound."""
        count = len(self.class_id)
        ahead = (torch.arange(count)[:, None] + torch.arange(1, count)) % count
        return ahead.gather(1, self._differs(ahead).int().argmax(1, keepdim=True))[:, 0]

    def _differs(self, others: Tensor) -> Tensor:
        return self.class_id[others] != self.class_id[:, None]


@dataclass(frozen=True)
class Data:
    """What is learned from, and held-out scenes of each kind."""

    train: Clips
    val: dict[str, Prompted]
    test: dict[str, Prompted]


class Group:
    """An asset bank of some classes of another, under their own numbers from 0 on."""

    def __init__(self, bank: AssetBank, keep: Sequence[int]) -> None:
        self.bank, self.keep = bank, tuple(keep)
        self.name, self.credit = bank.name, bank.credit
        self.classes = tuple(bank.classes[number] for number in self.keep)

    def sprite(self, class_id: int, rng: np.random.Generator, split: str) -> Sprite:
        return self.bank.sprite(self.keep[class_id], rng, split)

    def performance(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        return self.bank.performance(self.keep[class_id], rng, split, duration)

    def speak(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        return self.bank.speak(self.keep[class_id], rng, split, duration)


def halves(bank: AssetBank | None = None) -> tuple[Group, Group]:
    """The classes of a bank in two groups: every second one."""
    bank = bank or ProceduralBank()
    count = len(bank.classes)
    return Group(bank, range(0, count, 2)), Group(bank, range(1, count, 2))


def counts_of(scale: str) -> tuple[int, int, int]:
    """Scenes of each kind in training, validation and test."""
    return by_scale(scale, smoke=(32, 16, 16), quick=(2000, 100, 300), full=(20_000, 500, 1000))


def make_data(
    kinds: Sequence[str],
    scale: str,
    seed: int,
    bank: AssetBank | None = None,
    counts: tuple[int, int, int] | None = None,
    start: str = "frozen",
) -> Data:
    """Scenes of "chirp", "chat" or both, for networks with this `start` (`small_denseav`).

    `counts` are those of each kind. Splits share no scene, voice or performance.
    """
    counts = counts or counts_of(scale)
    workers = by_scale(scale, smoke=0, quick=2, full=8)
    made = {
        kind: [_scenes(kind, split, count, seed, bank, start, workers)
               for split, count in zip(SPLITS, counts, strict=True)]
        for kind in kinds
    }  # fmt: skip
    return Data(
        join([parts[0].clips for parts in made.values()]),
        {kind: parts[1] for kind, parts in made.items()},
        {kind: parts[2] for kind, parts in made.items()},
    )


def join(parts: Sequence[Clips]) -> Clips:
    """Several sets of clips as one."""
    return Clips(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Clips)))


def _scenes(
    kind: str,
    split: str,
    count: int,
    seed: int,
    bank: AssetBank | None,
    start: str,
    workers: int,
) -> Prompted:
    """Scenes of a kind, from the cache where they are; of training scenes the clips alone."""
    config = replace(KINDS[kind], objects=(1, 2)) if split == "train" else KINDS[kind]
    bank = bank or ProceduralBank()
    key = {
        "what": "DenseAV scenes",
        "config": asdict(config),
        "bank": bank_digest(bank),
        "seed": seed,
        "split": split,
        "count": count,
        "start": start,
        "code": code_digest(*CODE),
        "fronts": _fronts_digest(start),
    }

    def make() -> dict[str, Tensor]:
        batch = render(Stage(config, bank, seed), split, count, workers=workers)
        made = Prompted.of(batch, _fronts(start))
        found = {f.name: getattr(made.clips, f.name) for f in fields(Clips)}
        if split != "train":
            found |= {name: getattr(made, name) for name in TRUTH}
        return found

    found = cached(key, make)
    clips = Clips(*(found[f.name] for f in fields(Clips)))
    return Prompted(clips, *(found.get(name, torch.empty(0)) for name in TRUTH))


TRUTH = tuple(f.name for f in fields(Prompted) if f.name != "clips")


@lru_cache(maxsize=2)
def _fronts(start: str) -> DenseAV:
    """A network whose fronts those of all networks with this start equal."""
    return small_denseav(start=start).eval()


@lru_cache(maxsize=2)
def _fronts_digest(start: str) -> str:
    fronts = (_fronts(start).front, _fronts(start).image_front)
    return "+".join(weights_digest(f) for f in fronts if isinstance(f, torch.nn.Module))
