"""Sound as numbers: against sums by hand, and what silence and bad input give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchaudio

from avcore import audio
from avcore.audio import istft, log_mel, mel_filters, resample, rms_db, set_level, stft
from avcore.support import AvcoreError

RATE = 16_000


def tone(frequency: float, rate: int = RATE, seconds: float = 1.0) -> torch.Tensor:
    return torch.sin(2 * torch.pi * frequency * torch.arange(round(seconds * rate)) / rate)


def test_a_frame_of_the_stft_is_a_windowed_fourier_sum():
    sound = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = stft(sound, n_fft=64, hop=16)
    frame, bin_ = 40, 7
    piece = sound[frame * 16 - 32 : frame * 16 + 32].numpy()
    n = np.arange(64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 64)
    expected = np.sum(piece * window * np.exp(-2j * np.pi * bin_ * n / 64))
    assert abs(spectrum[bin_, frame].item() - expected) < 1e-9
    assert spectrum.shape == (33, 2000 // 16 + 1)


def test_the_stft_can_be_undone():
    sound = torch.randn(2, 3, 4000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(istft(stft(sound), length=4000), sound, atol=1e-5, rtol=0)


def test_log_mel_is_filters_times_power():
    sound = tone(1000)
    power = stft(sound).abs() ** 2
    filters = mel_filters(400, 64, RATE, 60.0, 8000.0)
    expected = torch.stack([torch.log((f[:, None] * power).sum(0) + 1e-6) for f in filters.T])
    torch.testing.assert_close(log_mel(sound), expected, atol=1e-4, rtol=1e-4)
    assert log_mel(sound).shape == (64, 101)


@pytest.mark.parametrize("frequency", [200, 1000, 5000])
def test_a_tone_lights_the_band_it_lies_in(frequency):
    band = log_mel(tone(frequency)).mean(1).argmax()
    mels = torch.linspace(*(2595 * math.log10(1 + f / 700) for f in (60, 8000)), 66)
    centre = 700 * (10 ** (mels[band + 1] / 2595) - 1)
    assert abs(centre - frequency) < max(0.08 * frequency, 40)  # a bin of the transform is 40 Hz


def test_levels():
    assert rms_db(tone(440)).item() == pytest.approx(20 * math.log10(math.sqrt(0.5)), abs=1e-3)
    assert rms_db(set_level(tone(440), -30)).item() == pytest.approx(-30, abs=1e-3)
    quiet = set_level(1e-7 * tone(440), -30)  # -143 dB, which gets the gain of -120 dB
    assert rms_db(quiet).item() == pytest.approx(-53.01, abs=0.01)


def test_silence_is_finite():
    silence = torch.zeros(RATE)
    assert rms_db(silence).item() == pytest.approx(-120)
    assert set_level(silence, -20).equal(silence)
    assert log_mel(silence).unique().item() == pytest.approx(math.log(1e-6), abs=1e-4)


def test_resampling_keeps_a_tone():
    faster = resample(tone(440), RATE, 22_050)
    torch.testing.assert_close(faster[500:-500], tone(440, 22_050)[500:-500], atol=5e-3, rtol=0)


@pytest.mark.parametrize("rates", [(44_100, 16_000), (48_000, 44_100), (8_000, 16_000)])
def test_usual_rates_are_resampled_by_torchaudio(rates):
    sound = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    assert resample(sound, *rates).equal(torchaudio.functional.resample(sound, *rates))


@pytest.mark.parametrize("rates", [(1601, 800), (800, 1601), (160, 441), (7, 2)])
def test_resampling_in_blocks_equals_torchaudio(rates, monkeypatch):
    sound = torch.randn(2, 3, 900, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    monkeypatch.setattr(audio, "LARGEST_FILTER", 0)
    monkeypatch.setattr(audio, "BLOCK", 5000)  # several blocks
    expected = torchaudio.functional.resample(sound, *rates)
    torch.testing.assert_close(resample(sound, *rates), expected, rtol=0, atol=1e-9)


def test_coprime_rates_need_little_memory_and_keep_a_tone(monkeypatch):
    monkeypatch.setattr(audio, "_resample", None)  # its filter would have billions of weights
    rate = 44_101
    slower = resample(tone(440, rate), rate, RATE)
    torch.testing.assert_close(slower[500:-500], tone(440)[500:-500], atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_mel(torch.full((RATE,), math.nan)), "not finite"),
        (lambda: log_mel(torch.full((RATE,), math.inf)), "not finite"),
        (lambda: log_mel(torch.full((RATE,), 1e30)), "too loud"),
        (lambda: log_mel(torch.zeros(100)), "too short"),
        (lambda: log_mel(torch.zeros(RATE, dtype=torch.int16)), "floating-point"),
        (lambda: log_mel(torch.zeros(RATE), f_max=9000), "do not fit"),
        (lambda: resample(torch.zeros(10), 0, RATE), "must be positive whole numbers"),
        (lambda: resample(torch.zeros(10), 44_100.5, RATE), "must be positive whole numbers"),
        (lambda: resample(torch.zeros(10), 2**31 - 1, RATE), "too far apart"),
        (lambda: resample(torch.zeros(10), 1, RATE), "too far apart"),
        (lambda: resample(torch.zeros(2, 0), 8000, RATE), "without samples cannot be resampled"),
    ],
)
def test_bad_sounds_are_refused(call, message):
    with pytest.raises(AvcoreError, match=message):
        call()
