"""What chapters 50 and 51 ask of a trained network beside the claims' experiments.

Negatives under one threshold follow Juanola et al. ("A critical assessment of visual sound source
localization models including negative audio", 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from avcore import metrics
from avcore.audio import log_mel, set_level
from avcore.papers.denseav.evaluation import encode, head_scores, heatmaps
from avcore.papers.denseav.experiments import two_sets
from avcore.papers.denseav.model import DenseAV
from avcore.papers.denseav.scenes import CHIRP, KINDS, Data, Prompted
from avcore.papers.denseav.small import audible
from avcore.papers.denseav.training import Clips
from avcore.stage import AssetBank, Scene, SceneBatch, Source, Stage, render
from avcore.stage.media import MediaBank
from avcore.support import MediaError, by_scale

CUTS = 60  # thresholds that are tried
LEVEL_DB = -26.0  # of the noise, re. full scale
ANIMALS = (
    *("bear", "camel", "chimpanzee", "cow", "dolphin", "elephant", "fox", "frog"),
    *("gorilla", "horse", "koala", "lion", "owl", "penguin", "tiger", "zebra"),
)  # whose photographs are named in chapter 51
ABROAD = {
    "be": "Belarusian", "bg": "Bulgarian", "ca": "Catalan", "da": "Danish", "el": "Greek",
    "es": "Spanish", "fr": "French", "nl": "Dutch", "ro": "Romanian", "ru": "Russian",
}  # languages other than English in which people say the names  # fmt: skip
BOTH = replace(CHIRP, kind="both", names=(1, 1))  # one object sounds, a voice names one


def universal_threshold(model: DenseAV, val: Prompted) -> float:
    """The one threshold for all maps of a network with the best mean IoU on validation scenes."""
    large = metrics.resize_maps(heatmaps(*encode(model, val.clips), model.heads),
                                val.target.shape[-1])  # fmt: skip
    cuts = torch.linspace(0, max(large.max().item(), 1e-6), CUTS)
    return metrics.best_threshold(large, val.target, cuts)


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


def visible(
    prompted: Prompted, seed: int, bank: AssetBank | None = None, kind: str = "chirp"
) -> Tensor:
    """All visible objects of held-out scenes, (N, H, W) bool: what the blind oracle marks.

    The scenes are rendered again; they must be those of `make_data` with this seed, bank and kind.
    """
    batch: SceneBatch = render(Stage(KINDS[kind], bank, seed), "test", len(prompted.clips))
    return batch.target(sounding=None)[:, 0]


def two_kinds(condition: str, scale: str, seed: int) -> Data:
    """Two sets of scenes as `experiments.two_sets` makes them, with fewer scenes for a chapter."""
    counts = by_scale(scale, smoke=(32, 16, 16), quick=(900, 60, 200), full=(10_000, 500, 1000))
    return two_sets(condition, scale, seed, counts)


def senses_apart(
    model: DenseAV, kinds: Mapping[str, Prompted], heads: int = 2
) -> dict[str, dict[str, float]]:
    """Pred.Dis and Act.Dis with "both senses", with "sounds alone" and with "pictures alone".

    For sounds alone every picture is replaced by the mean picture of both kinds, for pictures
    alone every sound by the mean step with sound: the other sense hears or sees no difference.
    """
    encoded = [encode(model, kinds[kind].clips) for kind in ("chat", "chirp")]
    audio = torch.cat([features.audio for features, _ in encoded])
    marked = torch.cat([mask for _, mask in encoded])[:, None, None].to(audio.dtype)
    step = (audio * marked).sum((0, 3), keepdim=True) / marked.sum().clamp_min(1)
    picture = torch.cat([features.image for features, _ in encoded]).mean(0, keepdim=True)
    ways = {
        "both senses": encoded,
        "sounds alone": [(f._replace(image=picture.expand_as(f.image)), m) for f, m in encoded],
        "pictures alone": [
            (f._replace(audio=step.expand_as(f.audio)), torch.ones_like(m)) for f, m in encoded
        ],
    }
    return {
        name: metrics.head_disentanglement(*(head_scores(*each, heads) for each in pair))
        for name, pair in ways.items()
    }


def voice(scene: Scene) -> Source:
    """The unseen voice of a scene."""
    return next(source for source in scene.sources if source.kind == "name")


def sounding(scene: Scene) -> Source:
    """The visible object of a scene that sounds."""
    return next(source for source in scene.sources if source.visible and source.sounding)


def crossed(count: int, seed: int) -> list[Scene]:
    """Held-out scenes of two objects: one sounds, and a voice names the other."""
    stage, index = Stage(BOTH, seed=seed), 0
    found: list[Scene] = []
    while len(found) < count:
        scene = stage.scene("test", index)
        if voice(scene).class_id != sounding(scene).class_id:
            found.append(scene)
        index += 1
    return found


def word_bank(folder: str | Path | None, languages: Sequence[str] = ("en",)) -> MediaBank | None:
    """Photographs of `ANIMALS` whose names a synthesiser says in training and people in the test.

    The synthesiser speaks English, people these languages. None where the photographs or the
    synthesiser's words are not in the cache (`avcore data stamps`, `avcore data words`).
    """
    if folder is None:
        return None
    said = {"train": "synthetic", "val": "synthetic"}
    try:
        return MediaBank(folder, {"test": languages}, words=said, skip_bad=True, only=ANIMALS)
    except MediaError:
        return None
