"""CSOL: the published networks give the authors' numbers; what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avcore.metrics import match_clusters
from avcore.papers import csol
from avcore.papers.csol import experiments, lessons
from avcore.papers.csol.dictionary import build_dictionary, object_features, published_mask
from avcore.papers.csol.evaluation import by_class, class_aware, localise
from avcore.papers.csol.losses import distribution_loss, location_loss
from avcore.papers.csol.scenes import Scenes, draw
from avcore.papers.csol.small import SmallCSOL
from avcore.papers.csol.training import UNDER, features_under, stage_one, stage_two
from avcore.stage import render
from avcore.support import AvcoreError, CheckpointError
from tests.pseudo_weights import pseudo_weights

pytest.importorskip("torchvision")
REFERENCE = np.load(Path(__file__).parent / "reference" / "csol.npz")


def inputs(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures, log-mel and dictionary of a case, drawn as for the authors' code."""
    seed, batch, size = (int(REFERENCE[f"{name}/{key}"]) for key in ("seed", "batch", "image"))
    audio = json.loads(str(REFERENCE[f"{name}/audio"]))
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, 3, size, size, generator=generator),
        torch.randn(batch, 1, *audio, generator=generator),
        torch.rand(11, 512, generator=generator),
    )


def assert_equal(name: str, found: dict[str, torch.Tensor]) -> None:
    for key, value in found.items():
        expected = torch.from_numpy(REFERENCE[f"{name}/{key}"])
        error = (value - expected).abs().max() / expected.abs().max()
        assert value.shape == expected.shape and error < 1e-4, (key, error)


@torch.no_grad()
def test_stage_one_equals_the_authors():
    image, audio, _ = inputs("csol_a_stage1")
    model = csol.StageOne.from_official(pseudo_weights("csol_stage_one"))
    out = model(image, audio)
    assert not model.training
    assert_equal("csol_a_stage1", {**out._asdict(), "visual": out.visual[:, ::16]})


@torch.no_grad()
def test_stage_two_equals_the_authors():
    model = csol.StageTwo.from_official(pseudo_weights("csol_stage_two"))
    assert_equal("csol_a_stage2", model(*inputs("csol_a_stage2"))._asdict())


def test_weights_of_another_network_are_refused():
    with pytest.raises(CheckpointError, match="no v_class_layer"):
        csol.StageOne.from_official({"other": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="obj_conv"):
        csol.StageTwo.from_official(pseudo_weights("csol_stage_one"))


def test_inputs_that_do_not_fit_are_refused():
    model = csol.StageTwo(4).eval()
    image, audio = torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 64)
    with pytest.raises(AvcoreError, match=r"dictionary wants shape \(4, 512\)"):
        model(image, audio, torch.zeros(5, 512))
    with pytest.raises(AvcoreError, match="are wanted, got"):
        model(image, audio[:1], torch.zeros(4, 512))


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


# --- the small network, its training and its measures ------------------------------------------


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


def test_both_stages_train_and_class_maps_have_the_filters_they_are_given(solos, collages):
    config = replace(experiments.train_config("smoke", 0, "cpu"), progress=False)
    found = stage_one(solos, 5, config, rounds=2)
    assert len(found.rounds) == 2 and len(found.histories) == 3
    assert "classes" in found.histories[1].values
    assert "classes" not in found.histories[0].values
    entries = found.dictionary.entries
    model, history = stage_two(found.model, entries, collages, replace(config, batch_size=4))
    assert {"kl", "location"} <= set(history.values)
    soft, binary, none = (
        localise(model, collages, entries, each).class_maps for each in ("soft", "binary", "none")
    )
    inside = localise(model, collages).av_logits.sigmoid()[:, None]
    torch.testing.assert_close(soft, none * inside)
    kept = inside >= 0.5 * inside.amax((2, 3), keepdim=True)
    torch.testing.assert_close(binary, none * kept)
    with pytest.raises(AvcoreError, match="filter"):
        localise(model, collages, entries, "hard")
    with pytest.raises(AvcoreError, match=r"dictionary wants shape \(5, 152\)"):
        localise(model, collages, entries[:4])


def test_alternation_starts_from_the_same_correspondence(solos):
    config = replace(experiments.train_config("smoke", 0, "cpu"), progress=False)
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


def test_the_losses_by_hand():
    volume = torch.zeros(2, 2, 2, 2)
    volume[0, 0, 0, 1] = 3.0
    positive = np.mean([np.log1p(np.exp(-3)), np.log(2)])
    assert location_loss(volume).item() == pytest.approx(0.5 * (positive + np.log(2)))
    logits = torch.tensor([[1.0, 2.0, 0.0]])
    assert distribution_loss(logits, logits).item() == pytest.approx(0, abs=1e-6)
    uniform = distribution_loss(torch.zeros(1, 3), logits).item()
    p = logits.softmax(1)
    assert uniform == pytest.approx((p * (p.log() + np.log(3))).sum().item(), rel=1e-5)


@pytest.mark.parametrize("variant", ["alternating", "Attention"])
def test_the_solo_experiment_returns_its_yardsticks(variant):
    found = experiments.solo_experiment(variant, 0, "smoke", "cpu")
    assert {"iou@0.5", "whole_iou@0.5", "wrong_sound_pointing", "nmi", "true_nmi"} <= set(found)


def test_the_class_aware_experiment_knows_the_best_rival():
    found = experiments.class_aware_experiment("CSOL: realistic", 0, "smoke", "cpu")
    gain = found["ciou@0.3"] - found["agnostic_ciou@0.3"]
    assert found["gain_ciou@0.3"] == pytest.approx(gain) and "trivial_ciou@0.3" in found
    with pytest.raises(AvcoreError, match="variant"):
        experiments.class_aware_experiment("DSOL", 0, "smoke", "cpu")


# --- what the chapters use ---------------------------------------------------------------------


def test_features_are_averaged_where_a_lesson_says(solos):
    torch.manual_seed(0)
    model = SmallCSOL(4).eval()
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
    again = Scenes.of(render(lessons.stage_of("solo"), "train", 2))
    torch.testing.assert_close(again.mel, solos.mel[:2])
    assert torch.equal(again.masks, solos.masks[:2])
    quiet = lessons.silence(solos)
    assert quiet.mel.shape == solos.mel.shape and torch.equal(quiet.mel[0], quiet.mel[1])
    assert torch.equal(quiet.seen, solos.seen)


def test_a_watch_keeps_copies_of_the_calls_it_is_told(solos):
    config = replace(experiments.train_config("smoke", 0, "cpu"), progress=False)
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


def test_stage_two_can_be_told_what_is_heard(solos, collages):
    config = replace(experiments.train_config("smoke", 0, "cpu"), progress=False, batch_size=4)
    found = stage_one(solos, 5, replace(config, batch_size=16), rounds=0)
    start, entries = found.model, found.dictionary.entries
    with torch.no_grad():
        own = start(collages.seen, collages.mel).a_logits
    histories = [
        stage_two(start, entries, collages, config, told=told)[1] for told in (None, own, 9 - own)
    ]
    first, same, other = (each["kl"][0] for each in histories)
    assert first == pytest.approx(same, rel=1e-3) and first != pytest.approx(other, rel=1e-3)
