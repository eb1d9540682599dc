"""Records: computed from their runs, careful with damaged, foreign and older files."""

import json
import math
import os

import pytest

from avcore import claims as engine
from avcore.claims import (
    Gate,
    Side,
    is_current,
    load_record,
    load_records,
    recorded,
    recorded_differences,
    recorded_values,
    registry,
)
from avcore.support import AvcoreError
from tests.pretended import calls, changed, claim, files, run

HISTORY = {
    "verdict": "reproduced", "mean_difference": 0.2, "interval": [0.1, 0.3], "seeds": [0, 1],
    "effect": 0.0, "fingerprint": "f00", "commit": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _forget_calls():
    calls.clear()


# --- damaged and foreign files --------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        '{"format": 1, "id": "T1"}',
        '{"format": 0}',
        '{"format": "2"}',
        '{"format": []}',
        "\xff",
        "[" * 100_000,
        '{"format": 2, "x": ' + "9" * 5_000 + "}",
    ],
)
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
        lambda record: record.update(runs={"a": 1}),
        lambda record: record["runs"][0].update(values=[1, 2]),
        lambda record: record["runs"][0].update(variant=["good"]),
        lambda record: record["runs"][0]["values"].update(iou=10**400),
        lambda record: record["runs"][0]["values"].update(iou=True),
        lambda record: record["runs"][0].update(seconds=None),
        lambda record: record["runs"][0].update(versions=[[]], device={}),
        lambda record: record.update(effect=-1),
        lambda record: record.update(effect="0.02"),
        lambda record: record.update(planned=True),
        lambda record: record.update(treatment="good"),
        lambda record: record.update(gates=[{"variant": "good"}]),
        lambda record: record.update(gates=None),
        lambda record: record.update(reported=[3]),
        lambda record: record.update(scale="full"),
        lambda record: record.update(scale=["quick"]),
        lambda record: record.update(id="T2"),
        lambda record: record.update(superseded=[{"verdict": "certain"}]),
        lambda record: record.update(superseded="reproduced"),
        lambda record: record.update(superseded=[record["runs"][0]]),
        lambda record: record.update(superseded=[{**HISTORY, "seeds": ["0"]}]),
        lambda record: record.update(superseded=[{**HISTORY, "mean_difference": math.nan}]),
        lambda record: record["runs"][0].update(versions={"torch": math.inf}),
        lambda record: record.update(repeat={"values": {}}),
        lambda record: record.update(fingerprint=None),
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


# --- what is computed is not trusted --------------------------------------------------------


def test_a_summary_that_was_tampered_with_is_computed_again(tmp_path):
    true = run(tmp_path, 5)
    path = tmp_path / "quick" / "T1.json"
    record = json.loads(path.read_text())
    record |= {"verdict": "contradicted", "differences": [-1, -1], "interval": [3, 1], "seeds": [7]}
    record |= {"mean_difference": "?", "p_value": None, "sign_test": {}, "seconds": -1, "noise": 1}
    del record["confidence"]
    path.write_text(json.dumps(record))
    assert load_records("quick", tmp_path, claims={"T1": claim()})["T1"] == true


def test_an_explanation_that_cannot_be_filled_stops_no_other_claim(tmp_path):
    known = {"T1": claim(explanation="{baseline_run[speed].mean}"), "T2": claim(id="T2")}
    run(tmp_path, 2, one=known["T2"])
    run(tmp_path, 2)
    with pytest.warns(UserWarning, match="the explanation of T1 asks for 'speed'"):
        assert list(load_records("quick", tmp_path, claims=known)) == ["T2"]


def test_earlier_verdicts_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "quick" / "T1.json"
    written = run(tmp_path, 2) | {"superseded": [HISTORY]}
    path.write_text(json.dumps(written))
    assert run(tmp_path, 3)["superseded"] == [HISTORY]


