"""Trivial baselines: one convention for all maps."""

from __future__ import annotations

import pytest
import torch

from avcore.metrics import baselines

IMAGE = torch.randint(0, 256, (3, 3, 12, 20), generator=torch.Generator().manual_seed(0))
MAPS = {
    "everything": baselines.everything((3, 12, 20)),
    "nothing": baselines.nothing((3, 12, 20)),
    "centre": baselines.centre((3, 12, 20)),
    "saliency": baselines.saliency(IMAGE.to(torch.uint8)),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_have_one_shape_type_and_range(name):
    maps = MAPS[name]
    assert maps.shape == (3, 12, 20) and maps.dtype == torch.float32
    assert 0 <= maps.min() and maps.max() <= 1


def test_everything_marks_all_and_nothing_marks_none():
    assert MAPS["everything"].min() == 1 and MAPS["nothing"].max() == 0


def test_the_centre_is_one_and_falls_to_zero_in_the_corners():
    one = baselines.centre((1, 5, 5))[0]
    assert one[2, 2] == 1 and one[0, 0] == 0
    assert one[2, 1] == pytest.approx(1 - 0.5 / 2**0.5)
    assert one.equal(one.T) and one.equal(one.flip(0))


def test_the_most_unlike_colour_is_the_most_salient():
    image = torch.full((1, 3, 40, 40), 90, dtype=torch.uint8)
    image[0, 0, 10:20, 25:35] = 250
    map_ = baselines.saliency(image)[0]
    assert divmod(int(map_.argmax()), 40) == (14, 29)
    assert map_.max() == 1


def test_a_picture_of_one_colour_has_no_salient_place():
    assert baselines.saliency(torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)).max() < 0.01


def test_maps_do_not_share_memory():
    maps = baselines.centre((2, 4, 4))
    maps[0] = 0
    assert maps[1].max() > 0
