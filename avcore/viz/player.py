"""Players: a scene, seen, heard and explained; a clip with several sounds; a sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from avcore.support import AvcoreError
from avcore.viz.encode import as_pictures, as_waveform, check_rate, png_uri
from avcore.viz.soundtrack import Soundtrack, Track
from avcore.viz.truth import (
    chip,
    lanes_html,
    legend_html,
    name,
    overlay_data,
    overlay_html,
    sentence,
)
from avcore.viz.view import View, output, script_json, slider, text

MARKS = (
    "Marks below the spectrogram: when events and words begin; hollow ones are not heard. "
    "A dashed outline: not heard in that second."
)
MOMENT = "The dashed upright line: the moment that the picture shows."


class Player(View):
    """A player made by one of the functions below; it needs no kernel."""

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def html(self) -> str:
        return self._markup


def scene_player(scene: Any, title: str | None = None, show_truth: bool = True) -> Player:
    """See and hear a scene: frames, sound, waveform and spectrogram in step, and the truth.

    Parameters
    ----------
    scene
        An `avcore.stage.Scene`: frames (T, H, W, 3) uint8, waveform (samples,), stems, masks
        (S, T, H, W), sources.
    title
        Plain text above it.
    show_truth
        Whether outlines, names and single sounds show at first; a switch shows and hides them.

    Raises
    ------
    AvcoreError
        When the arrays of the scene do not fit each other, or its sound is not finite.
    """
    _check(scene)
    sound = Soundtrack(_tracks(scene), scene.config.sample_rate)
    data = sound.data() | {"frames": _frames_data(scene), "truth": overlay_data(scene)}
    return _player(
        _scene_html(scene, sound, title, show_truth),
        data,
        "" if show_truth else 'data-truth="off"',
    )


def clip_player(
    frames: Any, sounds: Mapping[str, Any], sample_rate: int, fps: float, title: str = ""
) -> Player:
    """See a clip and choose which of several sounds plays to it; no truth is known.

    Parameters
    ----------
    frames
        (T, H, W, 3) or (T, 3, H, W), uint8 or floats in [0, 1].
    sounds
        What each sound is called, in plain text, and its samples (n,), all of one length. The first
        plays at first; all are played with one gain.
    sample_rate, fps
        Hz; frame i is shown from i / fps.
    title
        Plain text above it.

    Raises
    ------
    AvcoreError
        For no sounds, sounds of several lengths, rates that are not positive, wrong shapes, or
        values that are not finite.
    """
    pictures = as_pictures(frames, 4, "a clip's frames")
    waves = {name: as_waveform(each, f"the sound {name!r}") for name, each in sounds.items()}
    if len({len(each) for each in waves.values()}) != 1:
        raise AvcoreError(f"a clip wants sounds of one length, got {[*map(len, waves.values())]}")
    if sample_rate <= 0 or fps <= 0:
        raise AvcoreError(f"rates must be positive, got {sample_rate} Hz and {fps} frames per s")
    tracks = tuple(Track(text(name), each) for name, each in waves.items())
    sound, words = Soundtrack(tracks, sample_rate), title or "the clip"
    times = np.round(np.arange(len(pictures)) / fps, 4).tolist()
    known = text(f"The moving picture of {words}")
    picture = _sheet_html(pictures, f'aria-label="{known}"')
    body = _stage_html(picture, len(pictures), sound, sound.plots_html(), title, words)
    seen = {"across": _across(len(pictures)), "times": times}
    return _player(body, sound.data() | {"frames": seen}, "")


def audio_player(waveform: Any, sample_rate: int, label: str) -> Player:
    """Hear a sound (samples,) and see its waveform; `label` says what it is, in plain text.

    A sound that would clip is played quieter, and the player says so; nothing is made louder.

    Raises
    ------
    AvcoreError
        For a wrong shape, a sampling rate that is not positive, or values that are not finite.
    """
    samples = as_waveform(waveform)
    check_rate(sample_rate)
    sound = Soundtrack((Track(text(label), samples),), sample_rate, with_spectrum=False)
    quiet = "" if np.any(samples) else " (silence)"
    body = (
        f'<p class="av-title">{text(label)}{quiet}</p>'
        f'<div class="av-sound">{sound.plots_html()}{sound.audio_html(label)}</div>'
    )
    return _player(body, sound.data(), 'data-kind="audio"')


def _player(body: str, data: dict, attributes: str) -> Player:
    made = output(
        body,
        kind="player",
        styles=("player.css",),
        data=script_json(data),
        script=("player.js", "mountPlayer"),
        attributes=attributes,
    )
    return Player(made)


def _scene_html(scene: Any, sound: Soundtrack, title: str | None, show_truth: bool) -> str:
    """The picture beside the sound, and below them who is who."""
    plots = sound.plots_html(lanes_html(scene, sound.seconds), _instant(scene, sound.seconds))
    switches = _switch("toggle", "Truth", checked=show_truth)
    still = f'<p class="av-note">{MOMENT}</p>' if len(scene.frames) == 1 else ""
    known = f'{legend_html(scene.sources)}<p class="av-note">{MARKS}</p>'
    return (
        _stage_html(
            _picture_html(scene), len(scene.frames), sound, plots, title, "the scene", switches
        )
        + f'{still}<div class="av-secret">{known}</div>'
    )


def _stage_html(
    picture: str,
    frames: int,
    sound: Soundtrack,
    plots: str,
    title: str | None,
    otherwise: str,
    switches: str = "",
) -> str:
    """A title above the picture beside the sound; `otherwise` names what has no title."""
    frame = slider("Frame", frames - 1, 'class="av-frame"') if frames > 1 else ""
    heading = f'<p class="av-title">{text(title)}</p>' if title else ""
    switches = _switch("loop", "Loop") + _switch("slow", "Half speed") + switches
    return (
        f'{heading}<div class="av-stage"><div class="av-view">{picture}{frame}</div>'
        f'<div class="av-sound">{plots}{sound.audio_html(title or otherwise)}'
        f'{sound.choices_html()}<div class="av-switches">{switches}</div></div></div>'
    )


def _check(scene: Any) -> None:
    frames, masks = scene.frames, scene.masks
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise AvcoreError(
            f"a scene's frames want shape (T, H, W, 3) in uint8, got {frames.shape} {frames.dtype}"
        )
    wanted = (len(scene.sources), *frames.shape[:3])
    if masks.shape != wanted:
        raise AvcoreError(f"a scene's masks want shape {wanted}, got {masks.shape}")
    if len(scene.stems) != len(scene.sources):
        raise AvcoreError(f"got {len(scene.stems)} stems for {len(scene.sources)} sources")


def _tracks(scene: Any) -> tuple[Track, ...]:
    """The mix, and where it is made of several sounds each of them."""
    mix = as_waveform(scene.waveform, "the scene's sound")
    start = round(scene.config.margin * scene.config.sample_rate)
    within = slice(start, start + len(mix))
    parts = [
        Track(
            f"{chip(i)}&nbsp;{text(name(source))}",
            as_waveform(scene.stems[i][within], "a scene's stem"),
            secret=True,
        )
        for i, source in enumerate(scene.sources)
        if source.sounding
    ]
    if np.any(scene.noise[within]):
        parts.append(Track("noise", as_waveform(scene.noise[within], "the scene's noise")))
    return (Track("mix", mix), *(parts if len(parts) > 1 else []))


def _across(count: int) -> int:
    """How many frames lie side by side on the sheet that holds them all."""
    return math.ceil(math.sqrt(count))


def _frames_data(scene: Any) -> dict:
    times = np.round(np.asarray(scene.times, dtype=float), 4).tolist()
    return {"across": _across(len(scene.frames)), "times": times}


def _picture_html(scene: Any) -> str:
    seen = sum(source.visible for source in scene.sources)
    known = text(f"A scene: {sentence(scene.sources)}")
    unknown = f"A scene with {seen} visible {'object' if seen == 1 else 'objects'}"
    words = f'aria-label="{unknown}" data-known="{known}" data-unknown="{unknown}"'
    return _sheet_html(scene.frames, words, overlay_html(scene))


def _sheet_html(frames: np.ndarray, words: str, overlay: str = "") -> str:
    """A canvas with the attributes `words`, and all frames (T, H, W, 3) on one sheet for it."""
    count, height, width = frames.shape[:3]
    across = _across(count)
    down = math.ceil(count / across)
    sheet = np.zeros((down * across, height, width, 3), np.uint8)
    sheet[:count] = frames
    sheet = sheet.reshape(down, across, height, width, 3).swapaxes(1, 2)
    source = png_uri(sheet.reshape(down * height, across * width, 3))
    return (
        f'<div class="av-picture"><canvas class="av-pixels" width="{width}" height="{height}"'
        f' role="img" {words}>'
        f'</canvas><img class="av-sheet" src="{source}" alt="" hidden>{overlay}</div>'
    )


def _switch(name: str, words: str, checked: bool = False) -> str:
    state = " checked" if checked else ""
    return f'<label><input type="checkbox" class="av-{name}"{state}> {words}</label>'


def _instant(scene: Any, seconds: float) -> str:
    """For a still, the mark of the moment that the picture shows."""
    if len(scene.frames) > 1:
        return ""
    left = 100 * float(scene.times[0]) / seconds
    return f'<div class="av-instant" style="left:{left:.2f}%" title="the picture’s moment"></div>'
