"""AVS on the stage: clips, frozen eye and ear, training, scores, localisers, experiments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avcore import metrics
from avcore.papers import avs
from avcore.papers.avs import clips as clips_module
from avcore.papers.avs import evaluation, experiments, localizers
from avcore.papers.avs.scenes import SECONDS
from avcore.papers.avs.small import Standardise
from avcore.stage import ProceduralBank
from avcore.support import AvcoreError
from avcore.training import TrainConfig, seeded

pytest.importorskip("timm", reason="the eye extra is not installed")
CONFIG = TrainConfig(steps=3, batch_size=4, learning_rate=1e-3, progress=False, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data():
    return experiments.make_data("MS3", "smoke", 0)


# --- clips -------------------------------------------------------------------------------------


def test_a_single_source_sounds_all_the_time():
    maker = avs.ClipMaker("S4")
    clips = maker.draw("test", 4)
    assert clips.frames.shape == (4, SECONDS, 3, 128, 128) and clips.frames.dtype == torch.uint8
    assert clips.log_mel.shape[:3] == (4, SECONDS, 64)
    assert clips.masks.flatten(2).any(2).all()
    assert (clips.visible | ~clips.masks).all()  # what sounds can be seen


def test_only_the_first_second_of_a_single_source_is_learned_from():
    clips = avs.ClipMaker("S4").draw("train", 2)
    assert clips.frames.shape[:2] == clips.log_mel.shape[:2] == clips.masks.shape[:2] == (2, 1)
    assert avs.ClipMaker("MS3").draw("train", 1).masks.shape[1] == SECONDS


@pytest.mark.parametrize("setting", ["MS3", "MS3 with pauses", "MS3 still with pauses"])
def test_several_sources_sound_in_some_seconds_and_are_marked_then(setting):
    maker = avs.ClipMaker(setting, seed=3)
    silent = 0
    for index in range(8):
        scene, masks = maker.clip("val", index)
        rate = scene.config.sample_rate
        loud = np.abs(scene.stems).reshape(len(scene.sources), SECONDS, rate)
        middle = loud.max(-1) > 0  # (S, T): a silenced second holds nothing at all
        for t in range(SECONDS):
            heard = [s.sounding and middle[i, t] for i, s in enumerate(scene.sources)]
            expected = scene.masks[heard, t].any(0) if any(heard) else np.zeros_like(masks[t])
            np.testing.assert_array_equal(masks[t], expected)
            assert not any(middle[i, t] and not s.present[t] for i, s in enumerate(scene.sources))
            silent += sum(s.sounding and not middle[i, t] for i, s in enumerate(scene.sources))
    assert 0 < silent < 40  # a source is silent in some seconds


def test_without_pauses_a_source_sounds_whenever_it_is_in_view():
    for setting in ("MS3", "MS3 still"):
        maker = avs.ClipMaker(setting, seed=1)
        for index in range(4):
            scene, masks = maker.clip("test", index)
            sounding = np.array([source.sounding for source in scene.sources])
            np.testing.assert_array_equal(masks, scene.masks[sounding].any(0))
            still = all(source.present.all() for source in scene.sources)
            assert still or setting == "MS3"


def test_a_sounding_source_is_heard_at_least_once_and_without_clicks():
    maker = avs.ClipMaker("MS3 with pauses", seed=1)
    for index in range(8):
        whole = maker.stage.scene("train", index)
        scene, _ = maker.clip("train", index)
        for source, before, after in zip(scene.sources, whole.stems, scene.stems, strict=True):
            assert source.sounding == bool(after.any())
            changed = np.abs(np.diff(after) - np.diff(before))
            assert changed.max() <= np.abs(np.diff(before)).max() + 2 * np.abs(before).max() / 320


def test_the_seconds_of_a_source_are_drawn_anew_in_every_split_seed_and_setting():
    def gates(setting, split, seed=0):
        maker = avs.ClipMaker(setting, seed=seed)
        scene = avs.ClipMaker("MS3 still with pauses").stage.scene("train", 0)
        drawn = (maker.heard_in_part(scene, split, i)[1] for i in range(24))
        return [masks.any((1, 2)).tolist() for masks in drawn]

    still, moving = "MS3 still with pauses", "MS3 with pauses"
    drawn = [gates(still, split) for split in ("train", "val", "test")]
    drawn += [gates(still, "train", seed=1), gates(moving, "train")]
    assert all(a != b for i, a in enumerate(drawn) for b in drawn[:i])
    with pytest.raises(AvcoreError, match="at least one clip"):
        avs.ClipMaker("MS3").draw("test", 0)


def test_a_clip_is_the_same_alone_and_among_others():
    maker = avs.ClipMaker("MS3", seed=2)
    many, one = maker.draw("test", 3), maker.draw("test", 1, start=2)
    for name in ("frames", "log_mel", "masks", "visible"):
        assert torch.equal(getattr(many, name)[2:], getattr(one, name))


def test_settings_share_no_scenes():
    kinds = [setting.config.kind for setting in avs.SETTINGS.values()]
    assert len(set(kinds)) == len(kinds) and all(kinds)


def test_an_unknown_setting_is_named():
    with pytest.raises(AvcoreError, match=r"unknown setting 'S5'.*S4, solo"):
        avs.ClipMaker("S5")


# --- a frozen eye and a frozen ear --------------------------------------------------------------


def test_what_is_seen_and_heard_has_the_published_form(data):
    count = len(data.train)
    sizes = [(count, SECONDS, c, s, s) for c, s in ((24, 32), (40, 16), (112, 8), (320, 4))]
    assert [tuple(each.shape) for each in data.train.maps] == sizes
    assert data.train.heard.shape == (count, SECONDS, 128) and (data.train.heard >= 0).all()
    assert data.silence.shape == (128,)


def test_clips_are_perceived_once(monkeypatch, tmp_path):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    first = avs.draw_clips("S4", "val", 2)

    def never(raw):
        raise AssertionError("made again")

    monkeypatch.setattr(clips_module, "perceive", never)
    again = avs.draw_clips("S4", "val", 2)
    assert torch.equal(first.heard, again.heard) and torch.equal(first.maps[3], again.maps[3])
    for other in ({"seed": 1}, {"count": 3}, {"split": "test"}, {"setting": "solo"}):
        with pytest.raises(AssertionError, match="made again"):
            avs.draw_clips(**{"setting": "S4", "split": "val", "count": 2, **other})


def test_another_bank_has_another_digest():
    bank, other = ProceduralBank(), ProceduralBank()
    assert clips_module.bank_digest(bank) == clips_module.bank_digest(other)
    other.extra = 1
    assert clips_module.bank_digest(bank) != clips_module.bank_digest(other)


def test_standardised_features_have_no_mean_and_one_size():
    x = 3 + torch.tensor([1.0, 100.0]).view(2, 1, 1) * torch.randn(50, 1, 2, 6, 6)
    layer = Standardise(2, axis=-3)
    layer.measure(x)
    found = layer(x).movedim(2, -1).flatten(0, -2)
    assert found.mean(0).abs().max() < 0.01 and 0.1 < found.std(0).min()
    assert found.std(0).max() < 1 < 1.2 * found.std(0).max()


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", avs.FUSIONS)
@pytest.mark.parametrize("labelled", [1, 5])
def test_every_weight_learns(data, fusion, labelled):
    with seeded(0):
        model = avs.SmallAVS(fusion)
    model.measure(data.train.maps, data.train.heard)
    for block in model.fusions or ():
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
        model = avs.SmallAVS()
    recipe = avs.Recipe(matching=0.25, distance=distance)
    parts = avs.total_loss(model, data.train[:2], recipe)
    torch.testing.assert_close(parts["loss"], parts["bce"] + 0.25 * parts["matching"])


def test_only_the_labelled_masks_are_seen(data):
    other = replace(data.train, masks=data.train.masks.clone())
    other.masks[:, 1:] = ~other.masks[:, 1:]
    losses = []
    for clips in (data.train, other):
        _, history = experiments.fit_small("TPAVI", clips, CONFIG, avs.Recipe(labelled=1))
        losses.append(history["loss"])
    assert losses[0] == losses[1]


def test_training_brings_the_loss_down(data):
    config = replace(CONFIG, steps=25, learning_rate=3e-3)
    _, history = experiments.fit_small("addition", data.train[:4], config)
    assert np.mean(history["loss"][-3:]) < 0.7 * history["loss"][0]


def test_a_network_goes_on_from_where_it_starts(data):
    start, _ = experiments.fit_small("TPAVI", data.train, CONFIG)
    idle = replace(CONFIG, steps=1, learning_rate=1e-12)
    model, _ = experiments.fit_small("TPAVI", data.val, idle, start=start)
    for name, value in start.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), value)
    assert torch.equal(model.hear.mean, start.hear.mean)


def test_mirrored_clips_are_mirrored_in_all_that_is_seen(data):
    clips, other = data.val, data.val.mirrored()
    assert torch.equal(other.maps[0].flip(-1), clips.maps[0])
    assert torch.equal(other.masks.flip(-1), clips.masks) and other.heard is clips.heard
    assert torch.equal(other.visible.flip(-1), clips.visible)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: avs.Recipe(labelled=0), "labelled"),
        (lambda: avs.Recipe(distance="far"), "unknown distance 'far'"),
        (lambda: avs.SmallAVS("shouting"), "unknown fusion 'shouting'"),
        (lambda: avs.small_avs("shouting"), "unknown fusion 'shouting'"),
        (lambda: avs.Addition(4)(torch.zeros(1, 4, 1, 2, 2)), "the sound is needed"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(AvcoreError, match=words):
        make()


def test_matching_without_hearing_too_many_labels_and_other_clips_are_refused(data):
    with pytest.raises(AvcoreError, match="needs a network that hears"):
        avs.total_loss(avs.SmallAVS("no sound"), data.train[:1], avs.Recipe(matching=1.0))
    with pytest.raises(AvcoreError, match="6 labelled frames are wanted, the clips have 5"):
        avs.train(avs.SmallAVS(), data.train, CONFIG, avs.Recipe(labelled=6))
    with pytest.raises(AvcoreError, match="do not fit"):
        avs.SmallAVS()(data.train[:2].maps, data.train[:1].heard)


def test_networks_without_sound_do_not_hear(data):
    wrong = avs.other_sounds(data.test, data.silence)["wrong sound"]
    for fusion in ("no sound", "video convolution", "video self-attention"):
        model = avs.SmallAVS(fusion)
        assert torch.equal(avs.segment(model, data.test), avs.segment(model, wrong))
    with seeded(0):
        model = avs.SmallAVS("addition")
    assert not torch.equal(avs.segment(model, data.test), avs.segment(model, wrong))


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
def test_localizers_train_without_masks_and_give_a_map_for_every_frame(data, loss):
    losses = []
    for masks in (data.train.masks, ~data.train.masks):
        with seeded(0):
            model = localizers.Localizer()
        history = localizers.train(model, replace(data.train, masks=masks), CONFIG, loss)
        losses.append(history["loss"])
    assert np.isfinite(losses[0]).all() and losses[0] == losses[1]
    maps = localizers.localise(model, data.val)
    assert maps.shape == data.val.masks.shape and maps.abs().max() <= 1.001


def test_the_cut_is_the_best_of_the_candidates():
    masks = torch.zeros(1, 5, 4, 4, dtype=torch.bool)
    masks[..., :2] = True
    maps = torch.where(masks, 0.6, 0.2) + 0.01 * torch.rand(1, 5, 4, 4)
    assert 0.21 <= experiments.best_cut(maps, masks) < 0.6


# --- experiments -------------------------------------------------------------------------------


def test_the_values_of_a_network_that_hears(data):
    values = evaluation.measure(avs.SmallAVS(), data.test, data.silence)
    wanted = {"miou", "miou_filled", "wrong_sound_miou", "silence_miou", "silence_area", "area"}
    assert wanted | {"blind_miou", "f", "f_whole", "f_by_clip", "largest_share"} <= values.keys()
    assert np.isfinite(list(values.values())).all()
    assert 1 / 32 <= values["largest_share"] <= 1
    seen = avs.scores(evaluation.blind(data.test), data.test.masks)
    assert values["blind_miou"] == seen["miou"] and seen["area"] > 1
    deaf = evaluation.measure(avs.SmallAVS("no sound"), data.test, data.silence)
    assert "largest_share" not in deaf and deaf["wrong_sound_miou"] == deaf["miou"]


def test_every_side_and_gate_of_the_claims_is_a_variant():
    from avcore.claims.catalogue.avs import CLAIMS, GAIN

    known = experiments.VARIANTS.keys() | experiments.UNLABELLED.keys()
    for claim in CLAIMS:
        assert claim.experiment == GAIN or claim.needs.keys() <= known, claim.id


def test_variants_and_their_numbers():
    values = experiments.segmentation_experiment("MS3 scarce, TPAVI after S4", 0, "smoke", "cpu")
    assert np.isfinite(list(values.values())).all()
    found = experiments.segmentation_experiment("MS3, LVS", 0, "smoke", "cpu")
    assert 0 <= found["miou"] <= 1
    gain = experiments.gain_experiment("S4", 0, "smoke", "cpu")
    pair = [
        experiments.segmentation_experiment(f"S4, {fusion}", 0, "smoke", "cpu")["miou"]
        for fusion in ("TPAVI", "no sound")
    ]
    assert gain["gain_miou"] == pytest.approx(pair[0] - pair[1]) and gain["miou"] == pair[0]


@pytest.mark.parametrize("run", [experiments.segmentation_experiment, experiments.gain_experiment])
def test_an_unknown_variant_is_named(run):
    with pytest.raises(AvcoreError, match="unknown variant 'S4, magic'"):
        run("S4, magic", 0, "smoke", "cpu")
