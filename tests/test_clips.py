"""Clips of any folder: pictures or videos with sound, their transform, and files that are bad."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")

from media_tree import (
    MOMENT,
    RATE,
    disc,
    even,
    silence_with_click,
    tone,
    write_film,
    write_picture,
    write_sound,
    write_video,
)
from PIL import Image, ImageOps

from avcore.data.sets import folder
from avcore.data.sets.clips import Clip, ClipDataset, fit_length, read_clip
from avcore.data.sets.files import ORIENTATION, ClipConfig, Entry, read_pictures, read_sound
from avcore.data.sets.video import duration, read_video, sound_delay
from avcore.support import AvcoreError, MediaError
from avcore.training import Ordered, Shuffled


@pytest.fixture
def root(tmp_path):
    write_picture(tmp_path / "train" / "bird.png", disc(size=40, mode="RGB"))
    write_sound(tmp_path / "train" / "bird.wav", tone(700, 0.5))
    write_video(tmp_path / "train" / "deep" / "bell.mp4")
    (tmp_path / "train" / "notes.txt").write_text("left alone")
    return tmp_path


def test_pictures_and_videos_become_clips(root):
    data = ClipDataset(root, folder.list_clips(root, "train"), ClipConfig(size=16))
    bird, bell = data
    assert (bird.name, bell.name) == ("bird", "deep/bell")
    assert bird.frames.shape == bell.frames.shape == (1, 3, 16, 16)
    assert bird.masks.shape == (0, 16, 16) and bird.waveform.shape == (RATE // 2,)
    assert bell.frames.float().mean().item() == pytest.approx(120, abs=6)  # from the middle
    assert len(bell.waveform) == pytest.approx(3 * RATE, abs=2048)


def test_frames_of_a_video_come_from_equal_parts(root):
    found = read_video(root / "train" / "deep" / "bell.mp4", 3)
    assert [frame.shape for frame in found] == [(32, 32, 3)] * 3
    assert [float(frame.mean()) for frame in found] == pytest.approx([40, 120, 200], abs=6)


def test_a_data_set_knows_its_files_wherever_they_lie(root, tmp_path_factory):
    def files(place):
        return ClipDataset(place, folder.list_clips(place, "train"), ClipConfig(size=16)).files

    copy = shutil.copytree(root, tmp_path_factory.mktemp("elsewhere") / "copy")
    assert files(copy) == files(root)
    write_sound(copy / "train" / "bird.wav", tone(700, 0.6))
    assert files(copy) != files(root)


def shorter(clip: Clip) -> Clip:
    start = int(torch.randint(1000, ()))
    return clip._replace(waveform=fit_length(clip.waveform[start:], RATE))


def test_a_transform_may_draw_at_random_and_repeats_itself(root):
    index = folder.list_clips(root, "train")
    data = ClipDataset(root, index, ClipConfig(size=16), shorter)
    first, second = (Shuffled(data, 2, seed=1)(3) for _ in range(2))
    assert isinstance(first, Clip) and first.waveform.shape == (2, RATE)
    assert torch.equal(first.waveform, second.waveform)
    assert not torch.equal(first.waveform, Shuffled(data, 2, seed=2)(3).waveform)
    assert [batch.name for batch in Ordered(data, 2)] == [("bird", "deep/bell")]


def test_sounds_are_cut_or_followed_by_silence():
    wave = torch.arange(1.0, 5)
    assert fit_length(wave, 2).tolist() == [1, 2]
    assert fit_length(wave, 6).tolist() == [1, 2, 3, 4, 0, 0]


BAD = {
    "no sound": (lambda r: (r / "train/bird.wav").unlink(), "bird.png: there is no sound of"),
    "no picture": (lambda r: (r / "train/bird.png").unlink(), "bird.wav: there is no picture of"),
    "two pictures": (
        lambda r: write_picture(r / "train/bird.jpg", disc(mode="RGB")),
        "of this name there are 2 pictures and 1 sounds",
    ),
    "a silent film": (
        lambda r: write_video(r / "train/bird.mp4", sound=False).rename(r / "train/film.mp4"),
        "film.mp4: has no sound in it",
    ),
    "no film": (
        lambda r: (r / "train/deep/bell.mp4").write_text("hello"),
        "deep/bell.mp4: not a whole video",
    ),
    "a damaged picture": (
        lambda r: (r / "train/bird.png").write_bytes(b"\x89PNG"),
        "bird.png: not a whole picture",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_used_is_named_or_skipped(root, kind):
    spoil, words = BAD[kind]
    spoil(root)
    index = folder.list_clips(root, "train")
    with pytest.raises(MediaError, match=words):
        ClipDataset(root, index, name="train")
    with pytest.warns(UserWarning, match=words) as caught:
        left = ClipDataset(root, index, skip_bad=True, name="train")
    assert 1 <= len(left) <= 2 and caught[0].filename == __file__


def test_a_sound_without_pictures_in_its_video_is_named(root):
    write_sound(root / "a.wav", tone(500, 1.0))
    (root / "a.wav").rename(root / "a.mp4")
    with pytest.raises(MediaError, match=r"a\.mp4: has no pictures in it"):
        read_video(root / "a.mp4")
    with pytest.raises(MediaError, match=r"b\.mp4: there is no such file"):
        read_video(root / "b.mp4")


def test_wrong_words_are_named(root):
    with pytest.raises(AvcoreError, match="unknown split 'dev'; choose one of train, val, test"):
        folder.list_clips(root, "dev")
    with pytest.raises(MediaError, match="val: there is no such folder"):
        folder.list_clips(root, "val")
    for bad in ({"size": 0}, {"frames": 0}, {"shortest": -1.0}, {"sample_rate": 0}):
        with pytest.raises(AvcoreError, match="at least"):
            ClipConfig(**bad)


# --- picture and sound of one moment ------------------------------------------------------------


def lit_and_loud(path, **config):
    """When the picture of a clip lights up and when its sound sets in, s from its beginning."""
    seconds = config.get("seconds") or duration(path)
    config = ClipConfig(size=16, frames=round(25 * seconds), **config)
    clip = read_clip(Entry("a", (path,), path), config)
    lit = clip.frames.float().mean((1, 2, 3)) > 150
    loud = clip.waveform.abs() > 0.2
    return lit.float().argmax().item() / 25, loud.float().argmax().item() / RATE


@pytest.mark.parametrize("seconds", [0.0, 3.0])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize(("pictures_from", "sound_from"), [(0.0, 0.0), (0.0, 0.8), (0.8, 0.0)])
def test_a_stream_that_begins_later_stays_in_its_place(
    tmp_path, seconds, ending, pictures_from, sound_from
):
    click = silence_with_click(4 - sound_from, RATE, at=MOMENT - sound_from)
    lossless = {"sound_codec": "pcm_s16le"} if ending == "mkv" else {"sound_codec": "alac"}
    times = pictures_from + even(4 - pictures_from)
    path = write_film(
        tmp_path / f"a.{ending}", times, click, RATE, sound_from=sound_from, **lossless
    )
    assert sound_delay(path) == pytest.approx(sound_from - pictures_from, abs=0.03)
    lit, loud = lit_and_loud(path, seconds=seconds)
    assert lit == pytest.approx(loud, abs=0.06)
    if not seconds:
        assert lit == pytest.approx(MOMENT - pictures_from, abs=0.06)


def test_where_there_is_no_sound_any_more_it_is_silent(tmp_path):
    path = write_film(
        tmp_path / "a.mkv", even(6), np.full((1, 2 * RATE), 0.5, np.float32), RATE,
        sound_codec="pcm_s16le",
    )  # fmt: skip
    clip = read_clip(Entry("a", (path,), path), ClipConfig(size=16, seconds=1.0))
    assert clip.waveform.shape == (RATE,) and not clip.waveform.any()  # 2.5 s to 3.5 s
    whole = read_clip(Entry("a", (path,), path), ClipConfig(size=16))
    assert len(whole.waveform) == pytest.approx(6 * RATE, abs=0.1 * RATE)
    assert whole.waveform[: 2 * RATE - 99].all() and not whole.waveform[2 * RATE + 99 :].any()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_film_is_read_upright(tmp_path, turns):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 255  # stored; upright it is elsewhere
    path = write_film(tmp_path / "a.mp4", even(2), shade=lambda _: picture, turns=turns)
    (seen,) = read_video(path)
    upright = np.rot90(picture, turns)
    assert seen.shape == upright.shape and np.abs(seen.astype(int) - upright).mean() < 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_read_upright(tmp_path, orientation):
    stored = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    image = Image.fromarray(stored)
    image.getexif()[ORIENTATION] = orientation
    image.save(tmp_path / "a.png", exif=image.getexif())
    with Image.open(tmp_path / "a.png") as saved:
        upright = np.asarray(ImageOps.exif_transpose(saved))
    (seen,) = read_pictures(tmp_path / "a.png", ClipConfig())
    assert np.array_equal(seen, upright)


def test_a_film_that_was_cut_short_is_named(tmp_path):
    path = write_film(tmp_path / "a.mkv", even(8), silence_with_click(8, RATE), RATE)
    short = tmp_path / "short.mkv"
    short.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    whole = read_video(path, 8)
    assert len(whole) == 8
    with pytest.raises(MediaError, match=r"its pictures end early, after \d\.\d s|not a whole"):
        read_video(short, 8)
    still = write_film(tmp_path / "still.mp4", [0.0, 0.1, 6.0], silence_with_click(6, RATE), RATE)
    assert len(read_video(still, 8)) == 8  # one picture is shown for long


def test_tags_in_another_encoding_are_a_sentence_or_no_matter(tmp_path):
    path = write_film(tmp_path / "a.mkv", even(2), silence_with_click(2, RATE), RATE,
                      title="Caf\u00e9 XX")  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"Caf\xc3\xa9 XX", b"Caf\xe9 XXX"))
    assert len(read_video(path, 2)) == 2
    with pytest.raises(MediaError, match="the text of its tags is not UTF-8"):
        read_sound(path, ClipConfig())
