"""The stage: composes scenes from a bank, each from (seed, split, index) alone."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import cast

import numpy as np
from scipy.signal import lfilter

from avcore.stage.backdrop import backdrop
from avcore.stage.bank import ProceduralBank
from avcore.stage.scene import (
    CONTROL_RATE,
    SPLITS,
    AssetBank,
    Performance,
    Scene,
    SceneConfig,
    Source,
    Sprite,
    TalkingBank,
)
from avcore.support import AvcoreError

REFERENCE_RMS = 0.05  # the RMS that 0 dB stands for
CEILING = 0.98  # no sample of a scene's sound is beyond it

STILL = SceneConfig()
MOVING = SceneConfig(size=64, frames=16, margin=1.0, diameter=(0.4, 0.6))
COLLAGE = SceneConfig(objects=(4, 4), sounding=(2, 2), layout="collage", diameter=(0.36, 0.46))


@dataclass(frozen=True)
class Part:
    """A source before it is drawn and heard: its truth, its look, its place and what it does."""

    source: Source
    sprite: Sprite | None
    performance: Performance
    place: np.ndarray | None  # (T, 3): x, y and radius in pixels; radius 0 where not in view


class Stage:
    """A world of scenes: `Stage(config, bank, seed).scene("train", 7)` is always the same clip.

    Parameters
    ----------
    config
        The conditions of every scene.
    bank
        Where looks and sounds come from; the procedural bank when None.
    seed
        Another seed is another world with the same rules.
    """

    def __init__(
        self, config: SceneConfig = STILL, bank: AssetBank | None = None, seed: int = 0
    ) -> None:
        self.config, self.seed = config, seed
        self.bank = ProceduralBank() if bank is None else bank
        wanted = config.objects[1] + config.offscreen[1]
        if config.distinct and wanted > len(self.bank.classes):
            raise AvcoreError(
                f"{wanted} different classes are wanted, "
                f"but the bank {self.bank.name!r} has {len(self.bank.classes)}"
            )
        if config.talkers[1] and not hasattr(self.bank, "talker"):
            raise AvcoreError(f"the bank {self.bank.name!r} has no talking faces")

    def scene(self, split: str, index: int) -> Scene:
        """The scene `index` (0, 1, …) of a split: "train", "val" or "test"."""
        if split not in SPLITS or index < 0:
            raise AvcoreError(
                f"no scene {index} of split {split!r}; splits are {', '.join(SPLITS)}"
            )
        rng = np.random.default_rng(self.stream(split, index))
        times = self._times(rng)
        parts = self._cast(rng, split, times)
        frames, masks = paint(parts, self.config, times, backdrop(self.config, rng))
        stems, noise, levels = mix(parts, self.config, rng)
        sources = tuple(
            replace(part.source, level_db=level) for part, level in zip(parts, levels, strict=True)
        )
        return Scene(frames, stems, noise, masks, sources, times, self.config)

    def stream(self, split: str, index: int) -> list[int]:
        """What seeds a scene's random numbers: seed, split, index, and the kind where it has one.

        Another use of the same scene adds numbers of its own.
        """
        kind = [zlib.crc32(self.config.kind.encode())] if self.config.kind else []
        return [self.seed, SPLITS.index(split), index, *kind]

    def _times(self, rng: np.random.Generator) -> np.ndarray:
        config = self.config
        if config.frames == 1:
            return np.array([rng.uniform(0.1, 0.9) * config.duration])
        return np.arange(config.frames) / config.fps

    def _cast(self, rng: np.random.Generator, split: str, times: np.ndarray) -> list[Part]:
        """Draw who is there, what they do and where they stand."""
        config, bank = self.config, self.bank
        whole = config.duration + 2 * config.margin
        seen, sounding, unseen, named, talking = (
            int(rng.integers(low, high + 1))
            for low, high in (
                config.objects,
                config.sounding,
                config.offscreen,
                config.names,
                config.talkers,
            )
        )
        classes = rng.choice(len(bank.classes), seen + unseen, replace=not config.distinct)
        parts: list[tuple[str, int, Sprite | None, Performance, np.ndarray | None]] = []
        for number, place in enumerate(places(config, seen, rng)):
            if number >= seen - talking:
                kind, class_id = "talker", -1
                sprite, performance = cast(TalkingBank, bank).talker(rng, split, whole)
            else:
                class_id, kind = int(classes[number]), "object"
                sprite = bank.sprite(class_id, rng, split)
                performance = bank.performance(class_id, rng, split, whole)
            parts.append((kind, class_id, sprite, performance, place))
        heard = set(rng.permutation(seen)[:sounding].tolist())
        for class_id in classes[seen:].tolist():
            performance = bank.performance(class_id, rng, split, whole)
            parts.append(("object", class_id, None, performance, None))
        things = [part[1] for part in parts[:seen] if part[0] == "object"]
        for class_id in rng.permutation(things)[:named].tolist():
            performance = later(
                bank.speak(class_id, rng, split, config.duration), config.margin, whole
            )
            parts.append(("name", class_id, None, performance, None))
        return [
            self._part(*part, heard=number in heard or number >= seen, times=times)
            for number, part in enumerate(parts)
        ]

    def _part(self, kind, class_id, sprite, performance, place, *, heard, times) -> Part:
        margin = self.config.margin
        clock = np.arange(len(performance.drive)) / CONTROL_RATE - margin
        source = Source(
            kind=kind,
            class_id=class_id,
            name=self.bank.classes[class_id] if class_id >= 0 else "talker",
            visible=place is not None,
            sounding=heard,
            level_db=0.0,
            onsets=performance.onsets - margin,
            words=tuple(
                replace(word, start=word.start - margin, end=word.end - margin)
                for word in performance.words
            ),
            drive=np.interp(times, clock, performance.drive).astype(np.float32),
            voice=performance.voice,
            present=np.zeros(len(times), bool) if place is None else place[:, 2] > 0,
        )
        return Part(source, sprite, performance, place)


def later(performance: Performance, margin: float, whole: float) -> Performance:
    """The same performance, `margin` s later in a longer stretch of `whole` s."""
    if margin == 0:
        return performance
    before, total = round(margin * CONTROL_RATE), round(whole * CONTROL_RATE)
    drive = np.zeros(total, np.float32)
    drive[before : before + len(performance.drive)] = performance.drive[: total - before]

    render = partial(_render_later, performance, margin, whole)
    words = tuple(replace(w, start=w.start + margin, end=w.end + margin) for w in performance.words)
    return replace(
        performance, drive=drive, onsets=performance.onsets + margin, render=render, words=words
    )


def _render_later(performance: Performance, margin: float, whole: float, rate: int) -> np.ndarray:
    sound = performance.render(rate)
    out = np.zeros(round(whole * rate), np.float32)
    out[round(margin * rate) :][: len(sound)] = sound
    return out


def places(config: SceneConfig, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Where `count` objects are in each frame, (T, 3) each: x, y and radius in pixels.

    They start in tiles, or free with little overlap, and travel along straight lines within the
    frame. The radius is 0 where an object is not in view.
    """
    paths = [np.tile(place, (config.frames, 1)) for place in _starts(config, count, rng)]
    if config.travel:
        for path in paths:
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1) * config.travel
            step = config.size * length * np.array([np.cos(angle), np.sin(angle)])
            radius = path[0, 2]
            end = np.clip(path[0, :2] + step, radius, config.size - radius)
            path[:, :2] += np.linspace(0, 1, config.frames)[:, None] * (end - path[0, :2])
    if config.presence < 1:
        for path in paths:
            seen = rng.random(config.frames) < config.presence
            seen[rng.integers(config.frames)] = True
            path[~seen, 2] = 0
    return paths


