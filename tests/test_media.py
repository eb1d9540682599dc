"""Reading media files, checking media folders, and the media bank, on files the tests write."""

from __future__ import annotations

import itertools
import pickle
import shutil

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("PIL", reason="the media extra is not installed")

import soundfile
from media_tree import (
    RATE,
    disc,
    hiss,
    quiet,
    tone,
    write_picture,
    write_sound,
    write_tree,
)
from PIL import Image

from avcore.data.media import folder, read
from avcore.data.media.cleaning import LEVEL, envelope, same_recordings, tidy
from avcore.data.media.folder import MediaClass, class_folders, read_folder, read_picture
from avcore.data.media.read import read_audio, read_cutout, read_image
from avcore.stage.compose import MOVING, Stage
from avcore.stage.media import MediaBank
from avcore.stage.photo import Photo, PhotoSprite
from avcore.stage.recording import Excerpt, Recording, onsets
from avcore.stage.scene import CONTROL_RATE, SPLITS
from avcore.support import MediaError


@pytest.fixture(scope="module")
def good_tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("media") / "good")


@pytest.fixture
def tree(good_tree, tmp_path):
    return shutil.copytree(good_tree, tmp_path / "media")


@pytest.fixture(scope="module")
def bank(good_tree):
    return MediaBank(good_tree)


def rng(seed=0):
    return np.random.default_rng(seed)


