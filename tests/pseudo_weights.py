"""Weights that are the same on every machine, to compare with the authors' code without a file.

The rule belongs to the parity vectors of `tests/reference`; see its README.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

KEYS = Path(__file__).parent / "reference" / "checkpoint_keys.json"


def pseudo_weights(checkpoint: str) -> dict[str, Tensor]:
    """The state dict of a published checkpoint with numbers drawn from each key's name."""
    shapes = json.loads(KEYS.read_text(encoding="utf-8"))[checkpoint]
    return {key: _draw(key, shape) for key, shape in shapes.items()}


def _draw(key: str, shape: list[int]) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if key.endswith("running_var"):
        return 1 + 0.1 * values.abs()
    if key.endswith(("running_mean", "bias")):
        return 0.1 * values
    if len(shape) <= 1:
        return 1 + 0.1 * values
    return values * math.sqrt(2 / math.prod(shape[1:]))