def _starts(config: SceneConfig, count: int, rng: np.random.Generator) -> list[tuple]:
    radii = rng.uniform(*config.diameter, count) * config.size / 2
    if config.layout == "collage":
        half = config.size / 2
        room = np.maximum(half / 2 - radii, 0)[:, None]
        centres = half * (np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) + 0.5)
        centres = centres + room * rng.uniform(-1, 1, (4, 2))
        return [(*centre, radius) for centre, radius in zip(centres, radii, strict=True)]
    chosen: list[tuple] = []
    for radius in radii:
        tries = rng.uniform(radius, config.size - radius, (24, 2))
        gaps = np.full(len(tries), np.inf)
        for x, y, other in chosen:
            gaps = np.minimum(gaps, np.hypot(*(tries - (x, y)).T) / (radius + other))
        fits = np.flatnonzero(gaps > 0.95)
        pick = fits[0] if len(fits) else gaps.argmax()
        chosen.append((*tries[pick], radius))
    return chosen


def paint(
    parts: list[Part], config: SceneConfig, times: np.ndarray, background: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the visible parts over each other: frames (T,H,W,3) uint8, masks (S,T,H,W) bool."""
    size = config.size
    frames = np.repeat(background[None], len(times), axis=0)
    masks = np.zeros((len(parts), len(times), size, size), bool)
    for number, part in enumerate(parts):
        for moment in () if part.place is None else _standing(part.place):
            _paint(part, number, moment, frames, masks)
    return np.rint(255 * np.clip(frames, 0, 1)).astype(np.uint8), masks


def _standing(path: np.ndarray) -> list[slice]:
    """Runs of frames in which an object stands in view at one place."""
    edges = np.flatnonzero((np.diff(path, axis=0) != 0).any(1)) + 1
    bounds = [0, *edges.tolist(), len(path)]
    return [slice(a, b) for a, b in pairwise(bounds) if path[a, 2] > 0]


def _paint(part: Part, number: int, moment: slice, frames: np.ndarray, masks: np.ndarray) -> None:
    """Draw one part in frames in which it stands still, in place."""
    if part.place is None or part.sprite is None:
        return
    size = frames.shape[1]
    x, y, radius = part.place[moment.start]
    reach = 1.2 * radius
    left, right = max(int(x - reach), 0), min(int(x + reach) + 1, size)
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 1, size)
    u, v = np.meshgrid(
        ((np.arange(left, right) + 0.5 - x) / radius).astype(np.float32),
        ((np.arange(top, bottom) + 0.5 - y) / radius).astype(np.float32),
    )
    drive = part.source.drive[moment, None, None]
    shape = (len(drive), *u.shape)
    u, v = np.broadcast_to(u, shape), np.broadcast_to(v, shape)
    rgb, alpha = part.sprite(u, v, drive, 1 / radius)
    window = frames[moment, top:bottom, left:right]
    window += alpha[..., None] * (rgb - window)
    covered = alpha > 0.5
    masks[:number, moment, top:bottom, left:right] &= ~covered
    masks[number, moment, top:bottom, left:right] = covered


def mix(
    parts: list[Part], config: SceneConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Stems (S, n) and noise (n,), float32, and the level of each stem in dB."""
    count = round((config.duration + 2 * config.margin) * config.sample_rate)
    stems = np.zeros((len(parts), count), np.float32)
    levels = [float("-inf")] * len(parts)
    for number, part in enumerate(parts):
        level = float(rng.uniform(*config.level_db))
        if part.source.sounding:
            sound = part.performance.render(config.sample_rate)[:count]
            gain = REFERENCE_RMS * 10 ** (level / 20) / active_rms(sound, part, config)
            stems[number, : len(sound)] = gain * sound
            levels[number] = level
    noise = np.zeros(count, np.float32)
    if config.snr_db is not None:
        colour = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.95)], rng.standard_normal(count))
        target = stems.sum(0).std() or REFERENCE_RMS
        noise[:] = colour * target / colour.std() * 10 ** (-rng.uniform(*config.snr_db) / 20)
    peak = np.abs(stems).sum(0).max(initial=0) + np.abs(noise).max(initial=0)
    if peak > CEILING:
        stems, noise = stems * np.float32(CEILING / peak), noise * np.float32(CEILING / peak)
        levels = [level + float(20 * np.log10(CEILING / peak)) for level in levels]
    return stems, noise, levels


def active_rms(sound: np.ndarray, part: Part, config: SceneConfig) -> float:
    """RMS of a sound; of a single spoken name, over the time it is being said."""
    if part.source.kind == "name":
        word = part.performance.words[0]
        sound = sound[int(word.start * config.sample_rate) : int(word.end * config.sample_rate)]
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-8
