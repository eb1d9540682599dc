"""The outline of a mask, along the edges of its pixels."""

from __future__ import annotations

from collections import defaultdict

import numpy as np


def loops(mask: np.ndarray) -> list[np.ndarray]:
    """Closed outlines of a mask (H, W): corners (k, 2) as x, y in pixels, first = last.

    Every edge between a pixel inside and one outside is walked once, the inside to the right.
    """
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    onward: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    sides = (  # rows, columns shift to the neighbour; where the side starts; how it runs
        ((-1, 0), (0, 0), (1, 0)),  # top, to the right
        ((0, 1), (1, 0), (0, 1)),  # right, down
        ((1, 0), (1, 1), (-1, 0)),  # bottom, to the left
        ((0, -1), (0, 1), (0, -1)),  # left, up
    )
    for shift, (x0, y0), (dx, dy) in sides:
        neighbour = np.roll(padded, (-shift[0], -shift[1]), axis=(0, 1))
        for row, column in np.argwhere(padded & ~neighbour) - 1:
            x, y = int(column) + x0, int(row) + y0
            onward[x, y].append((x + dx, y + dy))
    found = []
    while onward:
        path = [next(iter(onward))]
        while path[-1] in onward:
            ends = onward[path[-1]]
            point = ends.pop()
            if not ends:
                del onward[path[-1]]
            path.append(point)
        found.append(_corners(np.array(path)))
    return found


def _corners(path: np.ndarray) -> np.ndarray:
    """Drop the points of a closed path at which it runs straight on."""
    steps = np.diff(path, axis=0)
    turns = (steps != np.roll(steps, 1, axis=0)).any(1)
    corners = path[:-1][turns]
    return np.concatenate([corners, corners[:1]])


def svg_outline(mask: np.ndarray) -> str:
    """An SVG element with the outlines of a mask (H, W), each line over its casing."""
    height, width = mask.shape
    path = svg_path(mask)
    return (
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path class="av-casing" d="{path}"/><path d="{path}"/></svg>'
    )


def svg_path(mask: np.ndarray) -> str:
    """The outlines as the `d` of an SVG path whose unit is a pixel."""
    parts = []
    for corners in loops(mask):
        x, y = corners[0]
        parts.append(f"M{x} {y}")
        for dx, dy in np.diff(corners, axis=0)[:-1]:
            parts.append(f"h{dx}" if dx else f"v{dy}")
        parts.append("z")
    return "".join(parts)
