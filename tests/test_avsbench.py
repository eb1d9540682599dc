"""AVSBench in its published layout, on small trees of real files that the tests write."""

from __future__ import annotations

import builtins
import io
import pickle
import re
import shutil
import warnings
import wave

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("PIL", reason="the media extra is not installed")

import soundfile
from avsbench_tree import CATEGORIES, picture, pitch, thing, video_name, write_table, write_tree
from media_tree import RATE, hiss, quiet, tone, write_picture, write_sound
from PIL import Image
from torch.utils.data import DataLoader

from avcore import cli
from avcore.data.sets.avsbench import AVSBench, Sample, read_index, to_sample, verify
from avcore.data.sets.clips import Clip, collate
from avcore.data.sets.files import ClipConfig, read_mask, read_sound
from avcore.nn.vggish import examples
from avcore.support import AvcoreError, MediaError

SETTINGS = ("S4", "MS3")
SIZE = 32
TABLES = {
    "S4": "Single-source/s4_meta_data.csv",
    "MS3": "Multi-sources/ms3_meta_data.csv",
}
# The files of the first video of the split val, which is number 2 of a tree
FRAME = {
    "S4": "Single-source/s4_data/visual_frames/val/dog_barking/-val0_x/-val0_x_3.png",
    "MS3": "Multi-sources/ms3_data/visual_frames/-val0_x/-val0_x.mp4_3.png",
}
MASK = {
    "S4": "Single-source/s4_data/gt_masks/val/dog_barking/-val0_x/-val0_x_3.png",
    "MS3": "Multi-sources/ms3_data/gt_masks/val/-val0_x/-val0_x_3.png",
}
SOUND = {
    "S4": "Single-source/s4_data/audio_wav/val/dog_barking/-val0_x.wav",
    "MS3": "Multi-sources/ms3_data/audio_wav/val/-val0_x.wav",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good tree of both settings; no test changes it."""
    root = tmp_path_factory.mktemp("avsbench") / "avsbench_data"
    for setting in SETTINGS:
        write_tree(root, setting, size=SIZE)
    return root


@pytest.fixture
def tree(good, tmp_path):
    return shutil.copytree(good, tmp_path / "avsbench_data")


def names(videos):
    return [video.name for video in videos]


def samples_of(path):
    """The samples of a WAV file of 16 bits, as Python's own reader finds them."""
    with wave.open(str(path)) as file:
        return torch.from_numpy(np.frombuffer(file.readframes(-1), "<i2") / np.float32(32768))


def read_heard(path):
    """What VGGish hears of a file."""
    nothing = torch.zeros(0)
    wave = torch.from_numpy(read_sound(path, ClipConfig(shortest=1.0)))
    return to_sample(Clip(nothing, wave, nothing, "", "")).heard


# --- a good tree --------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_good_tree_has_no_problems(good, setting):
    expected = ["-train0_x", "-train1_x", "-val0_x", "-test0_x"]
    for videos, problems in (read_index(good, setting), verify(good, setting)):
        assert names(videos) == expected and problems == []
        assert [video.split for video in videos] == ["train", "train", "val", "test"]
        assert all(len(video.frames) == 5 and video.sound.is_file() for video in videos)
        categories = [*CATEGORIES, *CATEGORIES] if setting == "S4" else [""] * 4
        assert [video.category for video in videos] == categories


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_root_may_be_the_folder_of_the_csv_file(good, setting):
    deeper = (good / TABLES[setting]).parent
    videos, problems = verify(deeper, setting, split="val")
    assert videos == read_index(good, setting, "val")[0] and problems == []


@pytest.mark.parametrize(
    ("setting", "split", "labels"),
    [("S4", "train", 1), ("S4", "val", 5), ("S4", "test", 5)]
    + [("MS3", split, 5) for split in ("train", "val", "test")],
)
def test_a_sample_holds_what_the_files_hold(good, setting, split, labels):
    data = AVSBench(good, setting, split, size=SIZE)
    assert len(data) == (2 if split == "train" else 1)
    sample = data[0]
    number = {"train": 0, "val": 2, "test": 3}[split]
    assert sample.name == video_name(split, 0)
    assert sample.category == (CATEGORIES[number % 2] if setting == "S4" else "")
    assert sample.frames.shape == (5, 3, SIZE, SIZE) and sample.frames.dtype == torch.uint8
    assert sample.masks.shape == (labels, SIZE, SIZE) and sample.masks.dtype == torch.bool
    assert sample.heard.shape == (5, 1, 96, 64) and sample.heard.dtype == torch.float32
    for frame in range(5):
        image = np.asarray(picture(number, frame, SIZE, SIZE)[0])
        assert np.array_equal(sample.frames[frame].permute(1, 2, 0).numpy(), image)
    for frame in range(labels):
        assert np.array_equal(sample.masks[frame].numpy(), thing(number, frame, SIZE, SIZE))
    sound = samples_of(data.entries[0].sound)
    assert torch.allclose(sound, torch.from_numpy(tone(pitch(number), 5.0)), atol=1e-4)
    assert torch.allclose(sample.heard, examples(sound, RATE), atol=1e-6)


def test_the_videos_of_a_split_differ_in_picture_and_sound(good):
    first, second = (AVSBench(good, "MS3", "train", size=SIZE)[i] for i in range(2))
    assert not torch.equal(first.masks, second.masks)
    assert first.heard.mean((0, 1, 2)).argmax() < second.heard.mean((0, 1, 2)).argmax()


def test_other_sizes_are_resized_and_lose_their_aspect(tmp_path):
    root = write_tree(tmp_path / "wide", "S4", {"val": 1}, size=(96, 48))
    sample = AVSBench(root, "S4", "val", size=25)[0]
    assert sample.frames.shape == (5, 3, 25, 25) and sample.masks.shape == (5, 25, 25)
    nearest = np.ix_(*[((np.arange(25) + 0.5) * n / 25).astype(int) for n in (48, 96)])
    for frame in range(5):
        wanted = thing(0, frame, 96, 48)[nearest]
        assert np.array_equal(sample.masks[frame].numpy(), wanted)
        red = sample.frames[frame, 0].numpy()
        assert ((red > 128) != wanted).mean() < 0.03
        assert len(np.unique(red)) > 5  # 2 in the file: between pixels, colours are mixed
    assert AVSBench(root, "S4", "val")[0].frames.shape == (5, 3, 224, 224)


def test_a_batch_stacks_its_samples(good):
    data = AVSBench(good, "S4", "train", size=SIZE)
    (batch,) = DataLoader(data, batch_size=2, collate_fn=collate)
    assert isinstance(batch, Sample)
    assert batch.frames.shape == (2, 5, 3, SIZE, SIZE) and batch.frames.dtype == torch.uint8
    assert batch.heard.shape == (2, 5, 1, 96, 64)
    assert batch.masks.shape == (2, 1, SIZE, SIZE) and batch.masks.dtype == torch.bool
    assert batch.name == ("-train0_x", "-train1_x") and batch.category == CATEGORIES
    for i in range(2):
        assert torch.equal(batch.masks[i], data[i].masks)
        assert torch.equal(batch.frames[i], data[i].frames)
        assert torch.equal(batch.heard[i], data[i].heard)


def test_samples_that_do_not_fit_make_no_batch(good):
    train, val = (AVSBench(good, "S4", split, size=SIZE)[0] for split in ("train", "val"))
    words = r"of one form, but their masks have the shapes \(1, 32, 32\) and \(5, 32, 32\)"
    with pytest.raises(AvcoreError, match=words):
        collate([train, val])
    with pytest.raises(AvcoreError, match="at least one sample"):
        collate([])


# --- sounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "own"), [(1.0, 1), (2.5, 2), (4.5, 4)])
def test_a_short_sound_repeats_its_last_example(tmp_path, seconds, own):
    path = write_sound(tmp_path / "a.wav", hiss(seconds, seed=1))
    heard = read_heard(path)
    assert heard.shape == (5, 1, 96, 64)
    assert torch.allclose(heard[:own], examples(samples_of(path), RATE), atol=1e-6)
    assert all(torch.equal(heard[i], heard[own - 1]) for i in range(own, 5))
    assert own == 1 or not torch.equal(heard[own - 1], heard[own - 2])


def test_only_five_examples_of_a_long_sound_are_used(tmp_path):
    samples = np.concatenate([tone(500, 5.0), tone(3000, 4.0)])
    heard = read_heard(write_sound(tmp_path / "a.wav", samples))
    first = read_heard(write_sound(tmp_path / "b.wav", samples[: 5 * RATE]))
    assert torch.equal(heard, first)


def test_sounds_become_mono_at_16_khz(tmp_path):
    both = np.stack([tone(1000, 5.0, 44_100), np.zeros(5 * 44_100, np.float32)], 1)
    heard = read_heard(write_sound(tmp_path / "a.wav", both, 44_100))
    alone = read_heard(write_sound(tmp_path / "b.wav", tone(1000, 5.0, level=0.15)))
    assert heard.mean((0, 1, 2)).argmax() == alone.mean((0, 1, 2)).argmax()
    assert heard.max().item() == pytest.approx(alone.max().item(), abs=0.05)


def test_silence_is_a_sound(tree):
    write_sound(tree / SOUND["S4"], quiet(5.0))
    heard = AVSBench(tree, "S4", "val", size=SIZE)[0].heard
    assert torch.isfinite(heard).all() and heard.unique().numel() == 1


# --- masks --------------------------------------------------------------------------------------


def masks():
    """Accepted pictures of one mask: (name, picture, what is foreground)."""
    inside = thing(0, 0, 20, 16)
    colours = Image.fromarray(inside.astype(np.uint8)).convert("P")
    colours.putpalette([0, 0, 0, 128, 0, 0])
    return {
        "1": (Image.fromarray(inside), inside),
        "L 255": (Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)), inside),
        "L 1": (Image.fromarray(inside.astype(np.uint8)), inside),
        "P": (colours, inside),
        "nothing": (Image.new("L", (20, 16)), inside & False),
        "everything": (Image.new("L", (20, 16), 255), inside | True),
    }


