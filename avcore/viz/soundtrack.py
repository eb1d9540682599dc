"""The sound half of a player: tracks to choose from, their waveform and spectrogram."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from avcore.viz.encode import base64_of, envelope, guard, wav_uri
from avcore.viz.forest import ticks
from avcore.viz.sound import RANGE_DB, Spectrum, hertz, spectrum
from avcore.viz.theme import SOUND_SCALE, colour_table
from avcore.viz.view import text

COLUMNS = 500  # stretches of the waveform, as drawn


@dataclass(frozen=True)
class Track:
    """One sound to listen to: its label in HTML, already escaped, and its samples (n,).

    A secret one says who sounds, and is offered only while the player shows the truth.
    """

    label: str
    sound: np.ndarray
    secret: bool = False


@dataclass(frozen=True)
class Soundtrack:
    """The tracks of one player, all as long as the first, with one gain and one scale.

    Attributes
    ----------
    tracks
        The first is the one that plays at first.
    sample_rate
        Hz.
    with_spectrum
        Whether spectrograms are shown.
    """

    tracks: tuple[Track, ...]
    sample_rate: int
    with_spectrum: bool = True

    @property
    def seconds(self) -> float:
        """Length of the first track, s."""
        return len(self.tracks[0].sound) / self.sample_rate

    @property
    def gain(self) -> float:
        """At most 1: what keeps every track from clipping."""
        return guard(*(track.sound for track in self.tracks))

    @cached_property
    def spectra(self) -> list[Spectrum]:
        """The spectrum of each track, or none of any."""
        return [spectrum(t.sound, self.sample_rate) for t in self.tracks if self.with_spectrum]

    def data(self) -> dict:
        """What player.js draws and plays."""
        made = [{"wave": self._wave(track.sound)} for track in self.tracks]
        for track, entry in zip(self.tracks[1:], made[1:], strict=True):
            entry["src"] = wav_uri(track.sound, self.sample_rate, self.gain)
        for each, entry in zip(self.spectra, made, strict=False):
            entry["spec"] = _levels(each, self.spectra[0].peak)
        data = {"duration": self.seconds, "tracks": made}
        return data | (_axes(self.spectra[0]) if self.spectra else {})

    def plots_html(self, lanes: str = "", mark: str = "") -> str:
        """Places for waveform, spectrogram and time axis; `lanes` and `mark` are further HTML."""
        picture = ""
        if self.spectra:
            first = self.spectra[0]
            frequencies = "".join(
                f'<span style="bottom:{100 * (at + 0.5) / len(first.hz):.1f}%">{hertz(hz)}</span>'
                for at, hz in first.ticks((250, 1000, 4000))
            )
            drawing = '<canvas role="img" aria-label="Spectrogram of the sound"></canvas>'
            picture = f'<div class="av-spec">{drawing}{frequencies}</div>'
        times = "".join(
            f'<span style="left:{100 * at / self.seconds:.2f}%">{at:g} s</span>'
            for at in ticks(0, self.seconds)
        )
        return (
            '<div class="av-plots"><div class="av-wave">'
            '<svg preserveAspectRatio="none" aria-hidden="true"><path/></svg></div>'
            f'{picture}{lanes}{mark}<div class="av-cursor"></div>'
            '<span class="av-readout" aria-hidden="true"></span></div>'
            f'<div class="av-axis" aria-hidden="true">{times}</div>'
        )

    def audio_html(self, words: str) -> str:
        """The audio element with the first track, and a note where the gain is below 1."""
        source = wav_uri(self.tracks[0].sound, self.sample_rate, self.gain)
        note = ""
        if self.gain < 1:
            less = -20 * math.log10(self.gain)
            note = f'<p class="av-note">Played {less:.1f} dB quieter, so that it does not clip.</p>'
        label = text(f"Sound of {words}")
        return f'<audio controls preload="auto" aria-label="{label}" src="{source}"></audio>{note}'

    def choices_html(self) -> str:
        """Radio buttons for the tracks, or nothing where there is one."""
        if len(self.tracks) == 1:
            return ""
        buttons = "".join(
            f'<label><input type="radio" name="{{id}}-track" value="{i}"'
            f"{' checked' if i == 0 else ''}><span>{track.label}</span></label>"
            for i, track in enumerate(self.tracks)
        )
        kind = "av-tracks av-secret" if any(track.secret for track in self.tracks) else "av-tracks"
        return f'<fieldset class="{kind}"><legend>Listen to</legend>{buttons}</fieldset>'

    def _wave(self, sound: np.ndarray) -> str:
        limit = max(float(np.abs(self.tracks[0].sound).max()), 1e-4)
        pairs = np.clip(envelope(sound, COLUMNS) / limit, -1, 1)
        return base64_of((pairs * 127).round().astype(np.int8))


def _levels(made: Spectrum, reference: float) -> str:
    """Levels as bytes, 0 for silence and 255 for `reference` dB, high bands first."""
    level = made.below(reference)[::-1] / RANGE_DB + 1
    return base64_of((level * 255).round().astype(np.uint8))


def _axes(made: Spectrum) -> dict:
    bands, columns = made.level_db.shape
    return {
        "bands": bands,
        "columns": columns,
        "range": RANGE_DB,
        "hz": made.hz.round().astype(int).tolist(),
        "palette": base64_of(colour_table(SOUND_SCALE)),
    }
