"""Clips of any folder: pictures or videos with sound, their transform, and files that are bad."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")

from media_tree import RATE, disc, tone, write_picture, write_sound, write_video

from avcore.data.sets import folder
from avcore.data.sets.clips import Clip, ClipDataset, fit_length
from avcore.data.sets.files import ClipConfig
from avcore.data.sets.video import read_video
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
