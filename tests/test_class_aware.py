"""What CSOL and IEr share: scenes, the object dictionary, the small network, and its measures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.class_aware import lessons
from avcore.class_aware import solos as stage
from avcore.class_aware.dictionary import build_dictionary, object_features, published_mask
from avcore.class_aware.evaluation import (
    best_peak,
    by_class,
    by_loudness,
    class_aware,
    found_objects,
    lit,
    object_peaks,
)
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import KINDS, Scenes, draw, scenes_of, stage_of
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


def test_stage_one_is_trained_once_on_a_computer(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    once = stage.drawn_stage_one.__wrapped__
    first, class_of = once(0, "smoke", "cpu")
    with monkeypatch.context() as broken:
        broken.setattr(stage, "stage_one", None)  # a second training would fail
        again, same = once(0, "smoke", "cpu")
    assert torch.equal(class_of, same) and torch.equal(first.rounds[0], again.rounds[0])
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            first.model.state_dict().values(), again.model.state_dict().values(), strict=True
        )
    )
    other, _ = once(1, "smoke", "cpu")
    assert not torch.equal(other.model.embed_a[0].weight, first.model.embed_a[0].weight)


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
    assert lessons.shared_bank(folder).classes == lessons.SHARED


# --- who is found, and what lights up ------------------------------------------------------------


@pytest.fixture(scope="module")
def beyond():
    return draw("off screen", "test", 6)


def perfect_maps(scenes: Scenes) -> torch.Tensor:
    """One where an object of the class sounds, 0.1 elsewhere on it, at the pictures' size."""
    maps = torch.zeros(len(scenes), 12, 128, 128)
    for i, ids in enumerate(scenes.class_id.tolist()):
        for s, class_id in enumerate(ids):
            if class_id >= 0:
                value = 1.0 if scenes.sounding[i, s] else 0.1
                maps[i, class_id] = value * scenes.masks[i, s]
    return maps


def test_sounds_from_off_screen_have_a_class_and_no_place(beyond):
    assert ((beyond.offscreen >= 0).sum(1) == 1).all()
    unseen = beyond.offscreen >= 0
    assert beyond.sounding[unseen].all() and not beyond.masks[unseen].any()
    assert (beyond.class_id[unseen] == -1).all()
    assert all(len(boxes) == 2 for boxes in beyond.boxes())


def test_perfect_maps_find_all_that_sounds_and_nothing_else(beyond):
    maps = perfect_maps(beyond)
    found = found_objects(maps, beyond)
    assert torch.equal(found, (beyond.class_id >= 0) & beyond.sounding)
    assert by_loudness(maps, beyond) == {"loud": 1.0, "quiet": 1.0}
    assert by_loudness(-maps, beyond) == {"loud": 0.0, "quiet": 0.0}
    peaks = object_peaks(maps, beyond)
    assert torch.equal(peaks.isnan(), (beyond.class_id < 0) & (beyond.offscreen < 0))
    assert lit(peaks, beyond, 0.5) == {"sounding": 1.0, "silent": 0.0, "off_screen": 0.0}
    everything = lit(object_peaks(torch.ones(6, 12, 4, 4), beyond), beyond, 0.5)
    assert everything == {"sounding": 1.0, "silent": 1.0, "off_screen": 1.0}


def test_an_object_is_not_found_where_a_silent_one_peaks_higher(beyond):
    maps = perfect_maps(beyond)
    silent = int(((beyond.class_id[0] >= 0) & ~beyond.sounding[0]).nonzero()[0])
    maps[0, beyond.class_id[0, silent]] *= 30
    found = found_objects(maps, beyond)
    assert not found[0].any() and found[1:].sum() == 10


def test_the_best_threshold_parts_what_sounds_from_what_does_not():
    sounding, silent = torch.tensor([0.9, 0.7, 0.2]), torch.tensor([0.1, 0.3, 0.6])
    assert best_peak(sounding, silent) == pytest.approx(0.7)
    assert best_peak(sounding, sounding - 1) == pytest.approx(0.2)


def test_twins_are_of_one_class_and_have_their_turns():
    twins = scenes_of("one class", "test", 14)
    ids = twins.class_id
    assert (ids[:, 0] == ids[:, 1]).all() and ids[:, 0].tolist() == [*range(12), 0, 1]
    assert (twins.sounding.sum(1) == 1).all()
    assert not torch.equal(twins.frames[0], twins.frames[12])
    others = scenes_of("two classes", "test", 3)
    assert (others.class_id[:, 0] != others.class_id[:, 1]).all()


def test_an_unknown_kind_of_scene_lists_the_known():
    with pytest.raises(AvcoreError, match="off screen"):
        scenes_of("orchestra", "test", 1)
    assert set(KINDS) >= {"solo", "synthetic", "mixture", "20 dB", "one class"}
