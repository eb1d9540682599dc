"""Scores, as the papers' code computes them: one value per sample first, averages afterwards.

`localization` asks where (IoU, success curve, pointing, CSOL's class-aware protocol),
`segmentation` asks which pixels (AVSBench's mIoU and F, average precision, the oracle IoU),
`retrieval` asks which partner (recall at k) and which head (DenseAV's disentanglement);
`separation` asks how well mixed sounds were taken apart (SI-SDR, BSS Eval, the on/off loss);
`baselines` has the maps that a localiser must beat.

All functions take tensors or arrays, never change them, and answer on the CPU or GPU they are
given. Scores that are not finite, or shapes that do not fit, raise one clear `AvcoreError`.
"""

from avcore.metrics.clusters import match_clusters, mutual_information
from avcore.metrics.localization import (
    best_threshold,
    ciou,
    class_aware_localization,
    class_aware_scores,
    iou,
    pointing,
    resize_maps,
    stretched,
    success_auc,
    success_curve,
    threshold_map,
)
from avcore.metrics.retrieval import head_disentanglement, recall_at_k
from avcore.metrics.segmentation import (
    average_precision,
    average_precisions,
    best_iou,
    f_curves,
    f_measure,
    mask_iou,
    mask_ious,
)
from avcore.metrics.separation import bss_eval, on_off_loss, si_sdr, si_sdr_gain

__all__ = [
    "average_precision",
    "average_precisions",
    "best_iou",
    "best_threshold",
    "bss_eval",
    "ciou",
    "class_aware_localization",
    "class_aware_scores",
    "f_curves",
    "f_measure",
    "head_disentanglement",
    "iou",
    "mask_iou",
    "mask_ious",
    "match_clusters",
    "mutual_information",
    "on_off_loss",
    "pointing",
    "recall_at_k",
    "resize_maps",
    "si_sdr",
    "si_sdr_gain",
    "stretched",
    "success_auc",
    "success_curve",
    "threshold_map",
]
