"""Multisensory: the pairs of the shift task, the network, bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.audio import log_mel
from avcore.papers import multisensory
from avcore.papers.multisensory import shift
from avcore.stage import MOVING, Stage, render
from avcore.support import AvcoreError

SMALL = replace(MOVING, size=32, objects=(1, 1))


def test_shifted_pairs_hold_each_clip_with_its_own_and_with_distant_sound():
    config = replace(MOVING, objects=(1, 1))
    batch = render(Stage(config), "train", 3)
    torch.manual_seed(0)
    frames, mel, labels = multisensory.shifted_pairs(batch, config)
    assert labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert frames[:3].equal(frames[3:])
    own = log_mel(batch.waveform)
    torch.testing.assert_close(mel[:3], own)
    assert (mel[3:] - own).abs().mean() > 0.5


def test_one_sense_alone_reaches_the_network_alone():
    """With the sound switched off, both versions of a clip look the same to the network."""
    config = replace(MOVING, objects=(1, 1))
    frames, mel, _ = multisensory.shifted_pairs(render(Stage(config), "train", 4), config)
    model = multisensory.EarlyFusion().eval()
    with torch.no_grad():
        blind, deaf, both = model(0 * frames, mel), model(frames, 0 * mel), model(frames, mel)
    assert deaf[:4].equal(deaf[4:])
    assert not blind[:4].equal(blind[4:])
    assert not both[:4].equal(both[4:])


@pytest.mark.parametrize("senses", shift.SENSES)
def test_the_task_repeats_itself_and_a_picture_alone_is_at_chance(senses):
    clips = render(Stage(SMALL), "train", 8)
    task = multisensory.Shift(SMALL, senses)
    config = replace(shift.train_config("smoke", 0, "cpu"), progress=False)
    (model, first), (again, repeated) = task.train(clips, config), task.train(clips, config)
    assert first["loss"] == repeated["loss"]
    accuracy = task.accuracy(model, clips, seed=1)
    assert accuracy == task.accuracy(again, clips, seed=1)
    assert senses != "picture only" or accuracy == 0.5  # both labels belong to every picture


def test_unknown_senses_are_named():
    with pytest.raises(AvcoreError, match="unknown choice of senses 'smell'; choose one of both"):
        multisensory.Shift(SMALL, "smell")
