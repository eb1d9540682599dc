"""Sound as a picture: its waveform and its spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avcore.support import choose, require
from avcore.viz.encode import as_waveform, check_rate, envelope, mean_pool
from avcore.viz.figure import Figure, figure
from avcore.viz.theme import BLUE, SOUND_SCALE, colour_scale

RANGE_DB = 70.0  # what is quieter than the loudest by more than this is drawn as silence
KINDS = ("log_mel", "stft")
_TICKS = (100, 250, 500, 1000, 2000, 4000, 8000, 16_000)
_SILENT_DB = -59.0  # the audio module adds a power of -60 dB to everything


@dataclass(frozen=True)
class Spectrum:
    """Levels over time and frequency.

    Attributes
    ----------
    level_db
        (bands, frames), dB; low bands first.
    hz
        (bands,), the middle of each band.
    step
        Time between frames, s; the first is at 0.
    """

    level_db: np.ndarray
    hz: np.ndarray
    step: float

    @property
    def peak(self) -> float:
        """The greatest level, dB."""
        return float(self.level_db.max())

    def below(self, reference: float) -> np.ndarray:
        """Levels in dB relative to `reference`, from -`RANGE_DB` to 0; silence is the least."""
        relative = np.clip(self.level_db - reference, -RANGE_DB, 0)
        return np.where(self.level_db < _SILENT_DB, -RANGE_DB, relative)

    def ticks(self, wanted: Sequence[float] = _TICKS) -> list[tuple[float, float]]:
        """Those of the frequencies `wanted` that lie within the bands: place in bands, and Hz."""
        inside = [hz for hz in wanted if self.hz[0] <= hz <= self.hz[-1]]
        where = np.interp(inside, self.hz, np.arange(len(self.hz)))
        return [(float(at), hz) for at, hz in zip(where, inside, strict=True)]


def spectrum(
    waveform: np.ndarray, sample_rate: int, kind: str = "log_mel", frames: int = 200
) -> Spectrum:
    """The spectrum of a sound over time, in at most 128 bands and `frames` frames.

    Parameters
    ----------
    waveform
        (samples,) float32.
    sample_rate
        Hz.
    kind
        "log_mel" (64 bands, 25-ms windows) or "stft" (linear in Hz, 32-ms windows).

    Raises
    ------
    AvcoreError
        For an unknown kind, or a sound shorter than half a window.
    """
    choose(KINDS, kind, "kind of spectrogram")
    check_rate(sample_rate)
    torch = require("torch", "viz")
    audio = require("avcore.audio", "viz")
    sound = torch.from_numpy(waveform)
    hop = round(sample_rate / 100)
    if kind == "log_mel":
        power = audio.log_mel(sound, sample_rate, round(sample_rate / 40), hop).exp().numpy()
        hz = _mel_middles(len(power), 60.0, sample_rate / 2)
    else:
        n_fft = round(sample_rate * 0.032)
        power = audio.stft(sound, n_fft, hop).abs().square().numpy() + audio.FLOOR
        hz = mean_pool(np.arange(len(power)) * sample_rate / n_fft, 128)
        power = mean_pool(power.T, 128).T
    pooled = mean_pool(power, frames)
    step = hop / sample_rate * power.shape[1] / pooled.shape[1]
    return Spectrum(10 * np.log10(pooled), hz, step)


def _mel_middles(bands: int, low: float, high: float) -> np.ndarray:
    """Middles in Hz of `bands` bands that are equally wide on the HTK mel scale."""
    first, last = (2595 * np.log10(1 + hz / 700) for hz in (low, high))
    return 700 * (10 ** (np.linspace(first, last, bands + 2)[1:-1] / 2595) - 1)


def hertz(value: float) -> str:
    """A frequency with its unit."""
    return f"{value / 1000:.3g} kHz" if value >= 1000 else f"{value:.0f} Hz"


def waveform_plot(
    waveform: Any, sample_rate: int, *, caption: str = "", alt: str = "", limit: float | None = None
) -> Figure:
    """Draw a waveform (samples,): amplitude against time in s.

    Long sounds are drawn as the least and greatest sample of 750 stretches. `limit` is the
    greatest amplitude of the axis; the sound's own peak when None.

    Raises
    ------
    AvcoreError
        For a wrong shape, a sampling rate that is not positive, or values that are not finite.
    """
    sound = as_waveform(waveform)
    check_rate(sample_rate)
    pairs = envelope(sound)
    seconds = len(sound) / sample_rate
    at = np.repeat(np.linspace(0, seconds, len(pairs), endpoint=False), 2).round(4)
    limit = limit or max(1.1 * float(np.abs(sound).max()), 1e-3)
    fig = require("plotly.graph_objects", "viz").Figure()
    fig.add_scatter(
        x=at.astype(np.float32),
        y=pairs.ravel().astype(np.float32),
        mode="lines",
        line={"color": BLUE, "width": 1},
        hovertemplate="%{x:.3f} s: %{y:.3f}<extra></extra>",
    )
    fig.update_xaxes(title="time (s)", range=[0, seconds])
    fig.update_yaxes(title="amplitude", range=[-limit, limit])
    fig.update_layout(height=200, showlegend=False)
    quiet = "" if np.any(sound) else " It is silent."
    return figure(fig, caption, alt or f"Waveform of a sound of {seconds:.2f} s.{quiet}")


def spectrogram(
    waveform: Any,
    sample_rate: int,
    kind: str = "log_mel",
    *,
    caption: str = "",
    alt: str = "",
) -> Figure:
    """Draw the level of a sound (samples,) over time (s) and frequency (Hz).

    Parameters
    ----------
    kind
        "log_mel" (mel bands, as the models of this book hear) or "stft" (linear in Hz).

    Raises
    ------
    AvcoreError
        For an unknown kind, a wrong shape, or a sound that is too short.
    """
    sound = as_waveform(waveform)
    made = spectrum(sound, sample_rate, kind)
    level = made.below(made.peak).round().astype(np.int8)
    fig = require("plotly.graph_objects", "viz").Figure()
    fig.add_heatmap(
        z=level,
        x0=0,
        dx=made.step,
        y=[hertz(hz) for hz in made.hz],
        zmin=-RANGE_DB,
        zmax=0,
        colorscale=colour_scale(SOUND_SCALE),
        colorbar={"title": {"text": "dB", "side": "top"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{x:.2f} s, %{y}: %{z} dB<extra></extra>",
    )
    ticks = made.ticks() if kind == "log_mel" else _even_ticks(made)
    fig.update_xaxes(title="time (s)", showgrid=False)
    fig.update_yaxes(
        title="frequency",
        type="category",
        showgrid=False,
        tickvals=[at for at, _ in ticks],
        ticktext=[hertz(hz) for _, hz in ticks],
    )
    fig.update_layout(height=300)
    scale = "mel bands" if kind == "log_mel" else "linear frequency"
    words = f"Spectrogram of a sound of {len(sound) / sample_rate:.2f} s in {scale}."
    return figure(fig, caption, alt or words + ("" if np.any(sound) else " It is silent."))


def _even_ticks(made: Spectrum) -> list[tuple[float, float]]:
    top = made.hz[-1]
    every = next(step for step in (500, 1000, 2000, 4000, 8000, 1e9) if top / step <= 8.1)
    return made.ticks(np.arange(every, top, every).tolist())
