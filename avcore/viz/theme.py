"""One look for every figure: colours that colour-blind readers can tell apart."""

from __future__ import annotations

import numpy as np

# Okabe & Ito, "Color Universal Design" (2008).
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, SKY, PURPLE, YELLOW = "#D55E00", "#56B4E9", "#CC79A7", "#F0E442"
GREY = "#8A929B"
LINES = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY)
OUTLINES = (SKY, ORANGE, GREEN, YELLOW, PURPLE, VERMILLION)  # light enough on a dark casing
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

# Perceptually uniform scales (van der Walt & Smith, 2015): viridis for sound, inferno for maps.
SCALES = {
    "viridis": "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
    "inferno": "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4",
}
SOUND_SCALE, MAP_SCALE = "viridis", "inferno"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def colour_table(name: str) -> np.ndarray:
    """A colour scale as (256, 3) uint8."""
    stops = np.array([list(bytes.fromhex(stop)) for stop in SCALES[name].split()])
    at = np.linspace(0, len(stops) - 1, 256)
    columns = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(columns, 1).round().astype(np.uint8)


def colour_scale(name: str) -> list[list]:
    """A colour scale as plotly wants it: pairs of a fraction and a colour."""
    stops = SCALES[name].split()
    return [[round(i / (len(stops) - 1), 4), f"#{stop}"] for i, stop in enumerate(stops)]


def template() -> dict:
    """The plotly template: transparent, and in a grey that is readable on white and on black.

    In a page, figure.js replaces the greys by the page's own colours.
    """
    axis = {
        "gridcolor": "rgba(128,128,128,0.22)",
        "linecolor": "rgba(128,128,128,0.5)",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "rgba(128,128,128,0.5)",
        "automargin": True,
        "title": {"standoff": 8},
    }
    layout = {
        "font": {"family": FONT, "size": 13, "color": "#7b828a"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(LINES),
        "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": axis,
        "yaxis": axis,
    }
    return {"layout": layout}
