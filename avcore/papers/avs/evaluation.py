"""What masks are measured by: the scores of AVSBench as coded, and without their pathologies.

Source: `utility.py` of the public code. Two of its habits change the figures. A frame whose truth
is empty counts the background that was rightly left alone, so that silence lifts the mean IoU.
And the best threshold of the F-measure is picked anew in every batch of the test, on its truth.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from avcore import metrics
from avcore.metrics import baselines
from avcore.papers.avs.clips import Clips
from avcore.papers.avs.training import run, segment
from avcore.training import predict

BATCH = 4  # clips in a batch of the published test


def scores(logits: Tensor, masks: Tensor, batch: int = BATCH) -> dict[str, float]:
    """Scores of masks, logits and truth (N, T, H, W).

    Returns
    -------
    "miou"
        As coded, all frames.
    "miou_filled"
        The same over the frames in which something sounds; 0 without such.
    "empty_right"
        Share of the pixels left alone in the frames in which nothing sounds; 1 without such.
    "f"
        As coded: the best threshold of each batch of `batch` clips, averaged over batches.
    "f_whole"
        One threshold for the whole set; it is still picked on the truth: an oracle. 0 without
        a frame in which something sounds.
    "area"
        Pixels marked for each pixel that is true.
    """
    frames, truth = logits.flatten(0, 1), masks.flatten(0, 1)
    ious, filled = metrics.mask_ious(frames, truth), truth.flatten(1).any(1)
    sounds, empty = bool(filled.any()), bool((~filled).any())
    return {
        "miou": ious.mean().item(),
        "miou_filled": ious[filled].mean().item() if sounds else 0.0,
        "empty_right": ious[~filled].mean().item() if empty else 1.0,
        "f": f_by_batch(logits, masks, batch),
        "f_whole": f_by_batch(logits, masks, len(masks)),
        "area": (frames > 0).sum().item() / max(int(truth.sum()), 1),
    }


def f_by_batch(logits: Tensor, masks: Tensor, batch: int = BATCH) -> float:
    """F-measure as coded, for a test in batches of so many clips.

    Frames in which nothing sounds are left out; a batch of nothing else counts as 0.
    """
    pairs = zip(logits.split(batch), masks.split(batch), strict=True)
    values = [
        metrics.f_measure(x.flatten(0, 1), m.flatten(0, 1)) if m.any() else 0.0 for x, m in pairs
    ]
    return sum(values) / len(values)


def measure(model: nn.Module, clips: Clips, silence: Tensor) -> dict[str, float]:
    """All that the claims read of one network on held-out clips.

    The values of `scores`; with prefixes the same of other sounds ("silence_miou",
    "wrong_sound_miou") and of the perfect segmenter that never listens ("blind_miou");
    "f_by_clip", F with one clip per test batch; and of a network that hears "largest_share".
    """
    logits = segment(model, clips)
    values = {**scores(logits, clips.masks), "f_by_clip": f_by_batch(logits, clips.masks, 1)}
    others = {name: segment(model, heard) for name, heard in other_sounds(clips, silence).items()}
    for name, other in {**others, "blind": blind(clips)}.items():
        prefix = name.replace(" ", "_")
        found = scores(other, clips.masks)
        values |= {f"{prefix}_{key}": value for key, value in found.items()}
    share = largest_share(model, clips)
    return values if share is None else {**values, "largest_share": share}


def largest_share(model: nn.Module, clips: Clips) -> float | None:
    """The largest of the C shares of the softmax of the aligned sound, mean over frames and stages.

    It is 1/C where the sound has become uniform. None for a network that does not hear.
    """

    def shares(model: nn.Module, batch: Clips) -> Tensor:
        heard = [sound for sound in run(model, batch).audio if sound is not None]
        largest = [sound.softmax(-1).amax(-1) for sound in heard]
        return torch.stack(largest or [batch.heard[..., 0] * torch.nan]).mean(0)

    found = predict(model, clips, shares, 16).mean().item()
    return None if found != found else found


def blind(clips: Clips) -> Tensor:
    """Logits of the perfect segmenter that never listens: it marks exactly what can be seen."""
    return clips.visible.float() - 0.5


def other_sounds(clips: Clips, silence: Tensor) -> dict[str, Clips]:
    """The same frames with other sounds: "silence", and those of another clip ("wrong sound").

    `silence` (128,) is what the ear makes of a second in which nothing sounds. Now and then the
    other clip has the same sound.
    """
    return {
        "silence": replace(clips, heard=silence.expand_as(clips.heard)),
        "wrong sound": replace(clips, heard=clips.heard.roll(1, 0)),
    }


def trivial(clips: Clips) -> dict[str, Tensor]:
    """Logits (N, T, H, W) of trivial baselines: everything, nothing, a disc in the middle.

    The disc is half as wide as the picture.
    """
    clips_frames = clips.masks.shape[:2]
    shape = (clips_frames.numel(), *clips.masks.shape[2:])
    maps = {
        "everything": baselines.everything(shape),
        "nothing": baselines.nothing(shape),
        "centre": baselines.centre(shape),
    }
    edge = 1 - 0.5 / 2**0.5  # of the disc, in the map of the centre
    return {name: (values - edge).unflatten(0, clips_frames) for name, values in maps.items()}
