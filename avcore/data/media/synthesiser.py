"""Saying texts with the synthesiser eSpeak NG, each time in a fresh process (`espeak.py`).

The library comes from the package `espeakng-loader` (extra `speech`, which brings the voices too)
or, without it, from an installed `espeak-ng`. Nothing asks the network.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avcore.data.media.cleaning import FRAME_RATE, active, envelope
from avcore.support import AvcoreError, MediaError

SPEEDS, PITCHES = (80, 450), (0, 99)  # words a minute; eSpeak's own scale
PATIENCE = 120  # s


class Said(NamedTuple):
    """An utterance: (n,) float32 at `rate` Hz, and from when to when each word is heard, s."""

    waveform: np.ndarray
    rate: int
    times: list[tuple[float, float]]


@dataclass(frozen=True)
class Speaker:
    """Who says a text: a voice ("en-us+f3"), a speed (words a minute) and a pitch (0 to 99)."""

    voice: str
    speed: int
    pitch: int


def say(text: str, voice: str = "en-us", speed: int = 160, pitch: int = 50) -> Said:
    """Say a text.

    Parameters
    ----------
    voice
        A language of eSpeak NG, with an accent and a voice if wanted: "fr", "en-us+f3".
    speed
        Words a minute, 80 to 450.
    pitch
        0 to 99.

    Raises
    ------
    AvcoreError
        A text that is empty or no text, a speed or pitch out of range.
    MediaError
        eSpeak NG is not there, has no such voice, or could not say it.
    """
    (waveform,), rate, (starts,) = say_all([text], [Speaker(voice, speed, pitch)])
    return Said(waveform, rate, _times(waveform, rate, starts))


def say_all(
    texts: Sequence[str], speakers: Sequence[Speaker]
) -> tuple[list[np.ndarray], int, list[list[float]]]:
    """Say each text by its speaker: waveforms, their rate, and when the words of each begin, s."""
    for text, who in zip(texts, speakers, strict=True):
        _check(text, who)
    library, voices = _library()
    utterances = [
        {"text": text, "voice": who.voice, "speed": who.speed, "pitch": who.pitch}
        for text, who in zip(texts, speakers, strict=True)
    ]
    request = {"library": library, "voices": voices, "utterances": utterances}
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("espeak.py"))]
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=PATIENCE
        )
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise MediaError(answer["error"])
        waveforms = [np.frombuffer(base64.b64decode(s["samples"]), "<i2") for s in answer["said"]]
        starts = [said["words"] for said in answer["said"]]
    except (subprocess.TimeoutExpired, KeyError, binascii.Error, json.JSONDecodeError) as error:
        raise MediaError(f"espeak-ng gave no answer to {texts[0]!r}") from error
    if not all(map(len, waveforms)) or not all(starts):
        raise MediaError(f"espeak-ng could not say {texts[0]!r}")
    return [wave.astype(np.float32) / 32768 for wave in waveforms], answer["rate"], starts


def _check(text: str, who: Speaker) -> None:
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise AvcoreError(f"a text to say is wanted, got {text!r}")
    for what, (low, high) in (("speed", SPEEDS), ("pitch", PITCHES)):
        value = getattr(who, what)
        if not low <= value <= high:
            raise AvcoreError(f"{what} must lie within {low} and {high}, got {value}")


def _library() -> tuple[str, str | None]:
    """The library of eSpeak NG and its voices (None: where they were installed)."""
    if importlib.util.find_spec("espeakng_loader") is not None:
        import espeakng_loader

        return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    path = find_library("espeak-ng")
    if path is None:
        raise MediaError("words are said by espeak-ng; run: pip install 'avcore[speech]'")
    return path, None


def _times(waveform: np.ndarray, rate: int, starts: Sequence[float]) -> list[tuple[float, float]]:
    """From when to when each word is heard: within its stretch, without the silence around it."""
    heard = np.flatnonzero(active(envelope(waveform, rate))) / FRAME_RATE
    times = []
    for start, stop in zip(starts, [*starts[1:], len(waveform) / rate], strict=True):
        within = heard[(heard >= start) & (heard < stop)]
        times.append((within[0], within[-1] + 1 / FRAME_RATE) if len(within) else (start, stop))
    return [(float(start), float(stop)) for start, stop in times]
