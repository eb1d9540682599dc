"""Batches that can be asked for by their step: shuffled, resumable, to each process its share."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avcore.support import AvcoreError
from avcore.training.config import TrainConfig
from avcore.training.seeds import EPOCH, ITEM, seeded, step_seed

Batch = Any  # a tensor, or a dataclass, tuple, list or dict of them
BatchSource = Callable[[int, torch.Generator], Batch]
Collate = Callable[[list], Batch]


class Shuffled:
    """Batches of a data set in a new order every epoch.

    Called with a step it gives that step's batch, whatever was asked before; nothing that came
    before is read. The last samples of an epoch that fill no batch are left out. What an item of a
    data set draws from torch's random numbers (an augmentation) follows from the seed, the step
    and its place in the batch, with any number of workers and processes.

    Parameters
    ----------
    data
        In memory: a tensor, or a tuple, list, dict or dataclass of tensors, of N samples each. Or
        a data set of N items, as torch's `DataLoader` takes it.
    batch_size, seed
        As in `TrainConfig`: the batch of all processes together.
    workers
        Processes that read a data set ahead while steps are asked for in turn.
    collate
        Makes a batch of the items of a data set; by default its own `collate`, or torch's.

    Raises
    ------
    AvcoreError
        When the data hold fewer samples than a batch, or tensors of different lengths.
    """

    def __init__(
        self,
        data: Batch | Dataset,
        batch_size: int,
        seed: int = 0,
        workers: int = 0,
        collate: Collate | None = None,
    ) -> None:
        self.data, self.workers, self.collate = data, workers, collate
        self.order = Order(count_samples(data), batch_size, seed)
        self._next, self._batches = -1, iter(())

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return self.order.per_epoch

    def share(self, rank: int, world: int) -> Shuffled:
        """The same batches, of which only the part of process `rank` of `world` is read.

        Raises
        ------
        AvcoreError
            When a batch cannot be shared evenly.
        """
        part = copy.copy(self)
        part.order = replace(self.order, rank=rank, world=world)
        return part

    def __call__(self, step: int, generator: torch.Generator | None = None) -> Batch:
        if in_memory(self.data):
            return take(self.data, self.order(step))
        if step != self._next:
            order = self.order  # not self, which would keep its own workers alive
            places = (order.places(each) for each in itertools.count(step))
            self._batches = _read(self.data, places, self.workers, self.collate)
        self._next = -1  # after an error reading begins anew
        batch: Batch = next(self._batches)
        self._next = step + 1
        return batch

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins to read for itself."""
        return {**self.__dict__, "_next": -1, "_batches": iter(())}


def shuffled(data: Batch | Dataset, config: TrainConfig, **options: Any) -> Shuffled:
    """Batches of `data` with the batch size and the seed of a configuration."""
    return Shuffled(data, config.batch_size, config.seed, **options)


class Ordered:
    """Batches of a data set from its first sample to its last, once; the last may be smaller.

    The parameters are those of `Shuffled`.
    """

    def __init__(
        self,
        data: Batch | Dataset,
        batch_size: int,
        workers: int = 0,
        collate: Collate | None = None,
    ) -> None:
        self.data, self.batch_size = data, batch_size
        self.workers, self.collate = workers, collate
        self.count = count_samples(data)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        starts = range(0, self.count, self.batch_size)
        parts = [range(self.count)[start : start + self.batch_size] for start in starts]
        if in_memory(self.data):
            return (take(self.data, slice(part.start, part.stop)) for part in parts)
        places = ([(index, step_seed(0, index, ITEM)) for index in part] for part in parts)
        return _read(self.data, places, self.workers, self.collate)


@dataclass(frozen=True)
class Order:
    """Which samples a step takes: the part of process `rank` of `world` of the joined batch."""

    count: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.count < self.batch_size:
            raise AvcoreError(f"a batch of {self.batch_size} from only {self.count} samples")
        rows_of(self.batch_size, self.rank, self.world)

    @property
    def per_epoch(self) -> int:
        return self.count // self.batch_size

    def __call__(self, step: int) -> Tensor:
        epoch, index = divmod(step, self.per_epoch)
        whole = _permutation(self.count, step_seed(self.seed, epoch, EPOCH))
        rows = rows_of(self.batch_size, self.rank, self.world)
        return whole[index * self.batch_size :][rows]

    def places(self, step: int) -> list[tuple[int, int]]:
        """The samples of a step, each with the seed of what it draws at random."""
        first = rows_of(self.batch_size, self.rank, self.world).start
        return [
            (index, step_seed(self.seed, step, ITEM, first + row))
            for row, index in enumerate(self(step).tolist())
        ]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def rows_of(batch_size: int, rank: int, world: int) -> slice:
    """The rows of a joined batch that process `rank` of `world` works on."""
    share, left = divmod(batch_size, world)
    if left:
        raise AvcoreError(f"batches of {batch_size} cannot be shared evenly by {world} devices")
    return slice(rank * share, (rank + 1) * share)


class _Items(Dataset):
    """A data set whose items are asked for with the seed of what they draw."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __getitem__(self, place: tuple[int, int]) -> Any:
        index, seed = place
        with seeded(seed):
            return self.data[index]


def _read(
    data: Dataset,
    places: Iterable[list[tuple[int, int]]],
    workers: int,
    collate: Collate | None,
) -> Iterator[Batch]:
    """Batches of the items at `places`; an error of avcore in a worker keeps its own sentence."""
    loader = DataLoader(
        _Items(data),
        batch_sampler=places,
        num_workers=workers,
        collate_fn=collate or getattr(data, "collate", None),
        generator=torch.Generator(),  # else the global random state would move on
    )
    try:
        yield from loader
    except AvcoreError as error:
        lines = str(error).strip().splitlines()
        if len(lines) > 1 and lines[0].startswith("Caught "):  # torch puts the traceback into it
            raise type(error)(lines[-1].partition(": ")[2]) from None
        raise


def in_memory(data: Batch | Dataset) -> bool:
    """Whether `data` are tensors, or else a data set that is read item by item."""
    return not isinstance(data, Dataset) and bool(leaves(data))


def count_samples(data: Batch | Dataset) -> int:
    """N, of tensors in memory or of a data set.

    Raises
    ------
    AvcoreError
        When tensors differ in length.
    """
    parts: list[Any] = leaves(data) if in_memory(data) else [data]
    counts = {len(part) for part in parts}
    if len(counts) != 1:
        raise AvcoreError(f"all tensors need the same number of samples, got {sorted(counts)}")
    return counts.pop()


def take(batch: Batch, which: Tensor | slice) -> Batch:
    """Those samples of every tensor; single numbers stay."""
    return map_tensors(batch, lambda tensor: tensor[which] if tensor.ndim else tensor)


def map_tensors(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Apply `change` to every tensor of a batch; leave everything else in it as it is."""
    if isinstance(batch, Tensor):
        return change(batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        parts = {part.name: getattr(batch, part.name) for part in fields(batch)}
        return replace(batch, **map_tensors(parts, change))
    if isinstance(batch, dict):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(value, change) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map_tensors(value, change) for value in batch)
    return batch


def leaves(batch: Batch) -> list[Tensor]:
    """Every tensor of a batch."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(batch, note)
    return found
