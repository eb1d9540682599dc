"""Small real media files that tests write: cut-out pictures, calls and words."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

RATE = 16_000
MOMENT = 1.5  # s, of the flash and the click of a film


def disc(colour=(200, 60, 40), size=64, mode="RGBA") -> Image.Image:
    """A disc that fills the picture, on a transparent ground."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    inside = np.hypot(*np.meshgrid(axis, axis)) < 1
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[inside] = (*colour, 255)
    return Image.fromarray(rgba).convert(mode)


def tone(frequency=600.0, seconds=1.0, rate=RATE, level=0.3) -> np.ndarray:
    """A steady tone that starts and ends at once, (n,) float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def hiss(seconds=1.0, seed=0, level=0.1, rate=RATE) -> np.ndarray:
    """Noise, which no other seed repeats, (n,) float32."""
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(round(seconds * rate))).astype(np.float32)


def quiet(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int = RATE, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def write_picture(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def write_video(path: Path, shades=(40, 120, 200), seconds_each=1, sound=True, pitches=()) -> Path:
    """A video whose colour changes each second, with a steady tone or one of each pitch.

    A shade is a grey or three colours; `pitches`, in Hz, are as many as there are shades.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for shade in shades:
            for _ in range(10 * seconds_each):
                picture = np.full((32, 32, 3), shade, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            tones = [tone(pitch, float(seconds_each)) for pitch in pitches]
            wave = np.concatenate(tones or [tone(500, float(len(shades) * seconds_each))])
            frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
            frame.sample_rate = RATE
            container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def noise(seconds, rate, channels=1, seed=0):
    """Low-passed noise, which AAC keeps well, (channels, n) float32."""
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.standard_normal((1, round(seconds * rate))), 1)
    wave = wave - np.convolve(wave[0], np.ones(64) / 64, "same")
    return np.repeat(0.2 * wave / wave.std(), channels, 0).clip(-1, 1).astype(np.float32)


def silence_with_click(seconds, rate, channels=1, at=MOMENT):
    wave = np.zeros((channels, round(seconds * rate)), np.float32)
    wave[:, round(at * rate)] = 0.9
    return wave


def flash(time):
    """White for a tenth of a second, else dark grey."""
    return 255 if MOMENT - 1e-6 <= time < MOMENT + 0.1 else 40


def write_film(
    path: Path, times, sound=None, rate=44_100, size=(64, 48), shade=flash, sound_from=0.0,
    codec="libx264", sound_codec="aac", turns=0, options=None, preset="ultrafast",
    rate_of_pictures=25, title="",
) -> Path:  # fmt: skip
    """A real video with pictures at `times` (s); a shade is a grey or (H, W, 3) of a time."""
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate_of_pictures)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"preset": preset} if codec == "libx264" else {}
        if turns:
            stream.set_display_rotation(90 * turns)
        layout = "stereo" if sound is not None and len(sound) == 2 else "mono"
        track = sound is not None and container.add_stream(sound_codec, rate=rate, layout=layout)
        for time in times:
            picture = np.zeros((size[1], size[0], 3), np.uint8) + np.asarray(shade(time), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track and sound.size:
            frame = av.AudioFrame.from_ndarray(sound, "fltp", layout)
            frame.sample_rate = rate
            frame.pts, frame.time_base = round(sound_from * rate), Fraction(1, rate)
            container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def even(seconds, fps=25):
    return np.arange(round(seconds * fps)) / fps


def write_tree(root: Path) -> Path:
    """A good media folder: cat (PNG, OGG, words), sea lion (grey PNG, WAV), wren (2 of each)."""
    write_picture(root / "cat" / "cat.png", disc())
    write_sound(root / "cat" / "cat.ogg", hiss(1.2, 1))
    write_sound(root / "cat" / "words" / "en.wav", np.concatenate([quiet(0.3), hiss(0.4, 2)]))
    write_sound(root / "cat" / "words" / "fr-anna.flac", hiss(0.5, 3))
    write_picture(root / "sea_lion" / "a.png", disc((90, 90, 90), 40, "LA"))
    write_sound(root / "sea_lion" / "a.wav", np.stack([hiss(5, 4, rate=44_100)] * 2, 1), 44_100)
    for number in (1, 2):
        write_picture(root / "wren" / f"{number}.png", disc((20, 200, 40 * number), 50))
        write_sound(root / "wren" / f"{number}.flac", hiss(0.6, 5 + number))
    (root / "CREDIT.txt").write_text("Made by the tests.\n", encoding="utf-8")
    (root / "notes.txt").write_text("left alone", encoding="utf-8")
    return root
