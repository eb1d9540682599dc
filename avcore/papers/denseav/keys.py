"""The names of the weights: the authors' checkpoints in our words."""

from __future__ import annotations

from avcore.nn.hubert import from_transformers_key

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


def rename(key: str) -> str | None:
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
