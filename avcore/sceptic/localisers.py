"""Three localisers behind one interface: scenes in, raw maps out.

Each is trained on scenes of its own chapter with the chapter's steps; then all are asked about the
same scenes. A map is as the network makes it, not stretched to its own range, so that one
threshold can serve all scenes. What the eyes see is kept, since the same pictures are asked about
with many sounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from avcore.audio import log_mel
from avcore.papers import avc
from avcore.papers.avs import experiments as avs
from avcore.papers.avs.clips import Clips as AVSClips
from avcore.papers.avs.clips import listen, senses
from avcore.papers.avs.scenes import hear
from avcore.papers.avs.training import segment
from avcore.papers.denseav import evaluation, training
from avcore.papers.denseav import experiments as denseav
from avcore.papers.denseav.small import Eye, Frozen, audible
from avcore.stage import AssetBank, SceneBatch
from avcore.support import by_scale
from avcore.training import predict
from avcore.training.features import seen

Localiser = Callable[[SceneBatch], Tensor]  # N scenes -> (N, h, w), higher where the source is


def correspondence(
    scale: str, seed: int, device: str = "auto", bank: AssetBank | None = None
) -> Localiser:
    """The cosine map of chapter 02."""
    counts = by_scale(scale, smoke=(32, 1, 1), quick=(2500, 1, 1), full=(40_000, 1, 1))
    data = avc.make_data(scale, seed, bank, counts)
    config = replace(avc.train_config(scale, seed, device), progress=False)
    model, _ = avc.train(avc.Experience.of(data.train), config)

    def maps(scenes: SceneBatch) -> Tensor:
        asked = avc.Experience.of(scenes)
        return predict(model, asked, lambda model, part: model.maps(part.seen, part.mel))

    return maps


def segmentation(
    scale: str, seed: int, device: str = "auto", bank: AssetBank | None = None
) -> Localiser:
    """The logits of AVS with TPAVI, chapter 40; each scene is a clip of one frame."""
    clips = by_scale(scale, smoke=16, quick=avs.size_of("pair").clips, full=40_000)
    data = avs.make_data("pair", scale, seed, bank, (clips, 1, 1))
    config = replace(avs.train_config(scale, seed, device, "pair"), progress=False)
    model, _ = avs.fit_small("TPAVI", data.train, config)

    def maps(scenes: SceneBatch) -> Tensor:
        frames = scenes.frames[:, 0].contiguous()
        features = [each.unflatten(0, (-1, 1)) for each in seen(senses().eye, frames)]
        heard = listen(hear(scenes.waveform, 1))
        truth = torch.zeros(len(scenes), 1, *frames.shape[-2:], dtype=torch.bool)  # not looked at
        return segment(model, AVSClips(features, heard, truth, truth))[:, 0]

    return maps


def dense_similarity(
    scale: str, seed: int, device: str = "auto", bank: AssetBank | None = None
) -> Localiser:
    """The similarity of DenseAV with one head, chapter 50, mean over time."""
    counts = by_scale(scale, smoke=(32, 1, 1), quick=(2000, 1, 1), full=(20_000, 1, 1))
    data = denseav.make_data(("chirp",), scale, seed, bank, counts)
    config = replace(denseav.train_config(scale, seed, device), progress=False)
    model, _ = denseav.fit_small(data.train, config, training.Recipe())
    eye = cast(Eye, cast(Frozen, model.image_front).network).joined

    def maps(scenes: SceneBatch) -> Tensor:
        frames = scenes.frames[:, 0].contiguous()
        with torch.no_grad():
            heard = model.cpu().front(scenes.waveform).half()
        clips = training.Clips(seen(eye, frames)[0], heard, audible(log_mel(scenes.waveform)))
        return evaluation.heatmaps(*evaluation.encode(model, clips), model.heads)

    return maps


LOCALISERS = {
    "correspondence": correspondence,
    "AVS": segmentation,
    "DenseAV": dense_similarity,
}
