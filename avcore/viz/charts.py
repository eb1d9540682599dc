"""Charts of training and of comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from avcore.support import AvcoreError, require
from avcore.viz.encode import envelope, finite, to_numpy
from avcore.viz.figure import Figure, figure
from avcore.viz.theme import BLUE, DASHES, GREY, LINES, ORANGE
from avcore.viz.view import text

POINTS = 600  # values of one curve that a page draws
LINE = 32  # characters of an axis title that a phone has room for
NAME = 18  # of a name beside the axis, before it breaks
ROOM = 40  # of an axis title and the longest such name together
JITTER = (0.0, 0.16, -0.16, 0.08, -0.08)  # so that seeds of equal value stay apart


def training_curves(
    histories: Mapping[str, Any],
    *,
    metric: str = "loss",
    window: int | None = None,
    log: bool = False,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Draw how runs went: every value faint, their moving average bold, and say so.

    Parameters
    ----------
    histories
        For each run's name a sequence of (step, value), or an object with `.steps` and either
        `.losses` or the item `history[metric]`.
    metric
        What the values are; stands at the axis.
    window
        How many neighbouring values are averaged; a twentieth of the longest run when None,
        1 for none.
    log
        Whether the axis of the values is logarithmic.

    Raises
    ------
    AvcoreError
        For no runs, an empty one, or steps and values of different number.
    """
    runs = {name: _series(history, metric, name) for name, history in histories.items()}
    if not runs:
        raise AvcoreError("training_curves wants at least one history")
    if window is None:
        window = max(len(steps) for steps, _ in runs.values()) // 20
    fig = require("plotly.graph_objects", "viz").Figure()
    for i, (name, (steps, values)) in enumerate(runs.items()):
        colour, dash = LINES[i % len(LINES)], DASHES[i % len(DASHES)]
        if window > 1:
            fig.add_scatter(
                **_thinned(steps, values), mode="lines", line={"color": colour, "width": 1},
                opacity=0.3, hoverinfo="skip", showlegend=False,
            )  # fmt: skip
        fig.add_scatter(
            **_thinned(steps, moving_average(values, window)), mode="lines", name=text(name),
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="step %{x}: %{y:.4f}",
        )  # fmt: skip
    fig.update_xaxes(title="step")
    fig.update_yaxes(title=text(metric))
    if log:
        ticks = _round_values(runs)
        fig.update_yaxes(type="log", tickvals=ticks, exponentformat="power")
    fig.update_layout(showlegend=len(runs) > 1, margin={"t": 40 if len(runs) > 1 else 16})
    ends = [f"{name} ends at {moving_average(v, window)[-1]:.3g}" for name, (_, v) in runs.items()]
    lost = sum(int((~np.isfinite(values)).sum()) for _, values in runs.values())
    notes = [caption]
    if window > 1:
        notes.append(f"Faint: every value. Bold: the mean of {window} neighbouring values.")
    if lost:
        notes.append(f"{lost} values that are not finite are left out.")
    return figure(
        fig, " ".join(filter(None, notes)), alt or f"{metric} against step: {'; '.join(ends)}."
    )


