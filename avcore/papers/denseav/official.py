"""The published DenseAV: DINO ViT-S/8 and HuBERT large, filled from the authors' checkpoints.

Source: https://github.com/mhamilton723/DenseAV, checkpoints `denseav_sound.ckpt`,
`denseav_language.ckpt` and `denseav_2head.ckpt` (sound and language).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.hubert import Hubert, from_transformers_key
from avcore.nn.lora import LoRALinear
from avcore.nn.vit import VisionTransformer
from avcore.nn.weights import fill, read_any
from avcore.papers.denseav.model import EPS, AudioAligner, DenseAV, ImageAligner
from avcore.support import CheckpointError

CHANNELS = 384
IMAGE_SIZE = 224  # pixels
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEADS = {"denseav_sound": 1, "denseav_language": 1, "denseav_2head": 2}
WHERE = (
    "download denseav_2head.ckpt, denseav_sound.ckpt or denseav_language.ckpt from the list of "
    "models of https://github.com/mhamilton723/DenseAV and give its path"
)

RENAMED = {  # beginnings of the official names, and ours
    "image_model.base_model.model.model.": "image_encoder.",
    "image_model.model.": "image_encoder.",
    "audio_aligner.mod_list.1.norm.": "audio_aligner.norm.",
    "audio_aligner.mod_list.2.layer.": "audio_aligner.first.",
    "audio_aligner.mod_list.2.cls_layer.": "audio_aligner.cls_layer.",
    "audio_aligner.mod_list.3.layer.": "audio_aligner.second.",
    "audio_aligner.mod_list.4.block.": "audio_aligner.block.",
    "image_aligner.norm.norm.": "image_aligner.norm.",
    "image_aligner.layer.": "image_aligner.layer.",
    "image_aligner.cls_layer.": "image_aligner.cls_layer.",
}
ENDINGS = {".lora_A.default.weight": ".lora_A", ".lora_B.default.weight": ".lora_B"}
SINGLE = {"sim_cal.w": "log_scale", "audio_cls": "audio_aligner.token"}


def build(heads: int = 2, lora_rank: int = 8) -> DenseAV:
    """The published architecture with random weights (340 million)."""
    return DenseAV(
        VisionTransformer(eps=EPS, lora_rank=lora_rank),
        Hubert(eps=EPS),
        ImageAligner(CHANNELS, CHANNELS),
        AudioAligner(1024, CHANNELS),
        heads,
    )


def load(weights: dict[str, Tensor], heads: int = 2, fold: bool = False) -> DenseAV:
    """The published model, in evaluation mode.

    It takes what `prepare_image` and `prepare_waveform` give.

    Parameters
    ----------
    weights
        The official state dict.
    heads
        2 for `denseav_2head`, 1 for the others; see `HEADS`.
    fold
        Whether LoRA becomes part of the layers it adapts; otherwise it is kept and can be trained.

    Raises
    ------
    CheckpointError
        When a weight is missing, unknown or of another shape; it is named.
    """
    with torch.device("meta"):
        model = build(heads)
    renamed = {_rename(key): value for key, value in weights.items() if _rename(key)}
    fill(model, renamed, "this state dict", assign=True)
    if fold:
        fold_lora(model)
    return model.eval()


def load_file(path: str | Path, heads: int | None = None, fold: bool = False) -> DenseAV:
    """The published model from a downloaded checkpoint file; only weights are read from it.

    Without `heads` the file's name decides, see `HEADS`; an unknown name has two.
    """
    heads = heads or HEADS.get(Path(path).stem, 2)
    content = read_any(path, WHERE)
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise CheckpointError(f"{path} is not a checkpoint of DenseAV; {WHERE}")
    return load(weights, heads, fold)


def fold_lora(model: nn.Module) -> None:
    """Replace every adapted layer by an ordinary one that does the same."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LoRALinear):
                setattr(module, name, child.folded())


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
    image = image[..., top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    mean, std = (torch.tensor(x, device=image.device).view(3, 1, 1) for x in (MEAN, STD))
    return (image - mean) / std


def _rename(key: str) -> str | None:
    """Our name for an official one; None for a weight without use."""
    if key in SINGLE:
        return SINGLE[key]
    if key.startswith("audio_model.model."):
        name = from_transformers_key(key.removeprefix("audio_model.model."))
        return name and f"audio_encoder.{name}"
    for theirs, ours in RENAMED.items():
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
            break
    for theirs, ours in ENDINGS.items():
        key = key.replace(theirs, ours)
    return key.replace(".base_layer.", ".")
