"""Sliders over the results of a function: computed beforehand in a page, on demand when live."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from avcore.support import AvcoreError, choose, require
from avcore.viz.figure import Figure, figure, plot_area, plot_output
from avcore.viz.modes import has
from avcore.viz.steps import merged
from avcore.viz.view import View, choice, markup_of, output, slider, text

LIMIT = 64  # results a page may hold


class Explorer(View):
    """The view behind `explore`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        values: Mapping[str, Mapping],
        caption: str,
        alt: str,
        buttons: Sequence[str] = (),
    ) -> None:
        self.fn, self.values, self.caption, self.alt = fn, values, caption, alt
        self.buttons = buttons
        self._results: list[Any] | None = None

    def results(self) -> list[Any]:
        """What `fn` gives for every combination, the last value running fastest."""
        if self._results is None:
            chosen = itertools.product(*(each.values() for each in self.values.values()))
            named = [dict(zip(self.values, each, strict=True)) for each in chosen]
            self._results = [self.fn(**each) for each in named]
        return self._results

    def html(self) -> str:
        figures = [_as_figure(result, self.alt or self.caption) for result in self.results()]
        sliders = slider_html(
            {name: list(each) for name, each in self.values.items()}, self.buttons
        )
        made = [figure for figure in figures if figure is not None]
        if len(made) == len(figures):
            return stepped(made, sliders, self.caption or made[0].caption, self.alt)
        return panels([markup_of(result) for result in self.results()], sliders, self.caption)

    def widget(self) -> Any:
        return _live(self) if has("ipywidgets") else None


def explore(
    fn: Callable[..., Any],
    *,
    caption: str = "",
    alt: str = "",
    buttons: Sequence[str] = (),
    **values: Any,
) -> Explorer:
    """Move sliders and see what a function makes of them.

    In a live notebook `fn` is called as a slider moves. In a page it was called for every
    combination beforehand, so that no kernel is needed; plotly figures are merged into one.

    Parameters
    ----------
    fn
        Called with one value of each slider, by name; gives a plotly figure or anything else
        that a notebook can show.
    caption, alt
        What to see, and what it shows for readers who cannot see it.
    buttons
        Names among `values` that are chosen by buttons, one a value, instead of a slider.
    **values
        The values of each slider in order, or a mapping from what it shows to its values.

    Raises
    ------
    AvcoreError
        For a slider without values, more than 64 combinations, or buttons of an unknown name.

    Examples
    --------
    >>> explore(lambda shift: plot(scene.window(shift)), shift=[-0.5, 0, 0.5])
    """
    if not values:
        raise AvcoreError("explore wants the values of at least one slider, as name=values")
    chosen = {name: _labelled(each) for name, each in values.items()}
    for name, each in chosen.items():
        if not each:
            raise AvcoreError(f"explore got no values for {name!r}")
    for name in buttons:
        choose(chosen, name, "slider")
    count = math.prod(map(len, chosen.values()))
    if count > LIMIT:
        raise AvcoreError(f"explore got {count} combinations, more than {LIMIT}: use fewer")
    return Explorer(fn, chosen, caption, alt, buttons)


def _labelled(values: Sequence | Mapping) -> dict[str, Any]:
    """Values by what a slider shows: floats to four digits, or to all where those agree."""
    if isinstance(values, Mapping):
        return {str(label): value for label, value in values.items()}
    whole = [str(value) for value in values]
    short = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
    distinct = len(set(short)) == len(set(whole))
    return dict(zip(short if distinct else whole, values, strict=True))


def slider_html(labels: Mapping[str, Sequence[str]], buttons: Sequence[str] = ()) -> str:
    """A slider, or buttons, for each name with more than one step; `labels` name the steps."""
    made = []
    for name, each in labels.items():
        named = f'data-labels="{text(json.dumps(list(each)))}"'
        if len(each) > 1:
            made.append(
                choice(name, each, named) if name in buttons else slider(name, len(each) - 1, named)
            )
    return f'<div class="av-sliders">{"".join(made)}</div>'


def stepped(figures: Sequence[Figure], sliders: str, caption: str, alt: str = "") -> str:
    """Figures merged into one with sliders."""
    specs = [made.spec() for made in figures]
    height = max(spec["layout"]["height"] for spec in specs)
    body = sliders + plot_area(alt or figures[0].alt, height)
    return plot_output(body, merged(specs), caption)


def panels(bodies: Sequence[str], sliders: str, caption: str) -> str:
    """Pieces of HTML of which the sliders show one at a time."""
    each = "".join(f'<div class="av-panel">{body}</div>' for body in bodies)
    return output(
        f'{sliders}<div class="av-panels" aria-live="polite">{each}</div>',
        kind="panelset",
        caption=caption,
        script=("figure.js", "mountPanels"),
    )


def _as_figure(result: Any, words: str) -> Figure | None:
    if isinstance(result, Figure):
        return result
    if hasattr(result, "to_dict") and hasattr(result, "add_trace"):
        return figure(result, alt=words or "A figure that the slider changes")
    return None


def _live(explorer: Explorer) -> Any:
    widgets = require("ipywidgets", "viz")
    display = require("IPython.display", "viz").display
    style = {"description_width": "initial"}
    sliders = {
        name: widgets.ToggleButtons(options=list(each.items()), description=name, style=style)
        if name in explorer.buttons
        else widgets.SelectionSlider(
            options=list(each.items()), description=name, continuous_update=False, style=style
        )
        for name, each in explorer.values.items()
    }

    def show(**chosen: Any) -> None:
        result = explorer.fn(**chosen)
        made = _as_figure(result, explorer.alt or explorer.caption)
        display(made if made is not None else result)

    shown = widgets.interactive_output(show, sliders)
    moving = [slider for slider in sliders.values() if len(slider.options) > 1]
    return widgets.VBox([*moving, shown, widgets.HTML(text(explorer.caption))])
