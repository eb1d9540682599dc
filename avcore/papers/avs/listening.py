"""The networks for AVSBench: a segmentation network and the listener it hears by.

Source: the public code of AVS: the image network starts from ImageNet, the dilated heads from
N(0, 0.01²), and VGGish with its public weights stays frozen. Deviation: PVT-v2 trains without
stochastic depth (published: 0.1).
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avcore.nn.official import only_tensors
from avcore.nn.pvt import PVTv2
from avcore.nn.vggish import VGGish
from avcore.nn.weights import fill, read_any
from avcore.papers.avs.model import BACKBONES, AVSModel, ResNet50, Segmented
from avcore.papers.avs.small import FUSIONS, small_avs, small_listener
from avcore.papers.avs.tpavi import TPAVI
from avcore.support import AvcoreError, CheckpointError, choose
from avcore.training import seeded
from avcore.training.checkpoint import read

NETWORKS = ("small", *BACKBONES)
HEARING = ("TPAVI", "addition")  # fusions to which the sound matters
STAGES = (0, 1, 2, 3)
WHERE = {
    "vggish": "download vggish-10086976.pth of the torchvggish project and give its path",
    "resnet50": "download resnet50-19c8e357.pth of torchvision and give its path",
    "pvt_v2_b5": "download pvt_v2_b5.pth of the PVT project and give its path",
    "avs": "download a trained model of the AVSBench project and give its path",
}


@dataclass(frozen=True)
class Network:
    """What a network for AVSBench is made of.

    Attributes
    ----------
    backbone
        One of `NETWORKS`: "resnet50", "pvt_v2_b5", or the stage's small one.
    fusion, tpavi_stages
        What stands where the sound comes in, one of `FUSIONS`, and at which stages.
    frozen
        Whether the listener stays as it is.
    start
        The earlier training that gave the first weights: its file's name and digest.
    """

    backbone: str = "resnet50"
    fusion: str = "TPAVI"
    tpavi_stages: tuple[int, ...] = STAGES
    frozen: bool = False
    start: str | None = None

    def __post_init__(self) -> None:
        choose(NETWORKS, self.backbone, "backbone")
        choose(FUSIONS, self.fusion, "fusion")
        if not set(self.tpavi_stages) <= set(STAGES):
            raise AvcoreError(f"the stages are {STAGES}, got {self.tpavi_stages}")


class SmallListener(nn.Module):
    """The stage's listener for VGGish's examples: (B, 1, 96, 64) -> (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = small_listener()

    def forward(self, example: Tensor) -> Tensor:
        return self.stream(example[:, 0].transpose(1, 2))


class Listening(nn.Module):
    """A segmentation network with the listener it hears by, made as `network` says.

    One whose fusion does not hear has no listener.
    """

    def __init__(self, model: AVSModel, listener: nn.Module | None, network: Network) -> None:
        super().__init__()
        self.model, self.listener, self.network = model, listener, network
        if listener is not None:
            listener.requires_grad_(not network.frozen)

    def train(self, mode: bool = True) -> Listening:
        super().train(mode)
        if self.listener is not None:
            self.listener.train(mode and not self.network.frozen)
        return self

    def forward(self, frames: Tensor, heard: Tensor) -> Segmented:
        """Frames (B·T, 3, H, W), normalised, and log-mel examples (B·T, 1, 96, 64)."""
        return self.model(frames, None if self.listener is None else self.listener(heard))


def build(
    backbone: str = "resnet50",
    vggish: str | Path | None = None,
    encoder: str | Path | None = None,
    start: str | Path | None = None,
    seed: int = 0,
    fusion: str = "TPAVI",
    tpavi_stages: Sequence[int] = STAGES,
) -> Listening:
    """The network for AVSBench.

    Parameters
    ----------
    backbone, fusion, tpavi_stages
        See `Network`.
    vggish, encoder
        Files with the public weights of VGGish, which are then frozen as published, and of the
        image network. What has no file begins at random and learns along, and a warning says
        where to find one. The small networks have no public weights.
    start
        A checkpoint of an earlier training, such as S4 as a start for MS3. It brings all weights,
        and its listener stays frozen if it was.

    Raises
    ------
    AvcoreError
        For unknown names, weights for the small one or of a listener that is not there, or other
        weights beside a start.
    CheckpointError
        When a file is missing, damaged or of another model.
    """
    hears, published = fusion in HEARING, backbone != "small"
    frozen = published and vggish is not None
    network = Network(backbone, fusion, tuple(sorted(tpavi_stages)), frozen)
    given = {"vggish": vggish, backbone: encoder}
    weights = any(path is not None for path in given.values())
    if start is not None:
        if weights:
            raise AvcoreError("a start brings all weights; leave out those of VGGish and encoder")
        return _started(network, start)
    if weights and not published:
        raise AvcoreError("the small networks have no public weights; choose another backbone")
    if vggish is not None and not hears:
        raise AvcoreError(f"with {fusion} nothing is heard; leave out the weights of VGGish")
    with seeded(seed):
        whole = _assemble(network)
    parts = {"vggish": whole.listener, backbone: whole.model.encoder}
    for name, path in given.items():
        if path is not None:
            fill(parts[name], _public_weights(parts[name], path, WHERE[name]), path)
        elif published and parts[name] is not None:
            message = f"{name} starts from random weights and learns along; {WHERE[name]}"
            warnings.warn(message, stacklevel=2)
    return whole


def load(path: str | Path) -> tuple[Listening, dict[str, Any]]:
    """The network of a training, in evaluation mode, and that run's conditions (see `real.Run`).

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or not of a training on AVSBench.
    """
    content = read(path)
    run = content.get("settings", {})
    names = [field.name for field in fields(Network)]
    if any(name not in run for name in names):
        raise CheckpointError(f"{path} is not of a training on AVSBench")
    with seeded(0):
        whole = _assemble(Network(**{name: run[name] for name in names}))
    fill(whole, content["model"], path)
    return whole.eval(), run


def official(path: str | Path, backbone: str, vggish: str | Path) -> Listening:
    """The authors' trained model with the public VGGish, in evaluation mode.

    Raises
    ------
    AvcoreError
        For a backbone other than "resnet50" and "pvt_v2_b5".
    CheckpointError
        When a file is missing, damaged or of another model.
    """
    where, heard = WHERE["avs"], WHERE["vggish"]
    model = AVSModel.from_official(only_tensors(read_any(path, where), path, where), backbone)
    listener = VGGish.from_official(only_tensors(read_any(vggish, heard), vggish, heard))
    stages = tuple(int(stage) for stage in model.tpavi)
    return Listening(model, listener, Network(backbone, "TPAVI", stages, frozen=True)).eval()


def _assemble(network: Network) -> Listening:
    """The network with random weights; the published heads begin small, as published."""
    if network.backbone == "small":
        model, ear = small_avs(network.fusion), SmallListener
    else:
        encoder = ResNet50() if network.backbone == "resnet50" else PVTv2()
        block = FUSIONS[network.fusion]
        stages = STAGES if block else ()
        widths = BACKBONES[network.backbone]
        model = AVSModel(encoder, widths, tpavi_stages=stages, fusion=block or TPAVI)
        ear = VGGish
        for convolution in (layer for head in model.heads for layer in head):
            nn.init.normal_(convolution.weight, std=0.01)
    for stage in set(model.tpavi) - {str(stage) for stage in network.tpavi_stages}:
        del model.tpavi[stage]
    return Listening(model, ear() if network.fusion in HEARING else None, network)


def _started(network: Network, start: str | Path) -> Listening:
    """The network with the weights of an earlier training, and its listener frozen if it was."""
    whole, run = load(start)
    for name in ("backbone", "fusion", "tpavi_stages"):
        if (wanted := getattr(network, name)) != run[name]:
            raise CheckpointError(f"{start} is of a run with {name}={run[name]}, not {wanted}")
    with open(start, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    whole.network = replace(whole.network, start=f"{Path(start).name} ({digest})")
    return whole


def _public_weights(part: nn.Module, path: str | Path, hint: str) -> dict[str, Tensor]:
    """Weights of a public file under our names, without the layer that classifies.

    Counters of batches, which old files lack and nothing reads, are taken from `part`.
    """
    weights = only_tensors(read_any(path, hint), path, hint)
    counters = {k: v for k, v in part.state_dict().items() if k.endswith("num_batches_tracked")}
    return counters | {
        re.sub(r"^layer(\d)\.", lambda m: f"layers.{int(m[1]) - 1}.", name): value
        for name, value in weights.items()
        if not name.startswith(("fc.", "head."))
    }
