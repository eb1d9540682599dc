"""What a scene is: the pictures, the sound, and the whole truth about both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from avcore.support import AvcoreError, choose

CONTROL_RATE = 100  # Hz, the rate at which a performance says how strongly its source moves
SPLITS = ("train", "val", "test")
LAYOUTS = ("free", "collage")


@dataclass(frozen=True)
class SceneConfig:
    """The conditions a scene is drawn under; every pair is an inclusive (low, high) range.

    Attributes
    ----------
    size
        Height and width of a frame, pixels.
    frames, fps
        Frames of a clip and their rate in Hz; frame i shows the instant i / fps
        (a still, `frames=1`, shows an instant drawn at random within the clip).
    duration, sample_rate
        Length of the sound in s, and its sampling rate in Hz.
    margin
        Seconds of sound kept before and after the clip, for `Scene.window`.
    objects
        How many sources are visible; `sounding` of them are heard.
    offscreen
        How many further classes are heard but not seen.
    names
        How many of the visible objects are named by an unseen voice.
    talkers
        How many visible objects are talking faces (they count as objects and may sound).
    diameter
        Size of an object as a fraction of the frame.
    level_db
        Level of each sounding source, dB; 0 dB is an RMS of 0.05.
    snr_db
        Signal-to-noise ratio of added coloured noise in dB, or None for a clean sound.
    layout
        "free" (placed anywhere, little overlap) or "collage" (the 2×2 tiles of CSOL).
    distinct
        Whether the sources of a scene are all of different classes.
    travel
        How far an object may move during the clip, as a fraction of the frame; 0 stays in place.
    presence
        The chance that an object is in view in a given frame; each is at least once. Its sound
        goes on when it is not (see `Source.present`).
    kind
        A name that enters the random stream: scenes of different kinds share nothing, scenes of
        one kind with different conditions show the same objects where their numbers agree.
    """

    size: int = 96
    frames: int = 1
    fps: float = 16.0
    duration: float = 1.0
    sample_rate: int = 16_000
    margin: float = 0.0
    objects: tuple[int, int] = (2, 2)
    sounding: tuple[int, int] = (1, 1)
    offscreen: tuple[int, int] = (0, 0)
    names: tuple[int, int] = (0, 0)
    talkers: tuple[int, int] = (0, 0)
    diameter: tuple[float, float] = (0.34, 0.5)
    level_db: tuple[float, float] = (-3.0, 3.0)
    snr_db: tuple[float, float] | None = None
    layout: str = "free"
    distinct: bool = True
    travel: float = 0.0
    presence: float = 1.0
    kind: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise AvcoreError(f"{field.name} wants (low, high), got {value}")
        if min(self.size, self.frames, self.fps, self.duration, self.sample_rate) <= 0:
            raise AvcoreError("size, frames, fps, duration and sample_rate must be positive")
        choose(LAYOUTS, self.layout, "layout")
        if self.objects[0] < 1 or self.objects[1] > 6:
            raise AvcoreError(f"objects wants 1 to 6, got {self.objects}")
        for name in ("sounding", "talkers", "names"):
            low, high = getattr(self, name)
            if low < 0 or high > self.objects[0]:
                raise AvcoreError(
                    f"{name} wants 0 to {self.objects[0]}, the fewest objects of a scene, "
                    f"got {(low, high)}"
                )
        if not (0 <= self.travel <= 1 and 0 < self.presence <= 1):
            raise AvcoreError(
                f"travel wants 0 to 1 and presence more than 0 and at most 1, "
                f"got {self.travel} and {self.presence}"
            )
        if self.frames == 1 and (self.travel or self.presence < 1):
            raise AvcoreError("a still cannot travel, come or go; it wants several frames")
        if self.layout == "collage" and self.objects != (4, 4):
            raise AvcoreError(f"a collage shows exactly 4 objects, got {self.objects}")


@dataclass(frozen=True)
class Word:
    """One spoken word: its text, its class, and when it is said (s from the clip's start)."""

    text: str
    class_id: int
    start: float
    end: float


@dataclass(frozen=True)
class Performance:
    """What a source does over time: how it moves, and the sound that goes with it.

    Attributes
    ----------
    drive
        (n,) float32 in [0, 1] at `CONTROL_RATE`: how strongly the source moves.
    onsets
        (k,) float64, s from the performance's start: when its events begin.
    render
        Called with a sample rate, gives the waveform, (duration · rate,) float32.
        Never called for a source that is not heard.
    words
        The words said, with times from the performance's start.
    voice
        Whose voice it is ("low 3", or a language of recorded words); empty for other sounds.
    """

    drive: np.ndarray
    onsets: np.ndarray
    render: Callable[[int], np.ndarray]
    words: tuple[Word, ...] = ()
    voice: str = ""


class Sprite(Protocol):
    """What a source looks like: a function from its own coordinates to colour and coverage."""

    def __call__(
        self, u: np.ndarray, v: np.ndarray, drive: np.ndarray, pixel: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw at points (u right, v down; the object fills about [-1, 1]²).

        `u`, `v` are (T, h, w) float32, `drive` is (T, 1, 1), `pixel` is the width of a pixel in
        the same units. Returns rgb (T, h, w, 3) and alpha (T, h, w), float32 in [0, 1].
        """


class AssetBank(Protocol):
    """Where looks, sounds and spoken names come from; all draws use `rng` and `split` alone."""

    name: str
    classes: tuple[str, ...]
    credit: str

    def sprite(self, class_id: int, rng: np.random.Generator, split: str) -> Sprite:
        """One look of the class."""

    def performance(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        """One performance of the class: its motion and its sound over `duration` s."""

    def speak(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        """The class's spoken name, said once by some voice within `duration` s."""


class TalkingBank(AssetBank, Protocol):
    """An asset bank that has talking faces besides."""

    def talker(
        self, rng: np.random.Generator, split: str, duration: float
    ) -> tuple[Sprite, Performance]:
        """A face whose mouth follows its voice, over `duration` s."""


@dataclass(frozen=True)
class Source:
    """The truth about one source of a scene.

    Attributes
    ----------
    kind
        "object" (a class and its sound), "talker" (a face that speaks) or "name" (an unseen
        voice that says the name of `class_id`).
    visible, sounding
        Whether it is seen, and whether it is heard.
    level_db
        Its level in dB re. an RMS of 0.05; -inf when it is not heard.
    onsets, words
        When its events and words begin, s from the clip's start (also outside the clip, in the
        margin). A silent source has onsets too: of its motion.
    drive
        (T,) float32: how strongly it moves in each frame.
    voice
        Whose voice it is; empty for sources that do not speak.
    present
        (T,) bool: the frames in which it is in view, whether or not another hides it.
    """

    kind: str
    class_id: int
    name: str
    visible: bool
    sounding: bool
    level_db: float
    onsets: np.ndarray
    words: tuple[Word, ...]
    drive: np.ndarray
    voice: str
    present: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Pictures, sound and truth; arrays of sources share the order of `sources`.

    Attributes
    ----------
    frames
        (T, H, W, 3) uint8.
    waveform
        (n,) float32 in [-1, 1]: the sum of `stems` and `noise` over the clip.
    stems
        (S, n + 2m) float32, each source alone, with the margin; zeros for silent ones.
    noise
        (n + 2m,) float32.
    masks
        (S, T, H, W) bool: the pixels where each source is seen (not hidden by another).
    """

    frames: np.ndarray
    stems: np.ndarray
    noise: np.ndarray
    masks: np.ndarray
    sources: tuple[Source, ...]
    times: np.ndarray
    config: SceneConfig

    @property
    def waveform(self) -> np.ndarray:
        return self.window(0.0)

    def window(self, shift: float) -> np.ndarray:
        """The sound of a clip that starts `shift` s later; |shift| is at most the margin."""
        config = self.config
        if abs(shift) > config.margin + 1e-9:
            raise AvcoreError(f"a shift of {shift} s is beyond the margin of {config.margin} s")
        start = round((config.margin + shift) * config.sample_rate)
        stop = start + round(config.duration * config.sample_rate)
        return self.stems[:, start:stop].sum(0) + self.noise[start:stop]

    def mask(self, *, sounding: bool | None = None, class_id: int | None = None) -> np.ndarray:
        """Union (T, H, W) of the visible sources that match what is given."""
        chosen = [
            (sounding is None or source.sounding == sounding)
            and (class_id is None or source.class_id == class_id)
            for source in self.sources
        ]
        return np.logical_or.reduce(self.masks[chosen])

    def boxes(self) -> np.ndarray:
        """(S, T, 4) int: x0, y0, x1, y1 in pixels (end excluded), zeros where not seen."""
        out = np.zeros((*self.masks.shape[:2], 4), dtype=np.int64)
        for index in np.ndindex(*out.shape[:2]):
            rows = np.flatnonzero(self.masks[index].any(1))
            columns = np.flatnonzero(self.masks[index].any(0))
            if len(rows):
                out[index] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        return out
