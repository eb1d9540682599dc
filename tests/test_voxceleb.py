"""VoxCeleb and mixtures of its voices, on a small tree of real encoded media."""

from __future__ import annotations

import copy
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")

from media_tree import tone, write_sound, write_video
from talking_tree import SECONDS, SPEAKERS, TESTED, pitch, shade, write_talker, write_voxceleb

from avcore import cli
from avcore.audio import rms_db
from avcore.data.sets import voxceleb
from avcore.data.sets.clips import read_clip
from avcore.data.sets.files import ClipConfig, Entry
from avcore.data.sets.mixtures import Mixtures
from avcore.data.sets.video import duration, has_sound, read_video, stretch
from avcore.data.sets.voxceleb import VoxCeleb
from avcore.support import AvcoreError, MediaError
from avcore.training import Ordered, Shuffled

SPLITS = ("train", "val", "test")
RATE = 8_000
CONFIG = ClipConfig(16, RATE, shortest=1.0, frames=5, seconds=1.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A good tree; no test changes it."""
    return write_voxceleb(tmp_path_factory.mktemp("voxceleb"))


@pytest.fixture
def root(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "voxceleb")


@pytest.fixture(scope="module")
def talkers(tree):
    return {split: VoxCeleb(tree, split, CONFIG) for split in SPLITS}


def loudest(waveform) -> float:
    """The pitch of a sound of a second, Hz."""
    return float(torch.fft.rfft(waveform).abs().argmax())


# --- the clips ----------------------------------------------------------------------------------


def test_no_speaker_is_in_two_splits(tree):
    parts = {split: voxceleb.list_clips(tree, split) for split in SPLITS}
    assert all(problems == [] for _, problems in parts.values())
    speakers = {k: {entry.category for entry in entries} for k, (entries, _) in parts.items()}
    assert [len(speakers[split]) for split in SPLITS] == [6, 2, 2]
    assert speakers["train"] | speakers["val"] == set(SPEAKERS) and speakers["test"] == set(TESTED)
    assert {e.split for e in parts["val"][0]} == {"val"}
    assert len({entry.name for entries, _ in parts.values() for entry in entries}) == 21


def test_the_sound_is_a_file_of_its_own_or_the_video(tree):
    entries = [e for split in SPLITS for e in voxceleb.list_clips(tree, split)[0]]
    kinds = {e.name[-1]: (e.sound.parts[-4], e.sound.suffix) for e in entries}
    assert kinds == {"1": ("wav", ".wav"), "2": ("aac", ".m4a"), "3": ("mp4", ".mp4")}
    assert [has_sound(e.frames[0]) for e in entries] == [e.name.endswith("3") for e in entries]


def test_most_bounds_the_clips_of_a_speaker(tree):
    some = voxceleb.list_clips(tree, "test", most=1)[0]
    assert len(some) == len(TESTED) and some == voxceleb.list_clips(tree, "test", most=1)[0]
    with pytest.raises(AvcoreError, match="number of clips of a speaker, or 0 for all, got -1"):
        voxceleb.list_clips(tree, "test", most=-1)


@pytest.mark.parametrize("split", SPLITS)
def test_a_talker_is_seen_and_heard(talkers, split):
    for talker in talkers[split]:
        assert talker.frames.shape == (5, 3, 16, 16) and talker.frames.dtype == torch.uint8
        assert talker.frames.float().mean().item() == pytest.approx(shade(talker.speaker), abs=6)
        assert talker.waveform.shape == (RATE,) and talker.waveform.dtype == torch.float32
        assert loudest(talker.waveform) == pytest.approx(pitch(talker.speaker), abs=1)
        assert talker.sex == (SPEAKERS | TESTED)[talker.speaker]
        assert talker.name.startswith(f"{talker.speaker}/abcdefghijk/0000")


def test_a_batch_of_training_repeats_itself(talkers):
    first, again, other = (Shuffled(talkers["train"], 4, seed=k)(2) for k in (1, 1, 2))
    assert first.name == again.name and torch.equal(first.waveform, again.waveform)
    assert not torch.equal(first.waveform, other.waveform)
    assert pickle.loads(pickle.dumps(talkers["val"]))[0].name == talkers["val"][0].name


def test_without_tables_no_sex_is_known(root):
    (root / "vox1_meta.csv").unlink()
    (root / "vox2_meta.csv").unlink()
    data = VoxCeleb(root, "test", CONFIG)
    assert {talker.sex for talker in data} == {""}
    assert len(Mixtures(data, 3)) == 3
    with pytest.raises(AvcoreError, match=r"no table says the sex.*put vox1_meta.csv or"):
        Mixtures(data, 3, same_sex=True)


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "place", "expected"),
    [
        ((0, 1), 0.0, (0.0, 1.0)),
        ((0, 1), 1.0, (5.0, 1.0)),
        ((0, 1), 0.25, (1.25, 1.0)),
        ((1, 2), 0.0, (3.0, 1.0)),
        ((1, 2), 1.0, (5.0, 1.0)),
    ],
)
def test_a_stretch_lies_where_its_place_says(moment, place, expected):
    assert stretch(6.0, moment, 1.0, place) == pytest.approx(expected)


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    """A clip of five seconds, each with its own shade and pitch; its sound lasts longer."""
    folder = tmp_path_factory.mktemp("changing")
    shades = (30, 80, 130, 180, 230)
    video = write_video(folder / "a.mp4", shades, sound=False)
    said = np.concatenate([tone(10.0 * each) for each in (*shades, 250)])
    return Entry("a", (video,), write_sound(folder / "a.wav", said))


@pytest.mark.parametrize("place", [0.0, 0.1, 0.375, 0.5, 0.775, 1.0])
def test_picture_and_sound_of_a_window_belong_together(changing, place):
    config = ClipConfig(8, RATE, frames=10, seconds=1.0)
    clip = read_clip(changing, config, place)
    seen = clip.frames.float().mean((1, 2, 3))
    heard = torch.stack([torch.fft.rfft(x, RATE).abs().argmax() for x in clip.waveform.chunk(10)])
    assert seen == pytest.approx(heard.float() / 10, abs=9)
    start = 4 * place  # s; the shades rise by 50 a second
    assert seen[0].item() == pytest.approx(30 + 50 * int(start + 0.05), abs=6)
    assert duration(changing.frames[0]) == pytest.approx(5.0)


def test_windows_are_drawn_anywhere_in_training_and_from_the_middle_else(changing):
    config = ClipConfig(8, RATE, frames=1, seconds=1.0)
    torch.manual_seed(0)
    drawn = [read_clip(changing, replace(config, drawn=True)) for _ in range(12)]
    assert len({round(clip.frames.float().mean().item() / 50) for clip in drawn}) >= 4
    middle = [read_clip(changing, config) for _ in range(2)]
    assert torch.equal(middle[0].waveform, middle[1].waveform)
    assert middle[0].frames.float().mean().item() == pytest.approx(130, abs=6)


def test_many_frames_are_those_that_are_read_one_by_one(changing):
    (path,) = changing.frames
    dense = read_video(path, 40)
    for number in (0, 7, 21, 39):
        place = (number + 0.5) / 40 * 5.0
        (alone,) = read_video(path, 1, seconds=1e-6, place=place / 5.0)
        assert abs(alone.astype(int) - dense[number]).max() <= 1


# --- mixtures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_mixture_is_its_seed_and_number(talkers, split):
    def same(one, other) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))

    made, again = Mixtures(talkers[split], 5, 1), Mixtures(talkers[split], 9, 1)
    assert len(made) == 5 and all(same(made[k], again[k]) for k in (4, 0, 2))
    if split == "train":
        other = Mixtures(talkers[split], 5, 2)
        assert not all(same(made[k], other[k]) for k in range(5))
    batch = next(iter(Ordered(made, 5)))
    assert batch.frames.shape == (5, 5, 3, 16, 16) and batch.mixture.shape == (5, RATE)
    with pytest.raises(IndexError):
        made[5]


def test_a_mixture_is_the_sum_of_two_equal_voices(talkers):
    for made in Mixtures(talkers["train"], 8):
        assert torch.equal(made.mixture, made.on + made.off)
        levels = torch.stack([rms_db(made.on), rms_db(made.off)])
        assert levels == pytest.approx(torch.full((2,), -20.0), abs=0.01)  # an RMS of 0.1
        assert made.on_speaker != made.off_speaker
        assert made.frames.float().mean().item() == pytest.approx(shade(made.on_speaker), abs=6)
        assert loudest(made.on) == pytest.approx(pitch(made.on_speaker), abs=1)
        assert loudest(made.off) == pytest.approx(pitch(made.off_speaker), abs=1)


@pytest.mark.parametrize("same_sex", [True, False])
def test_mixtures_of_one_sex_and_of_two(talkers, same_sex):
    made = [Mixtures(talkers["train"], 10, same_sex=same_sex)[k] for k in range(10)]
    sexes = [(SPEAKERS[each.on_speaker], SPEAKERS[each.off_speaker]) for each in made]
    assert [one == other for one, other in sexes] == [same_sex] * 10
    assert {one for one, _ in sexes} == {"f", "m"}


def test_what_cannot_be_mixed_is_one_sentence(talkers):
    one = copy.copy(talkers["val"])
    one.entries = [each for each in one.entries if each.category == one.entries[0].category]
    with pytest.raises(AvcoreError, match="a mixture wants two speakers, but there are none"):
        Mixtures(one, 3)
    with pytest.raises(AvcoreError, match="wants two speakers of one sex, but there are none"):
        Mixtures(talkers["test"], 3, same_sex=True)
    with pytest.raises(AvcoreError, match="count is not negative, got -1"):
        Mixtures(talkers["train"], -1)


# --- what is wrong ------------------------------------------------------------------------------


CLIP = "dev/mp4/id00002/abcdefghijk/00001.mp4"
BAD_TREES = {
    "a speaker in both": (
        lambda r: write_talker(r / "test", "id00003"),
        "dev/mp4/id00003: this speaker is in the test too",
    ),
    "no speaker": (
        lambda r: (r / "dev/mp4/notes").mkdir(),
        "dev/mp4/notes: is no folder of a speaker, such as id00012",
    ),
    "no video": (
        lambda r: shutil.rmtree(r / "dev/mp4/id00002/abcdefghijk"),
        "dev/mp4/id00002: has no video in it",
    ),
    "a damaged video": (
        lambda r: (r / CLIP).write_bytes(b"no video"),
        f"{CLIP}: not a whole video",
    ),
    "no sound": (
        lambda r: (r / "dev/wav/id00002/abcdefghijk/00001.wav").unlink(),
        f"{CLIP}: has no sound in it",
    ),
    "a short video": (
        lambda r: write_video(r / CLIP, (40,), sound=False) and cut(r / CLIP),
        f"{CLIP}: lasts 0.50 s; at least 1 s is needed",
    ),
    "a short sound": (
        lambda r: write_sound(r / "dev/wav/id00002/abcdefghijk/00001.wav", tone(500, 0.7)),
        "dev/wav/id00002/abcdefghijk/00001.wav: lasts 0.70 s; at least 1 s is needed",
    ),
    "an unknown gender": (
        lambda r: add(r / "vox1_meta.csv", "id00099\tA\tx\tB\tdev"),
        "vox1_meta.csv, line 10: the gender 'x' is none of f, m",
    ),
    "a short row": (
        lambda r: add(r / "vox2_meta.csv", "A,id00099"),
        "vox2_meta.csv, line 4: the gender '' is none of f, m",
    ),
    "an odd speaker": (
        lambda r: add(r / "vox2_meta.csv", "A,99,n1,f,dev"),
        "vox2_meta.csv, line 4: the speaker '99' is not of the form id00012",
    ),
}


def add(path, line):
    path.write_text(path.read_text() + line + "\n")


def cut(path):
    """The first half of a second of a video."""
    import av

    frames = read_video(path, 5, seconds=0.5, place=0.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("what", BAD_TREES)
def test_what_is_wrong_is_named_or_skipped(root, what):
    spoil, said = BAD_TREES[what]
    spoil(root)
    with pytest.raises(MediaError, match="not everything can be used") as caught:
        VoxCeleb(root, "train", CONFIG)
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 2
    with pytest.warns(UserWarning, match="clips are left") as warned:
        data = VoxCeleb(root, "train", CONFIG, skip_bad=True)
    assert len(warned) == 1 and warned[0].filename == __file__
    assert not {entry.category for entry in data.entries} & set(TESTED)


def test_lists_and_folders_that_are_missing_are_named(root, tmp_path):
    with pytest.raises(MediaError, match=r"dev.mp4: there is no such folder"):
        voxceleb.list_clips(tmp_path, "train")
    with pytest.raises(AvcoreError, match="unknown split 'dev'; choose one of train, val, test"):
        voxceleb.list_clips(root, "dev")
    with pytest.raises(AvcoreError, match="so seconds is above 0"):
        VoxCeleb(root, "train", ClipConfig())
    (root / "vox2_meta.csv").write_text("Name,VoxCeleb2 ID\nA,id00011\n")
    with pytest.raises(MediaError, match=r"vox2_meta.csv: has 0 columns 'Gender', but wants one"):
        voxceleb.list_clips(root, "test")
    (root / "vox2_meta.csv").write_text("")
    with pytest.raises(MediaError, match=r"vox2_meta.csv: the file is empty"):
        voxceleb.list_clips(root, "test")


def test_each_split_has_two_speakers_to_mix(tmp_path):
    tree = write_speakers(tmp_path, 5)
    speakers = {
        split: {entry.category for entry in voxceleb.list_clips(tree, split)[0]}
        for split in ("train", "val")
    }
    assert [len(each) for each in speakers.values()] == [3, 2]


def write_speakers(root, count):
    for number in range(count):
        path = root / "dev/mp4" / f"id{number:05}" / "clip" / "00001.mp4"
        path.parent.mkdir(parents=True)
        path.touch()
    return root


def test_one_speaker_cannot_be_shared_out(root):
    for speaker in list(SPEAKERS)[1:]:
        shutil.rmtree(root / "dev/mp4" / speaker)
    entries, problems = voxceleb.list_clips(root, "val")
    assert entries == [] and [str(each) for each in problems] == [
        "dev/mp4: has 1 speakers; train and val need two each at least"
    ]


def test_the_command_opens_every_clip(root, capsys):
    pytest.importorskip("typer", reason="the cli extra is not installed")
    assert SECONDS > voxceleb.CONFIG.seconds
    command = ["data", "verify", str(root), "--layout", "voxceleb"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "21 videos can be used, 0 problems\n"
    (root / CLIP).write_bytes(b"no video")
    assert cli.main(command) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{CLIP}: not a whole video", "20 videos can be used, 1 problems"]
