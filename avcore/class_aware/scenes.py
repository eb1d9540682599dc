"""The scenes that CSOL and IEr learn from and are measured on, as a frozen eye sees them.

Source: the data of both papers. Solos stand for MUSIC-solo, the 2×2 collage of two sounding and
two silent objects for MUSIC-Synthetic, freely placed objects for the realistic sets; IEr's
conditions (unequal volumes, sounds from off screen, objects of one class) are made on the stage.
Deviation: masks and the boxes around them come from the stage, not from a detector.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from avcore.audio import log_mel
from avcore.nn import pretrained
from avcore.nn.pretrained import JoinedFeatures
from avcore.stage import (
    COLLAGE,
    STILL,
    AssetBank,
    ProceduralBank,
    Scene,
    SceneBatch,
    SceneConfig,
    Stage,
    collate,
    render,
)
from avcore.support import Splits, by_scale, choose
from avcore.training.features import bank_digest, cached, code_digest, embed, weights_digest
from avcore.training.sampler import take

SIZE = 128


@dataclass(frozen=True)
class Kind:
    """Scenes of one kind.

    Attributes
    ----------
    config
        The conditions on the stage.
    gap_db
        (low, high): of the sources that sound, the first is as loud as the stage makes it, and
        each further one lies so many dB below it. Sounds from off screen come last.
    twins
        Whether all objects of a scene are of one class; one class after the other has its turn.
    """

    config: SceneConfig
    gap_db: tuple[float, float] = (0.0, 0.0)
    twins: bool = False


def _even(kind: str = "IEr", **conditions) -> SceneConfig:
    """A collage whose sources are equally loud before any gap."""
    return replace(COLLAGE, size=SIZE, level_db=(0.0, 0.0), kind=kind, **conditions)


_PAIR = replace(STILL, size=SIZE, objects=(2, 2), sounding=(1, 1), kind="IEr pair")
KINDS: dict[str, Kind] = {
    "solo": Kind(replace(STILL, size=SIZE, objects=(1, 1), kind="CSOL solo")),
    "duet": Kind(replace(STILL, size=SIZE, sounding=(2, 2), kind="CSOL duet")),
    "synthetic": Kind(replace(COLLAGE, size=SIZE, kind="CSOL synthetic")),
    "realistic": Kind(
        replace(STILL, size=SIZE, objects=(3, 4), sounding=(2, 2), kind="CSOL realistic")
    ),
    "mixture": Kind(_even("IEr mixture", offscreen=(0, 1)), gap_db=(0.0, 20.0)),
    "equal": Kind(_even()),  # the same pictures and sounds as the next two
    "10 dB": Kind(_even(), gap_db=(10.0, 10.0)),
    "20 dB": Kind(_even(), gap_db=(20.0, 20.0)),
    "off screen": Kind(_even("IEr off screen", offscreen=(1, 1))),
    "two classes": Kind(_PAIR),
    "one class": Kind(replace(_PAIR, distinct=False), twins=True),
}
CODE = ("avcore.stage", "avcore.audio", "avcore.nn.pretrained", "avcore.class_aware.scenes")
Box = tuple[int, float, float, float, float]


@dataclass(frozen=True)
class Scenes:
    """N scenes of up to S objects, seen and heard, with the truth.

    Attributes
    ----------
    seen
        (N, 152, 16, 16) float16: the eye's features at strides 8 and 16.
    mel
        (N, 64, n): log-mel of the mixture.
    masks
        (N, S, H, W) bool, one for each object.
    class_id
        (N, S) int64, -1 where there is no object.
    sounding
        (N, S) bool: which objects, or sources off screen, sound.
    offscreen
        (N, S) int64: the class of each source that is not in view, -1 elsewhere.
    """

    seen: Tensor
    mel: Tensor
    masks: Tensor
    class_id: Tensor
    sounding: Tensor
    offscreen: Tensor

    @classmethod
    def of(cls, batch: SceneBatch) -> Scenes:
        """Rendered scenes as the eye sees them."""
        return cls(
            embed(eye(), batch.frames[:, 0].contiguous())[0],
            log_mel(batch.waveform),
            batch.masks[:, :, 0],
            torch.where(batch.visible, batch.class_id, -1),
            batch.sounding,
            torch.where(batch.visible, -1, batch.class_id),
        )

    def __len__(self) -> int:
        return len(self.mel)

    def __getitem__(self, which) -> Scenes:
        return take(self, which)

    def target(self, sounding: bool = True) -> Tensor:
        """(N, H, W) bool: the pixels of all objects that sound, or of the silent ones."""
        chosen = (self.class_id >= 0) & (self.sounding == sounding)
        return (self.masks & chosen[:, :, None, None]).any(1)

    def label(self) -> Tensor:
        """(N,) the class of the first object: of solos, what is seen and heard."""
        return self.class_id[:, 0]

    def boxes(self) -> list[list[Box]]:
        """For each scene (class, x, y, w, h) of its sounding objects, fractions of the picture."""
        found = []
        for masks, classes, sounding in zip(
            self.masks, self.class_id.tolist(), self.sounding.tolist(), strict=True
        ):
            scene = [
                _box(mask, class_id)
                for mask, class_id, on in zip(masks, classes, sounding, strict=True)
                if on and class_id >= 0 and mask.any()
            ]
            found.append(scene)
        return found


def _box(mask: Tensor, class_id: int) -> Box:
    height, width = mask.shape
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    top, left = rows[0].item(), columns[0].item()
    return (
        class_id,
        left / width,
        top / height,
        (columns[-1].item() + 1 - left) / width,
        (rows[-1].item() + 1 - top) / height,
    )


@lru_cache(maxsize=1)
def eye() -> JoinedFeatures:
    """The pretrained eye at strides 8 and 16, frozen."""
    return JoinedFeatures(pretrained.eye()).eval()


class Uneven(Stage):
    """A stage on which the first source that sounds is the loudest; see `Kind.gap_db`."""

    def __init__(
        self,
        config: SceneConfig,
        bank: AssetBank | None = None,
        seed: int = 0,
        gap_db: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__(config, bank, seed)
        self.gap_db = gap_db

    def scene(self, split: str, index: int) -> Scene:
        scene = super().scene(split, index)
        rng = np.random.default_rng([*self.stream(split, index), 1])
        gaps = np.zeros(len(scene.sources))
        heard = [n for n, source in enumerate(scene.sources) if source.sounding]
        gaps[heard[1:]] = rng.uniform(*self.gap_db, len(heard[1:]))
        sources = tuple(
            replace(source, level_db=source.level_db - gap)
            for source, gap in zip(scene.sources, gaps.tolist(), strict=True)
        )
        gains = (10 ** (-gaps / 20)).astype(np.float32)
        return replace(scene, stems=scene.stems * gains[:, None], sources=sources)


class Only:
    """A bank of which one class is left."""

    def __init__(self, bank: AssetBank, class_id: int) -> None:
        self.bank, self.class_id = bank, class_id
        self.name, self.credit = bank.name, bank.credit
        self.classes: tuple[str, ...] = (bank.classes[class_id],)

    def sprite(self, class_id: int, rng: np.random.Generator, split: str):
        return self.bank.sprite(self.class_id, rng, split)

    def performance(self, class_id: int, rng: np.random.Generator, split: str, duration: float):
        return self.bank.performance(self.class_id, rng, split, duration)

    def speak(self, class_id: int, rng: np.random.Generator, split: str, duration: float):
        return self.bank.speak(self.class_id, rng, split, duration)


def stage_of(
    kind: str, seed: int = 0, bank: AssetBank | None = None, gap_db=None, **changes
) -> Stage:
    """The stage of a kind without twins; `changes` are fields of its configuration."""
    chosen = choose(KINDS, kind, "kind of scene")
    config, gap_db = replace(chosen.config, **changes), gap_db or chosen.gap_db
    return Uneven(config, bank, seed, gap_db) if any(gap_db) else Stage(config, bank, seed)


def scenes_of(
    kind: str,
    split: str,
    count: int,
    seed: int = 0,
    bank: AssetBank | None = None,
    workers: int = 0,
) -> SceneBatch:
    """The first scenes of a split, one of `KINDS`, with their pictures and waveforms."""
    chosen, bank = choose(KINDS, kind, "kind of scene"), bank or ProceduralBank()
    if not chosen.twins:
        return render(stage_of(kind, seed, bank), split, count, workers=workers)
    classes = len(bank.classes)
    stages = [Stage(chosen.config, Only(bank, k), seed) for k in range(classes)]
    # one class after the other; every scene is the only one of its number
    scenes = [_named(stages[n % classes], split, n, n % classes) for n in range(count)]
    return collate(scenes)


def _named(stage: Stage, split: str, number: int, class_id: int) -> Scene:
    scene = stage.scene(split, number)
    return replace(scene, sources=tuple(replace(s, class_id=class_id) for s in scene.sources))


def draw(
    kind: str,
    split: str,
    count: int,
    seed: int = 0,
    bank: AssetBank | None = None,
    workers: int = 0,
) -> Scenes:
    """`scenes_of` as the eye sees them, from the cache where they have been made."""
    bank = bank or ProceduralBank()
    key = {
        "what": "scenes of sounding objects",
        "kind": asdict(choose(KINDS, kind, "kind of scene")),
        "bank": bank_digest(bank),
        "seed": seed,
        "split": split,
        "count": count,
        "code": code_digest(*CODE),
        "eye": weights_digest(eye()),
    }
    made = cached(key, lambda: vars(Scenes.of(scenes_of(kind, split, count, seed, bank, workers))))
    return Scenes(**made)


def make_data(kind: str, scale: str, seed: int, bank: AssetBank | None = None) -> Splits[Scenes]:
    """Scenes of a kind to learn from, to choose on and to be measured on."""
    counts = by_scale(scale, smoke=(32, 16, 16), quick=(1500, 200, 300), full=(20_000, 500, 1000))
    workers = by_scale(scale, smoke=0, quick=2, full=8)
    train, val, test = (
        draw(kind, split, count, seed, bank, workers)
        for split, count in zip(("train", "val", "test"), counts, strict=True)
    )
    return Splits(train, val, test)
