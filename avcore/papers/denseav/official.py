"""The published DenseAV: DINO ViT-S/8 and HuBERT large, filled from the authors' checkpoints.

Source: https://github.com/mhamilton723/DenseAV, checkpoints `denseav_sound.ckpt`,
`denseav_language.ckpt` and `denseav_2head.ckpt` (sound and language).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from avcore.nn.pictures import normalise
from avcore.nn.weights import read_any
from avcore.papers.denseav.model import DenseAV
from avcore.support import CheckpointError

IMAGE_SIZE = 224  # pixels
HEADS = {"denseav_sound": 1, "denseav_language": 1, "denseav_2head": 2}
WHERE = (
    "download denseav_2head.ckpt, denseav_sound.ckpt or denseav_language.ckpt from the list of "
    "models of https://github.com/mhamilton723/DenseAV and give its path"
)


def load_file(path: str | Path, heads: int | None = None, fold: bool = False) -> DenseAV:
    """The published model from a downloaded checkpoint file; only weights are read from it.

    Without `heads` the file's name decides, see `HEADS`; an unknown name has two.
    """
    heads = heads or HEADS.get(Path(path).stem, 2)
    content = read_any(path, WHERE)
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise CheckpointError(f"{path} is not a checkpoint of DenseAV; {WHERE}")
    return DenseAV.from_official(weights, heads, fold)


def prepare_waveform(waveform: Tensor) -> Tensor:
    """(B, n) -> the same with mean 0 and variance 1 a sound, as HuBERT was trained; the official
    code adds 1e-7 to the variance, and so does this."""
    mean, variance = waveform.mean(-1, keepdim=True), waveform.var(-1, keepdim=True, correction=0)
    return (waveform - mean) / torch.sqrt(variance + 1e-7)


def prepare_image(image: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> resized and cut to 224×224, normalised as ImageNet."""
    height, width = image.shape[-2:]
    factor = IMAGE_SIZE / min(height, width)
    size = (round(height * factor), round(width * factor))
    image = functional.interpolate(image, size, mode="bilinear", antialias=True)
    top, left = (size[0] - IMAGE_SIZE) // 2, (size[1] - IMAGE_SIZE) // 2
    return normalise(image[..., top : top + IMAGE_SIZE, left : left + IMAGE_SIZE])
