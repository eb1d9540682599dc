"""Multisensory on real videos: the pretext task, actions and separation, each a start for others.

Source: Owens and Efros (ECCV 2018): the pretext on videos of a folder; fine-tuning on UCF-101,
Sec. 5; separation of talkers of VoxCeleb, Sec. 6. The preset "published" has the published network,
excerpts of 4.2 s and shifts of 2 s or more. Its deviations, beside those of `multisensory.reading`
and `multisensory.published`: AdamW at 1e-4 instead of momentum at 1e-2, and no warm-up on every
fourth frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from avcore.data.sets.ucf101 import UCF101, Action
from avcore.nn.pictures import mirror_at_random
from avcore.papers.multisensory import actions, published_training, reading, separation, shift
from avcore.papers.multisensory.actions import Labelled, action_loss
from avcore.papers.multisensory.clips import EXCERPT, FPS, Excerpts
from avcore.papers.multisensory.evaluation import gains
from avcore.papers.multisensory.learner import LAYOUTS, Learner, Network, build
from avcore.papers.multisensory.reading import Videos
from avcore.papers.multisensory.separation import Mixtures, separation_loss
from avcore.papers.multisensory.shift import Pairs, accuracy_on, pretext_loss
from avcore.support import AvcoreError
from avcore.training import Ordered, Phase, Preset, Task, TrainConfig, predict

OF_LAYOUT = {  # settings that matter to one layout alone
    **dict.fromkeys(("least", "negatives"), "folder"),
    **dict.fromkeys(("fold", "with_sound", "classes", "deaf"), "ucf101"),
    **dict.fromkeys(("mixtures", "held_out", "same_sex", "eye", "single_frame"), "voxceleb"),
}


@dataclass(frozen=True)
class Recipe:
    """How it is learned: `mirrored` at random are half of the excerpts."""

    mirrored: bool = True


def settle(preset: Preset, given: Mapping[str, Any]) -> Preset:
    """An error where head, backbones, layout and rates do not fit, or a setting means nothing."""
    network, data = preset.network, preset.data
    if data.layout != LAYOUTS[network.head]:
        raise AvcoreError(f"head={network.head} wants layout={LAYOUTS[network.head]}")
    if data.rates != network.backbones:
        raise AvcoreError(f"backbones={network.backbones} wants rates={network.backbones}")
    for key in given:
        if (layout := OF_LAYOUT.get(key, data.layout)) != data.layout:
            raise AvcoreError(f"{key} is a setting of the layout {layout}, not of {data.layout}")
    return preset


def prepare(model: Learner, recipe: Recipe) -> None:
    """The head learns from now on."""
    model.learned.fill_(1)


def begin(model: Learner, data: Any, phase: Phase) -> None:
    """Only a check that the data are those that the network is for."""
    _check(model.network, data)


def _check(network: Network, data: Any) -> None:
    if not isinstance(data, reading.READ[LAYOUTS[network.head]]):
        raise AvcoreError(f"head={network.head} wants layout={LAYOUTS[network.head]}")
    if isinstance(data, UCF101) and (found := len(data.labels)) != network.classes:
        raise AvcoreError(
            f"the root has {found} classes, but the network {network.classes}; set classes={found}"
        )


def loss(model: Any, batch: Any, recipe: Recipe) -> dict[str, Tensor]:
    """That of the pretext task, of classes, or of separation, whose order is free without eyes."""
    frames = batch.frames if isinstance(batch, Pairs) else _movie(batch.frames)
    frames = mirror_at_random(frames) if recipe.mirrored else frames
    if isinstance(batch, Pairs):
        return pretext_loss(model, batch._replace(frames=frames))
    if isinstance(batch, Action):
        return {"loss": action_loss(model, Labelled(Excerpts(frames, batch.waveform), batch.label))}
    mixtures = Mixtures(frames, batch.on, batch.off)
    order = "free" if model.network.eye == "none" else "fixed"
    return {"loss": separation_loss(model, mixtures, order)}


def _movie(frames: Tensor) -> Tensor:
    """(B, T, 3, H, W) uint8 -> (B, 3, T, H, W) in [0, 1]."""
    return frames.transpose(1, 2).float() / 255


def evaluate(model: Any, loader: Ordered) -> dict[str, float]:
    """Scores, of which "score" is the one that chooses.

    "accuracy" of the pretext task or of classes; or in dB, over the mixture, "si_sdr_gain" of the
    talker on screen, "off_screen_gain" of the other, and "oracle_gain" of both in their better
    order, by which a network without eyes is chosen. Mixtures with a silent voice are left out.
    """
    _check(model.network, loader.data)
    if not model.learned:
        raise AvcoreError(
            f"this network has learned no {model.network.head}; give a checkpoint of a training"
        )
    if model.network.head == "separation":
        found = _gains(model, loader)
        chosen = "oracle_gain" if model.network.eye == "none" else "si_sdr_gain"
        return {**found, "score": found[chosen]}
    if model.network.head == "match":
        accuracy = accuracy_on(model, loader)
    else:
        accuracy = predict(model, loader, _right).float().mean().item()
    return {"accuracy": accuracy, "score": accuracy}


def _right(model: nn.Module, batch: Action) -> Tensor:
    return model(_movie(batch.frames), batch.waveform).argmax(1) == batch.label


def _gains(model: Learner, loader: Ordered) -> dict[str, float]:
    found: list[dict[str, Tensor]] = []
    for batch in loader:
        heard = batch.on.any(1) & batch.off.any(1)
        if heard.any():
            parts = (_movie(batch.frames), batch.on, batch.off)
            found.append(gains(model.model, Mixtures(*(part[heard] for part in parts))))
    if not found:
        raise AvcoreError("in every mixture a voice is silent, so that there is nothing to score")
    names = {"on": "si_sdr_gain", "off": "off_screen_gain", "either": "oracle_gain"}
    return {
        name: torch.cat([part[key] for part in found]).mean().item() for key, name in names.items()
    }


def _preset(config: TrainConfig, network: Network, data: Videos, **changes: Any) -> Preset:
    config = replace(config, **{"checkpoint_every": 200, **changes})
    return Preset((Phase(config, Recipe()),), network, data)


SECONDS = EXCERPT / FPS  # of an excerpt
TASK = Task(
    name="multisensory",
    presets={
        "shift": _preset(shift.train_config("full", 0), Network(), Videos()),
        "ucf101": _preset(
            actions.train_config("full", 0),
            Network("classes"),
            Videos("ucf101", seconds=SECONDS),
            steps=6000,
        ),
        "voxceleb": _preset(
            separation.train_config("full", 0),
            Network("separation"),
            Videos("voxceleb", seconds=SECONDS),
        ),
        "published": _preset(
            published_training.PRETEXT,
            Network(backbones="published", sound="waveform"),
            Videos(size=224, seconds=10.0, rates="published", least=2.0),
            learning_rate=1e-4,
            warmup=1000,
            precision="bf16-mixed",
            checkpoint_every=2000,
        ),
    },
    build=build,
    data=reading.read,
    loss=loss,
    evaluate=evaluate,
    best="score",
    batch=16,
    trained=lambda network: ("start",) if network.head == "match" else (),
    settle=settle,
    prepare=prepare,
    begin=begin,
)
