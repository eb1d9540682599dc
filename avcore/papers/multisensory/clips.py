"""Clips that excerpts are cut from, and the scenes of the stage that they come from.

Source: Owens and Efros (ECCV 2018), Sec. 3: excerpts of 4.2 s of clips of 10 s, at 30 frames per
second. Deviation: excerpts of 1.5 s of clips of 3 s, at 16 frames per second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avcore.stage import MOVING, Scene, SceneConfig, SceneDataset, Stage
from avcore.support import AvcoreError, choose

FPS, RATE = 16, 16_000  # frames per second, and samples per second
EXCERPT = 24  # frames of an excerpt: 1.5 s
SAMPLES = RATE // FPS  # samples of sound per frame

CLIP = replace(MOVING, size=64, frames=48, fps=float(FPS), duration=3.0, margin=0.0)
KINDS: dict[str, SceneConfig] = {
    # one or two sources of which one sounds; half of the scenes have a talking face
    "pretext": replace(CLIP, objects=(1, 2), talkers=(0, 1), kind="pretext"),
    # one sounds, and the other moves in silence
    "silent mover": replace(CLIP, objects=(2, 2), kind="silent mover"),
    # both move, and what is heard is one of them, or neither
    "in view": replace(CLIP, objects=(2, 2), kind="in view"),
    "elsewhere": replace(CLIP, objects=(2, 2), sounding=(0, 0), offscreen=(1, 1), kind="elsewhere"),
    "action": replace(CLIP, objects=(1, 1), kind="action"),
    "talker": replace(CLIP, objects=(1, 1), talkers=(1, 1), diameter=(0.5, 0.7), kind="talker"),
}


class Excerpts(NamedTuple):
    """B excerpts: frames (B, 3, T, H, W) float32 in [0, 1] and their sound (B, n) float32."""

    frames: Tensor
    sound: Tensor


@dataclass(frozen=True)
class Clips:
    """N clips.

    Attributes
    ----------
    frames
        (N, T, 3, H, W) uint8, at `FPS`.
    sound
        (N, T · `SAMPLES`) float32, at `RATE`.
    label
        (N,) int64: the class of the source that sounds; -1 for talking faces.
    low
        (N,) bool: of talking faces, whether the voice is low.
    target
        (N, T, H, W) bool: where that source is seen; None where nobody needs it.
    """

    fps, excerpt, samples = FPS, EXCERPT, SAMPLES

    frames: Tensor
    sound: Tensor
    label: Tensor
    low: Tensor
    target: Tensor | None = None

    def __post_init__(self) -> None:
        expected = self.frames.shape[1] * self.samples
        if self.sound.shape[1] != expected:
            raise AvcoreError(
                f"{self.frames.shape[1]} frames go with {expected} samples of sound, "
                f"got {self.sound.shape[1]}"
            )

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, which) -> Clips:
        """The clips chosen by a slice or an index tensor."""
        target = None if self.target is None else self.target[which]
        return type(self)(
            self.frames[which], self.sound[which], self.label[which], self.low[which], target
        )

    @property
    def starts(self) -> int:
        """How many excerpts begin in a clip, each a frame after the other."""
        return self.frames.shape[1] - self.excerpt + 1

    def cut(self, which: Tensor, starts: Tensor) -> Excerpts:
        """Excerpts of the clips `which` (B,) that begin at the frames `starts` (B,)."""
        return Excerpts(self.cut_frames(which, starts), self.cut_sound(which, starts))

    def cut_frames(self, which: Tensor, starts: Tensor) -> Tensor:
        """Only the frames, (B, 3, T, H, W)."""
        moments = starts[:, None] + torch.arange(self.excerpt)
        return self.frames[which[:, None], moments].transpose(1, 2).float() / 255

    def cut_sound(self, which: Tensor, starts: Tensor) -> Tensor:
        """Only the sound, (B, n)."""
        moments = starts[:, None] * self.samples + torch.arange(self.excerpt * self.samples)
        return self.sound[which[:, None], moments]

    def cut_target(self, which: Tensor, starts: Tensor) -> Tensor:
        """Where the source is seen at any time of each excerpt, (B, H, W) bool."""
        if self.target is None:
            raise AvcoreError("these clips do not say where their sources are seen")
        moments = starts[:, None] + torch.arange(self.excerpt)
        return self.target[which[:, None], moments].any(1)


def still(frames: Tensor) -> Tensor:
    """The middle frame in place of each, (B, 3, T, H, W): the single-frame ablation."""
    middle = frames.shape[2] // 2
    return frames[:, :, middle : middle + 1].expand_as(frames)


def mirrored(frames: Tensor, generator: torch.Generator) -> Tensor:
    """All frames of a batch (…, W) left for right, in half of the calls."""
    return frames.flip(-1) if torch.rand((), generator=generator) < 0.5 else frames


def stage(kind: str, seed: int) -> Stage:
    """The world of the clips of a kind, one of `KINDS`."""
    return Stage(choose(KINDS, kind, "kind of clip"), seed=seed)


def draw(
    kind: str, split: str, count: int, seed: int = 0, workers: int = 0, where: bool = False
) -> Clips:
    """The first `count` clips of a kind and a split; `where` also keeps their `target`."""
    data = _Drawn(SceneDataset(stage(kind, seed), split, count), where)
    parts = list(DataLoader(data, batch_size=32, num_workers=workers))
    return Clips(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def draw_views(split: str, each: int, seed: int = 0, workers: int = 0) -> Clips:
    """`each` clips whose sound comes from what is in view, label 1, and from elsewhere, label 0."""
    seen, unseen = (draw(kind, split, each, seed, workers) for kind in ("in view", "elsewhere"))
    return Clips(
        torch.cat([seen.frames, unseen.frames]),
        torch.cat([seen.sound, unseen.sound]),
        torch.cat([torch.ones_like(seen.label), torch.zeros_like(unseen.label)]),
        torch.cat([seen.low, unseen.low]),
    )


class _Drawn(Dataset[dict[str, Tensor]]):
    """Scenes as the columns of `Clips`."""

    def __init__(self, scenes: SceneDataset, where: bool) -> None:
        self.scenes, self.where = scenes, where

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return _columns(self.scenes.scene(index), self.where)


def _columns(scene: Scene, where: bool) -> dict[str, Tensor]:
    source = next(source for source in scene.sources if source.sounding)
    columns = {
        "frames": torch.from_numpy(scene.frames).permute(0, 3, 1, 2),
        "sound": torch.from_numpy(scene.waveform),
        "label": torch.tensor(source.class_id),
        "low": torch.tensor(source.voice.startswith("low")),
    }
    if where:
        columns["target"] = torch.from_numpy(scene.mask(sounding=True))
    return columns
