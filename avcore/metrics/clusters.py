"""Which cluster is which class: the best one-to-one matching, and how far the two agree."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from avcore.support import AvcoreError


class Matching(NamedTuple):
    """Classes for clusters.

    Attributes
    ----------
    class_of
        (K,) int64: the class of each cluster, -1 where none is left for it.
    accuracy
        The share of the samples whose cluster is matched to their class.
    """

    class_of: Tensor
    accuracy: float


def match_clusters(
    clusters: Tensor, labels: Tensor, n_clusters: int | None = None, n_classes: int | None = None
) -> Matching:
    """The one-to-one matching of clusters and classes with the most agreeing samples.

    Found exactly by the Hungarian algorithm (Kuhn, 1955), where the public code of CSOL takes the
    best of a million random permutations. Match on other samples than those that are scored.

    Parameters
    ----------
    clusters, labels
        (N,) int64: the cluster and the class of each sample.
    n_clusters, n_classes
        How many there are; by default the largest number that occurs, plus one. A class that no
        sample has may be matched to a cluster that is left over.

    Raises
    ------
    AvcoreError
        For no samples, different lengths, or numbers outside of the ranges.
    """
    table = contingency(clusters, labels, n_clusters, n_classes)
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    class_of = torch.full((len(table),), -1)
    class_of[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return Matching(class_of, table[rows, columns].sum().item() / len(clusters))


def contingency(
    clusters: Tensor, labels: Tensor, n_clusters: int | None = None, n_classes: int | None = None
) -> Tensor:
    """How many samples of each class are in each cluster, (n_clusters, n_classes) int64."""
    if clusters.ndim != 1 or clusters.shape != labels.shape or not len(clusters):
        raise AvcoreError(
            "clusters and labels want one number per sample, got "
            f"{tuple(clusters.shape)} and {tuple(labels.shape)}"
        )
    rows = int(clusters.max()) + 1 if n_clusters is None else n_clusters
    columns = int(labels.max()) + 1 if n_classes is None else n_classes
    for name, values, count in (("clusters", clusters, rows), ("labels", labels, columns)):
        if values.min() < 0 or values.max() >= count:
            raise AvcoreError(f"{name} lie between 0 and {count - 1}, got {int(values.max())}")
    flat = torch.bincount(clusters.long() * columns + labels.long(), minlength=rows * columns)
    return flat.view(rows, columns)


def mutual_information(clusters: Tensor, labels: Tensor) -> float:
    """Normalised mutual information of clusters and classes (N,), in [0, 1]; see scikit-learn."""
    contingency(clusters, labels)  # refuses what does not fit
    return float(normalized_mutual_info_score(labels.numpy(), clusters.numpy()))
