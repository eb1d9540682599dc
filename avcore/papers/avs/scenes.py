"""Clips of five frames and five seconds for the settings S4 and MS3, with the mask of every frame.

As in AVSBench a clip is five seconds long with one frame per second. In the single-source setting
(S4) one object sounds all the time and only the first frame is labelled for training. In the
multi-source setting (MS3) one or two objects among others sound, and all frames are labelled; an
object that is out of view in a second is silent in that second. Variants of both settings serve
single claims.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avcore.audio import log_mel
from avcore.stage import AssetBank, Scene, SceneConfig, SceneDataset, Stage
from avcore.support import AvcoreError, choose

SECONDS = 5
RAMP = 0.02  # s in which a source is faded in and out


@dataclass(frozen=True)
class Setting:
    """The rules of a setting.

    Attributes
    ----------
    config
        The conditions of its scenes. The kind is the setting's own, so that no two settings
        show the same scenes.
    labelled
        How many frames of a clip training may see the masks of, from the first.
    heard
        The chance that a sounding source is heard in a second in which it is in view.
    """

    config: SceneConfig
    labelled: int = SECONDS
    heard: float = 1.0


_CLIP = SceneConfig(size=128, frames=SECONDS, fps=1.0, duration=float(SECONDS))


def _scenes(kind: str, **conditions: Any) -> SceneConfig:
    return replace(_CLIP, kind=kind, **conditions)


_SEVERAL: dict[str, Any] = {"objects": (2, 3), "sounding": (1, 2)}
_MOVING = {"travel": 0.6, "presence": 0.8}
_LARGE: dict[str, Any] = {"objects": (3, 3), "sounding": (1, 2), "diameter": (0.45, 0.6)}
PAUSES = 0.75  # `heard` of the settings with pauses

SETTINGS = {
    "S4": Setting(_scenes("S4", objects=(1, 2)), 1),
    "solo": Setting(_scenes("solo", objects=(1, 1)), 1),
    "pair": Setting(_scenes("pair", objects=(2, 2)), 1),
    "MS3": Setting(_scenes("MS3", **_SEVERAL, **_MOVING)),
    "MS3 with pauses": Setting(_scenes("MS3 with pauses", **_SEVERAL, **_MOVING), heard=PAUSES),
    "MS3 still": Setting(_scenes("MS3 still", **_SEVERAL)),
    "MS3 still with pauses": Setting(_scenes("MS3 still with pauses", **_SEVERAL), heard=PAUSES),
    "MS3 large": Setting(_scenes("MS3 large", **_LARGE, **_MOVING)),
}


def find_setting(name: str) -> Setting:
    """The setting called `name`; an unknown one is an `AvcoreError`."""
    return choose(SETTINGS, name, "setting")


@dataclass(frozen=True)
class RawClips:
    """N clips of T frames as they are seen and heard, and the truth.

    Attributes
    ----------
    frames
        (N, T, 3, H, W) uint8.
    log_mel
        That of the second that begins with each frame, (N, T, n_mels, n) float32.
    masks, visible
        (N, T, H, W) bool: the pixels of the objects that sound in that second, and of all.
    """

    frames: Tensor
    log_mel: Tensor
    masks: Tensor
    visible: Tensor


class ClipMaker:
    """The clips of a setting; like a scene, a clip is drawn from (seed, split, index) alone.

    Where only first frames are labelled, the clips of the split train are their first second.
    """

    def __init__(self, setting: str, bank: AssetBank | None = None, seed: int = 0) -> None:
        self.setting = find_setting(setting)
        config = self.setting.config
        self.stage = self.learned = Stage(config, bank, seed)
        if self.setting.labelled == 1:
            self.learned = Stage(replace(config, frames=1, duration=1.0), bank, seed)

    def stage_of(self, split: str) -> Stage:
        """The stage that a split's scenes are drawn from."""
        return self.learned if split == "train" else self.stage

    def clip(self, split: str, index: int) -> tuple[Scene, np.ndarray]:
        """One clip as a scene with its sound, and its masks (T, H, W) bool."""
        return self.heard_in_part(self.stage_of(split).scene(split, index), split, index)

    def heard_in_part(self, scene: Scene, split: str, index: int) -> tuple[Scene, np.ndarray]:
        """Silence each source while it is out of view, and in its pauses.

        At least one second of every sounding source stays.
        """
        seconds = len(scene.times)
        rng = np.random.default_rng([*self.stage.stream(split, index), len(scene.sources), seconds])
        in_view = np.array([source.present for source in scene.sources])  # (S, T)
        on = in_view & (rng.random(in_view.shape) < self.setting.heard)
        for source, present in zip(on, in_view, strict=True):
            source[rng.choice(np.flatnonzero(present))] = True
        on &= np.array([source.sounding for source in scene.sources])[:, None]
        gates = _gates(on, scene.config.sample_rate)
        masks = np.logical_or.reduce(scene.masks & on[:, :, None, None])
        return replace(scene, stems=scene.stems * gates), masks

    def draw(self, split: str, count: int, start: int = 0, workers: int = 0) -> RawClips:
        """Clips start … start + count of a split, made by `workers` processes."""
        if count < 1:
            raise AvcoreError(f"at least one clip is wanted, got {count}")
        numbered = _Numbered(SceneDataset(self.stage_of(split), split, count, start))
        collate = partial(self._collate, split)
        loader = DataLoader(numbered, batch_size=32, num_workers=workers, collate_fn=collate)
        parts: list[RawClips] = list(loader)
        names = [field.name for field in fields(RawClips)]
        return RawClips(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def _collate(self, split: str, numbered: list[tuple[int, Scene]]) -> RawClips:
        clips = [self.heard_in_part(scene, split, index) for index, scene in numbered]
        frames = np.stack([scene.frames for scene, _ in clips])
        waveform = np.stack([scene.waveform for scene, _ in clips])
        return RawClips(
            torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous(),
            hear(torch.from_numpy(waveform), frames.shape[1]),
            torch.from_numpy(np.stack([masks for _, masks in clips])),
            torch.from_numpy(np.stack([scene.mask() for scene, _ in clips])),
        )


class _Numbered(Dataset[tuple[int, Scene]]):
    """A data set whose items come with their index in the split."""

    def __init__(self, scenes: SceneDataset) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[int, Scene]:
        return self.scenes.start + index, self.scenes.scene(index)


def hear(waveform: Tensor, seconds: int = SECONDS) -> Tensor:
    """(N, seconds·n) -> log-mel of each of the seconds by itself, (N, seconds, n_mels, frames)."""
    parts = waveform.unflatten(-1, (seconds, -1))
    return log_mel(parts.flatten(0, 1)).unflatten(0, (-1, seconds))


def _gates(on: np.ndarray, sample_rate: int) -> np.ndarray:
    """(S, T) bool -> (S, T·rate) float32 in [0, 1]: 0 in silent seconds, ramps beside them."""
    gates = np.repeat(on.astype(np.float32)[:, :, None], sample_rate, axis=2)
    rise = np.linspace(0, 1, round(RAMP * sample_rate), dtype=np.float32)
    for source, second in zip(*np.nonzero(on), strict=True):
        if second > 0 and not on[source, second - 1]:
            gates[source, second, : len(rise)] = rise
        if second + 1 < on.shape[1] and not on[source, second + 1]:
            gates[source, second, -len(rise) :] = rise[::-1]
    return gates.reshape(len(on), -1)
