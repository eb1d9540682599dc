"""Sound source localisation without masks, with the segmentation network's own body.

Two ways to learn where a sound comes from when nobody drew it: the hard way of LVS (Chen et al.,
"Localizing Visual Sounds the Hard Way", CVPR 2021), and the best place of the map against the
other pictures of the batch (chapter 02). Both see and hear by the frozen eye and ear of the
segmentation network and have its size; only masks are kept from them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.losses import info_nce
from avcore.papers.avs.clips import Clips
from avcore.papers.avs.small import CHANNELS, SmallAVS
from avcore.papers.avs.tpavi import AUDIO_CHANNELS
from avcore.support import choose
from avcore.training import History, TrainConfig, fit, predict, shuffled

POSITIVE, NEGATIVE, TAU, TEMPERATURE = 0.65, 0.4, 0.03, 0.07  # of LVS
COARSE = 4  # places of the network's map that are averaged before maps are compared


class Localizer(nn.Module):
    """Cosine of each place with the sound: the body of a network without sound, up to the mask."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.body = SmallAVS("no sound", channels=channels)
        self.body.output.requires_grad_(False)  # no mask is made
        self.sound = nn.Linear(AUDIO_CHANNELS, channels)

    def forward(self, clips: Clips) -> Tensor:
        """Clips of T frames -> cosines of all pairs of a second and a frame, (B·T, B·T, h, w)."""
        features = self.body.features(clips.maps, clips.heard)[0]
        features = functional.avg_pool2d(features, COARSE)
        features = functional.normalize(torch.relu(features), dim=1)  # as LVS: none is negative
        sound = self.sound(self.body.hear(clips.heard).flatten(0, 1))
        sound = functional.normalize(torch.relu(sound), dim=1)
        return torch.einsum("vchw,ac->avhw", features, sound)


def lvs_loss(maps: Tensor) -> Tensor:
    """LVS: the places that surely match against the background beside them and all other pictures.

    `maps` (B, B, h, w) are cosines, own pairs on the diagonal. Eqs. 4 to 6: places above 0.65
    count as the source, those below 0.4 as background (a hard negative), the others for nothing;
    both limits are soft. As in the public code the map of another picture counts by the places
    that match in it; in the paper by the mean of all its places, so that a map with one bright
    place for every sound would cost nothing.
    """
    found = _weighted(maps, torch.sigmoid((maps - POSITIVE) / TAU))  # (B, B)
    own = torch.diagonal(maps, dim1=0, dim2=1).movedim(-1, 0)  # (B, h, w)
    hard = _weighted(own, 1 - torch.sigmoid((own - NEGATIVE) / TAU))
    candidates = torch.cat([found, hard[:, None]], 1) / TEMPERATURE
    return functional.cross_entropy(candidates, torch.arange(len(maps), device=maps.device))


def correspondence_loss(maps: Tensor) -> Tensor:
    """The best place of each map in InfoNCE both ways; maps (B, B, h, w)."""
    return info_nce(maps.amax((-2, -1)) / TEMPERATURE)


LOSSES = {"LVS": lvs_loss, "correspondence": correspondence_loss}


def train(model: Localizer, clips: Clips, config: TrainConfig, loss: str, **fit_args) -> History:
    """Train on clips, best of a single frame with its second of sound; no mask is looked at.

    All frames of a batch are compared with all its seconds.
    """
    function = choose(LOSSES, loss, "loss")
    model.body.measure(clips.maps, clips.heard)

    def loss_fn(model: nn.Module, batch: Clips) -> Tensor:
        return function(model(batch))

    return fit(model, loss_fn, shuffled(clips, config), config, **fit_args)


def localise(model: Localizer, clips: Clips) -> Tensor:
    """Cosine of every place with the frame's own second, (N, T, H, W), on the CPU."""

    def own(model: Localizer, batch: Clips) -> Tensor:
        maps = torch.diagonal(model(batch), dim1=0, dim2=1).movedim(-1, 0)
        return maps.unflatten(0, (len(batch), -1))

    size = clips.masks.shape[-1]
    return functional.interpolate(
        predict(model, clips, own, 8), size, mode="bilinear", align_corners=False
    )


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the places, the last two axes."""
    return (values * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp_min(1e-6)
