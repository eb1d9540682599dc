"""Pictures: normalisation, mirror images, augmentation."""

from __future__ import annotations

import torch

from avcore.nn import pictures


def test_bytes_and_fractions_are_normalised_alike():
    image = torch.randint(0, 256, (2, 5, 3, 4, 6), dtype=torch.uint8)
    values = pictures.normalise(image)
    torch.testing.assert_close(values, pictures.normalise(image.float() / 255))
    for channel, (mean, std) in enumerate(zip(pictures.MEAN, pictures.STD, strict=True)):
        expected = (image[:, :, channel] / 255 - mean) / std
        torch.testing.assert_close(values[:, :, channel], expected)


def test_about_half_of_the_pictures_are_mirrored_and_none_is_changed_otherwise():
    torch.manual_seed(0)
    image = torch.rand(200, 3, 4, 6)
    found = pictures.mirror_at_random(image)
    same = (found == image).flatten(1).all(1)
    assert (found[~same] == image[~same].flip(-1)).all()
    assert 70 < same.sum() < 130


def test_augmented_pictures_stay_pictures_and_differ():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32).expand(6, -1, -1, -1)
    changed = pictures.augment(image)
    assert changed.shape == image.shape
    assert 0 <= changed.min() and changed.max() <= 1
    assert (changed[0] - changed[1]).abs().mean() > 0.01
