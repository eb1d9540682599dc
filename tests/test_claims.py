"""The claims engine: paired, resumable, honest about few seeds, careful with its files."""

import json
import math
import os
import re
from collections import defaultdict
from dataclasses import replace

import pytest

from avcore import claims as engine
from avcore.claims import Claim, Reported, Side, load_records, recorded
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
        "treatment": Side("good", "iou"),
        "baseline": Side("bad", "iou"),
        "effect": 0.02,
        "planned": 5,
        "reported": (Reported("IoU, good", 51.4, "%", "its readme"),),
    }
    return Claim(**{**given, **changes})


@pytest.fixture(autouse=True)
def _forget_calls():
    calls.clear()


def sides(metric, treatment="good", baseline="bad"):
    return {"treatment": Side(treatment, metric), "baseline": Side(baseline, metric)}


def run(tmp_path, seeds=3, scale="quick", one=None, **options):
    one = one or claim()
    options = {"device": "cpu", "results_dir": tmp_path, **options}
    return engine.reproduce([one.id], scale, seeds, claims={one.id: one}, **options)[one.id]


# --- running and recording ------------------------------------------------------------------


def test_a_record_holds_what_the_reader_needs(tmp_path):
    record = run(tmp_path, seeds=3, one=claim(planned=5))
    written = json.loads((tmp_path / "quick" / "T1.json").read_text())
    assert {name: record[name] for name in written} == written
    assert record["id"] == "T1" and record["seeds"] == [0, 1, 2]
    assert record["differences"] == pytest.approx([0.2, 0.201, 0.202])
    assert record["mean_difference"] == pytest.approx(0.201)
    assert record["interval"] == pytest.approx([0.201 - 0.002484, 0.201 + 0.002484], abs=1e-6)
    assert record["confidence"] == 0.95 and record["p_value"] < 0.001
    assert record["treatment_values"] == pytest.approx([0.3, 0.311, 0.322])
    assert record["verdict"] == "not judged" and record["sign_test"] == 0.25
    assert record["treatment"] == {"variant": "good", "metric": "iou"}
    assert record["effect"] == 0.02 and record["planned"] == 5 and record["kind"] == "paper"
    assert record["reported"][0]["value"] == 51.4
    assert record["device"] == "cpu" and "torch" in record["versions"] and record["hardware"]
    assert record["baseline"]["metric"] == "iou" and record["direction"] == "higher"
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
    other = run(tmp_path, one=claim(id="T2", **sides("other"), direction="lower"))
    assert len(calls) == 6 and other["differences"] == [0, 0, 0]


def test_a_claim_that_fails_says_contradicted(tmp_path):
    wrong = claim(**sides("iou", "bad", "good"), explanation="it is bad")
    record = run(tmp_path, 5, one=wrong)
    assert record["verdict"] == "contradicted" and record["explanation"] == "it is bad"


def test_an_explanation_takes_its_numbers_from_the_record(tmp_path, monkeypatch):
    why = "From {baseline.low:.2f} by {difference.near:.3f} to {difference.far:.3f}: "
    why += "{difference.mean:+.3f}."
    one = claim(**sides("iou", "bad", "good"), explanation=why)
    filled = "From 0.30 by 0.200 to 0.202: −0.201."
    assert run(tmp_path, one=one)["explanation"] == filled
    later = {"T1": replace(one, explanation="!")}
    assert load_records("quick", tmp_path, claims=later)["T1"]["explanation"] == "!"
    assert one.explained([], []) == ""


def test_the_catalogue_types_no_measured_number():
    values = [defaultdict(lambda number=number: number) for number in (0.1, -0.2, 0.3)]
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
        lambda record: record.pop("fingerprint"),
        lambda record: record.update(runs=None),
    ],
)
def test_a_record_that_lacks_something_is_damaged(tmp_path, damage):
    path = tmp_path / "quick" / "T1.json"
    record = run(tmp_path)
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match=r"damaged: kept as T1.damaged-1.json.old"):
        assert run(tmp_path)["seeds"] == [0, 1, 2]
    assert len(calls) == 12


