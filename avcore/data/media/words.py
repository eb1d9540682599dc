"""The names of classes, said by the synthesiser eSpeak NG in many voices: for training.

The people's recordings of the stamps are the test. Each utterance of a word has another speaker: an
accent of English, a voice, a speed and a pitch.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from avcore.data.media.apt import Progress
from avcore.data.media.cache import cache_folder, workplace
from avcore.data.media.cleaning import tidy
from avcore.data.media.folder import Spoken
from avcore.data.media.read import resampled
from avcore.data.media.synthesiser import Said, Speaker, say, say_all
from avcore.support import AvcoreError, MediaError, atomic_write, remove_leftovers

__all__ = ["COUNT", "CREDIT", "Said", "Speaker", "fetch", "load", "say", "share_out", "speaker"]

FOLDER, EDITION = "words", 1
RATE = 16_000  # Hz, of the utterances that are kept
COUNT = 36  # utterances of a word
ACCENTS = (
    *("en", "en-us", "en-gb-scotland", "en-gb-x-rp"),
    *("en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"),
)
VOICES = (
    *("m1", "f1", "m2", "f2", "m3", "f3", "m4", "f4", "m5", "f5", "m6", "m7", "m8"),
    *("Annie", "Andy", "belinda", "max", "linda", "john", "steph", "michael", "Alicia", "adam"),
)
T = TypeVar("T")
CREDIT = "Words for training: said by eSpeak NG (GNU General Public License version 3 or later)."


def speaker(number: int) -> Speaker:
    """The speaker of utterance `number`, the same for every word."""
    rng = np.random.default_rng(number)
    voice = f"{ACCENTS[number % len(ACCENTS)]}+{VOICES[number % len(VOICES)]}"
    return Speaker(voice, int(rng.integers(115, 195)), int(rng.integers(25, 75)))


def fetch(
    classes: Sequence[str],
    count: int = COUNT,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, list[Spoken]]:
    """The utterances of each class's name, said now unless they are in the cache.

    Utterance k is said by `speaker(k)`; a larger `count` adds to the same ones. Each class is
    kept in a file of its own, so an interrupted run goes on where it ended.

    Parameters
    ----------
    cache, progress
        As in `stamps.fetch`.

    Returns
    -------
    By class: `count` spoken names at 16 kHz, tidied (`cleaning.tidy`).

    Raises
    ------
    AvcoreError, MediaError
        As `say`; or the disk is full.
    """
    if count < 1:
        raise AvcoreError(f"count wants at least one utterance a word, got {count}")
    report = progress or (lambda what, fraction: None)
    root = cache_folder(cache)
    missing = [name for name in classes if _read(root, name, count) is None]
    if missing:
        with workplace(root, needed=100_000 * count):
            for number, name in enumerate(missing):
                report("words", number / len(missing))
                _make(root, name, count)
        report("words", 1.0)
    return load(classes, count, cache)


def load(
    classes: Sequence[str],
    count: int = COUNT,
    cache: str | Path | None = None,
    sample_rate: int = RATE,
) -> dict[str, list[Spoken]]:
    """As `fetch`, from the cache alone and at any rate (Hz).

    `MediaError` names the first class that has not been said.
    """
    found = {}
    for name in classes:
        spoken = _read(cache_folder(cache), name, count)
        if spoken is None:
            raise MediaError(f"{name!r} has not been said yet; run: avcore data words")
        found[name] = [replace(s, wave=resampled(s.wave, RATE, sample_rate)) for s in spoken]
    return found


def share_out(spoken: Sequence[T]) -> dict[str, list[T]]:
    """Utterances by split, so that no speaker is in two: of six, val and test have one each."""
    shares: dict[str, list[T]] = {"train": [], "val": [], "test": []}
    for number, utterance in enumerate(spoken):
        shares[{4: "val", 5: "test"}.get(number % 6, "train")].append(utterance)
    return shares


def _make(root: Path, name: str, count: int) -> None:
    """Say a name `count` times and keep it."""
    speakers = [speaker(number) for number in range(count)]
    waveforms, rate, _ = say_all([name] * count, speakers)
    waves = [tidy(resampled(wave, rate, RATE), RATE) for wave in waveforms]
    if not all(len(wave) for wave in waves):
        raise MediaError(f"espeak-ng says nothing for {name!r}")
    samples = np.rint(32767 * np.concatenate(waves).clip(-1, 1)).astype(np.int16)
    path = _path(root, name)
    remove_leftovers(path)
    with atomic_write(path, "wb") as file:
        np.savez_compressed(
            file,
            edition=EDITION,
            name=name,
            voices=[who.voice for who in speakers],
            lengths=[len(wave) for wave in waves],
            samples=samples,
        )


def _read(root: Path, name: str, count: int) -> list[Spoken] | None:
    """What is kept of a name; None when that is missing, less, damaged or of another edition."""
    try:
        with np.load(_path(root, name), allow_pickle=False) as file:
            if file["edition"] != EDITION or file["name"] != name or len(file["lengths"]) < count:
                return None
            ends = np.cumsum(file["lengths"])
            voices = file["voices"].tolist()
            samples = file["samples"].astype(np.float32) / 32767
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if len(samples) != ends[-1] or len(voices) != len(ends):
        return None
    waves = np.split(samples, ends[:-1])[:count]
    return [Spoken("en", voice, wave) for voice, wave in zip(voices, waves, strict=False)]


def _path(root: Path, name: str) -> Path:
    """A file name for any class name."""
    plain = re.sub(r"\W+", "_", name)[:40]
    return root / FOLDER / f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.npz"
