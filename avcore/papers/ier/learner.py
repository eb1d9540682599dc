"""All that IEr trains, in one network, of which each phase of a training has its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avcore.class_aware.network import SEEN, WIDTH, SmallLocaliser
from avcore.data.sets.music import SOLO_CLASSES
from avcore.papers.ier.identifier import LEVELS, STEPS, Identifier
from avcore.papers.ier.referrer import MASKS, Referrer
from avcore.support import AvcoreError, choose


@dataclass(frozen=True)
class Network:
    """Of how many clusters there are, and of `Identifier` and `Referrer` what may be chosen.

    `distinguishing` is what `Identifier` calls `steps`.
    """

    clusters: int = len(SOLO_CLASSES)
    distinguishing: str = "each"
    level: str = "mid"
    mask: str = "image max"

    def __post_init__(self) -> None:
        choose(STEPS, self.distinguishing, "kind of steps")
        choose(LEVELS, self.level, "level")
        choose(MASKS, self.mask, "mask")
        if self.distinguishing == "classifier":
            raise AvcoreError("a classifier has no features to refer to; choose each or common")
        if self.clusters < 1:
            raise AvcoreError(f"clusters are at least 1, got {self.clusters}")


class Learner(nn.Module):
    """A referrer and its parts, of which each phase trains one; called, it is that part.

    Attributes
    ----------
    referrer
        With `network`, `identifier` and `dictionary` in it.
    class_of
        (K,) int64: the class of each cluster, -1 for none.
    """

    class_of: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        localiser, nothing = SmallLocaliser(network.clusters), torch.zeros(network.clusters, WIDTH)
        ear = localiser.audio_net
        identifier = Identifier(ear, nothing, network.distinguishing, network.level)
        entries = torch.zeros(network.clusters, SEEN)
        self.referrer = Referrer(localiser, identifier, entries, network.mask)
        self.register_buffer("class_of", torch.full((network.clusters,), -1))
        self.learning = "referrer"

    @property
    def part(self) -> nn.Module:
        """What learns, by the name in `learning`."""
        whole = self.learning == "referrer"
        return self.referrer if whole else getattr(self.referrer, self.learning)

    def train(self, mode: bool = True) -> Learner:
        """Only the part that learns is in training mode."""
        super().train(mode)
        if self.part is not self.referrer:
            self.referrer.eval()
            self.part.train(mode)
        return self

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.part(*inputs, **options)
