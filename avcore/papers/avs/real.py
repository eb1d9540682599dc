"""AVS on AVSBench itself: the published network and listener, trained on the published layout.

Source: the training scripts of the public code: Adam with a constant rate of 1e-4 (AdamW without
weight decay is the same), four videos a batch, 15 epochs of S4 or 30 of MS3, VGGish frozen, the
image network starting from ImageNet, the dilated heads from N(0, 0.01²), and the epoch kept that
is best on the validation videos. Deviations: PVT-v2 trains without stochastic depth (published:
0.1); an epoch that was interrupted while it was scored is not scored again, unless it is the last;
and masks of several values are refused, see `avcore.data.avsbench_files.read_mask`.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avcore.data.avsbench import AVSBench, collate
from avcore.data.avsbench_index import FRAMES
from avcore.nn.official import only_tensors
from avcore.nn.pvt import PVTv2
from avcore.nn.vggish import VGGish
from avcore.nn.weights import fill, read_any
from avcore.papers.avs.evaluation import BATCH, scores
from avcore.papers.avs.model import BACKBONES, AVSModel, ResNet50, Segmented
from avcore.papers.avs.small import FUSIONS, small_avs, small_listener
from avcore.papers.avs.tpavi import TPAVI
from avcore.papers.avs.training import Recipe, prepared, total_loss
from avcore.support import AvcoreError, CheckpointError
from avcore.training import History, TrainConfig, fit, seeded
from avcore.training.checkpoint import read, write
from avcore.training.loop import FREE_ON_RESUME

NETWORKS = ("small", *BACKBONES)
HEARING = ("TPAVI", "addition")  # fusions to which the sound matters
STAGES = (0, 1, 2, 3)
EPOCHS = {"S4": 15, "MS3": 30}  # as published, by setting
RECIPES = {"S4": Recipe(1), "MS3": Recipe(FRAMES, 0.5)}  # as published, by setting
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
        for what, name, known in (
            ("backbone", self.backbone, NETWORKS),
            ("fusion", self.fusion, FUSIONS),
        ):
            if name not in known:
                raise AvcoreError(f"unknown {what} {name!r}; choose one of {', '.join(known)}")
        if not set(self.tpavi_stages) <= set(STAGES):
            raise AvcoreError(f"the stages are {STAGES}, got {self.tpavi_stages}")


@dataclass(frozen=True)
class Videos:
    """What is trained on: so many videos of a setting, with frames of `size` pixels a side."""

    setting: str = "S4"
    size: int = 224
    videos: int = 0


@dataclass(frozen=True)
class Run(TrainConfig, Recipe, Network, Videos):
    """All that a training on AVSBench is; a checkpoint only resumes a run that is the same."""


class SmallListener(nn.Module):
    """The stage's listener for VGGish's examples: (B, 1, 96, 64) -> (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = small_listener()

    def forward(self, example: Tensor) -> Tensor:
        return self.stream(example[:, 0].transpose(1, 2))


class Listening(nn.Module):
    """A segmentation network with the listener it hears by, made as `network` says."""

    def __init__(self, model: AVSModel, listener: nn.Module, network: Network) -> None:
        super().__init__()
        self.model, self.listener, self.network = model, listener, network
        self.listener.requires_grad_(not network.frozen)

    def train(self, mode: bool = True) -> Listening:
        super().train(mode)
        self.listener.train(mode and not self.network.frozen)
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
        For unknown names, weights for the small one, or other weights beside a start.
    CheckpointError
        When a file is missing, damaged or of another model.
    """
    hears, published = fusion in HEARING, backbone != "small"
    frozen = published and (vggish is not None or not hears)
    network = Network(backbone, fusion, tuple(sorted(tpavi_stages)), frozen)
    given = {"vggish": vggish, backbone: encoder}
    weights = any(path is not None for path in given.values())
    if start is not None:
        if weights:
            raise AvcoreError("a start brings all weights; leave out those of VGGish and encoder")
        return _started(network, start)
    if weights and not published:
        raise AvcoreError("the small networks have no public weights; choose another backbone")
    with seeded(seed):
        whole = _assemble(network)
    parts = {"vggish": whole.listener, backbone: whole.model.encoder}
    for name, path in given.items():
        if path is not None:
            fill(parts[name], _public_weights(parts[name], path, WHERE[name]), path)
        elif published and (hears or name != "vggish"):
            message = f"{name} starts from random weights and learns along; {WHERE[name]}"
            warnings.warn(message, stacklevel=2)
    return whole


def load(path: str | Path) -> tuple[Listening, dict[str, Any]]:
    """The network of a training, in evaluation mode, and the conditions of that run (see `Run`).

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


def recipe(
    setting: str,
    fusion: str = "TPAVI",
    matching: float | None = None,
    distance: str = "kl",
    target: str = "audio",
) -> Recipe:
    """What is minimised in a setting; without `matching` its weight is the published one.

    A network that does not hear has nothing to match: 0, and an `AvcoreError` for another weight.
    """
    if setting not in RECIPES:
        raise AvcoreError(f"unknown setting {setting!r}; choose one of {', '.join(RECIPES)}")
    published = RECIPES[setting]
    if matching is None:
        matching = published.matching if fusion in HEARING else 0.0
    if matching and fusion not in HEARING:
        raise AvcoreError(f"matching needs a network that hears: {' or '.join(HEARING)}")
    return replace(published, matching=matching, distance=distance, target=target)


def train(
    model: Listening,
    data: AVSBench,
    config: TrainConfig,
    recipe: Recipe,
    workers: int = 0,
    validation: AVSBench | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> History:
    """Train `model` in place on the videos of a split; a checkpoint resumes where it stopped.

    Parameters
    ----------
    workers
        Processes that read.
    validation
        Videos to score after each epoch; the weights with the best mean IoU are kept beside the
        checkpoint, see `best_path`.
    on_step
        As in `fit`.

    Raises
    ------
    AvcoreError
        When a batch is larger than the split, or the best is to be kept without a checkpoint.
    CheckpointError
        When the checkpoint is of another run; what differs is named.
    """
    if len(data) < config.batch_size:
        raise AvcoreError(f"a batch of {config.batch_size} from only {len(data)} videos")
    if validation is not None and config.checkpoint is None:
        raise AvcoreError("the best epoch is kept beside the checkpoint, but there is none")
    videos = Videos(data.setting, data.size, len(data))
    run = Run(**vars(config), **vars(recipe), **vars(model.network), **vars(videos))
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

    if validation is None:
        return fit(model, loss_fn, loader, run, on_step=on_step)
    best = _Best(model, validation, run, workers)

    def after(step: int, values: dict[str, float]) -> None:
        if step % len(loader) == 0 or step == run.steps:
            best.score(step)
            model.train()
        if on_step is not None:
            on_step(step, values)

    history = fit(model, loss_fn, loader, run, on_step=after)
    if best.scored != run.steps:  # the run was over before: it may have been stopped at this point
        best.score(run.steps)
    return history


def best_path(checkpoint: str | Path) -> Path:
    """Where `train` keeps the best epoch of a run."""
    return Path(f"{checkpoint}.best")


def read_best(checkpoint: str | Path) -> dict[str, Any]:
    """What `train` kept: "scores" of the best epoch, "after" how many steps, and its "model"."""
    return read(best_path(checkpoint))


@torch.no_grad()
def evaluate(model: nn.Module, data: AVSBench, workers: int = 0) -> dict[str, float]:
    """`scores` of the videos of a split, in batches of four as published.

    Raises
    ------
    AvcoreError
        When only the first frames have masks, as in the split train of S4.
    """
    if (labelled := len(data.videos[0].masks)) != FRAMES:
        raise AvcoreError(
            f"scores need the masks of all {FRAMES} frames; the split {data.split} of "
            f"{data.setting} has {labelled} for each video, choose another"
        )
    model.eval()
    device = next(model.parameters()).device
    logits, masks = [], []
    for part in DataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=collate):
        heard = part.heard.to(device).flatten(0, 1)
        out = model(prepared(part.frames.to(device)), heard).logits[:, 0].cpu()
        logits.append(out.unflatten(0, (len(part.frames), -1)))
        masks.append(part.masks)
    return scores(torch.cat(logits), torch.cat(masks), BATCH)


class _Best:
    """Keeps the weights of a run that scored best on the validation videos."""

    def __init__(self, model: Listening, data: AVSBench, run: Run, workers: int) -> None:
        self.model, self.data, self.workers = model, data, workers
        self.path, self.scored, self.miou = best_path(run.checkpoint), 0, -1.0
        self.settings = {k: v for k, v in asdict(run).items() if k not in FREE_ON_RESUME}
        if Path(run.checkpoint).exists() and self.path.exists():
            kept = read_best(run.checkpoint)
            if kept.get("settings") == self.settings:  # else it was left by another run
                self.miou = kept["scores"]["miou"]

    def score(self, step: int) -> None:
        found, self.scored = evaluate(self.model, self.data, self.workers), step
        if found["miou"] > self.miou:
            self.miou = found["miou"]
            weights = self.model.state_dict()
            content = {"model": weights, "settings": self.settings, "scores": found, "after": step}
            write(self.path, content)


def _assemble(network: Network) -> Listening:
    """The network with random weights; the published heads begin small, as published."""
    if network.backbone == "small":
        model, listener = small_avs(network.fusion), SmallListener()
    else:
        encoder = ResNet50() if network.backbone == "resnet50" else PVTv2()
        block = FUSIONS[network.fusion]
        stages = STAGES if block else ()
        widths = BACKBONES[network.backbone]
        model = AVSModel(encoder, widths, tpavi_stages=stages, fusion=block or TPAVI)
        listener = VGGish()
        for convolution in (layer for head in model.heads for layer in head):
            nn.init.normal_(convolution.weight, std=0.01)
    for stage in set(model.tpavi) - {str(stage) for stage in network.tpavi_stages}:
        del model.tpavi[stage]
    return Listening(model, listener, network)


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
