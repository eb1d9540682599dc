"""A small tree in the layout of MUSIC's class folders, of real encoded media."""

from __future__ import annotations

from pathlib import Path

from media_tree import disc, tone, write_picture, write_sound, write_video

CLASSES = ("bell", "drum", "flute", "horn")
COLOURS = ((220, 40, 40), (40, 200, 60), (50, 60, 220), (220, 210, 60))
PITCHES = (300.0, 700.0, 1500.0, 3000.0)  # Hz
EACH = 8  # solos of a class: one for test, one for val, six to learn from


def write_music(root: Path) -> Path:
    """Solos of four classes, of the first as videos, and two duets of each of three pairs."""
    for name, colour, pitch in zip(CLASSES, COLOURS, PITCHES, strict=True):
        for number in range(EACH):
            stem = root / "solo" / name / f"{name}-{number}"
            if name == CLASSES[0]:
                shade = tuple(value - 3 * number for value in colour)
                write_video(stem.with_suffix(".mp4"), (shade,), pitches=(pitch + 10 * number,))
                continue
            write_picture(stem.with_suffix(".png"), disc(colour, 40 + 2 * number, "RGB"))
            write_sound(stem.with_suffix(".wav"), tone(pitch + 10 * number, 1.1))
    for first, second in zip((0, 1, 2), (1, 2, 3), strict=True):
        folder = root / "duet" / f"{CLASSES[first]} {CLASSES[second]}"
        for number in range(4):
            both = tone(PITCHES[first], 1.0) + tone(PITCHES[second], 1.0)
            write_picture(folder / f"{number}.png", disc(COLOURS[first], 40 + number, "RGB"))
            write_sound(folder / f"{number}.wav", both / 2)
    return root
