"""Real solos and mixtures as `Scenes`, for the tasks of CSOL and IEr.

Source: both papers learn stage one from solos, and stage two from collages of other solos
(MUSIC-Synthetic) or from duets. What a video holds is one second around the middle of each of its
moments: one picture, as the frozen eye sees it, and the log-mel of the sound. Where an object is in
a solo or a duet nobody has marked: its mask is the whole picture. Of a collage it is the tile.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from avcore import metrics
from avcore.audio import log_mel
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import SIZE, Scenes, eye
from avcore.class_aware.solos import nearest
from avcore.data.media.apt import Progress
from avcore.data.sets import clips, music, vggsound
from avcore.data.sets.clips import Clip, ClipDataset, Index, fit_length
from avcore.data.sets.collage import SOUNDING, TILES, Collage, Collages
from avcore.data.sets.files import SPLITS, ClipConfig, files_digest
from avcore.nn import pretrained
from avcore.support import AvcoreError, choose
from avcore.training import Ordered, Parts, Reading
from avcore.training.features import embed

LAYOUTS = {"music": music.list_solos, "vggsound": vggsound.list_videos}
MIXTURES = ("collages", "duets")
RATE, SECONDS = 16_000, 1.0  # Hz, and s of a sample
READ = 32  # clips at a time
SEED = 0  # of the collages, and of what chance gives
DEALS = 20  # from which chance is estimated


@dataclass(frozen=True)
class Videos:
    """Which videos are read, and how.

    Attributes
    ----------
    layout
        "music" or "vggsound": see `avcore.data.sets.music` and `avcore.data.sets.vggsound`.
    classes
        Their names, in an order; none for all that the root has, sorted. A trained network knows
        its classes by their number, so that another root wants the same names.
    size
        Pixels of a picture's side.
    moments
        Samples of each video; the papers take every second of it.
    mixtures
        What stage two learns from: "collages", of the second half of the training solos, or
        "duets", of MUSIC. What is scored are collages of held-out solos.
    collages, held_out
        How many there are to train on, and to score on.
    features
        Whether pictures are kept as the frozen eye sees them, or as they are: (N, 3, size, size)
        uint8, with a log-mel of 201 steps in place of 101, as in the public code.
    spread_db
        The second sound of a collage lies 0 to so many dB below the first.
    """

    layout: str = "music"
    classes: tuple[str, ...] = ()
    size: int = SIZE
    moments: int = 1
    mixtures: str = "collages"
    collages: int = 2000
    held_out: int = 300
    features: bool = True
    spread_db: float = 0.0

    def __post_init__(self) -> None:
        choose(LAYOUTS, self.layout, "layout")
        choose(MIXTURES, self.mixtures, "mixtures")
        if self.mixtures == "duets" and self.layout != "music":
            raise AvcoreError("only MUSIC has duets; set mixtures=collages")
        if self.size < 32 or self.size % 32:
            raise AvcoreError(f"size wants a multiple of 32, got {self.size}")
        if min(self.collages, self.held_out) < 1:
            raise AvcoreError("collages and held_out are at least 1")


def read(options: Videos, root: str | Path | None, split: str, reading: Reading) -> Parts:
    """The "solos" and the "mixtures" of a split as `Scenes`, every file checked.

    Of the split train the solos are the first half of the videos, and the mixtures are made of the
    second.

    Raises
    ------
    AvcoreError
        Without a root, for unknown classes, or solos of fewer than four.
    MediaError
        When a file cannot be used; with `skip_bad` only when nothing is left.
    CheckpointError
        When the weights of the frozen eye are not installed.
    """
    if root is None:
        raise AvcoreError("this paper is trained on videos of MUSIC or VGGSound: give a root")
    if options.features:
        pretrained.check("full")
    find = partial(LAYOUTS[options.layout], root, split, options.classes, moments=options.moments)
    index = find(half=1)
    entries = list(index[0])
    single = _clips(options, root, index, f"solos, {split}", reading)
    names = options.classes or sorted({clip.category for clip in single})
    parts = Parts(solos=_solos(options, single, names))
    if split == "train" and options.mixtures == "duets":
        index = music.list_duets(root, split, options.classes, options.moments)
        parts.files = files_digest([*entries, *index[0]])
        both = _clips(options, root, index, "duets", reading)
        parts["mixtures"] = _duets(options, both, names)
        return parts
    if split == "train":
        index = find(half=2)
        entries += index[0]
        single = _clips(options, root, index, "solos for collages, train", reading)
    count = options.collages if split == "train" else options.held_out
    labels = [names.index(clip.category) for clip in single]
    made = Collages(single, labels, count, SEED, options.spread_db)
    parts["mixtures"] = _collages(options, next(iter(Ordered(made, count))))
    parts.files = files_digest(entries)
    return parts


def verify(root: str | Path, layout: str, progress: Progress | None = None) -> Index:
    """Open every solo of all splits: those that can be used, and everything that is wrong.

    `progress` as in `clips.verify`.
    """
    find = choose(LAYOUTS, layout, "layout")
    parts = [find(root, split) for split in SPLITS]
    index = (
        [entry for entries, _ in parts for entry in entries],
        list(dict.fromkeys(problem for _, problems in parts for problem in problems)),
    )
    return clips.verify(root, index, ClipConfig(SIZE, RATE), progress)


def _clips(
    options: Videos, root: str | Path, index: Index, name: str, reading: Reading
) -> list[Clip]:
    """All clips that can be used, in memory: about 110 kB each."""
    config = ClipConfig(options.size, RATE, seconds=SECONDS)
    report = reading.progress_of(name)
    data = ClipDataset(root, index, config, _to_second, reading.skip_bad, report, name)
    found: list[Clip] = []
    for batch in Ordered(data, READ, reading.workers):
        found += map(Clip._make, zip(*batch, strict=True))
        if report:
            report("read", len(found) / len(data))
    return found


def _to_second(clip: Clip) -> Clip:
    return clip._replace(waveform=fit_length(clip.waveform, round(SECONDS * RATE)))


def _scenes(
    options: Videos, frames: Tensor, waves: Tensor, masks: Tensor, class_id: Tensor
) -> Scenes:
    """What the eye sees in pictures (N, 3, S, S), and the log-mels of sounds (N, n)."""
    return Scenes(
        embed(eye(), frames)[0] if options.features else frames,
        log_mel(waves) if options.features else published_mel(waves),
        masks,
        class_id,
        torch.arange(class_id.shape[1]).expand_as(class_id) < SOUNDING,
        torch.full_like(class_id, -1),
    )


def published_mel(waves: Tensor) -> Tensor:
    """Log-mels of sounds (N, n) at 16 kHz with the window and step of the public code.

    (N, 64, n // 80 + 1). Deviation: of the power, and its natural logarithm. As in the public
    code the lowest bands are narrower than a bin of the spectrum, so that some stay empty.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torchaudio's, of empty bands
        return log_mel(waves, n_fft=160, hop=80, f_min=0.0)


def _whole(options: Videos, some: list[Clip], class_id: Tensor) -> Scenes:
    """Clips in which no object is marked."""
    frames = torch.stack([clip.frames[0] for clip in some])
    masks = torch.ones((), dtype=torch.bool).expand(*class_id.shape, SIZE, SIZE)
    waves = torch.stack([clip.waveform for clip in some])
    return _scenes(options, frames, waves, masks, class_id)


def _solos(options: Videos, some: list[Clip], names: Sequence[str]) -> Scenes:
    return _whole(options, some, torch.tensor([[names.index(clip.category)] for clip in some]))


def _duets(options: Videos, some: list[Clip], names: Sequence[str]) -> Scenes:
    pairs = [clip.category.split(" ") for clip in some]
    if unknown := sorted({name for pair in pairs for name in pair} - set(names)):
        raise AvcoreError(f"there are duets with {unknown[0]}, but no solos; name the classes")
    class_id = torch.tensor([[names.index(name) for name in pair] for pair in pairs])
    return _whole(options, some, class_id)


def _collages(options: Videos, batch: Collage) -> Scenes:
    half = SIZE // 2
    tiles = torch.zeros(len(TILES), SIZE, SIZE, dtype=torch.bool)
    for mask, (left, top) in zip(tiles, TILES, strict=True):
        x, y = int(left * SIZE), int(top * SIZE)
        mask[y : y + half, x : x + half] = True
    return _scenes(options, batch.frame, batch.waveform, tiles[batch.tile], batch.class_id)


def cluster_scores(
    model: SmallLocaliser, entries: Tensor, class_of: Tensor, solos: Scenes
) -> dict[str, float]:
    """How well held-out solos are known by the entry (K, C) that they resemble most.

    "nmi", the normalised mutual information of clusters and classes; "chance_nmi", that of the same
    clusters dealt out at random, which is far from 0 where solos are few; and "accuracy", given the
    class of each cluster (K,), which was matched on other solos.
    """
    clusters, label = nearest(model, entries, solos), solos.label()
    generator = torch.Generator().manual_seed(SEED)
    dealt = [clusters[torch.randperm(len(clusters), generator=generator)] for _ in range(DEALS)]
    return {
        "nmi": metrics.mutual_information(clusters, label),
        "chance_nmi": sum(metrics.mutual_information(each, label) for each in dealt) / DEALS,
        "accuracy": (class_of[clusters] == label).double().mean().item(),
    }
