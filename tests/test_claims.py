"""The claims engine: paired, resumable, honest about few seeds, careful with its files."""

import json
import math
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from avcore import claims as engine
from avcore.claims import Claim, Reported, bootstrap_interval, compare, recorded, sign_test, verdict
from avcore.claims import fingerprint as fingerprints
from avcore.support import AvcoreError

calls = []


def experiment(variant, seed, scale, device):
    """A pretended training: "good" beats "bad" by 0.2, and by a little more with each seed."""
    calls.append((variant, seed, scale, device))
    return {"iou": 0.1 + 0.01 * seed + (0.2 + 0.001 * seed) * (variant == "good"), "other": seed}


def claim(**changes) -> Claim:
    given = {
        "id": "T1",
        "paper": "a paper",
        "sentence": "Good is better than bad.",
        "experiment": experiment,
        "treatment": "good",
        "baseline": "bad",
        "metric": "iou",
        "reported": (Reported("IoU, good", 51.4, "%", "its readme"),),
    }
    return Claim(**{**given, **changes})


@pytest.fixture(autouse=True)
def _forget_calls():
    calls.clear()


def run(tmp_path, seeds=3, scale="quick", one=None, **options):
    one = one or claim()
    options = {"device": "cpu", "results_dir": tmp_path, **options}
    return engine.reproduce([one.id], scale, seeds, claims={one.id: one}, **options)[one.id]


# --- statistics -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "direction", "expected"),
    [
        ([0.1, 0.2, 0.3], "higher", "reproduced"),
        ([0.1, 0.2, 0.3], "lower", "contradicted"),
        ([-0.1, -0.2, -0.3], "higher", "contradicted"),
        ([-0.1, -0.2, -0.3], "lower", "reproduced"),
        ([-0.1, 0.2, 0.3], "higher", "inconclusive"),
        ([0.0, 0.0, 0.0], "higher", "inconclusive"),
        ([0.1, 0.2], "higher", "not judged"),
        ([], "higher", "not judged"),
        ([0.5] * 9 + [-0.1], "higher", "reproduced"),
    ],
)
def test_the_verdict_by_hand(differences, direction, expected):
    assert verdict(differences, direction) == expected


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([-0.01, 0.0, 0.02], "reproduced"),
        ([0.01, 0.01, 0.02], "reproduced"),  # a difference, but none that counts
        ([-0.01, 0.02, 0.05], "inconclusive"),
        ([0.04, 0.05, 0.06], "contradicted"),
        ([-0.04, -0.05, -0.06], "contradicted"),
        ([0.0, 0.0], "not judged"),
    ],
)
def test_equality_is_judged_within_a_margin(differences, expected):
    assert verdict(differences, "equal", margin=0.03) == expected


@pytest.mark.parametrize(
    ("direction", "margin", "words"),
    [("up", 0.0, "higher, lower, equal"), ("equal", 0.0, "margin"), ("higher", 0.1, "margin")],
)
def test_a_direction_that_makes_no_sense_is_refused(direction, margin, words):
    with pytest.raises(AvcoreError, match=words):
        verdict([0.1, 0.2, 0.3], direction, margin)


def test_three_values_give_their_range_and_little_certainty():
    assert bootstrap_interval([0.3, 0.1, 0.2]) == pytest.approx((0.1, 0.3))
    assert sign_test([0.3, 0.1, 0.2]) == pytest.approx(1 / 4)
    assert sign_test([1, 1, 1, 1, 1]) == pytest.approx(1 / 16)
    assert sign_test([0.0, 0.0]) is None and bootstrap_interval([1.0]) is None


def test_the_interval_narrows_with_confidence_and_repeats_itself():
    values = [0.1, 0.4, 0.2, 0.6, -0.1, 0.3, 0.2, 0.5]
    wide, narrow = bootstrap_interval(values), bootstrap_interval(values, confidence=0.5)
    assert wide == bootstrap_interval(values)
    assert wide[0] < narrow[0] < sum(values) / 8 < narrow[1] < wide[1]


def test_paired_values_are_compared_in_words():
    first, second = np.array([0.5, 0.7, 0.6]), np.array([0.1, 0.2, 0.4])
    assert compare(first, second) == "more" and compare(second, first) == "less"
    assert compare([1, 0, 1, 0], [0, 1, 0, 1]) == compare([1.0], [0.0]) == "equal"
    assert compare(first, second, words=("loses", "ties", "wins")) == "wins"
    with pytest.raises(AvcoreError, match="3 values cannot be paired with 2"):
        compare(first, second[:2])


