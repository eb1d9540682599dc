"""Sound source localisation without masks, with the segmentation network's own body.

Two ways to learn where a sound comes from when nobody drew it: the hard way of LVS (Chen et al.,
"Localizing Visual Sounds the Hard Way", CVPR 2021), and the best place of the map against the
other pictures of the batch (chapter 02). Both get the taught streams and the size of the
segmentation network; only masks are kept from them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.losses import info_nce
from avcore.nn.pictures import normalise
from avcore.papers.avs.model import AVSModel
from avcore.papers.avs.scenes import Clips
from avcore.papers.avs.small import CHANNELS
from avcore.papers.avs.tpavi import AUDIO_CHANNELS
from avcore.support import choose
from avcore.training import History, Shuffled, TrainConfig, fit

POSITIVE, NEGATIVE, TAU, TEMPERATURE = 0.65, 0.4, 0.03, 0.07  # of LVS
COARSE = 4  # places of the network's map that are averaged before maps are compared


class Localizer(nn.Module):
    """Cosine of each place with the sound.

    Parameters
    ----------
    body
        A network without sound; its features before the mask are compared.
    """

    def __init__(self, body: AVSModel, channels: int = CHANNELS) -> None:
        super().__init__()
        self.body, self.sound = body, nn.Linear(AUDIO_CHANNELS, channels)
        self.body.output.requires_grad_(False)  # no mask is made

    def forward(self, frames: Tensor, heard: Tensor) -> Tensor:
        """Frames (V, 3, H, W) and sounds (A, 128) -> cosines of all pairs, (A, V, h, w)."""
        frames = normalise(frames).contiguous(memory_format=torch.channels_last)
        features = functional.avg_pool2d(self.body.features(frames)[0], COARSE)
        features = functional.normalize(torch.relu(features), dim=1)  # as LVS: none is negative
        sound = functional.normalize(torch.relu(self.sound(heard)), dim=1)
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
    """Train on single frames with their second of sound; masks are never looked at.

    A batch holds as many frames as `config.batch_size` clips do.
    """
    function = choose(LOSSES, loss, "loss")
    pairs = (clips.frames.flatten(0, 1), clips.heard.flatten(0, 1))
    count = config.batch_size * clips.frames.shape[1]

    def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return function(model(*batch))

    return fit(model, loss_fn, Shuffled(pairs, count, config.seed), config, **fit_args)


@torch.no_grad()
def localise(model: Localizer, clips: Clips) -> Tensor:
    """Cosine of every place with the frame's own second, (N, T, H, W), on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    maps = []
    for frames, heard in zip(clips.frames, clips.heard, strict=True):
        both = model(frames.to(device), heard.to(device))
        maps.append(torch.diagonal(both, dim1=0, dim2=1).movedim(-1, 0).cpu())
    size = clips.frames.shape[-1]
    return functional.interpolate(torch.stack(maps), size, mode="bilinear", align_corners=False)


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the places, the last two axes."""
    return (values * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp_min(1e-6)
