"""Checkpoints: written whole or not at all, and read without running anything in them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from avcore.nn.weights import fill, read_any
from avcore.support import CheckpointError, atomic_write

FORMAT = "avcore checkpoint 1"


def save_checkpoint(model: nn.Module, path: str | Path, **extra: Any) -> None:
    """Write the weights of `model`, and plain values or tensors in `extra`, to `path`.

    The file appears only when it is whole; an error leaves an older one as it was.

    Raises
    ------
    CheckpointError
        When the disk is full, or a value in `extra` could not be read again.
    """
    for name, value in extra.items():
        _must_be_readable(name, value)
    write(path, {"model": model.state_dict(), "extra": extra})


def load_checkpoint(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Fill `model` with the weights in `path`, saved by `save_checkpoint` or by `fit`.

    Returns
    -------
    What was saved as `extra`.

    Raises
    ------
    CheckpointError
        When the file is missing, is not one of avcore's, or fits another model. The model is
        then as it was.
    """
    content = read(path)
    if "model" not in content:
        raise CheckpointError(f"{path} is damaged: there are no weights in it")
    fill(model, content["model"], path)
    return content.get("extra", {})


def _must_be_readable(name: str, value: Any) -> None:
    """Whether a value can be read again without running anything: it is written, and read."""
    trial = io.BytesIO()
    try:
        torch.save(value, trial)
        trial.seek(0)
        torch.load(trial, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{name}={value!r:.60} is neither a plain value nor a tensor ({type(value).__name__}), "
            "and could not be read again"
        ) from error


def write(path: str | Path, content: dict[str, Any]) -> None:
    """Save `content` with the mark of our format.

    Raises
    ------
    CheckpointError
        When it cannot be written, such as to a full disk; what was there before stays whole.
    """
    try:
        with atomic_write(path, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
        cause = error if isinstance(error, OSError) else error.__context__
        reason = getattr(cause, "strerror", None) or "is the disk full?"
        kept = "; the last one there is whole" if Path(path).is_file() else ""
        raise CheckpointError(f"{path} could not be written ({reason}){kept}") from error


def read(path: str | Path) -> dict[str, Any]:
    """Content of a checkpoint on the CPU; weights and plain values only, never unpickled code.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged or not of avcore.
    """
    content = read_any(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of avcore")
    return content
