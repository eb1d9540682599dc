"""AVS on AVSBench: the published training and scores.

Source: the training scripts of the public code: Adam with a constant rate of 1e-4 (AdamW without
weight decay is the same), four videos a batch, 15 epochs of S4 or 30 of MS3, and the epoch kept
that is best on the validation videos. The networks are those of `avs.listening`. Deviation: masks
of several values are refused, see `avcore.data.sets.files.read_mask`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avcore.data.sets.avsbench import FOLDERS, FRAMES, AVSBench, Sample
from avcore.papers.avs.evaluation import BATCH, scores
from avcore.papers.avs.listening import HEARING, Network, build
from avcore.papers.avs.training import Recipe, segment_batch, total_loss
from avcore.support import AvcoreError, choose
from avcore.training import Ordered, Phase, Preset, Reading, Task, TrainConfig, predict

EPOCHS = {"S4": 15, "MS3": 30}  # as published, by setting
RECIPES = {"S4": Recipe(1), "MS3": Recipe(FRAMES, 0.5)}  # as published, by setting
NETWORKS = {"resnet50": "resnet50", "pvt": "pvt_v2_b5", "small": "small"}
CONFIG = TrainConfig(batch_size=4, learning_rate=1e-4, schedule="constant")


@dataclass(frozen=True)
class Videos:
    """Which videos are read: the setting, and the pixels of a frame's side."""

    setting: str = "S4"
    size: int = 224

    def __post_init__(self) -> None:
        choose(FOLDERS, self.setting, "setting")
        if self.size < 32 or self.size % 32:
            raise AvcoreError(f"size wants a multiple of 32, got {self.size}")


def data(options: Videos, root: str | Path | None, split: str, reading: Reading) -> AVSBench:
    """The videos of a split, each of which is checked."""
    if root is None:
        raise AvcoreError("AVS is trained on AVSBench: give the folder avsbench_data as root")
    report = reading.progress_of(f"{options.setting} {split}")
    return AVSBench(root, options.setting, split, options.size, reading.skip_bad, report)


def evaluate(model: nn.Module, loader: Ordered) -> dict[str, float]:
    """`scores` of the videos, in batches of four as published.

    Raises
    ------
    AvcoreError
        When only the first frames have masks, as in the split train of S4.
    """
    logits, masks = predict(model, loader, _segment)
    return scores(logits, masks, BATCH)


def _segment(model: nn.Module, batch: Sample) -> tuple[Tensor, Tensor]:
    if (labelled := batch.masks.shape[1]) != batch.frames.shape[1]:
        raise AvcoreError(
            f"scores need the masks of all {batch.frames.shape[1]} frames, and these videos have "
            f"{labelled} each, as in the split train of S4; choose another split"
        )
    return segment_batch(model, batch), batch.masks


def settle(preset: Preset, given: Mapping[str, Any]) -> Preset:
    """A network that does not hear has nothing to match: weight 0, and an error for another."""
    if preset.network.hears:
        return preset
    if any(key.endswith("matching") and float(given[key]) for key in given):
        raise AvcoreError(f"matching needs a network that hears: {' or '.join(HEARING)}")
    phases = (replace(p, recipe=replace(p.recipe, matching=0.0)) for p in preset.phases)
    return replace(preset, phases=tuple(phases))


TASK = Task(
    name="avs",
    presets={
        f"{setting.lower()}-{name}": Preset(
            (Phase(CONFIG, RECIPES[setting], epochs=EPOCHS[setting]),),
            Network(backbone),
            Videos(setting),
        )
        for setting in FOLDERS
        for name, backbone in NETWORKS.items()
    },
    build=build,
    data=data,
    loss=total_loss,
    evaluate=evaluate,
    best="miou",
    batch=BATCH,
    trained=lambda network: ("official", "start"),
    settle=settle,
)
