"""Claim N3: trained on the photographs and recordings of Tux Paint, tested on those of others.

The media from elsewhere (`avcore.data.media.elsewhere`) share classes with Tux Paint and no picture
or recording. Recordings are tested on scenes of cut-out photographs; the whole photographs, which
have no outline, two side by side with the sound of one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, permutations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avcore import metrics
from avcore.audio import set_level
from avcore.data.media import elsewhere, stamps
from avcore.data.media.folder import MediaClass
from avcore.nn import pretrained
from avcore.sceptic.localisers import LOCALISERS, Localiser
from avcore.sceptic.negatives import LEVEL_DB, SCENES, with_sound
from avcore.stage import SceneBatch, Stage, render
from avcore.stage.media import MediaBank
from avcore.support import MediaError, by_scale, choose

RATE = 16_000  # Hz
SECONDS = 1.0  # of a sound


def elsewhere_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claim N3, for one of `LOCALISERS`, trained on all classes of Tux Paint.

    Returns
    -------
    "pointing" and "wrong_sound_pointing" with recordings from elsewhere; "home_pointing" with
    Tux Paint's own held-out excerpts of the same classes; "half_right" and
    "wrong_sound_half_right", the share of pairs of whole photographs in which the peak lies in
    the half whose animal is heard; "classes" and "photographs", how many there are.

    Raises
    ------
    MediaError
        Tux Paint's media or those from elsewhere have not been fetched.
    """
    pretrained.check(scale)
    folder = stamps.available()
    if folder is None:
        raise MediaError("the photographs are not here; run: avcore data stamps")
    whole = MediaBank(folder, skip_bad=True)
    found = elsewhere.read(known=whole.classes)
    localise = choose(LOCALISERS, variant, "localiser")(scale, seed, device, whole)
    return {
        **_on_cut_outs(localise, folder, found, scale, seed),
        **_on_photographs(localise, found, seed),
    }


def _on_cut_outs(
    localise: Localiser, folder: Path, found: list[MediaClass], scale: str, seed: int
) -> dict[str, float]:
    heard = [item for item in found if item.sounds]
    names = [item.name for item in heard]
    count = by_scale(scale, smoke=8, quick=200, full=1000)
    values = {"classes": float(len(names))}
    for name, sounds in (("", heard), ("home_", [])):
        bank = MediaBank(folder, skip_bad=True, only=names, test_sounds=sounds)
        scenes = render(Stage(SCENES, bank, seed), "test", count)
        target = scenes.target()[:, 0]
        values[f"{name}pointing"] = _pointing(localise(scenes), target)
        if not name:
            wrong = localise(with_sound(scenes, scenes.waveform.roll(1, 0)))
            values["wrong_sound_pointing"] = _pointing(wrong, target)
    return values


def _pointing(maps: Tensor, target: Tensor) -> float:
    large = metrics.resize_maps(maps, target.shape[-1])
    return metrics.pointing(large, target).mean().item()


def _on_photographs(localise: Localiser, found: list[MediaClass], seed: int) -> dict[str, float]:
    scenes, left = pairs_of_photographs(found, seed)
    right = left_half(localise(scenes)) == left
    # the partner of each pair has the same pictures, exchanged, and the same animal heard; the
    # wrong sound is that of the other animal
    wrong = left_half(localise(with_sound(scenes, _other_sound(scenes)))) == left
    return {
        "half_right": right.double().mean().item(),
        "wrong_sound_half_right": wrong.double().mean().item(),
        "photographs": float(sum(bool(item.pictures) for item in found)),
    }


def pairs_of_photographs(found: list[MediaClass], seed: int = 0) -> tuple[SceneBatch, Tensor]:
    """Two whole photographs side by side, and the sound of one of the animals.

    Every ordered pair of classes makes two scenes that follow each other: the sound of the left
    one, then that of the right one.

    Returns
    -------
    The scenes, and for each whether the left one is heard, (N,) bool.
    """
    rng = np.random.default_rng([seed, 2409])
    usable = [item for item in found if item.pictures and item.sounds]
    pictures = {item.name: cycle(item.pictures.values()) for item in usable}
    sounds: Mapping[str, cycle] = {item.name: cycle(item.sounds.values()) for item in usable}
    frames, waves, left = [], [], []
    size = SCENES.size
    for one, other in permutations([item.name for item in usable], 2):
        halves = [_square(next(pictures[name]), size // 2) for name in (one, other)]
        picture = torch.full((3, size, size), 128, dtype=torch.uint8)
        picture[:, size // 4 : size // 4 + size // 2] = torch.cat(halves, -1)
        for name in (one, other):
            frames.append(picture)
            waves.append(_excerpt(next(sounds[name]), rng))
            left.append(name == one)
    count = len(frames)
    waveform = set_level(torch.stack(waves), LEVEL_DB)
    nothing = torch.zeros(count, 1, dtype=torch.bool)
    return SceneBatch(
        frames=torch.stack(frames)[:, None],
        waveform=waveform,
        sound=waveform,
        masks=torch.zeros(count, 1, 1, size, size, dtype=torch.bool),
        class_id=torch.full((count, 1), -1),
        visible=nothing,
        sounding=nothing,
    ), torch.tensor(left)


def left_half(maps: Tensor) -> Tensor:
    """Whether the peak of each map (N, h, w) lies in its left half, (N,) bool."""
    columns = maps.amax(1)
    middle = columns.shape[-1] // 2
    return columns[:, :middle].amax(1) > columns[:, middle:].amax(1)


def _other_sound(scenes: SceneBatch) -> Tensor:
    """The sound of the other animal of each pair: its neighbour's."""
    return scenes.waveform.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def _square(picture: np.ndarray, size: int) -> Tensor:
    """The middle of a photograph (H, W, 4) uint8 as (3, size, size) uint8."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, first = (height - side) // 2, (width - side) // 2
    cut = torch.from_numpy(picture[top : top + side, first : first + side, :3].copy())
    small = functional.interpolate(
        cut.movedim(-1, 0)[None].float(), (size, size), mode="bilinear", antialias=True
    )
    return small[0].round().clamp(0, 255).to(torch.uint8)


def _excerpt(wave: np.ndarray, rng: np.random.Generator) -> Tensor:
    """A second of a recording, from anywhere in it; shorter ones are followed by silence."""
    length = round(RATE * SECONDS)
    start = int(rng.integers(0, max(len(wave) - length, 0) + 1))
    part = torch.from_numpy(wave[start : start + length].astype(np.float32))
    return functional.pad(part, (0, length - len(part)))
