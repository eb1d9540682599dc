"""Clusters and classes: the matching is exact, fast, and refuses what does not fit."""

from __future__ import annotations

import time
from itertools import permutations

import pytest
import torch

from avcore.metrics import match_clusters, mutual_information
from avcore.support import AvcoreError


def noisy(classes: int, count: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels, and clusters that agree with a permutation of them in half of the samples."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    names = torch.randperm(classes, generator=generator)
    other = torch.randint(classes, (count,), generator=generator)
    keep = torch.rand(count, generator=generator) < 0.5
    return torch.where(keep, names[labels], other), labels


@pytest.mark.parametrize("seed", range(3))
def test_no_permutation_agrees_more(seed):
    clusters, labels = noisy(6, seed=seed)
    found = match_clusters(clusters, labels)
    best = max(
        (torch.tensor(order)[clusters] == labels).double().mean().item()
        for order in permutations(range(6))
    )
    assert found.accuracy == pytest.approx(best)
    assert (found.class_of[clusters] == labels).double().mean().item() == pytest.approx(best)


def test_it_is_a_thousand_times_faster_than_a_million_random_permutations():
    clusters, labels = noisy(11)
    began = time.perf_counter()
    found = match_clusters(clusters, labels)
    exact = time.perf_counter() - began
    orders = [torch.randperm(11) for _ in range(300)]
    began = time.perf_counter()
    tried = [(order[clusters] == labels).double().mean().item() for order in orders]
    a_million = (time.perf_counter() - began) / len(orders) * 1e6
    assert found.accuracy >= max(tried)
    assert a_million > 1000 * exact


def test_clusters_that_are_left_over_have_no_class():
    clusters, labels = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0, 0, 0])
    found = match_clusters(clusters, labels)
    assert found.class_of.tolist() == [1, -1, 0] and found.accuracy == 0.75
    absent = match_clusters(torch.tensor([0, 0]), torch.tensor([2, 2]), 3, 3)
    assert absent.class_of[0] == 2 and sorted(absent.class_of.tolist()) == [0, 1, 2]


def test_mutual_information_of_the_same_and_of_nothing():
    labels = torch.arange(12) % 3
    assert mutual_information((labels + 1) % 3, labels) == pytest.approx(1)
    assert mutual_information(torch.zeros(12, dtype=torch.long), labels) == 0


@pytest.mark.parametrize(
    ("clusters", "labels", "said"),
    [
        (torch.tensor([0, 1]), torch.tensor([0]), "one number per sample"),
        (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), "one number"),
        (torch.tensor([0, -1]), torch.tensor([0, 1]), "clusters lie between"),
    ],
)
def test_what_does_not_fit_is_refused(clusters, labels, said):
    with pytest.raises(AvcoreError, match=said):
        match_clusters(clusters, labels)
