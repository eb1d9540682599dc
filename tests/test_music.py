"""MUSIC, its collages and VGGSound, on small trees of real encoded media."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")

from media_tree import RATE, disc, tone, write_picture, write_sound, write_video
from music_tree import CLASSES, EACH, PITCHES, write_music

from avcore.audio import rms_db
from avcore.data.sets import music, vggsound
from avcore.data.sets.clips import Clip, ClipDataset, verify
from avcore.data.sets.collage import TILES, Collages
from avcore.data.sets.files import ClipConfig, Entry
from avcore.data.sets.video import stretch
from avcore.support import AvcoreError, MediaError
from avcore.training import Ordered

SPLITS = ("train", "val", "test")
IDS = [f"abcdefghij{number}" for number in range(4)]  # as long as those of YouTube
CONFIG = ClipConfig(size=16, seconds=1.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_music(tmp_path_factory.mktemp("music"))


@pytest.fixture
def root(tree, tmp_path):
    return shutil.copytree(tree, tmp_path / "music")


def names(index) -> set[str]:
    return {f"{entry.category}/{entry.name}" for entry in index[0]}


# --- class folders ----------------------------------------------------------------------------


def test_the_splits_of_class_folders_share_no_video(tree):
    parts = {split: names(music.list_solos(tree, split)) for split in SPLITS}
    assert [len(parts[split]) for split in SPLITS] == [4 * (EACH - 2), 4, 4]
    assert len(set().union(*parts.values())) == 4 * EACH
    halves = [names(music.list_solos(tree, "train", half=half)) for half in (1, 2)]
    assert halves[0] | halves[1] == parts["train"] and not halves[0] & halves[1]
    assert names(music.list_solos(tree, "val", half=2)) == parts["val"]  # of train alone


def test_one_more_video_changes_few(root):
    before = names(music.list_solos(root, "test"))
    shutil.copytree(root / "solo" / "drum", root / "solo" / "gong")
    assert before < names(music.list_solos(root, "test"))


def test_solos_and_duets_are_read_with_their_classes(tree):
    index = music.list_solos(tree, "val", ("horn", "bell"))
    assert {entry.category for entry in index[0]} == {"bell", "horn"} and index[1] == []
    bell, horn = ClipDataset(tree, index, CONFIG)
    assert bell.category == "bell" and bell.waveform.shape == horn.waveform.shape == (RATE,)
    red = bell.frames.float().mean((0, 2, 3))
    assert red[0] > 2 * red[1]
    duets, problems = music.list_duets(tree, "train")
    assert {entry.category for entry in duets} == {"bell drum", "drum flute", "flute horn"}
    assert problems == [] and len(duets) == 6
    chosen = music.list_duets(tree, "train", ("drum", "bell"))[0]
    assert {entry.category for entry in chosen} == {"bell drum"}


BAD_FOLDERS = {
    "a video in no class": (
        lambda r: shutil.copy(r / "solo/bell/bell-0.mp4", r / "solo/lost.mp4"),
        "solo/lost.mp4: lies in no class folder",
    ),
    "two videos": (
        lambda r: [(r / f"solo/bell/bell-{n}.mp4").unlink() for n in range(6)],
        "solo/bell: has 2 videos; three at least",
    ),
    "a picture alone": (
        lambda r: (r / "solo/drum/drum-3.wav").unlink(),
        "solo/drum/drum-3.png: there is no sound of this name",
    ),
}


@pytest.mark.parametrize("what", BAD_FOLDERS)
def test_what_cannot_be_listed_is_named(root, what):
    spoil, said = BAD_FOLDERS[what]
    spoil(root)
    entries, problems = music.list_solos(root, "train")
    assert len(problems) == 1 and str(problems[0]).startswith(said) and entries


def test_damaged_and_missing_files_are_named_or_skipped(root):
    index = music.list_solos(root, "train", ("bell",), moments=2)
    first, second = index[0][0], index[0][2]
    first.sound.write_bytes(b"no video")
    second.sound.unlink()
    with pytest.raises(MediaError, match="not everything can be used") as caught:
        ClipDataset(root, index, CONFIG)
    lines = str(caught.value).splitlines()[1:]  # the damaged as a video and as a sound; no moments
    assert [second.sound.name in line for line in lines] == [False, False, True]
    with pytest.warns(UserWarning, match="8 clips are left"):
        assert len(ClipDataset(root, index, CONFIG, skip_bad=True)) == 8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"split": "all"}, "unknown split 'all'; choose one of train, val, test"),
        ({"classes": ("bell", "gong")}, "unknown class of .* 'gong'; choose one of bell, drum"),
        ({"half": 3}, "half is 1 or 2, or 0 for both, got 3"),
        ({"moments": 0}, "a video has at least 1 moment, got moments=0"),
    ],
)
def test_wrong_arguments_are_one_sentence(tree, given, said):
    with pytest.raises(AvcoreError, match=said):
        music.list_solos(tree, **{"split": "train", **given})


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(MediaError, match="solo: there is no such folder"):
        music.list_solos(tmp_path, "train")


def test_not_every_class_that_is_wanted_has_a_duet(root):
    shutil.rmtree(root / "duet" / "flute horn")
    chosen = music.list_duets(root, "train", ("drum", "bell", "horn"))[0]
    assert {entry.category for entry in chosen} == {"bell drum"}
    with pytest.raises(AvcoreError, match=r"unknown class of .* 'gong'"):
        music.list_duets(root, "train", ("drum", "bell", "gong"))


def test_a_duets_folder_has_two_classes(root):
    shutil.copytree(root / "duet" / "bell drum", root / "duet" / "trio")
    problems = music.list_duets(root, "train")[1]
    assert str(problems[0]) == "duet/trio: a duet's folder is named by two classes with a blank"


# --- the public lists --------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path):
    lists = {"solo_training.txt": IDS[:1], "solo_training_2.txt": IDS[1:2]}
    lists |= {"solo_validation.txt": IDS[2:3], "solo_testing.txt": IDS[3:]}
    for name, ids in lists.items():
        lines = [f"{each}_0_1000.flac {each}_0_1000.mp4" for each in ids]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    videos = {"cello": IDS[:2], "tuba": IDS[2:]}
    content = json.dumps({"version": 1.0, "videos": videos})
    (tmp_path / "MUSIC_solo_videos.json").write_text(content)
    for each in IDS:
        write_video(tmp_path / "video" / f"{each}_0_1000.mp4", sound=False)
        write_sound(tmp_path / "audio" / f"{each}_0_1000.flac", tone(500, 3.0))
    return tmp_path


def test_the_public_lists_say_what_is_in_a_split(listed):
    found = {split: music.list_solos(listed, split) for split in SPLITS}
    assert [names(index) for index in found.values()] == [
        {f"cello/{IDS[0]}_0_1000", f"cello/{IDS[1]}_0_1000"},
        {f"tuba/{IDS[2]}_0_1000"},
        {f"tuba/{IDS[3]}_0_1000"},
    ]
    for half in (1, 2):
        (entry,), _ = music.list_solos(listed, "train", half=half)
        assert entry.name.startswith(IDS[half - 1])
    usable, problems = verify(listed, found["train"], CONFIG)
    assert len(usable) == 2 and problems == []
    assert music.list_solos(listed, "val", ("cello",))[0] == []  # it is a class of this root
    shutil.rmtree(listed / "audio")
    (entry,), _ = music.list_solos(listed, "val")
    assert entry.sound == entry.frames[0]


BAD_LINES = {
    "one word": ("lonely.mp4", "wants AUDIO VIDEO, has 1 words"),
    "another folder": (f"{IDS[0]}.flac ../{IDS[0]}.mp4", "cannot be part of a file's name"),
    "no class": ("zzzzzzzzzzz.flac zzzzzzzzzzz.mp4", "no class has the video 'zzzzzzzzzzz'"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_a_bad_line_is_a_problem_of_its_own(listed, what):
    line, said = BAD_LINES[what]
    with open(listed / "solo_testing.txt", "a") as file:
        file.write(line + "\n\n")
    entries, problems = music.list_solos(listed, "test")
    assert len(entries) == 1 and str(problems[0]).startswith("solo_testing.txt, line 2: ")
    assert said in str(problems[0])


def test_lists_that_cannot_be_read_are_one_sentence(listed):
    (listed / "solo_testing.txt").unlink()
    with pytest.raises(MediaError, match=r"solo_testing.txt: there is no such file"):
        music.list_solos(listed, "test")
    for content in ("{", "[]", '{"videos": {"cello": 3}}'):
        (listed / "MUSIC_solo_videos.json").write_text(content)
        with pytest.raises(MediaError, match=r"MUSIC_solo_videos.json: is not of the form"):
            music.list_solos(listed, "train")
    (listed / "MUSIC_solo_videos.json").unlink()
    with pytest.raises(MediaError, match=r"MUSIC_solo_videos.json: there is no such file"):
        music.list_solos(listed, "train")
    (listed / "duet_pairs_train.txt").write_text("")
    (listed / "MUSIC_duet_videos.json").write_text('{"videos": {}}')
    with pytest.raises(MediaError, match="MUSIC has no list of duets for test"):
        music.list_duets(listed, "test")


# --- moments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lasts", "moment", "seconds", "expected"),
    [
        (6.0, (0, 1), 0.0, (0.0, 6.0)),
        (6.0, (1, 3), 0.0, (2.0, 2.0)),
        (6.0, (0, 1), 1.0, (2.5, 1.0)),
        (6.0, (0, 3), 4.0, (0.0, 4.0)),  # it would begin before the file
        (6.0, (2, 3), 4.0, (2.0, 4.0)),
        (0.5, (0, 1), 1.0, (0.0, 0.5)),
    ],
)
def test_a_stretch_stays_within_the_file(lasts, moment, seconds, expected):
    assert stretch(lasts, moment, seconds) == pytest.approx(expected)


def test_the_picture_of_a_moment_is_of_the_time_of_its_sound(tmp_path):
    shades, pitches = (40, 120, 200), (400, 1200, 2400)
    path = write_video(tmp_path / "solo" / "bell" / "a.mp4", shades, pitches=pitches)
    entry = Entry("a", (path,), path)
    index = (music.at_moments([entry], 3), [])
    data = ClipDataset(tmp_path, index, ClipConfig(size=8, seconds=0.5))
    assert [clip.name for clip in data] == ["a#1", "a#2", "a#3"]
    for clip, shade, pitch in zip(data, shades, pitches, strict=True):
        assert clip.frames.float().mean().item() == pytest.approx(shade, abs=6)
        spectrum = torch.fft.rfft(clip.waveform).abs()
        assert len(clip.waveform) == RATE // 2
        assert spectrum.argmax().item() * 2 == pytest.approx(pitch, abs=4)  # bins of 2 Hz


# --- collages -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def solos(tree):
    data = ClipDataset(tree, music.list_solos(tree, "train"), CONFIG)
    return data, [CLASSES.index(entry.category) for entry in data.entries]


def test_a_collage_is_its_seed_and_number(solos):
    def same(one, other) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    made, again = Collages(*solos, 5, seed=1), Collages(list(solos[0]), solos[1], 9, seed=1)
    assert len(made) == 5 and all(same(made[i], again[i]) for i in (4, 0, 2))
    assert not same(made[0], Collages(*solos, 5, seed=2)[0]) and not same(made[0], made[1])
    batch = next(iter(Ordered(made, 5)))
    assert batch.frame.shape == (5, 3, 16, 16) and batch.class_id.shape == (5, 4)
    with pytest.raises(IndexError):
        made[5]


def test_the_tiles_of_a_collage_are_what_it_says(solos):
    made = Collages(*solos, 12, gap_db=20.0)
    tiles = set()
    for collage in made:
        assert sorted(collage.class_id.tolist()) == [0, 1, 2, 3]  # four classes
        tiles.add(tuple(collage.tile.tolist()))
        for class_id, tile in zip(collage.class_id, collage.tile, strict=True):
            x, y = (int(16 * edge) for edge in TILES[tile])
            colour = collage.frame[:, y : y + 8, x : x + 8].float().mean((1, 2))
            expected = {0: [0], 1: [1], 2: [2], 3: [0, 1]}[int(class_id)]  # red, green, blue, both
            assert set((colour > 0.6 * colour.max()).nonzero().flatten().tolist()) == set(expected)
        boxes = collage.boxes()
        assert [box[0] for box in boxes] == collage.class_id[:2].tolist()
        assert [box[1:3] for box in boxes] == [TILES[tile] for tile in collage.tile[:2]]
    assert len(tiles) > 6


def test_two_of_four_are_heard_the_first_the_louder(solos):
    def level(collage, which) -> float:
        spectrum = torch.fft.rfft(collage.waveform).abs()
        pitch = int(PITCHES[collage.class_id[which]])  # bins of 1 Hz; solos differ by 10 Hz each
        return 20 * spectrum[pitch - 30 : pitch + 110].max().log10().item()

    for gap in (0.0, 20.0):
        for collage in Collages(*solos, 6, gap_db=gap):
            loud, quiet, *silent = (level(collage, which) for which in range(4))
            assert -1 < loud - quiet < gap + 1
            assert max(silent) < min(loud, quiet) - 10
    even = Collages(*solos, 1)[0].waveform
    assert rms_db(even).item() == pytest.approx(-26 + 3, abs=0.5)


def test_what_cannot_be_a_collage_is_one_sentence(solos):
    data, labels = solos
    with pytest.raises(AvcoreError, match="solos of four classes, but there are 3"):
        Collages(data, [min(label, 2) for label in labels], 3)
    with pytest.raises(AvcoreError, match="24 solos but 2 labels"):
        Collages(data, [0, 1], 3)
    with pytest.raises(AvcoreError, match="not negative, got 3 and -1"):
        Collages(data, labels, 3, gap_db=-1)
    odd = [Clip(torch.zeros(1, 3, 7, 7), torch.ones(9), torch.zeros(0), "", "")] * 4
    with pytest.raises(AvcoreError, match="want an even size, got 7"):
        Collages(odd, range(4), 1)[0]


# --- VGGSound -----------------------------------------------------------------------------------

ROWS = [f"{'abcdefghij' + chr(97 + n)},{n},people marching,train" for n in range(12)]
ROWS += [
    '-bcdefghijk,30,"female speech, woman speaking",train',
    "zbcdefghijk,5,people marching,test",
]


@pytest.fixture
def vgg(tmp_path):
    (tmp_path / "vggsound.csv").write_text("\n".join(ROWS) + "\n")
    write_video(tmp_path / "video" / "zbcdefghijk_000005.mp4", (40,))
    write_video(tmp_path / "video" / "abcdefghija_0.mp4", (40,))
    return tmp_path


def test_vggsound_is_its_table(vgg):
    index = {split: vggsound.list_videos(vgg, split) for split in SPLITS}
    assert [len(found[0]) for found in index.values()] == [10, 3, 1]
    assert all(found[1] == [] for found in index.values())
    assert len(names(index["train"]) | names(index["val"])) == 13
    (test,) = index["test"][0]
    assert test.name == "zbcdefghijk_000005" and test.category == "people marching"
    everything = [*index["train"][0], *index["val"][0]]
    (first,) = (entry for entry in everything if entry.name == "abcdefghija_000000")
    assert first.sound.name == "abcdefghija_0.mp4"  # the other way to write it
    label = ("female speech, woman speaking",)
    (one,) = vggsound.list_videos(vgg, "val", label)[0]
    assert one.split == "val" and one.name == "-bcdefghijk_000030"
    halves = [vggsound.list_videos(vgg, "train", half=half)[0] for half in (1, 2)]
    assert [len(half) for half in halves] == [5, 5]
    usable, problems = verify(vgg, index["test"], CONFIG)
    assert usable == [test] and problems == []


def test_vanished_videos_are_named_or_skipped(vgg):
    index = vggsound.list_videos(vgg, "train", ("people marching",))
    with pytest.raises(MediaError, match=r"video/\w{11}_0000\d\d.mp4: there is no such file"):
        ClipDataset(vgg, index, CONFIG)
    shutil.copy(vgg / "video" / "zbcdefghijk_000005.mp4", index[0][0].sound)
    with pytest.warns(UserWarning, match="clips are left"):
        ClipDataset(vgg, index, CONFIG, skip_bad=True)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("abc,1,dog", "has 3 fields, but wants id, start, label, split"),
        ("../abcdefgh,1,dog,train", "the id '../abcdefgh' cannot be part of a file's name"),
        ("abcdefghijz,one,dog,train", "the start 'one' is no number of seconds"),
        ("abcdefghijz,1,,train", "has no label"),
        ("abcdefghijz,1,dog,val", "the split 'val' is none of train, test"),
        ("abcdefghija,0,dog,test", "abcdefghija_000000 stands in line 1 already"),
    ],
)
def test_a_bad_row_is_a_problem_of_its_own(vgg, row, said):
    with open(vgg / "vggsound.csv", "a") as file:
        file.write(row + "\n")
    assert [str(problem) for problem in vggsound.list_videos(vgg, "test")[1]] == [
        f"vggsound.csv, line 15: {said}"
    ]


def test_vggsound_without_its_table_or_label_is_one_sentence(vgg, tmp_path):
    with pytest.raises(AvcoreError, match=r"unknown label of vggsound.csv 'dog'; choose one of"):
        vggsound.list_videos(vgg, "train", ("dog",))
    (vgg / "vggsound.csv").unlink()
    with pytest.raises(MediaError, match=r"vggsound.csv: cannot be read as a csv file"):
        vggsound.list_videos(vgg, "train")


def test_pictures_with_sound_are_clips_too(tmp_path):
    write_picture(tmp_path / "solo" / "bell" / "a.png", disc(mode="RGB"))
    for name in "bc":
        write_video(tmp_path / "solo" / "bell" / f"{name}.mp4", (40,))
    write_sound(tmp_path / "solo" / "bell" / "a.wav", tone(500, 3.0))
    found = {}
    for split in SPLITS:
        for clip in ClipDataset(tmp_path, music.list_solos(tmp_path, split), CONFIG):
            found[clip.name] = clip.waveform.shape
    assert found == dict.fromkeys("abc", (RATE,))
