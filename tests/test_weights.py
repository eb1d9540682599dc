"""Weights of other people: only whole state dicts of the right model are filled in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avcore.nn.official import only_tensors
from avcore.nn.weights import fill
from avcore.support import CheckpointError


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "mine is not a state dict"),
        ({0: torch.zeros(2, 3), "bias": torch.zeros(2)}, "mine is not a state dict: 0 is no name"),
        ({"weight": None, "bias": torch.zeros(2)}, "'weight' is no tensor"),
        ({"model": {"weight": torch.zeros(2, 3)}}, "the weights may lie under 'model'"),
        ({"bias": torch.zeros(2)}, "weight is missing there"),
        ({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, r"weight is \(2, 2\) there"),
    ],
)
def test_foreign_weights_are_one_clear_sentence_and_change_nothing(weights, message):
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError, match=message) as caught:
        fill(model, weights, "mine")
    assert "\n" not in str(caught.value)
    assert model.weight.equal(before)


def test_a_hint_says_where_to_get_the_weights():
    with pytest.raises(CheckpointError, match="0 is no name; look elsewhere"):
        only_tensors({0: torch.zeros(1)}, "mine", "look elsewhere")
