"""What a notebook cell shows: a `View` gives HTML that stands alone, or a widget when live."""

from __future__ import annotations

import hashlib
import html
import itertools
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from avcore.support import AvcoreError
from avcore.viz.modes import mode

_STRICT = '(() => {\n"use strict";\n'  # no output leaves a name behind in the page
_serial = itertools.count(1)  # makes the ids of one process differ; their rest is a hash


class View:
    """Something a notebook shows when a cell ends in it.

    A subclass gives `html()`, which needs no kernel, and may give `widget()` for live use.
    """

    def html(self) -> str:
        """The whole output as HTML."""
        raise NotImplementedError

    def widget(self) -> Any:
        """An ipywidget for live use, or None where the HTML serves as well."""
        return None

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        widget = self.widget() if mode() == "live" else None
        if widget is not None:
            return widget._repr_mimebundle_()
        return {"text/plain": f"<{type(self).__name__}>", "text/html": self.html()}


class Html(View):
    """A view of HTML that is already made; its author has escaped it."""

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def html(self) -> str:
        return self._markup


def significant(value: float, digits: int, sign: str = "") -> str:
    """A number with so many significant digits, a true minus sign and no power of ten."""
    written = f"{value:{sign}.{digits}g}"
    if "e-" in written:
        written = f"{float(f'{value:.1g}'):{sign}.12f}".rstrip("0")
    return written.replace("-", "\u2212")


def text(value: object) -> str:
    """`value` as text that is safe in HTML, also inside an attribute."""
    return html.escape(str(value), quote=True)


def script_json(value: object, encoder: type[json.JSONEncoder] | None = None) -> str:
    """`value` as JSON that is safe inside `<script>` and inside HTML comments.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON lacks, unless `encoder` knows what to do with them.
    """
    made = json.dumps(value, cls=encoder, allow_nan=encoder is not None, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        made = made.replace(letter, f"\\u{ord(letter):04x}")
    return made


def unique_id(content: str) -> str:
    """An id for one output: stable from run to run, different within a process."""
    digest = hashlib.sha256(content.encode()).hexdigest()[:10]
    return f"av-{digest}-{next(_serial)}"


@cache
def asset(name: str) -> str:
    """The text of a file in avcore/viz/static, without indentation."""
    lines = (resources.files("avcore.viz") / "static" / name).read_text(encoding="utf-8")
    return "\n".join(line.strip() for line in lines.splitlines() if line.strip())


def output(
    body: str,
    *,
    kind: str,
    styles: Sequence[str] = (),
    caption: str | None = None,
    data: str | None = None,
    script: tuple[str, str] | None = None,
    attributes: str = "",
) -> str:
    """Wrap `body` as one self-contained output.

    Parameters
    ----------
    body
        HTML, already escaped. `{id}` in it becomes the output's id.
    kind
        Its class, "av-" and a word.
    styles
        Names of style sheets beside viz.css, all inlined.
    caption
        Plain text under it; escaped here.
    data
        What `script_json` gave, for the script.
    script
        A JavaScript asset, and the name of the function in it to call with the output.
    attributes
        Further attributes, already escaped.
    """
    ident = unique_id(body + (data or ""))
    # JupyterLab leaves keys alone here, else its shortcuts take a slider's arrows
    marks = f'data-av="{ident}" data-lm-suppress-shortcuts="true" {attributes}'
    parts = [f'<figure class="avcore-viz av-{kind}" {marks}>']
    parts += [f"<style>{asset(name)}</style>" for name in ("viz.css", *styles)]
    parts.append(body.replace("{id}", ident))
    if caption:
        parts.append(f'<figcaption class="av-caption">{text(caption)}</figcaption>')
    if data is not None:
        parts.append(f'<script type="application/json" class="av-data">{data}</script>')
    if script is not None:
        name, function = script
        parts.append(f"<script>{_STRICT}{asset(name)}\n{_mount(ident, function)}\n}})();</script>")
    return "\n".join([*parts, "</figure>"])


def slider(name: str, last: int, attributes: str = "") -> str:
    """A slider from 0 to `last`, with its name and a place for the value it stands at.

    `attributes` are further attributes of the input, already escaped.
    """
    return (
        f'<label class="av-slider"><span>{text(name)}</span>'
        ' <b class="av-value" aria-hidden="true"></b>'
        f'<input type="range" min="0" max="{last}" step="1" value="0" {attributes}></label>'
    )


def choice(name: str, words: Sequence[str], attributes: str = "") -> str:
    """Buttons with words, one of them pressed; the input behind them is that of a slider."""
    buttons = "".join(f'<button type="button">{text(each)}</button>' for each in words)
    return (
        f'<div class="av-slider av-choice" role="group" aria-label="{text(name)}">'
        f"<span>{text(name)}</span>"
        f'<input type="hidden" max="{len(words) - 1}" value="0" {attributes}>'
        f"{buttons}</div>"
    )


def _mount(ident: str, function: str) -> str:
    # All outputs with this id: a page may show one output twice.
    chosen = f"""document.querySelectorAll('[data-av="{ident}"]:not([data-ready])')"""
    return f"for (const root of {chosen}) {function}(root);"


def markup_of(value: object) -> str:
    """The HTML of anything a notebook can show.

    Raises
    ------
    AvcoreError
        When `value` has no HTML.
    """
    if isinstance(value, View):
        return value.html()
    maker = getattr(value, "_repr_html_", None)
    made = maker() if maker is not None else None
    if made is None:
        if isinstance(value, str | int | float):
            return f"<p>{text(value)}</p>"
        raise AvcoreError(f"cannot show a {type(value).__name__}: it has no HTML")
    return made
