"""CSOL: the published networks give the authors' numbers; what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avcore.class_aware import evaluation
from avcore.class_aware.scenes import draw
from avcore.class_aware.solos import Heard, stage_one, train_config
from avcore.nn.losses import distribution_loss
from avcore.papers import csol
from avcore.papers.csol import experiments, rivals
from avcore.papers.csol.losses import location_loss
from avcore.papers.csol.training import stage_two
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


# --- training and experiments ------------------------------------------------------------------


@pytest.fixture(scope="module")
def solos():
    return draw("solo", "train", 24)


@pytest.fixture(scope="module")
def collages():
    return draw("synthetic", "test", 6)


def test_both_stages_train_and_class_maps_have_the_filters_they_are_given(solos, collages):
    config = replace(train_config("smoke", 0, "cpu"), progress=False)
    found = stage_one(solos, 5, config, rounds=2)
    assert len(found.rounds) == 2 and len(found.histories) == 3
    assert "classes" in found.histories[1].values
    assert "classes" not in found.histories[0].values
    entries = found.dictionary.entries
    model, history = stage_two(found.model, entries, collages, replace(config, batch_size=4))
    assert {"kl", "location"} <= set(history.values)
    soft, binary, none = (
        evaluation.localise(model, collages, entries, each).class_maps
        for each in ("soft", "binary", "none")
    )
    inside = evaluation.localise(model, collages).av_logits.sigmoid()[:, None]
    torch.testing.assert_close(soft, none * inside)
    kept = inside >= 0.5 * inside.amax((2, 3), keepdim=True)
    torch.testing.assert_close(binary, none * kept)
    with pytest.raises(AvcoreError, match="filter"):
        evaluation.localise(model, collages, entries, "hard")
    with pytest.raises(AvcoreError, match=r"dictionary wants shape \(5, 152\)"):
        evaluation.localise(model, collages, entries[:4])


def test_the_losses_by_hand():
    volume = torch.zeros(2, 2, 2, 2)
    volume[0, 0, 0, 1] = 3.0
    positive = np.mean([np.log1p(np.exp(-3)), np.log(2)])
    assert location_loss(volume).item() == pytest.approx(0.5 * (positive + np.log(2)))
    logits = torch.tensor([[1.0, 2.0, 0.0]])
    assert distribution_loss(logits, logits.softmax(1)).item() == pytest.approx(0, abs=1e-6)
    p = logits.softmax(1)
    uniform = distribution_loss(torch.zeros(1, 3), p).item()
    assert uniform == pytest.approx((p * (p.log() + np.log(3))).sum().item(), rel=1e-5)


@pytest.mark.parametrize("name", list(rivals.RIVALS))
def test_a_rival_learns_and_hears(name, solos):
    config = replace(train_config("smoke", 0, "cpu"), progress=False, steps=30, batch_size=8)
    few = replace(config, steps=1)
    first, later = (rivals.learn_rival(name, solos, each) for each in (few, config))
    batch, loss = Heard.of(solos[:8]), rivals.RIVALS[name].loss
    with torch.no_grad():
        assert loss(later.train(), batch) < 0.8 * loss(first.train(), batch)
        own = later.eval()(batch.seen, batch.mel).av_logits
        other = later(batch.seen, batch.mel.roll(1, 0)).av_logits
    assert own.shape == (8, 16, 16) and not torch.allclose(own, other)
    again = rivals.learn_rival(name, solos, few, start=later)
    moved = [
        (a - b).abs().max() for a, b in zip(again.parameters(), later.parameters(), strict=True)
    ]
    assert max(moved) > 0
    with pytest.raises(AvcoreError, match="rival"):
        rivals.learn_rival("Listen", solos, few)


def test_sounds_are_clustered_by_a_soft_k_means():
    torch.manual_seed(0)
    features, centres = rivals._clustered(torch.randn(2, rivals.SPACES * 8, 3, 5))
    torch.testing.assert_close(features.norm(dim=2), torch.ones(2, rivals.SPACES, 3, 5))
    for b in range(2):  # the last round by hand, from the centres before it
        before = features[b].mean((2, 3))
        for _ in range(rivals.ROUNDS):
            before = before / before.norm(dim=1, keepdim=True)
            now = torch.zeros_like(before)
            for y in range(3):
                for x in range(5):
                    place = features[b, :, :, y, x]
                    belongs = (rivals.FIRMNESS * (place * before).sum(1)).softmax(0)
                    now += belongs[:, None] * place
            before = now
        torch.testing.assert_close(centres[b], before / before.norm(dim=1, keepdim=True))


def test_a_place_explains_its_share_of_the_sound():
    torch.manual_seed(0)
    model = rivals.SoundOfPixels().eval()
    seen, mel = torch.randn(1, 152, 4, 4), torch.randn(1, 64, 101)
    with torch.no_grad():
        coarse = rivals.halved(mel)
        weights, parts = model.see(seen)[0], model.take_apart(coarse)[0]
        mask = (weights[:, 1, 2, None, None] * parts).sum(0).add(model.bias).sigmoid()
        share = (mask * (coarse[0] / 2).exp()).mean()
        assert model(seen, mel).av_logits[0, 1, 2].exp().item() == pytest.approx(
            share.item(), rel=1e-4
        )


@pytest.mark.parametrize("variant", ["alternating", "Attention"])
def test_the_solo_experiment_returns_its_yardsticks(variant):
    found = experiments.solo_experiment(variant, 0, "smoke", "cpu")
    assert {"iou@0.5", "whole_iou@0.5", "wrong_sound_pointing", "nmi", "true_nmi"} <= set(found)


@pytest.mark.parametrize("variant", list(rivals.RIVALS))
def test_the_experiments_know_the_rivals(variant):
    found = experiments.solo_experiment(variant, 0, "smoke", "cpu")
    assert {"iou@0.5", "pointing", "wrong_sound_pointing"} <= set(found)
    assert "ciou@0.3" in experiments.class_aware_experiment(variant, 0, "smoke", "cpu")


def test_the_class_aware_experiment_knows_the_best_rival():
    found = experiments.class_aware_experiment("CSOL: realistic", 0, "smoke", "cpu")
    gain = found["ciou@0.3"] - found["agnostic_ciou@0.3"]
    assert found["gain_ciou@0.3"] == pytest.approx(gain) and "trivial_ciou@0.3" in found
    with pytest.raises(AvcoreError, match="variant"):
        experiments.class_aware_experiment("DSOL", 0, "smoke", "cpu")


def test_stage_two_can_be_told_what_is_heard(solos, collages):
    config = replace(train_config("smoke", 0, "cpu"), progress=False, batch_size=4)
    found = stage_one(solos, 5, replace(config, batch_size=16), rounds=0)
    start, entries = found.model, found.dictionary.entries
    with torch.no_grad():
        own = start(collages.seen, collages.mel).a_logits
    histories = [
        stage_two(start, entries, collages, config, told=told)[1] for told in (None, own, 9 - own)
    ]
    first, same, other = (each["kl"][0] for each in histories)
    assert first == pytest.approx(same, rel=1e-3) and first != pytest.approx(other, rel=1e-3)
