"""Many scenes at once, as tensors: what training and evaluation read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch.utils.data import DataLoader, Dataset

from avcore.stage.compose import Stage
from avcore.stage.scene import SPLITS, AssetBank, Scene, SceneConfig
from avcore.support import Splits


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


NAMES = tuple(field.name for field in fields(SceneBatch))
PADDING = {"masks": False, "class_id": -1, "visible": False, "sounding": False}


def tensors(scene: Scene) -> dict[str, torch.Tensor]:
    """One scene under the names of `SceneBatch`, without the axis N."""
    sources = scene.sources
    return {
        "frames": torch.from_numpy(scene.frames).permute(0, 3, 1, 2),
        "waveform": torch.from_numpy(scene.waveform),
        "sound": torch.from_numpy(scene.stems.sum(0) + scene.noise),
        "masks": torch.from_numpy(scene.masks),
        "class_id": torch.tensor([source.class_id for source in sources]),
        "visible": torch.tensor([source.visible for source in sources]),
        "sounding": torch.tensor([source.sounding for source in sources]),
    }


class SceneDataset(Dataset[dict[str, torch.Tensor]]):
    """The scenes start … start + length of a split, one at a time as `tensors`.

    torch's `DataLoader` batches scenes with equally many sources by itself; for others give it
    `collate`.
    """

    def __init__(self, stage: Stage, split: str, length: int, start: int = 0) -> None:
        self.stage, self.split, self.length, self.start = stage, split, length, start

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return tensors(self.scene(index))

    def scene(self, index: int) -> Scene:
        """The scene itself, with its stems and sources."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.stage.scene(self.split, self.start + index)


def collate(scenes: Sequence[Scene | dict[str, torch.Tensor]]) -> SceneBatch:
    """Put scenes of one configuration together, as they are or as `tensors`."""
    rows = [tensors(scene) if isinstance(scene, Scene) else scene for scene in scenes]
    most = max(len(row["class_id"]) for row in rows)
    columns = {}
    for name in NAMES:
        values = [row[name] for row in rows]
        if name in PADDING:
            values = [_padded(value[None], most, PADDING[name])[0] for value in values]
        columns[name] = torch.stack(values)
    return SceneBatch(**columns)


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
) -> Splits[SceneBatch]:
    """Training scenes drawn under `learn`, validation and test scenes under `measure`."""
    train, val, test = (
        render(Stage(config, bank, seed), split, count, workers=workers)
        for config, split, count in zip((learn, measure, measure), SPLITS, counts, strict=True)
    )
    return Splits(train, val, test)


def join(batches: list[SceneBatch]) -> SceneBatch:
    """Concatenate batches of one configuration."""
    most = max(batch.class_id.shape[1] for batch in batches)
    columns = {}
    for name in NAMES:
        values = [getattr(batch, name) for batch in batches]
        if name in PADDING:
            values = [_padded(value, most, PADDING[name]) for value in values]
        columns[name] = torch.cat(values)
    return SceneBatch(**columns)


def _padded(values: torch.Tensor, most: int, fill: int | bool) -> torch.Tensor:
    """(N, S, …) -> (N, most, …), missing sources filled up."""
    missing = (len(values), most - values.shape[1], *values.shape[2:])
    return torch.cat([values, values.new_full(missing, fill)], 1) if missing[1] else values
