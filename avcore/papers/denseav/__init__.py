"""DenseAV: separating the chirp from the chat (Hamilton et al., CVPR 2024).

`similarity`  Eqs. 1 and 2: the volume, and every way to pool it without holding it
`losses`      InfoNCE, the disentangling term, the stability terms
`model`       dual encoder, with `aligners`; as published too, from the authors' weights (`keys`)
`small`       the same for the stage; `official` reads and prepares for the published model
`training`    one recipe of weights, aligner warm-up, then everything
`scenes`      what the chapters and claims learn from and are measured on
`evaluation`  prompted segmentation, retrieval, what each head hears
"""

from avcore.papers.denseav.aligners import AudioAligner, ImageAligner
from avcore.papers.denseav.evaluation import (
    encode,
    head_scores,
    heatmaps,
    prompted_segmentation,
    recipe_maps,
    retrieval,
    retrieval_ceiling,
)
from avcore.papers.denseav.losses import (
    disentanglement,
    info_nce,
    nonnegative_pressure,
    silence,
    temperature_balance,
    temporal_smoothness,
)
from avcore.papers.denseav.model import DenseAV, Features, mask_steps
from avcore.papers.denseav.similarity import (
    HEAD_POOLS,
    POOLS,
    global_similarity,
    paired_volume,
    pooled_similarity,
    similarity_volume,
)
from avcore.papers.denseav.small import audible, small_denseav
from avcore.papers.denseav.training import Clips, Recipe, total_loss, train

__all__ = [
    "HEAD_POOLS",
    "POOLS",
    "AudioAligner",
    "Clips",
    "DenseAV",
    "Features",
    "ImageAligner",
    "Recipe",
    "audible",
    "disentanglement",
    "encode",
    "global_similarity",
    "head_scores",
    "heatmaps",
    "info_nce",
    "mask_steps",
    "nonnegative_pressure",
    "paired_volume",
    "pooled_similarity",
    "prompted_segmentation",
    "recipe_maps",
    "retrieval",
    "retrieval_ceiling",
    "silence",
    "similarity_volume",
    "small_denseav",
    "temperature_balance",
    "temporal_smoothness",
    "total_loss",
    "train",
]
