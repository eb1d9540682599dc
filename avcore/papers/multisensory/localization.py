"""Where the network looks: class activation maps of moving clips.

Source: Owens and Efros (ECCV 2018), Sec. 4. Our measure: the peak of the map's mean over time lies
on the source that sounds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avcore.metrics import resize_maps
from avcore.papers.multisensory.clips import EXCERPT, Clips, Excerpts
from avcore.papers.multisensory.model import EarlyFusion
from avcore.training import predict


def middle(clips: Clips) -> tuple[Tensor, Tensor]:
    """The clips' numbers and the frame at which the middle excerpt of each begins, (N,) both."""
    which = torch.arange(len(clips))
    return which, torch.full_like(which, (clips.starts - 1) // 2)


def cams(model: EarlyFusion, excerpts: Excerpts) -> Tensor:
    """Class activation maps (N, T/2, h, w) of excerpts with their own sound."""
    return predict(model, excerpts, lambda network, part: network.cam(*part), batch_size=32)


def pointing(model: EarlyFusion, clips: Clips) -> Tensor:
    """Whether the peak of each clip's map lies on the source that sounds, (N,) bool.

    The map is the mean over time, enlarged to the picture; the source counts wherever it is seen
    during the middle excerpt.
    """
    where = middle(clips)
    maps = cams(model, clips.cut(*where)).mean(1, keepdim=True)
    target = clips.cut_target(*where)
    peaks = resize_maps(maps, target.shape[-1])[:, 0].flatten(1).argmax(1)
    return target.flatten(1).gather(1, peaks[:, None])[:, 0]


def random_place(clips: Clips) -> float:
    """What a random place scores: the mean share of the picture that the source covers."""
    return clips.cut_target(*middle(clips)).float().mean().item()


def strength(model: EarlyFusion, clips: Clips) -> Tensor:
    """The greatest value of each clip's map, (N,): the paper shows the strongest and weakest."""
    return cams(model, clips.cut(*middle(clips))).flatten(1).amax(1)


def over_time(model: EarlyFusion, clips: Clips) -> tuple[Tensor, Tensor]:
    """How strong the map is on the source, and how strongly the picture moves there, (N, T/2).

    The motion is the mean absolute difference of neighbouring frames within the source's mask.
    """
    which, starts = middle(clips)
    excerpts = clips.cut(which, starts)
    target = clips.cut_target(which, starts)[:, None]  # (N, 1, H, W)
    area = target.sum((-2, -1)).clamp_min(1)
    maps = resize_maps(cams(model, excerpts), target.shape[-2:])
    on_source = (maps * target).sum((-2, -1)) / area
    moved = excerpts.frames.diff(dim=2, prepend=excerpts.frames[:, :, :1]).abs().mean(1)
    motion = (moved * target).sum((-2, -1)) / area
    return on_source, motion.unflatten(1, (EXCERPT // 2, 2)).mean(2)