@pytest.mark.parametrize("kind", masks())
def test_what_is_not_0_is_foreground(tmp_path, kind):
    image, inside = masks()[kind]
    path = write_picture(tmp_path / "mask.png", image)
    with Image.open(path) as written:
        assert written.mode == (kind[0] if kind[0] in "1LP" else "L")
    mask = read_mask(path)
    assert mask.dtype == bool and np.array_equal(mask, inside)


def test_a_mask_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"mask\.png: there is no such file"):
        read_mask(tmp_path / "mask.png")


# --- files that cannot be used ------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip(path):
    """Damage the compressed pixels of a PNG file, whose headers stay good."""
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") + 10
    data[at : at + 8] = bytes(byte ^ 0x55 for byte in data[at : at + 8])
    path.write_bytes(data)


def grey(values):
    return Image.fromarray(np.resize(np.array(values, np.uint8), (SIZE, SIZE)))


DAMAGE = {
    "missing frame": (FRAME, lambda p: p.unlink(), r"1 of 5 frames missing \(-val0_x.*_3\.png\)"),
    "missing mask": (MASK, lambda p: p.unlink(), r"1 of 5 masks missing \(-val0_x_3\.png\)"),
    "missing sound": (SOUND, lambda p: p.unlink(), "there is no such file"),
    "no frames": (FRAME, lambda p: shutil.rmtree(p.parent), "5 of 5 frames missing"),
    "frame is a folder": (FRAME, lambda p: (p.unlink(), p.mkdir()), "1 of 5 frames missing"),
    "frame cut short": (FRAME, cut, "not a whole picture"),
    "frame with damaged pixels": (FRAME, flip, "not a whole picture"),
    "frame of text": (FRAME, lambda p: p.write_text("hello"), "not a whole picture"),
    "empty frame": (FRAME, lambda p: p.write_bytes(b""), "the file is empty"),
    "mask cut short": (MASK, cut, "not a whole picture"),
    "mask with damaged pixels": (MASK, flip, "not a whole picture"),
    "empty mask file": (MASK, lambda p: p.write_bytes(b""), "not a whole picture"),
    "mask of another size": (
        MASK,
        lambda p: write_picture(p, Image.new("L", (40, 30))),
        "has 40x30 pixels, its frame 32x32",
    ),
    "mask in colour": (MASK, lambda p: write_picture(p, grey([0, 255]).convert("RGB")), "mode RGB"),
    "mask with alpha": (MASK, lambda p: write_picture(p, grey([0, 255]).convert("LA")), "mode LA"),
    "mask of 16 bits": (
        MASK,
        lambda p: write_picture(p, Image.fromarray(np.full((SIZE, SIZE), 9, np.uint16))),
        "mode I;16",
    ),
    "mask of three values": (
        MASK,
        lambda p: write_picture(p, grey([0, 128, 255])),
        "one value beside 0, this has 2",
    ),
    "mask without background": (
        MASK,
        lambda p: write_picture(p, grey([128, 255])),
        "one value beside 0, this has 2",
    ),
    "sound of text": (SOUND, lambda p: p.write_text("hello"), "not a whole sound file"),
    "damaged sound": (
        SOUND,
        lambda p: p.write_bytes(p.read_bytes()[:4] + bytes(200)),
        "not a whole sound file",
    ),
    "empty sound file": (SOUND, lambda p: p.write_bytes(b""), "the file is empty"),
    "sound without samples": (SOUND, lambda p: write_sound(p, quiet(0)), "has no sound in it"),
    "short sound": (SOUND, lambda p: write_sound(p, tone(500, 0.98)), "lasts 0.98 s; at least 1 s"),
    "sound that is not finite": (
        SOUND,
        lambda p: soundfile.write(p, np.full(5 * RATE, np.nan, np.float32), RATE, subtype="FLOAT"),
        "not finite",
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_with_a_file_is_named(tree, setting, damage):
    where, do, reason = DAMAGE[damage]
    path = tree / where[setting]
    do(path)
    usable, problems = verify(tree, setting)
    assert names(usable) == ["-train0_x", "-train1_x", "-test0_x"]
    (problem,) = problems
    file = where[setting]
    assert problem.item == (file.rpartition("/")[0] if "of 5" in reason else file)
    assert re.search(reason, problem.reason)


@pytest.mark.parametrize("setting", SETTINGS)
def test_only_missing_files_are_problems_of_the_index(tree, setting):
    for where, do in ((FRAME, cut), (MASK, cut), (SOUND, lambda p: p.write_text("hello"))):
        do(tree / where[setting])
    assert read_index(tree, setting) == read_index(tree, setting, None)
    assert len(read_index(tree, setting)[0]) == 4 and read_index(tree, setting)[1] == []
    for where in (FRAME, MASK, SOUND):
        (tree / where[setting]).unlink()
    videos, problems = read_index(tree, setting)
    assert names(videos) == ["-train0_x", "-train1_x", "-test0_x"] and len(problems) == 3


def test_everything_that_is_wrong_is_listed_at_once(tree):
    (tree / FRAME["S4"]).unlink()
    cut(tree / FRAME["S4"].replace("_3", "_4"))
    write_picture(tree / MASK["S4"].replace("_3", "_1"), grey([0, 1, 2]))
    write_sound(tree / SOUND["S4"], tone(500, 0.5))
    other = tree / SOUND["S4"].replace("val", "test").replace("dog_barking", "playing_piano")
    other.write_text("hello")
    table = tree / TABLES["S4"]
    table.write_text(table.read_text() + "a,0,dog_barking,tset\n")
    fraction = []
    usable, problems = verify(tree, "S4", lambda what, done: fraction.append((what, done)))
    assert names(usable) == ["-train0_x", "-train1_x"]
    assert [problem.item.rpartition("/")[2] for problem in problems] == [
        "s4_meta_data.csv, line 6",
        "-val0_x",
        "-val0_x_4.png",
        "-val0_x_1.png",
        "-val0_x.wav",
        "-test0_x.wav",
    ]
    assert fraction == [("check", n / 4) for n in range(5)]


def test_only_the_first_mask_of_a_training_video_of_s4_counts(tree):
    folder = tree / "Single-source/s4_data/gt_masks/train/dog_barking/-train0_x"
    (folder / "-train0_x_2.png").write_text("hello")
    assert verify(tree, "S4")[1] == []
    (folder / "-train0_x_1.png").unlink()
    (problem,) = verify(tree, "S4")[1]
    assert problem.reason == "1 of 1 masks missing (-train0_x_1.png)"


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_pickle_is_never_opened(tree, setting, monkeypatch):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was read",))

    for number, sound in enumerate(tree.rglob("*.wav")):
        place = str(sound.parent).replace("audio_wav", "audio_log_mel")
        path = tree / place / f"{sound.stem}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Bomb()) if number % 2 else b"garbage")
        sound.with_suffix(".pkl").write_bytes(pickle.dumps(Bomb()))
    opened = []

    def watch(file, *arguments, **options):
        opened.append(str(file))
        return real(file, *arguments, **options)

    real = builtins.open
    monkeypatch.setattr(builtins, "open", watch)
    monkeypatch.setattr(io, "open", watch)
    data = AVSBench(tree, setting, "train", size=SIZE)
    assert verify(tree, setting)[1] == [] and data[0].heard.isfinite().all()
    assert any(name.endswith(".csv") for name in opened)
    assert any(name.endswith(".png") for name in opened)
    assert not any(name.endswith(".pkl") for name in opened)


# --- the csv file -------------------------------------------------------------------------------


BAD_ROWS = {
    "": "the row is empty",
    ",,,": "the row is empty",
    ",0,dog_barking,val": "has no name",
    "a,0,,val": "has no category",
    "a,0,dog_barking,": "has no split",
    "a": "has no category",
    "a,0,dog_barking,validation": "the split 'validation' is none of train, val, test",
    "a,0,dog_barking,val,more": "has 5 fields, but there are 4 columns",
    "-val0_x,0,dog_barking,val": "-val0_x stands in line 4 already",
    "-train0_x,0,dog_barking,val": "-train0_x stands in line 2 already",
    "../a,0,dog_barking,val": "the name '../a' cannot be part of a file's name",
    "..,0,dog_barking,val": "the name '..' cannot",
    ".,0,dog_barking,val": "the name '.' cannot",
    "b/a,0,dog_barking,val": "the name 'b/a' cannot",
    "/etc/passwd,0,dog_barking,val": "the name '/etc/passwd' cannot",
    "b\\a,0,dog_barking,val": r"the name 'b\\a' cannot",
    "a\0b,0,dog_barking,val": r"the name 'a\x00b' cannot",
    '"a\nb",0,dog_barking,val': r"the name 'a\nb' cannot",
    "a,0,../dog_barking,val": "the category '../dog_barking' cannot",
    "a,0,dog/barking,val": "the category 'dog/barking' cannot",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_a_problem_and_the_others_are_used(tree, row):
    table = tree / TABLES["S4"]
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:4], row, *lines[4:]]) + "\n")
    for videos, problems in (read_index(tree, "S4"), verify(tree, "S4")):
        assert len(videos) == 4
        (problem,) = problems
        assert problem.item == f"s4_meta_data.csv, line {5 + row.count(chr(10))}"
        assert problem.reason.startswith(BAD_ROWS[row])
    assert read_index(tree, "S4", "val")[1] == problems


