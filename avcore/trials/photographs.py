"""Trials on photographs and people's voices, whose media have to be fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from avcore.class_aware.dictionary import build_dictionary
from avcore.class_aware.scenes import draw
from avcore.class_aware.solos import features_under, nearest, train_config
from avcore.data.media import stamps
from avcore.metrics import mutual_information
from avcore.papers import avc
from avcore.papers.avs import evaluation
from avcore.papers.avs import experiments as avs
from avcore.papers.csol import experiments as csol
from avcore.sceptic.words import word_experiment
from avcore.stage.media import MediaBank
from avcore.support import MediaError, by_scale
from avcore.trials.drawn import dense_values


def photograph_bank(folder: str | Path) -> MediaBank:
    """The animals of a folder that keep something for the test: a picture, a recording, time.

    The others show the same picture and recording in training and test.
    """
    held_out = MediaBank(folder, skip_bad=True, groups=["animal"]).held_out
    return MediaBank(
        folder, skip_bad=True, only=[name for name, kinds in held_out.items() if kinds]
    )


def photograph_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Correspondence learned from real photographs and recordings: `avc.measure` on the test.

    As in chapter 02 the mean teaches first, then the maximum. Batches are smaller than there: with
    few classes a larger one holds more false negatives. Raises `MediaError` where the photographs
    have not been fetched.
    """
    counts = by_scale(scale, smoke=(64, 16, 16), quick=(2000, 100, 400), full=(20_000, 500, 1000))
    data = avc.make_data(scale, seed, photograph_bank(photographs()), counts)
    config = replace(
        avc.train_config(scale, seed, device),
        batch_size=by_scale(scale, smoke=16, quick=32, full=64),
        steps=by_scale(scale, smoke=4, quick=400, full=5000),
        progress=False,
    )
    model, _ = avc.train_mean_first(avc.Experience.of(data.train), config)
    return {f"photographs_{name}": value for name, value in avc.measure(model, data).items()}


def photograph_segmentation_trial(
    scale: str, seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """The same with photographs, of many more classes: more scenes and more steps.

    Raises `MediaError` where the photographs have not been fetched.
    """
    bank = MediaBank(photographs(), skip_bad=True)
    counts = by_scale(scale, smoke=(16, 1, 8), quick=(7000, 1, 100), full=(40_000, 1, 500))
    data = avs.make_data("pair", scale, seed, bank, counts)
    config = avs.train_config(scale, seed, device, "pair")
    config = replace(config, steps=config.steps * 4 // 3, progress=False)
    model, _ = avs.fit_small("TPAVI", data.train, config)
    values = evaluation.measure(model, data.test, data.silence)
    return {f"photographs_avs_{name}": value for name, value in values.items()}


def photograph_dense_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """The same with photographs and recordings of the classes that keep something for the test.

    They are of many more classes, so there are more scenes and more steps. Raises `MediaError`
    where the photographs have not been fetched.
    """
    bank = photograph_bank(photographs())
    counts = by_scale(scale, smoke=(32, 8, 16), quick=(4000, 1, 300), full=(20_000, 1, 1000))
    return dense_values(scale, seed, device, bank, counts, "photographs_denseav", longer=1.5)


def photograph_dictionary_trial(
    scale: str, seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """CSOL's dictionary of photographs: normalised mutual information of clusters and classes.

    Of the training scenes and of held-out ones of all animals and instruments;
    "photographs_true_nmi" is that of k-means under the true masks of the training scenes. Raises
    `MediaError` where the photographs have not been fetched.
    """
    bank = MediaBank(photographs(), skip_bad=True, groups=["animal", "instrument"])
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


def people_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """People's English words, named by a network that learned from a synthesiser alone.

    Raises `MediaError` where the recordings are not in the cache or no synthesiser is installed.
    """
    values = word_experiment("augmented", seed, scale, device)
    return {f"people_words_{name}": value for name, value in values.items()}


def photographs() -> Path:
    """Where Tux Paint's media are; `MediaError` where they have not been fetched."""
    folder = stamps.available()
    if folder is None:
        raise MediaError("the photographs are not here; run: avcore data stamps")
    return folder
