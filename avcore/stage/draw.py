"""A small vector-drawing kit: signed distances, and a pen that fills them without jagged edges.

A signed distance is negative inside a shape and positive outside, in the object's own units
(u right, v down, the object fills about [-1, 1]²). Every argument may be an array over frames,
(T, 1, 1), so that a shape can move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Paint:
    """The colours and the surface of one individual; all drawn alike for every class.

    `body`, `second`, `accent` are rgb (3,) in [0, 1]. The surface pattern multiplies the colours
    by 1 ± `contrast`; `wave` (2,) is its frequency along u and v, `phase` shifts it.
    """

    body: np.ndarray
    second: np.ndarray
    accent: np.ndarray
    pattern: str
    wave: np.ndarray
    phase: float
    contrast: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Paint:
        hue = rng.uniform(0, 1, 3)
        saturation = rng.uniform(0.15, 0.95, 3)
        value = rng.uniform(0.3, 1.0, 3)
        ramp = np.abs((hue[:, None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
        colours = value[:, None] * (1 - saturation[:, None] * (1 - np.clip(ramp, 0, 1)))
        body, second, accent = colours.astype(np.float32)
        angle, frequency = rng.uniform(0, np.pi), rng.uniform(4, 11)
        return cls(
            body,
            second,
            accent,
            pattern=("plain", "stripes", "dots")[rng.integers(3)],
            wave=(frequency * np.array([np.cos(angle), np.sin(angle)])).astype(np.float32),
            phase=float(rng.uniform(0, 2 * np.pi)),
            contrast=float(rng.uniform(0.08, 0.22)),
        )

    def surface(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Brightness of the surface: light from above, times the pattern; shape of `u`."""
        light = 1.04 - 0.16 * v
        a, b = self.wave
        if self.pattern == "stripes":
            light = light * (1 + self.contrast * np.sin(a * u + b * v + self.phase))
        elif self.pattern == "dots":
            light = light * (
                1 + self.contrast * np.sin(a * u + b * v + self.phase) * np.sin(a * v - b * u)
            )
        return light


class Pen:
    """Collects filled shapes over each other; `rgb` (3, T, h, w) and `alpha` (T, h, w)."""

    def __init__(self, u: np.ndarray, v: np.ndarray, pixel: float, paint: Paint) -> None:
        self.rgb = np.zeros((3, *u.shape), np.float32)
        self.alpha = np.zeros(u.shape, np.float32)
        self.sharpness = np.float32(1 / pixel)
        self.surface = paint.surface(u, v)

    def fill(
        self, distance: np.ndarray, colour: np.ndarray, *, flat: bool = False, opacity=1.0
    ) -> None:
        """Fill where `distance` < 0; `flat` leaves out light and pattern."""
        cover = np.clip(0.5 - distance * self.sharpness, 0, 1) * opacity
        cover = cover.astype(np.float32, copy=False)
        for plane, value in zip(self.rgb, colour, strict=True):
            plane += cover * ((value if flat else value * self.surface) - plane)
        self.alpha += cover * (1 - self.alpha)

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return np.clip(np.moveaxis(self.rgb, 0, -1), 0, 1), self.alpha


WHITE = np.array([0.97, 0.97, 0.95], np.float32)
BLACK = np.array([0.07, 0.07, 0.09], np.float32)


def turn(u, v, angle, about=(0.0, 0.0)):
    """Coordinates of a shape that is turned by `angle` rad (clockwise) about a point."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = u - about[0], v - about[1]
    return about[0] + cos * x + sin * y, about[1] - sin * x + cos * y


def circle(u, v, x, y, radius):
    return np.sqrt((u - x) ** 2 + (v - y) ** 2) - radius


def ellipse(u, v, x, y, a, b):
    """Approximate distance to an ellipse: exact on its edge, scaled by the smaller half-axis."""
    return (np.sqrt(((u - x) / a) ** 2 + ((v - y) / b) ** 2) - 1) * np.minimum(a, b)


def box(u, v, x, y, half_width, half_height, rounding=0.0):
    """A rectangle with rounded corners (distances outside a corner are underestimated)."""
    horizontal = np.abs(u - x) - half_width + rounding
    vertical = np.abs(v - y) - half_height + rounding
    if rounding == 0:
        return np.maximum(horizontal, vertical)
    outside = np.sqrt(np.maximum(horizontal, 0) ** 2 + np.maximum(vertical, 0) ** 2)
    return outside + np.minimum(np.maximum(horizontal, vertical), 0) - rounding


def line(u, v, start, end, radius):
    """A straight stroke with round ends; the ends may move."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    x, y = u - start[0], v - start[1]
    along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2) - radius


def taper(u, v, x, top, bottom, half_top, half_bottom):
    """A trapezium with level edges at `top` and `bottom`."""
    half = half_top + (half_bottom - half_top) * (v - top) / (bottom - top)
    slope = (half_bottom - half_top) / (bottom - top)
    side = (np.abs(u - x) - half) / np.sqrt(1 + slope * slope)
    return np.maximum(side, np.maximum(top - v, v - bottom))


def ring(distance, half_width):
    """The outline of a shape, 2 · `half_width` wide."""
    return np.abs(distance) - half_width