def test_a_difference_that_is_not_finite_is_an_error():
    with pytest.raises(AvcoreError, match="finite"):
        verdict([0.1, math.nan, 0.2])


# --- running and recording ------------------------------------------------------------------


def test_a_record_holds_what_the_reader_needs(tmp_path):
    record = run(tmp_path)
    assert record == json.loads((tmp_path / "quick" / "T1.json").read_text())
    assert record["id"] == "T1" and record["seeds"] == [0, 1, 2]
    assert record["differences"] == pytest.approx([0.2, 0.201, 0.202])
    assert record["mean_difference"] == pytest.approx(0.201)
    assert record["interval"] == pytest.approx([0.2, 0.202])
    assert record["treatment_values"] == pytest.approx([0.3, 0.311, 0.322])
    assert record["verdict"] == "reproduced" and record["sign_test"] == 0.25
    assert record["reported"][0]["value"] == 51.4
    assert record["device"] == "cpu" and "torch" in record["versions"] and record["hardware"]
    assert record["metric"] == "iou" and record["direction"] == "higher"
    assert record["seconds"] >= 0 and {"commit", "paper", "sentence"} <= record.keys()
    assert len(record["runs"]) == 6


def test_variants_are_paired_by_seed_and_device(tmp_path):
    run(tmp_path, seeds=[4, 2])
    assert calls == [(v, s, "quick", "cpu") for s in (4, 2) for v in ("good", "bad")]


def test_a_smoke_run_is_never_judged(tmp_path):
    assert run(tmp_path, scale="smoke", seeds=5)["verdict"] == "not judged"


def test_more_seeds_add_to_what_is_there(tmp_path):
    run(tmp_path, seeds=2)
    assert run(tmp_path, seeds=4)["seeds"] == [0, 1, 2, 3] and len(calls) == 8
    assert run(tmp_path, seeds=1)["seeds"] == [0, 1, 2, 3] and len(calls) == 8


def test_an_interrupted_claim_resumes_after_its_last_run(tmp_path):
    said = []

    def interrupt(line):
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt)
    kept = json.loads((tmp_path / "quick" / "T1.json").read_text())
    assert kept["seeds"] == [0] and len(kept["runs"]) == 3 and kept["verdict"] == "not judged"
    assert run(tmp_path)["seeds"] == [0, 1, 2]
    assert len(calls) == 6 and len(set(calls)) == 6
    assert said[0].startswith("T1 seed 0, good: iou 0.3")


def test_claims_on_one_experiment_share_its_runs(tmp_path):
    run(tmp_path)
    other = run(tmp_path, one=claim(id="T2", metric="other", direction="lower"))
    assert len(calls) == 6 and other["differences"] == [0, 0, 0]
    assert other["verdict"] == "inconclusive"


def test_a_claim_that_fails_says_contradicted(tmp_path):
    record = run(tmp_path, one=claim(treatment="bad", baseline="good", explanation="it is bad"))
    assert record["verdict"] == "contradicted" and record["explanation"] == "it is bad"


def test_an_explanation_takes_its_numbers_from_the_record(tmp_path, monkeypatch):
    why = "From {baseline.low:.2f} by {difference.near:.3f} to {difference.far:.3f}: "
    why += "{difference.mean:+.3f}."
    one = claim(treatment="bad", baseline="good", explanation=why)
    filled = "From 0.30 by 0.200 to 0.202: −0.201."
    assert run(tmp_path, one=one)["explanation"] == filled
    monkeypatch.setattr("avcore.claims.record.find_claim", lambda _: replace(one, explanation="!"))
    assert engine.load_record("T1", "quick", tmp_path)["explanation"] == "!"
    assert one.explained([], []) == ""


def test_the_catalogue_types_no_measured_number():
    values = [0.1, -0.2, 0.3]
    for each in engine.CLAIMS.values():
        assert each.explained(values, values) or not each.explanation
        fixed = re.sub(r"\{[^}]*\}", "", each.explanation)
        assert not re.search(r"\d[.]\d", fixed), (each.id, fixed)