def pitch(samples, rate=RATE):
    """The strongest frequency, Hz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.fft.rfftfreq(len(samples), 1 / rate)[power.argmax()]


# Pictures


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_pictures_of_any_mode_become_rgba(tmp_path, mode):
    image = disc((100, 100, 100)).convert("RGBA")
    image = image.quantize() if mode == "P" else image.convert(mode)
    path = write_picture(tmp_path / "disc.png", image)
    rgba = read_cutout(path)
    assert rgba.shape == (64, 64, 4) and rgba.dtype == np.uint8
    assert rgba[32, 32].tolist() == [100, 100, 100, 255] and rgba[0, 0, 3] == 0


def test_a_picture_without_alpha_is_opaque_and_no_cutout(tmp_path):
    path = write_picture(tmp_path / "photo.png", disc().convert("RGB"))
    assert (read_image(path)[..., 3] == 255).all()
    with pytest.raises(MediaError, match=r"photo\.png: no alpha"):
        read_cutout(path)


@pytest.mark.parametrize(("alpha", "reason"), [(255, "no alpha"), (0, "transparent everywhere")])
def test_an_alpha_that_says_nothing_is_an_error(tmp_path, alpha, reason):
    image = disc()
    image.putalpha(alpha)
    with pytest.raises(MediaError, match=reason):
        read_cutout(write_picture(tmp_path / "flat.png", image))


@pytest.mark.parametrize("damage", ["cut short", "text", "empty", "missing"])
def test_damaged_pictures_are_named(tmp_path, damage):
    path = write_picture(tmp_path / "bad.png", disc())
    data = path.read_bytes()
    path.write_bytes({"cut short": data[: len(data) // 2], "text": b"hello"}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    with pytest.raises(MediaError, match=r"bad\.png: .*(whole picture|empty|no such file)"):
        read_image(path)


def test_a_picture_is_cropped_to_its_object_and_cleaned_of_dirt(tmp_path):
    rgba = np.zeros((90, 120, 4), np.uint8)
    rgba[20:84, 30:94] = np.array(disc())
    rgba[..., 3] = np.maximum(rgba[..., 3], 5)
    picture = read_picture(write_picture(tmp_path / "a.png", Image.fromarray(rgba)))
    assert picture.shape == (64, 64, 4) and picture[0, 0].tolist() == [0, 0, 0, 0]


# Sounds


@pytest.mark.parametrize("ending", ["wav", "ogg", "flac"])
def test_sounds_become_mono_at_the_rate_asked_for(tmp_path, ending):
    both = np.stack([tone(1000, 0.5, 44_100), np.zeros(22_050, np.float32)], 1)
    path = write_sound(tmp_path / f"a.{ending}", both, 44_100)
    wave = read_audio(path, RATE)
    assert wave.dtype == np.float32 and abs(len(wave) - 8000) <= 2
    assert abs(pitch(wave) - 1000) < 5
    assert wave.std() == pytest.approx(0.15 / np.sqrt(2), rel=0.05)  # the mean of the channels


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "aac"), ("mp3", "mp3")])
def test_the_sound_of_a_container_is_read(tmp_path, ending, codec):
    av = pytest.importorskip("av")
    path = tmp_path / f"clip.{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="stereo")
        left = tone(1000, 1.0)
        both = np.stack([left, np.zeros_like(left)])
        frame = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    wave = read_audio(path, RATE)
    assert abs(len(wave) - RATE) < 3000 and abs(pitch(wave) - 1000) < 10
    middle = slice(RATE // 4, -RATE // 4)
    assert wave[middle].std() == pytest.approx(left.std() / 2, rel=0.05)  # the mean of the channels


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        *itertools.product(("ogg", "wav"), ("cut short", "garbage", "text", "empty", "missing")),
        ("wav", "nan"),
    ],
)
def test_damaged_sounds_are_named(tmp_path, ending, damage):
    path = write_sound(tmp_path / f"bad.{ending}", hiss(2.0))
    data = path.read_bytes()
    if damage == "nan":
        soundfile.write(path, np.full(8000, np.nan, np.float32), RATE, subtype="FLOAT")
    elif damage == "missing":
        path.unlink()
    else:
        garbage = data[:4] + bytes(200)
        new = {"cut short": data[: len(data) // 2], "garbage": garbage, "text": b"hello"}
        path.write_bytes(new.get(damage, b""))
    with pytest.raises(MediaError, match=r"bad\.\w+: (not a whole|the file is|there is|has)"):
        read_audio(path)


@pytest.mark.parametrize("rate", [0, 1, 999, 768_001, 2**31 - 1])
def test_a_wave_file_that_claims_an_impossible_rate_is_refused(tree, rate):
    path = write_sound(tree / "cat" / "cat.wav", hiss(5.0))
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"cat\.wav: (claims a rate of|not a whole sound file)"):
        read_audio(path, RATE)
    classes, problems = read_folder(tree)  # the report goes on with the others
    assert len(classes) == 3 and [problem.item for problem in problems] == ["cat/cat.wav"]


def test_a_sound_that_claims_to_be_very_long_is_refused(tmp_path):
    path = write_sound(tmp_path / "long.flac", hiss(1.0))
    data = bytearray(path.read_bytes())
    data[21:26] = bytes([data[21] | 0x0F]) + b"\xff" * 4  # the number of samples, 36 bits
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"long\.flac: claims \d+ samples"):
        read_audio(path)


@pytest.mark.parametrize("rate", [1000, 44_101, 192_000])
def test_unusual_rates_are_resampled(tmp_path, rate):
    path = write_sound(tmp_path / "a.wav", tone(200, 1.0, rate), rate)
    wave = read_audio(path, RATE)
    assert abs(len(wave) - RATE) <= 8 and abs(pitch(wave) - 200) < 2


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tree, monkeypatch):
    path = write_picture(tree / "cat" / "large.png", Image.new("1", (12_000, 12_000)))
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(MediaError, match=r"large\.png: has 12000x12000 pixels; at most 64 million"):
        read_image(path)
    monkeypatch.undo()
    classes, problems = read_folder(tree)
    assert len(classes) == 3 and [problem.item for problem in problems] == ["cat/large.png"]


def test_a_wave_file_of_unknown_length_is_read(tmp_path):
    path = write_sound(tmp_path / "streamed.wav", tone(1000, 1.0))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff" * 4  # as a recorder leaves it that never came back to the start
    path.write_bytes(data)
    assert len(read_audio(path)) == RATE


def test_sixteen_bits_of_grey_become_eight(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    image = read_image(tmp_path / "ramp.png")
    assert np.array_equal(image[0, :, 0], np.arange(256)) and (image[..., 3] == 255).all()


# Cleaning


def test_tidying_removes_offset_rumble_and_silence_and_sets_the_level():
    rumble = 0.5 + 0.3 * np.sin(2 * np.pi * 8 * np.arange(3 * RATE) / RATE)
    call = np.concatenate([quiet(1.2), hiss(0.8, 1, 0.02), quiet(1.0)])
    tidied = tidy((rumble + call).astype(np.float32), RATE)
    middle = tidied[2000:-2000]
    assert abs(middle.mean()) < 0.002
    assert middle.std() == pytest.approx(LEVEL, rel=0.15)
    clean = tidy(call, RATE)
    assert len(clean) / RATE == pytest.approx(0.8 + 2 * 0.03, abs=0.03)


def test_tidying_shortens_pauses_and_drops_clicks():
    click = np.concatenate([hiss(0.01, 9, 0.5), quiet(1.0)])
    tidied = tidy(np.concatenate([click, hiss(0.3, 1), quiet(2.0), hiss(0.3, 2)]), RATE)
    assert len(tidied) / RATE == pytest.approx(0.3 + 0.4 + 0.3 + 0.06, abs=0.04)


def test_silence_tidies_to_nothing():
    assert len(tidy(quiet(1.0), RATE)) == 0
    assert len(tidy(quiet(1.0) + 0.2, RATE)) == 0  # a constant is silence too
    assert len(tidy(hiss(1.0, level=1e-4), RATE)) == 0


def test_one_recording_is_found_again_when_cut_filtered_or_inverted():
    call, other = hiss(2.0, 1), hiss(2.0, 2)
    filtered = -0.3 * np.convolve(call, [0.5, 0.3, 0.2], "same").astype(np.float32)
    cut = call[RATE // 2 :]
    assert same_recordings([other, call, filtered, cut], RATE) == [(1, 2), (1, 3), (2, 3)]
    assert same_recordings([], RATE) == []


# Folders


def test_a_good_folder_has_no_problems(good_tree):
    classes, problems = read_folder(good_tree)
    assert problems == []
    assert [item.name for item in classes] == ["cat", "sea lion", "wren"]
    assert [(w.language, w.speaker) for w in classes[0].words] == [("en", ""), ("fr", "anna")]
    assert len(classes[2].pictures) == len(classes[2].sounds) == 2


def spoil_with_no_alpha(tree):
    write_picture(tree / "cat" / "cat.png", disc().convert("RGB"))
    return "cat/cat.png: no alpha", "cat: has no usable pictures"


def spoil_with_a_corrupt_png(tree):
    (tree / "cat" / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return "cat/cat.png: not a whole picture", "cat: has no usable pictures"


def spoil_with_a_tiny_picture(tree):
    write_picture(tree / "wren" / "1.png", disc(size=8))
    return ("wren/1.png: the object is 8x8 pixels",)


def spoil_with_a_corrupt_ogg(tree):
    (tree / "cat" / "cat.ogg").write_bytes(b"OggS and no more")
    return "cat/cat.ogg: not a whole sound file", "cat: has no usable sounds"


def spoil_with_silence(tree):
    write_sound(tree / "sea_lion" / "a.wav", quiet(2.0))
    return "sea_lion/a.wav: the recording is silent", "sea_lion: has no usable sounds"


def spoil_with_a_short_sound(tree):
    write_sound(tree / "wren" / "1.flac", np.concatenate([quiet(0.5), hiss(0.1), quiet(0.5)]))
    return ("wren/1.flac: only 0.1",)


def spoil_with_a_silent_word(tree):
    write_sound(tree / "cat" / "words" / "de.wav", quiet(1.0))
    return ("cat/words/de.wav: the recording is silent",)


def spoil_with_a_speech(tree):
    write_sound(tree / "cat" / "words" / "de.wav", hiss(3.5))
    return ("cat/words/de.wav: lasts 3.5 s",)


def spoil_with_no_sound(tree):
    (tree / "cat" / "cat.ogg").unlink()
    return ("cat: has no usable sounds",)


def spoil_with_a_shared_recording(tree):
    wave = read_audio(tree / "cat" / "cat.ogg", RATE)
    write_sound(tree / "sea_lion" / "a.wav", 0.4 * wave[1000:])
    return (
        "sea_lion/a.wav: is the same recording as cat/cat.ogg",
        "sea_lion: has no usable sounds",
    )


def spoil_with_a_copy(tree):
    shutil.copy(tree / "wren" / "1.flac", tree / "wren" / "3.flac")
    return ("wren/3.flac: is the same recording as wren/1.flac",)


def spoil_with_a_shared_picture(tree):
    shutil.copy(tree / "cat" / "cat.png", tree / "wren" / "4.png")
    return ("wren/4.png: is the same picture as cat/cat.png",)


def spoil_with_a_name_twice(tree):
    shutil.copytree(tree / "sea_lion", tree / "sea  lion")
    return ("sea_lion: reads like the class folder 'sea  lion'",)


@pytest.mark.parametrize(
    "spoil", [value for name, value in sorted(globals().items()) if name.startswith("spoil_")]
)
def test_each_fault_is_named_and_can_be_skipped(tree, spoil):
    expected = spoil(tree)
    found = [str(problem) for problem in read_folder(tree)[1]]
    assert len(found) == len(expected)
    assert all(any(line.startswith(want) for line in found) for want in expected), found
    with pytest.raises(MediaError) as caught:
        MediaBank(tree)
    assert all(line in str(caught.value) for line in found)
    skipping = MediaBank(tree, skip_bad=True)
    assert [str(problem) for problem in skipping.problems] == found
    assert skipping.classes and Stage(bank=skipping).scene("train", 0).frames.any()


def test_all_faults_are_told_at_once(tree):
    expected = spoil_with_no_alpha(tree) + spoil_with_silence(tree)
    with pytest.raises(MediaError) as caught:
        MediaBank(tree)
    assert all(want in str(caught.value) for want in expected)
    assert "4 things" in str(caught.value)


def test_only_a_class_that_is_seen_claims_a_shared_recording(tree):
    spoil_with_a_shared_recording(tree)
    (tree / "cat" / "cat.png").unlink()
    assert [item.name for item in read_folder(tree)[0]] == ["sea lion", "wren"]


def test_folders_that_are_missing_empty_or_useless(tmp_path):
    with pytest.raises(MediaError, match="no such folder"):
        MediaBank(tmp_path / "nowhere")
    with pytest.raises(MediaError, match="no class folders"):
        MediaBank(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(MediaError, match="No class is left"):
        MediaBank(tmp_path, skip_bad=True)


@pytest.mark.parametrize("gone", ["file", "class", "folder"])
def test_media_that_vanish_while_they_are_read_are_told_in_a_sentence(tree, monkeypatch, gone):
    def vanish(path, sample_rate=None):
        lost = {"file": path, "class": path.parent, "folder": tree}[gone]
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink(missing_ok=True)
        return read_audio(path, sample_rate)

    monkeypatch.setattr(read, "read_audio", vanish)
    with pytest.raises(MediaError, match="there is no such file"):
        MediaBank(tree)


def test_a_class_that_vanishes_between_two_looks_is_named(tree, monkeypatch):
    paths = class_folders(tree)
    shutil.rmtree(tree / "wren")
    monkeypatch.setattr(folder, "class_folders", lambda tree: paths)
    with pytest.raises(MediaError, match="wren: has no usable pictures"):
        MediaBank(tree)


def test_a_file_that_vanishes_when_it_has_been_seen_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "_must_have_content", lambda path: None)
    for name in ("a.wav", "a.ogg", "a.mp3", "a.png"):
        with pytest.raises(MediaError, match=rf"{name}: (not a whole|cannot be read)"):
            (read_image if name == "a.png" else read_audio)(tmp_path / name)


# Groups


@pytest.fixture
def grouped(tree):
    text = "\ufeffanimal: Cat, sea  lion\nbird:wren, heron\n\nno colon\n"
    (tree / "GROUPS.txt").write_text(text, encoding="utf-8")
    return tree


def test_a_bank_can_be_of_one_group(grouped):
    assert MediaBank(grouped).groups == ("animal", "animal", "bird")
    bank = MediaBank(grouped, groups=["bird"])
    assert bank.classes == ("wren",) and bank.groups == ("bird",)
    with pytest.raises(MediaError, match="has no class of the group instrument"):
        MediaBank(grouped, groups=["bird", "instrument"])
    with pytest.raises(MediaError, match="has no usable class lynx"):
        MediaBank(grouped, only=["lynx"])


def test_classes_without_a_group_have_none(good_tree):
    assert MediaBank(good_tree).groups == ("", "", "")


# Whole photographs


def test_whole_photographs_and_lone_sounds_are_read_where_they_are_asked_for(tree):
    write_picture(tree / "cat" / "cat.png", disc().convert("RGB"))
    (tree / "wren" / "1.png").unlink()
    (tree / "wren" / "2.png").unlink()
    assert [item.name for item in read_folder(tree)[0]] == ["sea lion"]
    classes, problems = read_folder(tree, photographs=True)
    assert [item.name for item in classes] == ["cat", "sea lion", "wren"] and problems == []
    (tree / "cat" / "cat.png").unlink()
    (tree / "cat" / "cat.ogg").unlink()
    _, problems = read_folder(tree, photographs=True)
    assert [str(problem) for problem in problems] == ["cat: has no usable pictures or sounds"]


# The bank


def test_the_bank_knows_its_classes_and_its_credit(bank):
    assert bank.classes == ("cat", "sea lion", "wren")
    assert bank.credit == "Made by the tests." and bank.problems == ()
    assert bank.languages == ("en", "fr")
    assert bank.held_out == {
        "cat": (),
        "sea lion": ("time",),
        "wren": ("pictures", "recordings"),
    }


def test_the_same_draws_give_the_same_scene_in_a_copied_bank(bank):
    again = pickle.loads(pickle.dumps(bank))
    for split in SPLITS:
        first, second = (Stage(MOVING, b).scene(split, 3) for b in (bank, again))
        assert first.frames.tobytes() == second.frames.tobytes()
        assert first.stems.tobytes() == second.stems.tobytes()
        assert first.masks.any() and np.abs(first.stems).max() > 0.01


def test_the_test_can_hear_recordings_from_elsewhere(good_tree):
    whistle = MediaClass("cat", "cat", {}, {"a": tone(1000, 4.0), "b": tone(1000, 4.0)}, ())
    photograph = MediaClass("wren", "wren", {}, {}, ())
    bank = MediaBank(good_tree, test_sounds=[whistle, photograph])
    assert bank.held_out["cat"] == ("recordings",)
    for split, whistles in (("train", False), ("val", False), ("test", True)):
        sound = bank.performance(0, rng(), split, 1.0).render(RATE)
        assert (900 < pitch(sound) < 1100) == whistles
    plain = MediaBank(good_tree)
    for class_id, split in ((0, "train"), (1, "test"), (2, "test")):
        sounds = [b.performance(class_id, rng(), split, 1.0).render(RATE) for b in (plain, bank)]
        assert np.array_equal(*sounds)


def test_a_class_with_two_pictures_keeps_one_for_the_test(bank):
    def colours(split):
        draws = (bank.sprite(2, rng(seed), split).photo for seed in range(20))
        return {tuple(photo.levels[0][26, 26].tolist()) for photo in draws}

    assert colours("train") == colours("val") and len(colours("train")) == 1
    assert colours("train").isdisjoint(colours("test")) and len(colours("test")) == 1


def test_splits_hear_different_stretches_of_a_long_recording():
    """In a recording whose pitch rises all the time, the pitch tells the time."""
    time = np.arange(5 * RATE) / RATE
    rising = 0.3 * np.sin(2 * np.pi * (500 * time + 200 * time**2))
    recording = Recording(rising.astype(np.float32), RATE)
    assert recording.divided

    def pitches(split):
        draws = (Excerpt.draw(recording, recording.spans[split], rng(k), 0.5) for k in range(25))
        sounds = [excerpt(RATE) for excerpt in draws]
        return [
            pitch(s[k : k + 800]) for s in sounds for k in (0, 3000, 7000) if s[k : k + 800].std()
        ]

    assert max(pitches("train")) < 500 + 400 * 3.2 * 1.08
    assert min(pitches("val")) > 500 + 400 * 2.8 * 0.92
    assert min(pitches("test")) > 500 + 400 * 3.8 * 0.92
    starts, stops = zip(*(recording.spans[split] for split in SPLITS), strict=True)
    assert starts[1:] == stops[:-1] and starts[0] == 0 and stops[-1] == 5


def test_a_recording_that_is_not_long_is_used_whole_by_all(bank):
    recording = Recording(hiss(2.5), RATE)
    assert not recording.divided and set(recording.spans.values()) == {(0.0, 2.5)}


def test_a_short_recording_is_repeated_with_pauses(bank):
    wave = tone(800, 0.4)
    for seed in range(20):
        excerpt = Excerpt.draw(Recording(wave, RATE), (0.0, 0.4), rng(seed), 2.0)
        sound = excerpt(RATE)
        heard = envelope(sound, RATE) > 0.02
        assert len(sound) == 2 * RATE and 0.4 < heard.mean() < 0.95
        assert 800 / 1.09 < pitch(sound) < 800 * 1.09
        gaps = np.diff(np.flatnonzero(heard))
        assert gaps.max() <= 0.55 * CONTROL_RATE


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
def test_a_performance_renders_at_any_rate(bank, rate):
    performance = bank.performance(1, rng(), "train", 0.7)
    sound = performance.render(rate)
    assert sound.shape == (round(0.7 * rate),) and sound.dtype == np.float32
    assert np.abs(sound).max() <= 1 and sound.std() > 0.01


def test_the_drive_and_the_onsets_follow_the_sound():
    burst = np.concatenate([hiss(0.15, 1, 0.2), quiet(0.25)])
    recording = Recording(np.concatenate([quiet(0.2), *[burst] * 4]), RATE)
    excerpt = Excerpt(recording, 0.0, recording.length, (0.0,), 100, recording.length)
    loudness = excerpt.loudness()
    assert onsets(loudness) == pytest.approx([0.2, 0.6, 1.0, 1.4], abs=0.03)
    sounding = envelope(excerpt(RATE), RATE) > 0.05
    assert np.corrcoef(loudness, sounding)[0, 1] > 0.8


def test_drives_are_in_range_and_move(bank):
    for class_id in range(3):
        drive = bank.performance(class_id, rng(class_id), "train", 1.5).drive
        assert drive.shape == (150,) and drive.dtype == np.float32
        assert drive.min() >= 0 and drive.max() <= 1 and drive.std() > 0.01


def test_a_word_is_said_when_the_truth_says_so(bank):
    for seed in range(10):
        performance = bank.speak(0, rng(seed), "train", 1.5)
        (word,) = performance.words
        assert word.class_id == 0 and word.text == f"cat ({performance.voice})"
        heard = np.flatnonzero(envelope(performance.render(RATE), RATE) > 0.01) / CONTROL_RATE
        assert heard[0] == pytest.approx(word.start, abs=0.03)
        assert heard[-1] == pytest.approx(word.end, abs=0.03)
        assert word.end - word.start == pytest.approx(0.45, abs=0.1)


def test_a_word_longer_than_the_clip_is_cut_off(bank):
    performance = bank.speak(0, rng(), "train", 0.2)
    assert performance.render(RATE).shape == (3200,) and performance.drive.shape == (20,)
    assert 0 <= performance.words[0].start < performance.words[0].end == 0.2


def test_languages_can_be_held_out(tree):
    for name in ("sea_lion", "wren"):
        shutil.copytree(tree / "cat" / "words", tree / name / "words")
    bank = MediaBank(tree, languages={"train": ["en"], "test": ["fr"]})
    said = {
        split: {bank.speak(0, rng(seed), split, 1.0).voice for seed in range(12)}
        for split in SPLITS
    }
    assert said == {"train": {"en"}, "val": {"en", "fr"}, "test": {"fr"}}
    assert bank.languages_of(0, "test") == ("fr",)


def test_languages_that_a_class_has_no_name_in(good_tree):
    with pytest.raises(MediaError, match=r"wren: has no spoken name for train \(wanted: en\)"):
        MediaBank(good_tree, languages=["en"])
    bank = MediaBank(good_tree, languages=["en"], skip_bad=True)
    assert bank.classes == ("cat",) and len(bank.problems) == 2
    with pytest.raises(MediaError, match="names the split 'dev'"):
        MediaBank(good_tree, languages={"dev": ["en"]})
    with pytest.raises(MediaError, match="wants several"):
        MediaBank(good_tree, languages="en")


def test_a_class_without_a_name_cannot_speak(bank):
    with pytest.raises(MediaError, match="'wren' has no spoken name"):
        bank.speak(2, rng(), "train", 1.0)


# The sprite


def still(photo, mirror=False):
    return PhotoSprite(photo, mirror, 0.0, (1.0, 1.0, 1.0), 1.0, 0.1, 0.1, 0.0)


def grid(size, reach=1.2):
    axis = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32) * np.float32(reach)
    u, v = np.meshgrid(axis, axis)
    return u[None], v[None], 2 * reach / size


def test_a_sprite_shows_the_picture_at_its_place():
    two = np.array(disc())
    two[:, 32:, :3] = (20, 40, 220)
    u, v, pixel = grid(60)
    rest = np.zeros((1, 1, 1), np.float32)
    sprite = still(Photo.of(two))
    rgb, alpha = sprite(u, v, rest, pixel)
    assert rgb.shape == (1, 60, 60, 3) and alpha.shape == (1, 60, 60)
    assert rgb.dtype == alpha.dtype == np.float32
    left, right = rgb[0, 30, 18], rgb[0, 30, 42]
    assert left == pytest.approx(np.array([200, 60, 40]) / 255, abs=0.02)
    assert right == pytest.approx(np.array([20, 40, 220]) / 255, abs=0.02)
    assert alpha[0, 0, 0] == 0 and alpha[0, 30, 30] == 1
    mirrored, _ = still(Photo.of(two), mirror=True)(u, v, rest, pixel)
    assert mirrored[0, 30, 42] == pytest.approx(left, abs=0.02)


@pytest.mark.parametrize("size", [8, 24, 96])
@pytest.mark.parametrize("picture", [30, 200, 700])
def test_a_sprite_covers_the_same_area_at_every_size(size, picture):
    """A disc of radius r covers π r²; hidden colours under alpha 0 do not bleed into its rim."""
    rgba = np.array(disc((200, 60, 40), picture))
    rgba[rgba[..., 3] == 0, :3] = (0, 255, 0)
    sprite = still(Photo.of(rgba))
    u, v, pixel = grid(size)
    rgb, alpha = sprite(u, v, np.zeros((1, 1, 1), np.float32), pixel)
    radius = sprite._size()
    assert alpha.mean() == pytest.approx(
        np.pi * (radius / 2.4) ** 2, rel=0.2 if size == 8 else 0.05
    )
    assert rgb[alpha > 0.1, 1].max() < 0.3


def test_a_sprite_jumps_with_its_drive_and_stays_in_reach():
    u, v, pixel = grid(80, 1.4)
    u, v = np.repeat(u, 3, 0), np.repeat(v, 3, 0)
    drive = np.array([0, 0.5, 1], np.float32)[:, None, None]
    for seed in range(10):
        sprite = PhotoSprite.draw(Photo.of(np.array(disc())), rng(seed))
        _, alpha = sprite(u, v, drive, pixel)
        centre = (alpha * v).sum((1, 2)) / alpha.sum((1, 2))
        assert centre[0] > centre[1] + 0.03 > centre[2] + 0.06
        feet = [v[0][frame > 0.5].max() for frame in alpha]
        assert feet[0] > feet[2] + 0.03
        assert np.abs(v[alpha > 0.5]).max() < 1.2 and np.abs(u[alpha > 0.5]).max() < 1.2


def test_looks_vary(bank):
    looks = [bank.sprite(0, rng(seed), "train") for seed in range(12)]
    assert {look.mirror for look in looks} == {True, False}
    assert len({look.tint for look in looks}) == len({look.angle for look in looks}) == 12


def test_a_large_picture_is_kept_small():
    photo = Photo.of(np.full((900, 300, 4), 255, np.uint8))
    assert max(photo.levels[0].shape) <= 258
    assert photo.extent == (pytest.approx(1 / 3), 1.0)
    assert isinstance(Image.fromarray(photo.levels[0]), Image.Image)