def test_a_bad_row_of_another_split_is_none_of_this_one(tree):
    table = tree / TABLES["S4"]
    table.write_text(table.read_text() + "-train0_x,0,dog_barking,train\na,0,,test\n")
    assert len(AVSBench(tree, "S4", "val", size=SIZE)) == 1
    assert len(read_index(tree, "S4", "train")[1]) == len(read_index(tree, "S4", "test")[1]) == 1


def test_a_name_of_many_letters_is_no_traceback(tree):
    table = tree / TABLES["MS3"]
    table.write_text(table.read_text() + f"{'a' * 400},0,val\n")
    videos, problems = verify(tree, "MS3")
    assert len(videos) == 4 and len(problems) == 3  # frames, masks and sound are missing


def test_names_of_columns_and_their_order_are_free(tree):
    table = tree / TABLES["S4"]
    text = table.read_text().splitlines()[1:]
    rows = [line.split(",") for line in text]
    table.unlink()
    write_table(
        table, [["video", "split", "url", "category"], *[[r[0], r[3], "", r[2]] for r in rows]]
    )
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes() + b"\r\n\r\n")
    assert verify(tree, "S4")[1] == [] and len(read_index(tree, "S4")[0]) == 4
    categories = [video.category for video in read_index(tree, "S4")[0]]
    assert categories == [*CATEGORIES, *CATEGORIES]


