"""Fetching the stamps: packages the tests write, false apts, and the real ones where they are."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("PIL", reason="the media extra is not installed")

from deb_files import ogg, photo, png, write_deb, write_files
from media_tree import RATE, disc, hiss, quiet
from PIL import Image

from avcore.data.media import cache, deb, stamps
from avcore.data.media.folder import read_folder
from avcore.data.media.read import read_audio, read_image
from avcore.data.media.stamp_files import class_name, describe, group, is_drawing, wanted
from avcore.stage.compose import Stage
from avcore.stage.media import MediaBank
from avcore.support import MediaError


def files_of_the_package():
    """A small package: an instrument; good, silent, shared, drawn, nameless, soundless animals."""
    un_lion = ogg(hiss(0.4, 3))
    files = {
        "cats/lion.png": photo(1),
        "cats/lion.ogg": ogg(hiss(0.8, 1)),
        "cats/lion.txt": b"A lion.\nfr.utf8=Un lion.\n",
        "cats/lion_desc.ogg": ogg(hiss(0.4, 2)),
        "cats/lion_desc_fr.ogg": un_lion,
        "cats/lion_desc_ro.ogg": ogg(quiet(0.5)),
        "cats/lion-2.png": photo(4),
        "cats/lion-2.txt": b"A lion.\n",
        "cats/lion-2_desc_fr.ogg": un_lion,
        "cats/lion-2_desc_es.ogg": ogg(hiss(0.4, 5)),
        "birds/hen.png": photo(6),
        "birds/hen.ogg": ogg(hiss(0.9, 7)),
        "birds/hen.txt": b"A brown hen.\n",
        "birds/nandou.png": photo(8),
        "birds/nandou.ogg": ogg(quiet(1.0)),
        "birds/nandou.txt": b"A rhea.\n",
        "birds/tucan.png": photo(9),
        "birds/tucan.ogg": ogg(0.5 * hiss(0.9, 7)),
        "birds/tucan.txt": b"A toucan.\n",
        "birds/pigeon.png": photo(10),
        "birds/pigeon.txt": b"A pigeon.\n",
        "insects/bee.png": png(disc(mode="LA")),
        "insects/bee.svg": b"<svg/>",
        "insects/bee.ogg": ogg(hiss(0.7, 11)),
        "insects/mosquito.ogg": ogg(hiss(0.7, 12)),
        "cats/cartoon/lion.png": photo(13),
        "cats/cartoon/lion.ogg": ogg(hiss(0.7, 14)),
        "cats/cartoon/lion.txt": b"A lion.\n",
    }
    files = {f"animals/{name}": data for name, data in files.items()}
    files |= {
        "hobbies/music/string/cello.png": photo(15),
        "hobbies/music/string/cello.ogg": ogg(hiss(0.9, 16)),
        "hobbies/music/string/cello.txt": b"A cello.\n",
        "hobbies/music/string/cello_desc_fr.ogg": ogg(hiss(0.5, 17)),
        "military/final-roll-call.png": photo(18),
        "military/final-roll-call.ogg": ogg(hiss(0.9, 19)),
    }
    return {stamps.INSIDE + name: data for name, data in files.items()}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    files = files_of_the_package() | {stamps.LICENCE: b"GPL-2", "usr/share/other": b"not wanted"}
    return write_deb(tmp_path_factory.mktemp("deb") / "stamps.deb", files)


# Debian packages


@pytest.fixture(params=["dpkg-deb", "plain Python"])
def unpack(request, tmp_path, monkeypatch):
    """Unpacks a package by the program, and by Python alone: path -> bytes of what is wanted."""
    if request.param == "plain Python":
        monkeypatch.setattr(shutil, "which", lambda program: None)
    elif shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb")

    def run(package, wanted=lambda name: True):
        folder = tmp_path / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        deb.unpack(package, folder, wanted)
        found = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    return run


@pytest.mark.parametrize(
    ("pack", "ending"), [(lzma.compress, ".xz"), (gzip.compress, ".gz"), (lambda data: data, "")]
)
def test_what_is_wanted_of_a_package_is_unpacked(tmp_path, unpack, pack, ending):
    files = {"usr/a": b"1" * 1001, "usr/b": b"2"}
    path = write_deb(tmp_path / "x.deb", files, pack=pack, ending=ending)
    assert deb.control(path)["Version"] == "1.0-1"
    assert unpack(path) == files
    assert unpack(path, lambda name: name == "usr/b") == {"usr/b": b"2"}


def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path, unpack):
    path = write_deb(tmp_path / "x.deb", {"usr/../../outside": b"1"})
    with pytest.raises(MediaError, match="outside, which leads out of it"):
        unpack(path)
    assert not (tmp_path / "outside").exists()


def test_links_are_not_unpacked(tmp_path, unpack):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        link = tarfile.TarInfo("./usr/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    path = write_deb(tmp_path / "x.deb", {}, pack=lambda _: lzma.compress(data.getvalue()))
    assert unpack(path) == {}


def test_python_leaves_other_compressions_to_dpkg(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    path = write_deb(tmp_path / "x.deb", {"usr/a": b"1"}, ending=".zst")
    with pytest.raises(MediaError, match=r"is packed as \.tar\.zst; install dpkg-deb"):
        deb.unpack(path, tmp_path / "unpacked", lambda name: True)


@pytest.mark.parametrize("damage", ["text", "empty", "cut short", "flipped"])
def test_damaged_packages_are_named(tmp_path, unpack, package, damage):
    data = bytearray(package.read_bytes())
    if damage == "flipped":
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    new = {"text": b"hello", "empty": b"", "cut short": data[:-100], "flipped": data}[damage]
    path = tmp_path / "bad.deb"
    path.write_bytes(new)
    with pytest.raises(MediaError, match=r"bad\.deb: not a (whole )?Debian package"):
        stamps.fetch(tmp_path / "cache", package=path)
    assert stamps.available(tmp_path / "cache") is None
    with pytest.raises(MediaError, match=r"bad\.deb: not a (whole )?Debian package"):
        unpack(path)


def test_damage_that_looks_like_the_end_of_the_archive_is_found(tmp_path, unpack):
    """Zeros where a member should begin read as the archive's end; the checksum tells."""
    path = tmp_path / "bad.deb"
    files = {"usr/a": b"1", "usr/b": bytes(30_000)}
    write_deb(path, files, pack=lambda data: gzip.compress(data, 0), ending=".gz")
    data = path.read_bytes()
    start = data.index(b"./usr/b\0")
    path.write_bytes(data[:start] + bytes(512) + data[start + 512 :])
    with pytest.raises(MediaError, match="not a whole Debian package"):
        unpack(path)


