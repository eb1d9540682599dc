"""Training DenseAV: one recipe of weights, aligner warm-up, then everything.

Source: DenseAV (Hamilton et al., CVPR 2024), Secs. 3.4 and 3.5; weights of the terms from the
official configuration. Left out: the negative audio splice and the quad mix-up of the released
code, two augmentations with a loss term each, which the paper does not describe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel
from avcore.nn.pictures import augment, mirror_at_random
from avcore.papers.denseav import losses
from avcore.papers.denseav.model import DenseAV, Features, mask_steps
from avcore.papers.denseav.similarity import (
    HEAD_POOLS,
    POOLS,
    global_similarity,
    pool_time,
    pooled_similarity,
)
from avcore.papers.denseav.small import audible
from avcore.stage import SceneBatch
from avcore.support import AvcoreError, choose
from avcore.training import History, TrainConfig, fit, shuffled

ALL_POOLS = (*POOLS, "global")


@dataclass(frozen=True)
class Recipe:
    """What is minimised, and how training begins.

    Attributes
    ----------
    pool, head_pool
        How the volume becomes one number, see `pooled_similarity`; "global" compares the mean
        features of the whole sound and the whole picture by their cosine instead.
    disentangle, smoothness, nonnegative, silence, balance
        Weights of the disentangling term and of the four stability terms.
    warm_up
        Steps in which only the aligners learn, before all of the network does.
    """

    pool: str = "misa"
    head_pool: str = "max_elementwise"
    disentangle: float = 0.05
    smoothness: float = 0.01
    nonnegative: float = 0.01
    silence: float = 0.01
    balance: float = 0.1
    warm_up: int = 0

    def __post_init__(self) -> None:
        choose(ALL_POOLS, self.pool, "pooling")
        choose(HEAD_POOLS, self.head_pool, "pooling of heads")
        weights = (self.disentangle, self.smoothness, self.nonnegative, self.silence, self.balance)
        if min(*weights, self.warm_up) < 0:
            raise AvcoreError("weights of terms and warm_up must not be negative")


@dataclass(frozen=True)
class Clips:
    """What is learned from or measured on: pictures, the log-mel of their sounds, what is heard."""

    image: Tensor  # (N, 3, H, W) uint8
    heard: Tensor  # (N, n_mels, n): what the model's `front` gives
    mask: Tensor  # (N, m) bool: where there is sound, at any resolution

    @classmethod
    def of(cls, batch: SceneBatch) -> Clips:
        """The first frames and the sounds of scenes."""
        mel = log_mel(batch.waveform)
        return cls(batch.frames[:, 0].contiguous(), mel, audible(mel))

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, which) -> Clips:
        return Clips(self.image[which], self.heard[which], self.mask[which])


def similarities(features: Features, mask: Tensor | None, heads: int, recipe: Recipe) -> Tensor:
    """(A, V) similarities of all sounds and pictures as a recipe pools them."""
    if recipe.pool != "global":
        return pooled_similarity(
            features.audio, features.image, mask, heads, recipe.pool, recipe.head_pool
        )
    sound = pool_time(features.audio.mean(2), mask, maximum=False)
    return 10 * global_similarity(sound, features.image.mean((-2, -1)))


def total_loss(features: Features, mask: Tensor, heads: int, recipe: Recipe) -> dict[str, Tensor]:
    """Eq. 5: the "loss" that is minimised, and the parts it is made of, not yet weighted.

    `mask` (B, T) marks the steps with sound. Terms of weight 0 are not computed.
    """
    audio, image = features.audio, features.image
    sims = similarities(features, mask, heads, recipe)
    parts = {"nce": losses.info_nce(features.log_scale.exp().clamp(0.01, 100) * sims)}
    loss = parts["nce"]
    terms = {
        "disentangle": lambda: losses.disentanglement(audio, image, heads),
        "smoothness": lambda: losses.temporal_smoothness(audio, image, heads, mask),
        "nonnegative": lambda: losses.nonnegative_pressure(audio, image, heads),
        "silence": lambda: losses.silence(audio, image, mask, heads),
        "balance": lambda: losses.temperature_balance(features.log_scale),
    }
    for name, term in terms.items():
        weight = getattr(recipe, name)
        if weight:
            parts[name] = term()
            loss = loss + weight * parts[name]
    # every process must see a gradient for every weight, also those of tokens that are not used
    unused = 0 * (features.audio_token.sum() + features.image_token.sum())
    return {"loss": loss + unused, **parts}


def train(
    model: DenseAV,
    clips: Clips,
    config: TrainConfig,
    recipe: Recipe | None = None,
    augmented: bool = False,
    **fit_args,
) -> History:
    """Train `model` in place on pictures and sounds that belong together.

    The aligners alone learn for the first `recipe.warm_up` of `config.steps` steps. Pictures are
    mirrored at random, or changed by `avcore.nn.pictures.augment`. Class names, masks and words
    are never looked at.
    """
    recipe = recipe or Recipe()
    if not 0 <= recipe.warm_up < config.steps:
        raise AvcoreError(f"a warm-up of {recipe.warm_up} steps does not fit into {config.steps}")
    heads = model.heads

    def loss_fn(model: nn.Module, batch: Clips) -> dict[str, Tensor]:
        image = batch.image.float() / 255
        image = augment(image) if augmented else mirror_at_random(image)
        features = gathered(coarse(model(image, batch.heard)))
        mask = gather(mask_steps(batch.mask, features.audio.shape[-1]))
        return total_loss(features, mask, heads, recipe)

    batches = shuffled(clips, config)
    first = History()
    if recipe.warm_up:
        model.set_aligners_only(True)
        checkpoint = config.checkpoint and f"{config.checkpoint}.warm-up"
        short = replace(
            config, steps=recipe.warm_up, schedule="constant", checkpoint=checkpoint, warmup=0
        )
        first = fit(model, loss_fn, batches, short, **fit_args)
    model.set_aligners_only(False)
    rest = replace(config, steps=config.steps - recipe.warm_up)
    second = fit(
        model, loss_fn, lambda step, g: batches(step + recipe.warm_up, g), rest, **fit_args
    )
    return _joined(first, second, recipe.warm_up)


def coarse(features: Features) -> Features:
    """Image features averaged over 2×2 places: the grid of the official code in training."""
    return features._replace(image=functional.avg_pool2d(features.image, 2))


def gather(values: Tensor) -> Tensor:
    """Values of all processes, in order, with gradients to each; the same where there is one."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return values
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(values.contiguous()))


def gathered(features: Features) -> Features:
    """Features with the negatives of all processes; log γ is the same everywhere."""
    return Features._make([*map(gather, features[:-1]), features.log_scale])


def _joined(first: History, second: History, offset: int) -> History:
    """Two histories as one; the steps of the second come after those of the first."""
    out = History(seconds=first.seconds + second.seconds)
    for history, shift in ((first, 0), (second, offset)):
        for row, step in enumerate(history.steps):
            out.add(step + shift, {name: column[row] for name, column in history.values.items()})
    return out
