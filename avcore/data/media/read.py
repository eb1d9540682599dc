"""Pictures and sounds from files, as arrays; a file that cannot be used says why in a sentence."""

from __future__ import annotations

import os
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from avcore.support import MediaError, require

PICTURES = (".png", ".webp", ".gif", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
SOUNDS = (".wav", ".ogg", ".oga", ".flac", ".opus", ".mp3", ".aif", ".aiff")
BY_CONTAINER = (".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm", ".avi", ".wma")  # read by PyAV


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as (H, W, 4) uint8 RGBA; one without alpha is opaque, a grey one becomes RGB.

    Raises
    ------
    MediaError
        The file is missing, empty, corrupt or no picture.
    """
    image, _ = _open_image(Path(path))
    return image


def read_cutout(path: str | Path) -> np.ndarray:
    """Read a picture of one object on a transparent ground, (H, W, 4) uint8 RGBA.

    Raises
    ------
    MediaError
        As `read_image`; or the picture has no alpha, or its alpha leaves everything or nothing.
    """
    image, has_alpha = _open_image(Path(path))
    opaque = (image[..., 3] > 127).mean()
    if not has_alpha or opaque == 1:
        raise MediaError(f"{path}: no alpha, so the object cannot be told from its background")
    if opaque == 0:
        raise MediaError(f"{path}: the alpha is transparent everywhere, so there is no object")
    return image


def _open_image(path: Path) -> tuple[np.ndarray, bool]:
    _must_have_content(path)
    pillow = require("PIL.Image", "media")
    try:
        with pillow.open(path) as image:
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip
                eight = np.rint(np.asarray(image, np.float32).clip(0, 65535) / 257)
                image = pillow.fromarray(eight.astype(np.uint8))
            return np.asarray(image.convert("RGBA")), has_alpha
    except (OSError, SyntaxError, ValueError, EOFError, pillow.DecompressionBombError) as error:
        raise MediaError(f"{path}: not a whole picture ({_first_line(error)})") from error


def read_audio(path: str | Path, sample_rate: int | None = None) -> np.ndarray:
    """Read a sound, or the sound of a video, as mono: (n,) float32, channels averaged.

    Parameters
    ----------
    path
        A WAV, OGG, FLAC or MP3 file (read by soundfile), or a container such as MP4 (by PyAV).
    sample_rate
        The rate to resample to, Hz; the file's own rate when None.

    Raises
    ------
    MediaError
        The file is missing, empty, corrupt, cut short (this is not noticed of MP3 and containers),
        has no sound or samples that are no number.
    """
    path = Path(path)
    _must_have_content(path)
    decode = _decode_container if path.suffix.lower() in BY_CONTAINER else _decode_file
    samples, rate = decode(path)
    if len(samples) == 0:
        raise MediaError(f"{path}: has no sound in it")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: has samples that are not finite numbers")
    return resampled(samples, rate, sample_rate or rate)


def resampled(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sampling rate of (n,) samples, Hz to Hz, with a polyphase low-pass filter."""
    if from_rate == to_rate:
        return samples.astype(np.float32)
    common = gcd(from_rate, to_rate)
    return resample_poly(samples, to_rate // common, from_rate // common).astype(np.float32)


def _decode_file(path: Path) -> tuple[np.ndarray, int]:
    soundfile = require("soundfile", "media")
    if path.suffix.lower() in (".ogg", ".oga", ".opus"):
        _must_end_well(path)
    if path.suffix.lower() == ".wav":
        _must_hold_its_data(path)
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise MediaError(f"{path}: not a whole sound file ({_first_line(error)})") from error
    return samples.mean(1), rate


def _must_end_well(path: Path) -> None:
    """An Ogg stream's last page carries the flag 4; decoders are silent when it was cut off."""
    data = path.read_bytes()
    last = data.rfind(b"OggS")
    if last < 0:
        raise MediaError(f"{path}: not a whole sound file (no Ogg stream in it)")
    if not data[last + 5 : last + 6] or not data[last + 5] & 4:
        raise MediaError(f"{path}: not a whole sound file (it is cut short)")


def _must_hold_its_data(path: Path) -> None:
    """A WAV file says how many bytes its samples take; decoders read what is left of them."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return  # a kind without this size, or no WAV file: the decoder will say
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                left = path.stat().st_size - file.tell()
                if left < size < 0xFFFFFFFF:  # the largest stands for "unknown"
                    raise MediaError(f"{path}: not a whole sound file (it is cut short)")
                return
            file.seek(size + size % 2, os.SEEK_CUR)


def _decode_container(path: Path) -> tuple[np.ndarray, int]:
    av = require("av", "media")
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: has no sound in it")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)
            frames = [*container.decode(stream), None]  # None flushes the resampler
            blocks = [out.to_ndarray()[0] for frame in frames for out in resampler.resample(frame)]
            return np.concatenate(blocks or [np.zeros(0, np.float32)]), stream.rate
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a whole sound file ({_first_line(error)})") from error


def _must_have_content(path: Path) -> None:
    if not path.is_file():
        raise MediaError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: may not be read")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty")


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0].rstrip(".: ")
    return text or type(error).__name__
