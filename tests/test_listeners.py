"""The shipped listeners: what they give, what their cards promise, how they are taught again."""

from __future__ import annotations

import pytest
import torch

from avcore.audio import log_mel
from avcore.nn import listeners
from avcore.stage import ProceduralBank
from avcore.support import AvcoreError, CheckpointError
from avcore.training.listeners import (
    clusters,
    collect,
    mixtures,
    naming_accuracy,
    probe_accuracy,
    teach_masked,
    teach_named,
)


@pytest.fixture(scope="module")
def drawn():
    return [ProceduralBank()]


def test_they_give_what_they_say():
    mel = log_mel(torch.randn(3, 16_000, generator=torch.Generator().manual_seed(0)))
    named, masked = listeners.listener("named"), listeners.listener("masked")
    with torch.no_grad():
        heard, steps = named(mel), masked(mel)
        longer = masked(log_mel(torch.zeros(1, 48_000)))
    assert heard.shape == (3, 128) and (heard >= 0).all()
    assert named.logits(mel).shape == (3, len(named.names)) and len(named.names) == 83
    assert steps.shape == (3, 96, 1, 26) and longer.shape == (1, 96, 1, 76)
    assert not named.training and not masked.training


@pytest.mark.parametrize("frames", [97, 98, 99, 100, 101])
def test_clusters_have_as_many_steps_as_the_masked_listener(frames):
    mel = torch.randn(8, 64, frames, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        steps = listeners.listener("masked")(mel).shape[-1]
    assert clusters(mel).shape == (8, steps)


@pytest.mark.parametrize("name", listeners.LISTENERS)
def test_they_are_small_and_have_a_card(name):
    path = listeners.weights_path(name)
    assert path.stat().st_size <= 500_000
    assert "Held out" in path.with_suffix(".md").read_text(encoding="utf-8")


def test_the_named_listener_names_drawn_sounds_it_never_heard(drawn):
    sounds = collect(drawn, "test", 10, seed=5)
    named = listeners.listener("named")
    assert named.names[: len(sounds.names)] == sounds.names
    assert naming_accuracy(named, sounds).mean() >= 0.95


def test_a_linear_probe_of_the_masked_listener_tells_speech_and_classes(drawn):
    train, test = collect(drawn, "train", 20, 120, seed=5), collect(drawn, "test", 10, 60, seed=5)
    found = probe_accuracy(listeners.listener("masked"), train, test)
    assert found["kind"] >= 0.99
    assert found["class"] >= 0.95


def test_they_can_be_taught_again_and_kept(drawn, tmp_path):
    sounds = collect(drawn, "train", 8, 10)
    for teach in (teach_named, teach_masked):
        model = teach(sounds, "smoke")
        listeners.write_listener(model, tmp_path / "own.safetensors")
        again = listeners.read_listener(tmp_path / "own.safetensors")
        mel = log_mel(sounds.waveform[:2])
        with torch.no_grad():
            torch.testing.assert_close(again(mel), model(mel), rtol=0.02, atol=0.02)


def test_the_splits_share_no_sound(drawn):
    train, test = collect(drawn, "train", 3), collect(drawn, "test", 3)
    assert not any(torch.equal(a, b) for a in train.waveform for b in test.waveform)


def test_mixtures_say_what_is_in_them(drawn):
    sounds = collect(drawn, "train", 4)
    generator = torch.Generator().manual_seed(0)
    mel, target = mixtures(sounds.waveform, sounds.label, 12, 32, generator)
    assert mel.shape[:2] == (32, 64) and target.shape == (32, 12)
    assert 0 < target.sum() and target.sum(1).max() <= 3


def test_what_is_no_listener_is_named(tmp_path):
    with pytest.raises(AvcoreError, match="unknown listener 'deaf'"):
        listeners.listener("deaf")
    with pytest.raises(CheckpointError, match="no weights of a listener"):
        listeners.read_listener(tmp_path / "nothing.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(listeners.weights_path("named").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is damaged"):
        listeners.read_listener(damaged)
    with pytest.raises(AvcoreError, match="hears log-mel"):
        listeners.listener("named")(torch.zeros(2, 80, 101))