def _round_values(runs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Every power of ten that the positive values span; up to four also 2 and 5 times each."""
    values = np.concatenate([values for _, values in runs.values()])
    known = values[np.isfinite(values) & (values > 0)]
    low, high = np.floor(np.log10([known.min(), known.max()])) if known.size else (0, 0)
    powers = np.arange(low, high + 1)
    digits = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [float(f"{digit}e{power:.0f}") for power in powers for digit in digits]


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the finite ones of `window` values around each; fewer at the ends."""
    if window <= 1:
        return values
    known = np.isfinite(values)
    edges = np.arange(len(values))
    low = np.maximum(edges - (window - 1) // 2, 0)
    high = np.minimum(edges + window // 2 + 1, len(values))
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    with np.errstate(invalid="ignore"):
        return (total[high] - total[low]) / (count[high] - count[low])


def bars(
    values: Mapping[str, float | Sequence[float]],
    *,
    label: str,
    highlight: str | Sequence[str] = (),
    reference: tuple[str, float] | None = None,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Compare methods: a bar for each one's mean, a dot for every seed.

    Parameters
    ----------
    values
        For each method one number, or one number a seed.
    label
        What is measured, with its unit.
    highlight
        The methods that the comparison is about; the others are grey.
    reference
        A name and a value, drawn as a dashed line, such as ("chance", 0.5).

    Raises
    ------
    AvcoreError
        For no methods, a method without values, or values that are not finite.
    """
    runs = {name: np.atleast_1d(to_numpy(v)).astype(float).ravel() for name, v in values.items()}
    if not runs or not all(len(each) for each in runs.values()):
        raise AvcoreError("bars wants at least one method, and a value for each")
    for name, each in runs.items():
        finite(each, f"the method {name!r}")
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    broken = {name: wrap(name, NAME) or [""] for name in runs}
    names = ["<br>".join(map(text, lines)) for lines in broken.values()]
    names = [f"<b>{n}</b>" if name in chosen else n for name, n in zip(runs, names, strict=True)]
    means = [float(each.mean()) for each in runs.values()]
    fig = require("plotly.graph_objects", "viz").Figure()
    fig.add_bar(
        x=means, y=list(range(len(runs))), orientation="h", width=0.62, name="mean",
        marker={"color": [BLUE if name in chosen else GREY for name in runs], "opacity": 0.75},
        customdata=names, hovertemplate="%{customdata}: mean %{x:.3f}<extra></extra>",
    )  # fmt: skip
    _seed_dots(fig, list(runs.values()))
    _value_labels(fig, list(runs.values()), means, reference and reference[1])
    fig.update_yaxes(
        tickvals=list(range(len(runs))), ticktext=names, range=[len(runs) - 0.5, -0.5],
        showgrid=False, ticks="",
    )  # fmt: skip
    longest = max(len(line) for lines in broken.values() for line in lines)
    lines = [text(line) for line in wrap(label, min(LINE, ROOM - longest))]
    fig.update_xaxes(title="<br>".join(lines), rangemode="tozero")
    top, bottom = 16, 60 + 18 * (len(lines) - 1)
    if reference is not None:
        name, at = reference
        fig.add_vline(x=at, line={"dash": "dash", "width": 2, "color": ORANGE})
        fig.add_annotation(
            x=at, y=1, yref="paper", yanchor="bottom", text=text(name), showarrow=False
        )
        top = 30
    row = max(36, 8 + 16 * max(map(len, broken.values())))
    height = top + row * len(runs) + bottom
    fig.update_layout(height=height, showlegend=False, margin={"t": top, "l": 8})
    words = "; ".join(f"{name} {mean:.3g}" for name, mean in zip(runs, means, strict=True))
    return figure(fig, caption, alt or f"{label}, means: {words}.")


def _seed_dots(fig: Any, runs: list[np.ndarray]) -> None:
    several = [(i, each) for i, each in enumerate(runs) if len(each) > 1]
    if not several:
        return
    fig.add_scatter(
        x=[float(value) for _, each in several for value in each],
        y=[i + JITTER[k % len(JITTER)] for i, each in several for k in range(len(each))],
        mode="markers",
        marker={"color": "#ffffff", "size": 8, "line": {"color": "#24292f", "width": 1.5}},
        hovertemplate="one seed: %{x:.3f}<extra></extra>",
    )


def _value_labels(fig: Any, runs: list[np.ndarray], means: list[float], line: float | None) -> None:
    """The mean at the end of each bar, or behind the reference `line` if that is close."""
    ends = [max(float(each.max()), 0) for each in runs]
    room = max(ends) / 6
    for i, (end, mean) in enumerate(zip(ends, means, strict=True)):
        behind = line is not None and 0 <= line - end < room
        fig.add_annotation(
            x=line if behind else end, y=i, text=f"{mean:.3g}", showarrow=False,
            xanchor="left", xshift=8,
        )  # fmt: skip


def _series(history: Any, metric: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(history, "steps"):
        values = history.losses if hasattr(history, "losses") else history[metric]
        steps = history.steps
    else:
        pairs = list(history)
        steps, values = zip(*pairs, strict=True) if pairs else ((), ())
    steps, values = to_numpy(steps).astype(float), to_numpy(values).astype(float)
    if not steps.size or steps.shape != values.shape:
        raise AvcoreError(f"the history {name!r} holds {steps.size} steps and {values.size} values")
    return steps, values


def _thinned(steps: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """The points to draw: all, or of each stretch the least and the greatest value."""
    known = np.isfinite(values)
    steps, values = steps[known], values[known]
    if len(values) > POINTS:
        steps = np.repeat(envelope(steps, POINTS // 2)[:, 0], 2)
        values = envelope(values, POINTS // 2).ravel()
    return {"x": steps.astype(np.float32), "y": values.astype(np.float32)}