def test_damage_in_one_file_stops_no_other_claim(tmp_path):
    known = {each: claim(id=each) for each in ("T1", "T2", "T3")}
    run(tmp_path, 2, one=known["T2"])
    (tmp_path / "quick" / "T1.json").write_text("[" * 100_000)
    (tmp_path / "quick" / "T3.json").write_text('{"format": 2, "id": "T3", "runs": [{}]}')
    with pytest.warns(UserWarning, match=r"T[13].json is damaged"):
        assert list(load_records("quick", tmp_path, claims=known)) == ["T2"]
    records = engine.reproduce(None, "quick", 2, tmp_path, "cpu", print, known)
    assert list(records) == ["T1", "T2", "T3"] and len(calls) == 4


# --- other versions, other designs ----------------------------------------------------------


def test_a_record_of_a_future_version_is_left_alone(tmp_path):
    path = tmp_path / "quick" / "T1.json"
    path.parent.mkdir()
    path.write_text('{"format": 3, "unheard": "of"}')
    known = {"T1": claim(), "T2": claim(id="T2")}
    with pytest.warns(UserWarning, match=r"format 3, and this version of avcore reads up to 2"):
        assert load_records("quick", tmp_path, claims=known) == {}
    with pytest.raises(AvcoreError, match=r"1 of 2 claims failed\. T1: .*format 3"):
        engine.reproduce(None, "quick", 1, tmp_path, "cpu", claims=known)
    assert path.read_text() == '{"format": 3, "unheard": "of"}'
    assert files(tmp_path) == ["T1.json", "T2.json"] and len(calls) == 2


def test_a_record_of_an_earlier_design_is_not_judged_but_its_verdict_is_kept(tmp_path):
    run(tmp_path, 5)
    for changes in (
        {"effect": 0.05},
        {"planned": 6},
        {"first_seed": 5},
        {"gates": (Gate("good", "iou", above=0.0),)},
        {"treatment": Side("good", "other")},
        {"direction": "lower"},
    ):
        record = load_records("quick", tmp_path, claims={"T1": claim(**changes)})["T1"]
        assert record["verdict"] == "not judged" and "earlier design" in record["stale"]
        assert [each["verdict"] for each in record["superseded"]] == ["reproduced"]
        assert record["explanation"] == "" and record["holm"] is None
    other_words = claim(sentence="Better.", explanation="So.", reported=(), kind="ours")
    record = load_records("quick", tmp_path, claims={"T1": other_words})["T1"]
    assert record["verdict"] == "reproduced" and record["stale"] == ""
    assert record["sentence"] == "Better." and record["reported"] == [] and record["kind"] == "ours"


def test_after_a_change_of_design_fresh_seeds_take_the_place(tmp_path):
    old = run(tmp_path, 5)
    calls.clear()
    fresh = run(tmp_path, None, one=claim(effect=0.05, first_seed=5))
    assert fresh["seeds"] == [5, 6, 7, 8, 9] and len(calls) == 11
    assert [each["seeds"] for each in fresh["superseded"]] == [old["seeds"]]


FIRST_FORMAT = {
    "format": 1, "id": "T1", "paper": "a paper", "sentence": "Good is better.",
    "experiment": "tests.pretended:experiment", "treatment": "good", "baseline": "bad",
    "metric": "iou", "direction": "higher", "margin": 0.0, "reported": [], "explanation": "So.",
    "scale": "quick", "seeds": [0, 1], "treatment_values": [0.5, 0.6],
    "baseline_values": [0.1, 0.1], "differences": [0.4, 0.5], "mean_difference": 0.45,
    "interval": [0.4, 0.5], "confidence": 0.95, "sign_test": 0.5, "verdict": "reproduced",
    "seconds": 4.0, "device": "cpu", "hardware": "a CPU", "commit": "abc", "versions": {},
    "fingerprint": "f00",
    "runs": [
        {"variant": variant, "seed": seed, "values": {"iou": iou}, "seconds": 1.0,
         "device": "cpu", "hardware": "a CPU", "commit": "abc", "versions": {}}
        for variant, seed, iou in
        [("good", 0, 0.5), ("bad", 0, 0.1), ("good", 1, 0.6), ("bad", 1, 0.1)]
    ],
}  # fmt: skip


