"""What chapters 50 and 51 ask of a network beside the claims' experiments."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.data.media import stamps
from avcore.papers.denseav import Clips, lessons, small_denseav
from avcore.papers.denseav.experiments import SAME, SOUNDS, make_data
from avcore.training import seeded


@pytest.fixture(scope="module")
def network():
    with seeded(0):
        return small_denseav(heads=2)


@pytest.fixture(scope="module")
def scenes():
    return make_data(("chirp",), "smoke", 0, counts=(2, 6, 8)).test["chirp"]


def test_an_off_screen_sound_is_of_a_class_that_is_not_shown(scenes):
    other = lessons.off_screen(scenes)
    for shown, heard in zip(scenes.shown, scenes.class_id[other], strict=True):
        assert heard not in shown


def test_negatives_are_maps_of_the_same_pictures(network, scenes):
    found = lessons.negatives(network, scenes)
    assert list(found) == ["own sound", "silence", "noise", "off-screen"]
    assert {tuple(each.shape) for each in found.values()} == {(8, 16, 16)}
    again = lessons.negatives(network, scenes)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_the_universal_threshold_is_among_the_values_of_the_maps(network, scenes):
    cut = lessons.universal_threshold(network, scenes)
    assert 0 <= cut


def test_one_picture_is_asked_about_each_of_its_objects(network):
    asked = lessons.sounds_in_turn(network, 2, seed=0, objects=3)
    assert asked.maps.shape == (6, 16, 16) and asked.target.shape == (6, 128, 128)
    assert len(asked.names) == 6 and asked.hits.shape == (6,)
    assert torch.equal(asked.image[0], asked.image[2])
    assert not torch.equal(asked.image[2], asked.image[3])
    assert not (asked.target[0] & asked.target[1]).all()


def test_the_blind_oracle_marks_the_sounding_object_too(scenes):
    marked = lessons.visible(scenes, seed=0)
    assert (scenes.target & ~marked).sum() == 0 and marked.sum() > scenes.target.sum()


def test_two_kinds_are_words_and_sounds_or_sounds_alone():
    words = lessons.two_kinds(SAME, "smoke", 0)
    assert set(words.test) == {"chat", "chirp"} and len(words.train) == 64
    mute = lessons.two_kinds(SOUNDS, "smoke", 0)
    assert mute.test["chat"].class_id.max() < 6 and mute.test["chirp"].class_id.max() < 6


def test_a_covered_sense_makes_no_difference(network):
    kinds = lessons.two_kinds(SAME, "smoke", 0).test
    found = lessons.senses_apart(network, kinds)
    assert list(found) == ["both senses", "sounds alone", "pictures alone"]
    assert all(0 <= each["pred_dis"] <= 1 for each in found.values())
    seen = kinds["chat"].clips.seen  # of both kinds
    heard = {
        kind: replace(each, clips=Clips(seen, each.clips.heard, each.clips.mask))
        for kind, each in kinds.items()
    }
    alike = lessons.senses_apart(network, heard)["pictures alone"]["pred_dis"]
    assert alike == pytest.approx(0.5, abs=0.12)  # the same pictures twice, in ties


def test_in_crossed_scenes_the_voice_names_the_silent_object():
    for scene in lessons.crossed(3, seed=0):
        named, heard = lessons.voice(scene), lessons.sounding(scene)
        assert named.class_id != heard.class_id and named.words and heard.visible


def test_words_are_said_by_a_synthesiser_in_training_where_they_are_there():
    assert lessons.word_bank(None) is None
    bank = lessons.word_bank(stamps.available())
    if bank is None:
        pytest.skip("the photographs or the synthesiser's words are not here")
    assert set(bank.classes) == set(lessons.ANIMALS)
    assert bank.languages_of(0, "test") == ("en",)
