"""How each class sounds: twelve ways to make one note.

A timbre is a function `(t, pitch, duration, tone, noise) -> samples`. `t` (n,) is the time since
the note's onset in s, `pitch` its fundamental in Hz, `duration` the length of a sustained note
in s; `tone` (2,) in [0, 1] sets brightness and character for a whole performance; `noise` (n,)
is white noise. The partials of struck and plucked things follow the textbook modes of a string, a
free bar, a membrane and a church bell (Fletcher and Rossing, The Physics of Musical Instruments).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

Note = Callable[[np.ndarray, float, float, np.ndarray, np.ndarray], np.ndarray]


def modes(t, pitch, ratios, strengths, decays):
    """A sum of decaying sines at `pitch · ratios`, each fading by e in `decays` s."""
    out = np.zeros_like(t)
    nyquist = 0.5 / (t[1] - t[0])
    for ratio, strength, decay in zip(ratios, strengths, decays, strict=True):
        if ratio * pitch < nyquist:
            audible = t[: np.searchsorted(t, 7 * decay)]
            fade = np.exp(audible * np.float32(-1 / decay))
            wave = np.sin(np.float32(2 * np.pi * ratio * pitch) * audible)
            out[: len(audible)] += np.float32(strength) * fade * wave
    return out


def harmonics(phase, strengths, pitch, nyquist):
    """A sum of sines at whole multiples of a running `phase` (radians)."""
    out = np.zeros_like(phase)
    for number, strength in enumerate(strengths, start=1):
        if strength and number * pitch < nyquist:
            out += np.float32(strength) * np.sin(number * phase)
    return out


def swell(t, duration, rise=0.02, fall=0.04):
    """A note that is held for `duration` s, with soft edges."""
    return np.clip(t / rise, 0, 1) * np.clip((duration - t) / fall, 0, 1)


def running_phase(t, frequency):
    """Phase in rad of a tone whose frequency in Hz changes over `t`."""
    step = float(t[1] - t[0])
    return (2 * np.pi * step * np.cumsum(frequency, dtype=np.float64)).astype(np.float32)


def band(noise, rate, centre, width):
    """Noise through a two-pole resonance at `centre` Hz, about `width` Hz wide; unit level."""
    radius = np.exp(-np.pi * width / rate)
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * min(centre, 0.47 * rate) / rate), radius**2]
    gain = (1 - radius) * np.sqrt(2)
    return lfilter([gain], poles, noise).astype(np.float32)


def plucked_string(t, pitch, duration, tone, noise):
    number = np.arange(1, 13)
    position = 0.12 + 0.3 * tone[1]
    strengths = np.abs(np.sin(number * np.pi * position)) / number ** (1.8 - 0.9 * tone[0])
    return modes(t, pitch, number * np.sqrt(1 + 4e-4 * number**2), strengths, 0.5 / number**0.7)


def struck_bar(t, pitch, duration, tone, noise):
    knock = np.exp(-t / 0.004) * noise * (0.1 + 0.25 * tone[0])
    bright = 0.2 + 0.5 * tone[0]
    return modes(t, pitch, (1, 3.9, 9.2), (1, bright, bright / 2), (0.16, 0.05, 0.02)) + knock


def membrane(t, pitch, duration, tone, noise):
    glide = pitch * (1 + (0.3 + 0.5 * tone[1]) * np.exp(-t / 0.03))
    ratios, strengths = (1, 1.59, 2.14, 2.65), (1, 0.5, 0.35, 0.25)
    body = np.zeros_like(t)
    for ratio, strength in zip(ratios, strengths, strict=True):
        fade = np.exp(t * np.float32(-8 * ratio))
        body += np.float32(strength) * fade * np.sin(running_phase(t, ratio * glide))
    return body + (0.25 + 0.5 * tone[0]) * np.exp(-t / 0.03) * noise


def reed(t, pitch, duration, tone, noise):
    number = np.arange(1, 16)
    odd = np.where(number % 2 == 1, 1.0, 0.06)
    vibrato = 1 + 0.008 * np.sin(2 * np.pi * (4.5 + 2 * tone[1]) * t)
    phase = running_phase(t, pitch * vibrato)
    strengths = odd / number ** (1.5 - 0.7 * tone[0])
    return swell(t, duration) * (harmonics(phase, strengths, pitch, 7500) + 0.02 * noise)


def pea_whistle(t, pitch, duration, tone, noise):
    rate = 1 / (t[1] - t[0])
    trill = np.sin(2 * np.pi * (24 + 18 * tone[1]) * t)
    phase = running_phase(t, pitch * (1 + 0.025 * trill))
    breath = band(noise, rate, pitch, 500) * (0.4 + 0.6 * tone[0])
    return swell(t, duration, 0.012, 0.03) * (0.65 + 0.35 * trill) * (np.sin(phase) + breath)


def church_bell(t, pitch, duration, tone, noise):
    ratios = np.array((0.5, 1, 1.2, 1.5, 2, 2.66, 3.01, 4.1))
    strengths = np.array((0.5, 0.8, 0.6, 0.4, 1, 0.5, 0.35, 0.3))
    strengths = strengths * ratios ** (tone[0] - 0.5)
    return modes(t, pitch, ratios, strengths, 1.1 / ratios)


def chirp(t, pitch, duration, tone, noise):
    sweep = pitch * (1 + (0.45 - 0.9 * tone[1]) * (1 - 2 * t / 0.09))
    syllables = np.zeros_like(t)
    for start in (0.0, 0.1 + 0.03 * tone[0]):
        syllables += swell(t - start, 0.07, 0.012, 0.025) * (t >= start)
    return syllables * np.sin(running_phase(t, np.clip(sweep, 1200, 7000)))


def croak(t, pitch, duration, tone, noise):
    rate = 1 / (t[1] - t[0])
    beat = (t * (32 + 25 * tone[1])) % 1
    pulses = np.exp(-beat * 7) * (0.8 + 0.4 * noise)
    throat = band(pulses - pulses.mean(), rate, pitch, 90 + 120 * tone[0])
    chest = band(pulses - pulses.mean(), rate, 2.4 * pitch, 200)
    return swell(t, min(duration, 0.3), 0.03, 0.08) * (throat + 0.5 * chest)


def stridulation(t, pitch, duration, tone, noise):
    beat = (t * (38 + 22 * tone[1])) % 1
    teeth = np.clip(np.sin(np.pi * beat / 0.7), 0, 1) * (beat < 0.7)
    angle = np.float32(2 * np.pi * pitch) * t
    carrier = np.sin(angle) + 0.3 * tone[0] * np.sin(1.37 * angle)
    return swell(t, min(duration, 0.22), 0.01, 0.04) * teeth * carrier


def engine(t, pitch, duration, tone, noise):
    rate = 1 / (t[1] - t[0])
    rev = pitch * (1 + 0.35 * np.sin(np.pi * np.clip(t / duration, 0, 1)))
    turns = np.cumsum(rev, dtype=np.float64) / rate
    firing = np.exp(-(turns % 1) * (4 + 4 * tone[0])).astype(np.float32)
    rumble = lfilter([0.12], [1, -0.88], noise).astype(np.float32)
    growl = firing - firing.mean() + 0.5 * firing * rumble * (1 + 2 * tone[1])
    return swell(t, duration, 0.05, 0.1) * (growl + band(growl, rate, 170 + 250 * tone[1], 150))


def wail(t, pitch, duration, tone, noise):
    sweep = np.sin(np.pi * np.clip(t / duration, 0, 1)) ** (1 if tone[1] < 0.5 else 2)
    phase = running_phase(t, pitch * (1 + 0.9 * sweep))
    strengths = np.array((1, 0.5, 0.4, 0.25, 0.2, 0.12)) * (0.5 + tone[0]) ** np.arange(6)
    return swell(t, duration, 0.04, 0.05) * harmonics(phase, strengths, 1.9 * pitch, 7500)


def tick(t, pitch, duration, tone, noise):
    ticking = np.zeros_like(t)
    rate = 1 / (t[1] - t[0])
    for start, height in ((0.0, 1.0), (0.055 + 0.04 * tone[1], 0.72)):
        since = np.maximum(t - start, 0)
        click = np.exp(-since / 0.008) * (t >= start)
        knock = np.exp(-since / (0.012 + 0.012 * tone[0])) * (t >= start)
        ticking += click * band(noise, rate, height * pitch, 900) * 2
        ticking += 0.6 * knock * np.sin(np.float32(2 * np.pi * height * pitch) * since)
    return ticking


@dataclass(frozen=True)
class Timbre:
    """A way to make notes: its range of `pitch` in Hz, whether it is held, and how long it rings.

    `ring` is the time in s that a struck note lasts; `fall` the time in which its motion fades.
    """

    note: Note
    pitch: tuple[float, float]
    held: bool
    ring: float
    fall: float = 0.12


TIMBRES: dict[str, Timbre] = {
    "guitar": Timbre(plucked_string, (110, 440), False, 0.7, 0.16),
    "xylophone": Timbre(struck_bar, (450, 1400), False, 0.4, 0.1),
    "drum": Timbre(membrane, (70, 190), False, 0.4, 0.1),
    "clarinet": Timbre(reed, (160, 620), True, 0.0),
    "whistle": Timbre(pea_whistle, (1500, 3200), True, 0.0),
    "bell": Timbre(church_bell, (280, 900), False, 1.0, 0.2),
    "bird": Timbre(chirp, (2200, 4800), False, 0.22, 0.1),
    "frog": Timbre(croak, (350, 900), True, 0.0),
    "cricket": Timbre(stridulation, (3800, 5600), True, 0.0),
    "tractor": Timbre(engine, (18, 42), True, 0.0),
    "siren": Timbre(wail, (450, 950), True, 0.0),
    "clock": Timbre(tick, (1500, 4200), False, 0.16, 0.1),
}
