"""VGGish: what is wrong with a sound or a file of weights is said in one sentence."""

from __future__ import annotations

import pytest
import torch

from avcore.nn.vggish import VGGish, examples
from avcore.support import AvcoreError, CheckpointError


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_samples_that_are_no_sound_are_refused_at_every_rate(rate):
    wave = torch.zeros(2 * rate)
    assert examples(wave=wave, sample_rate=rate).shape == (2, 1, 96, 64)
    with pytest.raises(AvcoreError, match="floating-point"):
        examples(wave.to(torch.int16), rate)
    for value in (float("nan"), float("inf")):
        wave[7] = value
        with pytest.raises(AvcoreError, match="not finite"):
            examples(wave, rate)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(AvcoreError, match="positive whole numbers, got 0 and 16000 Hz"):
        examples(torch.zeros(16_000), 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {"features.0.weight": torch.zeros(1)}}, "the weights may lie under 'model'"),
        ([torch.zeros(1)], "this is not a state dict"),
        (None, "this is not a state dict"),
        ({}, "of another model: features.0.weight is missing"),
    ],
)
def test_what_is_no_state_dict_of_vggish_is_refused(content, said):
    with pytest.raises(CheckpointError, match=said):
        VGGish.from_official(state_dict=content)
