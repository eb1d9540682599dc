"""The networks of Multisensory for training by name: their heads, and where weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avcore.nn.weights import fill
from avcore.papers.multisensory.actions import ActionNet
from avcore.papers.multisensory.model import HEARING, EarlyFusion
from avcore.papers.multisensory.published import CHANNELS, MultisensoryNet
from avcore.papers.multisensory.separation import EYES, Separator
from avcore.support import AvcoreError, CheckpointError, choose
from avcore.training import seeded
from avcore.training.checkpoint import read

BACKBONES = ("small", "published")
LAYOUTS = {"match": "folder", "classes": "ucf101", "separation": "voxceleb"}  # that heads learn on
BLIND = {  # parts of the small network that separation does not use, by what it sees
    "multisensory": ("head.",),
    "picture": ("head.", "sound.", "fusion.", "joint."),
    "none": ("",),
}


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes
    ----------
    head
        What the features are for: "match", the pretext task; "classes"; or "separation".
    backbones
        "small", or "published" for the pretext task alone.
    sound
        How the sound is heard, "log-mel" or "waveform"; the published network takes the latter.
    classes
        How many there are.
    deaf
        Of classes: whether the features of the sound are set to zero.
    eye, single_frame
        Of separation: see `separation.Separator`.
    start
        A checkpoint of an earlier training, whatever its head, of which the multisensory network
        is taken.
    """

    head: str = "match"
    backbones: str = "small"
    sound: str = "log-mel"
    classes: int = 101
    deaf: bool = False
    eye: str = "multisensory"
    single_frame: bool = False
    start: Path | None = None

    def __post_init__(self) -> None:
        choose(LAYOUTS, self.head, "head")
        choose(BACKBONES, self.backbones, "backbones")
        choose(HEARING, self.sound, "kind of sound")
        choose(EYES, self.eye, "eye")
        if self.classes < 1:
            raise AvcoreError(f"classes are at least 1, got {self.classes}")
        if self.backbones == "published" and (self.head, self.sound) != ("match", "waveform"):
            raise AvcoreError(
                "the published network is there for the pretext task and hears the waveform; "
                "set head=match and sound=waveform"
            )


class Learner(nn.Module):
    """A network with its head, as `network` says; called, it is `model`.

    Attributes
    ----------
    learned
        () int64: whether the head was trained, 1 or 0.
    """

    learned: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.model = network, _make(network)
        self.register_buffer("learned", torch.tensor(0))
        if network.head != "match":
            idle = BLIND[network.eye] if network.head == "separation" else ("head.",)
            for name, weight in self.multisensory.named_parameters():
                weight.requires_grad_(not name.startswith(idle))

    @property
    def multisensory(self) -> nn.Module:
        """The network that the pretext task trains, below the head."""
        return self.model if self.network.head == "match" else self.model.network

    def forward(self, frames: Tensor, sound: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W) in [0, 1] and waveforms (R, n), see `EarlyFusion.fuse`.

        Gives logits (R,) of a match or (B, classes), or shares (B, 2, F, t).
        """
        if self.network.backbones == "published":  # it takes stereo
            sound = sound[..., None].expand(-1, -1, CHANNELS)
        return self.model(frames, sound)


def _make(network: Network) -> Any:
    if network.backbones == "published":
        return MultisensoryNet()
    small = EarlyFusion(network.sound)
    if network.head == "classes":
        return ActionNet(small, network.classes, network.deaf)
    if network.head == "separation":
        return Separator(small, network.eye, network.single_frame)
    return small


def build(network: Network, seed: int = 0) -> Learner:
    """The network, from random weights but for what `network.start` brings.

    Raises
    ------
    CheckpointError
        When the start is missing, damaged or of another network.
    """
    with seeded(seed):
        model = Learner(network)
    if network.start is not None:
        fill(model.multisensory, _started(network, network.start), network.start)
        model.learned.fill_(int(network.head == "match"))
    return model


def _started(network: Network, start: Path) -> dict[str, Tensor]:
    """Weights of the multisensory network in a checkpoint."""
    content = read(start)
    run = content.get("settings", {})
    if run.get("task") != "multisensory":
        raise CheckpointError(f"{start} is not of a training of multisensory")
    for name in ("backbones", "sound"):
        if (wanted := getattr(network, name)) != run.get(name):
            raise CheckpointError(f"{start} is of a run with {name}={run.get(name)}, not {wanted}")
    before = "model." if run.get("head") == "match" else "model.network."
    weights = content.get("model", {})
    return {k.removeprefix(before): v for k, v in weights.items() if k.startswith(before)}
