"""UCF-101 on a small tree of real encoded media."""

from __future__ import annotations

import shutil

import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")

from media_tree import write_video
from talking_tree import CLASSES, video_of, write_ucf101

from avcore import cli
from avcore.data.sets import ucf101
from avcore.data.sets.files import ClipConfig
from avcore.data.sets.ucf101 import UCF101, group_of
from avcore.support import AvcoreError, MediaError
from avcore.training import Ordered, Shuffled

SPLITS = ("train", "val", "test")
RATE = 8_000
CONFIG = ClipConfig(16, RATE, frames=6, seconds=1.0)
LISTS = "ucfTrainTestlist"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A good tree; no test changes it."""
    return write_ucf101(tmp_path_factory.mktemp("ucf101"))


@pytest.fixture
def root(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "ucf101")


def add(root, name: str, line: str) -> None:
    path = root / LISTS / name
    path.write_text(path.read_text() + line + "\n")


# --- good trees ---------------------------------------------------------------------------------


def test_no_group_is_in_two_splits(tree):
    parts = {split: ucf101.list_videos(tree, split) for split in SPLITS}
    assert all(problems == [] for _, problems in parts.values())
    assert [len(parts[split][0]) for split in SPLITS] == [12, 6, 6]
    groups = [{group_of(entry) for entry in entries} for entries, _ in parts.values()]
    assert [len(each) for each in groups] == [6, 3, 6] and len(set().union(*groups)) == 15
    assert all({e.category for e in entries} == set(CLASSES) for entries, _ in parts.values())
    assert all(e.split == split for split in SPLITS for e in parts[split][0])


def test_a_video_has_its_label_and_says_whether_it_has_sound(tree):
    data = UCF101(tree, "test", config=CONFIG)
    for action, entry in zip(data, data.entries, strict=True):
        label = CLASSES.index(entry.category)
        assert action.label == label and action.label.dtype == torch.int64
        assert action.frames.shape == (6, 3, 16, 16)
        assert action.frames.float().mean().item() == pytest.approx(60 * (label + 1), abs=6)
        assert action.waveform.shape == (RATE,)
        sounds = entry.category == "PlayingCello"
        assert bool(action.has_sound) == sounds == bool(action.waveform.abs().max() > 0.1)
    (batch,) = Ordered(data, 6)
    assert batch.has_sound.tolist() == [False] * 4 + [True] * 2 and batch.label.shape == (6,)
    assert batch.name[0] == "v_Archery_g01_c01" and batch.name[2] == "v_HandStandPushups_g01_c01"


def test_videos_without_sound_can_be_left_out(tree):
    data = UCF101(tree, "train", config=CONFIG, with_sound=True)
    assert len(data) == 4 and all(action.has_sound for action in data)
    assert {int(action.label) for action in data} == {2}  # numbered as with all classes


def test_a_batch_of_training_repeats_itself(tree):
    data = UCF101(tree, "train", config=CONFIG, with_sound=True)
    first, again, other = (Shuffled(data, 4, seed=k)(1) for k in (1, 1, 2))
    assert first.name == again.name and torch.equal(first.waveform, again.waveform)
    assert not torch.equal(first.waveform, other.waveform)


def test_a_short_video_stands_still_at_its_end(tree):
    data = UCF101(tree, "test", config=ClipConfig(16, RATE, frames=10, seconds=5.0))
    action = data[-1]
    assert action.frames.shape[0] == 10 and action.waveform.shape == (5 * RATE,)
    assert torch.equal(action.frames[4], action.frames[9])
    assert action.waveform[: 2 * RATE].abs().max() > 0.1
    assert action.waveform[2 * RATE + 800 :].abs().max() == 0
    strict = ClipConfig(16, RATE, shortest=5.0, frames=10, seconds=5.0)
    with pytest.raises(MediaError, match=r"lasts 2\.00 s; at least 5 s is needed"):
        UCF101(tree, "test", config=strict)


# --- what is wrong ------------------------------------------------------------------------------

ARCHERY = video_of("Archery", 8, 1)
BAD_TREES = {
    "a class without a folder": (
        lambda r: shutil.rmtree(r / "UCF-101" / "Archery"),
        "UCF-101/Archery: there is no such folder",
    ),
    "a damaged video": (
        lambda r: (r / "UCF-101" / video_of("Archery", 1, 1)).write_bytes(b"no video"),
        "UCF-101/Archery/v_Archery_g01_c01.avi: not a whole video",
    ),
    "a missing video": (
        lambda r: (r / "UCF-101" / video_of("Archery", 1, 1)).unlink(),
        "UCF-101/Archery/v_Archery_g01_c01.avi: there is no such file",
    ),
}


@pytest.mark.parametrize("what", BAD_TREES)
@pytest.mark.parametrize("with_sound", [False, True])
def test_what_is_wrong_is_named_or_skipped(root, what, with_sound):
    spoil, said = BAD_TREES[what]
    spoil(root)
    with pytest.raises(MediaError, match="not everything can be used") as caught:
        UCF101(root, "test", config=CONFIG, with_sound=with_sound)
    assert said in str(caught.value)
    with pytest.warns(UserWarning, match="clips are left") as caught:
        data = UCF101(root, "test", config=CONFIG, with_sound=with_sound, skip_bad=True)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert len(data) == (2 if with_sound else 4 if "class" in what else 5)


BAD_LINES = {
    "no folder": ("v_Archery_g08_c09.avi 1", "wants CLASS/VIDEO.avi"),
    "three words": (f"{ARCHERY} 1 2", "wants CLASS/VIDEO.avi"),
    "no class": ("Dancing/v_Dancing_g08_c01.avi 4", "classInd.txt has no class 'Dancing'"),
    "another folder": ("Archery/../v_A_g08_c01.avi 1", "cannot be part of a file's name"),
    "no group": ("Archery/v_Archery.avi 1", "is not of the form v_CLASS_g01_c01.avi"),
    "another number": (
        "Archery/v_Archery_g08_c09.avi 2",
        "Archery has the number 1, not 2",
    ),
    "twice": (f"{ARCHERY} 1", "v_Archery_g08_c01 stands in line 1 already"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_is_a_problem_of_its_own(root, what):
    line, said = BAD_LINES[what]
    add(root, "trainlist01.txt", f"\n{line}")
    entries, problems = ucf101.list_videos(root, "train")
    assert len(entries) == 12 and len(problems) == 1
    assert str(problems[0]).startswith("trainlist01.txt, line 20: ") and said in str(problems[0])


def test_a_group_in_both_lists_is_named_and_not_trained_on(root):
    add(root, "testlist01.txt", ARCHERY)
    found = [ucf101.list_videos(root, split) for split in ("train", "val")]
    for _, problems in found:
        assert [str(each) for each in problems] == [
            "trainlist01.txt: Archery g08 is in testlist01.txt too"
        ]
    assert not any("Archery_g08" in entry.name for entries, _ in found for entry in entries)
    assert len(ucf101.list_videos(root, "test")[0]) == 7


def test_a_class_of_one_group_cannot_be_shared_out(root):
    lines = (root / LISTS / "trainlist01.txt").read_text().splitlines()
    kept = [line for line in lines if "Archery" not in line or "g08" in line]
    (root / LISTS / "trainlist01.txt").write_text("\n".join(kept))
    entries, problems = ucf101.list_videos(root, "train")
    assert {entry.category for entry in entries} == set(CLASSES[1:])
    assert str(problems[0]) == (
        "UCF-101/Archery: has 1 training group; two at least are needed for train and val"
    )


def test_lists_that_cannot_be_read_are_one_sentence(root):
    with pytest.raises(MediaError, match=r"trainlist02.txt: there is no such file"):
        ucf101.list_videos(root, "train", fold=2)
    for content, said in (
        ("0 Archery\n", "does not number its classes 1, 2, 3"),
        ("", "does not number its classes 1, 2, 3"),
        ("1 Archery\n2 Archery\n", "wants lines NUMBER CLASS, and each class once"),
        ("1 Table Tennis\n", "wants lines NUMBER CLASS, and each class once"),
    ):
        (root / LISTS / "classInd.txt").write_text(content)
        with pytest.raises(MediaError, match=said):
            ucf101.read_classes(root)
    (root / LISTS / "classInd.txt").unlink()
    with pytest.raises(MediaError, match=r"classInd.txt: there is no such file"):
        ucf101.list_videos(root, "test")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"split": "all"}, "unknown split 'all'; choose one of train, val, test"),
        ({"fold": 4}, "fold is 1, 2 or 3, got 4"),
        ({"config": ClipConfig()}, "so seconds is above 0"),
    ],
)
def test_wrong_arguments_are_one_sentence(tree, given, said):
    with pytest.raises(AvcoreError, match=said):
        UCF101(tree, **given)


def test_the_command_opens_every_video(root, capsys):
    pytest.importorskip("typer", reason="the cli extra is not installed")
    command = ["data", "verify", str(root), "--layout", "ucf101"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "24 videos can be used, 0 problems\n"
    write_video(root / "UCF-101" / ARCHERY).write_bytes(b"no video")
    assert cli.main(command) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [f"UCF-101/{ARCHERY}: not a whole video", "23 videos can be used, 1 problems"]
