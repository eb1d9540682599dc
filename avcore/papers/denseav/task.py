"""DenseAV on a folder of pictures or videos with sound: small, or at the published size.

Source: DenseAV (Hamilton et al., CVPR 2024), Secs. 3.4 and 3.5, and the official configuration:
80 pairs of 224 pixels and 10.26 s, aligners alone for 3,000 steps at 5e-5, then everything with
1,000 steps of rising rate, of which DINO by LoRA. Deviations: AdamW without weight decay and the
usual epsilon instead of Adam's 1e-7; a fixed instead of an adaptive limit of the gradient's norm;
the middle frame of a video instead of one of ten; and those of `denseav.training`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from avcore.audio import log_mel
from avcore.data.sets.clips import Clip, ClipDataset, fit_length
from avcore.data.sets.files import ClipConfig
from avcore.data.sets.folder import list_clips
from avcore.nn.hubert import from_transformers_key
from avcore.nn.official import only_tensors
from avcore.nn.pictures import augment, mirror_at_random, normalise
from avcore.nn.weights import fill, read_any
from avcore.papers.denseav.evaluation import retrieval
from avcore.papers.denseav.model import DenseAV, Features, mask_steps
from avcore.papers.denseav.official import HEADS, load_file, prepare_waveform
from avcore.papers.denseav.small import START, audible, small_denseav
from avcore.papers.denseav.training import Recipe, gather, gathered, total_loss
from avcore.support import AvcoreError, choose
from avcore.training import Ordered, Phase, Preset, Reading, Task, TrainConfig, predict, seeded
from avcore.training.predict import device_of

SAMPLE_RATE = 16_000  # Hz
KS = (1, 5, 10)  # of the recalls
WHERE = {
    "dino": "download dino_deitsmall8_pretrain.pth of the DINO project and give its path",
    "hubert": "download pytorch_model.bin of facebook/hubert-large-ll60k and give its path",
}


@dataclass(frozen=True)
class Network:
    """What the dual encoder is made of.

    Attributes
    ----------
    backbones
        "small", those of `denseav.small`, or "published": DINO ViT-S/8 and HuBERT large.
    heads
        K.
    start
        Of the small backbones, see `small_denseav`: "frozen", "tuned" or "scratch".
    dino, hubert
        Files with the public weights of the published backbones.
    official
        A checkpoint of the authors; the name of the file says how many heads it has.
    """

    backbones: str = "small"
    heads: int = 1
    start: str = "tuned"
    dino: Path | None = None
    hubert: Path | None = None
    official: Path | None = None

    def __post_init__(self) -> None:
        choose(("small", "published"), self.backbones, "backbones")
        choose(START, self.start, "start")
        if self.heads < 1:
            raise AvcoreError(f"there is at least one head, got heads={self.heads}")
        if self.backbones == "small" and (self.dino or self.hubert or self.official):
            raise AvcoreError(
                "the small backbones bring their own weights; set backbones=published"
            )
        if self.official and (self.dino or self.hubert):
            raise AvcoreError("the authors' checkpoint brings all weights; leave out the others")


@dataclass(frozen=True)
class Pairs:
    """How pictures and sounds are read: pixels of a side, and seconds that are heard.

    The seconds are from the middle of a sound or a video, and so is the frame of a video.
    """

    size: int = 128
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.size < 8 or self.size % 8 or not self.seconds > 0:
            raise AvcoreError("size wants a multiple of 8, and seconds more than 0")


@dataclass(frozen=True)
class PhaseRecipe(Recipe):
    """What is minimised in a phase.

    Attributes
    ----------
    aligners_only
        Whether the backbones stay as they are.
    augmented
        Whether pictures are changed by `augment`, or only mirrored at random.
    """

    aligners_only: bool = False
    augmented: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warm_up:
            raise AvcoreError("the warm-up is a phase of its own; set warm-up.steps")


class Pair(NamedTuple):
    """A picture (3, size, size) uint8 and its sound (n,) at 16 kHz; or B of them."""

    image: Tensor
    waveform: Tensor
    name: str


def build(network: Network, seed: int = 0) -> DenseAV:
    """The dual encoder; published backbones without a file begin at random, and a warning says so.

    Raises
    ------
    CheckpointError
        When a file is missing, damaged or of another model.
    """
    model: Any
    if network.official is not None:
        heads = HEADS.get(network.official.stem, network.heads)
        model, network = load_file(network.official, heads), replace(network, heads=heads)
    elif network.backbones == "small":
        with seeded(seed):
            model = small_denseav(network.heads, start=network.start)
    else:
        with seeded(seed):
            model = DenseAV.published(network.heads)
        _fill_public(model.image_encoder, network.dino, "dino", lambda key: key)
        _fill_public(model.audio_encoder, network.hubert, "hubert", _rename_hubert)
    model.network = network
    return model


def _fill_public(
    part: nn.Module, path: Path | None, name: str, rename: Callable[[str], str | None]
) -> None:
    """Fill a backbone with its public weights; those of LoRA, which it has beside, stay."""
    hint = WHERE[name]
    if path is None:
        warnings.warn(f"{name} starts from random weights; {hint}", stacklevel=3)
        return
    public = only_tensors(read_any(path, hint), path, hint)
    weights = {key: value for key, value in part.state_dict().items() if "lora_" in key}
    renamed = {rename(key): value for key, value in public.items()}
    weights |= {name: value for name, value in renamed.items() if name is not None}
    fill(part, weights, path)


def _rename_hubert(key: str) -> str | None:
    if key.startswith("lm_head."):
        return None
    return from_transformers_key(key.removeprefix("hubert."))


def data(options: Pairs, root: str | Path | None, split: str, reading: Reading) -> ClipDataset:
    """The pairs in the folder of a split, each of which is checked; see `data.sets.folder`."""
    if root is None:
        raise AvcoreError("DenseAV is trained on a folder with train and val in it: give a root")
    config = ClipConfig(options.size, SAMPLE_RATE, seconds=options.seconds)
    transform = partial(to_pair, samples=config.samples)
    index = list_clips(root, split)
    report = reading.progress_of(split)
    return ClipDataset(root, index, config, transform, reading.skip_bad, report, split)


def to_pair(clip: Clip, samples: int) -> Pair:
    """A clip's picture with its sound, followed by silence where it is short."""
    return Pair(clip.frames[0], fit_length(clip.waveform, samples), clip.name)


