"""The scenes that CSOL learns from and is measured on, as a frozen eye sees them.

Source: the data of the paper's Sec. 5. Solos stand for MUSIC-solo, the 2×2 collage of two sounding
and two silent objects for MUSIC-Synthetic, freely placed objects for the realistic sets. Deviation:
masks and the boxes around them come from the stage, not from a detector.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import lru_cache

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
    SceneBatch,
    SceneConfig,
    Stage,
    render,
)
from avcore.support import choose
from avcore.training.features import bank_digest, cached, code_digest, embed, weights_digest
from avcore.training.sampler import take

SIZE = 128
KINDS: dict[str, SceneConfig] = {
    "solo": replace(STILL, size=SIZE, objects=(1, 1), kind="CSOL solo"),
    "duet": replace(STILL, size=SIZE, sounding=(2, 2), kind="CSOL duet"),
    "synthetic": replace(COLLAGE, size=SIZE, kind="CSOL synthetic"),
    "realistic": replace(STILL, size=SIZE, objects=(3, 4), sounding=(2, 2), kind="CSOL realistic"),
}
CODE = ("avcore.stage", "avcore.audio", "avcore.nn.pretrained", "avcore.papers.csol.scenes")
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
        (N, S) bool.
    """

    seen: Tensor
    mel: Tensor
    masks: Tensor
    class_id: Tensor
    sounding: Tensor

    @classmethod
    def of(cls, batch: SceneBatch) -> Scenes:
        """Rendered scenes as the eye sees them."""
        return cls(
            embed(eye(), batch.frames[:, 0].contiguous())[0],
            log_mel(batch.waveform),
            batch.masks[:, :, 0],
            torch.where(batch.visible, batch.class_id, -1),
            batch.sounding,
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


def draw(
    kind: str,
    split: str,
    count: int,
    seed: int = 0,
    bank: AssetBank | None = None,
    workers: int = 0,
) -> Scenes:
    """The first scenes of a split, one of `KINDS`, from the cache where they have been made."""
    config, bank = choose(KINDS, kind, "kind of scene"), bank or ProceduralBank()
    key = {
        "what": "CSOL scenes",
        "config": asdict(config),
        "bank": bank_digest(bank),
        "seed": seed,
        "split": split,
        "count": count,
        "code": code_digest(*CODE),
        "eye": weights_digest(eye()),
    }

    def make() -> dict[str, Tensor]:
        return vars(Scenes.of(render(Stage(config, bank, seed), split, count, workers=workers)))

    return Scenes(**cached(key, make))
