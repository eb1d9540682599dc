"""Players: a scene that is seen, heard and explained; a sound that is heard and seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from avcore.support import AvcoreError
from avcore.viz.encode import as_pictures, as_waveform, png_uri
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


class Player(View):
    """A player made by `scene_player` or `audio_player`; it needs no kernel."""

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
        Whether outlines and names show at first; a switch shows and hides them.

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


def audio_player(waveform: Any, sample_rate: int, label: str) -> Player:
    """Hear a sound (samples,) and see its waveform; `label` says what it is, in plain text.

    A sound that would clip is played quieter, and the player says so; nothing is made louder.

    Raises
    ------
    AvcoreError
        For a wrong shape, a sampling rate that is not positive, or values that are not finite.
    """
    samples = as_waveform(waveform)
    if sample_rate <= 0:
        raise AvcoreError(f"a sampling rate must be positive, got {sample_rate} Hz")
    sound = Soundtrack((Track(text(label), samples),), sample_rate, with_spectrum=False)
    quiet = "" if np.any(samples) else " (silence)"
    body = (
        f'<p class="av-title">{text(label)}{quiet}</p>'
        f'<div class="av-sound">{sound.plots_html()}{sound.audio_html(label)}</div>'
    )
    return _player(body, sound.data(), 'data-kind="audio"')


def clip_player(
    frames: Any, sounds: Mapping[str, Any], sample_rate: int, fps: float, title: str
) -> Player:
    """See a clip in step with any of several sounds, between which the listener switches.

    Parameters
    ----------
    frames
        (T, H, W, 3) or (T, 3, H, W), uint8 or floats in [0, 1]; they may hold several pictures
        side by side.
    sounds
        Name -> waveform (samples,), all of the same length; the first plays at first. All are
        played with one gain.
    sample_rate, fps
        Of the sounds in Hz, and frames per second.
    title
        Plain text above it.

    Raises
    ------
    AvcoreError
        For wrong shapes, no sounds, or sounds of different lengths.
    """
    pictures = as_pictures(frames, 4, "frames of a clip")
    waves = {name: as_waveform(each, f"the sound {name!r}") for name, each in sounds.items()}
    if len({len(wave) for wave in waves.values()}) != 1 or min(sample_rate, fps) <= 0:
        raise AvcoreError(
            f"a clip wants sounds of one length and positive rates, got sounds of "
            f"{[len(wave) for wave in waves.values()]} samples, {sample_rate} Hz and {fps} fps"
        )
    tracks = tuple(Track(text(name), wave) for name, wave in waves.items())
    sound = Soundtrack(tracks, sample_rate)
    seen = _canvas_html(pictures, f"Frames of: {title}")
    body = (
        f'<p class="av-title">{text(title)}</p>'
        f'<div class="av-stage"><div class="av-view"><div class="av-picture">{seen}</div>'
        f"{_frame_slider(len(pictures))}</div>"
        f'<div class="av-sound">{sound.plots_html()}{sound.audio_html(title)}'
        f'{sound.choices_html()}<div class="av-switches">'
        f"{_switch('loop', 'Loop')}{_switch('slow', 'Half speed')}</div></div></div>"
    )
    times = (np.arange(len(pictures)) / fps).round(4).tolist()
    data = sound.data() | {"frames": {"across": _across(len(pictures)), "times": times}}
    return _player(body, data, 'data-kind="clip"')


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
    switches = _switch("loop", "Loop") + _switch("slow", "Half speed")
    switches += _switch("toggle", "Truth", checked=show_truth)
    frame = _frame_slider(len(scene.frames))
    heading = f'<p class="av-title">{text(title)}</p>' if title else ""
    return (
        f'{heading}<div class="av-stage">'
        f'<div class="av-view">{_picture_html(scene)}{frame}</div>'
        f'<div class="av-sound">{plots}{sound.audio_html(title or "the scene")}'
        f'{sound.choices_html()}<div class="av-switches">{switches}</div></div></div>'
        f'<div class="av-secret">{legend_html(scene.sources)}<p class="av-note">{MARKS}</p></div>'
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
            f'{chip(i)}<span class="av-secret">&nbsp;{text(name(source))}</span>',
            as_waveform(scene.stems[i][within], "a scene's stem"),
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
    unknown = f"A scene with {seen} visible {'object' if seen == 1 else 'objects'}"
    pixels = _canvas_html(scene.frames, unknown, f"A scene: {sentence(scene.sources)}")
    return f'<div class="av-picture">{pixels}{overlay_html(scene)}</div>'


def _canvas_html(frames: np.ndarray, words: str, known: str = "") -> str:
    """Frames (T, H, W, 3) on a sheet that player.js draws from; `words`, or `known`, say them."""
    count, height, width = frames.shape[:3]
    across = _across(count)
    down = math.ceil(count / across)
    sheet = np.zeros((down * across, height, width, 3), np.uint8)
    sheet[:count] = frames
    sheet = sheet.reshape(down, across, height, width, 3).swapaxes(1, 2)
    source = png_uri(sheet.reshape(down * height, across * width, 3))
    labels = f'data-known="{text(known)}" data-unknown="{text(words)}"' if known else ""
    return (
        f'<canvas class="av-pixels" width="{width}" height="{height}"'
        f' role="img" aria-label="{text(words)}" {labels}>'
        f'</canvas><img class="av-sheet" src="{source}" alt="" hidden>'
    )


def _frame_slider(count: int) -> str:
    return slider("Frame", count - 1, 'class="av-frame"') if count > 1 else ""


def _switch(name: str, words: str, checked: bool = False) -> str:
    state = " checked" if checked else ""
    return f'<label><input type="checkbox" class="av-{name}"{state}> {words}</label>'


def _instant(scene: Any, seconds: float) -> str:
    """For a still, the mark of the moment that the picture shows."""
    if len(scene.frames) > 1:
        return ""
    left = 100 * float(scene.times[0]) / seconds
    return f'<div class="av-instant" style="left:{left:.2f}%" title="the picture’s moment"></div>'
