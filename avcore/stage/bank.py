"""The procedural asset bank: twelve classes, drawn and synthesised; nothing to download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from avcore.stage import looks, speech
from avcore.stage.looks import Drawing
from avcore.stage.scene import CONTROL_RATE, Performance
from avcore.stage.timbres import TIMBRES, Timbre

LOOKS: dict[str, looks.Look] = {name: getattr(looks, name) for name in TIMBRES}


@dataclass(frozen=True)
class Score:
    """The notes of one performance: `onsets`, `lengths` (s), `strengths`, `pitches` (Hz), (k,)."""

    onsets: np.ndarray
    lengths: np.ndarray
    strengths: np.ndarray
    pitches: np.ndarray
    tone: np.ndarray
    seed: int

    @classmethod
    def draw(cls, timbre: Timbre, rng: np.random.Generator, duration: float) -> Score:
        """Notes at uneven gaps, alike for all classes and at every instant of the performance."""
        tempo = rng.uniform(0.75, 1.3)
        count = int(duration / (0.2 * 0.75)) + 5
        gaps = tempo * rng.uniform(0.2, 0.5, count)
        onsets = gaps.cumsum() - gaps[0] - rng.uniform(0.4, 0.9)
        keep = onsets < duration
        low, high = np.log(timbre.pitch)
        centre, spread = rng.uniform(low, high), rng.uniform(0.0, 0.12)
        pitches = np.exp(np.clip(centre + spread * rng.standard_normal(count), low, high))
        lengths = rng.uniform(0.6, 0.9) * np.append(gaps[1:], gaps[0])
        strengths = rng.uniform(0.6, 1.0, count)
        tone, seed = rng.uniform(0, 1, 2), int(rng.integers(2**32))
        return cls(onsets[keep], lengths[keep], strengths[keep], pitches[keep], tone, seed)


def play(score: Score, timbre: Timbre, duration: float, sample_rate: int) -> np.ndarray:
    """The sound of a score, (duration · rate,) float32, at any level."""
    total = round(duration * sample_rate)
    out = np.zeros(total, np.float32)
    noise = np.random.default_rng(score.seed).standard_normal(sample_rate, dtype=np.float32)
    for onset, length, strength, pitch in zip(
        score.onsets, score.lengths, score.strengths, score.pitches, strict=True
    ):
        first = round(onset * sample_rate)
        count = round((length if timbre.held else timbre.ring) * sample_rate)
        low, high = max(first, 0), min(first + count, total)
        if high - low < 2:
            continue
        t = np.arange(count, dtype=np.float32) / np.float32(sample_rate)
        samples = timbre.note(t, pitch, length, score.tone, noise[:count])
        if not timbre.held:
            samples = samples * np.clip((timbre.ring - t) / 0.02, 0, 1)
        out[low:high] += (np.float32(strength) * samples)[low - first : high - first]
    return out


def motion(score: Score, timbre: Timbre, duration: float) -> np.ndarray:
    """How strongly the source moves, (n,) float32 in [0, 1] at `CONTROL_RATE`.

    A struck thing rises for 50 ms up to the onset and falls back; a held one stays up.
    """
    times = np.arange(round(duration * CONTROL_RATE)) / CONTROL_RATE
    since = times[:, None] - score.onsets
    if timbre.held:
        rise = np.clip(since / 0.05, 0, 1) * np.clip((score.lengths - since) / 0.08 + 1, 0, 1)
        tremble = 0.85 + 0.15 * np.cos(2 * np.pi * 7 * since)
        curves = rise * tremble
    else:
        curves = np.where(since < 0, 1 + since / 0.05, np.exp(-since / timbre.fall))
    curves = np.clip(curves, 0, 1) * score.strengths
    return curves.max(1, initial=0).astype(np.float32)


class ProceduralBank:
    """Draws and plays everything itself. An `AssetBank`, with talking faces besides."""

    name = "procedural"
    credit = ""
    classes = tuple(TIMBRES)

    def sprite(self, class_id: int, rng: np.random.Generator, split: str) -> Drawing:
        return Drawing.draw(LOOKS[self.classes[class_id]], rng)

    def performance(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        timbre = TIMBRES[self.classes[class_id]]
        score = Score.draw(timbre, rng, duration)
        return Performance(
            drive=motion(score, timbre, duration),
            onsets=score.onsets,
            render=partial(play, score, timbre, duration),
        )

    def speak(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        voice = speech.Voice.draw(rng, split)
        word = (self.classes[class_id], class_id)
        return speech.performance(speech.say([word], rng, voice, duration))

    def talker(
        self, rng: np.random.Generator, split: str, duration: float
    ) -> tuple[Drawing, Performance]:
        """A talking face whose mouth follows its voice: bearded for low voices."""
        voice = speech.Voice.draw(rng, split)
        low = voice.name.startswith("low")
        face = Drawing.draw(looks.low_talker if low else looks.high_talker, rng)
        return face, speech.performance(speech.chatter(rng, voice, duration))
