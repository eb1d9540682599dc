"""Laying heat maps over the pictures of a video, as translucent colours.

Source: Owens and Efros (ECCV 2018), the demonstration of their public code: the scale of a map
ends at the 97th percentile of its values, and what is below half of it is not shown. Deviation: the
percentile is that of the last seconds rather than of the whole video, so that a video of any length
is drawn as it is read.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avcore.data.media.video import Video
from avcore.data.media.video_streams import Picture
from avcore.data.media.windows import fit_stored
from avcore.support import require

PERCENTILE = 97.0
SHOWN = 0.5  # of the top of the scale: weaker places keep their own colour
OPACITY = 0.6  # of all but the weakest of the places that are shown
RAMP = 0.3  # of the shown range, in which the opacity rises from 0
SQUARE = 1000  # units along the side of the square in which a picture is placed
UNIT = 128  # of opacity: 255 times it fits 16 bits
MEMORY = 10  # blocks of maps of which the percentile is taken
QUIET = 0.25  # of the highest top so far, below which the top never falls
LUMA = np.array([0.257, 0.504, 0.098])  # ITU-R BT.601, of values 16 to 235
BLUE_RED = np.array([[-0.148, -0.291, 0.439], [0.439, -0.368, -0.071]])


class RunningScale:
    """The top of the colour scale: a percentile of the last blocks of maps.

    After a stretch in which nothing sounds, noise would fill the scale; so the top stays above a
    fraction of the highest that there was.
    """

    def __init__(self) -> None:
        self._highest = 0.0
        self._blocks: deque[np.ndarray] = deque(maxlen=MEMORY)

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps (T, h, w) as fractions of the shown range, 0 to 1; nothing where all are 0."""
        self._blocks.append(maps.numpy().ravel())
        top = float(np.percentile(np.concatenate(self._blocks), PERCENTILE))
        self._highest = max(self._highest, top)
        top = max(top, QUIET * self._highest)
        if top <= 0:
            return torch.zeros_like(maps)
        return ((maps / top - SHOWN) / (1 - SHOWN)).clamp(0, 1)


class Overlay:
    """Paints maps of the square that a network saw on the pictures it was made of.

    Parameters
    ----------
    video
        Whose pictures they are.
    colours
        (256, 3) uint8, RGB, from weak to strong.
    """

    def __init__(self, video: Video, colours: np.ndarray) -> None:
        self.width, self.height = video.width // 2 * 2, video.height // 2 * 2
        self.place = fit_stored(video, SQUARE)
        self.luma = (16 + colours @ LUMA).round().astype(np.int16)
        self.chroma = (128 + colours @ BLUE_RED.T).round().astype(np.int16)  # (256, 2)
        strength = np.linspace(0, 1 / RAMP, 256).clip(0, 1)
        self.alpha = (UNIT * OPACITY * strength).round().astype(np.int16)
        self._weights: tuple[np.ndarray, np.ndarray] | None = None
        self._shape: tuple[int, ...] = ()
        self._last: tuple[Any, list[tuple[np.ndarray, np.ndarray]]] = (None, [])

    def paint(self, picture: Picture, heat: Tensor) -> Any:
        """A frame of PyAV (yuv420p) of the picture under its map (h, w), 0 to 1."""
        frame = picture.frame.reformat(self.width, self.height, "yuv420p", dst_color_range="MPEG")
        if not heat.any():
            return frame
        if self._last[0] is not heat:  # pictures come faster than maps
            self._last = (heat, self._planes(heat, picture.turns))
        pixels = frame.to_ndarray().reshape(-1)
        area = self.width * self.height
        luma, *chroma = np.split(pixels, [area, area * 5 // 4])
        for plane, (colour, alpha) in zip((luma, *chroma), self._last[1], strict=True):
            plane += ((colour - plane) * alpha // UNIT).astype(np.uint8)
        packed = pixels.reshape(self.height * 3 // 2, self.width)
        return require("av", "media").VideoFrame.from_ndarray(packed, "yuv420p")

    def _planes(self, heat: Tensor, turns: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Colour and opacity (0 to `UNIT`) of the pixels of the three planes, each flat int16."""
        index = self._spread(torch.rot90(heat, -turns))
        half = index[::2, ::2].ravel()
        index = index.ravel()
        return [
            (self.luma[index], self.alpha[index]),
            (self.chroma[half, 0], self.alpha[half]),
            (self.chroma[half, 1], self.alpha[half]),
        ]

    def _spread(self, heat: Tensor) -> np.ndarray:
        """A stored map of the square over the stored picture: (height, width) uint8."""
        if self._weights is None or heat.shape != self._shape:
            left, top, width, height = (each / SQUARE for each in self.place)
            rows = _interpolation(top, height, self.height, heat.shape[0])
            columns = _interpolation(left, width, self.width, heat.shape[1])
            self._weights, self._shape = (rows, columns.T), heat.shape
        rows, columns = self._weights
        return (255 * (rows @ heat.numpy() @ columns) + 0.5).astype(np.uint8)


def _interpolation(first: float, length: float, pixels: int, cells: int) -> np.ndarray:
    """Weights (pixels, cells) of linear interpolation.

    The pixels divide a part of an axis from 0 to 1, the cells all of it; beyond the middles of
    the outer cells the map is constant.
    """
    at = (first + length * (np.arange(pixels) + 0.5) / pixels) * cells - 0.5
    distance = np.abs(at.clip(0, cells - 1)[:, None] - np.arange(cells))
    return (1 - distance).clip(0).astype(np.float32)
