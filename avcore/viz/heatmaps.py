"""Maps of a model's attention over the pictures it saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avcore.support import AvcoreError, require
from avcore.viz.encode import as_pictures, finite, mean_pool, picture_uri, to_numpy
from avcore.viz.explore import LIMIT, Explorer, explore
from avcore.viz.figure import Figure, figure
from avcore.viz.outline import loops
from avcore.viz.theme import MAP_SCALE, colour_scale
from avcore.viz.view import text

CELLS = 56  # a map is drawn with at most this many cells a side
OPACITY = 0.6


@dataclass(frozen=True)
class Overlay:
    """Pictures (N, T, H, W, 3), maps (N, T, h, w), true masks (N, T, H, W) or None."""

    frames: np.ndarray
    maps: np.ndarray
    masks: np.ndarray | None
    limits: tuple[float, float]
    meaning: str
    smooth: bool

    def draw(self, sample: int, time: int) -> Figure:
        """One picture beside the same under its map."""
        picture, each = self.frames[sample, time], self.maps[sample, time]
        height, width = picture.shape[:2]
        fig = require("plotly.subplots", "viz").make_subplots(cols=2, horizontal_spacing=0.03)
        # Under the map the picture is grey, so that every colour there is the map's.
        for column, each_picture in ((1, picture), (2, grey(picture))):
            source = picture_uri(each_picture)
            fig.add_image(source=source, hoverinfo="skip", row=1, col=column)
        fig.add_heatmap(
            z=_pooled(each).astype(np.float32), **self._cells(each.shape, width, height),
            zmin=self.limits[0], zmax=self.limits[1], opacity=OPACITY,
            colorscale=colour_scale(MAP_SCALE), zsmooth="best" if self.smooth else False,
            colorbar=_colour_bar(self.meaning), row=1, col=2,
            hovertemplate="x %{x:.0f}, y %{y:.0f}: %{z:.3f}<extra></extra>",
        )  # fmt: skip
        if self.masks is not None:
            _outline(fig, self.masks[sample, time])
        fig.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain")
        fig.update_yaxes(visible=False, range=[height - 0.5, -0.5], constrain="domain")
        fig.update_yaxes(scaleanchor="x", row=1, col=1)
        fig.update_yaxes(scaleanchor="x2", row=1, col=2)
        aspect = height / width / 2
        fig.update_layout(
            height=round(700 * aspect) + 70, margin={"l": 0, "r": 0, "t": 8, "b": 62},
            showlegend=False, meta={"aspect": aspect, "extra": 70},
        )  # fmt: skip
        low, high = float(each.min()), float(each.max())
        words = f"A picture, and over it a map of {self.meaning} from {low:.2g} to {high:.2g}."
        return figure(fig, alt=words)

    def _cells(self, shape: tuple[int, ...], width: int, height: int) -> dict:
        """Where the cells of a map lie on a picture whose first pixel is centred on 0."""
        rows, columns = _pooled(np.zeros(shape)).shape
        dx, dy = width / columns, height / rows
        return {"x0": dx / 2 - 0.5, "dx": dx, "y0": dy / 2 - 0.5, "dy": dy}


def heatmaps(
    frames: Any,
    maps: Any,
    masks: Any = None,
    captions: Sequence[str] | None = None,
    *,
    limits: tuple[float, float] | None = None,
    meaning: str = "similarity",
    smooth: bool = False,
    caption: str = "",
) -> Explorer:
    """Lay maps over pictures, with sliders over the samples and, for clips, over time.

    Parameters
    ----------
    frames
        (N, H, W, 3) or (N, T, H, W, 3), colours last or first; uint8 or floats in [0, 1].
    maps
        (N, h, w) or (N, T, h, w); any resolution, spread over the picture.
    masks
        (N, H, W) or (N, T, H, W) bool: the truth, drawn as an outline; or None.
    captions
        A plain text for each sample.
    limits
        The values that the ends of the colour scale stand for; the least and the greatest
        value of all maps when None.
    meaning
        What the values are; stands at the colour bar.
    smooth
        Whether the map is interpolated between its cells.
    caption
        What to see; how the colours are to be read is added to it.

    Raises
    ------
    AvcoreError
        For shapes that do not fit, values that are not finite, or more than 64 pictures.
    """
    made = to_numpy(maps)
    if made.ndim not in (3, 4) or not made.size:
        raise AvcoreError(f"maps want shape (N, h, w) or (N, T, h, w), got {made.shape}")
    clips = made.ndim == 4
    pictures = as_pictures(frames, 5 if clips else 4, "frames")
    truth = None if masks is None else to_numpy(masks).astype(bool)
    if not clips:
        made, pictures = made[:, None], pictures[:, None]
        truth = None if truth is None or truth.ndim != 3 else truth[:, None]
    _check(pictures, made, truth, captions, lost=masks is not None and truth is None)
    finite(made, "a map")
    low, high = limits or (float(made.min()), float(made.max()))
    if not low < high:
        high = low + 1e-6 + abs(low) * 1e-6  # a constant map still gets a scale
    overlay = Overlay(pictures, made, truth, (low, high), meaning, smooth)
    note = _note(made, (low, high), truth is not None)
    return explore(
        overlay.draw,
        caption=f"{caption} {note}".strip(),
        alt=f"Pictures beside the same under maps of {meaning}; the sliders choose which.",
        **_sliders(len(made), made.shape[1], captions),
    )


def _sliders(samples: int, times: int, captions: Sequence[str] | None) -> dict:
    words = [f": {each}" for each in captions] if captions is not None else [""] * samples
    labels = {f"{i + 1} of {samples}{words[i]}": i for i in range(samples)}
    return {"sample": labels, "time": {f"{i + 1} of {times}": i for i in range(times)}}


def _check(frames: np.ndarray, maps: np.ndarray, masks: Any, captions: Any, lost: bool) -> None:
    if frames.shape[:2] != maps.shape[:2]:
        raise AvcoreError(f"got frames {frames.shape[:2]} and maps {maps.shape[:2]} (N, T)")
    if lost or (masks is not None and masks.shape != frames.shape[:-1]):
        raise AvcoreError(f"masks want the shape of the frames without colour, {frames.shape[:-1]}")
    if captions is not None and len(captions) != len(maps):
        raise AvcoreError(f"got {len(captions)} captions for {len(maps)} samples")
    if maps.shape[0] * maps.shape[1] > LIMIT:
        raise AvcoreError(f"got {maps.shape[0] * maps.shape[1]} pictures, more than {LIMIT}")


def _pooled(each: np.ndarray) -> np.ndarray:
    """Average neighbours of a map until it has at most `CELLS` cells a side."""
    return mean_pool(mean_pool(each, CELLS).T, CELLS).T


def grey(picture: np.ndarray) -> np.ndarray:
    """The luma (ITU-R BT.601) of a picture in all three colours, uint8."""
    luma = (picture @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(luma[..., None], 3, -1)


def _outline(fig: Any, mask: np.ndarray) -> None:
    """The outline of the truth on both pictures, white on a dark casing."""
    points: list[list[float | None]] = []
    for corners in loops(mask):
        points += [*(corners - 0.5).tolist(), [None, None]]
    x, y = zip(*points, strict=True) if points else ([None], [None])
    for column in (1, 2):
        for colour, width in (("rgba(0,0,0,0.75)", 5), ("#ffffff", 2)):
            fig.add_scatter(
                x=list(x), y=list(y), mode="lines", line={"color": colour, "width": width},
                hoverinfo="skip", row=1, col=column,
            )  # fmt: skip


def _colour_bar(meaning: str) -> dict:
    return {
        "orientation": "h", "thickness": 12, "outlinewidth": 0, "len": 0.48, "x": 1,
        "xanchor": "right", "y": -0.02, "yanchor": "top",
        "title": {"text": text(meaning), "side": "bottom"},
    }  # fmt: skip


def _note(maps: np.ndarray, limits: tuple[float, float], outlined: bool) -> str:
    line = " The white line is the true outline." if outlined else ""
    places = max(0, 1 - math.floor(math.log10(limits[1] - limits[0])))
    least, greatest, dark, bright = (
        f"{value:.{places}f}".replace("-", "\u2212") for value in (maps.min(), maps.max(), *limits)
    )
    return (
        f"The maps hold values from {least} to {greatest}; the colours run from"
        f" {dark} (dark) to {bright} (bright) in every picture.{line}"
    )
