"""Batches that any process can name by their step: shuffled, resumable, split over devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avcore.support import AvcoreError
from avcore.training.config import TrainConfig

Batch = Any  # a tensor, or a dataclass, tuple, list or dict of them
BatchSource = Callable[[int, torch.Generator], Batch]

UPDATE, DRAW, EPOCH = 0, 1, 2  # streams of random numbers that must not share seeds


def step_seed(seed: int, step: int, stream: int = UPDATE, rank: int = 0) -> int:
    """Seed of one step of a run; different (seed, step, stream, rank) share nothing."""
    sequence = np.random.SeedSequence([seed, step, stream, rank])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class Shuffled:
    """Batches of in-memory samples, in a new order every epoch.

    Called with a step it gives that step's batch, whatever was asked before. The last samples
    of an epoch that fill no batch are left out.

    Attributes
    ----------
    data
        A tensor, or a tuple, dict or dataclass of tensors, of N samples each.
    batch_size, seed
        As in `TrainConfig`.
    """

    data: Batch
    batch_size: int
    seed: int = 0

    def __post_init__(self) -> None:
        counts = {len(tensor) for tensor in _leaves(self.data)}
        if len(counts) != 1:
            raise AvcoreError(f"all tensors need the same number of samples, got {sorted(counts)}")
        if min(counts) < self.batch_size:
            raise AvcoreError(f"a batch of {self.batch_size} from only {min(counts)} samples")

    def __call__(self, step: int, generator: torch.Generator | None = None) -> Batch:
        count = len(_leaves(self.data)[0])
        epoch, index = divmod(step, count // self.batch_size)
        order = torch.Generator().manual_seed(step_seed(self.seed, epoch, EPOCH))
        chosen = torch.randperm(count, generator=order)[index * self.batch_size :]
        return map_tensors(self.data, lambda tensor: tensor[chosen[: self.batch_size]])


def shuffled(data: Batch, config: TrainConfig) -> Shuffled:
    """Batches of `data` with the batch size and the seed of a configuration."""
    return Shuffled(data, config.batch_size, config.seed)


class Loaded:
    """Batches of a data set that is read item by item, in a new order every epoch.

    Like `Shuffled` it gives the batch of any step; a run that is resumed reads nothing of what
    came before. When steps are asked for in turn, `workers` processes read ahead.

    Parameters
    ----------
    data
        A data set of N items, as torch's `DataLoader` takes it.
    batch_size, seed
        As in `TrainConfig`.
    workers, collate
        As `num_workers` and `collate_fn` of torch's `DataLoader`.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        seed: int = 0,
        workers: int = 0,
        collate: Callable[[list], Batch] | None = None,
    ) -> None:
        self.order = Shuffled(torch.arange(len(data)), batch_size, seed)
        self.load = partial(DataLoader, data, num_workers=workers, collate_fn=collate)
        self.per_epoch = len(data) // batch_size
        self.next, self.iterator = -1, iter(())

    def __call__(self, step: int, generator: torch.Generator | None = None) -> Batch:
        if step != self.next:
            order = self.order  # not self, which would keep its own workers alive
            indices = (order(each).tolist() for each in itertools.count(step))
            self.iterator = worded(self.load(batch_sampler=indices))
        self.next = step + 1
        return next(self.iterator)


def worded(loader: Iterable[Batch]) -> Iterator[Batch]:
    """The batches of a `DataLoader`; an error of avcore in a worker keeps its own sentence."""
    try:
        yield from loader
    except AvcoreError as error:
        lines = str(error).strip().splitlines()
        if len(lines) > 1 and lines[0].startswith("Caught "):  # torch puts the traceback into it
            raise type(error)(lines[-1].partition(": ")[2]) from None
        raise


class Replayed:
    """Any iterable as a batch source: begun anew when it ends, replayed from its start to resume.

    The global random state is seeded before every item, for loaders that shuffle with it.
    """

    def __init__(self, items: Iterable[Batch], seed: int):
        self.items, self.seed, self.position, self.iterator = items, seed, -1, iter(())

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        while self.position < step:
            self.position += 1
            torch.manual_seed(step_seed(self.seed, self.position, DRAW))
            batch = self._next()
        return batch

    def _next(self) -> Batch:
        try:
            return next(self.iterator)
        except StopIteration:
            self.iterator = iter(self.items)
        try:
            return next(self.iterator)
        except StopIteration:
            raise AvcoreError(
                "the batches ran out; give a list, a loader or a function of the step, "
                "not a generator that can be read only once"
            ) from None


def share_of(batch: Batch, rank: int, world: int) -> Batch:
    """The part of a joined batch that process `rank` of `world` works on."""
    sizes = {len(tensor) for tensor in _leaves(batch) if tensor.ndim}
    if any(size % world for size in sizes):
        raise AvcoreError(f"batches of {sorted(sizes)} cannot be shared evenly by {world} devices")

    def cut(tensor: Tensor) -> Tensor:
        return tensor.chunk(world)[rank] if tensor.ndim else tensor

    return map_tensors(batch, cut) if world > 1 else batch


def map_tensors(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Apply `change` to every tensor of a batch; leave everything else in it as it is."""
    if isinstance(batch, Tensor):
        return change(batch)
    if is_dataclass(batch):
        parts = {part.name: getattr(batch, part.name) for part in fields(batch)}
        return replace(batch, **map_tensors(parts, change))
    if isinstance(batch, dict):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, change) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map_tensors(value, change) for value in batch)
    return batch


def _leaves(batch: Batch) -> list[Tensor]:
    """Every tensor of a batch."""
    found: list[Tensor] = []
    map_tensors(batch, lambda tensor: found.append(tensor) or tensor)
    return found
