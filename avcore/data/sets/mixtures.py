"""Two talkers of VoxCeleb, one of them in the picture.

Source: Owens and Efros (ECCV 2018), Sec. 6, and their code: the picture of one clip, its sound
added to that of another speaker's, both brought to an RMS of 0.1; same-sex mixtures are the harder
ones. Deviation: their pairs are drawn as training goes on, here one follows from a seed and its
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from avcore.audio import set_level
from avcore.data.sets.clips import collate, fit_length, read_clip
from avcore.data.sets.files import read_sound
from avcore.data.sets.voxceleb import VoxCeleb
from avcore.support import AvcoreError

LEVEL = -20.0  # dB re. full scale, of each voice: an RMS of 0.1


class Mixture(NamedTuple):
    """One mixture, or B of them with the speakers as tuples.

    Attributes
    ----------
    frames
        (T, 3, size, size) uint8, RGB, of the talker who is on screen.
    mixture
        (n,) float32 at the rate of the clips, the sum of both voices.
    on, off
        (n,) float32: the voice of the talker on screen, and of the one who is not, each at
        `LEVEL`; digital silence stays silence.
    on_speaker, off_speaker
        Who they are.
    """

    frames: Tensor
    mixture: Tensor
    on: Tensor
    off: Tensor
    on_speaker: str
    off_speaker: str


class Mixtures(Dataset):
    """Mixtures of the clips of two speakers.

    Parameters
    ----------
    talkers
        The clips of a split. Of its train a stretch is drawn from each clip, else it is the middle.
    count
        How many mixtures there are.
    seed
        Mixture i follows from the seed and i alone, for the same clips.
    same_sex
        True wants both speakers of one sex, False of two; None takes any.

    Raises
    ------
    AvcoreError
        For a negative count, when no two speakers fit together, or when a sex is wanted and no
        table tells it.
    """

    def __init__(
        self, talkers: VoxCeleb, count: int, seed: int = 0, same_sex: bool | None = None
    ) -> None:
        if count < 0:
            raise AvcoreError(f"count is not negative, got {count}")
        self.talkers, self.count, self.seed, self.same_sex = talkers, count, seed, same_sex
        names = [entry.category for entry in talkers.entries]
        self.speakers, self.speaker_of = np.unique(names, return_inverse=True)
        self.sex = np.array([talkers.sexes.get(name, "") for name in self.speakers])
        if same_sex is not None and not self.sex.astype(bool).any():
            raise AvcoreError(
                "no table says the sex of these speakers; put vox1_meta.csv or vox2_meta.csv "
                "into the root, or leave same_sex out"
            )
        paired = [self._others(k).any() for k in range(len(self.speakers))]
        self.on_screen = np.flatnonzero(np.array(paired)[self.speaker_of])
        if not len(self.on_screen):
            kind = {None: "", True: " of one sex", False: " of both sexes"}[same_sex]
            raise AvcoreError(f"a mixture wants two speakers{kind}, but there are none")

    @property
    def files(self) -> str:
        """What tells the clips from others; see `files_digest`."""
        return self.talkers.files

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Mixture:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        first = int(rng.choice(self.on_screen))
        partners = self._others(self.speaker_of[first])[self.speaker_of]
        second = int(rng.choice(np.flatnonzero(partners)))
        config, (one, other) = (
            self.talkers.config,
            (self.talkers.entries[k] for k in (first, second)),
        )
        places = rng.uniform(size=2) if config.drawn else (0.5, 0.5)
        seen = read_clip(one, config, places[0])
        unseen = read_sound(other.sound, config, other.moment, places[1])
        length = config.samples
        on = set_level(fit_length(seen.waveform, length), LEVEL)
        off = set_level(fit_length(torch.from_numpy(unseen), length), LEVEL)
        return Mixture(seen.frames, on + off, on, off, one.category, other.category)

    def _others(self, speaker: int) -> np.ndarray:
        """Which speakers may be heard beside one, (number of speakers,) bool."""
        others = np.arange(len(self.speakers)) != speaker
        if self.same_sex is None:
            return others
        known = (self.sex != "") & (self.sex[speaker] != "")
        return others & known & ((self.sex == self.sex[speaker]) == self.same_sex)

    @staticmethod
    def collate(samples: Sequence[Any]) -> Any:
        """See `clips.collate`."""
        return collate(samples)
