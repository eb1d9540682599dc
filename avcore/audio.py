"""Sound as numbers: levels, resampling, the short-time Fourier transform and the log-mel picture.

All functions take torch tensors whose last axis is time and work on any leading axes and device.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torchaudio.functional import melscale_fbanks
from torchaudio.functional import resample as _resample

from avcore.support import AvcoreError

FLOOR = 1e-6  # power added before every logarithm, so that silence is finite
LOBES, ROLL_OFF = 6, 0.99  # of the windowed sinc, as in torchaudio
LARGEST_FILTER = 2**24  # weights that `resample` may keep at once
BLOCK = 2**22  # products that it computes at a time otherwise
FARTHEST = 1000  # two rates may differ by this factor


def _waveform(waveform: torch.Tensor) -> torch.Tensor:
    if not torch.is_floating_point(waveform) or waveform.ndim == 0:
        raise AvcoreError("a waveform is a floating-point tensor (..., samples)")
    if not torch.isfinite(waveform).all():
        raise AvcoreError("the waveform has samples that are not finite")
    return waveform


def rms_db(waveform: torch.Tensor) -> torch.Tensor:
    """Level in dB re. full scale, 20·log10 of the root mean square; (..., n) -> (...).

    Silence gives -120 dB.
    """
    return 10 * torch.log10(_waveform(waveform).square().mean(-1).clamp_min(1e-12))


def set_level(waveform: torch.Tensor, level_db: float) -> torch.Tensor:
    """Scale each sound to an RMS of `level_db` dB re. full scale; silence stays silence.

    Below -120 dB, where `rms_db` ends, a sound gets the gain of one at -120 dB and stays below the
    level.
    """
    gain = 10 ** ((level_db - rms_db(waveform)) / 20)
    silent = waveform.abs().amax(-1) == 0
    return waveform * torch.where(silent, torch.ones_like(gain), gain)[..., None]


def resample(waveform: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    """Change the sampling rate (Hz) by windowed-sinc interpolation, (..., n) -> (..., n').

    torchaudio keeps one filter per phase of the output. Rates with a small common divisor would
    need billions of weights; their filters are then computed block by block.

    Raises
    ------
    AvcoreError
        When a rate is not a positive whole number, one is more than `FARTHEST` times the other, or
        the sound has no samples.
    """
    if min(from_rate, to_rate) <= 0 or from_rate % 1 or to_rate % 1:
        raise AvcoreError(
            f"sampling rates must be positive whole numbers, got {from_rate} and {to_rate} Hz"
        )
    if max(from_rate, to_rate) > FARTHEST * min(from_rate, to_rate):
        raise AvcoreError(
            f"{from_rate} and {to_rate} Hz are too far apart: at most a factor of {FARTHEST}"
        )
    if not _waveform(waveform).shape[-1]:
        raise AvcoreError("a sound without samples cannot be resampled")
    common = math.gcd(int(from_rate), int(to_rate))
    old, new = int(from_rate) // common, int(to_rate) // common
    if new * (old + 2 * _reach(old, new)) <= LARGEST_FILTER:
        return _resample(waveform, from_rate, to_rate)
    return _resample_in_blocks(waveform, old, new)


def _reach(old: int, new: int) -> int:
    """Samples on each side of an output sample that the filter sees."""
    return math.ceil(LOBES * old / (ROLL_OFF * min(old, new)))


def _resample_in_blocks(waveform: torch.Tensor, old: int, new: int) -> torch.Tensor:
    """torchaudio's interpolation with the weights of each output sample computed when needed."""
    count, reach = waveform.shape[-1], _reach(old, new)
    padded = torch.nn.functional.pad(waveform, (reach, reach))
    offsets = torch.arange(-reach, reach + 1, device=waveform.device)
    cutoff = ROLL_OFF * min(old, new) / old  # in cycles per two input samples
    parts = []
    block = max(BLOCK // (len(offsets) * max(waveform[..., :1].numel(), 1)), 1)
    for outputs in torch.arange(-(-count * new // old)).split(block):
        outputs = outputs.to(waveform.device)
        nearest = outputs * old // new  # the input sample at or before each output sample
        phase = (outputs * old % new).double() / new
        t = ((offsets - phase[:, None]) * cutoff).clamp(-LOBES, LOBES)
        weights = cutoff * torch.sinc(t) * torch.cos(t * math.pi / LOBES / 2) ** 2
        inputs = padded[..., nearest[:, None] + offsets + reach]  # (..., block, 2·reach + 1)
        parts.append((inputs * weights.to(waveform.dtype)).sum(-1))
    return torch.cat(parts, -1)


def stft(waveform: torch.Tensor, n_fft: int = 400, hop: int = 160) -> torch.Tensor:
    """Short-time Fourier transform, Hann window; (..., n) -> (..., n_fft/2+1, frames) complex.

    Frame k is centred on sample k·hop (the ends are reflected), so frames = n // hop + 1.

    Raises
    ------
    AvcoreError
        When the sound is shorter than half a window.
    """
    if _waveform(waveform).shape[-1] <= n_fft // 2:
        raise AvcoreError(
            f"a sound of {waveform.shape[-1]} samples is too short for windows of {n_fft}"
        )
    window = torch.hann_window(n_fft, dtype=waveform.dtype, device=waveform.device)
    flat = waveform.reshape(-1, waveform.shape[-1])
    out = torch.stft(flat, n_fft, hop, window=window, return_complex=True)
    return out.reshape(*waveform.shape[:-1], *out.shape[-2:])


def istft(
    spectrum: torch.Tensor, n_fft: int = 400, hop: int = 160, length: int | None = None
) -> torch.Tensor:
    """Back from `stft` to the waveform, (..., n_fft/2+1, frames) -> (..., length)."""
    window = torch.hann_window(n_fft, dtype=spectrum.real.dtype, device=spectrum.device)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    out = torch.istft(flat, n_fft, hop, window=window, length=length)
    return out.reshape(*spectrum.shape[:-2], out.shape[-1])


@lru_cache(maxsize=16)
def mel_filters(
    n_fft: int, n_mels: int, sample_rate: int, f_min: float, f_max: float
) -> torch.Tensor:
    """Triangular filters on the HTK mel scale, (n_fft/2+1, n_mels), each with a peak of 1."""
    return melscale_fbanks(n_fft // 2 + 1, f_min, f_max, n_mels, sample_rate)


def log_mel(
    waveform: torch.Tensor,
    sample_rate: int = 16_000,
    n_fft: int = 400,
    hop: int = 160,
    n_mels: int = 64,
    f_min: float = 60.0,
    f_max: float | None = None,
) -> torch.Tensor:
    """Natural logarithm of the power in mel bands; (..., n) -> (..., n_mels, n // hop + 1).

    Parameters
    ----------
    waveform
        Float, at `sample_rate` Hz.
    n_fft, hop
        Window and step in samples; the defaults are 25 ms and 10 ms at 16 kHz.
    f_min, f_max
        Range of the bands in Hz; `f_max` is half the sampling rate when None.

    Raises
    ------
    AvcoreError
        For a sound that is too short, too loud or not finite, or bands outside the spectrum.
    """
    f_max = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise AvcoreError(
            f"mel bands from {f_min} to {f_max} Hz do not fit a sampling rate of {sample_rate} Hz"
        )
    power = stft(waveform, n_fft, hop).abs().square()
    filters = mel_filters(n_fft, n_mels, sample_rate, float(f_min), float(f_max))
    bands = power.transpose(-1, -2) @ filters.to(power)
    if not torch.isfinite(bands).all():
        raise AvcoreError("the waveform is too loud: its power in a band is not finite")
    return torch.log(bands + FLOOR).transpose(-1, -2)
