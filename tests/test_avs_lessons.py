"""What chapters 40 and 41 ask of a trained network beside its scores."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.papers import avs
from avcore.papers.avs import experiments, lessons
from avcore.stage import render

pytest.importorskip("timm", reason="the eye extra is not installed")
COUNT = 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = experiments.make_data("pair", "smoke", 0, counts=(1, 1, COUNT))
        yield data, render(avs.ClipMaker("pair").stage, "test", COUNT)


def test_the_next_that_fits_is_taken_and_the_next_of_all_where_none_does():
    fits = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]).bool()
    assert lessons.next_fitting(fits).tolist() == [2, 2, 0, 3]


def test_other_sounds_are_what_they_are_called(pair):
    data, scenes = pair
    instead = lessons.sounds_instead(data.test, scenes, data.silence, seed=3)
    assert list(instead) == ["other object", "off-screen", "silence", "noise"]
    voice, found = lessons.voice_of(scenes), {}
    for name in ("other object", "off-screen"):
        same = (instead[name].heard[:, None] == data.test.heard).flatten(2).all(2)
        assert (same.sum(1) == 1).all()
        found[name] = voice[same.int().argmax(1)]
    for i in range(COUNT):
        assert found["off-screen"][i] not in scenes.class_id[i]
        mute = scenes.class_id[i][~scenes.sounding[i]].item()
        assert found["other object"][i] == mute or mute not in voice
    assert (instead["silence"].heard == data.silence).all()
    assert torch.equal(instead["noise"].heard[:, 0], instead["noise"].heard[:, 4])
    assert instead["noise"].heard[0, 0].ne(instead["noise"].heard[1, 0]).any()
    for each in instead.values():
        assert each.masks is data.test.masks and each.maps is data.test.maps


def test_joined_clips_change_sound_and_masks_and_keep_the_picture(pair):
    before = pair[0].test
    after = replace(before, heard=before.heard + 1, masks=~before.masks)
    both = lessons.joined(before, after, 3)
    assert torch.equal(both.heard[:, :3], before.heard[:, :3])
    assert torch.equal(both.heard[:, 3:], after.heard[:, 3:])
    assert torch.equal(both.masks[:, :3], before.masks[:, :3])
    assert torch.equal(both.masks[:, 3:], after.masks[:, 3:])
    assert both.maps is before.maps


def test_the_share_of_pixels_that_is_marked():
    logits = torch.tensor([[[[1.0, -1.0], [1.0, 1.0]]]])
    pixels = torch.tensor([[[[True, True], [False, True]]]])
    assert lessons.covered(logits, pixels).item() == pytest.approx(2 / 3)
    assert lessons.covered(logits, torch.zeros_like(pixels)).item() == 0
