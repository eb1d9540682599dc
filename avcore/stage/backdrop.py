"""Backgrounds: soft colours with a horizon, clouds or tiles, drawn alike for every class."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avcore.stage.draw import Paint
from avcore.stage.scene import SceneConfig


def backdrop(config: SceneConfig, rng: np.random.Generator) -> np.ndarray:
    """One background, (H, W, 3) float32 in [0, 1]; a collage has one for each tile."""
    if config.layout == "collage":
        half = config.size // 2
        rest = config.size - half
        rows = [
            np.concatenate([_single(h, w, rng) for w in (half, rest)], axis=1) for h in (half, rest)
        ]
        return np.concatenate(rows, axis=0)
    return _single(config.size, config.size, rng)


def _single(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    paint = Paint.draw(rng)
    kind = rng.integers(3)
    y, x = _grid(height, width)
    if kind == 0:  # ground and sky
        horizon = 0.55 + 0.25 * rng.random() + 0.06 * np.sin(5 * x + paint.phase)
        share = np.clip((y - horizon) * height, 0, 1)
    elif kind == 1:  # tiles or boards
        a, b = paint.wave * 3
        share = 0.5 + 0.5 * np.clip(4 * np.sin(a * x + b * y + paint.phase), -1, 1) * 0.4
    else:  # one colour that fades into another
        share = np.clip(0.5 + (x - 0.5) * paint.wave[0] / 9 + (y - 0.5) * paint.wave[1] / 9, 0, 1)
    share = share[..., None].astype(np.float32)
    colour = share * paint.body + (1 - share) * paint.second
    coarse = rng.normal(0, 0.07, (5, 5, 1)) + rng.normal(0, 0.03, (5, 5, 3))
    clouds = _smooth(coarse.astype(np.float32), height, width)
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(0.012)
    return np.clip(0.62 * colour + 0.19 + clouds + grain, 0, 1)


@lru_cache(maxsize=16)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    x = (np.arange(width, dtype=np.float32) + 0.5) / width
    return np.meshgrid(y, x, indexing="ij")


@lru_cache(maxsize=16)
def _weights(cells: int, length: int) -> np.ndarray:
    """Linear interpolation from `cells` knots to `length` samples, as a matrix."""
    where = np.linspace(0, cells - 1, length, dtype=np.float32)
    return np.maximum(1 - np.abs(where[:, None] - np.arange(cells)), 0).astype(np.float32)


def _smooth(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear enlargement of (cells, cells, 3), knot by knot.

    A matrix product would start threads in every worker process.
    """
    down, across = _weights(len(coarse), height), _weights(len(coarse), width)
    rows = sum(down[:, k, None, None] * coarse[k] for k in range(len(coarse)))
    return sum(across[:, k, None] * rows[:, None, k] for k in range(len(coarse)))