# What is chosen


@pytest.mark.parametrize(
    ("text", "stems", "name"),
    [
        ("A lion.", ["lion-2", "lion"], "lion"),
        ("A brown hen.", ["hen"], "hen"),
        ("A toucan.", ["tucan"], "toucan"),
        ("A sea lion.", ["sea_lion"], "sea lion"),
        ("A baby sheep (a lamb).", ["sheep_lamb"], "baby sheep"),
        ("A great blue heron.", ["heron_greatblue", "heron_greatblue_flying"], "great blue heron"),
        ("An owl.", ["owl"], "owl"),
    ],
)
def test_class_names_are_readable(text, stems, name):
    assert class_name(describe(text.encode()), stems) == name


def test_drawings_are_told_from_photographs():
    assert is_drawing(np.array(disc())) and is_drawing(np.array(disc(mode="LA").convert("RGBA")))
    assert not is_drawing(np.array(Image.open(io.BytesIO(photo(1)))))


def test_pictures_of_one_description_are_one_class(tmp_path):
    groups, left_out = group(write_files(tmp_path, files_of_the_package()) / stamps.INSIDE)
    lion = groups["lion"]
    assert list(lion.pictures) == ["lion-2.png", "lion.png"] and list(lion.sounds) == ["lion.ogg"]
    assert sorted(lion.words) == ["en.ogg", "es.ogg", "fr.ogg", "ro.ogg"]
    assert "pigeon.png: no recording of it" in left_out
    assert "animals/insects/mosquito.ogg: no picture of it" in left_out


