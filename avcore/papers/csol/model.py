"""The published networks: correspondence with class heads, and class maps from a dictionary.

Source: Hu et al., "Class-aware Sounding Objects Localization via Audiovisual Correspondence"
(TPAMI 2021), and its public code, whose layer names and order of operations are kept. In the code
the map that filters silent objects is soft, not binary as in the text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.official import only_tensors
from avcore.nn.weights import fill
from avcore.support import AvcoreError, CheckpointError, require

FEATURES, EMBEDDING = 512, 128  # channels of the trunks, and of what is compared


class Localised(NamedTuple):
    """What stage one gives for B pictures with their sounds; its map has h × w places."""

    av_score: Tensor  # (B,): the greatest value of the map, whether the two belong together
    av_map: Tensor  # (B, 1, h, w) in [0, 1]: where the sound comes from
    visual: Tensor  # (B, 512, h, w): features of the picture, before anything is averaged
    audio_feature: Tensor  # (B, 512): features of the sound
    v_logits: Tensor  # (B, K): the class of the picture
    a_logits: Tensor  # (B, K): the class of the sound


class ClassAware(NamedTuple):
    """What stage two gives for B pictures with their sounds."""

    av_map: Tensor  # (B, 1, h, w) in [0, 1]: where any sound comes from
    class_maps: Tensor  # (B, K, h, w): one map for each class, filtered by `av_map`
    sounding_logits: Tensor  # (B, K): their means over the places
    a_logits: Tensor  # (B, K): the classes of the sound


class Trunk(nn.Module):
    """ResNet-18 whose last stage keeps its size: pictures or log-mel -> (B, 512, H/16, W/16).

    Like the public code, it holds two first layers, for three channels and for one, and a
    classifier that is not used.
    """

    conv1: nn.Conv2d
    bn1: nn.BatchNorm2d
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential
    fc: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        whole: Any = require("torchvision.models", "media").resnet18()
        self.conv1_a = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"):
            setattr(self, name, getattr(whole, name))
        first: Any = self.layer4[0]
        first.conv1.stride = first.downsample[0].stride = (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        start = self.conv1 if x.shape[1] == 3 else self.conv1_a
        x = functional.max_pool2d(torch.relu(self.bn1(start(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class StageOne(nn.Module):
    """Correspondence on single sources, with a class head for each sense.

    Parameters
    ----------
    classes
        K, the clusters of the object dictionary.
    """

    def __init__(self, classes: int = 11) -> None:
        super().__init__()
        self.visual_net, self.audio_net = Trunk(), Trunk()
        self.conv_v_1 = nn.Conv2d(FEATURES, EMBEDDING, 1)
        self.conv_v_2 = nn.Conv2d(EMBEDDING, EMBEDDING, 1)
        self.fc_a_1 = nn.Linear(FEATURES, EMBEDDING)
        self.fc_a_2 = nn.Linear(EMBEDDING, EMBEDDING)
        self.conv_av = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(self.conv_av.weight, 5.0)
        self.v_class_layer = nn.Linear(FEATURES, classes)
        self.a_class_layer = nn.Linear(FEATURES, classes)

    @classmethod
    def from_official(cls, state_dict: dict[str, Tensor]) -> Any:
        """The network with published weights, in evaluation mode.

        Raises
        ------
        CheckpointError
            When it is no state dict, or a weight is missing, unknown or of another shape; it is
            named.
        """
        head = only_tensors(state_dict, "this").get("v_class_layer.weight")
        if head is None or head.ndim != 2:
            raise CheckpointError("this state dict is of another model: no v_class_layer.weight")
        with torch.device("meta"):
            model = cls(len(head))
        fill(model, state_dict, "this state dict", assign=True)
        return model.eval()

    def forward(self, image: Tensor, audio: Tensor) -> Localised:
        """Pictures (B, 3, H, W), normalised as ImageNet, and log-mel (B, 1, frames, n_mels)."""
        visual, heard, av_map = self.localise(image, audio)
        return Localised(
            av_map.amax((1, 2, 3)),
            av_map,
            visual,
            heard,
            self.v_class_layer(visual.mean((2, 3))),
            self.a_class_layer(heard),
        )

    def localise(self, image: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of pictures (B, 512, h, w) and sounds (B, 512), and their maps (B, 1, h, w)."""
        visual, heard, v, a = self.embed(image, audio)
        cosine = torch.einsum("bchw,bc->bhw", v, a)[:, None]
        return visual, heard, torch.sigmoid(self.conv_av(cosine))

    def embed(self, image: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The features, and unit embeddings of places (B, 128, h, w) and sounds (B, 128)."""
        if len(image) != len(audio) or image.shape[1] != 3 or audio.shape[1] != 1:
            raise AvcoreError(
                "pictures (B, 3, H, W) and log-mel (B, 1, frames, n_mels) are wanted, got "
                f"{tuple(image.shape)} and {tuple(audio.shape)}"
            )
        visual = self.visual_net(image)
        heard = self.audio_net(audio).amax((2, 3))
        v = functional.normalize(self.conv_v_2(torch.relu(self.conv_v_1(visual))), dim=1)
        a = functional.normalize(self.fc_a_2(torch.relu(self.fc_a_1(heard))), dim=1)
        return visual, heard, v, a


class StageTwo(StageOne):
    """Class maps from an object dictionary, filtered by where the sound comes from."""

    def __init__(self, classes: int = 11) -> None:
        super().__init__(classes)
        self.obj_conv = nn.Conv3d(1, 1, 1)

    def forward(  # type: ignore[override]
        self, image: Tensor, audio: Tensor, dictionary: Tensor
    ) -> ClassAware:
        """Pictures and log-mel as in stage one, and the object dictionary (K, 512)."""
        visual, heard, av_map = self.localise(image, audio)
        if dictionary.shape != (self.v_class_layer.out_features, FEATURES):
            raise AvcoreError(
                f"the dictionary wants shape ({self.v_class_layer.out_features}, {FEATURES}), "
                f"got {tuple(dictionary.shape)}"
            )
        products = torch.einsum("bchw,kc->bkhw", visual, dictionary)
        class_maps = self.obj_conv(products[:, None])[:, 0] * av_map
        return ClassAware(av_map, class_maps, class_maps.mean((2, 3)), self.a_class_layer(heard))
