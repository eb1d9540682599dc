"""Real videos for the tasks of Multisensory: a folder of them, UCF-101 or VoxCeleb.

Source: Owens and Efros (ECCV 2018), Secs. 3, 5 and 6. Pretext: excerpts are cut from videos that
are longer, with their own and a shifted sound. Deviations: 16 frames and 16,000 samples per second,
or 30 and 21,000 with `rates="published"` (29.97 in the public code); frames are resized, not
cropped; sound is mono.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from avcore.data.media.folder import Problem
from avcore.data.sets.clips import ClipDataset, Index, fit_length
from avcore.data.sets.files import ClipConfig, is_video, read_sound
from avcore.data.sets.folder import list_clips
from avcore.data.sets.mixtures import Mixtures
from avcore.data.sets.ucf101 import FOLDS, UCF101
from avcore.data.sets.voxceleb import VoxCeleb
from avcore.papers.multisensory.clips import FPS, Clips
from avcore.papers.multisensory.published import FRAMES, SAMPLE_RATE
from avcore.papers.multisensory.separation import SHORTEST
from avcore.papers.multisensory.shift import LEAST, NEGATIVES, Pairs, Pretext
from avcore.support import AvcoreError, choose
from avcore.training import Reading

SEED = 0  # of mixtures


class PublishedClips(Clips):
    """Clips whose excerpts are 125 frames, 4.2 s, at 30 frames and 21,000 samples per second."""

    fps, excerpt, samples = 30, FRAMES, SAMPLE_RATE // 30


RATES: dict[str, type[Clips]] = {"small": Clips, "published": PublishedClips}


@dataclass(frozen=True)
class Videos:
    """Which videos are read, and how.

    Attributes
    ----------
    layout
        "folder", for the pretext task, see `avcore.data.sets.folder`; "ucf101" or "voxceleb".
    size
        Pixels of a frame's side.
    seconds
        How much of a video is read; of a folder's videos, an excerpt of it is taken.
    rates
        "small" or "published": frames and samples per second, and the length of an excerpt.
    least
        Of a folder: seconds that a sound is shifted by, at least.
    negatives
        Of a folder: where the sound that does not belong comes from, one of `shift.NEGATIVES`.
    fold, with_sound
        Of UCF-101: see `avcore.data.sets.ucf101.list_videos`.
    mixtures, held_out
        Of VoxCeleb: how many mixtures there are to learn from, and in each of the other splits.
    same_sex
        Of VoxCeleb: see `avcore.data.sets.mixtures.Mixtures`.
    """

    layout: str = "folder"
    size: int = 64
    seconds: float = 3.0
    rates: str = "small"
    least: float = LEAST / FPS
    negatives: str = NEGATIVES[0]
    fold: int = FOLDS[0]
    with_sound: bool = False
    mixtures: int = 10_000
    held_out: int = 200
    same_sex: bool | None = None

    def __post_init__(self) -> None:
        choose(READERS, self.layout, "layout")
        choose(RATES, self.rates, "rates")
        choose(NEGATIVES, self.negatives, "kind of negatives")
        if self.size < 8 or self.size % 8:
            raise AvcoreError(f"size wants a multiple of 8, got {self.size}")
        known = 0 < self.seconds < math.inf and 0 < self.least < math.inf
        if not known or self.frames < 2 or self.shift < 1:
            raise AvcoreError("seconds wants the time of two frames at least, and least of one")
        if self.mixtures < 1 or self.held_out < 1:
            raise AvcoreError("mixtures and held_out are at least 1")
        rooms = self.frames - self.kind.excerpt
        if self.layout == "folder" and rooms < 2 * self.shift:
            needed = (self.kind.excerpt + 2 * self.shift) / self.kind.fps
            raise AvcoreError(
                f"seconds={self.seconds:g} are too few for excerpts whose sound is shifted by "
                f"least={self.least:g}; {needed:.2f} are needed"
            )
        if self.layout == "voxceleb" and self.frames * self.kind.samples < SHORTEST:
            needed = math.ceil(SHORTEST / self.kind.samples) / self.kind.fps
            raise AvcoreError(
                f"seconds={self.seconds:g} are too few for separation; {needed:.2f} are needed"
            )

    @property
    def kind(self) -> type[Clips]:
        """What excerpts are cut from."""
        return RATES[self.rates]

    @property
    def frames(self) -> int:
        """How many are read of a video."""
        return round(self.seconds * self.kind.fps)

    @property
    def shift(self) -> int:
        """The smallest, in frames."""
        return round(self.least * self.kind.fps)

    @property
    def config(self) -> ClipConfig:
        """How videos are read."""
        rate, lasts = self.kind.fps * self.kind.samples, self.frames / self.kind.fps
        shortest = 0.0 if self.layout == "ucf101" else lasts  # there the end stands still
        return ClipConfig(self.size, rate, shortest, self.frames, lasts)


class ShiftedVideos(ClipDataset):
    """A folder's videos as `shift.Pairs`, each an excerpt with its own and another sound.

    Excerpts and sounds follow from torch's random numbers. In the split train the stretch that they
    are taken from is drawn too, else it is the middle of the video.
    """

    def __init__(self, options: Videos, root: str | Path, split: str, reading: Reading) -> None:
        self.options = options
        index, report = _videos_alone(root, list_clips(root, split)), reading.progress_of(split)
        config = replace(options.config, drawn=split == "train")
        super().__init__(root, index, config, None, reading.skip_bad, report, split)
        if options.negatives == "random pairs" and len(self) < 2:
            raise AvcoreError(f"{root} ({split}): random pairs want two videos at least")

    def __getitem__(self, index: int) -> Pairs:
        """Frames (3, T, size, size) float32 in [0, 1] and two sounds (n,)."""
        options, clip = self.options, super().__getitem__(index)
        sounds = [clip.waveform]
        if options.negatives == "random pairs":
            step = int(torch.randint(1, len(self), ()))
            sounds.append(self._sound((index + step) % len(self)))
        length, count = options.frames * options.kind.samples, len(sounds)
        clips = options.kind(
            clip.frames.expand(count, *clip.frames.shape),
            torch.stack([fit_length(sound, length) for sound in sounds]),
            label=torch.full((count,), -1),
            low=torch.zeros(count, dtype=torch.bool),
        )
        pretext = Pretext(clips, 1, options.negatives, options.shift, mirrored=False)
        pairs = pretext.draw(torch.tensor([0]), torch.default_generator)
        return Pairs(*(part[0] for part in pairs))

    def _sound(self, index: int) -> torch.Tensor:
        entry, place = self.entries[index], torch.rand(()).item() if self.config.drawn else 0.5
        return torch.from_numpy(read_sound(entry.sound, self.config, entry.moment, place))


def _videos_alone(root: str | Path, index: Index) -> Index:
    """The entries that are videos; pictures with a sound are problems."""
    entries, problems = index
    paths = [e.frames[0].relative_to(root).as_posix() for e in entries if not is_video(e.frames[0])]
    pictures = [Problem(path, "is a picture, but only videos have moments") for path in paths]
    return [entry for entry in entries if is_video(entry.frames[0])], [*problems, *pictures]


def _actions(options: Videos, root: str | Path, split: str, reading: Reading) -> UCF101:
    report, config = reading.progress_of(split), options.config
    return UCF101(root, split, options.fold, config, options.with_sound, reading.skip_bad, report)


def _mixtures(options: Videos, root: str | Path, split: str, reading: Reading) -> Mixtures:
    report, count = reading.progress_of(split), options.held_out
    talkers = VoxCeleb(root, split, options.config, 0, reading.skip_bad, report)
    if split == "train":
        count = options.mixtures
    try:
        return Mixtures(talkers, count, SEED, options.same_sex)
    except AvcoreError as error:
        raise AvcoreError(f"{root} ({split}): {error}") from None


READERS = {"folder": ShiftedVideos, "ucf101": _actions, "voxceleb": _mixtures}
READ: dict[str, type[Dataset]] = {"folder": ShiftedVideos, "ucf101": UCF101, "voxceleb": Mixtures}


def read(options: Videos, root: str | Path | None, split: str, reading: Reading) -> Dataset:
    """The videos of a split, each of which is checked.

    Items are `shift.Pairs`, `ucf101.Action` or `mixtures.Mixture`.

    Raises
    ------
    AvcoreError, MediaError
        Without a root, or when something in it cannot be used.
    """
    if root is None:
        raise AvcoreError("Multisensory is trained on videos: give the folder of them as root")
    return READERS[options.layout](options, root, split, reading)