def test_things_are_those_of_the_list(tmp_path):
    groups, _ = group(write_files(tmp_path, files_of_the_package()) / stamps.INSIDE)
    assert groups["cello"].kind == "instrument" and groups["lion"].kind == "animal"
    assert list(groups["cello"].words) == ["fr.ogg"] and "final-roll-call" not in groups
    assert wanted("hobbies/music/string/cello_desc_fr.ogg")
    assert not wanted("hobbies/music/string/cello2.png")


def test_the_folder_holds_what_is_usable_and_says_what_is_not(tmp_path, package):
    told = []
    folder = stamps.fetch(tmp_path, lambda what, done: told.append((what, done)), package)
    classes, problems = read_folder(folder)
    assert problems == [] and [item.name for item in classes] == ["cello", "hen", "lion"]
    assert [item.group for item in classes] == ["instrument", "animal", "animal"]
    assert sorted(word.language for word in classes[2].words) == ["en", "es", "fr"]
    manifest = json.loads((folder / "manifest.json").read_text())
    for line in (
        "rhea/nandou.ogg: the recording is silent",
        "toucan/tucan.ogg: is the same recording as hen/hen.ogg",
        "bee/bee.png: a drawing",
        "lion/words/ro.ogg: the recording is silent",
        "animals/cats/cartoon/lion.png: a drawing or a toy by its place",
    ):
        assert line in manifest["left_out"]
    assert "GNU General Public License version 2" in MediaBank(folder).credit
    assert (folder / "copyright").read_text() == "GPL-2"
    assert [p.name for p in tmp_path.iterdir() if p.name != ".lock"] == ["tuxpaint-stamps"]
    assert {what for what, done in told if done == 1} == {
        "unpack",
        "words",
        "check",
        manifest["note"],
    }
    assert "version 1.0-1" in manifest["note"]


def test_a_fetched_folder_is_used_again_and_a_damaged_one_made_anew(tmp_path, package):
    folder = stamps.fetch(tmp_path, package=package)
    assert stamps.fetch(tmp_path, package=tmp_path / "not there") == folder
    (folder / "hen" / "hen.ogg").write_bytes(b"")
    assert stamps.available(tmp_path) is None
    assert stamps.fetch(tmp_path, package=package) == folder
    assert stamps.available(tmp_path) == folder
    (folder / "hen" / "foreign.png").write_bytes(b"")
    assert stamps.available(tmp_path) is None
    assert stamps.fetch(tmp_path, package=package) == folder
    assert not (folder / "hen" / "foreign.png").exists()
    for damage in ("", "[]", '{"files": 3}', "[" * 100_000, "\xff"):
        (folder / "manifest.json").write_text(damage, encoding="latin-1")
        assert stamps.available(tmp_path) is None


