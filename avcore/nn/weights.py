"""Weights from files and from other people's code, read without running anything in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from avcore.nn.official import only_tensors
from avcore.support import CheckpointError


def read_any(path: str | Path, hint: str = "") -> Any:
    """Content of any file of weights and plain values, on the CPU; nothing in it is run.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or holds more than that; `hint` says what to do then.
    """
    hint = hint and f"; {hint}"
    if not Path(path).is_file():
        raise CheckpointError(f"there is no checkpoint at {path}{hint}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file fails in many ways
        raise CheckpointError(
            f"{path} is damaged, or holds more than weights and plain values{hint}"
        ) from error


def fill(
    model: nn.Module, weights: dict[str, torch.Tensor], what: str | Path, assign: bool = False
) -> None:
    """Load `weights` into `model` if every name and shape fits, else change nothing.

    Parameters
    ----------
    what
        Where the weights come from, for the message.
    assign
        Whether they take the place of the model's own, which may then be on no device.

    Raises
    ------
    CheckpointError
        When it is no state dict, or a weight is missing, unknown or of another shape; it is
        named.
    """
    weights = only_tensors(weights, what)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if wanted != found:
        name = next(n for n in {**wanted, **found} if wanted.get(n) != found.get(n))
        raise CheckpointError(
            f"{what} is of another model: {name} is {found.get(name, 'missing')} there, "
            f"{wanted.get(name, 'unknown')} here"
        )
    model.load_state_dict(weights, assign=assign)
