"""Many scenes at once, as tensors: what training and evaluation read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from avcore.stage.compose import Stage
from avcore.stage.scene import SPLITS, AssetBank, Scene, SceneConfig


@dataclass(frozen=True)
class SceneBatch:
    """N scenes; S is the largest number of sources, and missing ones have class -1.

    Attributes
    ----------
    frames
        (N, T, 3, H, W) uint8.
    waveform
        (N, n) float32, the mixed sound; with a margin, `sound` (N, n + 2m) holds all of it.
    masks
        (N, S, T, H, W) bool.
    class_id
        (N, S) int64; -1 where there is no source, and for talking faces.
    visible, sounding
        (N, S) bool.
    """

    frames: torch.Tensor
    waveform: torch.Tensor
    sound: torch.Tensor
    masks: torch.Tensor
    class_id: torch.Tensor
    visible: torch.Tensor
    sounding: torch.Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, which) -> SceneBatch:
        """The scenes chosen by a slice or an index tensor."""
        return SceneBatch(*(getattr(self, field.name)[which] for field in fields(self)))

    def to(self, device: torch.device | str) -> SceneBatch:
        return SceneBatch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def target(self, *, sounding: bool | None = True) -> torch.Tensor:
        """(N, T, H, W) bool: union of the visible sources that sound (or not; None for all)."""
        chosen = self.visible.clone()
        if sounding is not None:
            chosen &= self.sounding == sounding
        return (self.masks & chosen[:, :, None, None, None]).any(1)


class SceneDataset(Dataset):
    """The scenes start … start + length of a split, one at a time, for a `DataLoader`."""

    def __init__(self, stage: Stage, split: str, length: int, start: int = 0) -> None:
        self.stage, self.split, self.length, self.start = stage, split, length, start

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.stage.scene(self.split, self.start + index)


def collate(scenes: list[Scene]) -> SceneBatch:
    """Put scenes of one configuration together."""
    most = max(len(scene.sources) for scene in scenes)

    def padded(value: Callable[[Scene], np.ndarray], fill) -> torch.Tensor:
        rows = [np.asarray(value(scene)) for scene in scenes]
        out = np.full((len(rows), most, *rows[0].shape[1:]), fill, rows[0].dtype)
        for row, values in zip(out, rows, strict=True):
            row[: len(values)] = values
        return torch.from_numpy(out)

    def per_source(name: str, fill) -> torch.Tensor:
        return padded(lambda scene: [getattr(source, name) for source in scene.sources], fill)

    return SceneBatch(
        frames=torch.from_numpy(np.stack([s.frames for s in scenes])).permute(0, 1, 4, 2, 3),
        waveform=torch.from_numpy(np.stack([s.waveform for s in scenes])),
        sound=torch.from_numpy(np.stack([s.stems.sum(0) + s.noise for s in scenes])),
        masks=padded(lambda scene: scene.masks, False),
        class_id=per_source("class_id", -1),
        visible=per_source("visible", False),
        sounding=per_source("sounding", False),
    )


def render(
    stage: Stage, split: str, count: int, start: int = 0, workers: int = 0, batch: int = 64
) -> SceneBatch:
    """Scenes start … start + count of a split as one `SceneBatch`, made by `workers` processes."""
    loader = DataLoader(
        SceneDataset(stage, split, count, start),
        batch_size=batch,
        num_workers=workers,
        collate_fn=collate,
    )
    return join(list(loader))


def render_splits(
    learn: SceneConfig,
    measure: SceneConfig,
    counts: tuple[int, int, int],
    bank: AssetBank | None = None,
    seed: int = 0,
    workers: int = 0,
) -> tuple[SceneBatch, SceneBatch, SceneBatch]:
    """Training scenes drawn under `learn`, validation and test scenes under `measure`."""
    parts = zip((learn, measure, measure), SPLITS, counts, strict=True)
    return tuple(
        render(Stage(config, bank, seed), split, count, workers=workers)
        for config, split, count in parts
    )


def join(batches: list[SceneBatch]) -> SceneBatch:
    """Concatenate batches of one configuration."""
    most = max(b.class_id.shape[1] for b in batches)

    def column(name: str) -> torch.Tensor:
        values = [getattr(b, name) for b in batches]
        if name in ("masks", "class_id", "visible", "sounding"):
            fill = -1 if name == "class_id" else False
            values = [
                torch.cat([v, v.new_full((len(v), most - v.shape[1], *v.shape[2:]), fill)], 1)
                for v in values
            ]
        return torch.cat(values)

    return SceneBatch(*(column(field.name) for field in fields(SceneBatch)))
