"""A plotly figure with a caption and a text for those who cannot see it."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from avcore.support import AvcoreError, require
from avcore.viz.modes import in_colab, mode
from avcore.viz.theme import template
from avcore.viz.view import View, output, script_json, text

HEIGHT = 340  # pixels, where a figure asks for none
MISSING = "This figure is drawn by Plotly, which this page does not load. It would show: "


class Figure(View):
    """A plotly figure in the book's look, made by `figure`.

    Attributes
    ----------
    fig
        The plotly figure.
    caption
        What to see in it; plain text.
    alt
        What it shows, for readers who cannot see it.
    """

    def __init__(self, fig: Any, caption: str, alt: str) -> None:
        self.fig, self.caption, self.alt = fig, caption, alt

    def spec(self) -> dict:
        """`data` and `layout` for plotly.js, in the book's look and as wide as the page."""
        made = self.fig.to_dict()
        layout = {"height": HEIGHT, **made.get("layout", {}), "template": template()}
        layout.pop("width", None)
        return {"data": made.get("data", []), "layout": layout}

    def html(self) -> str:
        body = plot_area(self.alt, self.spec()["layout"]["height"])
        return plot_output(body, self.spec(), self.caption)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        bundle = super()._repr_mimebundle_(include, exclude)
        if mode() == "live":
            bundle["application/vnd.plotly.v1+json"] = self._captioned_spec()
            if in_colab():
                graphs = require("plotly.graph_objects", "viz")
                made = graphs.Figure(self._captioned_spec())
                bundle["text/html"] = made.to_html(include_plotlyjs="cdn", full_html=False)
        return bundle

    def _captioned_spec(self) -> dict:
        """The spec with the caption as its title, for viewers that show no caption."""
        spec = json.loads(plotly_json(self.spec()))
        if self.caption:
            lines = textwrap.wrap(text(self.caption), 100)
            spec["layout"]["title"] = {
                "text": "<br>".join(lines),
                "font": {"size": 13},
                "x": 0,
                "y": 1,
                "yanchor": "top",
                "pad": {"t": 6},
                "automargin": True,
                "yref": "container",
            }
            spec["layout"]["height"] += 18 * len(lines)
        return spec


def figure(fig: Any, caption: str = "", alt: str = "") -> Figure:
    """Show a plotly figure in the book's look, in a page or in a live notebook.

    Parameters
    ----------
    fig
        A plotly figure.
    caption
        What to see in it; plain text, escaped here.
    alt
        What it shows, for readers who cannot see it; the caption where it is empty.

    Raises
    ------
    AvcoreError
        When `fig` is no plotly figure, or when both texts are empty.
    """
    if not (hasattr(fig, "to_dict") and hasattr(fig, "add_trace")):
        raise AvcoreError(f"figure wants a plotly figure, got a {type(fig).__name__}")
    if not (caption or alt):
        raise AvcoreError("a figure wants a caption or an alt text, for those who cannot see it")
    return Figure(fig, caption, alt or caption)


def plotly_json(value: object) -> str:
    """JSON of what plotly.js takes (NaN becomes null), safe inside `<script>`."""
    return script_json(value, require("plotly.utils", "viz").PlotlyJSONEncoder)


def plot_area(alt: str, height: float) -> str:
    """The place a figure is drawn in, and what stands there when it cannot be."""
    return (
        f'<div class="av-plotly" role="img" aria-label="{text(alt)}"'
        f' style="min-height:{float(height):.0f}px"></div>'
        f'<p class="av-missing" hidden>{MISSING}{text(alt)}</p>'
        f"<noscript><p>{MISSING}{text(alt)}</p></noscript>"
    )


def plot_output(body: str, spec: dict, caption: str) -> str:
    """One output in which figure.js draws `spec`."""
    return output(
        body,
        kind="figure",
        caption=caption,
        data=plotly_json(spec),
        script=("figure.js", "mountFigure"),
    )
