"""What IEr is measured by: the kinds that are named in a mixture, and the maps of a referrer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcore import metrics
from avcore.class_aware.evaluation import by_class
from avcore.class_aware.scenes import Scenes
from avcore.papers.ier.identifier import Identifier
from avcore.papers.ier.referrer import Referred, Referrer
from avcore.papers.ier.training import mix
from avcore.training import predict
from avcore.training.seeds import seeded

GAPS = (0.0, 10.0, 20.0)  # dB between two sources
PAIRS = 600  # mixtures that are named at each gap


class Pairs(NamedTuple):
    """Numbers (P,) of solos that are mixed: the louder and the quieter one."""

    loud: Tensor
    quiet: Tensor


def pairs_of(solos: Scenes, seed: int = 0, one_class: bool = False, count: int = PAIRS) -> Pairs:
    """Two different solos each, of two classes, or of one."""
    with seeded(seed):
        first, second = torch.randint(len(solos), (2, count))
    label = solos.label()
    kept = (label[first] == label[second]) == one_class
    kept &= first != second
    return Pairs(first[kept], second[kept])


def mixed(solos: Scenes, pairs: Pairs, gap_db: float) -> Tensor:
    """Log-mels (P, 64, n) of the pairs, the quieter `gap_db` below where the stage put it."""
    levels = torch.tensor([0.0, -gap_db])[:, None].expand(2, len(pairs.loud))
    return mix(solos.mel[torch.stack(pairs)], levels)


def named(
    identifier: Identifier, solos: Scenes, class_of: Tensor, gap_db: float, seed: int = 0
) -> float:
    """How often the quieter of two sounds is among the two classes that are named first.

    Mixtures of held-out single sounds of two different classes, `gap_db` apart. `class_of` (K,)
    says the class of each cluster.
    """
    pairs = pairs_of(solos, seed)
    mels = mixed(solos, pairs, gap_db)
    logits = predict(identifier, mels, lambda model, mel: model(mel).logits)
    top = class_of[logits.topk(2, dim=1).indices]
    return (top == solos.label()[pairs.quiet][:, None]).any(1).double().mean().item()


def mixture_ap(
    identifier: Identifier, solos: Scenes, class_of: Tensor, sources: int, seed: int = 0
) -> float:
    """Mean average precision over classes of mixtures of `sources` sounds, 0 to 20 dB apart."""
    with seeded(seed):
        which = torch.randint(len(solos), (sources, PAIRS))
        levels = -20 * torch.rand(sources, PAIRS)
    levels[0] = 0.0
    logits = predict(
        identifier, mix(solos.mel[which], levels), lambda model, mel: model(mel).logits
    )
    heard = solos.label()[which]  # (sources, P)
    scores = []
    for k, class_id in enumerate(class_of.tolist()):
        truth = (heard == class_id).any(0)
        if class_id >= 0 and truth.any():
            scores.append(metrics.average_precision(logits[:, k, None], truth[:, None]))
    return float(torch.tensor(scores).mean())


def refer_to(model: Referrer, scenes: Scenes) -> Referred:
    """What a referrer finds in scenes, on the CPU.

    Masks that depend on the whole batch see the scenes in batches of 64.
    """

    def function(model: nn.Module, batch: Scenes) -> tuple[Tensor, ...]:
        return tuple(model(batch.seen, batch.mel)[:4])

    return Referred(*predict(model, scenes, function))


def class_maps(
    found: Referred, class_of: Tensor, classes: int, silent: bool = True, off_screen: bool = True
) -> Tensor:
    """Class-specific maps (N, classes, h, w) with the filters that are asked for."""
    return by_class(found.maps(silent, off_screen), class_of, classes)
