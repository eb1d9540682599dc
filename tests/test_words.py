"""Words said by the synthesiser: where it is not installed, those tests are skipped."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the media extra is not installed")

from media_tree import RATE, write_tree

from avcore.data.media import synthesiser, words
from avcore.data.media.cleaning import LEVEL, active, envelope
from avcore.data.media.words import fetch, load, say, share_out, speaker
from avcore.stage.media import MediaBank
from avcore.support import AvcoreError, MediaError


@pytest.fixture(scope="module", autouse=True)
def spoken():
    try:
        return say("lion")
    except MediaError as error:
        pytest.skip(str(error))


# Saying


def test_a_word_is_said_and_timed():
    said = say("great blue heron", "en-us+f3")
    assert said.waveform.dtype == np.float32 and 0.1 < np.abs(said.waveform).max() <= 1
    assert len(said.times) == 3 and 0.5 < len(said.waveform) / said.rate < 2
    ends = [time for word in said.times for time in word]
    assert ends == sorted(ends) and ends[-1] <= len(said.waveform) / said.rate
    levels = envelope(said.waveform, said.rate)
    within = np.zeros(len(levels), bool)
    for start, stop in said.times:
        within[round(100 * start) : round(100 * stop)] = True
    assert within[active(levels)].mean() > 0.95


def test_the_same_words_sound_the_same_every_time():
    first, second = say("sea lion", "en+m2"), say("sea lion", "en+m2")
    assert first.waveform.tobytes() == second.waveform.tobytes() and first.times == second.times


def test_speed_pitch_and_voice_change_the_sound():
    def pitch(said):
        """By the autocorrelation of the middle, below 250 Hz."""
        middle = said.waveform[len(said.waveform) // 4 :][: said.rate // 5]
        echo = np.fft.irfft(np.abs(np.fft.rfft(middle, 1 << 16)) ** 2)
        low, high = said.rate // 250, said.rate // 50
        return said.rate / (low + echo[low:high].argmax())

    assert len(say("lion", speed=100).waveform) > 1.3 * len(say("lion", speed=200).waveform)
    assert pitch(say("ah", pitch=90)) > 1.3 * pitch(say("ah", pitch=10))
    voices = [say("lion", voice).waveform.tobytes() for voice in ("en", "en-us", "en+f2", "fr")]
    assert len(set(voices)) == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"text": " "}, "a text to say is wanted"),
        ({"text": "a\0b"}, "a text to say is wanted"),
        ({"text": 3}, "a text to say is wanted"),
        ({"text": "lion", "voice": "zz"}, "has no voice 'zz'"),
        ({"text": "lion", "voice": "../../etc/passwd"}, "has no voice"),
        ({"text": "lion", "speed": 5000}, "speed must lie within 80 and 450, got 5000"),
        ({"text": "lion", "pitch": -1}, "pitch must lie within 0 and 99, got -1"),
        ({"text": "…"}, r"could not say '…'"),
    ],
)
def test_what_cannot_be_said(arguments, reason):
    with pytest.raises(AvcoreError, match=reason):
        say(**arguments)


def test_where_the_synthesiser_is_missing_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(synthesiser, "find_library", lambda name: None)
    with pytest.raises(MediaError, match=r"run: pip install 'avcore\[speech\]'"):
        say("lion")


def test_a_library_that_cannot_be_loaded_or_crashes(monkeypatch, tmp_path):
    monkeypatch.setattr(synthesiser, "_library", lambda: (str(tmp_path / "none.so"), None))
    with pytest.raises(MediaError, match="espeak-ng cannot be loaded"):
        say("lion")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(MediaError, match="gave no answer to 'lion'"):
        say("lion")


# The cache


def test_utterances_are_tidied_and_by_many_speakers(tmp_path):
    said = fetch(["lion", "sea lion"], 8, tmp_path)
    assert [len(utterances) for utterances in said.values()] == [8, 8]
    for utterance in said["sea lion"]:
        levels = envelope(utterance.wave, RATE)
        assert np.sqrt(np.mean(levels[active(levels)] ** 2)) == pytest.approx(LEVEL, rel=0.1)
        assert utterance.language == "en" and 0.3 < len(utterance.wave) / RATE < 2
    assert len({utterance.wave.tobytes() for utterance in said["lion"]}) == 8
    assert len({utterance.speaker for utterance in said["lion"]}) == 8


def test_speakers_differ_and_stay_the_same():
    many = [speaker(number) for number in range(words.COUNT)]
    assert len(set(many)) == words.COUNT and many[3] == speaker(3)
    assert {who.voice.partition("+")[0] for who in many} == set(words.ACCENTS)


def test_the_cache_is_used_again_and_grows(tmp_path, monkeypatch):
    few = fetch(["lion"], 2, tmp_path)
    made = []

    def counted(texts, speakers):
        made.append(texts[0])
        return synthesiser.say_all(texts, speakers)

    monkeypatch.setattr(words, "say_all", counted)
    again = fetch(["lion", "bear"], 2, tmp_path)
    assert made == ["bear"]
    more = fetch(["lion"], 4, tmp_path)
    for one, two, three in zip(few["lion"], again["lion"], more["lion"], strict=False):
        assert one.wave.tobytes() == two.wave.tobytes() == three.wave.tobytes()
    assert len(load(["lion"], 3, tmp_path)["lion"]) == 3 and len(made) == 2


@pytest.mark.parametrize("damage", ["empty", "cut short", "text", "foreign", "pickle", "edition"])
def test_a_damaged_or_foreign_file_is_made_again(tmp_path, monkeypatch, damage):
    good = fetch(["lion"], 2, tmp_path)["lion"]
    (path,) = (tmp_path / words.FOLDER).iterdir()
    if damage == "foreign":
        fetch(["bear"], 2, tmp_path)
        next(p for p in path.parent.iterdir() if p != path).replace(path)
    elif damage == "pickle":
        np.savez(path, edition=np.array([print], dtype=object), allow_pickle=True)
    elif damage == "edition":
        monkeypatch.setattr(words, "EDITION", 2)
    else:
        data = path.read_bytes()
        path.write_bytes({"empty": b"", "cut short": data[:-99], "text": b"hello"}[damage])
    with pytest.raises(MediaError, match="'lion' has not been said yet; run: avcore data words"):
        load(["lion"], 2, tmp_path)
    again = fetch(["lion"], 2, tmp_path)["lion"]
    assert [word.wave.tobytes() for word in again] == [word.wave.tobytes() for word in good]


def test_an_interrupted_run_goes_on_where_it_ended(tmp_path, monkeypatch):
    def interrupt(texts, speakers):
        if texts[0] == "bear":
            raise KeyboardInterrupt
        return synthesiser.say_all(texts, speakers)

    monkeypatch.setattr(words, "say_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(["lion", "bear"], 2, tmp_path)
    left = words._path(tmp_path, "bear")
    left = left.with_name(f".{left.name}.abcdefgh.tmp")  # as a killed run leaves it
    left.write_bytes(b"half")
    monkeypatch.setattr(words, "say_all", synthesiser.say_all)
    told = []
    fetch(["lion", "bear"], 2, tmp_path, lambda what, done: told.append(done))
    assert told == [0.0, 1.0] and not left.exists()


def test_any_name_of_a_class_has_a_file(tmp_path):
    names = ["../lion", "Lion", "lion", "ours brun", "été", "x" * 300]
    said = fetch(names, 1, tmp_path)
    assert list(said) == names and len(list((tmp_path / words.FOLDER).iterdir())) == len(names)
    with pytest.raises(AvcoreError, match="at least one utterance"):
        fetch(["lion"], 0, tmp_path)


# In a bank


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path / "cache"))
    return write_tree(tmp_path / "media")


def test_a_bank_speaks_synthetic_words_in_training_and_peoples_in_the_test(folder):
    by_split = {"train": "synthetic", "val": "synthetic"}
    with pytest.raises(MediaError, match="'cat' has not been said yet"):
        MediaBank(folder, words=by_split)
    fetch(["cat", "sea lion", "wren"])
    bank = MediaBank(folder, words=by_split)
    assert bank.languages_of(0) == ("en",) and bank.languages_of(0, "test") == ("en", "fr")
    performance = bank.speak(1, np.random.default_rng(0), "train", 1.5)
    (word,) = performance.words
    assert word.text == "sea lion (en)" and 0.3 < word.end - word.start < 1.4
    heard = np.flatnonzero(envelope(performance.render(RATE), RATE) > 0.01) / 100
    assert heard[0] == pytest.approx(word.start, abs=0.05)
    assert heard[-1] == pytest.approx(word.end, abs=0.05)
    with pytest.raises(MediaError, match="has no spoken name"):
        bank.speak(1, np.random.default_rng(0), "test", 1.5)


def test_languages_choose_among_people_and_the_synthesiser_is_english(folder):
    fetch(["cat", "sea lion", "wren"])
    by_split = {"train": "synthetic", "val": "synthetic"}
    bank = MediaBank(folder, {"test": ["en"]}, words=by_split, skip_bad=True)
    assert bank.classes == ("cat",) and bank.languages_of(0, "test") == ("en",)
    with pytest.raises(MediaError, match=r"no spoken name for train \(wanted: fr\)"):
        MediaBank(folder, {"train": ["fr"]}, words=by_split)


def test_no_synthetic_speaker_is_in_two_splits(folder):
    fetch(["cat", "sea lion", "wren"], 12)
    shares = share_out(load(["cat"], 12)["cat"])
    assert {split: len(share) for split, share in shares.items()} == {
        "train": 8, "val": 2, "test": 2
    }  # fmt: skip
    assert len({id(word) for share in shares.values() for word in share}) == 12


def test_a_bank_gives_the_recordings_of_people(folder):
    bank = MediaBank(folder)
    assert [word.language for word in bank.spoken(0)] == ["en"]
    assert [word.speaker for word in bank.spoken(0, "fr")] == ["anna"]
    assert bank.spoken(1) == ()
    with pytest.raises(AvcoreError, match="unknown speaker of words 'robots'"):
        MediaBank(folder, words="robots")
