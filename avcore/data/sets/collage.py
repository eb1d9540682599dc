"""MUSIC-Synthetic: four solos in a 2×2 collage, of which two are heard.

Source: DSOL, Sec. 4.1: four one-second solos of different classes, their pictures side by side, the
sounds of two added; the other two are silent objects. VGGSound-Synthetic is made alike. Deviations:
the public data are files that were made once; here a collage follows from a seed and its number.
The text says that the sounds are jittered and does not say how; here both are brought to one level,
then the second may be lowered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from avcore.audio import set_level
from avcore.data.sets.clips import Clip, collate, fit_length
from avcore.support import AvcoreError

TILES = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))  # left and top edges, of a picture of 1
SOUNDING = 2  # of the four
LEVEL = -26.0  # dB re. full scale, of each sound before it is lowered


class Clips(Protocol):
    """Any sequence of clips, such as a `ClipDataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Clip: ...


class Collage(NamedTuple):
    """One collage, or B of them.

    Attributes
    ----------
    frame
        (3, size, size) uint8, RGB, of the size of the solos' pictures.
    waveform
        (n,) float32, the sum of two solos at their rate.
    class_id
        (4,) int64: the class of each object. The first two sound, the first at least as loud as
        the second.
    tile
        (4,) int64: in which of `TILES` each object is.
    """

    frame: Tensor
    waveform: Tensor
    class_id: Tensor
    tile: Tensor

    def boxes(self) -> list[tuple[int, float, float, float, float]]:
        """(class, x, y, w, h) of the sounding objects of one collage, fractions of the picture."""
        pairs = zip(self.class_id.tolist()[:SOUNDING], self.tile.tolist(), strict=False)
        return [(class_id, *TILES[tile], 0.5, 0.5) for class_id, tile in pairs]


class Collages(Dataset):
    """Collages made of solos.

    Parameters
    ----------
    solos
        Clips; the first picture of each is taken, all of one size.
    labels
        The class of each, a number from 0.
    count
        How many collages there are.
    seed
        Collage i follows from the seed and i alone, for the same solos.
    gap_db
        The second sound is lowered by 0 to so many dB, drawn evenly; 0 leaves both alike.

    Raises
    ------
    AvcoreError
        For solos of fewer than four classes, another number of labels, or a negative count or gap.
    """

    def __init__(
        self, solos: Clips, labels: Sequence[int], count: int, seed: int = 0, gap_db: float = 0.0
    ) -> None:
        if len(solos) != len(labels):
            raise AvcoreError(f"{len(solos)} solos but {len(labels)} labels")
        if count < 0 or not gap_db >= 0:
            raise AvcoreError(f"count and gap_db are not negative, got {count} and {gap_db}")
        self.solos, self.count, self.seed, self.gap_db = solos, count, seed, gap_db
        self.of_class = {k: np.flatnonzero(np.asarray(labels) == k) for k in sorted(set(labels))}
        if len(self.of_class) < len(TILES):
            raise AvcoreError(
                f"a collage wants solos of four classes, but there are {len(self.of_class)}"
            )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Collage:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        classes = rng.choice(list(self.of_class), len(TILES), replace=False)
        clips = [self.solos[int(rng.choice(self.of_class[k]))] for k in classes]
        tiles = rng.permutation(len(TILES))
        levels = (LEVEL, LEVEL - rng.uniform(0.0, self.gap_db))
        length = max(len(clip.waveform) for clip in clips[:SOUNDING])
        waves = [
            set_level(fit_length(clip.waveform, length), level)
            for clip, level in zip(clips, levels, strict=False)
        ]
        placed = [clips[k].frames[0] for k in np.argsort(tiles)]
        return Collage(
            _in_four(torch.stack(placed)),
            torch.stack(waves).sum(0),
            torch.from_numpy(classes).long(),
            torch.from_numpy(tiles).long(),
        )

    @staticmethod
    def collate(samples: Sequence[Any]) -> Any:
        """See `clips.collate`."""
        return collate(samples)


def _in_four(pictures: Tensor) -> Tensor:
    """Four pictures (4, 3, S, S) uint8 at half their size beside and below each other."""
    size = pictures.shape[-1]
    if size % 2:
        raise AvcoreError(f"the pictures of a collage want an even size, got {size}")
    small = functional.interpolate(pictures.float(), size=(size // 2, size // 2), mode="area")
    small = small.round().to(torch.uint8)
    return torch.cat([torch.cat([*small[:2]], -1), torch.cat([*small[2:]], -1)], -2)
