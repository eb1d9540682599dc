"""Trials of the stage: can it teach what the papers need, and does nothing give the answer away?

Each trial is a function of (scale, seed, device) that gives figures by name. They are recorded by
`avcore.bench.record_trial` and run at smoke size in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from avcore.audio import log_mel
from avcore.class_aware.dictionary import build_dictionary
from avcore.class_aware.scenes import draw
from avcore.class_aware.solos import features_under, nearest, train_config
from avcore.data.media import stamps
from avcore.metrics import mutual_information
from avcore.nn.backbones import SoundStream
from avcore.papers import avc
from avcore.papers.avs import evaluation, experiments
from avcore.papers.csol import experiments as csol
from avcore.papers.denseav import experiments as dense
from avcore.papers.denseav.scenes import counts_of
from avcore.papers.denseav.training import Recipe
from avcore.papers.ier import experiments as ier
from avcore.papers.multisensory import experiments as multisensory
from avcore.sceptic.volumes import volume_experiment
from avcore.sceptic.words import word_experiment
from avcore.stage import STILL, AssetBank, SceneBatch, SceneConfig, Stage, render
from avcore.stage.media import MediaBank
from avcore.support import MediaError, Splits, by_scale
from avcore.training import Shuffled, TrainConfig, fit, pick_device, seeded

SOUND_ONLY = replace(STILL, size=16, objects=(1, 1))
LEAST = 0.01  # a share that ratios are taken over has at least this value
SPEECH_ONLY = replace(SOUND_ONLY, sounding=(0, 0), names=(1, 1))


def shift_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Multisensory's pretext task: held-out accuracy with both senses and with one, and its maps.

    "shift_pointing" is how often the class activation map's peak lies on what sounds.
    """
    out = {}
    for senses in ("shift", "sound only", "picture only"):
        values = multisensory.pretext_experiment(senses, seed, scale, device)
        seconds = multisensory.pretrained(senses, seed, scale, device)[1].seconds
        suffix = "" if senses == "shift" else f"_{senses.replace(' ', '_')}"
        out[f"shift_accuracy{suffix}"] = values["accuracy"]
        out[f"shift_training_seconds{suffix}"] = seconds
        if senses == "shift":
            out["shift_pointing"] = values["pointing"]
    return out


def separation_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Multisensory: actions ahead of learning them from nothing, and the separation of two voices.

    "actions_gain" and "in_view_gain" in points of accuracy; the others in dB over the mixture.
    """
    pretrained, scratch = (
        multisensory.action_experiment(start, seed, scale, device) for start in ("shift", "scratch")
    )
    found = multisensory.separation_experiment("multisensory", seed, scale, device)
    return {
        "actions_gain": 100 * (pretrained["accuracy"] - scratch["accuracy"]),
        "in_view_gain": 100 * (pretrained["in_view"] - scratch["in_view"]),
        "separation_gain": found["si_sdr_gain"],
        "separation_same_voice": found["same_voice"],
        "separation_wrong_picture": found["wrong_picture"],
    }


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


def word_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Accuracy of naming the spoken word from voices that were not heard in training."""
    return {"word_accuracy": _sound_accuracy(SPEECH_ONLY, scale, seed, device)}


def sound_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Accuracy of naming the class from one held-out sound."""
    return {"sound_class_accuracy": _sound_accuracy(SOUND_ONLY, scale, seed, device)}


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


def photograph_bank(folder: str | Path) -> MediaBank:
    """The animals of a folder that keep something for the test: a picture, a recording, time.

    The others show the same picture and recording in training and test.
    """
    held_out = MediaBank(folder, skip_bad=True, groups=["animal"]).held_out
    return MediaBank(
        folder, skip_bad=True, only=[name for name, kinds in held_out.items() if kinds]
    )


def photograph_data(bank: AssetBank, scale: str, seed: int) -> Splits[SceneBatch]:
    """Scenes of photographs for correspondence learning."""
    counts = by_scale(scale, smoke=(64, 16, 16), quick=(2000, 100, 200), full=(20_000, 500, 1000))
    return avc.make_data(scale, seed, bank, counts)


def photograph_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Correspondence learned from real photographs and recordings: `avc.measure` on the test.

    The batches are those of chapter 02: with few classes a larger one holds more false negatives.
    Raises `MediaError` where the photographs have not been fetched.
    """
    data = photograph_data(photograph_bank(_photographs()), scale, seed)
    config = replace(
        avc.train_config(scale, seed, device),
        batch_size=by_scale(scale, smoke=16, quick=32, full=64),
        steps=by_scale(scale, smoke=4, quick=400, full=5000),
        progress=False,
    )
    model, _ = avc.train(avc.Experience.of(data.train), config)
    return {f"photographs_{name}": value for name, value in avc.measure(model, data).items()}


def correspondence_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Chapter 02's network against the whole image, on held-out scenes."""
    values = avc.localisation_experiment("max", seed, scale, device)
    return {f"correspondence_{name}": value for name, value in values.items()}


def segmentation_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """AVS with TPAVI on two objects of which one sounds: `avs.evaluation.measure`."""
    values = experiments.segmentation_experiment("pair, TPAVI", seed, scale, device)
    return {f"avs_{name}": value for name, value in values.items()}


