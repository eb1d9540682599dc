"""Contrastive losses equal loops over the batch."""

from __future__ import annotations

import math

import pytest
import torch

from avcore.nn import losses


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 5, generator=torch.Generator().manual_seed(1))


def test_info_nce_equals_a_loop_over_sounds_and_pictures(logits):
    rows = [-math.log(math.exp(logits[i, i]) / sum(map(math.exp, logits[i]))) for i in range(5)]
    columns = [
        -math.log(math.exp(logits[i, i]) / sum(map(math.exp, logits[:, i]))) for i in range(5)
    ]
    expected = (sum(rows) + sum(columns)) / 10
    assert losses.info_nce(logits).item() == pytest.approx(expected, abs=1e-5)


def test_pair_bce_equals_a_loop_over_sounds(logits):
    pairs = [
        math.log1p(math.exp(-logits[i, i])) + math.log1p(math.exp(logits[i, (i + 1) % 5]))
        for i in range(5)
    ]
    assert losses.pair_bce(logits).item() == pytest.approx(sum(pairs) / 10, abs=1e-5)
