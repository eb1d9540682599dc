"""AVS on the stage: clips, taught streams, training, scores, localisers, experiments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avcore import metrics
from avcore.papers import avs
from avcore.papers.avs import experiments, localizers
from avcore.papers.avs.scenes import SECONDS
from avcore.stage import ProceduralBank
from avcore.support import AvcoreError
from avcore.training import TrainConfig, seeded

CONFIG = TrainConfig(steps=3, batch_size=4, learning_rate=1e-3, progress=False, device="cpu")


@pytest.fixture(scope="module")
def namer():
    return avs.teach("smoke", 0, device="cpu")


@pytest.fixture(scope="module")
def data(namer):
    return experiments.make_data("MS3", "smoke", 0, namer)


# --- clips -------------------------------------------------------------------------------------


def test_a_single_source_sounds_all_the_time():
    clips = avs.ClipMaker("S4").draw("train", 4)
    assert clips.frames.shape == (4, SECONDS, 3, 64, 64) and clips.frames.dtype == torch.uint8
    assert clips.heard.shape[:3] == (4, SECONDS, 64)
    assert clips.masks.flatten(2).any(2).all()


def test_several_sources_sound_in_some_seconds_and_are_marked_then():
    maker = avs.ClipMaker("MS3", seed=3)
    empty = 0
    for index in range(12):
        scene, masks = maker.clip("val", index)
        rate = scene.config.sample_rate
        loud = np.abs(scene.stems).reshape(len(scene.sources), SECONDS, rate)
        middle = loud.max(-1) > 0  # (S, T): a silenced second holds nothing at all
        for t in range(SECONDS):
            heard = [s.sounding and middle[i, t] for i, s in enumerate(scene.sources)]
            expected = scene.masks[heard, t].any(0) if any(heard) else np.zeros_like(masks[t])
            np.testing.assert_array_equal(masks[t], expected)
            empty += not masks[t].any()
    assert 0 < empty < 30  # some seconds are silent, most are not


def test_a_sounding_source_is_heard_at_least_once_and_without_clicks():
    maker = avs.ClipMaker("MS3", seed=1)
    for index in range(8):
        whole = maker.stage.scene("train", index)
        scene, _ = maker.clip("train", index)
        for source, before, after in zip(scene.sources, whole.stems, scene.stems, strict=True):
            assert source.sounding == bool(after.any())
            changed = np.abs(np.diff(after) - np.diff(before))
            assert changed.max() <= np.abs(np.diff(before)).max() + 2 * np.abs(before).max() / 320


def test_the_seconds_of_a_source_are_drawn_anew_in_every_split():
    maker = avs.ClipMaker("MS3")
    scene = maker.stage.scene("train", 0)
    drawn = [
        [maker.heard_in_part(scene, split, i)[1].any((1, 2)).tolist() for i in range(8)]
        for split in ("train", "val", "test")
    ]
    assert drawn[0] != drawn[1] and drawn[0] != drawn[2] and drawn[1] != drawn[2]
    with pytest.raises(AvcoreError, match="at least one clip"):
        maker.draw("test", 0)


def test_a_clip_is_the_same_alone_and_among_others():
    maker = avs.ClipMaker("MS3", seed=2)
    many, one = maker.draw("test", 3), maker.draw("test", 1, start=2)
    for name in ("frames", "heard", "masks"):
        assert torch.equal(getattr(many[2:], name), getattr(one, name))


def test_another_seed_silences_other_seconds():
    gates = [avs.ClipMaker("MS3", seed=s).draw("train", 6).masks.flatten(2).any(2) for s in (0, 1)]
    assert not torch.equal(*gates)


def test_an_unknown_setting_is_named():
    with pytest.raises(AvcoreError, match=r"unknown setting 'S5'.*S4, MS3"):
        avs.ClipMaker("S5")


# --- taught streams ----------------------------------------------------------------------------


def test_what_is_heard_has_the_form_of_vggish(namer, data):
    assert data.train.heard.shape[1:] == (SECONDS, 128)
    assert (data.train.heard >= 0).all() and data.silence.shape == (128,)


def test_labels_of_mixed_sounds_name_what_is_in_them():
    from avcore.papers.avs.naming import SCENES, Named
    from avcore.stage import Stage, render

    batch = render(Stage(SCENES), "train", 64)
    named = Named.of(batch, len(ProceduralBank().classes))
    counts = named.heard.sum(1)
    assert {0.0, 1.0, 2.0} == set(counts.tolist())  # nothing, one, two
    floor = named.mel.amax((1, 2)) < -10
    assert torch.equal(floor, counts == 0)  # silence exactly where no class is named


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", avs.FUSIONS)
@pytest.mark.parametrize("labelled", [1, 5])
def test_every_weight_learns(data, namer, fusion, labelled):
    with seeded(0):
        model = avs.small_avs(fusion, encoder=namer.encoder)
    for block in model.tpavi.values():
        if isinstance(block, avs.TPAVI):
            torch.nn.init.ones_(block.W_z[1].weight)  # the gate is shut at the beginning
    avs.total_loss(model, data.train[:2], avs.Recipe(labelled))["loss"].backward()
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    dead = [name for name, p in learning if p.grad is None or not p.grad.any()]
    # biases before a normalisation over the batch have no effect; neither has g's on its mean
    assert not [name for name in dead if not name.endswith("bias")]


@pytest.mark.parametrize("distance", ["kl", "euclidean", "cosine"])
def test_the_matching_loss_is_weighted_and_reported(data, distance):
    with seeded(0):
        model = avs.small_avs()
    recipe = avs.Recipe(matching=0.25, distance=distance)
    parts = avs.total_loss(model, data.train[:2], recipe)
    torch.testing.assert_close(parts["loss"], parts["bce"] + 0.25 * parts["matching"])


def test_only_the_labelled_masks_are_seen(data):
    other = replace(data.train, masks=data.train.masks.clone())
    other.masks[:, 1:] = ~other.masks[:, 1:]
    losses = []
    for clips in (data.train, other):
        with seeded(0):
            model = avs.small_avs()
        losses.append(avs.train(model, clips, CONFIG, avs.Recipe(labelled=1))["loss"])
    assert losses[0] == losses[1]


def test_training_brings_the_loss_down(data):
    with seeded(0):
        model = avs.small_avs("addition")
    history = avs.train(model, data.train[:4], replace(CONFIG, steps=25, learning_rate=3e-3))
    assert np.mean(history["loss"][-3:]) < 0.7 * history["loss"][0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: avs.Recipe(labelled=0), "labelled"),
        (lambda: avs.Recipe(distance="far"), "unknown distance 'far'"),
        (lambda: avs.small_avs("shouting"), "unknown fusion 'shouting'"),
        (lambda: avs.Addition(4)(torch.zeros(1, 4, 1, 2, 2)), "the sound is needed"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(AvcoreError, match=words):
        make()


def test_matching_without_hearing_and_too_many_labels_are_refused(data):
    with pytest.raises(AvcoreError, match="needs a network that hears"):
        avs.total_loss(avs.small_avs("no sound"), data.train[:1], avs.Recipe(matching=1.0))
    with pytest.raises(AvcoreError, match="6 labelled frames are wanted, the clips have 5"):
        avs.train(avs.small_avs(), data.train, CONFIG, avs.Recipe(labelled=6))


def test_networks_without_sound_do_not_hear(data):
    for fusion in ("no sound", "video convolution", "video self-attention"):
        model = avs.small_avs(fusion)
        own, other = (avs.segment(model, c) for c in (data.test, _elsewhere(data.test)))
        assert torch.equal(own, other)
    with seeded(0):
        model = avs.small_avs("addition")
    own, other = (avs.segment(model, c) for c in (data.test, _elsewhere(data.test)))
    assert not torch.equal(own, other)


def _elsewhere(clips):
    return replace(clips, heard=clips.heard.roll(1, 0))


# --- scores ------------------------------------------------------------------------------------


def test_scores_by_hand():
    masks = torch.zeros(2, 5, 4, 4, dtype=torch.bool)
    masks[:, :4, :2] = True  # the last frame is empty
    perfect = torch.where(masks, 9.0, -9.0)
    values = avs.scores(perfect, masks)
    assert values["miou"] == pytest.approx(1.0) and values["area"] == pytest.approx(1.0)
    everything = avs.scores(torch.full_like(perfect, 9.0), masks)
    assert everything["miou_filled"] == pytest.approx(0.5) and everything["empty_right"] == 0
    nothing = avs.scores(torch.full_like(perfect, -9.0), masks)
    # the habit of the score: nothing found, and yet one in five frames is perfect
    assert nothing["miou"] == pytest.approx(0.2) and nothing["miou_filled"] == 0


def test_batches_and_tests_in_which_nothing_sounds():
    masks = torch.zeros(2, 5, 4, 4, dtype=torch.bool)
    masks[0, :, :2] = True
    perfect = torch.where(masks, 9.0, -9.0)
    assert avs.f_by_batch(perfect, masks, 2) == pytest.approx(1.0)
    assert avs.f_by_batch(perfect, masks, 1) == pytest.approx(0.5)  # as coded: an empty batch is 0
    silent = avs.scores(perfect[1:], masks[1:])
    assert silent["f"] == silent["f_whole"] == silent["miou_filled"] == 0
    assert silent["empty_right"] == silent["miou"] == pytest.approx(1)


def test_the_f_measure_of_small_batches_is_never_lower():
    masks = torch.rand(8, 5, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.6
    logits = torch.randn(8, 5, 6, 6, generator=torch.Generator().manual_seed(1))
    by_clip, by_four = (avs.f_by_batch(logits, masks, n) for n in (1, 4))
    whole = metrics.f_measure(logits.flatten(0, 1), masks.flatten(0, 1))
    assert by_clip > by_four > whole
    assert avs.f_by_batch(logits, masks, 8) == pytest.approx(whole)


# --- localisers --------------------------------------------------------------------------------


def test_the_hard_way_by_hand():
    maps = torch.full((2, 2, 2, 2), -0.5)
    maps[0, 0, 0, 0] = maps[1, 1, 1, 1] = 0.9
    clear = localizers.lvs_loss(maps)
    flat = localizers.lvs_loss(torch.full((2, 2, 2, 2), 0.5))
    assert clear < 0.01 < flat
    swapped = maps.flip(0)  # the other picture shows the source
    assert localizers.lvs_loss(swapped) > 10 * clear


@pytest.mark.parametrize("loss", localizers.LOSSES)
def test_localizers_train_and_give_a_map_for_every_frame(data, namer, loss):
    model = localizers.Localizer(avs.small_avs("no sound", encoder=namer.encoder))
    history = localizers.train(model, data.train, CONFIG, loss)
    assert np.isfinite(history["loss"]).all()
    maps = localizers.localise(model, data.val)
    assert maps.shape == data.val.masks.shape and maps.abs().max() <= 1.001


def test_the_cut_is_the_best_of_the_candidates():
    masks = torch.zeros(1, 5, 4, 4, dtype=torch.bool)
    masks[..., :2] = True
    maps = torch.where(masks, 0.6, 0.2) + 0.01 * torch.rand(1, 5, 4, 4)
    assert 0.21 <= experiments.best_cut(maps, masks) < 0.6


# --- experiments -------------------------------------------------------------------------------


def test_variants_and_their_numbers():
    values = experiments.segmentation_experiment("MS3, TPAVI after S4", 0, "smoke", "cpu")
    assert {"miou", "f", "silence_area", "permuted_miou"} <= values.keys()
    assert all(np.isfinite(list(values.values())))
    gain = experiments.gain_experiment("MS3", 0, "smoke", "cpu")["gain_miou"]
    pair = [
        experiments.segmentation_experiment(f"MS3, {f}", 0, "smoke", "cpu")["miou"]
        for f in ("TPAVI", "no sound")
    ]
    assert gain == pytest.approx(pair[0] - pair[1])
    with pytest.raises(AvcoreError, match="unknown variant 'S4, magic'"):
        experiments.segmentation_experiment("S4, magic", 0, "smoke", "cpu")