def test_a_column_of_categories_is_not_read_in_ms3(tree):
    table = tree / TABLES["MS3"]
    table.write_text("name,category,split\n-val0_x,../cat,val\n")
    (video,), problems = verify(tree, "MS3")
    assert video.category == "" and problems == []


BAD_TABLES = {
    "missing": (None, r"Single-source.s4_meta_data\.csv: there is no such file"),
    "empty": (b"", "the file is empty"),
    "blank": (b"\n\n", "the file is empty"),
    "no category": (b"name,split\na,val\n", "has no column 'category'"),
    "no columns": (b"name,kind\na,b\n", "has no column 'category' and no column 'split'"),
    "a column twice": (b"name,category,split,split\n", "has the column 'split' twice"),
    "not text": (b"name,category,split\n\xff\xfe,b,val\n", "cannot be read as a csv file"),
    "a stray quote": (b'name,category,split\n"a,b,val\nc,d,val\n', "cannot be read as a csv file"),
}


@pytest.mark.parametrize("damage", BAD_TABLES)
def test_a_csv_file_that_cannot_be_used_is_an_error(tree, damage):
    content, reason = BAD_TABLES[damage]
    table = tree / TABLES["S4"]
    table.unlink() if content is None else table.write_bytes(content)
    for read in (read_index, verify, AVSBench):
        with pytest.raises(MediaError, match=reason):
            read(tree, "S4")


