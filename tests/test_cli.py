"""The command line: what it prints, its exit codes, and one sentence for every mistake."""

import json
import subprocess
import sys

import pytest

import avcore
from avcore import bench, cli, doctor
from avcore.claims import Claim, Side
from avcore.support import AvcoreError, MediaError, TrainingError

pytest.importorskip("typer")

from avcore import commands


def experiment(variant, seed, scale, device):
    return {"iou": 0.3 + 0.01 * seed if variant == "a" else 0.1}


SIDES = Side("a", "iou"), Side("b", "iou")
FAKE = Claim("T1", "a paper", "A is better than b.", experiment, *SIDES, effect=0.02, planned=5)


@pytest.fixture
def _fake_claims(monkeypatch):
    monkeypatch.setattr("avcore.claims.engine.CLAIMS", {"T1": FAKE})


def run(capsys, *arguments):
    code = cli.main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


# --- mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dance"], "No such command 'dance'"),
        (["data"], "Missing command"),
        (["reproduce", "Z9"], "unknown claim 'Z9'; choose one of"),
        (["reproduce", "--scale", "huge"], "unknown scale 'huge'"),
        (["reproduce", "--seeds", "few"], "got 'few'"),
        (["reproduce", "--device", "gpu"], "unknown device 'gpu'"),
        (["reproduce", "--device", "meta"], "unknown device 'meta'"),
        (["evaluate", "avs", "--device", "xpu"], "there is no device xpu on this machine"),
        (
            ["train", "denseav", "--preset=small", "--checkpoint=a.pt", "--set=seconds=inf"],
            "seconds wants a number, got 'inf'",
        ),
        (
            ["train", "denseav", "--preset=small", "--checkpoint=a.pt", "--set=batch_size=1"],
            "denseav wants a batch_size of at least 2",
        ),
        (["bench", "--only", "luck"], "unknown bench 'luck'"),
        (["bench", "--fast"], "No such option"),
        (
            ["train", "avs", "--preset=s4-small", "--checkpoint=a.pt", "--set=checkpoint=none"],
            "checkpoint is not for --set; give --checkpoint",
        ),
        (
            ["evaluate", "csol", "--preset=music", "--set=classes.device=cpu"],
            "classes.device is not for --set; give --device",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setenv("AVCORE_RESULTS", str(tmp_path))
    code, out, err = run(capsys, *arguments)
    assert code == 2 and words in err and out == ""
    assert err.startswith("avcore: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AvcoreError("wrong name"), 2),
        (MediaError("no apt here"), 3),
        (TrainingError("the loss is nan"), 1),
        (ImportError("this needs the package 'x'"), 1),
        (OSError("disk is full"), 1),
    ],
)
def test_errors_end_without_a_traceback(capsys, monkeypatch, error, code):
    def fail(_):
        raise error

    monkeypatch.setattr("avcore.bench.run", fail)
    got, _, err = run(capsys, "bench")
    assert got == code and str(error) in err and "Traceback" not in err and err.count("\n") == 1


