"""Stage one as two phases of a task, for CSOL and IEr: correspondence, then classes.

Source: CSOL, Secs. 3.1 and 3.2. At the beginning of the second phase the solos are clustered, once:
entries, pseudo-labels and new class heads are what the phase notes. Deviation: the public code
alternates epochs of both tasks and clusters again; here both are lowered together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from avcore import metrics
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import Scenes
from avcore.class_aware.solos import LOSSES, POOLS, begin_heads, find_objects
from avcore.support import choose
from avcore.training import Phase, TrainConfig

# Of the small network in every phase; learning rate and steps differ from phase to phase.
CONFIG = TrainConfig(
    batch_size=64,
    learning_rate=2e-3,
    weight_decay=1e-3,
    warmup=30,
    clip_norm=1.0,
    checkpoint_every=200,
)


@dataclass(frozen=True)
class Correspondence:
    """Which picture belongs to which sound: one of `solos.LOSSES`, and one of `solos.POOLS`."""

    loss: str = "bce"
    pool: str = "max"

    def __post_init__(self) -> None:
        choose(LOSSES, self.loss, "loss")
        choose(POOLS, self.pool, "pooling")


@dataclass(frozen=True)
class Classes(Correspondence):
    """The same, and which pseudo-label a picture and a sound have."""


STAGE_ONE = (
    Phase(replace(CONFIG, steps=2000), Correspondence(), "correspondence", part="solos"),
    Phase(replace(CONFIG, steps=1000), Classes(), "classes", part="solos"),
)


def begin_classes(
    network: SmallLocaliser, dictionary: Tensor, class_of: Tensor, solos: Scenes, seed: int
) -> Tensor:
    """The pseudo-labels (N,) of solos.

    Fills the entries (K, C) and the class of each cluster (K,) in place, and lets the class heads
    begin anew. Only the class of a cluster, which is for reading scores, looks at true classes:
    those of these solos, so that it is known when others are scored.
    """
    found = find_objects(network, solos, len(dictionary), seed)
    dictionary.copy_(found.entries)
    class_of.copy_(metrics.match_clusters(found.labels, solos.label(), len(class_of)).class_of)
    begin_heads(network)
    return found.labels


def learn_stage_one(network: nn.Module) -> None:
    """All of a network learns but the scale of class maps, which stage one does not make."""
    for name, weight in network.named_parameters():
        weight.requires_grad_(not name.startswith("obj_"))
