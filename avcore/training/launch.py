"""Where a run happens: Lightning Fabric's devices and processes, and the bar that shows it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

from torch import nn

from avcore.support import require
from avcore.training.config import TrainConfig, pick_device


def launch(config: TrainConfig):
    """Lightning Fabric for the configured devices, or for the processes torchrun started."""
    device = pick_device(config.device)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    nodes = int(os.environ.get("WORLD_SIZE", local)) // local
    devices = [device.index] if device.index is not None and local == 1 else local
    fabric = _lightning().Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if local * nodes > 1 else "auto",
        precision=config.precision,
    )
    fabric.launch()
    return fabric


def is_main_process() -> bool:
    """Whether this process is the only one, or the first of those that were started together."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) == 0


def _lightning():
    """Lightning Fabric, which comes by itself or as a part of the package `lightning`."""
    try:
        return require("lightning_fabric", "train")
    except ImportError:
        if importlib.util.find_spec("lightning") is None:
            raise
        return importlib.import_module("lightning.fabric")


def synchronised(model: nn.Module, fabric) -> nn.Module:
    """The model with batch normalisation over all GPUs, where there are several.

    The layers are replaced in place; they have the same weights under the same names.
    """
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model


class _NoBar:
    """Stands in for a progress bar where nobody would see one."""

    def update(self) -> None: ...

    def set_postfix(self, **_: Any) -> None: ...


@contextlib.contextmanager
def progress_bar(fabric, config: TrainConfig, done: int) -> Iterator[Any]:
    """A progress bar on the main process, in a terminal or a live notebook."""
    live = "ipykernel" in sys.modules and not os.environ.get("AVCORE_STATIC")
    if not (config.progress and fabric.is_global_zero and (live or sys.stderr.isatty())):
        yield _NoBar()
        return
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError:
        yield _NoBar()
        return
    with tqdm(total=config.steps, initial=done, unit="step", leave=False) as bar:
        yield bar
