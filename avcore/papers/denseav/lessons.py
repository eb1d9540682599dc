"""What chapters 50 and 51 ask of a trained network beside the claims' experiments.

Negatives under one threshold follow Juanola et al. ("A critical assessment of visual sound source
localization models including negative audio", 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avcore import metrics
from avcore.audio import log_mel, set_level
from avcore.papers.denseav.evaluation import encode, heatmaps
from avcore.papers.denseav.model import DenseAV
from avcore.papers.denseav.scenes import CHIRP, Prompted
from avcore.papers.denseav.small import audible
from avcore.papers.denseav.training import Clips
from avcore.stage import AssetBank, SceneBatch, Stage, render

CUTS = 60  # thresholds that are tried
LEVEL_DB = -26.0  # of the noise, re. full scale


def universal_threshold(model: DenseAV, val: Prompted) -> float:
    """The one threshold for all maps of a network with the best mean IoU on validation scenes."""
    large = metrics.resize_maps(heatmaps(*encode(model, val.clips), model.heads),
                                val.target.shape[-1])  # fmt: skip
    cuts = torch.linspace(0, max(large.max().item(), 1e-6), CUTS)
    found = torch.stack([metrics.iou(large >= cut, val.target).mean() for cut in cuts])
    return cuts[found.argmax()].item()


def off_screen(prompted: Prompted) -> Tensor:
    """For each scene the next whose sound is of a class that its picture does not show, (N,)."""
    count = len(prompted.class_id)
    ahead = (torch.arange(count)[:, None] + torch.arange(count)) % count
    absent = ~prompted.fits.T  # (pictures, sounds)
    return ahead.gather(1, absent.gather(1, ahead).int().argmax(1, keepdim=True))[:, 0]


def negatives(model: DenseAV, prompted: Prompted, seed: int = 0) -> dict[str, Tensor]:
    """Maps (N, h, w) with the own sound and with three sounds that have no source in the picture.

    "silence" and "noise" (white) are heard for all steps; "off-screen" is another scene's sound,
    of a class that the picture does not show.
    """
    features, mask = encode(model, prompted.clips)
    rate = CHIRP.sample_rate
    noise = torch.randn(1, rate, generator=torch.Generator().manual_seed(seed))
    sounds = {"silence": torch.zeros(1, rate), "noise": set_level(noise, LEVEL_DB)}
    found = {"own sound": heatmaps(features, mask, model.heads)}
    device = model.log_scale.device
    for name, wave in sounds.items():
        with torch.no_grad():
            audio = model.eval().hear(model.front(wave.to(device)).float())[0].cpu()
        steady = features._replace(audio=audio.expand_as(features.audio))
        found[name] = heatmaps(steady, torch.ones_like(mask), model.heads)
    other = off_screen(prompted)
    swapped = features._replace(audio=features.audio[other])
    found["off-screen"] = heatmaps(swapped, mask[other], model.heads)
    return found


@dataclass(frozen=True)
class Asked:
    """N pictures of several objects, each asked about every one of them."""

    image: Tensor  # (N, 3, H, W) uint8
    maps: Tensor  # (N, h, w)
    target: Tensor  # (N, H, W) bool
    names: Sequence[str]  # of what is heard

    @property
    def hits(self) -> Tensor:
        """Whether the peak of each map is on what is heard, (N,)."""
        return metrics.pointing(metrics.resize_maps(self.maps, self.target.shape[-1]), self.target)


def sounds_in_turn(
    model: DenseAV, count: int, seed: int, bank: AssetBank | None = None, objects: int = 3
) -> Asked:
    """Ask a network about `count` held-out pictures: the sound of each object alone."""
    config = replace(CHIRP, kind="in turn", objects=(objects,) * 2, sounding=(objects,) * 2)
    stage = Stage(config, bank, seed)
    scenes = [stage.scene("test", index) for index in range(count)]
    stems = torch.cat([torch.from_numpy(scene.stems[:objects]).float() for scene in scenes])
    image = torch.stack([torch.from_numpy(scene.frames[0]) for scene in scenes])
    image = image.permute(0, 3, 1, 2).repeat_interleave(objects, 0).contiguous()
    model.cpu().eval()
    with torch.no_grad():
        seen, heard = model.image_front(image.float() / 255), model.front(stems)
    clips = Clips(seen, heard, audible(log_mel(stems)))
    return Asked(
        image,
        heatmaps(*encode(model, clips), model.heads),
        torch.cat([torch.from_numpy(scene.masks[:objects, 0]).bool() for scene in scenes]),
        [source.name for scene in scenes for source in scene.sources[:objects]],
    )


def visible(prompted: Prompted, seed: int, bank: AssetBank | None = None) -> Tensor:
    """All visible objects of held-out scenes with sounds, (N, H, W) bool: the blind oracle's map.

    The scenes are rendered again; they must be those of `make_data` with this seed and bank.
    """
    batch: SceneBatch = render(Stage(CHIRP, bank, seed), "test", len(prompted.clips))
    return batch.target(sounding=None)[:, 0]
