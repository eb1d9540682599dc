"""Two rivals of CSOL's tables at the size of the stage: DMC, and The Sound of Pixels.

Both see by the same frozen eye as CSOL's network and know no classes. Objects that Sound and
Attention need no network of their own: they are stage one with another pooling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.class_aware.network import SEEN, WIDTH, Around
from avcore.class_aware.scenes import Scenes
from avcore.class_aware.solos import Heard
from avcore.nn.backbones import SoundStream, conv_block
from avcore.nn.losses import pair_bce
from avcore.nn.pictures import mirror_at_random
from avcore.support import choose
from avcore.training import TrainConfig, fit, seeded, shuffled

SPACES = 2  # of DMC, each with a cluster of either sense
ROUNDS, FIRMNESS = 3, 10.0  # of DMC's clustering; how firmly a feature belongs to one cluster
PARTS = 16  # into which The Sound of Pixels takes a sound apart


class Located(NamedTuple):
    """What a rival gives for B pictures with their sounds, on a grid of h × w places."""

    av_logits: Tensor  # (B, h, w): the greater, the more sounds there


class DeepMultimodalClustering(nn.Module):
    """DMC: places and sounds are clustered, and clusters of one space shall be alike.

    Source: Hu, Nie and Li, "Deep Multimodal Clustering for Unsupervised Audiovisual Learning"
    (CVPR 2019). Deviations: the eye stays as it is, two spaces, and a binary cross-entropy with a
    learned scale in place of the max-margin loss, as the other networks of the stage have it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(_standardised(), nn.Conv2d(SEEN, WIDTH, 1), nn.ReLU())
        self.hear = SoundStream().layers  # (B, 1, n_mels, frames) -> (B, 64, …)
        self.place_spaces = _ending(nn.Conv2d(WIDTH, WIDTH, 1))
        self.sound_spaces = _ending(nn.Conv2d(64, WIDTH, 1))
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def forward(self, seen: Tensor, mel: Tensor, *unused: object) -> Located:
        """What the eye saw (B, 152, h, w) and log-mel (B, 64, n)."""
        places, _ = self.places(seen)
        cosine = torch.einsum("bsdhw,bsd->bshw", places, self.sounds(mel))
        return Located(self.log_scale.exp() * cosine.amax(1) + self.bias)

    def pairs(self, seen: Tensor, mel: Tensor) -> Tensor:
        """Logits (A, V) of every sound with every picture: the mean over the spaces."""
        cosine = torch.einsum("asd,vsd->av", self.sounds(mel), self.places(seen)[1]) / SPACES
        return self.log_scale.exp() * cosine + self.bias

    def places(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Unit features of places (B, S, D, h, w), and their clusters (B, S, D)."""
        return _clustered(self.place_spaces(self.see(seen.float())))

    def sounds(self, mel: Tensor) -> Tensor:
        """The clusters of sounds (B, S, D), unit vectors."""
        return _clustered(self.sound_spaces(self.hear(_centred(mel))))[1]


def _clustered(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (B, S · D, h, w) -> unit features (B, S, D, h, w) and one unit centre per space.

    A soft k-means: every feature belongs to the spaces by the softmax of its cosines with their
    centres, which then move to what belongs to them.
    """
    features = functional.normalize(maps.unflatten(1, (SPACES, -1)), dim=2)
    centres = functional.normalize(features.mean((3, 4)), dim=2)
    for _ in range(ROUNDS):
        cosine = torch.einsum("bsdhw,bsd->bshw", features, centres)
        belongs = (FIRMNESS * cosine).softmax(1)
        centres = torch.einsum("bsdhw,bshw->bsd", features, belongs)
        centres = functional.normalize(centres, dim=2)
    return features, centres


class SoundOfPixels(nn.Module):
    """The Sound of Pixels: how much of the sound each place is made to explain.

    Source: Zhao et al., "The Sound of Pixels" (ECCV 2018). A U-Net takes a sound apart, a place
    says how to put its parts together, and the product is a mask on the spectrogram. It learns by
    mixing two sounds whose pictures it sees. Deviations: masks on 32 mel bands and half of the
    moments, whose powers are added; the eye stays as it is; a small U-Net.
    """

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(
            _standardised(),
            nn.Conv2d(SEEN, WIDTH, 1),
            nn.ReLU(),
            _ending(nn.Conv2d(WIDTH, PARTS, 1)),
        )
        self.down = nn.ModuleList([conv_block(1, 16), conv_block(16, 32, 2), conv_block(32, 64, 2)])
        self.up = nn.ModuleList([conv_block(96, 32), conv_block(48, 16)])
        self.parts = nn.Conv2d(16, PARTS, 1)
        self.bias = nn.Parameter(torch.tensor(0.0))

    def forward(self, seen: Tensor, mel: Tensor, *unused: object) -> Located:
        """What the eye saw (B, 152, h, w) and log-mel (B, 64, n)."""
        coarse = halved(mel)
        weights, parts = self.see(seen.float()), self.take_apart(coarse)
        maps = []
        for one, apart, sound in zip(weights, parts, coarse, strict=True):  # a mask per place
            mask = torch.einsum("khw,kft->hwft", one, apart).add(self.bias).sigmoid()
            maps.append((mask * (sound / 2).exp()).mean((2, 3)))
        return Located(torch.stack(maps).clamp_min(1e-8).log())

    def take_apart(self, coarse: Tensor) -> Tensor:
        """The parts (B, 16, F, n) of log-mel (B, F, n)."""
        kept, x = [], _centred(coarse)
        for block in self.down:
            x = block(x)
            kept.append(x)
        for block, bridge in zip(self.up, kept[-2::-1], strict=True):
            x = functional.interpolate(x, size=bridge.shape[-2:])
            x = block(torch.cat([x, bridge], 1))
        return self.parts(x)

    def masks(self, seen: Tensor, coarse: Tensor) -> Tensor:
        """Logits (B, F, n) of what of a sound belongs to the picture: its strongest places."""
        weights = self.see(seen.float()).amax((2, 3))
        return torch.einsum("bk,bkft->bft", weights, self.take_apart(coarse)) + self.bias


def halved(mel: Tensor) -> Tensor:
    """Log-mel (B, F, n) -> (B, F // 2, n // 2), the mean power of two bands and two moments."""
    return functional.avg_pool2d(mel.exp()[:, None], 2)[:, 0].clamp_min(1e-10).log()


def _standardised() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(SEEN, affine=False)


def _ending(layer: nn.Conv2d) -> nn.Sequential:
    """A last layer that spreads its values from the first step, averaged over 3×3 places."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), Around())


def _centred(mel: Tensor) -> Tensor:
    return (mel - mel.mean((-2, -1), keepdim=True))[:, None] / 4


def correspondence_loss(model: DeepMultimodalClustering, batch: Heard) -> Tensor:
    """DMC's: each sound with its own picture, and with the next one of the batch."""
    return pair_bce(model.pairs(mirror_at_random(batch.seen), batch.mel))


def separation_loss(model: SoundOfPixels, batch: Heard) -> Tensor:
    """The Sound of Pixels': each sound is mixed with the next one of the batch, and found again.

    The cross-entropy of the masks with the bands in which the sound is the louder one, weighted by
    the magnitude of the mixture.
    """
    own = halved(batch.mel)
    other = own.roll(1, 0)
    mixture = torch.logaddexp(own, other)
    logits = model.masks(mirror_at_random(batch.seen), mixture)
    weight = (mixture / 2).exp()
    louder = (own > other).to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, louder, reduction="none")
    return (weight * each).mean() / weight.mean()


@dataclass(frozen=True)
class Rival:
    """A network, its loss, and whether it can learn from scenes in which several objects sound."""

    network: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    mixtures: bool


RIVALS = {
    "DMC": Rival(DeepMultimodalClustering, correspondence_loss, mixtures=True),
    "Sound of Pixels": Rival(SoundOfPixels, separation_loss, mixtures=False),
}


def learn_rival(
    name: str, scenes: Scenes, config: TrainConfig, start: nn.Module | None = None
) -> nn.Module:
    """One of `RIVALS`, from nothing or from `start`, which stays as it is."""
    rival = choose(RIVALS, name, "rival")
    with seeded(config.seed):
        model = copy.deepcopy(start) if start else rival.network()
    fit(model, rival.loss, shuffled(Heard.of(scenes), config), config)
    return model
