"""Many samples at once, each under one or several maps, hits and misses marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from avcore.support import AvcoreError
from avcore.viz.encode import as_pictures, finite, jpeg_uri, to_numpy
from avcore.viz.heatmaps import OPACITY, grey
from avcore.viz.outline import svg_outline
from avcore.viz.theme import MAP_SCALE, colour_table
from avcore.viz.view import Html, output, text

SIDE = 112  # pixels of a picture in the grid; the page enlarges them


def map_grid(
    images: Any,
    maps: Mapping[str, Any],
    masks: Any = None,
    captions: Sequence[str] | None = None,
    *,
    hits: Mapping[str, Any] | None = None,
    columns: int = 2,
    limits: tuple[float, float] | None = None,
    caption: str = "",
) -> Html:
    """Show N samples at once: each picture, and the same under each of the named maps.

    Parameters
    ----------
    images
        (N, H, W, 3) or (N, 3, H, W), uint8 or floats in [0, 1].
    maps
        Name (such as "own sound", "wrong sound", "silence") -> (N, h, w); a mask is a map of 0
        and 1. All of the same N; any h and w.
    masks
        (N, H, W) bool: the ground truth, drawn as an outline; or None.
    captions
        A plain text for each sample.
    hits
        Name -> (N,) bool: whether the map of that sample is right. A tick or a cross stands on the
        picture, and how many are right stands above. Names that are missing get no marks.
    columns
        Samples side by side on a wide page; a phone shows one or two.
    limits
        The values at the ends of the colour scale, for all maps; by default each map of each
        sample has a scale of its own, from its least to its greatest value.
    caption
        What to see.

    Raises
    ------
    AvcoreError
        For no maps, shapes that do not fit, or values that are not finite.
    """
    pictures = as_pictures(images, 4, "images of a grid")
    count, named = len(pictures), {name: to_numpy(each) for name, each in maps.items()}
    marks = {name: to_numpy(each).astype(bool) for name, each in (hits or {}).items()}
    truth = None if masks is None else to_numpy(masks).astype(bool)
    _check(pictures, named, truth, captions, marks)
    told = captions or [""] * count
    cells = []
    for i in range(count):
        outline = "" if truth is None else svg_outline(truth[i])
        tiles = [_tile(pictures[i], outline, told[i] or f"sample {i + 1}")]
        for name, each in named.items():
            hit = bool(marks[name][i]) if name in marks else None
            alt = name if hit is None else f"{name}, {'hit' if hit else 'miss'}"
            tiles.append(_tile(_tinted(pictures[i], each[i], limits), outline, alt, hit))
        cells.append(f"<li><div>{''.join(tiles)}</div><p>{text(told[i])}</p></li>")
    style = f"--columns:{int(columns)};--maps:{len(named) + 1}"
    grid = f'<ul class="av-cells" style="{style}">{"".join(cells)}</ul>'
    line = "" if truth is None else " The white line is the true outline."
    note = f" From left to right: the picture, {', '.join(named)}."
    body = _score(named, marks, count) + grid
    words = f"{caption}{note}{line}".strip()
    return Html(output(body, kind="grid", styles=("grid.css",), caption=words))


def tinted(images: Any, maps: Any, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Pictures under their maps, as pictures of their own size: (N, H, W, 3) uint8.

    Parameters
    ----------
    images
        (N, H, W, 3) or (N, 3, H, W), uint8 or floats in [0, 1].
    maps
        (N, h, w), any resolution.
    limits
        The values at the ends of the colour scale; the least and the greatest of each map when
        None.

    Raises
    ------
    AvcoreError
        For shapes that do not fit, or values that are not finite.
    """
    pictures, made = as_pictures(images, 4, "images to tint"), to_numpy(maps)
    _check(pictures, {"given": made}, None, None, {})
    side = max(pictures.shape[1:3])
    pairs = zip(pictures, made, strict=True)
    return np.stack([_tinted(picture, each, limits, side) for picture, each in pairs])


def _check(
    pictures: np.ndarray,
    maps: dict[str, np.ndarray],
    truth: np.ndarray | None,
    captions: Sequence[str] | None,
    marks: dict[str, np.ndarray],
) -> None:
    count = len(pictures)
    if not maps:
        raise AvcoreError("a grid wants at least one map")
    for name, each in maps.items():
        if each.ndim != 3 or len(each) != count or not each.size:
            raise AvcoreError(f"map {name!r} wants shape ({count}, h, w), got {each.shape}")
        finite(each, f"map {name!r}")
    if truth is not None and truth.shape != pictures.shape[:-1]:
        raise AvcoreError(f"masks want shape {pictures.shape[:-1]}, got {truth.shape}")
    if captions is not None and len(captions) != count:
        raise AvcoreError(f"got {len(captions)} captions for {count} samples")
    for name, each in marks.items():
        if name not in maps or each.shape != (count,):
            raise AvcoreError(f"hits of {name!r} want a map of that name and shape ({count},)")


def _tinted(
    picture: np.ndarray,
    each: np.ndarray,
    limits: tuple[float, float] | None,
    side: int = SIDE,
) -> np.ndarray:
    """The picture in grey under a map, at most `side` pixels high and wide, uint8."""
    low, high = limits or (float(each.min()), float(each.max()))
    scaled = (each.astype(np.float32) - low) / max(high - low, 1e-8)
    size = [max(1, round(side * length / max(picture.shape[:2]))) for length in picture.shape[:2]]
    spread = _resized(scaled.clip(0, 1)[None], size)[0]
    shades = _resized(np.moveaxis(grey(picture).astype(np.float32), -1, 0), size)
    colours = colour_table(MAP_SCALE)[(spread * 255).round().astype(int)]
    return (OPACITY * colours + (1 - OPACITY) * np.moveaxis(shades, 0, -1)).round().astype(np.uint8)


def _resized(channels: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(C, h, w) -> (C, *size), bilinear."""
    tensor = torch.from_numpy(np.ascontiguousarray(channels))[None]
    return functional.interpolate(tensor, size=tuple(size), mode="bilinear")[0].numpy()


def _tile(picture: np.ndarray, outline: str, alt: str, hit: bool | None = None) -> str:
    mark = ""
    if hit is not None:
        path, kind = ("M2 6.5l3 3 5-6.5", "hit") if hit else ("M3 3l6 6M9 3l-6 6", "miss")
        mark = (
            f'<svg class="av-mark av-{kind}" viewBox="0 0 12 12" aria-hidden="true">'
            f'<path d="{path}"/></svg>'
        )
    return f'<span><img src="{jpeg_uri(picture)}" alt="{text(alt)}">{outline}{mark}</span>'


def _score(maps: Mapping[str, Any], marks: Mapping[str, np.ndarray], count: int) -> str:
    """How many samples are right under each map."""
    told = [
        f"<b>{text(name)}</b>: {int(marks[name].sum())} of {count} right"
        for name in maps
        if name in marks
    ]
    return f'<p class="av-score">{" · ".join(told)}</p>' if told else ""
