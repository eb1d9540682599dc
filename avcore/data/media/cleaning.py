"""Recordings made ready: rumble and silence removed, and recordings that are the same found out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import binary_opening
from scipy.signal import butter, sosfilt

from avcore.data.media.read import resampled

FRAME_RATE = 100  # Hz, of envelopes
SILENCE = 1e-3  # a recording whose loudest 10 ms have a lower RMS (-60 dB) is silent
LEVEL = 0.05  # RMS of the active part of a tidied recording
CLICK = 3  # frames; what is shorter is a click
PAD = 0.03  # s left before and after what is heard
RUMBLE = 60.0  # Hz; below lie breath pops, hum and offsets, and none of the calls or voices


def envelope(samples: np.ndarray, rate: int) -> np.ndarray:
    """Root mean square of (n,) samples in frames of 10 ms, (ceil(100 · n / rate),) float32."""
    edges = np.arange(0, len(samples), rate / FRAME_RATE).astype(int)
    if len(edges) == 0:
        return np.zeros(0, np.float32)
    sums = np.add.reduceat(np.square(samples, dtype=np.float64), edges)
    return np.sqrt(sums / np.diff(edges, append=len(samples))).astype(np.float32)


def active(levels: np.ndarray) -> np.ndarray:
    """Which frames of an envelope are heard, (n,) bool.

    Heard is what is within 35 dB of the loudest frame and 6 dB above the noise floor (the 5th
    percentile; a recording in which that is within 20 dB of the loudest frame has no floor), for
    at least 30 ms: shorter are the clicks of a switch.
    """
    peak = levels.max(initial=0.0)
    if peak < SILENCE:
        return np.zeros(len(levels), bool)
    floor = 2 * np.percentile(levels, 5)
    loud = levels > max(floor if floor < peak / 10 else 0.0, peak * 10 ** (-35 / 20))
    lasting = binary_opening(loud, np.ones(CLICK))
    return lasting if lasting.any() else loud


def tidy(samples: np.ndarray, rate: int, pause: float = 0.4) -> np.ndarray:
    """Take away rumble, silence at the ends and long pauses; set the level.

    Parameters
    ----------
    samples
        (n,) float32 at `rate` Hz.
    pause
        The longest silence left inside, s.

    Returns
    -------
    (m,) float32 whose active part has an RMS of `LEVEL`; empty when the recording is silent.
    """
    smooth = sosfilt(_high_pass(rate), samples - samples.mean(dtype=np.float64).astype(np.float32))
    levels = envelope(smooth, rate)
    heard = active(levels)
    if not heard.any():
        return np.zeros(0, np.float32)
    gain = LEVEL / np.sqrt(np.mean(np.square(levels[heard])))
    heard = np.pad(heard, round(PAD * FRAME_RATE))
    smooth = np.pad(faded(smooth, rate), round(PAD * rate))  # some start or end all at once
    frame = rate / FRAME_RATE
    pieces = [
        faded(smooth[int(first * frame) : int(stop * frame)], rate)
        for first, stop in _kept(heard, pause)
    ]
    return (gain * np.concatenate(pieces)).astype(np.float32)


@lru_cache(maxsize=8)
def _high_pass(rate: int) -> np.ndarray:
    return butter(2, RUMBLE, "highpass", fs=rate, output="sos").astype(np.float32)


def _kept(heard: np.ndarray, pause: float) -> list[tuple[int, int]]:
    """Stretches (first, stop) of frames: what is heard, with at most half a pause around it."""
    pad, half = round(PAD * FRAME_RATE), round(pause * FRAME_RATE / 2)
    frames = np.flatnonzero(heard)
    breaks = np.flatnonzero(np.diff(frames) > 2 * half)
    firsts = np.append(frames[0] - pad, frames[breaks + 1] - half)
    stops = np.append(frames[breaks] + 1 + half, frames[-1] + 1 + pad)
    return [(max(a, 0), b) for a, b in zip(firsts.tolist(), stops.tolist(), strict=True)]


def faded(samples: np.ndarray, rate: int, seconds: float = 0.005) -> np.ndarray:
    """The samples with their first and last 5 ms faded in and out, so that cuts do not click."""
    out = samples.astype(np.float32)
    count = min(round(seconds * rate), len(out) // 2)
    ramp = np.linspace(0, 1, count, endpoint=False, dtype=np.float32)
    out[:count] *= ramp
    out[len(out) - count :] *= ramp[::-1]
    return out


def same_recordings(
    recordings: Sequence[np.ndarray], rate: int, threshold: float = 0.4
) -> list[tuple[int, int]]:
    """Pairs (i < j) of recordings that are one recording, also when cut or filtered otherwise.

    Two recordings are the same when the largest value of their normalised cross-correlation,
    over all lags and either sign, exceeds `threshold`. (Different animals stay below 0.2, copies
    lie above 0.6.) Waveforms are only compared where the envelopes agree.

    Parameters
    ----------
    recordings
        (n,) float32 each, at `rate` Hz; they are compared at 4 kHz.
    """
    shapes = _spectra([_detrended(np.sqrt(envelope(wave, rate))) for wave in recordings])
    waves = _spectra([resampled(wave, rate, 4000) for wave in recordings])
    return [
        (i, j)
        for i, j in combinations(range(len(recordings)), 2)
        if _peak_correlation(shapes[i], shapes[j]) > threshold
        and _peak_correlation(waves[i], waves[j]) > threshold
    ]


def _detrended(values: np.ndarray) -> np.ndarray:
    return values - values.mean() if len(values) else values


def _spectra(signals: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Spectra of the signals, padded to a common length and scaled to an energy of 1."""
    size = next_fast_len(2 * max((len(signal) for signal in signals), default=1), real=True)
    scales = [np.sqrt(np.sum(np.square(signal, dtype=np.float64))) + 1e-12 for signal in signals]
    return [
        rfft((signal / scale).astype(np.float32), size)
        for signal, scale in zip(signals, scales, strict=True)
    ]


def _peak_correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(irfft(first * second.conj())).max())
