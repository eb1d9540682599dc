"""What a trained network gives for a data set, batch by batch, without gradients."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from avcore.support import AvcoreError
from avcore.training.sampler import Batch, Collate, Ordered, map_tensors

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def predict(
    model: Network,
    data: Batch | Dataset | Ordered,
    function: Callable[[Network, Any], Batch],
    batch_size: int = 64,
    workers: int = 0,
    collate: Collate | None = None,
) -> Batch:
    """`function(model, batch)` of all data, joined along the first axis, on the CPU.

    Parameters
    ----------
    model
        In evaluation mode during the call, on the device where its weights are; the batches are
        brought there.
    data, workers, collate
        As in `Ordered`, or an `Ordered`, which brings its own batches.
    function
        Gives a tensor, or a tuple, list, dict or dataclass of tensors, with a row per sample.

    Raises
    ------
    AvcoreError
        When there are no data, or the function gives something else.
    """
    batches = data if isinstance(data, Ordered) else Ordered(data, batch_size, workers, collate)
    parts = []
    with evaluating(model):
        for batch in batches:
            batch = map_tensors(batch, lambda tensor: tensor.to(device_of(model)))
            parts.append(map_tensors(function(model, batch), Tensor.cpu))
    if not parts:
        raise AvcoreError("there are no data to predict anything for")
    return _joined(parts)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; afterwards every layer is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of a network are; the CPU where it has none."""
    weight = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if weight is None else weight.device


def _joined(parts: Sequence[Batch]) -> Any:
    """Batches of one form as one, tensor by tensor."""
    first: Any = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in fields(first)]
        return replace(first, **{n: _joined([getattr(p, n) for p in parts]) for n in names})
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if not isinstance(first, (tuple, list)):
        raise AvcoreError(f"predictions are tensors, got {type(first).__name__}")
    columns = [_joined(list(column)) for column in zip(*parts, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
