"""What chapter 30 does with ears and mixtures that the experiments of the claims do not."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import Scenes
from avcore.papers.ier.evaluation import PAIRS, mixed, pairs_of
from avcore.papers.ier.identifier import Identified
from avcore.papers.ier.training import mix
from avcore.training import History, TrainConfig, fit, predict
from avcore.training.seeds import seeded


class StageOneEar(nn.Module):
    """What stage one hears, in the form of an identifier, which asks it for no step.

    Parameters
    ----------
    network
        As stage one left it.
    prototypes
        P_k (K, 128): the logits are cosines of the one feature with them. Without, the logits are
        those of the class head.
    """

    def __init__(self, network: SmallLocaliser, prototypes: Tensor | None = None) -> None:
        super().__init__()
        self.network, self.prototypes = network, prototypes

    def forward(self, mel: Tensor) -> Identified:
        """Of log-mels (B, 64, n)."""
        feature = self.network.audio_net(mel)
        if self.prototypes is None:
            logits = self.network.a_class_layer(feature)
        else:
            known = self.prototypes.to(feature)
            logits = functional.cosine_similarity(feature[:, None], known, dim=-1)
        return Identified(feature[:, None].expand(-1, logits.shape[1], -1), logits)


def answers(model: nn.Module, mels: Tensor, class_of: Tensor, classes: int) -> Tensor:
    """What an ear says of sounds (P, 64, n): a logit for each class, (P, classes).

    Of several clusters of a class the surest counts; a class without a cluster gets -inf.
    """
    logits = predict(model, mels, lambda model, mel: model(mel).logits)
    found = logits.new_full((len(logits), classes), -torch.inf)
    for k, class_id in enumerate(class_of.tolist()):
        if class_id >= 0:
            found[:, class_id] = torch.maximum(found[:, class_id], logits[:, k])
    return found


def quieter_named(
    model: nn.Module,
    solos: Scenes,
    class_of: Tensor,
    classes: int,
    gap_db: float,
    seed: int = 0,
    count: int = PAIRS,
) -> Tensor:
    """For each pair, whether its quieter sound is among the two classes named first, (P,) bool."""
    pairs = pairs_of(solos, seed, count=count)
    top = answers(model, mixed(solos, pairs, gap_db), class_of, classes).topk(2, dim=1).indices
    return (top == solos.label()[pairs.quiet][:, None]).any(1)


class Reader(nn.Module):
    """Finds features of an ear in pictures, by stage one's embeddings of places.

    Only the linear layer before the sound's embedding learns.
    """

    def __init__(self, network: SmallLocaliser) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.network.embed_a[0].requires_grad_(True)

    def train(self, mode: bool = True) -> Reader:
        """All running statistics stay as they are."""
        return super().train(False)

    def look(self, seen: Tensor) -> Tensor:
        """Unit embeddings of the places (B, 128, h, w) in what the eye saw (B, 152, h, w)."""
        return self.network.look(seen)[2]

    def forward(self, places: Tensor, features: Tensor) -> Tensor:
        """Logits (B, n, h, w) of n features (B, n, 128) among places (B, 128, h, w)."""
        sound = self.network.embed_sound(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return self.network.location_logits(torch.einsum("bchw,bnc->bnhw", places.float(), sound))


class Both(NamedTuple):
    """B mixtures of two solos, the places in each one's picture, and their clusters (B, 2)."""

    mel: Tensor
    loud: Tensor
    quiet: Tensor
    label: Tensor


def learn_to_find(
    network: SmallLocaliser,
    ear: nn.Module,
    solos: Scenes,
    labels: Tensor,
    config: TrainConfig,
    gap_db: float = 20.0,
) -> tuple[Reader, History]:
    """Teach stage one to read an ear's features: mix-and-separate with pictures.

    Two solos are mixed, up to `gap_db` apart. The feature of each one's cluster shall be found
    somewhere in its own picture and nowhere in the other's (which does not count where both are
    of one cluster). The ear stays as it is. Ours: IEr's referrer has no such loss.
    """
    ear = copy.deepcopy(ear).eval().requires_grad_(False)
    with seeded(config.seed):
        model = Reader(network)
    places = predict(model, solos.seen, lambda model, seen: model.look(seen).half())  # as they stay

    def batches(step: int, generator: torch.Generator) -> Both:
        which = torch.randint(len(solos), (2, config.batch_size), generator=generator)
        levels = -gap_db * torch.rand(2, config.batch_size, generator=generator)
        levels[0] = 0.0
        loud, quiet = which
        mel = mix(solos.mel[which], levels)
        return Both(mel, places[loud], places[quiet], labels[which].T)

    def loss_fn(model: nn.Module, batch: Both) -> Tensor:
        found = ear.to(batch.mel.device)(batch.mel).features  # (B, K, 128)
        asked = found.gather(1, batch.label[:, :, None].expand(-1, -1, found.shape[2]))
        in_loud, in_quiet = (model(each, asked).amax((2, 3)) for each in (batch.loud, batch.quiet))
        own = torch.cat([in_loud[:, 0], in_quiet[:, 1]])
        other = torch.cat([in_loud[:, 1], in_quiet[:, 0]])
        counts = (batch.label[:, 0] != batch.label[:, 1]).repeat(2).to(other)
        wrong = (functional.softplus(other) * counts).sum() / counts.sum().clamp(min=1)
        return functional.softplus(-own).mean() + wrong

    return model, fit(model, loss_fn, batches, config)


def find(reader: Reader, ear: nn.Module, scenes: Scenes) -> Tensor:
    """Maps (N, K, h, w) in [0, 1] of an ear's K features in the pictures of scenes."""
    features = predict(ear, scenes.mel, lambda ear, mel: ear(mel).features)
    return find_features(reader, features, scenes)


def find_features(reader: Reader, features: Tensor, scenes: Scenes) -> Tensor:
    """Maps (N, K, h, w) in [0, 1] of features (N, K, 128), or the same for all, (1, K, 128)."""
    pairs = (scenes.seen, features.expand(len(scenes), -1, -1))

    def function(reader: Reader, pair: tuple[Tensor, Tensor]) -> Tensor:
        return reader(reader.look(pair[0]), pair[1]).sigmoid()

    return predict(reader, pairs, function)
