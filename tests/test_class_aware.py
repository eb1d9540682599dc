"""What CSOL and IEr share: scenes, the object dictionary, the small network, and its measures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.class_aware import lessons
from avcore.class_aware.dictionary import build_dictionary, object_features, published_mask
from avcore.class_aware.evaluation import by_class, class_aware
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import Scenes, draw, stage_of
from avcore.class_aware.solos import UNDER, features_under, stage_one, train_config
from avcore.data.media import stamps
from avcore.metrics import match_clusters
from avcore.stage import render
from avcore.support import AvcoreError

# --- the object dictionary ---------------------------------------------------------------------


def test_object_features_are_means_where_the_map_is_high():
    visual = torch.arange(8.0).view(1, 2, 2, 2)
    av_map = torch.tensor([[[0.0, 1.0], [0.2, 0.9]]])
    assert object_features(visual, av_map).tolist() == [[2.0, 6.0]]  # places 1 and 3
    constant = object_features(visual, torch.full((1, 2, 2), 0.3))
    assert constant.tolist() == [[1.5, 5.5]]  # no place stands out: all count


def test_the_published_mask_grows_by_four_neighbours():
    av_map = torch.zeros(1, 5, 5)
    av_map[0, 2, 2] = 0.06
    assert published_mask(av_map).sum() == 5 and not published_mask(av_map, 0.07).any()


def test_a_dictionary_holds_the_means_of_its_clusters():
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(4)[:3]
    features = centres.repeat(20, 1) + 0.05 * torch.randn(60, 4, generator=generator)
    found = build_dictionary(features, 3)
    label = torch.arange(60) % 3
    assert match_clusters(found.labels, label).accuracy == 1
    for k in range(3):
        torch.testing.assert_close(found.entries[k], features[found.labels == k].mean(0))


def test_a_dictionary_that_cannot_be_made():
    with pytest.raises(AvcoreError, match="3 samples cannot make 4 clusters"):
        build_dictionary(torch.rand(3, 5), 4)
    with pytest.raises(AvcoreError, match="not finite"):
        build_dictionary(torch.full((9, 5), float("nan")), 2)
    equal = build_dictionary(torch.ones(6, 3), 2)  # one cluster stays empty
    assert equal.entries.isfinite().all() and len(equal.labels.unique()) == 1


# --- scenes, training and measures ------------------------------------------------------------


@pytest.fixture(scope="module")
def solos():
    return draw("solo", "train", 24)


@pytest.fixture(scope="module")
def collages():
    return draw("synthetic", "test", 6)


def test_collages_have_two_sounding_and_two_silent_objects(collages):
    assert collages.sounding.sum(1).tolist() == [2] * 6
    assert all(len(boxes) == 2 for boxes in collages.boxes())
    for boxes in collages.boxes():
        for _, x, y, w, h in boxes:
            assert 0 <= x < x + w <= 1 and 0 <= y < y + h <= 1
    assert not (collages.target() & collages.target(False)).any()


def test_alternation_starts_from_the_same_correspondence(solos):
    config = replace(train_config("smoke", 0, "cpu"), progress=False)
    once, again = (stage_one(solos, 5, config, rounds=rounds) for rounds in (0, 1))
    assert torch.equal(once.rounds[0], again.rounds[0])
    assert once.histories[0]["loss"] == again.histories[0]["loss"]


def test_perfect_class_maps_have_perfect_scores(collages):
    classes = 12
    perfect = torch.zeros(6, classes, 128, 128)
    for i, (masks, ids, on) in enumerate(
        zip(collages.masks, collages.class_id, collages.sounding, strict=True)
    ):
        for mask, class_id, sounds in zip(masks, ids, on, strict=True):
            rows, columns = mask.any(1), mask.any(0)
            perfect[i, class_id] = (rows[:, None] & columns).float() * sounds * 20
    found = class_aware(perfect, torch.arange(classes), collages, classes)
    assert found["ciou@0.5"] == 1 and found["nsa"] == 1 and found["silent_pointing"] < 0.2
    shuffled = class_aware(perfect, torch.arange(classes).roll(1), collages, classes)
    assert shuffled["ciou@0.3"] == 0


def test_clusters_without_a_class_are_left_out():
    maps = torch.ones(1, 3, 2, 2) * torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    found = by_class(maps, torch.tensor([1, -1, 1]), 2)
    assert found[0, :, 0, 0].tolist() == [0.0, 5.0]


# --- what the chapters use ---------------------------------------------------------------------


def test_features_are_averaged_where_a_lesson_says(solos):
    torch.manual_seed(0)
    model = SmallLocaliser(4).eval()
    with torch.no_grad():
        out = model(solos.seen, solos.mel)
    found = {where: features_under(model, solos, where) for where in UNDER}
    torch.testing.assert_close(found["map"], object_features(out.objects, out.av_logits))
    torch.testing.assert_close(found["picture"], out.objects.mean((2, 3)), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found["truth"], found["picture"], atol=1e-2)
    with pytest.raises(AvcoreError, match="place"):
        features_under(model, solos, "box")


def test_lessons_show_the_scenes_that_are_drawn(solos):
    assert lessons.pictures("solo", "train", 2).shape == (2, 3, 128, 128)
    again = Scenes.of(render(stage_of("solo"), "train", 2))
    torch.testing.assert_close(again.mel, solos.mel[:2])
    assert torch.equal(again.masks, solos.masks[:2])
    quiet = lessons.silence(solos)
    assert quiet.mel.shape == solos.mel.shape and torch.equal(quiet.mel[0], quiet.mel[1])
    assert torch.equal(quiet.seen, solos.seen)


def test_a_watch_keeps_copies_of_the_calls_it_is_told(solos):
    config = replace(train_config("smoke", 0, "cpu"), progress=False)
    watch = lessons.Watch((1, 4))
    found = stage_one(solos, 5, config, rounds=0, evaluate=watch, evaluate_every=1)
    assert list(watch.kept) == [1, 4] and watch.calls == 4
    last = watch.kept[4].state_dict()
    assert all(torch.equal(each, last[name]) for name, each in found.model.state_dict().items())
    assert not torch.equal(watch.kept[1].bias, watch.kept[4].bias)


def test_crops_show_what_a_map_cuts_out():
    image = torch.full((2, 3, 64, 64), 200, dtype=torch.uint8)
    image[0, :, 16:32, 32:48] = 100
    maps = torch.zeros(2, 8, 8)
    maps[0, 2:4, 4:6] = 1.0
    found = lessons.crops(image, maps, 8)
    assert found.shape == (2, 3, 8, 8)
    assert (found[0] == 100).all() and (found[1] == 200).all()  # a constant map keeps all
    strips = lessons.strips(found, torch.tensor([1, 1]), 2, 3)
    assert [tuple(each.shape) for each in strips] == [(3, 8, 24)] * 2
    assert not strips[0].any() and (strips[1][:, :, :8] == 100).all()
    with pytest.raises(AvcoreError, match="2 pictures but 1 maps"):
        lessons.crops(image, maps[:1])


def test_coverage_and_order_of_objects(collages):
    perfect = collages.target().float()
    assert torch.equal(lessons.covered(perfect, collages, 0.5), collages.sounding)
    with pytest.raises(AvcoreError, match="size of the pictures"):
        lessons.covered(perfect[:, :8, :8], collages, 0.5)
    maps = torch.zeros(6, 12, 4, 4)
    assert (lessons.told_apart(maps, collages) == 0.5).all()  # nothing is told
    for i, (ids, on) in enumerate(zip(collages.class_id, collages.sounding, strict=True)):
        maps[i, ids[on]] = 1.0
    assert (lessons.told_apart(maps, collages) == 1).all()
    assert (lessons.told_apart(-maps, collages) == 0).all()


def test_lessons_know_the_quieter_source_and_sounds_of_nothing_in_view(collages):
    second = lessons.quieter(collages)
    for slot, on in zip(second.tolist(), collages.sounding, strict=True):
        assert on[slot] and on[:slot].sum() == 1
    with pytest.raises(AvcoreError, match="two objects that sound"):
        lessons.quieter(replace(collages, sounding=torch.zeros_like(collages.sounding)))
    wrong = lessons.wrong_sounds(collages)
    assert torch.equal(wrong.seen, collages.seen)
    for i, mel in enumerate(wrong.mel):
        (partner,) = (collages.mel == mel).flatten(1).all(1).nonzero().flatten().tolist()
        heard = set(collages.class_id[partner][collages.sounding[partner]].tolist())
        possible = [
            j
            for j in range(len(collages))
            if not set(collages.class_id[j][collages.sounding[j]].tolist())
            & set(collages.class_id[i].tolist())
        ]
        assert not possible or not heard & set(collages.class_id[i].tolist())
        assert partner != i


def test_what_sounds_moves_in_time():
    twins = lessons.moving_twins(12)
    assert (twins.class_id[:, 0] == twins.class_id[:, 1]).all()
    assert twins.class_id[:, 0].tolist() == list(range(12))
    found = lessons.moves_in_time(twins)
    assert found.shape == (12, 2) and (found.abs() <= 1.001).all()
    still = replace(twins, frames=twins.frames[:, :1].expand(-1, 16, -1, -1, -1))
    assert lessons.moves_in_time(still).abs().max() < 1e-6  # nothing moves
    louder = torch.linspace(0, 1, 16)[None, :, None].expand(12, 16, 1000).flatten(1)
    frames = torch.zeros_like(twins.frames)
    frames[:, 1::2] = (torch.arange(1, 16, 2) * 8)[None, :, None, None, None].to(torch.uint8)
    moved = lessons.moves_in_time(replace(twins, frames=frames, waveform=louder))
    assert (moved > 0.9).all()  # it flickers the more the louder it is
    with pytest.raises(AvcoreError, match="three frames"):
        lessons.moves_in_time(replace(twins, frames=twins.frames[:, :2]))


def test_photographs_apart_are_heard_in_parts_that_no_training_hears():
    assert lessons.apart_bank(None) is None
    folder = stamps.available()
    if folder is None:
        pytest.skip("the photographs are not on this computer")
    bank = lessons.apart_bank(folder)
    assert bank is not None and len(bank.classes) >= 5
    assert all({"time", "recordings"} & set(bank.held_out[name]) for name in bank.classes)
