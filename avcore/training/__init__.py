"""One training loop for every paper, on Lightning Fabric: CPU, one GPU or many.

Everything random in a run is a function of (seed, step), so a run that was interrupted and
resumed is the run that was not, and no global random state is left changed.
"""

from avcore.training.batches import Loaded, Shuffled, shuffled, step_seed
from avcore.training.checkpoint import load_checkpoint, save_checkpoint
from avcore.training.config import TrainConfig, pick_device
from avcore.training.loop import History, fit, seeded

__all__ = [
    "History",
    "Loaded",
    "Shuffled",
    "TrainConfig",
    "fit",
    "load_checkpoint",
    "pick_device",
    "save_checkpoint",
    "seeded",
    "shuffled",
    "step_seed",
]