def test_a_missing_column_of_ms3_is_an_error(tree):
    (tree / TABLES["MS3"]).write_text("name,category\na,b\n")
    with pytest.raises(MediaError, match=r"has no column 'split'$"):
        read_index(tree, "MS3")


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(MediaError, match="nowhere: there is no such folder"):
        read_index(tmp_path / "nowhere", "S4")


# --- the data set -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"setting": "S5"}, "unknown setting 'S5'; choose one of S4, MS3"),
        ({"setting": "s4"}, "unknown setting 's4'"),
        ({"split": "validation"}, "unknown split 'validation'; choose one of train, val, test"),
        ({"split": None}, "unknown split None"),
        ({"size": 0}, "got size=0"),
    ],
)
def test_wrong_arguments_are_named(good, options, reason):
    with pytest.raises(AvcoreError, match=reason) as caught:
        AVSBench(good, **options)
    assert not isinstance(caught.value, MediaError)


def test_problems_stop_the_data_set_unless_they_are_skipped(tree):
    cut(tree / "Multi-sources/ms3_data/visual_frames/-train0_x/-train0_x.mp4_1.png")
    with pytest.raises(
        MediaError, match=r"skip_bad=True, or --skip-bad, goes on.*\n.*mp4_1.png: not a whole"
    ):
        AVSBench(tree, "MS3", "train", size=SIZE)
    with pytest.warns(UserWarning, match=r"1 clips are left.*\n.*mp4_1.png: not a wh") as caught:
        data = AVSBench(tree, "MS3", "train", size=SIZE, skip_bad=True)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [sample.name for sample in data] == ["-train1_x"]
        assert len(AVSBench(tree, "MS3", "val", size=SIZE)) == 1  # the problem is of train


