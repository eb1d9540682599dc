"""Both published networks in one, as the trainings call the small network.

Source: CSOL's public code, as in `csol.model`. Deviation: silent objects may be filtered in the
other ways of `class_aware.network.FILTERS` as well.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from avcore.class_aware.network import Output, sounding
from avcore.nn.official import only_tensors
from avcore.nn.pictures import normalise
from avcore.nn.weights import fill, read_any
from avcore.papers.csol.model import StageTwo
from avcore.support import AvcoreError

HINT = "download resnet18-f37072fd.pth of torchvision and give its path"
UNUSED = ("visual_net.conv1_a", "visual_net.fc", "audio_net.conv1.", "audio_net.fc")  # weights


class PublishedLocaliser(StageTwo):
    """`StageTwo`, which answers as a `SmallLocaliser` does.

    Parameters
    ----------
    classes
        K, the clusters of the dictionary.
    """

    def forward(  # type: ignore[override]
        self,
        seen: Tensor,
        mel: Tensor,
        dictionary: Tensor | None = None,
        silent_filter: str = "soft",
        pairs: bool = False,
    ) -> Output:
        """Pictures (B, 3, H, W), uint8 or in [0, 1], and log-mel (B, 64, n).

        `dictionary` (K, 512), `silent_filter` and `pairs` as in `SmallLocaliser`; the map has
        H/16 × W/16 places.
        """
        visual, heard, places, sound = self.embed(normalise(seen), mel.transpose(1, 2)[:, None])
        sharpness = self.conv_av.weight.view(())
        av_logits = sharpness * torch.einsum("bchw,bc->bhw", places, sound)
        volume = class_maps = None
        if pairs:
            volume = sharpness * torch.einsum("ac,vchw->avhw", sound, places)
        if dictionary is not None:
            wanted = (self.v_class_layer.out_features, self.v_class_layer.in_features)
            if dictionary.shape != wanted:
                raise AvcoreError(
                    f"the dictionary wants shape {wanted}, got {tuple(dictionary.shape)}"
                )
            products = torch.einsum("bchw,kc->bkhw", visual, dictionary)
            class_maps = self.obj_conv(products[:, None])[:, 0]
            class_maps = class_maps * sounding(av_logits.sigmoid(), silent_filter)[:, None]
        return Output(
            visual,
            av_logits,
            self.v_class_layer(visual.mean((2, 3))),
            self.a_class_layer(heard),
            places,
            sound,
            volume,
            class_maps,
        )


def fill_eye(model: StageTwo, path: Path | None) -> None:
    """Give the picture's network the public weights of ResNet-18; a warning where there are none.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged or of another network.
    """
    if path is None:
        warnings.warn(f"the picture's network starts from random weights; {HINT}", stacklevel=3)
        return
    weights = only_tensors(read_any(path, HINT), path, HINT)
    own = {"conv1_a.weight": model.visual_net.conv1_a.weight.detach()}
    fill(model.visual_net, {**weights, **own}, path)
