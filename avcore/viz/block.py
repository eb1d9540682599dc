"""A similarity volume as a block of slices that can be turned and cut open, without a kernel."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from avcore.support import AvcoreError
from avcore.viz.encode import as_pictures, finite, picture_uri, png_uri, to_numpy
from avcore.viz.heatmaps import grey
from avcore.viz.outline import svg_outline
from avcore.viz.theme import MAP_SCALE, colour_table
from avcore.viz.view import Html, output, slider, text

TURNS = tuple(range(-75, 80, 5))  # degrees about the upright axis
START = -40
MOST = 32  # slices that a page draws


def volume_block(
    picture: Any,
    volume: Any,
    marked: Any = None,
    mask: Any = None,
    *,
    step: float = 1.0,
    caption: str = "",
) -> Html:
    """Show a volume of T slices as a block: turn it, and choose a slice to cut it open there.

    Beside the block stands the chosen slice over its picture, below them the maximum of every
    slice and their mean.

    Parameters
    ----------
    picture
        (H, W, 3) or (3, H, W), uint8 or floats in [0, 1].
    volume
        (T, h, w): a slice for each step of a sound.
    marked
        (T,) bool, the steps that count towards the mean; all when None.
    mask
        (H, W) bool: the ground truth, drawn as an outline; or None.
    step
        Seconds from slice to slice.
    caption
        What to see; how to read the figure is added to it.

    Raises
    ------
    AvcoreError
        For shapes that do not fit, values that are not finite, or more than 32 slices.
    """
    shown = as_pictures(to_numpy(picture)[None], 4, "the picture of a block")[0]
    slices = finite(to_numpy(volume).astype(np.float32), "a volume")
    counts = np.ones(len(slices), bool) if marked is None else to_numpy(marked).astype(bool)
    truth = None if mask is None else to_numpy(mask).astype(bool)
    _check(shown, slices, counts, truth)
    best = slices.max((1, 2))
    mean = float(best[counts].mean()) if counts.any() else 0.0
    labels = [
        f"{t + 1} of {len(best)}, at {t * step:.2f} s: maximum {value:.2f}"
        + ("" if counts[t] else ", silent")
        for t, value in enumerate(best)
    ]
    body = (
        f'<div class="av-sliders">{_slider("turn", [f"{each}°" for each in TURNS], START)}'
        f"{_slider('slice', labels, int(best.argmax()))}</div>"
        f'<div class="av-cut"><div class="av-room" role="img" aria-label="'
        f"{text(f'A block of {len(best)} slices, one behind the other, before the picture.')}"
        f'">{_sheets(shown, slices, counts)}</div>{_flat(shown, truth)}</div>'
        f"{_maxima(best, counts, mean)}"
    )
    note = (
        "The dot is the maximum of a slice, the bars below are these maxima, and the dashed line "
        f"is their mean, {mean:.2f}"
        + ("." if counts.all() else "; slices in silence (pale) do not count.")
        + ("" if truth is None else " The white line is the true outline.")
    ).replace("-", "−")
    return Html(
        output(
            body, kind="block", styles=("block.css",), caption=f"{caption} {note}".strip(),
            script=("block.js", "mountBlock"),
        )
    )  # fmt: skip


def _check(
    picture: np.ndarray, volume: np.ndarray, marked: np.ndarray, mask: np.ndarray | None
) -> None:
    if volume.ndim != 3 or not volume.size:
        raise AvcoreError(f"a volume wants shape (T, h, w), got {volume.shape}")
    if len(volume) > MOST:
        raise AvcoreError(f"got {len(volume)} slices, more than {MOST}")
    if marked.shape != volume.shape[:1]:
        raise AvcoreError(f"marked steps want shape {volume.shape[:1]}, got {marked.shape}")
    if mask is not None and mask.shape != picture.shape[:2]:
        raise AvcoreError(f"a mask wants shape {picture.shape[:2]}, got {mask.shape}")


def _slider(name: str, labels: list[str], start: int) -> str:
    place = labels.index(f"{start}°") if name == "turn" else start
    named = f'data-labels="{text(json.dumps(labels))}" data-start="{place}"'
    return slider(name, len(labels) - 1, named)


def _sheets(picture: np.ndarray, volume: np.ndarray, marked: np.ndarray) -> str:
    """The picture and, before it, the slices: the last step is nearest."""
    low, high = float(volume.min()), float(volume.max())
    scaled = ((volume - low) / max(high - low, 1e-8) * 255).round().astype(int)
    colours = colour_table(MAP_SCALE)[scaled]
    back = f'<img class="av-pixels" src="{picture_uri(picture)}" alt="the picture">'
    parts = [f'<div class="av-sheet" style="--k:0">{back}</div>']
    height, width = volume.shape[1:]
    for t, each in enumerate(volume):
        row, column = np.unravel_index(int(each.argmax()), each.shape)
        left, top = 100 * (column + 0.5) / width, 100 * (row + 0.5) / height
        image = f'<img class="av-pixels" src="{png_uri(colours[t])}" alt="slice {t + 1}">'
        kind = "" if marked[t] else " av-unheard"
        parts.append(
            f'<div class="av-sheet av-slice{kind}" style="--k:{t + 2}">{image}'
            f'<i style="left:{left:.1f}%;top:{top:.1f}%"></i></div>'
        )
    return f'<div class="av-turn" style="--n:{len(volume) + 1}">{"".join(parts)}</div>'


def _flat(picture: np.ndarray, mask: np.ndarray | None) -> str:
    """The chosen slice over its picture in grey; block.js puts the slice in."""
    outline = "" if mask is None else svg_outline(mask)
    return (
        f'<div class="av-flat"><img class="av-pixels" src="{picture_uri(grey(picture))}" '
        'alt="the picture in grey, under the chosen slice">'
        f'<img class="av-pixels av-over" alt="The map over the picture" hidden>'
        f"{outline}<i hidden></i></div>"
    )


def _maxima(best: np.ndarray, marked: np.ndarray, mean: float) -> str:
    """Bars of the maxima, one per slice, and their mean."""
    low, high = min(0.0, float(best.min())), max(0.0, float(best.max()))
    scale = 52 / max(high - low, 1e-8)
    zero, line = 56 + low * scale, 56 - (mean - low) * scale
    bars = []
    for t, value in enumerate(best):
        size = abs(float(value)) * scale
        top = zero - max(float(value), 0) * scale
        kind = "" if marked[t] else ' class="av-unheard"'
        bars.append(
            f'<rect{kind} x="{t + 0.1:.1f}" y="{top:.2f}" width="0.8" '
            f'height="{max(size, 0.5):.2f}"/>'
        )
    words = f"The maximum of each slice, from {best.min():.2f} to {best.max():.2f}, in time."
    return (
        f'<svg class="av-maxima" viewBox="0 0 {len(best)} 60" preserveAspectRatio="none" '
        f'role="img" aria-label="{text(words)}">{"".join(bars)}'
        f'<path d="M0 {line:.2f}H{len(best)}"/></svg>'
    )
