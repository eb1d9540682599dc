"""One training loop for every paper, on Lightning Fabric: CPU, one GPU or many.

Everything random in a run is a function of (seed, step), so a run that was interrupted and
resumed is the run that was not, and no global random state is left changed.

`config`      what a run is
`sampler`     batches that can be asked for by their step, each process its share
`loop`        `fit`; `keep` its checkpoint and its best weights, `launch` its devices
`predict`     what a trained network gives for a data set
`task`        the pattern that every paper fills: presets, network, data, loss, scores
`settings`    its settings by key; `runs` its training and scoring
"""

from avcore.training.checkpoint import load_checkpoint, save_checkpoint
from avcore.training.config import TrainConfig, pick_device
from avcore.training.keep import History, best_path, read_best
from avcore.training.loop import fit
from avcore.training.predict import evaluating, predict
from avcore.training.runs import Trained, evaluate_task, load_task, train_task
from avcore.training.sampler import Ordered, Shuffled, shuffled
from avcore.training.seeds import seeded, step_seed
from avcore.training.task import Parts, Phase, Preset, Reading, Task, configure

__all__ = [
    "History",
    "Ordered",
    "Parts",
    "Phase",
    "Preset",
    "Reading",
    "Shuffled",
    "Task",
    "TrainConfig",
    "Trained",
    "best_path",
    "configure",
    "evaluate_task",
    "evaluating",
    "fit",
    "load_checkpoint",
    "load_task",
    "pick_device",
    "predict",
    "read_best",
    "save_checkpoint",
    "seeded",
    "shuffled",
    "step_seed",
    "train_task",
]
