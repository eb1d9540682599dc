"""Pictures and sounds from files, as arrays; a file that cannot be used says why in a sentence."""

from __future__ import annotations

import os
import warnings
from math import gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from avcore.support import MediaError, require

PICTURES = (".png", ".webp", ".gif", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
SOUNDS = (".wav", ".ogg", ".oga", ".flac", ".opus", ".aif", ".aiff")
BY_CONTAINER = (".mp3", ".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm", ".avi", ".wma")  # by PyAV
RATES = (1_000, 768_000)  # Hz; a header that claims another is damaged
LONGEST = 7_200  # s
MOST_SAMPLES = 350_000_000  # of all channels: one hour of stereo at 48 kHz
MOST_PIXELS = 64_000_000


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as (H, W, 4) uint8 RGBA; one without alpha is opaque, a grey one becomes RGB.

    Raises
    ------
    MediaError
        The file is missing, empty, corrupt, no picture, or has more than `MOST_PIXELS`.
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
        with warnings.catch_warnings():  # Pillow's, of pictures that are too large here
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            image = pillow.open(path)
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise MediaError(
                    f"{path}: has {image.width}x{image.height} pixels; "
                    f"at most {MOST_PIXELS // 1_000_000} million are read"
                )
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip
                eight = np.rint(np.asarray(image, np.float32).clip(0, 65535) / 257)
                image = pillow.fromarray(eight.astype(np.uint8))
            return np.asarray(image.convert("RGBA")), has_alpha
    except MediaError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, pillow.DecompressionBombError) as error:
        raise MediaError(f"{path}: not a whole picture ({_first_line(error)})") from error


def read_audio(path: str | Path, sample_rate: int | None = None) -> np.ndarray:
    """Read a sound, or the sound of a video, as mono: (n,) float32, channels averaged.

    Parameters
    ----------
    path
        A WAV, OGG or FLAC file (read by soundfile), or MP3 or a container such as MP4 (by PyAV).
    sample_rate
        The rate to resample to, Hz; the file's own rate when None.

    Raises
    ------
    MediaError
        The file is missing, empty, corrupt, cut short (this is not noticed of MP3 and containers),
        has no sound or samples that are no number, a rate outside `RATES`, or is longer than
        `LONGEST` or `MOST_SAMPLES`.
    """
    path = Path(path)
    _must_have_content(path)
    decode = _decode_container if path.suffix.lower() in BY_CONTAINER else _decode_file
    try:
        samples, rate = decode(path)
    except OSError as error:  # it vanished meanwhile
        raise MediaError(f"{path}: cannot be read ({error.strerror or error})") from error
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
        with soundfile.SoundFile(path) as file:
            _must_be_of_sense(path, file.samplerate, file.frames, file.channels)
            return file.read(dtype="float32", always_2d=True).mean(1), file.samplerate
    except soundfile.SoundFileError as error:
        raise MediaError(f"{path}: not a whole sound file ({_first_line(error)})") from error


def _must_be_of_sense(path: Path, rate: int, frames: int, channels: int) -> None:
    """What a header claims decides how much memory is taken, so it is bounded first."""
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(
            f"{path}: claims a rate of {rate} Hz; it must lie within {RATES[0]} and {RATES[1]} Hz"
        )
    if frames > LONGEST * rate or frames * channels > MOST_SAMPLES:
        raise MediaError(
            f"{path}: claims {frames} samples in {channels} channels at {rate} Hz; "
            f"at most {LONGEST} s and {MOST_SAMPLES} samples are read"
        )


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
            length = (container.duration or 0) / av.time_base  # s
            _must_be_of_sense(path, stream.rate, round(length * stream.rate), stream.channels)
            resampler = av.AudioResampler(format="fltp", rate=stream.rate)
            frames = [*container.decode(stream), None]  # None flushes the resampler
            pieces = (out.to_ndarray() for frame in frames for out in resampler.resample(frame))
            blocks = [piece.mean(0) for piece in pieces]
            return np.concatenate(blocks or [np.zeros(0, np.float32)]), stream.rate
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: not a whole sound file ({_first_line(error)})") from error


def _must_have_content(path: Path) -> None:
    if not path.is_file():
        raise MediaError(f"{path}: there is no such file")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: may not be read")
    if os.path.getsize(path) == 0:
        raise MediaError(f"{path}: the file is empty")


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0].rstrip(".: ")
    return text or type(error).__name__
