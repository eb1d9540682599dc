"""A source-filter voice: spells a word in phones and says it, with the timing of every word.

The source is a glottal buzz for voiced sounds and noise for the others; the filter is the vocal
tract, four resonances (formants) that glide from phone to phone. Formant frequencies are the
textbook averages of Peterson and Barney (1952), rounded; everything else is set by ear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from avcore.stage.scene import CONTROL_RATE, SPLITS, Performance, Word

HOP = 0.005  # s between the frames of the filter
VOICES = {"train": 64, "val": 16, "test": 16}


@dataclass(frozen=True)
class Phone:
    """A speech sound: formants in Hz, length in s, levels of buzz and noise, mouth opening.

    `noise_band` is (centre, width) in Hz; a stop is a silent gap that ends in a burst.
    """

    formants: tuple[float, float, float]
    length: float
    voiced: float = 1.0
    noise: float = 0.0
    noise_band: tuple[float, float] = (2500.0, 2000.0)
    opening: float = 0.2
    stop: bool = False


def _vowel(f1, f2, f3, length, opening):
    return Phone((f1, f2, f3), length, opening=opening)


def _stop(formants, centre, voiced):
    return Phone(formants, 0.075, voiced, 0.9, (centre, 1500.0), 0.0, stop=True)


PHONES = {
    "a": _vowel(730, 1090, 2440, 0.15, 1.0),
    "ae": _vowel(660, 1720, 2410, 0.15, 0.9),
    "uh": _vowel(640, 1190, 2390, 0.12, 0.7),
    "ao": _vowel(570, 840, 2410, 0.16, 0.8),
    "eh": _vowel(530, 1840, 2480, 0.13, 0.7),
    "ih": _vowel(390, 1990, 2550, 0.10, 0.4),
    "ee": _vowel(270, 2290, 3010, 0.12, 0.3),
    "oh": _vowel(480, 900, 2400, 0.17, 0.6),
    "er": _vowel(490, 1350, 1690, 0.16, 0.5),
    "schwa": _vowel(500, 1400, 2400, 0.08, 0.4),
    "w": Phone((300, 650, 2200), 0.07, 0.7, opening=0.1),
    "l": Phone((360, 1100, 2700), 0.08, 0.7, opening=0.3),
    "r": Phone((330, 1100, 1550), 0.08, 0.7, opening=0.2),
    "m": Phone((260, 1000, 2200), 0.08, 0.45, opening=0.0),
    "n": Phone((260, 1500, 2500), 0.08, 0.45, opening=0.1),
    "s": Phone((400, 1700, 2600), 0.12, 0.0, 1.0, (6000.0, 2500.0), 0.1),
    "z": Phone((300, 1700, 2600), 0.10, 0.3, 0.7, (5800.0, 2500.0), 0.1),
    "f": Phone((400, 1200, 2300), 0.10, 0.0, 0.5, (4500.0, 5000.0), 0.05),
    "b": _stop((300, 900, 2200), 700.0, 0.25),
    "d": _stop((300, 1700, 2600), 4000.0, 0.25),
    "g": _stop((300, 1900, 2400), 2000.0, 0.25),
    "k": _stop((400, 1900, 2400), 2200.0, 0.0),
    "t": _stop((400, 1700, 2600), 4500.0, 0.0),
}

SPELLING = {
    "guitar": "g ih t a r",
    "xylophone": "z a ih l schwa f oh n",
    "drum": "d r uh m",
    "clarinet": "k l eh r ih n eh t",
    "whistle": "w ih s schwa l",
    "bell": "b eh l",
    "bird": "b er d",
    "frog": "f r ao g",
    "cricket": "k r ih k ih t",
    "tractor": "t r ae k t er",
    "siren": "s a ih r schwa n",
    "clock": "k l a k",
}


@dataclass(frozen=True)
class Voice:
    """A speaker: `pitch` in Hz, `tract` (1 = average, more = shorter), `speed` and `breath`."""

    name: str
    pitch: float
    tract: float
    speed: float
    breath: float

    @classmethod
    def draw(cls, rng: np.random.Generator, split: str) -> Voice:
        """A speaker of the split; no voice is in two splits."""
        number = int(rng.integers(VOICES[split]))
        own = np.random.default_rng([1952, SPLITS.index(split), number])
        low = number % 2 == 0
        return cls(
            name=f"{'low' if low else 'high'} {split} {number // 2}",
            pitch=float(own.uniform(85, 150) if low else own.uniform(170, 290)),
            tract=float(own.uniform(0.9, 1.02) if low else own.uniform(1.06, 1.24)),
            speed=float(own.uniform(0.85, 1.25)),
            breath=float(own.uniform(0.01, 0.06)),
        )


@dataclass(frozen=True)
class Utterance:
    """Words with their place in time, ready to be rendered at any sample rate.

    `phones` holds (phone, start, end) in s; `contour` is the voice's pitch bend over the whole.
    """

    phones: tuple[tuple[Phone, float, float], ...]
    words: tuple[Word, ...]
    voice: Voice
    duration: float
    contour: np.ndarray
    seed: int


def say(
    classes: list[tuple[str, int]],
    rng: np.random.Generator,
    voice: Voice,
    duration: float,
    start: float | None = None,
) -> Utterance:
    """Lay out words (text, class) one after another from `start` s (drawn when None)."""
    phones, words = [], []
    spoken = [_lengths(text, rng, voice) for text, _ in classes]
    pauses = rng.uniform(0.06, 0.3, len(classes))
    if start is None:
        total = sum(sum(lengths) for lengths in spoken) + pauses[:-1].sum()
        start = float(rng.uniform(0, max(duration - total, 0)))
    clock = start
    for (text, class_id), lengths, pause in zip(classes, spoken, pauses, strict=True):
        begin = clock
        for symbol, length in zip(SPELLING[text].split(), lengths, strict=True):
            phones.append((PHONES[symbol], clock, clock + length))
            clock += length
        words.append(Word(text, class_id, float(begin), float(clock)))
        clock += pause
    contour = 1 + 0.1 * rng.standard_normal(8).cumsum() / 4
    return Utterance(
        tuple(phones), tuple(words), voice, duration, contour, int(rng.integers(2**32))
    )


def chatter(rng: np.random.Generator, voice: Voice, duration: float) -> Utterance:
    """Words drawn at random that fill `duration` s (the last one may be cut off)."""
    names = list(SPELLING)
    picks = rng.integers(len(names), size=int(duration / 0.25) + 2)
    start = -float(rng.uniform(0, 0.4))
    return say([(names[pick], int(pick)) for pick in picks], rng, voice, duration, start)


def _lengths(text: str, rng: np.random.Generator, voice: Voice) -> list[float]:
    symbols = SPELLING[text].split()
    stretch = rng.uniform(0.88, 1.12, len(symbols)) / voice.speed
    return [PHONES[symbol].length * s for symbol, s in zip(symbols, stretch, strict=True)]


def mouth(utterance: Utterance) -> np.ndarray:
    """How far the mouth is open, (n,) float32 in [0, 1] at `CONTROL_RATE`."""
    times = np.arange(round(utterance.duration * CONTROL_RATE)) / CONTROL_RATE
    opening = np.zeros(len(times))
    for phone, start, end in utterance.phones:
        opening[(times >= start) & (times < end)] = phone.opening
    return np.convolve(opening, np.hanning(9) / np.hanning(9).sum(), "same").astype(np.float32)


def render(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """The waveform, (duration · rate,) float32, at any level."""
    total = round(utterance.duration * sample_rate)
    out = np.zeros(total, np.float32)
    audible = [p for p in utterance.phones if p[2] > 0 and p[1] < utterance.duration]
    if not audible:
        return out
    begin, end = audible[0][1], audible[-1][2]
    samples = _vocal_tract(audible, begin, end, utterance, sample_rate)
    first = round(begin * sample_rate)
    low, high = max(first, 0), min(first + len(samples), total)
    out[low:high] = samples[low - first : high - first]
    return out


def _vocal_tract(phones, begin, end, utterance, rate):
    """Excite the tract frame by frame in the short-time Fourier domain."""
    voice, rng = utterance.voice, np.random.default_rng(utterance.seed)
    count = round((end - begin) * rate)
    hop = round(HOP * rate)
    frames = count // hop + 2
    centre = begin + HOP * np.arange(frames)
    formants, buzz, hiss, bands = _tracks(phones, centre, voice)
    bend = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, 8), utterance.contour)
    phase = np.cumsum(voice.pitch * bend / rate)
    glottis = 2 * (phase % 1) - 1
    noise = rng.standard_normal(count)
    frequency = np.fft.rfftfreq(4 * hop, 1 / rate)
    gain = _resonances(frequency, formants) * (buzz / (1 + (frequency / 900) ** 1.0).T)
    shape = np.exp(-0.5 * ((frequency - bands[:, :1]) / bands[:, 1:]) ** 2)
    hiss_gain = hiss * shape + voice.breath * buzz * _resonances(frequency, formants) * 0.3
    spectrum = gain * _spectra(glottis, hop, frames) + hiss_gain * _spectra(noise, hop, frames)
    return _overlap_add(spectrum, hop)[2 * hop : 2 * hop + count].astype(np.float32)


def _tracks(phones, centre, voice):
    """Formants (n, 3), buzz and hiss levels (n, 1) and noise bands (n, 2), gliding over time."""
    table = np.zeros((len(centre), 7))
    table[:, :3] = phones[0][0].formants
    for phone, start, end in phones:
        here = (centre >= start) & (centre < end)
        table[here] = (*phone.formants, phone.voiced, phone.noise, *phone.noise_band)
        if phone.stop:
            burst = centre >= end - 0.02
            table[here & ~burst, 4] = 0
            table[here & burst, 3] = 0.3 * phone.voiced
    gaps = table[:, 5] == 0
    table[gaps, 5:] = (2500, 2000)
    glide = np.hanning(11) / np.hanning(11).sum()
    edge = np.hanning(5) / np.hanning(5).sum()
    smooth = [np.convolve(np.pad(column, 5, "edge"), glide, "valid") for column in table.T[:3]]
    levels = [np.convolve(column, edge, "same")[:, None] for column in table.T[3:5]]
    bands = table[:, 5:] * np.array([min(voice.tract, 1.1), 0.5])
    return np.stack(smooth, 1) * voice.tract, levels[0], 0.5 * levels[1], bands


def _resonances(frequency, formants):
    """Magnitude of the tract's response, (frames, bins); the fourth formant stands still."""
    out = np.ones((len(formants), len(frequency)))
    columns = [*formants.T, np.full(len(formants), 3500.0)]
    for centre, width in zip(columns, (70, 100, 150, 250), strict=True):
        f = centre[:, None]
        out *= f**2 / np.sqrt((f**2 - frequency**2) ** 2 + (width * frequency) ** 2)
    return np.minimum(out, 30)


def _spectra(signal, hop, frames):
    padded = np.pad(signal, (2 * hop, 4 * hop))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 4 * hop)[: frames * hop : hop]
    return np.fft.rfft(windows * np.hanning(4 * hop + 1)[:-1])


def _overlap_add(spectrum, hop):
    pieces = np.fft.irfft(spectrum) * np.hanning(4 * hop + 1)[:-1] / 1.5
    out = np.zeros((len(pieces) + 3, hop))
    for quarter in range(4):
        out[quarter : quarter + len(pieces)] += pieces[:, quarter * hop : (quarter + 1) * hop]
    return out.ravel()


def performance(utterance: Utterance) -> Performance:
    """The utterance as a performance: a mouth that moves and a voice that can be rendered."""
    return Performance(
        drive=mouth(utterance),
        onsets=np.array([word.start for word in utterance.words]),
        render=partial(render, utterance),
        words=utterance.words,
        voice=utterance.voice.name,
    )