def test_an_interrupted_command_ends_with_code_130(capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("avcore.bench.run", interrupt)
    code, _, err = run(capsys, "bench")
    assert code == 130 and "Traceback" not in err


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("avcore.bench.run", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["bench"])


def test_no_arguments_show_the_commands(capsys):
    code, out, _ = run(capsys)
    assert code == 0 and all(word in out for word in ("doctor", "data", "reproduce", "bench"))


def test_the_core_imports_nothing_optional():
    heavy = ("typer", "lightning_fabric", "plotly", "av", "ipywidgets", "papermill")
    ours = "avcore.audio, avcore.bench, avcore.claims, avcore.cli, avcore.metrics, avcore.training"
    code = f"import sys, {ours}; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# --- reproduce ------------------------------------------------------------------------------


@pytest.mark.usefixtures("_fake_claims")
def test_reproduce_records_and_shows_the_verdict(capsys, tmp_path):
    options = ("--device", "cpu", "--results", str(tmp_path))
    code, out, err = run(capsys, "reproduce", "T1", *options)
    assert code == 0 and "reproduced" in out and "+0.2200 [+0.2004, +0.2396]" in out
    assert err.count("T1 seed") == 11 and err.count("again with") == 1
    assert json.loads((tmp_path / "quick" / "T1.json").read_text())["seeds"] == [0, 1, 2, 3, 4]
    code, _, err = run(capsys, "reproduce", *options)
    assert code == 0 and err == ""


@pytest.mark.usefixtures("_fake_claims")
def test_reproduce_names_a_damaged_record(capsys, tmp_path):
    path = tmp_path / "smoke" / "T1.json"
    path.parent.mkdir()
    path.write_text("{")
    options = ("--scale", "smoke", "--seeds", "1", "--device", "cpu", "--results", str(tmp_path))
    code, out, err = run(capsys, "reproduce", *options)
    assert code == 0 and "not judged" in out and "T1.json is damaged" in err


def test_seeds_are_read():
    assert commands.parse_seeds("5") == 5
    assert commands.parse_seeds("5,") == [5] and commands.parse_seeds("0, 2") == [0, 2]


# --- doctor and data ------------------------------------------------------------------------


def test_doctor_says_what_is_there(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0 and "torch" in out and "processor" in out and "MISSING" not in out
    rows = [line.split() for line in out.splitlines()]
    assert ["avcore", "ok", avcore.__version__] in rows and "torchvision" in {r[0] for r in rows}


def test_the_version_is_said(capsys):
    assert run(capsys, "--version") == (0, f"avcore {avcore.__version__}\n", "")


def test_doctor_fails_when_something_needed_is_missing(capsys, monkeypatch):
    lost = doctor.Check("torch", None, "pip install torch", needed=True)
    monkeypatch.setattr(doctor, "examine", lambda: [lost])
    code, out, _ = run(capsys, "doctor")
    assert code == 1 and "MISSING" in out and "pip install torch" in out


@pytest.mark.parametrize("what", ["stamps", "elsewhere"])
def test_media_that_cannot_be_fetched_give_code_3(capsys, monkeypatch, what):
    def fail(cache, progress):
        raise MediaError("apt was not found")

    monkeypatch.setattr(f"avcore.data.media.{what}.fetch", fail)
    assert run(capsys, "data", what) == (3, "", "avcore: apt was not found\n")


@pytest.mark.parametrize(("what", "several"), [("stamps", False), ("elsewhere", True)])
def test_fetched_media_are_shown_with_their_credit(capsys, monkeypatch, tmp_path, what, several):
    (tmp_path / "CREDIT.txt").write_text("Made by the tests.\n")
    found = (tmp_path, tmp_path) if several else tmp_path
    monkeypatch.setattr(f"avcore.data.media.{what}.fetch", lambda cache, progress: found)
    once = f"{tmp_path}\nMade by the tests.\n"
    assert run(capsys, "data", what) == (0, once * (2 if several else 1), "")


def test_the_names_of_a_folders_classes_are_said(capsys, monkeypatch, tmp_path):
    asked = []

    def fetch(classes, count, cache, progress):
        asked.append((classes, count))
        return {name: [None] * count for name in classes}

    monkeypatch.setattr("avcore.data.media.words.fetch", fetch)
    for name in ("sea_lion", "cat"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    code, out, _ = run(capsys, "data", "words", str(tmp_path / "mine"), "--count", "5")
    assert code == 0 and asked == [(["cat", "sea lion"], 5)]
    assert "2 names, 10 utterances" in out and "eSpeak NG" in out
    code, _, err = run(capsys, "data", "words", "--cache", str(tmp_path / "empty"))
    assert code == 3 and "run: avcore data stamps" in err


def test_a_missing_media_folder_gives_code_3(capsys, tmp_path):
    code, _, err = run(capsys, "data", "verify", str(tmp_path / "nowhere"))
    assert code == 3 and "nowhere" in err


def test_everything_wrong_with_a_media_folder_is_listed(capsys, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.png").write_bytes(b"not a picture")
    code, out, _ = run(capsys, "data", "verify", str(tmp_path))
    assert code == 1 and "cat/broken.png" in out and "dog/broken.png" in out
    assert "0 classes can be used" in out


# --- bench ----------------------------------------------------------------------------------


@pytest.fixture
def _recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_RESULTS", str(tmp_path))
    bench.record_trial("shift", {"shift_accuracy": 0.95, "word_accuracy": 0.5}, 0, 100.0)


@pytest.mark.usefixtures("_recorded")
def test_bench_gives_every_figure_with_its_target(capsys):
    code, out, _ = run(capsys, "bench", "--json", "--only", "trials")
    figures = {figure["name"]: figure for figure in json.loads(out)}
    assert code == 0 and len(figures) == len(bench.TRIALS)
    assert all({"name", "value", "unit", "target", "ok"} <= set(f) for f in figures.values())
    assert figures["shift_accuracy"] == {
        "name": "shift_accuracy",
        "value": 0.95,
        "unit": "fraction",
        "target": 0.92,
        "at_most": False,
        "ok": True,
    }
    assert not figures["word_accuracy"]["ok"]
    assert figures["sound_class_accuracy"]["value"] is None
    assert not figures["sound_class_accuracy"]["ok"]


@pytest.mark.usefixtures("_recorded")
def test_bench_as_a_table(capsys):
    out = run(capsys, "bench", "--only", "trials")[1].splitlines()
    assert out[0].split() == ["figure", "value", "unit", "target", "reached"]
    assert out[1].split() == ["shift_accuracy", "0.95", "fraction", "≥", "0.92", "yes"]
    assert "not recorded" in out[2]


def test_bench_measures_the_stage_in_small(monkeypatch):
    rendered = []
    monkeypatch.setattr(bench, "render", lambda *a, **k: rendered.append((a[2], k["workers"])))
    figures = bench.run("stage")
    assert [figure.target for figure in figures] == [400, 250, 80] and all(f.ok for f in figures)
    assert [workers for _, workers in rendered] == [2, 2, 2]


def test_bench_reads_the_last_build(tmp_path, monkeypatch):
    monkeypatch.setattr("avcore.environment.ROOT", tmp_path)
    nothing = [("make_book_ground", None, False), ("make_book", None, False)]
    assert [(f.name, f.value, f.ok) for f in bench.build()] == nothing
    executed = tmp_path / "_build" / "quick" / "executed"
    executed.mkdir(parents=True)
    for name, seconds in (("00-a", 20.0), ("02-b", 151.0), ("50-c", 60.0)):
        notebook = {"metadata": {"papermill": {"duration": seconds}}}
        (executed / f"{name}.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "_build" / "quick" / "pages.done").write_text("9.0")
    got = {figure.name: (figure.value, figure.ok) for figure in bench.build()}
    assert got == {
        "chapter_00-a": (20.0, True),
        "chapter_02-b": (151.0, False),
        "chapter_50-c": (60.0, True),
        "make_book_ground": (180.0, True),
        "make_book": (240.0, True),
    }


def test_a_damaged_trial_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_RESULTS", str(tmp_path))
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "shift.json").write_text('{"values": 3}')
    with pytest.warns(UserWarning, match=r"shift.json is damaged"):
        bench.run("trials")