def photograph_segmentation_trial(
    scale: str, seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """The same with photographs, of many more classes: more scenes and more steps.

    Raises `MediaError` where the photographs have not been fetched.
    """
    bank = MediaBank(_photographs(), skip_bad=True)
    counts = by_scale(scale, smoke=(16, 1, 8), quick=(7000, 1, 100), full=(40_000, 1, 500))
    data = experiments.make_data("pair", scale, seed, bank, counts)
    config = experiments.train_config(scale, seed, device, "pair")
    config = replace(config, steps=config.steps * 4 // 3, progress=False)
    model, _ = experiments.fit_small("TPAVI", data.train, config)
    values = evaluation.measure(model, data.test, data.silence)
    return {f"photographs_avs_{name}": value for name, value in values.items()}


def dense_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """DenseAV with one head on held-out scenes with sounds: `denseav.experiments.measure`."""
    return _dense(scale, seed, device, None, counts_of(scale), "denseav")


def photograph_dense_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """The same with photographs and recordings of the classes that keep something for the test.

    They are of many more classes, so there are more scenes and more steps. Raises `MediaError`
    where the photographs have not been fetched.
    """
    bank = photograph_bank(_photographs())
    counts = by_scale(scale, smoke=(32, 8, 16), quick=(4000, 1, 300), full=(20_000, 1, 1000))
    return _dense(scale, seed, device, bank, counts, "photographs_denseav", longer=1.5)


def _dense(
    scale: str,
    seed: int,
    device: str,
    bank: AssetBank | None,
    counts: tuple[int, int, int],
    prefix: str,
    longer: float = 1.0,
) -> dict[str, float]:
    data = dense.make_data(("chirp",), scale, seed, bank, counts)
    config = dense.train_config(scale, seed, device)
    config = replace(config, steps=round(longer * config.steps), progress=False)
    model, _ = dense.fit_small(data.train, config, Recipe())
    values = dense.measure(model, data.test["chirp"], Recipe())
    return {f"{prefix}_{name}": value for name, value in values.items()}


def dictionary_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """CSOL drawn: its dictionary, single sources, and collages of two sounding and two silent.

    "solo_iou_over_whole" is IoU@0.5 over that of the whole picture (at least one scene in a
    hundred), "collage_ciou_over_agnostic" CIoU@0.3 over the best class-agnostic rival's.
    """
    solo = csol.solo_experiment("alternating", seed, scale, device)
    collage = csol.class_aware_experiment("CSOL", seed, scale, device)
    rival = max(collage["agnostic_ciou@0.3"], LEAST)
    return {
        "dictionary_nmi": solo["held_out_nmi"],
        "solo_iou_over_whole": solo["iou@0.5"] / max(solo["whole_iou@0.5"], LEAST),
        "solo_pointing": solo["pointing"],
        "collage_ciou": collage["ciou@0.3"],
        "collage_ciou_over_agnostic": collage["ciou@0.3"] / rival,
        "collage_nsa": collage["nsa"],
    }


def photograph_dictionary_trial(
    scale: str, seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """CSOL's dictionary of photographs: normalised mutual information of clusters and classes.

    Of the training scenes and of held-out ones of all animals and instruments;
    "photographs_true_nmi" is that of k-means under the true masks of the training scenes. Raises
    `MediaError` where the photographs have not been fetched.
    """
    bank = MediaBank(_photographs(), skip_bad=True, groups=["animal", "instrument"])
    classes = len(bank.classes)
    count = by_scale(scale, smoke=classes + 3, quick=2500, full=20_000)
    train, test = (
        draw("solo", split, number, seed, bank, by_scale(scale, smoke=0, quick=2, full=8))
        for split, number in (("train", count), ("test", count // 5))
    )
    config = replace(train_config(scale, seed, device), progress=False)
    found = csol.first_stage("alternating", train, classes, config)
    held_out = nearest(found.model, found.dictionary.entries, test)
    truth = build_dictionary(features_under(found.model, train, "truth"), classes, seed)
    return {
        "photographs_dictionary_nmi": mutual_information(found.dictionary.labels, train.label()),
        "photographs_held_out_nmi": mutual_information(held_out, test.label()),
        "photographs_true_nmi": mutual_information(truth.labels, train.label()),
    }


def interference_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """IEr drawn: the quieter of two sources found at 10 dB, and sounds from off screen."""
    ours, theirs = (volume_experiment(name, seed, scale, device) for name in ("IEr", "CSOL"))
    with_filter, without = (
        ier.referrer_experiment(name, seed, scale, device)["off_screen"]
        for name in ("both filters", "no off-screen filter")
    )
    return {
        "quieter_found": ours["quiet@10"],
        "quieter_found_ahead_of_csol": ours["quiet@10"] - theirs["quiet@10"],
        "false_activation": with_filter,
        "false_activation_over_without": with_filter / max(without, LEAST),
    }


def people_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """People's English words, named by a network that learned from a synthesiser alone.

    Raises `MediaError` where the recordings or the synthetic words are not in the cache.
    """
    values = word_experiment("augmented", seed, scale, device)
    return {f"people_words_{name}": value for name, value in values.items()}


def _photographs() -> Path:
    folder = stamps.available()
    if folder is None:
        raise MediaError("the photographs are not here; run: avcore data stamps")
    return folder


TRIALS = {
    "shift": shift_trial,
    "separation": separation_trial,
    "words": word_trial,
    "sounds": sound_trial,
    "probes": probe_trial,
    "photographs": photograph_trial,
    "correspondence": correspondence_trial,
    "segmentation": segmentation_trial,
    "photographs-segmentation": photograph_segmentation_trial,
    "denseav": dense_trial,
    "photographs-denseav": photograph_dense_trial,
    "people": people_trial,
    "dictionary": dictionary_trial,
    "photographs-dictionary": photograph_dictionary_trial,
    "interference": interference_trial,
}