# --- evidence is replaced by evidence -------------------------------------------------------


def changed(monkeypatch, code="other"):
    """As if the code of all experiments had been changed."""
    monkeypatch.setattr("avcore.claims.engine.fingerprint", lambda claim: code)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "quick").iterdir())


def test_a_record_of_other_code_stays_while_the_new_one_has_fewer_seeds(tmp_path, monkeypatch):
    run(tmp_path, 5)
    before = (tmp_path / "quick" / "T1.json").read_bytes()
    changed(monkeypatch)
    begun = run(tmp_path, 4)
    assert begun["seeds"] == [0, 1, 2, 3] and begun["fingerprint"] == "other"
    assert files(tmp_path) == ["T1.json", "T1.partial.json"]
    assert (tmp_path / "quick" / "T1.json").read_bytes() == before


def test_the_new_record_takes_its_place_with_as_many_seeds(tmp_path, monkeypatch):
    old = run(tmp_path, 5)
    changed(monkeypatch)
    run(tmp_path, 4)
    calls.clear()
    new = run(tmp_path, [0, 1, 2, 3, 9])
    assert {seed for _, seed, *_ in calls} == {9, 0}  # and seed 0 again, with other threads
    assert files(tmp_path) == ["T1.json"] and new["seeds"] == [0, 1, 2, 3, 9]
    (before,) = new["superseded"]
    assert before == {
        name: old[name]
        for name in ("verdict", "mean_difference", "interval", "seeds", "effect", "commit")
    } | {"fingerprint": old["fingerprint"]}
    changed(monkeypatch, "third")
    verdicts = [each["fingerprint"] for each in run(tmp_path, 5)["superseded"]]
    assert verdicts == [old["fingerprint"], "other"]


def test_a_verdict_that_was_none_is_not_history(tmp_path, monkeypatch):
    run(tmp_path, 2)
    changed(monkeypatch)
    assert run(tmp_path, 2)["superseded"] == []


def test_a_failing_experiment_leaves_the_record_of_other_code(tmp_path, monkeypatch):
    run(tmp_path)
    changed(monkeypatch)
    failing = claim(experiment=lambda **_: {"iou": math.nan})
    monkeypatch.setattr(failing.experiment, "__qualname__", "experiment")
    with pytest.raises(AvcoreError, match="not a finite number"):
        run(tmp_path, one=failing)
    assert files(tmp_path) == ["T1.json"]


def test_half_of_other_code_is_set_aside_and_not_mixed_in(tmp_path, monkeypatch):
    run(tmp_path, 3)
    changed(monkeypatch)
    run(tmp_path, 1)
    changed(monkeypatch, "third")
    with pytest.warns(UserWarning, match=r"kept as T1.partial.from-other-code-1.json.old"):
        record = run(tmp_path, [3])
    assert record["seeds"] == [3] and record["fingerprint"] == "third"


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
    run(None, 5, results_dir=None)
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
        ({"one": claim(**sides("speed"))}, "gives iou, other, but not speed"),
        ({"one": claim(experiment=lambda **_: {"iou": math.nan})}, "not a finite number"),
    ],
)
def test_wrong_requests_are_named_before_anything_is_lost(tmp_path, options, words):
    with pytest.raises(AvcoreError, match=words):
        run(tmp_path, **options)
    assert not list(tmp_path.rglob("*.json"))


def test_an_unknown_claim_is_named():
    with pytest.raises(AvcoreError, match=r"unknown claim 'Z9'; the claims are C7"):
        engine.reproduce(["Z9"])
    with pytest.raises(AvcoreError, match="unknown claim"):
        engine.load_record("../../etc", "quick")


def test_the_catalogue_is_well_formed():
    for claim_id, one in engine.CLAIMS.items():
        assert claim_id == one.id and one.sentence.endswith(".")
        assert one.treatment != one.baseline and set(one.scales) <= {"smoke", "quick", "full"}
