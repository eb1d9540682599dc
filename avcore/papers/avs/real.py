"""AVS on AVSBench itself: the published network and listener, trained on the published layout.

Source: the training scripts of the public code: Adam with 1e-4, four videos a batch, VGGish frozen,
the image network starting from ImageNet. Deviation: AdamW, and the schedule of `TrainConfig`.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avcore.data.avsbench import AVSBench, collate
from avcore.nn.pvt import PVTv2
from avcore.nn.vggish import VGGish
from avcore.nn.weights import fill, read_any
from avcore.papers.avs.evaluation import scores
from avcore.papers.avs.model import BACKBONES, AVSModel, ResNet50, Segmented
from avcore.papers.avs.small import small_avs, small_listener
from avcore.papers.avs.training import Recipe, prepared, total_loss
from avcore.support import AvcoreError, CheckpointError
from avcore.training import History, TrainConfig, fit, load_checkpoint, seeded

NETWORKS = ("small", *BACKBONES)
WHERE = {
    "vggish": "download vggish-10086976.pth of the torchvggish project and give its path",
    "resnet50": "download resnet50-19c8e357.pth of torchvision and give its path",
    "pvt_v2_b5": "download pvt_v2_b5.pth of the PVT project and give its path",
}


class SmallListener(nn.Module):
    """The stage's listener for VGGish's examples: (B, 1, 96, 64) -> (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = small_listener()

    def forward(self, example: Tensor) -> Tensor:
        return self.stream(example[:, 0].transpose(1, 2))


class Listening(nn.Module):
    """A segmentation network with the listener it hears by.

    A listener with weights of its own stays as it is, as published; one without learns along.
    """

    def __init__(self, model: AVSModel, listener: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.model, self.listener, self.frozen = model, listener, frozen
        self.listener.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Listening:
        super().train(mode)
        self.listener.train(mode and not self.frozen)
        return self

    def forward(self, frames: Tensor, heard: Tensor) -> Segmented:
        """Frames (B·T, 3, H, W), normalised, and log-mel examples (B·T, 1, 96, 64)."""
        return self.model(frames, self.listener(heard))


def build(
    backbone: str = "resnet50",
    vggish: str | Path | None = None,
    encoder: str | Path | None = None,
    start: str | Path | None = None,
    seed: int = 0,
) -> Listening:
    """The network for AVSBench.

    Parameters
    ----------
    backbone
        "resnet50", "pvt_v2_b5", or "small" (the stage's networks, which have no public weights).
    vggish, encoder
        Files with the public weights of VGGish and of the image network. Without them these
        begin at random, and a warning says where to find them.
    start
        A checkpoint of an earlier training: S4 as a start for MS3.

    Raises
    ------
    AvcoreError
        For an unknown backbone, or weights for the small one.
    CheckpointError
        When a file is missing, damaged or of another model.
    """
    if backbone not in NETWORKS:
        raise AvcoreError(f"unknown backbone {backbone!r}; choose one of {', '.join(NETWORKS)}")
    given = {"vggish": vggish, backbone: encoder}
    if backbone == "small":
        if vggish or encoder:
            raise AvcoreError("the small networks have no public weights; choose another backbone")
        with seeded(seed):
            whole = Listening(small_avs(), SmallListener(), frozen=False)
    else:
        with seeded(seed):
            network = ResNet50() if backbone == "resnet50" else PVTv2()
            model = AVSModel(network, BACKBONES[backbone])
            whole = Listening(model, VGGish(), frozen=vggish is not None)
        parts = {"vggish": whole.listener, backbone: model.encoder}
        for name, path in given.items():
            if path is not None:
                fill(parts[name], _public_weights(parts[name], path, WHERE[name]), path)
    if start is not None:
        load_checkpoint(whole, start)
    elif backbone != "small":
        for name in (name for name, path in given.items() if path is None):
            warnings.warn(f"{name} starts from random weights; {WHERE[name]}", stacklevel=2)
    return whole


def train(
    model: Listening,
    data: AVSBench,
    config: TrainConfig,
    recipe: Recipe,
    workers: int = 0,
    **fit_args,
) -> History:
    """Train `model` in place on the videos of a split; a checkpoint resumes where it stopped.

    Raises
    ------
    AvcoreError
        When a batch is larger than the split.
    """
    if len(data) < config.batch_size:
        raise AvcoreError(f"a batch of {config.batch_size} from only {len(data)} videos")
    loader = DataLoader(
        data,
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=collate,
    )

    def loss_fn(model: nn.Module, batch) -> dict[str, Tensor]:
        return total_loss(model, batch, recipe)

    return fit(model, loss_fn, loader, config, **fit_args)


@torch.no_grad()
def evaluate(model: Listening, data: AVSBench, batch: int = 4) -> dict[str, float]:
    """`scores` of the videos of a split, in batches of four as published."""
    model.eval()
    device = next(model.parameters()).device
    logits, masks = [], []
    for part in DataLoader(data, batch_size=batch, collate_fn=collate):
        heard = part.heard.to(device).flatten(0, 1)
        out = model(prepared(part.frames.to(device)), heard).logits[:, 0].cpu()
        logits.append(out.unflatten(0, (len(part.frames), -1)))
        masks.append(part.masks)
    return scores(torch.cat(logits), torch.cat(masks), batch)


def _public_weights(part: nn.Module, path: str | Path, hint: str) -> dict[str, Tensor]:
    """Weights of a public file under our names, without the layer that classifies.

    Counters of batches, which old files lack and nothing reads, are taken from `part`.
    """
    weights = read_any(path, hint)
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise CheckpointError(f"{path} is not a state dict; {hint}")
    counters = {k: v for k, v in part.state_dict().items() if k.endswith("num_batches_tracked")}
    return counters | {
        re.sub(r"^layer(\d)\.", lambda m: f"layers.{int(m[1]) - 1}.", name): value
        for name, value in weights.items()
        if not name.startswith(("fc.", "head."))
    }