def test_one_claim_that_fails_does_not_stop_the_others(tmp_path):
    claims = {
        "T1": claim(experiment=lambda **_: {"iou": math.nan}),
        "T2": claim(id="T2"),
    }
    with pytest.raises(AvcoreError, match=r"1 of 2 claims failed\. T1: .* not a finite number"):
        engine.reproduce(None, "quick", 3, tmp_path, "cpu", claims=claims)
    assert [path.name for path in (tmp_path / "quick").iterdir()] == ["T2.json"]


def test_two_processes_add_to_one_record(tmp_path):
    def slow(variant, seed, scale, device):
        if seed == 0 and variant == "good":  # meanwhile another process records seed 1
            inner = claim(experiment=slow)
            engine.run_claim(inner, "quick", [1], tmp_path, "cpu")
        return experiment(variant, seed, scale, device)

    assert run(tmp_path, seeds=1, one=claim(experiment=slow))["seeds"] == [0, 1]


def test_a_seed_is_paired_on_one_device(tmp_path):
    run(tmp_path, seeds=2)
    path = tmp_path / "quick" / "T1.json"
    record = json.loads(path.read_text())
    record["runs"][0]["device"] = "cuda"  # as if the run had begun elsewhere
    path.write_text(json.dumps(record))
    calls.clear()
    assert {each["device"] for each in run(tmp_path, seeds=2)["runs"]} == {"cpu"}
    assert calls == [("good", 0, "quick", "cpu")]


# --- damaged and foreign files --------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1, "id": "T1"}', "\xff"])
def test_a_damaged_file_is_set_aside_named_and_made_again(tmp_path, content):
    path = tmp_path / "quick" / "T1.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("latin-1"))
    said = []
    assert run(tmp_path, progress=said.append)["seeds"] == [0, 1, 2]
    assert "T1.json is damaged" in said[0]
    assert (tmp_path / "quick" / "T1.damaged-1.json.old").read_bytes() == content.encode("latin-1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record["runs"][0]["values"].update(iou=math.nan),
        lambda record: record["runs"][0]["values"].update(iou="1e3"),
        lambda record: record["runs"][0].pop("hardware"),
        lambda record: record["runs"][0].update(seed=0.0),
        lambda record: record.pop("interval"),
        lambda record: record.update(runs=None),
    ],
)
def test_a_record_that_lacks_something_is_damaged(tmp_path, damage):
    path = tmp_path / "quick" / "T1.json"
    record = run(tmp_path)
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match=r"damaged: kept as T1.damaged-1.json.old"):
        assert run(tmp_path)["verdict"] == "reproduced"
    assert len(calls) == 12


def test_a_file_of_other_code_stays_until_the_first_new_run(tmp_path, monkeypatch):
    run(tmp_path)
    monkeypatch.setattr("avcore.claims.engine.fingerprint", lambda claim: "other")
    failing = claim(experiment=lambda **_: {"iou": math.nan})
    monkeypatch.setattr(failing.experiment, "__qualname__", "experiment")
    with pytest.raises(AvcoreError, match="not a finite number"):
        run(tmp_path, one=failing)
    assert [path.name for path in (tmp_path / "quick").iterdir()] == ["T1.json"]


def test_runs_of_other_code_are_not_mixed_in(tmp_path, monkeypatch):
    run(tmp_path)
    monkeypatch.setattr("avcore.claims.engine.fingerprint", lambda claim: "other")
    with pytest.warns(UserWarning, match=r"kept as T1.from-other-code-1.json.old"):
        record = run(tmp_path, seeds=[3])
    assert record["seeds"] == [3] and record["fingerprint"] == "other"


def printed(tmp_path, monkeypatch, **changes: str) -> str:
    """Fingerprint of an experiment in two small modules, some lines of them changed."""
    lines = {
        "start": '''"""One."""''',
        "import": "from avcore import other; from avcore.other import LIMIT as limit",
        "experiment": "def experiment(): return other.helper(limit)",
        "beside": "def beside(): return 1",
    }
    others = {
        "loose": "print('imported')",
        "limit": "LIMIT = 3",
        "helper": "def helper(x): return Thing(x).run()",
        "thing": "class Thing(int):\n    def run(self): return self",
        "unused": "def unused(): return 1",
    }
    for name, text in {"first": lines, "other": others}.items():
        chosen = (changes.get(key, line) for key, line in text.items())
        (tmp_path / f"{name}.py").write_text("\n".join(chosen))
    files = {"avclaimtest": tmp_path / "first.py", "avcore.other": tmp_path / "other.py"}
    monkeypatch.setattr(fingerprints, "_source_of", files.get)
    start = claim(experiment=lambda: None)
    monkeypatch.setattr(start.experiment, "__module__", "avclaimtest")
    monkeypatch.setattr(start.experiment, "__qualname__", "experiment")
    return fingerprints.fingerprint(start)


