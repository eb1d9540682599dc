"""Pictures, sound and numbers in the small forms that a page can hold."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy as np

from avcore.support import AvcoreError, require

CEILING = 0.98  # the largest sample a player is given, of full scale


def to_numpy(value: Any) -> np.ndarray:
    """A tensor on any device, or anything like an array, as a numpy array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def finite(array: np.ndarray, what: str) -> np.ndarray:
    """`array` itself, or an error that counts its values that are no numbers."""
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise AvcoreError(f"{what} holds {bad} values that are not finite (NaN or infinity)")
    return array


def as_waveform(value: Any, what: str = "a waveform") -> np.ndarray:
    """Sound as (samples,) float32; (1, samples) is taken too.

    Raises
    ------
    AvcoreError
        For another shape, no samples, or values that are not finite.
    """
    array = to_numpy(value).astype(np.float32)
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 1 or not array.size:
        raise AvcoreError(f"{what} wants shape (samples,), got {to_numpy(value).shape}")
    return finite(array, what)


def check_rate(sample_rate: float) -> None:
    """An error unless a sampling rate, Hz, is positive."""
    if sample_rate <= 0:
        raise AvcoreError(f"a sampling rate must be positive, got {sample_rate} Hz")


def as_pictures(value: Any, ndim: int, what: str = "pictures") -> np.ndarray:
    """Pictures as (..., H, W, 3) uint8 with `ndim` axes.

    Takes colours last or second of the picture's three axes, (3, H, W); uint8, or floats in
    [0, 1].

    Raises
    ------
    AvcoreError
        For another shape or another range.
    """
    array = to_numpy(value)
    if array.ndim == ndim and array.shape[-1] != 3 and array.shape[-3] == 3:
        array = np.moveaxis(array, -3, -1)
    if array.ndim != ndim or array.shape[-1] != 3 or not array.size:
        axes = ("(H, W, 3)", "(N, H, W, 3)", "(N, T, H, W, 3)")[ndim - 3]
        raise AvcoreError(f"{what} want shape {axes}, got {to_numpy(value).shape}")
    if array.dtype == np.uint8:
        return array
    finite(array, what)
    if array.min() < 0 or array.max() > 1:
        low, high = float(array.min()), float(array.max())
        raise AvcoreError(f"{what} want floats in [0, 1] or uint8, got {low:.3g} to {high:.3g}")
    return (array * 255).round().astype(np.uint8)


def base64_of(data: bytes | np.ndarray) -> str:
    """Bytes as base64 text."""
    raw = data.tobytes() if isinstance(data, np.ndarray) else data
    return base64.b64encode(raw).decode("ascii")


def png_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a `data:` address."""
    image = require("PIL.Image", "viz").fromarray(np.ascontiguousarray(picture))
    if (picture[..., :1] == picture).all():
        image = image.convert("L")  # a grey picture needs a third of the bytes
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64_of(file.getvalue())}"


def picture_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a `data:` address: PNG, or JPEG above 128 pixels."""
    return png_uri(picture) if max(picture.shape[:2]) <= 128 else jpeg_uri(picture)


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 as a `data:` address of a JPEG."""
    file = io.BytesIO()
    require("PIL.Image", "viz").fromarray(picture).save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64_of(file.getvalue())}"


def guard(*waveforms: np.ndarray) -> float:
    """The gain (at most 1) that keeps all of `waveforms` below `CEILING`."""
    peak = max(float(np.abs(waveform).max()) for waveform in waveforms)
    return min(1.0, CEILING / peak) if peak else 1.0


def wav_uri(waveform: np.ndarray, sample_rate: int, gain: float = 1.0) -> str:
    """Sound (samples,) as a `data:` address of a 16-bit WAV file."""
    pcm = (np.clip(waveform * gain, -1, 1) * 32767).round().astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(int(sample_rate))
        sink.writeframes(pcm.tobytes())
    return f"data:audio/wav;base64,{base64_of(file.getvalue())}"


def envelope(waveform: np.ndarray, bins: int = 750) -> np.ndarray:
    """The least and greatest sample of each of at most `bins` equal stretches, (bins, 2)."""
    edges = np.linspace(0, len(waveform), min(bins, len(waveform)) + 1).astype(int)[:-1]
    low, high = np.minimum.reduceat(waveform, edges), np.maximum.reduceat(waveform, edges)
    return np.stack([low, high], 1)


def mean_pool(array: np.ndarray, limit: int) -> np.ndarray:
    """Average neighbours along the last axis until at most `limit` values are left."""
    n = array.shape[-1]
    if n <= limit:
        return array
    edges = np.linspace(0, n, limit + 1).astype(int)
    return np.add.reduceat(array, edges[:-1], axis=-1) / np.diff(edges)
