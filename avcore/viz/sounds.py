"""Many sounds at once, each with a player and the names that were given to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from avcore.support import AvcoreError
from avcore.viz.encode import as_pictures, as_waveform, finite, guard, picture_uri, wav_uri
from avcore.viz.view import Html, output, text

TICK, CROSS = "M2 6.5l3 3 5-6.5", "M3 3l6 6M9 3l-6 6"


class Name(NamedTuple):
    """A name that was given to a sound.

    Attributes
    ----------
    word
        Plain text.
    share
        The length of its bar, from 0 to 1.
    right
        Whether the name is right: a tick or a cross; None for no mark.
    note
        A short text at the end of the bar, such as the value itself.
    """

    word: str
    share: float
    right: bool | None = None
    note: str = ""


def sound_grid(
    sounds: Sequence[Any],
    sample_rate: int,
    names: Mapping[str, Sequence[Sequence[Name]]] | None = None,
    captions: Sequence[str] | None = None,
    *,
    pictures: Sequence[Sequence[Any]] | None = None,
    columns: int = 3,
    caption: str = "",
    marked: str = "all names right",
) -> Html:
    """Hear N sounds, see what made them, and read what each was called.

    Parameters
    ----------
    sounds
        N waveforms (samples,), all played with one gain, so that they can be compared.
    sample_rate
        Hz.
    names
        Who names them -> for each sound its names, the first one on top. How many sounds have no
        wrong name stands above, if all names are marked.
    captions
        A plain text for each sound.
    pictures
        For each sound the pictures (H, W, 3) or (3, H, W) of what makes it.
    columns
        Sounds side by side on a wide page; a phone shows one.
    caption
        What to see.
    marked
        What it means that no name of a sound has a cross, for the words above.

    Raises
    ------
    AvcoreError
        For no sounds, another number of anything, or a bar that is not from 0 to 1.
    """
    waves = [as_waveform(each, f"sound {i + 1} of a grid") for i, each in enumerate(sounds)]
    if not waves or sample_rate <= 0:
        raise AvcoreError(f"a grid wants sounds and a rate, got {len(waves)} and {sample_rate} Hz")
    said = dict(names or {})
    given = {"captions": captions, "pictures": pictures, **{f"names by {k}": said[k] for k in said}}
    for what, each in given.items():
        if each is not None and len(each) != len(waves):
            raise AvcoreError(f"got {len(each)} {what} for {len(waves)} sounds")
    gain = guard(*waves)
    cells = [
        _cell(
            wav_uri(wave, sample_rate, gain),
            captions[i] if captions else f"sound {i + 1}",
            list(pictures[i]) if pictures else [],
            {who: each[i] for who, each in said.items()},
        )
        for i, wave in enumerate(waves)
    ]
    grid = f'<ul class="av-cells" style="--columns:{int(columns)}">{"".join(cells)}</ul>'
    body = _score(said, marked) + grid
    return Html(output(body, kind="sounds", styles=("sounds.css",), caption=caption))


def _cell(source: str, words: str, pictures: list[Any], names: Mapping[str, Sequence[Name]]) -> str:
    shown = "".join(
        f'<img class="av-pixels dark-light" alt="{text(f"picture {number} of {words}")}" src="'
        f'{picture_uri(as_pictures(each, 3, "pictures of a grid of sounds"))}">'
        for number, each in enumerate(pictures, start=1)
    )
    strip = f'<div class="av-strip">{shown}</div>' if shown else ""
    label = text(f"Sound of {words}")
    player = f'<audio controls preload="metadata" aria-label="{label}" src="{source}"></audio>'
    lists = "".join(_names(who, each, len(names) > 1) for who, each in names.items())
    said = f'<div class="av-lists">{lists}</div>' if lists else ""
    return f"<li>{strip}<p>{text(words)}</p>{player}{said}</li>"


def _names(who: str, names: Sequence[Name], heading: bool) -> str:
    finite(np.asarray([float(each.share) for each in names]), f"the bars of {who!r}")
    rows = []
    for each in names:
        if not 0 <= each.share <= 1:
            raise AvcoreError(f"a bar of {who!r} wants a share from 0 to 1, got {each.share:.3g}")
        note = f" <small>{text(each.note)}</small>" if each.note else ""
        rows.append(
            f"<li>{_mark(each.right)}<span>{text(each.word)}{note}</span>"
            f'<i style="width:{100 * float(each.share):.1f}%"></i></li>'
        )
    title = f"<b>{text(who)}</b>" if heading else ""
    return f'<div class="av-names">{title}<ol>{"".join(rows)}</ol></div>'


def _mark(right: bool | None) -> str:
    if right is None:
        return ""
    path, kind, word = (TICK, "hit", "right") if right else (CROSS, "miss", "wrong")
    return (
        f'<svg class="av-mark av-{kind}" viewBox="0 0 12 12" role="img" aria-label="{word}">'
        f'<path d="{path}"/></svg>'
    )


def _score(names: Mapping[str, Sequence[Sequence[Name]]], marked: str) -> str:
    """How many sounds have no wrong name."""
    told = []
    for who, each in names.items():
        marks = [[name.right for name in some] for some in each]
        if all(some and None not in some for some in marks):
            right = sum(all(some) for some in marks)
            told.append(f"<b>{text(who)}</b>: {text(marked)} in {right} of {len(marks)}")
    return f'<p class="av-score">{" · ".join(told)}</p>' if told else ""