@pytest.mark.parametrize(
    ("part", "text", "counts"),
    [
        ("start", '''"""Two."""  # why''', False),
        (
            "experiment",
            '''def experiment():\n    """Say."""\n    return (other.helper(limit))''',
            False,
        ),
        ("beside", "def beside(): return 2", False),
        ("unused", "def unused(): return 2", False),
        ("experiment", "def experiment(): return other.helper(2)", True),
        ("limit", "LIMIT = 4", True),
        ("helper", "def helper(x): return Thing(x).run() + 1", True),
        ("thing", "class Thing(int):\n    def run(self): return -self", True),
        ("loose", "print('other')", True),
    ],
)
def test_the_fingerprint_follows_what_the_experiment_uses(
    tmp_path, monkeypatch, part, text, counts
):
    before = printed(tmp_path, monkeypatch)
    assert (printed(tmp_path, monkeypatch, **{part: text}) != before) is counts


def test_of_a_module_that_is_passed_on_everything_counts(tmp_path, monkeypatch):
    uses = {"experiment": "def experiment(): return vars(other)"}
    before = printed(tmp_path, monkeypatch, **uses)
    assert printed(tmp_path, monkeypatch, **uses, unused="def unused(): return 2") != before


def test_the_fingerprints_of_the_catalogue_reach_their_networks():
    texts = fingerprints._Code().reached("avcore.papers.avc", "localisation_experiment")
    for place in ("nn.backbones:SoundStream", "training.loop:_update", "stage.looks:frog"):
        assert f"avcore.{place}" in texts
    assert "avcore.metrics.baselines:saliency" not in texts


def test_a_failed_write_leaves_the_last_record(tmp_path, monkeypatch):
    run(tmp_path, seeds=1)
    before = (tmp_path / "quick" / "T1.json").read_text()

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        run(tmp_path, seeds=2)
    assert (tmp_path / "quick" / "T1.json").read_text() == before
    assert [path.name for path in (tmp_path / "quick").iterdir()] == ["T1.json"]


def test_reading_records(tmp_path, monkeypatch):
    known = {"T1": claim(), "T2": claim(id="T2")}
    monkeypatch.setattr("avcore.claims.record.CLAIMS", known)
    monkeypatch.setattr("avcore.claims.catalogue.CLAIMS", known)
    monkeypatch.setenv("AVCORE_RESULTS", str(tmp_path))
    assert engine.load_record("T1", "quick") is None
    run(None, results_dir=None)
    assert engine.load_record("T1", "quick")["verdict"] == "reproduced"
    for scale in ("smoke", "quick", "full"):
        assert recorded("T1", scale)["scale"] == "quick"
    assert recorded("T2", "smoke") is None
    (tmp_path / "quick" / "T2.json").write_text("{")
    with pytest.warns(UserWarning, match=r"T2.json is damaged"):
        assert list(engine.load_records("quick")) == ["T1"]


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "huge"}, "unknown scale 'huge'; choose one of smoke, quick, full"),
        ({"seeds": 0}, "at least 1"),
        ({"seeds": [0, -1]}, "list of seeds"),
        ({"device": "gpu"}, "unknown device"),
        ({"one": claim(scales=("full",))}, "run at full, not quick"),
        ({"one": claim(metric="speed")}, "gives iou, other, but not speed"),
        ({"one": claim(experiment=lambda **_: {"iou": math.nan})}, "not a finite number"),
    ],
)
def test_wrong_requests_are_named_before_anything_is_lost(tmp_path, options, words):
    with pytest.raises(AvcoreError, match=words):
        run(tmp_path, **options)
    assert not list(tmp_path.rglob("*.json"))


def test_an_unknown_claim_is_named():
    with pytest.raises(AvcoreError, match=r"unknown claim 'Z9'; choose one of C7"):
        engine.reproduce(["Z9"])
    with pytest.raises(AvcoreError, match="unknown claim"):
        engine.load_record("../../etc", "quick")


def test_the_catalogue_is_well_formed():
    for claim_id, one in engine.CLAIMS.items():
        assert claim_id == one.id and one.sentence.endswith(".")
        assert one.treatment != one.baseline and set(one.scales) <= {"smoke", "quick", "full"}
