"""The cross-modal referrer: what looks like class k, where it is heard, and whether it is in view.

Source: IEr, its section on the cross-modal referrer, and the five masks of the supplement.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avcore.class_aware.network import SmallLocaliser
from avcore.papers.ier.identifier import Identifier
from avcore.support import AvcoreError, choose

SEEN_SHARE = 0.05  # of the picture: an object that covers as much counts as wholly in view
# Where each mask is cut: the best of several on validation scenes. The paper gives no values.
CUTS = {"fixed": 0.3, "batch max": 0.3, "image max": 0.5, "batch mean": 3.0}

MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "fixed": lambda maps: (maps > CUTS["fixed"]).float(),
    "batch max": lambda maps: (maps > CUTS["batch max"] * maps.amax()).float(),
    "image max": lambda maps: (
        maps > CUTS["image max"] * maps.amax((1, 2, 3), keepdim=True)
    ).float(),
    "image mean": lambda maps: maps,
    "batch mean": lambda maps: (maps > CUTS["batch mean"] * maps.mean()).float(),
}


class Referred(NamedTuple):
    """What the referrer finds in B pictures with their sounds, for each of K classes."""

    looks: Tensor  # (B, K, h, w) in [0, 1]: L^v, what looks like the class; a softmax over k
    places: Tensor  # (B, K, h, w) in [0, 1]: l(f^v, F_k), where the class is heard
    heard: Tensor  # (B, K): logits of "the class is heard", of the identifier
    in_view: Tensor  # (B, K) in [0, 1]: how much of the picture looks like the class
    volume: Tensor | None = None  # (S, S, h, w): logits of S solos, each in every picture

    def maps(self, silent: bool = True, off_screen: bool = True) -> Tensor:
        """Class-specific maps (B, K, h, w), with the filter for silent objects and for off screen.

        Without both they say what looks like a class. The filter for silent objects asks the
        sound twice: whether the class is heard, and where. The filter for off screen asks the
        picture whether there is such an object at all.
        """
        found = self.looks
        if silent:
            found = found * self.places * self.heard.sigmoid()[:, :, None, None]
        return found * self.in_view[:, :, None, None] if off_screen else found

    def distribution(self, off_screen: bool = True) -> Tensor:
        """p^av (B, K): the classes that are heard, those out of view weighted down."""
        weight = self.in_view if off_screen else torch.ones_like(self.in_view)
        found = self.heard.softmax(1) * weight
        return found / found.sum(1, keepdim=True).clamp(min=1e-8)


class Referrer(nn.Module):
    """Looks for each of the identifier's K features in the picture.

    Parameters
    ----------
    network
        Of stage one; copied, and trained further.
    identifier
        Copied, and left as it is.
    dictionary
        P^v (K, 152), the entries of the object dictionary, in the identifier's order.
    mask
        How it is decided what is in view, one of `MASKS`.
    """

    def __init__(
        self,
        network: SmallLocaliser,
        identifier: Identifier,
        dictionary: Tensor,
        mask: str = "image max",
    ) -> None:
        super().__init__()
        choose(MASKS, mask, "mask")
        if len(dictionary) != len(identifier.prototypes):
            raise AvcoreError(
                f"the dictionary has {len(dictionary)} entries, and the identifier "
                f"{len(identifier.prototypes)} prototypes"
            )
        self.mask = mask
        self.network, self.identifier = copy.deepcopy(network), copy.deepcopy(identifier)
        self.identifier.requires_grad_(False)
        self.register_buffer("dictionary", dictionary.clone())

    dictionary: Tensor

    def train(self, mode: bool = True) -> Referrer:
        """The streams learn; the identifier and all running statistics stay as they are."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        self.identifier.eval()
        return self

    def forward(
        self, seen: Tensor, mel: Tensor, solos: tuple[Tensor, Tensor] | None = None
    ) -> Referred:
        """What the eye saw (B, 152, h, w) and log-mels (B, 64, n); of `solos` the volume too."""
        objects, _, places = self.network.look(seen)
        looks = self.network.object_maps(objects, self.dictionary).softmax(1)
        features, heard = self.identifier(mel)
        sound = self.network.embed_sound(features.flatten(0, 1)).unflatten(0, heard.shape)
        cosine = torch.einsum("bchw,bkc->bkhw", places, sound)
        where = self.network.location_logits(cosine).sigmoid()
        volume = None if solos is None else self.network(*solos, pairs=True).volume
        return Referred(looks, where, heard, in_view(looks, self.mask), volume)


def in_view(looks: Tensor, mask: str = "image max") -> Tensor:
    """Whether each class is in the picture, (B, K) in [0, 1], from its map (B, K, h, w).

    The share of places inside the mask, of which `SEEN_SHARE` is enough; with "image mean", the
    mean over the greatest mean of the picture. No gradient passes.
    """
    inside = choose(MASKS, mask, "mask")(looks.detach()).mean((2, 3))
    if mask == "image mean":
        return inside / inside.amax(1, keepdim=True).clamp(min=1e-8)
    return (inside / SEEN_SHARE).clamp(max=1)