def test_the_check_of_a_split_can_be_watched(good):
    seen = []
    data = AVSBench(good, "S4", "train", SIZE, progress=lambda what, done: seen.append(done))
    assert (data.setting, data.split) == ("S4", "train") and seen == [0.0, 0.5, 1.0]


def test_a_long_list_of_problems_is_cut(tree):
    table = tree / TABLES["MS3"]
    table.write_text(table.read_text() + "".join(f"../{n},0,val\n" for n in range(13)))
    with pytest.raises(MediaError) as caught:
        AVSBench(tree, "MS3", "val")
    lines = str(caught.value).splitlines()
    assert len(lines) == 12 and "'../9'" in lines[-2] and lines[-1] == "and 3 more"


@pytest.mark.parametrize("skip_bad", [False, True])
def test_no_usable_video_is_an_error(tree, skip_bad):
    (tree / SOUND["S4"]).unlink()
    with pytest.raises(MediaError, match=r"no clip can be used\n.*\.wav: there is no such file"):
        AVSBench(tree, "S4", "val", skip_bad=skip_bad)
    (tree / TABLES["S4"]).write_text("name,category,split\n")
    with pytest.raises(MediaError, match=r"no clip can be used$"):
        AVSBench(tree, "S4", "val", skip_bad=skip_bad)


