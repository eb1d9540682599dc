"""How each class looks, and how it moves when it sounds.

A look is a function `(pen, u, v, drive, paint)`. `drive` is 0 at rest and 1 at the strongest
instant of the performance. Colours come from `paint` alone, so that no class has a colour of
its own; only eyes and keys are black and white.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avcore.stage.draw import (
    BLACK,
    WHITE,
    Paint,
    Pen,
    box,
    circle,
    ellipse,
    line,
    ring,
    taper,
    turn,
)

Look = Callable[[Pen, np.ndarray, np.ndarray, np.ndarray, Paint], None]


def guitar(pen, u, v, drive, paint):
    u, v = turn(u, v, 0.6 - 0.35 * drive, about=(0.0, 0.5))
    pen.fill(box(u, v, 0, -0.45, 0.09, 0.55), paint.second)
    pen.fill(box(u, v, 0, -0.95, 0.15, 0.13, 0.05), paint.second * 0.7)
    body = np.minimum(circle(u, v, 0, 0.55, 0.45), circle(u, v, 0, 0.0, 0.33))
    pen.fill(np.minimum(body, box(u, v, 0, 0.25, 0.27, 0.25)), paint.body)
    pen.fill(circle(u, v, 0, 0.1, 0.13), paint.accent * 0.3)
    for string in (-0.05, 0.05):
        pen.fill(line(u, v, (string, -0.9), (string, 0.6), 0.014 + 0.05 * drive), WHITE, flat=True)
    pen.fill(box(u, v, 0, 0.65, 0.2, 0.045), paint.accent)


def xylophone(pen, u, v, drive, paint):
    pen.fill(taper(v, -u, 0.28, -0.9, 0.9, 0.3, 0.55), paint.second * 0.9)
    for bar in range(5):
        height = 0.58 - 0.07 * bar
        colour = paint.body if bar % 2 else paint.accent
        pen.fill(box(u, v, -0.74 + 0.37 * bar, 0.3, 0.135, height, 0.05), colour)
    x, y = 0.1 - 0.12 * drive, -0.62 + 0.72 * drive
    pen.fill(line(u, v, (0.75, -0.95), (x, y), 0.05), paint.second)
    pen.fill(circle(u, v, x, y, 0.17), paint.second * 0.8)


def drum(pen, u, v, drive, paint):
    pen.fill(box(u, v, 0, 0.4, 0.75, 0.42), paint.body)
    pen.fill(ellipse(u, v, 0, 0.8, 0.75, 0.18), paint.body)
    zigzag = np.abs((u * 2.6 + 10) % 1 - 0.5) * 1.4
    lacing = np.maximum(np.abs(v - 0.12 - zigzag) - 0.045, np.abs(u) - 0.72)
    pen.fill(lacing, paint.accent)
    pen.fill(ellipse(u, v, 0, -0.02, 0.75, 0.2 + 0.07 * drive), paint.second)
    for side in (-1, 1):
        tip = (side * 0.22, -0.5 + 0.5 * drive)
        pen.fill(line(u, v, (side * 0.85, -0.9 + 0.25 * drive), tip, 0.055), paint.accent)
        pen.fill(circle(u, v, tip[0], tip[1], 0.1), paint.accent)


def clarinet(pen, u, v, drive, paint):
    u, v = turn(u, v, 0.75 - 0.6 * drive)
    pen.fill(box(u, v, 0, 0.0, 0.12, 0.8), paint.body)
    pen.fill(taper(u, v, 0, -1.0, -0.72, 0.05, 0.13), paint.second * 0.6)
    pen.fill(taper(u, v, 0, 0.6, 0.98, 0.12, 0.36), paint.body)
    for key in range(5):
        pressed = drive if key % 2 else 1 - drive
        pen.fill(circle(u, v, 0.05, -0.5 + 0.24 * key, 0.075 + 0.03 * pressed), paint.accent)
    pen.fill(box(u, v, 0, -0.66, 0.14, 0.035), paint.second)


def whistle(pen, u, v, drive, paint):
    u, v = turn(u, v, 0.3 * drive - 0.15)
    v = v + 0.12 * drive
    pen.fill(box(u, v, 0.38, -0.22, 0.58, 0.2, 0.04), paint.body)
    pen.fill(circle(u, v, -0.3, 0.12, 0.55), paint.body)
    pen.fill(circle(u, v, -0.3, 0.12, 0.36), paint.second * 0.45)
    angle = 5.5 * drive + 1.0
    pen.fill(
        circle(u, v, -0.3 + 0.19 * np.cos(angle), 0.12 + 0.19 * np.sin(angle), 0.16), paint.accent
    )
    pen.fill(box(u, v, 0.14, -0.36, 0.09, 0.08), paint.second * 0.35)
    pen.fill(ring(circle(u, v, -0.9, 0.1, 0.13), 0.04), paint.accent)


def bell(pen, u, v, drive, paint):
    u, v = turn(u, v, 0.6 * drive - 0.3, about=(0.0, -0.85))
    pen.fill(circle(u, v, -0.5 * drive + 0.1, 0.68, 0.2), paint.accent)
    dome = np.maximum(ellipse(u, v, 0, -0.1, 0.5, 0.62), v - 0.1)
    pen.fill(np.minimum(dome, taper(u, v, 0, 0.05, 0.62, 0.5, 0.8)), paint.body)
    pen.fill(box(u, v, 0, 0.62, 0.84, 0.08, 0.07), paint.second)
    pen.fill(box(u, v, 0, 0.12, 0.53, 0.05), paint.second)
    pen.fill(ring(circle(u, v, 0, -0.82, 0.14), 0.05), paint.accent)


def bird(pen, u, v, drive, paint):
    pen.fill(line(u, v, (-0.1, 0.5), (-0.15, 0.95), 0.04), paint.accent * 0.7)
    pen.fill(line(u, v, (0.15, 0.5), (0.1, 0.95), 0.04), paint.accent * 0.7)
    tail_u, tail_v = turn(u, v, -0.5)
    pen.fill(ellipse(tail_u, tail_v, -0.75, -0.18, 0.42, 0.11), paint.second)
    pen.fill(ellipse(u, v, -0.05, 0.2, 0.6, 0.42), paint.body)
    pen.fill(circle(u, v, 0.38, -0.3, 0.34), paint.body)
    for sign in (-1, 1):
        mouth_u, mouth_v = turn(u, v, sign * (0.08 + 0.5 * drive), about=(0.62, -0.28))
        beak = np.maximum(
            np.abs(mouth_v + 0.28 - sign * 0.03) - 0.1 * (1.02 - mouth_u) / 0.4, 0.62 - mouth_u
        )
        pen.fill(beak, paint.accent)
    wing_u, wing_v = turn(u, v, 1.1 * drive, about=(0.15, 0.1))
    pen.fill(ellipse(wing_u, wing_v, -0.2, 0.12, 0.42, 0.2), paint.second)
    pen.fill(circle(u, v, 0.45, -0.38, 0.085), WHITE, flat=True)
    pen.fill(circle(u, v, 0.47, -0.38, 0.05), BLACK, flat=True)


def frog(pen, u, v, drive, paint):
    for side in (-1, 1):
        leg_u, leg_v = turn(u, v, side * 0.5, about=(side * 0.6, 0.5))
        pen.fill(ellipse(leg_u, leg_v, side * 0.62, 0.5, 0.22, 0.45), paint.second)
        pen.fill(ellipse(u, v, side * 0.62, 0.88, 0.3, 0.09), paint.second)
    pen.fill(ellipse(u, v, 0, 0.3, 0.6, 0.55), paint.body)
    pen.fill(ellipse(u, v, 0, -0.2, 0.68, 0.4), paint.body)
    pen.fill(ellipse(u, v, 0, 0.3, 0.22 + 0.36 * drive, 0.14 + 0.34 * drive), paint.accent)
    for side in (-1, 1):
        pen.fill(circle(u, v, side * 0.4, -0.58, 0.22), paint.body)
        pen.fill(circle(u, v, side * 0.4, -0.6, 0.13), WHITE, flat=True)
        pen.fill(circle(u, v, side * 0.4, -0.59, 0.07), BLACK, flat=True)
    smile = np.maximum(ring(ellipse(u, v, 0, -0.28, 0.45, 0.22), 0.03), -0.2 - v)
    pen.fill(smile, paint.second * 0.3)


def cricket(pen, u, v, drive, paint):
    for foot in (-0.35, 0.1, 0.5):
        pen.fill(line(u, v, (foot * 0.6 + 0.1, 0.25), (foot, 0.85), 0.04), paint.second)
    pen.fill(ellipse(u, v, -0.1, 0.2, 0.75, 0.26), paint.body)
    pen.fill(circle(u, v, 0.62, 0.08, 0.27), paint.body)
    knee = (-0.5 + 0.12 * drive, -0.62 + 0.45 * drive)
    pen.fill(line(u, v, (0.0, 0.2), knee, 0.09), paint.second)
    pen.fill(line(u, v, knee, (-0.95, 0.85), 0.05), paint.second)
    wing_u, wing_v = turn(u, v, 0.75 * drive, about=(0.45, 0.05))
    pen.fill(ellipse(wing_u, wing_v, -0.2, 0.0, 0.68, 0.15), paint.accent)
    for rise in (0.0, 0.2):
        pen.fill(line(u, v, (0.72, -0.1), (0.95, -0.8 + rise - 0.1 * drive), 0.028), paint.accent)
    pen.fill(circle(u, v, 0.7, 0.02, 0.075), BLACK, flat=True)


def tractor(pen, u, v, drive, paint):
    puff = 0.1 + 0.24 * drive
    pen.fill(
        circle(u, v, 0.48 - 0.1 * drive, -0.72 - 0.1 * drive, puff),
        0.5 + 0.5 * paint.second,
        flat=True,
        opacity=0.9,
    )
    shaken = v + 0.1 * drive
    pen.fill(box(u, shaken, 0.48, -0.4, 0.06, 0.25), paint.second * 0.8)
    pen.fill(box(u, shaken, 0.35, 0.1, 0.55, 0.27, 0.08), paint.body)
    pen.fill(box(u, shaken, -0.4, -0.28, 0.38, 0.5, 0.06), paint.body)
    pen.fill(box(u, shaken, -0.38, -0.38, 0.25, 0.24, 0.03), paint.accent)
    for x, y, radius in ((-0.45, 0.45, 0.48), (0.6, 0.62, 0.32)):
        pen.fill(circle(u, v, x, y, radius), paint.second * 0.55)
        pen.fill(circle(u, v, x, y, radius * 0.55), paint.accent)
        spoke_u, spoke_v = turn(u, v, 1.2 * drive, about=(x, y))
        pen.fill(box(spoke_u, spoke_v, x, y, radius * 0.5, 0.05), paint.second * 0.55)


def siren(pen, u, v, drive, paint):
    for ray in range(5):
        ray_u, ray_v = turn(u, v, -1.1 + 0.55 * ray, about=(0.0, 0.1))
        length = 0.12 + 0.34 * drive
        pen.fill(
            box(ray_u, ray_v, 0, -0.62 - length / 2, 0.055, length / 2), paint.accent, flat=True
        )
    dome = np.maximum(ellipse(u, v, 0, 0.2, 0.5, 0.62), v - 0.45)
    pen.fill(dome, paint.body * 0.9)
    glow = (0.25 + 0.75 * drive) * 0.9
    pen.fill(
        ellipse(u, v, 0.0, 0.12, 0.12 + 0.3 * drive, 0.16 + 0.28 * drive),
        0.4 + 0.6 * paint.body,
        flat=True,
        opacity=glow,
    )
    pen.fill(box(u, v, 0, 0.5, 0.62, 0.12, 0.04), paint.second)
    pen.fill(box(u, v, 0, 0.76, 0.82, 0.18, 0.06), paint.second * 0.85)


def clock(pen, u, v, drive, paint):
    swing_u, swing_v = turn(u, v, 1.1 * drive - 0.55, about=(0.0, -0.2))
    pen.fill(box(swing_u, swing_v, 0, 0.35, 0.04, 0.5), paint.accent)
    pen.fill(circle(swing_u, swing_v, 0, 0.78, 0.2), paint.accent)
    roof = np.maximum(np.abs(u) * 0.43 - v - 1.0, v + 0.62)
    pen.fill(roof, paint.second)
    pen.fill(box(u, v, 0, -0.15, 0.6, 0.55, 0.05), paint.body)
    pen.fill(circle(u, v, 0, -0.15, 0.45), paint.second)
    pen.fill(circle(u, v, 0, -0.15, 0.37), 0.35 + 0.65 * paint.accent)
    hand = 0.9 * drive
    pen.fill(
        line(u, v, (0, -0.15), (0.28 * np.sin(hand), -0.15 - 0.28 * np.cos(hand)), 0.045),
        BLACK,
        flat=True,
    )
    pen.fill(line(u, v, (0, -0.15), (0.18, -0.07), 0.045), BLACK, flat=True)


def low_talker(pen, u, v, drive, paint):
    """A face with a beard and short hair: the one that goes with low voices."""
    pen.fill(ellipse(u, v, 0, -0.35, 0.68, 0.6), paint.second)
    _face(pen, u, v, paint)
    beard = np.maximum(ellipse(u, v, 0, 0.4, 0.58, 0.58), 0.22 - v)
    pen.fill(beard, paint.second)
    _mouth(pen, u, v, drive)


def high_talker(pen, u, v, drive, paint):
    """A face with long hair: the one that goes with high voices."""
    hair = np.minimum(ellipse(u, v, 0, -0.2, 0.82, 0.75), box(u, v, 0, 0.4, 0.82, 0.58, 0.2))
    pen.fill(hair, paint.second)
    _face(pen, u, v, paint)
    fringe = np.maximum(ellipse(u, v, 0, -0.3, 0.62, 0.62), v + 0.42)
    pen.fill(fringe, paint.second)
    _mouth(pen, u, v, drive)


def _face(pen, u, v, paint):
    shade = paint.body.mean()
    skin = np.array([0.36, 0.22, 0.16]) * (1 - shade) + np.array([1.0, 0.84, 0.74]) * shade
    pen.fill(ellipse(u, v, 0, 0.12, 0.58, 0.78), skin)
    for side in (-0.24, 0.24):
        pen.fill(ellipse(u, v, side, -0.08, 0.12, 0.1), WHITE, flat=True)
        pen.fill(circle(u, v, side, -0.08, 0.06), BLACK, flat=True)
    pen.fill(line(u, v, (0, 0.05), (0.04, 0.24), 0.035), 0.7 * skin)


def _mouth(pen, u, v, drive):
    pen.fill(
        ellipse(u, v, 0, 0.5, 0.28 - 0.06 * drive, 0.05 + 0.26 * drive),
        np.array([0.75, 0.25, 0.25]),
    )
    pen.fill(ellipse(u, v, 0, 0.5, 0.22 - 0.05 * drive, 0.012 + 0.21 * drive), BLACK * 0.5)


# How bright each look is painted, so that all classes have the same mean colour on average:
# 0.46 / the mean of 500 individuals. Eyes, tyres and clock faces would give a class away.
BALANCE = {
    guitar: 0.88, xylophone: 1.03, drum: 1.02, clarinet: 1.05, whistle: 1.16, bell: 0.98,
    bird: 0.99, frog: 1.01, cricket: 1.04, tractor: 1.15, siren: 1.13, clock: 0.88,
}  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """One individual: a look, its paint and which way it faces. A `Sprite`."""

    look: Look
    paint: Paint
    mirrored: bool
    tilt: float

    @classmethod
    def draw(cls, look: Look, rng: np.random.Generator) -> Drawing:
        return cls(look, Paint.draw(rng), bool(rng.integers(2)), float(rng.normal(0, 0.08)))

    def __call__(self, u, v, drive, pixel):
        u, v = turn(-u if self.mirrored else u, v, self.tilt)
        pen = Pen(u, v, pixel, self.paint)
        self.look(pen, u, v, drive, self.paint)
        rgb, alpha = pen.result()
        return np.minimum(rgb * np.float32(BALANCE.get(self.look, 1.0)), 1), alpha
