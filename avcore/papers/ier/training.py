"""Both trainings of IEr: the identifier on mixtures of solos, the referrer on scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import Scenes
from avcore.nn.losses import distribution_loss, pair_bce
from avcore.nn.pictures import mirror_at_random
from avcore.papers.ier.identifier import Identifier, prototypes_of
from avcore.papers.ier.referrer import Referrer
from avcore.support import AvcoreError
from avcore.training import History, TrainConfig, fit, predict, seeded, shuffled
from avcore.training.sampler import BatchSource

DECIBEL = 0.2302585  # the natural logarithm of a power ratio of 1 dB
MASS = 50.0  # sharpens the means of class-specific maps before their softmax
ANCHOR = 0.5  # weight of stage one's loss on solos while the referrer learns


class Mixed(NamedTuple):
    """B sounds (B, 64, n), and which classes are in them, (B, K) of 0 and 1."""

    mel: Tensor
    label: Tensor


@dataclass(frozen=True)
class Curriculum:
    """How mixtures change along the training: linearly from the first of a pair to the second.

    Attributes
    ----------
    share
        Of mixtures among all sounds; the others are single sounds.
    most
        The greatest number of sources in the first and in the second half of the training.
    gap_db
        How far below the first source the others lie: from 0 to so many dB, evenly.
    """

    share: tuple[float, float] = (0.5, 0.9)
    most: tuple[int, int] = (2, 4)
    gap_db: float = 20.0

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in self.share) or min(self.most) < 2:
            raise AvcoreError("shares go from 0 to 1, and a mixture has two sources at least")


FIXED = Curriculum((0.7, 0.7), (4, 4))  # as much mixing on average, and no order


def mix(mels: Tensor, levels_db: Tensor) -> Tensor:
    """Log-mels (n, B, 64, t) at levels (n, B) in dB, added in power: (B, 64, t).

    The phases of waveforms, which make some bands of a mixture louder or softer, are left out.
    """
    return torch.logsumexp(mels + DECIBEL * levels_db[:, :, None, None], dim=0)


@dataclass(frozen=True)
class Mixer:
    """Batches of single and mixed sounds; for `fit`, by step.

    Attributes
    ----------
    mel, label
        Single sounds (N, 64, t) and their pseudo-labels (N,), below `classes`.
    """

    mel: Tensor
    label: Tensor
    classes: int
    config: TrainConfig
    plan: Curriculum = Curriculum()

    def __call__(self, step: int, generator: torch.Generator) -> Mixed:
        done, size = step / max(self.config.steps, 1), self.config.batch_size
        most = self.plan.most[0] if done < 0.5 else self.plan.most[1]
        share = self.plan.share[0] + done * (self.plan.share[1] - self.plan.share[0])
        count = int(torch.randint(2, most + 1, (1,), generator=generator))
        which = torch.randint(len(self.mel), (count, size), generator=generator)
        levels = -self.plan.gap_db * torch.rand(count, size, generator=generator)
        levels[0] = 0.0
        single = torch.rand(size, generator=generator) >= share
        levels[1:, single] = -torch.inf
        label = torch.zeros(size, self.classes)
        for sources, level in zip(self.label[which], levels, strict=True):
            heard = (level > -torch.inf).float()[:, None]
            label = torch.maximum(label, heard * functional.one_hot(sources, self.classes))
        return Mixed(mix(self.mel[which], levels), label)


def identify(
    start: SmallLocaliser,
    scenes: Scenes,
    labels: Tensor,
    config: TrainConfig,
    plan: Curriculum | None = None,
    steps: str = "each",
    level: str = "mid",
    **fit_args,
) -> tuple[Identifier, History]:
    """Teach an identifier the classes in mixtures of single sounds, by their pseudo-labels (N,)."""
    prototypes = sound_prototypes(start, scenes, labels)
    with seeded(config.seed):
        model = Identifier(start.audio_net, prototypes, steps, level)
    batches = Mixer(scenes.mel, labels, len(prototypes), config, plan or Curriculum())
    return model, fit(model, named_loss, batches, config, **fit_args)


def sound_prototypes(network: SmallLocaliser, scenes: Scenes, labels: Tensor) -> Tensor:
    """P^a (K, 128): what solos of each pseudo-label (N,) sound like to a network of stage one."""
    heard = predict(network, scenes.mel, lambda model, mel: model.audio_net(mel))
    return prototypes_of(heard, labels, network.a_class_layer.out_features)


def named_loss(model: nn.Module, batch: Mixed) -> Tensor:
    """What an identifier minimises: binary cross-entropy of each class being in the sound."""
    return functional.binary_cross_entropy_with_logits(model(batch.mel).logits, batch.label)


class Pair(NamedTuple):
    """Mixtures, and solos beside them."""

    seen: Tensor
    mel: Tensor
    solo_seen: Tensor
    solo_mel: Tensor


def refer(
    start: Referrer,
    mixtures: Scenes,
    solos: Scenes,
    config: TrainConfig,
    off_screen: bool = True,
    **fit_args,
) -> History:
    """Train a referrer in place: the classes seen to sound shall be those heard, and in view.

    Nothing is known of the mixtures. The location loss of stage one goes on, on `solos`: without
    it the maps grow until they cover what the KL divergence rewards.
    """
    start.network.requires_grad_(True)
    leave_heads(start.network)

    def loss_fn(model: nn.Module, batch: Pair) -> dict[str, Tensor]:
        return referred_loss(model, batch, off_screen)

    return fit(start, loss_fn, pairs_of(mixtures, solos, config), config, **fit_args)


def leave_heads(network: SmallLocaliser) -> None:
    """What has no part in a referrer does not learn: class heads, and the scale of class maps."""
    for name, weight in network.named_parameters():
        if name.startswith(("v_class", "a_class", "obj_")):
            weight.requires_grad_(False)


def pairs_of(mixtures: Scenes, solos: Scenes, config: TrainConfig) -> BatchSource:
    """Batches of mixtures with as many solos beside them, by step."""
    mixed = shuffled(mixtures, config)
    single = shuffled(solos, replace(config, seed=config.seed + 1))

    def batches(step: int, generator: torch.Generator) -> Pair:
        some, others = mixed(step), single(step)
        return Pair(some.seen, some.mel, others.seen, others.mel)

    return batches


def referred_loss(model: nn.Module, batch: Pair, off_screen: bool = True) -> dict[str, Tensor]:
    """What a referrer minimises: "kl" of seen and heard classes and, with `ANCHOR`, "location"."""
    solos = mirror_at_random(batch.solo_seen), batch.solo_mel
    found = model(mirror_at_random(batch.seen), batch.mel, solos)
    mass = found.maps(off_screen=False).mean((2, 3))
    kl = distribution_loss(MASS * mass, found.distribution(off_screen))
    location = pair_bce(found.volume.amax((2, 3)))
    return {"loss": kl + ANCHOR * location, "kl": kl, "location": location}
