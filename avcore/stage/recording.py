"""Performances made of recordings: excerpts of a call, and words said aloud."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, firwin, resample_poly

from avcore.data.media.cleaning import FRAME_RATE, active, envelope, faded
from avcore.stage.scene import CONTROL_RATE, SPLITS

LONG_ENOUGH = 3.0  # s that are heard: from here on a recording is divided in time
SHARES = (0.6, 0.8)  # of what is heard: train ends, val ends, and the rest is for the test
RISE = 0.06  # s in which an onset comes up
BETWEEN_ONSETS = 0.12  # s


@dataclass(frozen=True, eq=False)
class Recording:
    """A tidied recording: (n,) float32 at `rate` Hz."""

    wave: np.ndarray
    rate: int

    def __getstate__(self) -> dict:
        """Its content alone: what was derived from it is derived again."""
        return {"wave": self.wave, "rate": self.rate}

    @property
    def length(self) -> float:
        """In s."""
        return len(self.wave) / self.rate

    @cached_property
    def loudness(self) -> np.ndarray:
        """(n,) float32 at `CONTROL_RATE`: the square root of the envelope, 1 where it is loud."""
        levels = uniform_filter1d(envelope(self.wave, self.rate), 3, mode="constant")
        return np.sqrt(levels / max(np.percentile(levels, 95), 1e-9)).astype(np.float32)

    @cached_property
    def spans(self) -> dict[str, tuple[float, float]]:
        """The stretch of the recording that each split uses, s.

        With `LONG_ENOUGH` s heard, the first 60 % of what is heard are for train, the next 20 %
        for val, the last 20 % for test, each border moved by up to 0.15 s to where it is quietest.
        The stretches do not overlap. Shorter recordings are used whole by all splits.
        """
        heard = active(envelope(self.wave, self.rate))
        if heard.sum() < LONG_ENOUGH * FRAME_RATE:
            return dict.fromkeys(SPLITS, (0.0, self.length))
        order = np.flatnonzero(heard)
        borders = [0.0]
        for share in SHARES:
            frame = order[int(share * len(order))]
            near = self.loudness[frame - 15 : frame + 16]
            borders.append((frame - 15 + int(near.argmin())) / FRAME_RATE)
        borders.append(self.length)
        return {split: (borders[k], borders[k + 1]) for k, split in enumerate(SPLITS)}

    @property
    def divided(self) -> bool:
        """Whether the splits use different stretches of it."""
        return self.spans["train"] != self.spans["test"]


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a recording, played once or again and again; calling it renders the sound.

    Attributes
    ----------
    start, stop
        The stretch of the recording, s.
    times
        When it begins to play each time, s; negative times begin before the excerpt does.
    speed
        Playing speed in percent: 105 is faster and higher by 5 %.
    duration
        Of the excerpt, s.
    """

    recording: Recording
    start: float
    stop: float
    times: tuple[float, ...]
    speed: int
    duration: float

    @classmethod
    def draw(
        cls,
        recording: Recording,
        span: tuple[float, float],
        rng: np.random.Generator,
        duration: float,
    ) -> Excerpt:
        """A random excerpt of `duration` s of the recording's stretch `span`.

        A stretch that is long enough is entered at a random place; a shorter one is repeated with
        pauses of 0.1 to 0.5 s (never more than half the duration).
        """
        speed = int(rng.integers(93, 108))
        length = (span[1] - span[0]) * 100 / speed
        if length >= duration:
            first = span[0] + rng.uniform(0, length - duration) * speed / 100
            stop = min(first + duration * speed / 100, span[1])
            return cls(recording, first, stop, (0.0,), speed, duration)
        longest = min(0.5, duration / 2)
        pauses = rng.uniform(min(0.1, longest), longest, int(duration / length) + 2)
        times = np.cumsum(length + pauses) - length - pauses[0]
        times -= rng.uniform(0, length + pauses[0])
        return cls(
            recording, span[0], span[1], tuple(times[times < duration].tolist()), speed, duration
        )

    def __call__(self, sample_rate: int) -> np.ndarray:
        """The sound, (duration · sample_rate,) float32."""
        rate = self.recording.rate
        wave = self.recording.wave[round(self.start * rate) : round(self.stop * rate)]
        ratio = Fraction(sample_rate * 100, rate * self.speed)
        up, down = ratio.numerator, ratio.denominator
        played = faded(resample_poly(wave, up, down, window=_low_pass(max(up, down))), sample_rate)
        out = np.zeros(round(self.duration * sample_rate), np.float32)
        for time in self.times:
            first = round(time * sample_rate)
            piece = played[max(-first, 0) : len(out) - first]
            out[max(first, 0) : max(first, 0) + len(piece)] += piece
        return out

    def loudness(self) -> np.ndarray:
        """The recording's loudness as it is played, (n,) float32 at `CONTROL_RATE`."""
        clock = np.arange(round(self.duration * CONTROL_RATE)) / CONTROL_RATE
        out = np.zeros(len(clock), np.float32)
        source = self.recording.loudness
        frames = np.arange(len(source)) / FRAME_RATE
        for time in self.times:
            at = self.start + (clock - time) * self.speed / 100
            playing = (clock >= time) & (at < self.stop)
            out[playing] = np.interp(at[playing], frames, source)
        return out


@lru_cache(maxsize=64)
def _low_pass(factor: int) -> np.ndarray:
    """The filter that `resample_poly` would design anew each time, (20 · factor + 1,) float32."""
    return firwin(20 * factor + 1, 1 / max(factor, 2), window=("kaiser", 5.0)).astype(np.float32)


def drive(loudness: np.ndarray) -> np.ndarray:
    """How strongly the source moves, (n,) float32 in [0, 1].

    What a loud sound keeps up is subtracted in part, so that a steady buzz trembles and does not
    freeze at the end of its travel.
    """
    kept_up = min(float(np.percentile(loudness, 20)), 0.5)
    return np.clip((loudness - kept_up) / (1.1 - kept_up), 0, 1).astype(np.float32)


def onsets(loudness: np.ndarray) -> np.ndarray:
    """When a sound begins or rises clearly, (k,) float64 s: by the rise over 60 ms."""
    width = round(RISE * CONTROL_RATE)
    before = np.pad(loudness, (width, 0), mode="edge")[: len(loudness)]
    rise = np.pad(loudness - before, (1, 1))
    peaks, _ = find_peaks(rise, height=0.25, distance=round(BETWEEN_ONSETS * CONTROL_RATE))
    return np.maximum(peaks - 1 - width / 2, 0) / CONTROL_RATE
