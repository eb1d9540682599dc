"""Multisensory: excerpts and pairs, the network and its maps, actions, separation, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from avcore.audio import log_mel, mel_filters
from avcore.papers import multisensory
from avcore.papers.multisensory import (
    actions,
    evaluation,
    experiments,
    localization,
    separation,
    shift,
    shipped,
)
from avcore.papers.multisensory.clips import (
    EXCERPT,
    FPS,
    KINDS,
    RATE,
    SAMPLES,
    Clips,
    draw,
    draw_views,
    stage,
)
from avcore.papers.multisensory.model import EarlyFusion, compand
from avcore.support import AvcoreError, CheckpointError
from avcore.training.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def pretext():
    return draw("pretext", "train", 6)


@pytest.fixture(scope="module")
def talkers():
    return draw("talker", "train", 6)


@pytest.fixture(scope="module")
def numbered():
    """Clips whose frames and samples say which frame they belong to."""
    moments = torch.arange(48)
    frames = moments.to(torch.uint8)[None, :, None, None, None].expand(3, -1, 3, 4, 4)
    sound = moments.repeat_interleave(SAMPLES).float()[None] + 100 * torch.arange(3)[:, None]
    return Clips(frames, sound, torch.arange(3), torch.tensor([True, False, True]))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def config_of(module, **changes):
    return replace(module.train_config("smoke", 0, "cpu"), progress=False, **changes)


# --- clips ---------------------------------------------------------------------------------------


def test_sound_and_frames_of_an_excerpt_belong_to_the_same_moment(numbered):
    excerpts = numbered.cut(torch.tensor([0, 2]), torch.tensor([5, 20]))
    assert excerpts.frames.shape == (2, 3, EXCERPT, 4, 4)
    assert excerpts.sound.shape == (2, EXCERPT * SAMPLES)
    assert (excerpts.frames[1, 0, :, 0, 0] * 255).round().tolist() == list(range(20, 44))
    assert (excerpts.sound[1].view(EXCERPT, SAMPLES) - 200 == torch.arange(20, 44)[:, None]).all()


def test_clips_are_those_of_the_stage_with_their_truth():
    clips, scene = draw("silent mover", "test", 2, where=True), None
    scene = stage("silent mover", 0).scene("test", 1)
    np.testing.assert_array_equal(clips.frames[1].permute(0, 2, 3, 1), scene.frames)
    np.testing.assert_array_equal(clips.target[1], scene.mask(sounding=True))
    heard = [source.class_id for source in scene.sources if source.sounding]
    assert clips.label[1].item() == heard[0]
    assert clips.sound.shape == (2, 3 * RATE)
    assert all(config.fps == FPS for config in KINDS.values())


def test_clips_of_another_length_of_sound_are_refused(numbered):
    with pytest.raises(AvcoreError, match="48 frames go with 48000 samples of sound, got 47000"):
        Clips(numbered.frames, numbered.sound[:, :47000], numbered.label, numbered.low)
    with pytest.raises(AvcoreError, match="do not say where their sources are seen"):
        numbered.cut_target(torch.tensor([0]), torch.tensor([0]))


# --- the pretext task ----------------------------------------------------------------------------


def test_the_other_sound_is_of_the_same_clip_and_far_enough_away(numbered, generator):
    task = shift.Pretext(numbered, 64)
    pairs = task.draw(torch.randint(3, (64,), generator=generator), generator)
    own, other = pairs.own[:, 0], pairs.other[:, 0]
    assert (own // 100 == other // 100).all()
    assert (own - other).abs().min() >= shift.LEAST
    assert ((pairs.frames[:, 0, 0, 0, 0] * 255).round() == own % 100).all()


def test_a_random_pair_is_of_another_clip(numbered, generator):
    task = shift.Pretext(numbered, 64, "random pairs")
    pairs = task.draw(torch.randint(3, (64,), generator=generator), generator)
    assert (pairs.own[:, 0] // 100 != pairs.other[:, 0] // 100).all()
    assert (pairs.own[:, 0] % 100 == pairs.other[:, 0] % 100).all()


def test_clips_that_are_too_short_for_a_shift_are_refused(numbered):
    short = Clips(
        numbered.frames[:, :36], numbered.sound[:, : 36 * SAMPLES], numbered.label, numbered.low
    )
    with pytest.raises(AvcoreError, match="clips of 36 frames are too short"):
        shift.Pretext(short, 4)
    with pytest.raises(AvcoreError, match="unknown kind of negatives 'echo'; choose one of shift"):
        shift.Pretext(numbered, 4, "echo")


def test_the_loss_sees_both_sounds_in_one_pass(pretext, generator):
    """In passes of their own, batch normalisation would tell which is which."""
    pairs = shift.Pretext(pretext, 4)(0, generator)
    calls = []

    class Spy(torch.nn.Module):
        def forward(self, frames, sound):
            calls.append((len(frames), len(sound)))
            return torch.tensor([2.0] * 4 + [-1.0] * 4)

    values = shift.pretext_loss(Spy(), pairs)
    assert calls == [(4, 8)]
    expected = (
        functional.softplus(torch.tensor(-2.0)) + functional.softplus(torch.tensor(-1.0))
    ) / 2
    torch.testing.assert_close(values["loss"], expected)
    assert values["accuracy"] == 1


def test_accuracy_counts_both_kinds_of_pairs(pretext):
    class Says(torch.nn.Module):
        def __init__(self, answer):
            super().__init__()
            self.answer = answer

        def forward(self, frames, sound):
            return self.answer(len(sound))

    aligned = Says(lambda n: torch.ones(n))
    knows = Says(lambda n: torch.cat([torch.ones(n // 2), -torch.ones(n // 2)]))
    assert shift.accuracy(aligned, pretext) == 0.5
    assert shift.accuracy(knows, pretext) == 1.0


@pytest.mark.parametrize("senses", shift.SENSES)
def test_the_task_repeats_itself_and_a_picture_alone_is_at_chance(senses, pretext):
    (model, first), (_, again) = (
        shift.pretrain(pretext, config_of(shift), senses=senses) for _ in range(2)
    )
    assert first["loss"] == again["loss"]
    # both labels belong to every picture
    assert senses != "picture only" or shift.accuracy(model, pretext, senses=senses) == 0.5


def test_unknown_senses_are_named(pretext):
    with pytest.raises(AvcoreError, match="unknown choice of senses 'smell'; choose one of both"):
        shift.pretrain(pretext, config_of(shift), senses="smell")


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sound", ["log-mel", "waveform"])
def test_every_weight_of_the_network_learns(sound, pretext, generator):
    torch.manual_seed(0)
    model = EarlyFusion(sound)
    shift.pretext_loss(model, shift.Pretext(pretext, 2)(0, generator))["loss"].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_one_picture_with_two_sounds_is_the_same_as_two_pictures(pretext, generator):
    torch.manual_seed(0)
    model = EarlyFusion().eval()
    frames, own, other = shift.Pretext(pretext, 3)(0, generator)
    with torch.no_grad():
        shared = model(frames, torch.cat([own, other]))
        apart = torch.cat([model(frames, own), model(frames, other)])
    torch.testing.assert_close(shared, apart)
    with pytest.raises(AvcoreError, match="4 sounds do not go with 3 pictures"):
        model(frames, torch.cat([own, other[:1]]))


def test_the_mean_of_the_activation_map_is_the_logit(pretext):
    torch.manual_seed(0)
    model = EarlyFusion().eval()
    excerpts = pretext.cut(torch.arange(2), torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        maps = model.cam(*excerpts)
        assert maps.shape == (2, EXCERPT // 2, 8, 8)
        torch.testing.assert_close(maps.mean((1, 2, 3)) + model.head.bias, model(*excerpts))


def test_companding_keeps_signs_and_ends_and_lifts_what_is_soft():
    values = compand(torch.tensor([-1.0, -0.01, 0.0, 0.01, 1.0]))
    expected = np.log(1 + 255 * 0.01) / np.log(256)
    torch.testing.assert_close(values, torch.tensor([-1, -expected, 0, expected, 1]).float())


def test_pointing_asks_whether_the_peak_is_on_the_source():
    clips = draw("silent mover", "test", 3, where=True)
    target = clips.cut_target(*localization.middle(clips))

    class Looks(torch.nn.Module):
        def __init__(self, maps):
            super().__init__()
            self.maps = maps

        def cam(self, frames, sound):
            return self.maps[:, None].expand(-1, 12, -1, -1)

    assert localization.pointing(Looks(target.float()), clips).all()
    assert not localization.pointing(Looks(-target.float()), clips).any()
    assert 0.02 < localization.random_place(clips) < 0.4


def test_pictures_may_be_wider_than_high_over_time():
    clips = draw("silent mover", "test", 2, where=True)
    wide = replace(clips, frames=clips.frames[..., :32, :], target=torch.ones(2, 48, 32, 64) > 0)

    class Rises(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = torch.linspace(0, 1, 4)[None, None, :, None].expand(2, 12, 4, 8)

        def cam(self, frames, sound):
            return self.maps

    on_source, motion = localization.over_time(Rises(), wide)
    assert motion.shape == (2, 12)
    torch.testing.assert_close(on_source, torch.full((2, 12), 0.5))


# --- actions -------------------------------------------------------------------------------------


def test_fine_tuning_starts_from_a_copy_and_a_deaf_network_does_not_hear():
    clips = draw("action", "train", 8)
    torch.manual_seed(0)
    start = EarlyFusion()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    model, _ = actions.fine_tune(start, clips, config_of(actions), deaf=True)
    assert all(value.equal(before[name]) for name, value in start.state_dict().items())
    frames, sound = clips.cut(torch.arange(2), torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        assert model(frames, sound).equal(model(frames, sound.roll(1, 0)))
        model.deaf = False
        assert not model(frames, sound).equal(model(frames, sound.roll(1, 0)))


def test_views_are_labelled_by_whether_the_source_is_seen():
    clips = draw_views("train", 2)
    assert clips.label.tolist() == [1, 1, 0, 0]
    scenes = [stage(kind, 0).scene("train", 1) for kind in ("in view", "elsewhere")]
    for scene, number in zip(scenes, (1, 3), strict=True):
        heard = [source for source in scene.sources if source.sounding]
        assert [source.visible for source in heard] == [clips.label[number].item() == 1]
        assert sum(source.visible for source in scene.sources) == 2
        np.testing.assert_array_equal(clips.frames[number].permute(0, 2, 3, 1), scene.frames)


def test_a_probe_finds_what_is_in_the_features():
    clips = draw_views("train", 4)

    class Knows(torch.nn.Module):
        def maps(self, frames, sound):
            return clips.label.float()[:, None, None, None, None].expand(-1, 3, 1, 1, 1)

    assert actions.probe_accuracy(Knows(), clips, clips) == 1


# --- separation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False])
def test_mixtures_have_the_wanted_voices_at_one_level(same, talkers):
    numbers = torch.arange(6)
    # the ratio of neighbouring samples says which clip a sound is of, at any level
    sound = torch.stack([torch.ones(6), numbers + 1.0], 1).repeat(1, 3 * RATE // 2)
    low = torch.tensor([True, True, True, False, False, False])
    task = separation.Mixing(replace(talkers, sound=sound, low=low), 1, same)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        off = task.draw(numbers, generator).off
        partners = (off[:, 1] / off[:, 0]).round().long() - 1
        assert (partners != numbers).all()
        assert ((low[partners] == low) == same).all()
    mixed = separation.Mixing(talkers, 1).draw(torch.arange(6), generator)
    torch.testing.assert_close(mixed.on.square().mean(-1).sqrt(), torch.full((6,), 0.1))
    torch.testing.assert_close(mixed.sound, mixed.on + mixed.off)


def test_a_clip_without_a_partner_is_refused(talkers):
    lonely = replace(talkers, low=torch.tensor([True, False, False, False, False, False]))
    with pytest.raises(AvcoreError, match="no partner whose voice is of the wanted kind"):
        separation.Mixing(lonely, 1, True).draw(torch.arange(6), torch.Generator())


def test_both_outputs_add_up_to_the_mixture(talkers):
    torch.manual_seed(0)
    mixed = evaluation.mixtures(talkers, None)
    model = separation.Separator(EarlyFusion()).eval()
    found = evaluation.separated(model, mixed.frames, mixed.sound)
    torch.testing.assert_close(found.sum(1), mixed.sound, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("eye", separation.EYES)
def test_every_weight_that_sees_learns(eye, talkers, generator):
    torch.manual_seed(0)
    model = separation.Separator(EarlyFusion(), eye)
    separation.separation_loss(model, separation.Mixing(talkers, 2)(0, generator)).backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert any(name.startswith("network.moving") for name in learned) == (eye != "none")
    assert any(name.startswith("network.joint") for name in learned) == (eye == "multisensory")
    assert all(w.grad.abs().sum() > 0 for w in model.unet.parameters())


def test_free_order_takes_the_smaller_loss(talkers):
    mixed = evaluation.mixtures(talkers, None)
    swapped = mixed._replace(on=mixed.off, off=mixed.on)

    class Ideal(torch.nn.Module):
        def forward(self, frames, sound):
            stacked = torch.stack([mixed.on, mixed.off], 1)
            parts, whole = (
                separation.stft(each, separation.WINDOW, separation.HOP).abs()
                for each in (stacked, sound)
            )
            return parts / whole[:, None].clamp_min(1e-6)

    right, wrong = (separation.separation_loss(Ideal(), each) for each in (mixed, swapped))
    assert right < 1e-3 < wrong
    free, both = (separation.separation_loss(Ideal(), swapped, order) for order in ("free", "both"))
    torch.testing.assert_close(free, right)
    torch.testing.assert_close(both, wrong + right)
    with pytest.raises(AvcoreError, match="fixed, free, both"):
        separation.separation_loss(Ideal(), swapped, "any")


@pytest.mark.parametrize(
    ("eye", "asked", "used"), [("none", "both", "free"), ("picture", "both", "both")]
)
def test_without_an_eye_the_order_is_free(eye, asked, used, talkers, monkeypatch):
    orders = []
    loss = separation.separation_loss

    def spy(model, batch, order):
        orders.append(order)
        return loss(model, batch, order)

    monkeypatch.setattr(separation, "separation_loss", spy)
    config = replace(separation.train_config("smoke", 0, "cpu"), steps=1, progress=False)
    separation.learn_to_separate(None, talkers, config, eye, order=asked)
    assert orders == [used]


def test_gains_are_zero_for_the_mixture_and_name_the_better_order(talkers):
    mixed = evaluation.mixtures(talkers, None)

    class Fixed(torch.nn.Module):
        def __init__(self, sounds):
            super().__init__()
            self.sounds = sounds

        def separate(self, frames, sound):
            return self.sounds

    nothing = evaluation.gains(Fixed((mixed.sound, mixed.sound)), mixed)
    assert nothing["on"].abs().max() < 1e-6
    crossed = evaluation.gains(Fixed((mixed.off, mixed.on)), mixed)
    assert (crossed["on"] < 0).all()
    assert (crossed["either"] > 20).all()


def test_a_hidden_half_is_black(talkers):
    mixed = evaluation.mixtures(talkers, None)
    both = evaluation.side_by_side(mixed, mixed.frames.roll(1, 0), "right")
    assert both.shape == (6, 3, EXCERPT, 64, 128)
    assert both[..., :64].equal(mixed.frames)
    assert not both[..., 64:].any()
    with pytest.raises(AvcoreError, match="unknown half 'up'; choose one of left, right"):
        evaluation.side_by_side(mixed, mixed.frames, "up")


# --- the shipped networks ------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped.NETWORKS)
def test_networks_keep_their_weights_in_half_precision(name, tmp_path):
    torch.manual_seed(0)
    model = shipped.NETWORKS[name]().eval()
    shipped.write(name, model, tmp_path / "weights")
    assert (tmp_path / "weights").stat().st_size < 1e6
    kept = shipped.read(name, tmp_path / "weights").state_dict()
    assert all(
        value.half().equal(kept[key].half())
        for key, value in model.state_dict().items()
        if value.is_floating_point()
    )


def test_a_locator_and_a_separator_take_windows_of_a_video(tmp_path):
    torch.manual_seed(0)
    for name, make in shipped.NETWORKS.items():
        shipped.write(name, make(), tmp_path / name)
    frames, sound = torch.rand(EXCERPT, 3, 64, 64), torch.randn(EXCERPT * SAMPLES)
    heat = shipped.locator(tmp_path / "locator", "cpu")(frames, sound)
    assert heat.shape == (EXCERPT // 2, 8, 8)
    on, off = shipped.separator(tmp_path / "separator", "cpu")(frames, sound)
    torch.testing.assert_close(on + off, sound, atol=1e-3, rtol=1e-3)
    quiet, _ = shipped.separator(tmp_path / "separator", "cpu")(frames, 0.01 * sound)
    torch.testing.assert_close(quiet, 0.01 * on, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", shipped.NETWORKS)
def test_after_a_shipped_network_has_run_gradients_still_pass_through_log_mel(name):
    mel_filters.cache_clear()
    frames, sound = torch.rand(EXCERPT, 3, 64, 64), torch.randn(EXCERPT * SAMPLES)
    getattr(shipped, name)(device="cpu")(frames, sound)
    sound.requires_grad_()
    log_mel(sound).sum().backward()
    assert sound.grad.any()


@pytest.mark.parametrize("name", shipped.NETWORKS)
def test_the_networks_that_ship_are_small_and_work(name):
    """Their cards say how well; here a few held-out clips of another seed."""
    path = shipped.weights_path(name)
    assert path.stat().st_size < 1e6
    assert path.with_suffix(".md").is_file()
    if name == "separator":
        model = shipped.separator(device="cpu").model
        mixed = evaluation.mixtures(draw("talker", "test", 8, seed=1), None)
        assert evaluation.gains(model, mixed)["on"].mean() > 4
    else:
        movers = draw("silent mover", "test", 24, seed=1, where=True)
        found = localization.pointing(shipped.locator(device="cpu").model, movers)
        assert found.float().mean() > 0.5


def test_foreign_damaged_and_missing_weights_are_refused(tmp_path):
    shipped.write("locator", EarlyFusion(), tmp_path / "locator")
    (tmp_path / "damaged").write_bytes((tmp_path / "locator").read_bytes()[:5000])
    (tmp_path / "folder").mkdir()
    save_checkpoint(EarlyFusion(), tmp_path / "checkpoint")
    for file, message in (
        ("none", "there are no weights of a separator"),
        ("damaged", "is damaged"),
        ("folder", "not a file that `avcore network` wrote"),
        ("checkpoint", "not a file that `avcore network` wrote"),
        ("locator", "does not hold a separator of avcore"),
    ):
        with pytest.raises(CheckpointError, match=message):
            shipped.separator(tmp_path / file, "cpu")


@pytest.mark.parametrize("name", shipped.NETWORKS)
def test_networks_are_taught_again_at_smoke_scale(name, tmp_path):
    figures = shipped.teach(name, tmp_path / "weights", "smoke", 0, "cpu")
    assert all(np.isfinite(value) for value in figures.values())
    assert shipped.read(name, tmp_path / "weights")


# --- experiments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["shift", "sound only"])
def test_pretext_experiments_give_their_yardsticks(variant):
    values = experiments.pretext_experiment(variant, 0, "smoke", "cpu")
    assert values["chance_accuracy"] == 0.5
    assert 0 < values["chance_pointing"] < 0.5
    assert 0 < values["plateau"] <= 1


def test_action_and_separation_experiments_run():
    values = experiments.action_experiment("shift, deaf", 0, "smoke", "cpu")
    assert values["chance_accuracy"] == pytest.approx(1 / 12)
    found = experiments.separation_experiment("multisensory", 0, "smoke", "cpu")
    assert found["si_sdr_gain"] == pytest.approx((found["same_voice"] + found["other_voice"]) / 2)
    blind = experiments.separation_experiment("sound alone", 0, "smoke", "cpu")
    assert blind["si_sdr_gain"] == blind["either"]


def test_names_at_the_top_are_the_papers_parts():
    assert set(multisensory.__all__) <= set(dir(multisensory))
