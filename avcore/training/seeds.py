"""Random numbers: each use has a stream of its own, a function of the seed and the step alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

UPDATE, DRAW, EPOCH, ITEM, EVALUATE = range(5)  # streams that must not share seeds


def step_seed(seed: int, step: int, stream: int = UPDATE, rank: int = 0) -> int:
    """Seed of one step of a run; different (seed, step, stream, rank) share nothing."""
    sequence = np.random.SeedSequence([seed, step, stream, rank])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch within the block (new layers, dropout), and leave its random state as it was.

    That of the CPU, and of `device`; other GPUs keep the seed.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
