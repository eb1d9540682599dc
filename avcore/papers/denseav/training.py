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
from avcore.nn.pictures import mirror_at_random
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

# means over time and space; the sound's class token and the mean place; attention to the mean
GLOBAL_POOLS = ("global", "cls", "simpool")
ALL_POOLS = (*POOLS, *GLOBAL_POOLS)


@dataclass(frozen=True)
class Recipe:
    """What is minimised, and how training begins.

    Attributes
    ----------
    pool, head_pool
        How the volume becomes one number, see `pooled_similarity`; one of `GLOBAL_POOLS` compares
        one feature of the whole sound and one of the whole picture by their cosine instead.
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
    """What is learned from: what the fronts of a network make of pictures and sounds."""

    seen: Tensor  # (N, …): what the model's `image_front` gives, in half precision
    heard: Tensor  # (N, …): what its `front` gives, in half precision
    mask: Tensor  # (N, m) bool: where there is sound, at any resolution

    @classmethod
    def of(cls, batch: SceneBatch, model: DenseAV) -> Clips:
        """The first frames and the sounds of scenes, for models with the fronts of `model`."""
        pictures, mask = batch.frames[:, 0], audible(log_mel(batch.waveform))
        with torch.no_grad():
            seen = [model.image_front(part.float() / 255).half() for part in pictures.split(64)]
            heard = [model.front(part).half() for part in batch.waveform.split(64)]
        return cls(torch.cat(seen), torch.cat(heard), mask)

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, which) -> Clips:
        return Clips(self.seen[which], self.heard[which], self.mask[which])


def global_features(features: Features, mask: Tensor | None, pool: str) -> tuple[Tensor, Tensor]:
    """One feature of each sound and picture, (A, K·C) and (V, K·C): see `GLOBAL_POOLS`."""
    steps, places = features.audio.mean(2), features.image.flatten(2)
    if pool == "simpool":
        return attended(steps, mask), attended(places, None)
    sound = features.audio_token if pool == "cls" else pool_time(steps, mask, maximum=False)
    return sound, places.mean(-1)


def attended(values: Tensor, mask: Tensor | None) -> Tensor:
    """Pool (N, C, n) to (N, C) by attention whose query is the mean.

    Source: SimPool (Psomas et al., ICCV 2023), here without weights of its own: queries and keys
    are the features.
    """
    query = pool_time(values, mask, maximum=False)
    score = torch.einsum("nc,ncp->np", query, values) / values.shape[1] ** 0.5
    if mask is not None:
        score = score.masked_fill(~mask.bool(), -1e4)
    return torch.einsum("np,ncp->nc", score.softmax(-1), values)


def similarities(features: Features, mask: Tensor | None, heads: int, recipe: Recipe) -> Tensor:
    """(A, V) similarities of all sounds and pictures as a recipe pools them."""
    if recipe.pool not in GLOBAL_POOLS:
        return pooled_similarity(
            features.audio, features.image, mask, heads, recipe.pool, recipe.head_pool
        )
    return 10 * global_similarity(*global_features(features, mask, recipe.pool))


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
    **fit_args,
) -> History:
    """Train `model` in place on pictures and sounds that belong together.

    The aligners alone learn for the first `recipe.warm_up` of `config.steps` steps. What was seen
    is mirrored at random. Class names, masks and words are never looked at.
    """
    recipe = recipe or Recipe()
    if not 0 <= recipe.warm_up < config.steps:
        raise AvcoreError(f"a warm-up of {recipe.warm_up} steps does not fit into {config.steps}")
    heads = model.heads

    def loss_fn(model: nn.Module, batch: Clips) -> dict[str, Tensor]:
        seen = mirror_at_random(batch.seen.float())
        features = gathered(coarse(model(seen, batch.heard.float())))
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