def loss(model: Any, batch: Pair, recipe: PhaseRecipe) -> dict[str, Tensor]:
    """Eq. 5 for the pairs of all processes."""
    image = batch.image.float() / 255
    image = augment(image) if recipe.augmented else mirror_at_random(image)
    features, mask = _features(model, image, batch.waveform)
    return total_loss(gathered(features), gather(mask), model.heads, recipe)


def _features(model: Any, image: Tensor, waveform: Tensor) -> tuple[Features, Tensor]:
    """What the model makes of pictures in [0, 1] and waveforms, and which steps are heard."""
    mask = audible(log_mel(waveform))
    if model.network.backbones == "published":
        features = model(normalise(image), prepare_waveform(waveform))
    else:
        features = model(model.image_front(image), model.front(waveform))
    return features, mask_steps(mask, features.audio.shape[-1])


def evaluate(model: Any, loader: Ordered) -> dict[str, float]:
    """Recall of pictures by sounds and of sounds by pictures, and "mean_recall" of all of them.

    At k = 1, 5 and 10 as far as there are so many pairs.
    """

    def function(model: Any, batch: Pair) -> tuple[Tensor, ...]:
        features, mask = _features(model, batch.image.float() / 255, batch.waveform)
        return (*features[:-1], mask)

    device = device_of(model)
    *parts, mask = (part.to(device) for part in predict(model, loader, function))
    features = Features._make([*parts, model.log_scale])
    ks = tuple(k for k in KS if k <= len(mask))
    recalls = retrieval(features, mask, model.heads, Recipe(), ks)
    return {**recalls, "mean_recall": sum(recalls.values()) / len(recalls)}


def prepare(model: DenseAV, recipe: PhaseRecipe) -> None:
    """In the warm-up the aligners alone learn."""
    model.set_aligners_only(recipe.aligners_only)


def _phases(config: TrainConfig, warm_up: int, recipe: PhaseRecipe) -> tuple[Phase, ...]:
    first = replace(config, steps=warm_up, schedule="constant", warmup=0, checkpoint_every=0)
    return (
        Phase(first, replace(recipe, aligners_only=True), "warm-up"),
        Phase(config, recipe),
    )


SMALL = TrainConfig(2000, 32, learning_rate=1e-3, warmup=50, clip_norm=1.0, checkpoint_every=200)
PUBLISHED = TrainConfig(
    steps=800_000,
    batch_size=80,
    learning_rate=5e-5,
    schedule="constant",
    warmup=1000,
    clip_norm=10.0,
    precision="16-mixed",
    checkpoint_every=2000,
)
TASK = Task(
    name="denseav",
    presets={
        "small": Preset(_phases(SMALL, 200, PhaseRecipe(augmented=False)), Network(), Pairs()),
        "published": Preset(
            _phases(PUBLISHED, 3000, PhaseRecipe()),
            Network("published", heads=2),
            Pairs(224, 10.2625),
        ),
    },
    build=build,
    data=data,
    loss=loss,
    evaluate=evaluate,
    best="mean_recall",
    least=2,
    trained=lambda network: ("official",),
    prepare=prepare,
)
