"""CSOL's network small enough for two cores, on what a frozen eye has seen; IEr starts from it.

Both stages are in one network. Deviations from the published networks: the eye (EfficientNet-Lite0)
stays as it is, so that the dictionary and the class maps are made of its standardised features; the
two streams end in batch normalisation, so that cosines spread from the first step; embeddings, and
features that are compared with the dictionary, are averaged over 3×3 places; class maps are cosines
with the dictionary less its mean, instead of raw products.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.backbones import SoundStream
from avcore.nn.pretrained import CHANNELS, LITE0
from avcore.support import AvcoreError, choose

SEEN = sum(CHANNELS[LITE0][1:3])  # channels of the eye at strides 8 and 16
WIDTH = 128  # of the streams, and of the embeddings that are compared
SHARPNESS = 5.0  # of a class map before the learned scale
FILTERS = ("soft", "binary", "none")


class Output(NamedTuple):
    """What the network gives for B pictures with their sounds, on a grid of h × w places."""

    objects: Tensor  # (B, 152, h, w): the eye's features, standardised per channel
    av_logits: Tensor  # (B, h, w): logits of "the sound comes from here"
    v_logits: Tensor  # (B, K): the class of the picture
    a_logits: Tensor  # (B, K): the classes of the sound
    places: Tensor  # (B, 128, h, w): unit embeddings of the places
    sound: Tensor  # (B, 128): unit embeddings of the sounds
    volume: Tensor | None  # (B, B, h, w): logits of every sound in every picture, where asked for
    class_maps: Tensor | None  # (B, K, h, w): with a dictionary, one map for each entry

    @property
    def av_map(self) -> Tensor:
        """(B, h, w) in [0, 1]: where the sound comes from."""
        return self.av_logits.sigmoid()


class SmallLocaliser(nn.Module):
    """Where the sound comes from, and, with an object dictionary, from which kind of object.

    Parameters
    ----------
    classes
        K, the clusters of the dictionary.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(SEEN, affine=False)
        self.around = Around()
        self.visual_net = nn.Sequential(nn.Conv2d(SEEN, WIDTH, 1), nn.ReLU())
        self.audio_net = SoundStream(WIDTH)
        self.embed_v = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 1),
            nn.BatchNorm2d(WIDTH),
            Around(),
        )
        self.embed_a = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH))
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.bias = nn.Parameter(torch.tensor(-1.0))
        self.v_class_layer = nn.Linear(WIDTH, classes)
        self.a_class_layer = nn.Linear(WIDTH, classes)
        self.obj_scale = nn.Parameter(torch.tensor(1.0))
        self.obj_bias = nn.Parameter(torch.tensor(0.0))

    def forward(
        self,
        seen: Tensor,
        mel: Tensor,
        dictionary: Tensor | None = None,
        silent_filter: str = "soft",
        pairs: bool = False,
    ) -> Output:
        """What the eye saw (B, 152, h, w) and log-mel (B, 64, n).

        Parameters
        ----------
        dictionary
            The entries (K, 152) of an object dictionary, for class maps.
        silent_filter
            How the sounding map keeps silent objects out of them: "soft", multiplied as in the
            public code; "binary", as in the text, where no cut is given: ours is half of the
            maximum; "none".
        pairs
            Whether every sound is looked for in every picture.
        """
        objects, visual, places = self.look(seen)
        heard = self.audio_net(mel)
        sound = self.embed_sound(heard)
        av_logits = self.location_logits(torch.einsum("bchw,bc->bhw", places, sound))
        volume = class_maps = None
        if pairs:
            volume = self.location_logits(torch.einsum("ac,vchw->avhw", sound, places))
        if dictionary is not None:
            class_maps = self.object_maps(objects, dictionary)
            class_maps = class_maps * sounding(av_logits.sigmoid(), silent_filter)[:, None]
        return Output(
            objects,
            av_logits,
            self.v_class_layer(visual.mean((2, 3))),
            self.a_class_layer(heard),
            places,
            sound,
            volume,
            class_maps,
        )

    def look(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of what the eye saw: standardised, as features (B, 128, h, w), and as unit embeddings."""
        objects = self.norm(seen.float())
        visual = self.visual_net(objects)
        return objects, visual, functional.normalize(self.embed_v(visual), dim=1)

    def embed_sound(self, heard: Tensor) -> Tensor:
        """Unit embeddings (N, 128) of sounds' features (N, 128)."""
        return functional.normalize(self.embed_a(heard), dim=1)

    def location_logits(self, cosine: Tensor) -> Tensor:
        """Logits of "the sound comes from here" of cosines, of any shape."""
        return self.log_scale.exp().clamp(max=50) * cosine + self.bias

    def object_maps(self, objects: Tensor, dictionary: Tensor) -> Tensor:
        """Logits (B, K, h, w) of "this looks like entry k", of standardised features."""
        wanted = (self.v_class_layer.out_features, SEEN)
        if dictionary.shape != wanted:
            raise AvcoreError(f"the dictionary wants shape {wanted}, got {tuple(dictionary.shape)}")
        entries = functional.normalize(dictionary - dictionary.mean(0), dim=1)
        places = functional.normalize(self.around(objects), dim=1)
        maps = SHARPNESS * torch.einsum("bchw,kc->bkhw", places, entries)
        return self.obj_scale * maps + self.obj_bias


def sounding(av_map: Tensor, silent_filter: str) -> Tensor:
    """What class maps are multiplied with, from where the sound comes from, (B, h, w) in [0, 1]."""
    choose(FILTERS, silent_filter, "filter")
    if silent_filter == "none":
        return torch.ones_like(av_map)
    if silent_filter == "soft":
        return av_map
    return (av_map >= 0.5 * av_map.amax((1, 2), keepdim=True)).to(av_map.dtype)


class Around(nn.Module):
    """The mean over 3×3 places, (…, h, w), of which those beyond the edge do not count.

    Two small matrix products, which a processor computes several times faster than `nn.AvgPool2d`.
    """

    def forward(self, maps: Tensor) -> Tensor:
        rows, columns = (_near(size, maps) for size in maps.shape[-2:])
        return rows @ maps @ columns.T


def _near(size: int, like: Tensor) -> Tensor:
    """(size, size): which places of a line are next to which, as shares."""
    place = torch.arange(size, device=like.device)
    near = ((place[:, None] - place).abs() <= 1).to(like.dtype)
    return near / near.sum(1, keepdim=True)
