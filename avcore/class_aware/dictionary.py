"""The object dictionary: what objects look like, by cluster, found without any label.

Source: CSOL, Sec. 3.2. Where the sound comes from, the features of the picture are averaged;
k-means of the averages gives pseudo-labels, and the mean of each cluster its entry. Deviation: the
small network's map is stretched to its own range before it is cut; `published_mask` is that of the
public code.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.nn import functional

from avcore import metrics
from avcore.support import AvcoreError

CUT = 0.5  # of the stretched map
STARTS = 20  # of k-means; with four, every second seed ended with two classes in one cluster


class ObjectDictionary(NamedTuple):
    """Entries (K, C), the means of the clusters, and the cluster of each sample, (N,) int64."""

    entries: Tensor
    labels: Tensor


def object_features(visual: Tensor, av_map: Tensor, cut: float = CUT) -> Tensor:
    """Mean of features (N, C, h, w) where maps (N, h, w), each stretched to 0 … 1, reach `cut`."""
    weight = picked_out(av_map, cut).to(visual.dtype)
    return torch.einsum("nchw,nhw->nc", visual, weight) / weight.sum((1, 2))[:, None]


def picked_out(av_map: Tensor, cut: float = CUT) -> Tensor:
    """Where maps (N, h, w), each stretched to 0 … 1, reach `cut`; all places of a constant map."""
    constant = av_map.amin((1, 2), keepdim=True) == av_map.amax((1, 2), keepdim=True)
    return (metrics.stretched(av_map) >= cut) | constant


def published_mask(av_map: Tensor, cut: float = 0.05) -> Tensor:
    """The mask of the public code: maps (N, h, w) above `cut`, grown by their four neighbours."""
    inside = (av_map > cut).to(av_map.dtype)[:, None]
    cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]]).to(inside)[None, None]
    return functional.conv2d(inside, cross, padding=1)[:, 0] > 0


def build_dictionary(features: Tensor, clusters: int, seed: int = 0) -> ObjectDictionary:
    """k-means of object features (N, C), each at unit length; entries are means of the features.

    A cluster in which no sample is left, as when samples are equal, keeps the centre of k-means.

    Raises
    ------
    AvcoreError
        When there are fewer samples than clusters, or features are not finite.
    """
    if not 1 <= clusters <= len(features):
        raise AvcoreError(f"{len(features)} samples cannot make {clusters} clusters")
    if not features.isfinite().all():
        raise AvcoreError("object features are not finite; was the map NaN?")
    points = functional.normalize(features.double(), dim=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct samples than clusters
        means = KMeans(clusters, n_init=STARTS, random_state=seed).fit(points.numpy())
    labels = torch.from_numpy(means.labels_).long()
    entries = torch.from_numpy(means.cluster_centers_).to(features.dtype)
    for k in labels.unique().tolist():
        entries[k] = features[labels == k].mean(0)
    return ObjectDictionary(entries, labels)
