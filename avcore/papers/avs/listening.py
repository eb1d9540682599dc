"""The networks for AVSBench: a segmentation network and the listener it hears by.

Source: the public code of AVS: the image network starts from ImageNet, the dilated heads from
N(0, 0.01²), and VGGish with its public weights stays frozen. Deviation: PVT-v2 trains without
stochastic depth (published: 0.1).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from avcore.nn.official import only_tensors
from avcore.nn.vggish import VGGish
from avcore.nn.weights import fill, read_any
from avcore.papers.avs.model import BACKBONES, AVSModel, Segmented
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
    vggish, encoder
        Files with the public weights of VGGish, which then stays as it is, as published, and of
        the image network.
    start
        A checkpoint of an earlier training, such as S4 as a start for MS3. It brings all weights,
        and its listener stays frozen if it was.
    official
        The authors' trained model, which hears by the VGGish of the file `vggish`.
    frozen
        Whether the listener stays as it is.
    """

    backbone: str = "resnet50"
    fusion: str = "TPAVI"
    tpavi_stages: tuple[int, ...] = STAGES
    vggish: Path | None = None
    encoder: Path | None = None
    start: Path | None = None
    official: Path | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        choose(NETWORKS, self.backbone, "backbone")
        choose(FUSIONS, self.fusion, "fusion")
        if not set(self.tpavi_stages) <= set(STAGES):
            raise AvcoreError(f"the stages are {STAGES}, got {self.tpavi_stages}")
        files = (self.vggish, self.encoder, self.official)
        if self.start and any(files):
            raise AvcoreError("a start brings all weights; leave out those of VGGish and encoder")
        if self.backbone == "small" and any(files):
            raise AvcoreError("the small networks have no public weights; choose another backbone")
        if self.vggish and not self.hears:
            raise AvcoreError(f"{self.fusion!r} hears nothing; leave out the weights of VGGish")
        if self.official and not self.vggish:
            raise AvcoreError("the authors' model needs the public VGGish to hear by: vggish=FILE")

    @property
    def hears(self) -> bool:
        """Whether the sound matters to it."""
        return self.fusion in HEARING


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


def build(network: Network, seed: int = 0) -> Listening:
    """The network for AVSBench.

    What has no file of weights begins at random and learns along; of a published network a
    warning then says where to find one.

    Raises
    ------
    CheckpointError
        When a file is missing, damaged or of another model.
    """
    if network.start is not None:
        return _started(network, network.start)
    if network.official is not None:
        return _official(network)
    network = replace(network, frozen=network.frozen or network.vggish is not None)
    with seeded(seed):
        whole = _assemble(network)
    parts = {"vggish": whole.listener, network.backbone: whole.model.encoder}
    files = {"vggish": network.vggish, network.backbone: network.encoder}
    for name, path in files.items():
        part = parts[name]
        if part is None or network.backbone == "small":
            continue  # nothing is heard, or nothing is published
        if path is not None:
            fill(part, _public_weights(part, path, WHERE[name]), path)
        else:
            message = f"{name} starts from random weights and learns along; {WHERE[name]}"
            warnings.warn(message, stacklevel=2)
    return whole


def _official(network: Network) -> Listening:
    """The authors' trained model with the public VGGish."""
    where, heard = WHERE["avs"], WHERE["vggish"]
    path, vggish = network.official or "", network.vggish or ""
    weights = only_tensors(read_any(path, where), path, where)
    model = AVSModel.from_official(weights, network.backbone)
    listener = VGGish.from_official(only_tensors(read_any(vggish, heard), vggish, heard))
    stages = tuple(int(stage) for stage in model.tpavi)
    return Listening(model, listener, replace(network, tpavi_stages=stages, frozen=True)).eval()


def _assemble(network: Network) -> Listening:
    """The network with random weights."""
    ear: type[nn.Module]
    if network.backbone == "small":
        model, ear = small_avs(network.fusion), SmallListener
    else:
        block = FUSIONS[network.fusion]
        model = AVSModel.published(network.backbone, STAGES if block else (), block or TPAVI)
        ear = VGGish
    for stage in set(model.tpavi) - {str(stage) for stage in network.tpavi_stages}:
        del model.tpavi[stage]
    return Listening(model, ear() if network.hears else None, network)


def _started(network: Network, start: Path) -> Listening:
    """The network with the weights of an earlier training, and its listener frozen if it was."""
    content = read(start)
    run = content.get("settings", {})
    for name in ("backbone", "fusion", "tpavi_stages"):
        if name not in run:
            raise CheckpointError(f"{start} is not of a training of avs")
        if (wanted := getattr(network, name)) != run[name]:
            raise CheckpointError(f"{start} is of a run with {name}={run[name]}, not {wanted}")
    with seeded(0):
        whole = _assemble(replace(network, frozen=run["frozen"]))
    fill(whole, content["model"], start)
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
