"""The truth of a scene in words and marks: who is where, who sounds, and when."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from avcore.viz.outline import svg_path
from avcore.viz.theme import OUTLINES
from avcore.viz.view import text

_CONE = '<path d="M1 5.5h2.6L7.5 2v12L3.6 10.5H1z"/>'
_WAVES = '<path d="M9.8 5.2a4 4 0 0 1 0 5.6M12 3a7 7 0 0 1 0 10" class="av-stroke"/>'
_CROSS = '<path d="M10 6l4.5 4.5M14.5 6L10 10.5" class="av-stroke"/>'

SECOND = 1.0  # s: a source is drawn as heard in a frame when it is heard in this time
ONSET = 0.1  # s after which an event that is heard has begun


def letter(index: int) -> str:
    """The letter that stands for a source wherever it is marked."""
    return string.ascii_uppercase[index % 26]


def colour(index: int) -> str:
    """The colour of a source; the letter says the same without colour."""
    return OUTLINES[index % len(OUTLINES)]


def chip(index: int) -> str:
    """The letter of a source on its colour, as HTML."""
    return f'<b class="av-chip" style="--c:{colour(index)}">{letter(index)}</b>'


def state(source: Any) -> str:
    """Whether a source sounds and is seen, in words."""
    if not source.sounding:
        return "silent"
    level = f", {source.level_db:+.1f} dB" if np.isfinite(source.level_db) else ""
    level = level.replace("-", "\u2212")  # a minus sign
    return ("sounding" if source.visible else "heard, not seen") + level


def name(source: Any) -> str:
    """What a source is called."""
    if source.kind == "name":
        return f"a voice saying “{source.name}”"
    return source.name


def sentence(sources: Any) -> str:
    """All sources in one phrase, for those who cannot see the picture."""
    parts = [f"{name(source)} ({state(source)})" for source in sources]
    return ", ".join(parts) if parts else "nothing"


def audible(scene: Any, index: int, start: float, seconds: float) -> bool:
    """Whether a source is heard at all for some seconds from `start`, s from the clip's start."""
    rate, margin = scene.config.sample_rate, scene.config.margin
    first = round((margin + start) * rate)
    stem = scene.stems[index][first : first + round(seconds * rate)]
    return bool(scene.sources[index].sounding and np.any(stem))


def icon(sounding: bool) -> str:
    """A loudspeaker, with waves or crossed out."""
    inner, kind = (_CONE + _WAVES, "av-on") if sounding else (_CONE + _CROSS, "av-off")
    return f'<svg class="av-icon {kind}" viewBox="0 0 16 16" aria-hidden="true">{inner}</svg>'


def legend_html(sources: Any) -> str:
    """A list of the sources: letter, name, and whether each sounds."""
    items = [
        f"<li>{chip(i)} {icon(source.sounding)}"
        f" {text(name(source))} <span>{text(state(source))}</span></li>"
        for i, source in enumerate(sources)
    ]
    return f'<ul class="av-legend">{"".join(items)}</ul>'


def overlay_html(scene: Any) -> str:
    """Empty outlines and name tags, one a visible source, which player.js puts in place."""
    height, width = scene.masks.shape[2:]
    paths, tags = [], []
    for i, source in enumerate(scene.sources):
        if not source.visible:
            continue
        paths.append(f'<g data-source="{i}"><path class="av-casing"/>')
        paths.append(f'<path stroke="{colour(i)}"/></g>')
        tags.append(
            f'<span class="av-tag" data-source="{i}" style="--c:{colour(i)}"><b>{letter(i)}</b>'
            f" {text(source.name)} {icon(True)}{icon(False)}</span>"
        )
    drawn = f'<svg viewBox="0 0 {width} {height}">{"".join(paths)}</svg>'
    return f'<div class="av-overlay av-secret" aria-hidden="true">{drawn}{"".join(tags)}</div>'


def overlay_data(scene: Any) -> list[dict | None]:
    """For each source its outline in each frame, where its tag goes (fractions of the frame), and
    whether it is heard in the second that begins there (at the end: in the last second)."""
    end = scene.config.duration - SECOND
    starts = [max(min(float(time), end), 0.0) for time in scene.times]
    data: list[dict | None] = []
    for i, (source, masks) in enumerate(zip(scene.sources, scene.masks, strict=True)):
        if not source.visible:
            data.append(None)
            continue
        tags = [_corner(mask) for mask in masks]
        heard = [audible(scene, i, start, SECOND) for start in starts]
        data.append({"paths": [svg_path(mask) for mask in masks], "tags": tags, "heard": heard})
    return data


def _quiet(heard: bool) -> str:
    return "" if heard else ' class="av-silent"'


def _corner(mask: np.ndarray) -> list[float] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    height, width = mask.shape
    return [round(float(columns[0]) / width, 3), round(float(rows[0]) / height, 3)]


def lanes_html(scene: Any, seconds: float) -> str:
    """When each source's events begin and its words are said: a row of marks a source."""
    rows = []
    for i, source in enumerate(scene.sources):
        marks = [
            f"<i{_quiet(audible(scene, i, at, ONSET))} style='left:{100 * at / seconds:.2f}%'></i>"
            for at in source.onsets
            if 0 <= at < seconds
        ]
        marks += [
            f'<em{_quiet(source.sounding)} style="left:{100 * max(word.start, 0) / seconds:.2f}%;'
            f'width:{100 * (min(word.end, seconds) - max(word.start, 0)) / seconds:.2f}%">'
            f"{text(word.text)}</em>"
            for word in source.words
            if word.start < seconds and word.end > 0
        ]
        rows.append(
            f'<div class="av-lane" style="--c:{colour(i)}"><b>{letter(i)}</b>{"".join(marks)}</div>'
        )
    return f'<div class="av-lanes av-secret" aria-hidden="true">{"".join(rows)}</div>'
