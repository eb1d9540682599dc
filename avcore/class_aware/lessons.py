"""What chapters 20 to 31 do with scenes and networks that the experiments of the claims do not."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel
from avcore.class_aware.dictionary import CUT, picked_out
from avcore.class_aware.scenes import SIZE, Only, Scenes, scenes_of
from avcore.data.media.folder import MediaClass
from avcore.stage import MOVING, AssetBank, ProceduralBank, SceneBatch, Stage, collate
from avcore.stage.media import MediaBank
from avcore.support import AvcoreError

SHARED = (
    *("cello", "cow", "cymbal", "dog", "duck", "frog", "hen"),
    *("horse", "owl", "pig", "rooster", "sheep", "violin"),
)  # animals and instruments of which Tux Paint and the media from elsewhere have recordings
DIM = 0.25  # of the brightness of what a crop leaves out


def pictures(
    kind: str, split: str, count: int, seed: int = 0, bank: AssetBank | None = None
) -> Tensor:
    """The pictures of the first scenes that `scenes.draw` gives, (N, 3, 128, 128) uint8."""
    return scenes_of(kind, split, count, seed, bank).frames[:, 0].contiguous()


def hearing(scenes: Scenes, mel: Tensor) -> Scenes:
    """The same pictures with other log-mels (N, 64, n), or one for all, (1, 64, n)."""
    return replace(scenes, mel=mel.expand(len(scenes), -1, -1))


def silence(scenes: Scenes) -> Scenes:
    """The same pictures, and nothing to hear."""
    mel = log_mel(torch.zeros(1, 16_000))[..., : scenes.mel.shape[-1]]
    return hearing(scenes, mel)


@dataclass
class Watch:
    """Keeps copies of a network while it is trained; give it to `fit` as `evaluate`.

    Parameters
    ----------
    at
        After which of the calls a copy is kept, counted from 1.
    """

    at: Sequence[int]
    calls: int = 0
    kept: dict[int, nn.Module] = field(default_factory=dict)

    def __call__(self, model: nn.Module) -> dict[str, float]:
        self.calls += 1
        if self.calls in self.at:
            self.kept[self.calls] = copy.deepcopy(model).eval()
        return {}


def crops(images: Tensor, maps: Tensor, side: int = 48, cut: float = CUT) -> Tensor:
    """What maps cut out of pictures (N, 3, H, W) uint8: (N, 3, side, side), the rest dimmed.

    Maps (N, h, w) are stretched and cut as for object features; a crop is the square around all
    places that reach `cut`.
    """
    if len(images) != len(maps):
        raise AvcoreError(f"{len(images)} pictures but {len(maps)} maps")
    size = images.shape[-1]
    inside = picked_out(maps, cut)[:, None].float()
    inside = functional.interpolate(inside, size=size)[:, 0] > 0
    found = []
    for image, mask in zip(images, inside, strict=True):
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        top, left = rows[0].item(), columns[0].item()
        width = max(rows[-1].item() - top, columns[-1].item() - left) + 1
        top, left = min(top, size - width), min(left, size - width)
        shown = image * torch.where(mask, 1.0, DIM)
        part = shown[None, :, top : top + width, left : left + width]
        found.append(functional.interpolate(part, size=(side, side), mode="area")[0])
    return torch.stack(found).round().clamp(0, 255).to(torch.uint8)


def strips(tiles: Tensor, labels: Tensor, clusters: int, length: int = 6) -> list[Tensor]:
    """For each cluster its first tiles (3, s, s) beside each other, (3, s, length · s)."""
    side, found = tiles.shape[-1], []
    for k in range(clusters):
        chosen = tiles[labels == k][:length]
        empty = torch.zeros(length - len(chosen), 3, side, side, dtype=tiles.dtype)
        found.append(torch.cat([*chosen, *empty], dim=-1))
    return found


def covered(maps: Tensor, scenes: Scenes, cut: float, least: float = 0.25) -> Tensor:
    """Whether maps (N, H, W) reach `cut` on at least `least` of each object's pixels.

    (N, S) bool; False where there is no object.
    """
    if maps.shape[-1] != SIZE:
        raise AvcoreError(f"maps want the size of the pictures, {SIZE}, got {maps.shape[-1]}")
    reached = (maps >= cut)[:, None] & scenes.masks
    area = scenes.masks.sum((-2, -1))
    return (reached.sum((-2, -1)) >= least * area) & (scenes.class_id >= 0) & (area > 0)


def told_apart(maps: Tensor, scenes: Scenes) -> Tensor:
    """For each scene, how often a sounding class has a greater peak than a silent one, (N,).

    Maps (N, classes, h, w). The mean over all pairs of a sounding and a silent object of a scene;
    a tie counts as a half, as does a scene without such a pair. A method that never listens gets
    0.5 on average.
    """
    peaks = maps.amax((2, 3))
    found = []
    for peak, ids, on in zip(peaks, scenes.class_id, scenes.sounding, strict=True):
        loud, quiet = peak[ids[on & (ids >= 0)]], peak[ids[~on & (ids >= 0)]]
        above = (loud[:, None] > quiet).double() + 0.5 * (loud[:, None] == quiet).double()
        found.append(above.mean() if above.numel() else torch.tensor(0.5).double())
    return torch.stack(found)


def quieter(scenes: Scenes) -> Tensor:
    """The second object of each scene that sounds, (N,); see `scenes.Kind.gap_db`."""
    sounds = (scenes.class_id >= 0) & scenes.sounding
    if (sounds.sum(1) < 2).any():
        raise AvcoreError("the quieter of two wants two objects that sound in each scene")
    return (sounds & (sounds.cumsum(1) == 2)).int().argmax(1)


def wrong_sounds(scenes: Scenes) -> Scenes:
    """The same pictures with sounds of other scenes, of which no source is in view if possible.

    Each scene gets the sound of the next scene in which no class of its picture is heard.
    """
    seen = [set(ids[ids >= 0].tolist()) for ids in scenes.class_id]
    everything = torch.maximum(scenes.class_id, scenes.offscreen)
    heard = [
        set(ids[on & (ids >= 0)].tolist())
        for ids, on in zip(everything, scenes.sounding, strict=True)
    ]
    count, partner = len(scenes), []
    for i in range(count):
        others = [(i + shift) % count for shift in range(1, count)]
        partner.append(next((j for j in others if not heard[j] & seen[i]), others[0]))
    return hearing(scenes, scenes.mel[partner])


def shared_bank(folder: str | Path, test_sounds: Sequence[MediaClass] = ()) -> MediaBank:
    """Photographs of `SHARED` with their recordings, or others for the test.

    Of most of them training and test hear the same recordings, in other excerpts.
    """
    return MediaBank(folder, skip_bad=True, only=SHARED, test_sounds=test_sounds)


def apart_bank(folder: str | Path | None) -> MediaBank | None:
    """Photographs of the animals and instruments whose test hears what no training heard.

    Those classes of a media folder that keep recordings, or a stretch of one, for the test; None
    without a folder, or if there are fewer than five.
    """
    if folder is None:
        return None
    bank = MediaBank(folder, skip_bad=True, groups=["animal", "instrument"])
    kept = [name for name in bank.classes if {"time", "recordings"} & set(bank.held_out[name])]
    return MediaBank(folder, skip_bad=True, only=kept) if len(kept) >= 5 else None


def moving_twins(count: int, seed: int = 0) -> SceneBatch:
    """Clips of two moving objects of one class, of which one sounds; each class has its turn."""
    clip = replace(MOVING, sounding=(1, 1), margin=0.0, distinct=False, kind="IEr moving twins")
    bank = ProceduralBank()
    stages = [Stage(clip, Only(bank, k), seed) for k in range(len(bank.classes))]
    clips = collate([stages[n % len(stages)].scene("test", n) for n in range(count)])
    turns = torch.arange(count)[:, None] % len(stages)
    return replace(clips, class_id=turns.expand_as(clips.class_id))


def moves_in_time(batch: SceneBatch) -> Tensor:
    """How well each object's motion follows the loudness of the mixture, (N, S) in [-1, 1].

    The correlation, over the frames, of two curves: how much the picture changes inside the
    object's mask since the frame before, and how loud the sound of that frame is. It is helped
    by the true masks. NaN where nothing is in view.
    """
    frames, masks = batch.frames.float(), batch.masks.float()  # (N, T, 3, H, W), (N, S, T, H, W)
    if frames.shape[1] < 3:
        raise AvcoreError("motion wants scenes of three frames at least")
    change = (frames[:, 1:] - frames[:, :-1]).abs().mean(2)  # (N, T - 1, H, W)
    inside = torch.maximum(masks[:, :, 1:], masks[:, :, :-1])
    motion = torch.einsum("nthw,nsthw->nst", change, inside) / inside.sum((3, 4)).clamp(min=1)
    loud = batch.waveform.unflatten(1, (frames.shape[1], -1)).square().mean(2).sqrt()[:, 1:]
    motion, loud = (each - each.mean(-1, keepdim=True) for each in (motion, loud[:, None]))
    found = functional.cosine_similarity(motion, loud, dim=-1)
    return torch.where(batch.visible, found, torch.nan)


def printed(figure: float, source: str) -> dict[str, str]:
    """The paper's side of a row of `viz.results_table`: per cent, of other data than ours."""
    return {"paper": f"{figure:g} %, not comparable", "source": source}
