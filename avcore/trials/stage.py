"""Trials of the stage: can its sounds and words be named, and does nothing give the answer away?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from avcore.audio import log_mel
from avcore.nn.backbones import SoundStream
from avcore.stage import STILL, SceneConfig, Stage, render
from avcore.support import by_scale
from avcore.training import Shuffled, TrainConfig, fit, pick_device, seeded

SOUND_ONLY = replace(STILL, size=16, objects=(1, 1))
SPEECH_ONLY = replace(SOUND_ONLY, sounding=(0, 0), names=(1, 1))


def word_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Accuracy of naming the spoken word from voices that were not heard in training."""
    return {"word_accuracy": _sound_accuracy(SPEECH_ONLY, scale, seed, device)}


def sound_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Accuracy of naming the class from one held-out sound."""
    return {"sound_class_accuracy": _sound_accuracy(SOUND_ONLY, scale, seed, device)}


@dataclass(frozen=True)
class Sounds:
    """Log-mel pictures (N, n_mels, frames) and their classes (N,)."""

    mel: Tensor
    label: Tensor

    @classmethod
    def draw(cls, stage: Stage, split: str, count: int) -> Sounds:
        """The one thing that is heard in each scene: a sound, or a spoken name."""
        batch = render(stage, split, count)
        label = torch.where(batch.sounding, batch.class_id, -1).amax(1)
        return cls(log_mel(batch.waveform), label)


def _sound_accuracy(config: SceneConfig, scale: str, seed: int, device: str) -> float:
    stage = Stage(config, seed=seed)
    train = Sounds.draw(stage, "train", by_scale(scale, smoke=48, quick=3000, full=20_000))
    test = Sounds.draw(stage, "test", by_scale(scale, smoke=24, quick=600, full=2000))
    settings = TrainConfig(
        steps=by_scale(scale, smoke=2, quick=300, full=2000),
        batch_size=by_scale(scale, smoke=16, quick=32, full=64),
        learning_rate=2e-3,
        seed=seed,
        device=device,
        progress=False,
    )
    with seeded(seed):
        model = SoundStream(len(stage.bank.classes))

    def loss_fn(model, batch):
        return functional.cross_entropy(model(batch.mel), batch.label)

    fit(model, loss_fn, Shuffled(train, settings.batch_size, seed), settings)
    with torch.no_grad():
        guess = model(test.mel.to(pick_device(device))).argmax(1).cpu()
    return (guess == test.label).float().mean().item()


def probe_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Points above chance of linear probes for the class: mean colour, position, loudness.

    The colour is the object's and the whole picture's mean rgb, the position the mask's centre,
    the loudness the sound's RMS in dB. Probes are fitted on one split and measured on another.
    """
    stage = Stage(replace(STILL, objects=(1, 1)), seed=seed)
    counts = by_scale(scale, smoke=(240, 120), quick=(3000, 1500), full=(10_000, 5000))
    train, test = (_cues(stage, s, n) for s, n in zip(("train", "test"), counts, strict=True))
    out = {}
    for cue in ("colour", "position", "loudness"):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        accuracy = probe.fit(train[cue], train["label"]).score(test[cue], test["label"])
        out[f"probe_{cue}_above_chance"] = 100 * (accuracy - 1 / len(stage.bank.classes))
    return out


def _cues(stage: Stage, split: str, count: int) -> dict[str, np.ndarray]:
    rows: dict[str, list] = {"colour": [], "position": [], "loudness": [], "label": []}
    for index in range(count):
        scene = stage.scene(split, index)
        picture, mask = scene.frames[0] / 255, scene.masks[0, 0]
        rows["colour"].append([*picture[mask].mean(0), *picture.mean((0, 1))])
        rows["position"].append(np.argwhere(mask).mean(0))
        rows["loudness"].append([20 * np.log10(scene.waveform.std())])
        rows["label"].append(scene.sources[0].class_id)
    return {name: np.array(values) for name, values in rows.items()}
