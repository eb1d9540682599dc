"""What a sceptic asks: negatives, scores without sound, media from elsewhere, words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from avcore import metrics
from avcore.data.media.folder import MediaClass
from avcore.sceptic import elsewhere, negatives, volumes, words
from avcore.sceptic.localisers import LOCALISERS
from avcore.sceptic.volumes import METHODS
from avcore.stage import SceneBatch, Stage, render
from avcore.support import AvcoreError, MediaError


@pytest.fixture(scope="module")
def scenes() -> SceneBatch:
    return render(Stage(negatives.SCENES), "test", 12)


@pytest.fixture(scope="module")
def hidden() -> SceneBatch:
    return render(Stage(negatives.HIDDEN), "test", 12)


def oracle(batch: SceneBatch) -> torch.Tensor:
    """A perfect localiser: it marks what sounds, if anything is heard and in the picture."""
    heard = batch.waveform.abs().amax(1) > 0
    return batch.target()[:, 0].float() * heard[:, None, None]


def deaf(batch: SceneBatch) -> torch.Tensor:
    """It marks all that can be seen."""
    return batch.target(sounding=None)[:, 0].float()


def test_a_perfect_localiser_marks_nothing_without_a_source(scenes, hidden):
    found = negatives.measure(oracle, scenes, scenes, hidden)
    assert found["iou"] == found["pointing"] == pytest.approx(1)
    assert found["area"] == pytest.approx(1)
    assert found["silence_area"] == found["offscreen_area"] == 0
    assert found["noise_area"] == pytest.approx(1)  # this oracle knows the truth of the picture


def test_a_deaf_localiser_is_found_out(scenes, hidden):
    found = negatives.measure(deaf, scenes, scenes, hidden)
    assert found["unheard_share"] == pytest.approx(1)
    assert found["iou"] == pytest.approx(found["blind_iou"])
    assert found["wrong_sound_pointing"] == found["pointing"]
    assert found["silence_area"] == pytest.approx(found["area"]) and found["area"] > 1.5


def test_one_threshold_serves_all_scenes():
    target = torch.zeros(2, 8, 8, dtype=torch.bool)
    target[:, 2:5, 2:5] = True
    maps = torch.stack([target[0] * 4.0, target[1] * 3.0])
    cut = negatives.universal_threshold(maps, target)
    assert 0 < cut <= 3 and metrics.iou(maps >= cut, target).min() == 1


def test_hidden_scenes_show_no_source(hidden):
    assert not hidden.target().any() and hidden.target(sounding=None).any()
    assert (hidden.waveform.abs().amax(1) > 0).all()


@pytest.mark.parametrize("name", LOCALISERS)
def test_every_localiser_answers_for_every_scene(name, scenes):
    maps = LOCALISERS[name]("smoke", 0, "cpu")(scenes)
    assert len(maps) == len(scenes) and maps.ndim == 3 and maps.isfinite().all()
    other = negatives.with_sound(scenes, torch.zeros_like(scenes.waveform))
    assert torch.equal(other.frames, scenes.frames)


def test_an_unknown_localiser_is_named():
    with pytest.raises(AvcoreError, match="localiser"):
        negatives.sceptic_experiment("nobody", 0, "smoke")


# --- media from elsewhere --------------------------------------------------------------------


def animals() -> list[MediaClass]:
    """Three classes, each a plain colour and a tone."""
    tone = np.sin(np.arange(24_000) / 5).astype(np.float32)
    made = []
    for k, name in enumerate(("ape", "bee", "cat")):
        picture = np.full((40, 60, 4), 80 * k, np.uint8)
        item = MediaClass(folder=name, name=name, group="", pictures={}, sounds={}, words=())
        made.append(replace(item, pictures={"p": picture}, sounds={"s": tone * (k + 1)}))
    return made


def test_pairs_of_photographs_ask_for_each_side_once():
    pairs, left = elsewhere.pairs_of_photographs(animals())
    assert len(pairs) == 3 * 2 * 2 and left.tolist() == [True, False] * 6
    first, second = pairs.frames[0, 0], pairs.frames[1, 0]
    assert torch.equal(first, second)  # the same pictures, another sound
    middle = first[0, 64]
    assert middle[10] == 0 and middle[100] == 80  # ape on the left, bee on the right


def test_the_half_of_the_peak():
    maps = torch.zeros(2, 4, 6)
    maps[0, 1, 1] = maps[1, 2, 4] = 1
    assert elsewhere.left_half(maps).tolist() == [True, False]


# --- words -----------------------------------------------------------------------------------


def test_augmentation_keeps_shape_and_changes_every_utterance():
    mel = torch.randn(4, 64, 151)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        once, again = words.augmented(mel), words.augmented(mel)
    assert once.shape == mel.shape and once.isfinite().all()
    assert (once != again).flatten(1).any(1).all()


def test_a_microphone_that_filters_every_frame_alike_is_not_heard():
    mel = torch.randn(3, 64, 151).cumsum(2) / 8
    response = torch.randn(3, 64, 1)
    response -= response.mean(1, keepdim=True)
    torch.testing.assert_close(words.normalised(mel + response), words.normalised(mel))


def test_frames_of_silence_do_not_move_the_mean():
    mel = torch.randn(1, 64, 80)
    padded = functional.pad(mel, (0, 71), value=-15.0)
    torch.testing.assert_close(words.normalised(padded)[..., :80], words.normalised(mel))


def test_every_speaker_of_the_synthesiser_is_another():
    speakers = [words.speaker(number) for number in range(words.SPEAKERS)]
    assert len({who.voice for who in speakers}) == words.SPEAKERS
    assert words.speaker(7) == words.speaker(7)


def test_words_are_said_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    try:
        said = words.synthetic(["lion", "owl"], 3)
    except MediaError as error:
        pytest.skip(str(error))
    assert said.mel.shape == (6, 64, 151) and said.label.tolist() == [0, 0, 0, 1, 1, 1]
    monkeypatch.setattr(words, "say_all", None)
    assert torch.equal(words.synthetic(["lion", "owl"], 3).mel, said.mel)


def test_words_are_learned_from_utterances():
    """Three "words" of different pitch order, which a mean over time cannot tell apart."""
    rng = np.random.default_rng(0)
    time = np.arange(8000) / words.RATE

    def word(pitches):
        tones = [np.sin(2 * np.pi * p * rng.uniform(0.95, 1.05) * time) for p in pitches]
        return np.concatenate(tones).astype(np.float32)

    kinds = ((300, 900), (900, 300), (600, 600))
    learn, test = (
        words.Utterances.of([word(kinds[k % 3]) for k in range(n)], [k % 3 for k in range(n)])
        for n in (48, 24)
    )
    config = replace(words.train_config("quick", 0, "cpu"), steps=30, batch_size=24, warmup=5)
    model = words.teach(learn, 3, config, augment=False)
    with torch.no_grad():
        assert (model(test.mel).argmax(1) == test.label).float().mean() > 0.9


def test_csol_and_ier_meet_on_the_same_scenes():
    found = {method: volumes.volume_experiment(method, 0, "smoke", "cpu") for method in METHODS}
    assert set(found["CSOL"]) == set(found["IEr"]) >= {"quiet@10", "loud@10", "chance_found"}
    with pytest.raises(AvcoreError, match="method"):
        volumes.volume_experiment("DSOL", 0, "smoke", "cpu")
