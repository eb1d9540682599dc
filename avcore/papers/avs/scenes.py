"""Clips of five frames and five seconds for both settings, with the mask of every frame.

As in AVSBench a clip is five seconds long with one frame each second. In the single-source
setting (S4) one thing sounds all the time and only the first frame is labelled for training. In
the multi-source setting (MS3) one or two things among others sound, each in some of the seconds
and not in others, and all frames are labelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avcore.audio import log_mel
from avcore.stage import SPLITS, AssetBank, Scene, SceneConfig, SceneDataset, Stage
from avcore.support import AvcoreError, choose

SECONDS = 5
RAMP = 0.02  # s in which a source is faded in and out


@dataclass(frozen=True)
class Setting:
    """The rules of one of the two settings.

    Attributes
    ----------
    config
        The conditions of its scenes.
    labelled
        How many frames of a clip training may see the masks of, from the first.
    heard
        The chance that a sounding source is heard in a given second.
    """

    config: SceneConfig
    labelled: int
    heard: float


_CLIP = SceneConfig(size=64, frames=SECONDS, fps=1.0, duration=float(SECONDS))
SETTINGS = {
    "S4": Setting(replace(_CLIP, objects=(1, 2), sounding=(1, 1)), 1, 1.0),
    "MS3": Setting(replace(_CLIP, objects=(2, 3), sounding=(1, 2)), SECONDS, 0.85),
}


def find_setting(name: str) -> Setting:
    """The setting called `name`; an unknown one is an `AvcoreError`."""
    return choose(SETTINGS, name, "setting")


@dataclass(frozen=True)
class Clips:
    """N clips of T frames, the sound of each frame's second, and the truth.

    Attributes
    ----------
    frames
        (N, T, 3, H, W) uint8.
    heard
        Log-mel of the second that begins with each frame, (N, T, n_mels, n) float32; or what a
        listener made of it, (N, T, 128), see `naming.listen`.
    masks
        (N, T, H, W) bool: the pixels of what sounds in that second.
    """

    frames: Tensor
    heard: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, which) -> Clips:
        return Clips(self.frames[which], self.heard[which], self.masks[which])


class ClipMaker:
    """The clips of a setting; like a scene, a clip is drawn from (seed, split, index) alone."""

    def __init__(self, setting: str, bank: AssetBank | None = None, seed: int = 0) -> None:
        self.setting, self.seed = find_setting(setting), seed
        self.stage = Stage(self.setting.config, bank, seed)

    def clip(self, split: str, index: int) -> tuple[Scene, np.ndarray]:
        """One clip as a scene with its sound, and its masks (T, H, W) bool."""
        return self.heard_in_part(self.stage.scene(split, index), split, index)

    def heard_in_part(self, scene: Scene, split: str, index: int) -> tuple[Scene, np.ndarray]:
        """Silence each source in some seconds; whole, where the setting has it heard always.

        At least one second of every sounding source stays.
        """
        drawn_from = [self.seed, SPLITS.index(split), index, len(scene.sources), SECONDS]
        rng = np.random.default_rng(drawn_from)
        on = rng.random((len(scene.sources), SECONDS)) < self.setting.heard
        on[np.arange(len(on)), rng.integers(SECONDS, size=len(on))] = True
        on &= np.array([source.sounding for source in scene.sources])[:, None]
        gates = _gates(on, self.setting.config.sample_rate)
        masks = np.logical_or.reduce(scene.masks & on[:, :, None, None])
        return replace(scene, stems=scene.stems * gates), masks

    def draw(self, split: str, count: int, start: int = 0, workers: int = 0) -> Clips:
        """Clips start … start + count of a split, made by `workers` processes."""
        if count < 1:
            raise AvcoreError(f"at least one clip is wanted, got {count}")
        numbered = _Numbered(SceneDataset(self.stage, split, count, start))
        collate = partial(self._collate, split)
        loader = DataLoader(numbered, batch_size=32, num_workers=workers, collate_fn=collate)
        parts: list[Clips] = list(loader)
        return Clips(*(torch.cat([getattr(p, name) for p in parts]) for name in _FIELDS))

    def _collate(self, split: str, numbered: list[tuple[int, Scene]]) -> Clips:
        clips = [self.heard_in_part(scene, split, index) for index, scene in numbered]
        frames = np.stack([scene.frames for scene, _ in clips])
        waveform = np.stack([scene.waveform for scene, _ in clips])
        return Clips(
            torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous(),
            hear(torch.from_numpy(waveform)),
            torch.from_numpy(np.stack([masks for _, masks in clips])),
        )


_FIELDS = tuple(Clips.__annotations__)


class _Numbered(Dataset[tuple[int, Scene]]):
    """A data set whose items come with their index in the split."""

    def __init__(self, scenes: SceneDataset) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[int, Scene]:
        return self.scenes.start + index, self.scenes.scene(index)


def hear(waveform: Tensor) -> Tensor:
    """(N, 5·n) -> log-mel of each of the five seconds by itself, (N, 5, n_mels, frames)."""
    seconds = waveform.unflatten(-1, (SECONDS, -1))
    return log_mel(seconds.flatten(0, 1)).unflatten(0, (-1, SECONDS))


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
