"""Audio-visual correspondence: the shared ancestor of the five systems.

Two streams, one for a picture and one for its sound, learn nothing but whether the two belong
together. Where the picture's features are most like the sound's feature is where the sound comes
from. Source: Arandjelović and Zisserman, "Objects that Sound" (ECCV 2018), and Senocak et al.
(CVPR 2018); the max-pooled cosine map with a scalar scale and BCE is also stage 1 of CSOL, whose
image stream, too, starts from ImageNet and whose sound stream starts from nothing. Deviations:
the pretrained network stays as it is, so that what it sees is computed once; log-mel input; batch
normalisation at the end of each stream so that cosines spread from the first step; and picture
features averaged over 3×3 places, so that the best place of a map is a part of an object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore import metrics
from avcore.audio import log_mel
from avcore.metrics import baselines
from avcore.nn import pretrained
from avcore.nn.backbones import SoundStream
from avcore.nn.losses import info_nce, pair_bce
from avcore.nn.pictures import mirror_at_random
from avcore.nn.pretrained import CHANNELS, LITE0, JoinedFeatures
from avcore.stage import STILL, AssetBank, SceneBatch, render_splits
from avcore.support import AvcoreError, Splits, by_scale, choose
from avcore.training import History, TrainConfig, features, fit, predict, seeded, shuffled

SEEN = sum(CHANNELS[LITE0][1:3])  # channels of what the eye sees
WIDTH = 128  # of the image stream's hidden layer
POOLS = ("max", "mean")
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"infonce": info_nce, "bce": pair_bce}
FRACTIONS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # where a map may be cut; chosen on validation scenes


class Correspondence(nn.Module):
    """Two streams that meet in a cosine map, on what a pretrained eye has seen (`see`).

    Parameters
    ----------
    channels
        Length of the common feature, C.
    pool
        How a map becomes one number: "max" (the best place) or "mean" (all places).
    """

    def __init__(self, channels: int = 128, pool: str = "max") -> None:
        super().__init__()
        self.pool = choose(POOLS, pool, "pooling")
        self.image = nn.Sequential(
            nn.BatchNorm2d(SEEN, affine=False),
            nn.Conv2d(SEEN, WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, channels, 1),
            nn.BatchNorm2d(channels),
            nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        )
        self.sound = nn.Sequential(SoundStream(channels), nn.BatchNorm1d(channels))
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(0.0))

    def encode_image(self, seen: Tensor) -> Tensor:
        """What `see` gives, (V, 152, h, w) -> unit features (V, C, h, w)."""
        return functional.normalize(self.image(seen.float()), dim=1)

    def encode_sound(self, mel: Tensor) -> Tensor:
        """Log-mel (A, n_mels, frames) -> unit features (A, C)."""
        return functional.normalize(self.sound(mel), dim=1)

    def maps(self, seen: Tensor, mel: Tensor) -> Tensor:
        """Cosine map of each pair, (B, 152, h, w) and (B, n_mels, frames) -> (B, h, w)."""
        return torch.einsum("bchw,bc->bhw", self.encode_image(seen), self.encode_sound(mel))

    def forward(self, seen: Tensor, mel: Tensor) -> Tensor:
        """Logits of every sound against every picture, (A, V)."""
        volume = torch.einsum(
            "ac,vchw->avhw", self.encode_sound(mel), self.encode_image(seen)
        )  # (A, V, h, w)
        pooled = volume.amax((-2, -1)) if self.pool == "max" else volume.mean((-2, -1))
        return self.log_scale.exp().clamp(max=50) * pooled + self.bias


@lru_cache(maxsize=1)
def eye() -> JoinedFeatures:
    """The pretrained eye of this paper, see `avcore.nn.pretrained.eye`, at strides 8 and 16."""
    return JoinedFeatures(pretrained.eye()).eval()


def see(pictures: Tensor) -> Tensor:
    """What the eye sees, (N, 3, H, W) uint8 -> (N, 152, H/8, W/8) float16, kept in the cache."""
    return features.seen(eye(), pictures)[0]


@dataclass(frozen=True)
class Experience:
    """What the network may learn from or is measured on: pictures and the log-mel of sounds."""

    image: Tensor  # (N, 3, H, W) uint8
    seen: Tensor  # (N, 152, h, w) float16, see `see`
    mel: Tensor  # (N, n_mels, frames)

    @classmethod
    def of(cls, batch: SceneBatch) -> Experience:
        image = batch.frames[:, 0].contiguous()
        return cls(image, see(image), log_mel(batch.waveform))


def train(
    experience: Experience,
    config: TrainConfig,
    pool: str = "max",
    loss: str = "infonce",
    **fit_args,
) -> tuple[Correspondence, History]:
    """Train a `Correspondence` on pictures and sounds that belong together.

    What was seen is mirrored at random. Class names and masks are never looked at.
    """
    function = choose(LOSSES, loss, "loss")
    with seeded(config.seed):
        model = Correspondence(pool=pool)

    def loss_fn(model: nn.Module, batch: Experience) -> Tensor:
        return function(model(mirror_at_random(batch.seen), batch.mel))

    batches = shuffled(experience, config)
    history = fit(model, loss_fn, batches, config, **fit_args)
    return model, history


def train_mean_first(
    experience: Experience,
    config: TrainConfig,
    share: float = 0.25,
    loss: str = "infonce",
) -> tuple[Correspondence, History]:
    """As `train`, with the mean of the map for a share of the steps, then with its maximum.

    The maximum alone teaches one place, and at first any place can be the best: with photographs
    some sounds keep a place of the background, whose receptive field holds the object. The mean
    has lit the object before. Raises `AvcoreError` for a share outside of [0, 1] or a checkpoint,
    which would not know where the change is.
    """
    if not 0 <= share <= 1:
        raise AvcoreError(f"share is in [0, 1], got {share}")
    if config.checkpoint is not None:
        raise AvcoreError("a training by the mean first keeps no checkpoint")
    function = choose(LOSSES, loss, "loss")
    with seeded(config.seed):
        model = Correspondence(pool="mean" if share else "max")

    def loss_fn(model: nn.Module, batch: Experience) -> Tensor:
        return function(model(mirror_at_random(batch.seen), batch.mel))

    def change(step: int, _: dict[str, float]) -> None:
        if step >= share * config.steps:
            model.pool = "max"

    return model, fit(model, loss_fn, shuffled(experience, config), config, on_step=change)


def localise(model: Correspondence, experience: Experience, size: int, batch: int = 128) -> Tensor:
    """Heatmap of each pair, (N, size, size) in [0, 1]: the cosine map, resized, min to max.

    Undefined maps do not occur: a constant map gives zeros.
    """

    def function(model: Correspondence, part: Experience) -> Tensor:
        return model.maps(part.seen, part.mel)

    maps = metrics.resize_maps(predict(model, experience, function, batch), size)
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-8)


def best_fraction(maps: Tensor, target: Tensor) -> float:
    """The cut of `FRACTIONS` with the highest mean IoU; call it on validation scenes."""
    scores = [metrics.iou(maps >= fraction, target).mean() for fraction in FRACTIONS]
    return FRACTIONS[int(torch.stack(scores).argmax())]


def score(maps: Tensor, target: Tensor, fraction: float) -> dict[str, float]:
    """Mean IoU of the maps cut at `fraction`, IoU@0.5, area under the success curve, pointing."""
    ious = metrics.iou(maps >= fraction, target)
    return {
        "iou": ious.mean().item(),
        "iou@0.5": (ious >= 0.5).double().mean().item(),
        "auc": metrics.success_auc(ious),
        "pointing": metrics.pointing(maps, target).mean().item(),
    }


def baseline_maps(model: Correspondence, experience: Experience, size: int) -> dict[str, Tensor]:
    """Maps (N, size, size) in [0, 1] of trivial baselines: what a model has to beat.

    "whole image", "centre" and "saliency" never listen; the model itself hears "silent audio" or
    "permuted audio" (the sound of the next scene).
    """
    count = len(experience.image)
    shape = (count, size, size)
    silence = log_mel(torch.zeros(1, 16_000))[..., : experience.mel.shape[-1]]
    return {
        "whole image": baselines.everything(shape),
        "centre": baselines.centre(shape),
        "saliency": metrics.resize_maps(baselines.saliency(experience.image), size),
        "silent audio": localise(
            model, replace(experience, mel=silence.expand(count, -1, -1)), size
        ),
        "permuted audio": localise(model, replace(experience, mel=experience.mel.roll(1, 0)), size),
    }


SCENES = replace(STILL, size=128)
LEARN = replace(SCENES, objects=(1, 1))


def make_data(
    scale: str,
    seed: int,
    bank: AssetBank | None = None,
    counts: tuple[int, int, int] | None = None,
    workers: int = 2,
) -> Splits[SceneBatch]:
    """Render the scenes of an experiment at a scale; the splits share no scene.

    One object to learn from (`LEARN`), as in the solo videos of CSOL's stage 1; two to choose on
    and to be measured on, one of them silent. `counts` of training, validation and test scenes are
    the scale's where they are not given.
    """
    counts = counts or by_scale(
        scale, smoke=(64, 16, 16), quick=(2500, 200, 400), full=(40_000, 500, 2000)
    )
    workers = 0 if scale == "smoke" else workers
    return render_splits(LEARN, SCENES, counts, bank, seed, workers)


def measure(model: Correspondence, data: Splits[SceneBatch]) -> dict[str, float]:
    """Scores on the test scenes, cut where validation scenes say, and their yardsticks.

    Beside `score`: `ap` (average precision of all pixels), `cut`; and what a network has to beat:
    `trivial_ap` (the best of the whole image, centre and saliency), `whole_image_iou`,
    `wrong_sound_pointing` (listening to another scene's sound) and `silent_pointing`.
    """
    size = data.val.target().shape[-1]
    val, test = Experience.of(data.val), Experience.of(data.test)
    cut = best_fraction(localise(model, val, size), data.val.target()[:, 0])
    target = data.test.target()[:, 0]
    maps, others = localise(model, test, size), baseline_maps(model, test, size)
    trivial = ("whole image", "centre", "saliency")
    return {
        **score(maps, target, cut),
        "ap": metrics.average_precision(maps, target),
        "cut": cut,
        "trivial_ap": max(metrics.average_precision(others[name], target) for name in trivial),
        "whole_image_iou": metrics.iou(others["whole image"] >= cut, target).mean().item(),
        "wrong_sound_pointing": metrics.pointing(others["permuted audio"], target).mean().item(),
        "silent_pointing": metrics.pointing(others["silent audio"], target).mean().item(),
    }


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training that chapter 02 and claim C7 use, the same for every variant."""
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=500, full=5000),
        batch_size=by_scale(scale, smoke=16, quick=64, full=64),
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=1, quick=30, full=200),
        clip_norm=1.0,
        seed=seed,
        device=device,
    )


def localisation_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claim C7: train with one pooling and measure on held-out scenes of two objects, one silent.

    Both variants see the same scenes for the same number of steps; the cut of the maps is chosen
    on validation scenes for each.
    """
    pretrained.check(scale)
    config = replace(train_config(scale, seed, device), progress=False)
    data = make_data(scale, seed)
    model, _ = train(Experience.of(data.train), config, pool=variant)
    return measure(model, data)
