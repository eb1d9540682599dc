"""The trials at smoke size: they run, and what they measure can go wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore import trials
from avcore.data import stamps
from avcore.stage import MOVING, Stage, render


@pytest.mark.parametrize("name", ["shift", "words", "sounds", "probes", "correspondence"])
def test_a_trial_gives_the_figures_that_the_bench_lists(name):
    from avcore.bench import TRIALS

    values = trials.TRIALS[name]("smoke", seed=0, device="cpu")
    assert set(values) & {figure[0] for figure in TRIALS}
    assert all(0 <= value <= 1 for key, value in values.items() if "accuracy" in key)


def test_every_listed_figure_has_a_trial():
    from avcore.bench import TRIALS

    source = trials.__loader__.get_source("avcore.trials")
    endings = [figure[0].rsplit("_above")[0].split("_")[-1] for figure in TRIALS]
    assert all(ending in source for ending in endings)


def test_shifted_pairs_hold_each_clip_with_its_own_and_with_distant_sound():
    config = replace(MOVING, objects=(1, 1))
    batch = render(Stage(config), "train", 3)
    torch.manual_seed(0)
    frames, mel, labels = trials.shifted_pairs(batch, config)
    assert labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert frames[:3].equal(frames[3:])
    own = trials.log_mel(batch.waveform)
    torch.testing.assert_close(mel[:3], own)
    assert (mel[3:] - own).abs().mean() > 0.5


def test_one_sense_alone_reaches_the_network_alone():
    """With the sound switched off, both versions of a clip look the same to the network."""
    config = replace(MOVING, objects=(1, 1))
    frames, mel, _ = trials.shifted_pairs(render(Stage(config), "train", 4), config)
    model = trials.EarlyFusion().eval()
    with torch.no_grad():
        blind, deaf, both = model(0 * frames, mel), model(frames, 0 * mel), model(frames, mel)
    assert deaf[:4].equal(deaf[4:])
    assert not blind[:4].equal(blind[4:])
    assert not both[:4].equal(both[4:])


def test_the_probes_see_a_class_that_is_given_away(monkeypatch):
    """Paint every class in its own brightness, and the colour probe must rise."""
    from avcore.stage import looks

    names = list(looks.BALANCE)
    monkeypatch.setattr(
        looks, "BALANCE", {look: 0.15 + 0.1 * number for number, look in enumerate(names)}
    )
    assert trials.probe_trial("smoke")["probe_colour_above_chance"] > 10


@pytest.mark.skipif(stamps.available() is None, reason="the photographs are not fetched")
def test_photographs_are_those_with_something_held_out():
    bank = trials.photograph_bank(stamps.available())
    assert len(bank.classes) >= 10
    assert all(bank.held_out.values())