def test_a_file_that_breaks_later_is_named(tree):
    data = AVSBench(tree, "S4", "val", size=SIZE)
    cut(tree / MASK["S4"])
    with pytest.raises(MediaError, match=r"-val0_x_3\.png: not a whole picture"):
        data[0]


# --- the command --------------------------------------------------------------------------------


def run(capsys, *arguments):
    pytest.importorskip("typer", reason="the cli extra is not installed")
    code = cli.main(["data", "verify", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_command_lists_all_problems(capsys, tree, setting):
    layout = f"avsbench-{setting.lower()}"
    good = (0, "4 videos can be used, 0 problems\n", "check\n")
    assert run(capsys, tree, "--layout", layout) == good
    cut(tree / FRAME[setting])
    (tree / SOUND[setting]).unlink()
    code, out, _ = run(capsys, tree, "--layout", layout)
    sound, frame, last = out.splitlines()
    assert code == 1 and last == "3 videos can be used, 2 problems"
    assert frame.startswith(f"{FRAME[setting]}: not a whole picture")
    assert sound == f"{SOUND[setting]}: there is no such file"


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_data_set_without_videos_is_no_good_one(capsys, tree, setting):
    table = tree / TABLES[setting]
    table.write_text(table.read_text().splitlines()[0] + "\n")
    code, out, err = run(capsys, tree, "--layout", f"avsbench-{setting.lower()}")
    assert (code, out) == (1, "0 videos can be used, 0 problems\n")
    assert err.endswith("avsbench_data: there is nothing in it that can be used\n")


def test_the_command_checks_a_media_folder_by_default(capsys, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "cat.png").write_text("hello")
    plain = run(capsys, tmp_path)
    assert plain[0] == 1 and "cat/cat.png: not a whole" in plain[1]
    assert plain[1].endswith("0 classes can be used, 2 problems\n")
    assert run(capsys, tmp_path, "--layout", "media") == plain


def test_wrong_words_for_the_command_are_one_sentence(capsys, tmp_path):
    code, out, err = run(capsys, tmp_path, "--layout", "flickr")
    assert (code, out) == (2, "") and "unknown layout 'flickr'" in err
    code, out, err = run(capsys, tmp_path, "--layout", "avsbench-s4")
    assert (code, out) == (3, "") and "s4_meta_data.csv: there is no such file" in err
