"""A small drawing of the differences that a claim's seeds gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from avcore.viz.tables import number
from avcore.viz.view import text

HEIGHT, MIDDLE, BASE = 62, 34, 46  # pixels: of all, of the interval, of the axis


def forest(record: Mapping[str, Any], width: int = 190) -> str:
    """Draw a record's differences, their mean and its interval, as SVG of `width` pixels.

    What the claim says is tinted: from the smallest effect that counts outwards, or, where it
    says "equal", within it.
    """
    values, interval = list(record["differences"]), record.get("interval")
    if not values:
        return '<span class="av-none">no runs</span>'
    effect = record.get("effect", 0.0)
    low, high = _range([0.0, -effect, effect, *values, *(interval or ())])

    def x(value: float) -> float:
        return round((value - low) / (high - low) * width, 1)

    claimed = {"higher": (effect, high), "lower": (low, -effect), "equal": (-effect, effect)}
    left, right = map(x, claimed[record.get("direction", "higher")])
    parts = [f'<rect class="av-side" x="{left}" width="{right - left:.1f}" height="{BASE}"/>']
    parts.append(f'<line class="av-zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{BASE}"/>')
    if interval:
        ends = f'x1="{x(interval[0])}" x2="{x(interval[1])}"'
        parts.append(f'<line class="av-interval" {ends} y1="{MIDDLE}" y2="{MIDDLE}"/>')
    for i, (seed, value) in enumerate(zip(record["seeds"], values, strict=True)):
        name = f"<title>seed {text(seed)}: {number(value)}</title>"
        parts.append(f'<circle cx="{x(value)}" cy="{12 + 5 * (i % 3 - 1)}" r="3.5">{name}</circle>')
    middle = x(sum(values) / len(values))
    parts.append(f'<path class="av-mean" d="M{middle} {MIDDLE - 6}l6 6-6 6-6-6z"/>')
    for tick in ticks(low, high, width // 75):
        anchor = "start" if x(tick) < 18 else "end" if x(tick) > width - 18 else "middle"
        words = f'<text x="{x(tick)}" y="{BASE + 13}" text-anchor="{anchor}">{number(tick)}</text>'
        parts.append(words)
    alt = f"Differences of {len(values)} seeds: {', '.join(map(number, values))}."
    return (
        f'<svg class="av-forest" role="img" aria-label="{alt}" width="{width}" height="{HEIGHT}"'
        f' viewBox="0 0 {width} {HEIGHT}">{"".join(parts)}</svg>'
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about so many."""
    rough = (high - low) / max(about, 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough * 0.999)
    first = math.ceil(low / step - 1e-6)
    return [round(step * i, 10) for i in range(first, math.floor(high / step + 1e-6) + 1)]


def _range(values: list[float]) -> tuple[float, float]:
    """The least and greatest of the values, with some room around them."""
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 1.0
    return low - pad, high + pad
