"""Errors, scales, optional imports, and files that are whole or not there."""

import dataclasses
import os
import stat
import sys

import pytest

from avcore import support
from avcore.support import AvcoreError, Splits, atomic_write, by_scale, choose, require


def test_a_scale_picks_its_value_and_an_unknown_one_is_named():
    values = {"smoke": 1, "quick": 2, "full": 3}
    assert [by_scale(scale, **values) for scale in support.SCALES] == [1, 2, 3]
    with pytest.raises(
        AvcoreError, match=r"unknown scale 'tiny'; choose one of smoke, quick, full"
    ):
        by_scale("tiny", **values)


def test_a_name_is_chosen_from_a_mapping_or_from_a_sequence():
    assert choose({"a": 1, "b": None}, "b", "letter") is None
    assert choose(("a", "b"), "b", "letter") == "b"


@pytest.mark.parametrize("known", [{"a": 1, "b": 2}, ("a", "b")])
@pytest.mark.parametrize("name", ["c", None, ["a"], 1])
def test_an_unknown_name_is_answered_with_the_known_ones(known, name):
    with pytest.raises(AvcoreError) as error:
        choose(known, name, "letter")
    assert str(error.value) == f"unknown letter {name!r}; choose one of a, b"


def test_splits_have_three_parts_that_stay():
    splits = Splits([1], val=[2], test=[3])
    assert (splits.train, splits.val, splits.test) == ([1], [2], [3])
    with pytest.raises(dataclasses.FrozenInstanceError):
        splits.val = []


@pytest.mark.parametrize("name", ["MediaError", "CheckpointError", "TrainingError"])
def test_every_error_is_one_that_the_caller_can_mend(name):
    assert issubclass(getattr(support, name), AvcoreError)


def test_a_missing_package_is_asked_for_by_name():
    assert require("json", "train").dumps([1]) == "[1]"
    with pytest.raises(ImportError, match=r"needs the package 'no_such'.*avcore\[viz\]"):
        require("no_such.part", "viz")


def test_an_error_inside_an_optional_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import something_else_entirely\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="something_else_entirely"):
        require("broken_inside", "viz")


def test_a_file_appears_whole_with_its_folder(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as file:
        file.write("é")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "é"
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_written_file_has_the_usual_permissions(tmp_path):
    with atomic_write(tmp_path / "a", "wb") as file:
        file.write(b"1")
    (tmp_path / "b").write_bytes(b"1")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch, failing):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(*_):
        raise OSError("no space left on device")

    if failing != "write":
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="no space"), atomic_write(path) as file:
        file.write("new")
        if failing == "write":
            fail()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]