def test_a_record_of_the_first_format_is_shown_but_not_judged(tmp_path, monkeypatch):
    path = tmp_path / "quick" / "T1.json"
    path.parent.mkdir()
    path.write_text(json.dumps(FIRST_FORMAT))
    record = load_records("quick", tmp_path, claims={"T1": claim()})["T1"]
    assert record["differences"] == [0.4, 0.5] and record["verdict"] == "not judged"
    assert "earlier design" in record["stale"] and record["noise"] is None
    (history,) = record["superseded"]
    assert history["verdict"] == "reproduced" and history["seeds"] == [0, 1]
    changed(monkeypatch, "f00")  # the same hash by chance: it was another kind of hash
    assert run(tmp_path, 1)["superseded"] == [history] and len(calls) == 2
    assert json.loads(path.read_text()) == FIRST_FORMAT
    assert run(tmp_path, 2)["superseded"] == [history]
    assert json.loads(path.read_text())["format"] == 2 and files(tmp_path) == ["T1.json"]


@pytest.mark.parametrize("lacking", ["margin", "runs", "verdict", "metric", "interval"])
def test_a_record_of_the_first_format_that_lacks_something_is_damaged(tmp_path, lacking):
    path = tmp_path / "quick" / "T1.json"
    path.parent.mkdir()
    path.write_text(json.dumps({k: v for k, v in FIRST_FORMAT.items() if k != lacking}))
    with pytest.warns(UserWarning, match=r"T1.json is damaged"):
        assert load_records("quick", tmp_path, claims={"T1": claim()}) == {}


def test_the_records_of_the_book_can_be_read():
    for scale in ("quick", "full"):
        paths = engine.results_folder().glob(f"{scale}/*.json")
        assert load_records(scale).keys() == {path.stem for path in paths if path.stem.isalnum()}
        for record in load_records(scale).values():
            assert record["stale"] or "+dirty" not in record["commit"]


# --- the registry ---------------------------------------------------------------------------


def test_the_registry_tells_every_claim_and_its_outcome(tmp_path, monkeypatch):
    known = {"T1": claim(gates=(Gate("good", "iou", above="other"),)), "T2": claim(id="T2")}
    for place in ("record", "catalogue"):
        monkeypatch.setattr(f"avcore.claims.{place}.CLAIMS", known)
    monkeypatch.setitem(registry.__globals__, "CLAIMS", known)
    run(tmp_path, 5, one=known["T2"])
    told = registry(tmp_path / "site" / "claims.json", tmp_path)
    assert told == json.loads((tmp_path / "site" / "claims.json").read_text())
    first, second = told["claims"]
    assert first["outcomes"] == {} and first["gates"][0]["above"] == "other"
    assert first["effect"] == 0.02 and first["planned"] == 5 and first["kind"] == "paper"
    quick = second["outcomes"]["quick"]
    assert quick["verdict"] == "reproduced" and quick["current"] and quick["holm"]["survives"]
    assert "runs" not in quick and is_current(load_record("T2", "quick", tmp_path))


def test_a_record_of_other_code_is_not_current(tmp_path, monkeypatch):
    monkeypatch.setattr("avcore.claims.record.CLAIMS", {"T1": claim()})
    monkeypatch.setattr("avcore.claims.catalogue.CLAIMS", {"T1": claim()})
    changed(monkeypatch)
    run(tmp_path, 5)
    record = load_record("T1", "quick", tmp_path)
    assert record["verdict"] == "reproduced" and not is_current(record)


def test_recorded_values_are_those_of_current_runs_in_the_order_of_the_seeds():
    def made(variant, seed, **values):
        return {"variant": variant, "seed": seed, "values": values}

    runs = [made("a", 2, iou=0.2), made("b", 1, iou=0.9), made("a", 1, iou=0.1), made("a", 3, f=1)]
    assert recorded_values({"stale": "", "runs": runs}, "a", "iou") == [0.1, 0.2]
    assert recorded_values({"stale": "why", "runs": runs}, "a", "iou") == []
    assert recorded_values(None, "a", "iou") == []
    assert recorded_differences({"stale": "", "differences": [0.1, -0.2]}) == [0.1, -0.2]
    assert recorded_differences({"stale": "why", "differences": [0.1]}) == []
    assert recorded_differences(None) == []