def test_a_folder_of_an_earlier_edition_is_made_anew(tmp_path, package, monkeypatch):
    monkeypatch.setattr(stamps, "EDITION", 1)
    folder = stamps.fetch(tmp_path, package=package)
    monkeypatch.undo()
    assert stamps.available(tmp_path) is None
    assert stamps.fetch(tmp_path, package=package) == folder == stamps.available(tmp_path)


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path / "there"))
    assert cache.cache_folder() == tmp_path / "there"
    assert stamps.available() is None
    monkeypatch.delenv("AVCORE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "avcore"


# Checksums and other packages


def test_a_known_version_must_have_the_known_files(tmp_path, monkeypatch):
    files = files_of_the_package()
    path = write_deb(tmp_path / "s.deb", files, version="2022.06.04-9")
    with pytest.raises(MediaError, match="checksum of its files is wrong"):
        stamps.fetch(tmp_path / "a", package=path)
    used = {name: data for name, data in files.items() if "final-roll" not in name}
    known = stamps.contents(write_files(tmp_path / "used", used) / stamps.INSIDE)
    monkeypatch.setitem(stamps.KNOWN_FILES, "2022.06.04", known)
    folder = stamps.fetch(tmp_path / "a", package=path)
    assert json.loads((folder / "manifest.json").read_text())["note"] == ""


def test_another_package_is_refused(tmp_path):
    path = write_deb(tmp_path / "s.deb", files_of_the_package(), name="hello")
    with pytest.raises(MediaError, match="is the package 'hello'"):
        stamps.fetch(tmp_path / "a", package=path)
    with pytest.raises(MediaError, match="no such file"):
        stamps.fetch(tmp_path / "a", package=tmp_path / "nowhere.deb")


# apt


@pytest.fixture
def apt(tmp_path, monkeypatch, package):
    """Puts a false apt-get, a shell script, first on the PATH."""
    tool = tmp_path / "bin" / "apt-get"
    tool.parent.mkdir()
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    def install(download='cp "$DEB" x.deb', sha256=None, knows="true"):
        sha256 = sha256 or hashlib.sha256(package.read_bytes()).hexdigest()
        offer = f"'http://x' x.deb {package.stat().st_size} SHA256:{sha256}"
        tool.write_text(
            "#!/bin/sh\n"
            f'DEB="{package}"\n'
            'case "$*" in\n'
            f'*--print-uris*) {knows} || exit 100; echo "{offer}";;\n'
            "*update*) touch updated;;\n"
            f"*download*) {download};;\n"
            "esac\n"
        )
        tool.chmod(0o755)
        return tmp_path / "cache"

    return install


def test_apt_downloads_the_package(apt):
    told = []
    folder = stamps.fetch(apt(), lambda what, done: told.append((what, done)))
    assert MediaBank(folder).classes == ("cello", "hen", "lion")
    assert ("download", 1.0) in told


def test_apt_fetches_its_lists_when_it_does_not_know_the_package(apt):
    assert stamps.fetch(apt(knows="test -f updated")).is_dir()


def test_a_wrong_checksum_is_an_error(apt):
    with pytest.raises(MediaError, match="wrong checksum"):
        stamps.fetch(root := apt(sha256="0" * 64))
    assert stamps.available(root) is None and list(root.iterdir()) == [root / ".lock"]


def test_apt_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MediaError, match=r"apt-get \(Debian, Ubuntu, Colab\), which is not here"):
        stamps.fetch(tmp_path / "cache")


def test_apt_that_does_not_know_the_package(apt):
    with pytest.raises(MediaError, match="does not know the package tuxpaint-stamps-default"):
        stamps.fetch(apt(knows="false"))


def test_apt_that_fails(apt):
    with pytest.raises(MediaError, match="could not download the package: Failed to fetch x"):
        stamps.fetch(apt("echo noise; echo 'E: Failed to fetch x' >&2; exit 100"))
    with pytest.raises(MediaError, match="gave no file"):
        stamps.fetch(apt("true"))


def test_a_download_that_stands_still_is_given_up(apt, monkeypatch):
    monkeypatch.setattr(stamps.download, "__defaults__", (0.3,))
    start = time.monotonic()
    with pytest.raises(MediaError, match="stood still"):
        stamps.fetch(apt("exec sleep 60"))
    assert time.monotonic() - start < 10


# Interrupted and out of space


def test_a_killed_run_leaves_nothing_that_reads_as_whole(apt):
    root = apt('cp "$DEB" x.deb; exec sleep 60')
    code = f"from avcore.data.media import stamps; stamps.fetch({str(root)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(stamps.__file__).parents[3])
    while not any(root.glob(".unfinished-*/x.deb")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert list(root.glob(".unfinished-*")) and stamps.available(root) is None
    assert stamps.fetch(apt()) == root / "tuxpaint-stamps"
    assert not list(root.glob(".unfinished-*"))


@pytest.mark.parametrize("step", ["_write_class", "_keep_words", "_keep_usable", "write_manifest"])
def test_an_interrupted_run_leaves_nothing(tmp_path, package, monkeypatch, step):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(stamps, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        stamps.fetch(tmp_path, package=package)
    assert list(tmp_path.iterdir()) == [tmp_path / ".lock"]


def test_a_full_disk_is_told_before_and_during(tmp_path, package, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(MediaError, match=r"the disk is full \(300 MB must be free"):
        stamps.fetch(tmp_path, package=package)
    monkeypatch.undo()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stamps, "_write_class", full)
    with pytest.raises(MediaError, match="the disk is full"):
        stamps.fetch(tmp_path, package=package)
    assert stamps.available(tmp_path) is None


def test_a_cache_that_cannot_be_written(tmp_path, package):
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be written"):
        stamps.fetch(tmp_path / "file" / "cache", package=package)


def test_two_runs_at_once_make_one_folder(apt, tmp_path):
    log = tmp_path / "downloads"
    root = apt(f'sleep 0.2; cp "$DEB" x.deb; echo once >> {log}')
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(stamps.fetch, [root, root]))
    assert made[0] == made[1] == stamps.available(root)
    assert log.read_text() == "once\n"


# The real stamps


@pytest.fixture(scope="module")
def real():
    """The stamps: fetched before, or fetched now unless AVCORE_FETCH=0 forbids it."""
    folder = stamps.available()
    if folder is None and os.environ.get("AVCORE_FETCH") == "0":
        pytest.skip("the stamps have not been fetched, and AVCORE_FETCH=0 forbids it")
    try:
        return folder or stamps.fetch()
    except MediaError as error:
        pytest.skip(f"the stamps cannot be fetched here: {error}")


@pytest.fixture(scope="module")
def real_bank(real):
    return MediaBank(real)


def test_the_real_stamps_have_no_known_flaw(real, real_bank):
    classes = set(real_bank.classes)
    assert len(real_bank.classes) >= 65 and real_bank.problems == ()
    assert not classes & {"rhea", "iguana", "giraffe", "wombat"}  # silent
    for shared in ({"badger", "beaver"}, {"goat", "mountaingoat", "ram"}, {"camel", "dromedary"}):
        assert len(classes & shared) == 1
    assert "bee" not in classes  # a drawing
    assert {"lion", "toucan", "sea lion", "great blue heron", "Tamworth pig"} <= classes
    assert {"cymbal", "tom", "drum kit", "cello", "violin", "bassoon"} == set(
        MediaBank(real, groups=["instrument"]).classes
    )
    assert {"camera", "scissors", "kettle", "rubber duck", "hammer", "saw"} <= classes
    assert {"mallet", "fire engine", "toilet", "apple"} <= classes and all(real_bank.groups)
    assert real_bank.languages == ("be", "bg", "ca", "da", "el", "en", "es", "fr", "nl", "ro", "ru")
    assert "General Public License" in real_bank.credit


def test_the_real_files_are_small_photographs_and_calls(real):
    assert not [p for p in real.glob("*/*.png") if is_drawing(read_image(p))]
    assert sum(path.stat().st_size for path in real.rglob("*")) < 40e6
    assert all(len(read_audio(path)) > 1400 for path in real.glob("*/*.ogg"))


def test_every_real_animal_is_heard_and_seen_in_every_split(real_bank):
    rng = np.random.default_rng(0)
    u, v = np.meshgrid(*[np.linspace(-1.2, 1.2, 40, dtype=np.float32)] * 2)
    for class_id, name in enumerate(real_bank.classes):
        for split in ("train", "val", "test"):
            performance = real_bank.performance(class_id, rng, split, 1.0)
            sound = performance.render(RATE)
            assert 0.005 < sound.std() < 0.2 and np.abs(sound).max() < 1, (name, split)
            rest = np.zeros((1, 1, 1), np.float32)
            alpha = real_bank.sprite(class_id, rng, split)(u[None], v[None], rest, 0.06)[1]
            assert 0.015 < alpha.mean() < 0.7, (name, split)  # a bassoon is thin
            if name != "toilet":  # what is said of it is no name
                word = real_bank.speak(class_id, rng, split, 1.5).words[0]
                assert 0.1 < word.end - word.start <= 1.5


def test_a_stage_of_the_real_animals(real_bank):
    scene = Stage(bank=real_bank).scene("train", 0)
    assert scene.masks.any((2, 3)).sum() == 2 and np.abs(scene.waveform).max() > 0.01
