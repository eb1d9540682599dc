"""The claims engine: paired, resumable, honest about few seeds, careful with its files."""

import json
import math
import os
import re
from dataclasses import replace

import pytest
import torch

from avcore import claims as engine
from avcore.claims import Gate, Side, load_records
from avcore.support import AvcoreError
from tests.pretended import calls, changed, claim, experiment, run, sides


@pytest.fixture(autouse=True)
def _forget_calls():
    calls.clear()


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


def test_claims_share_runs_whatever_their_sides_words_and_effects(tmp_path):
    run(tmp_path, [0, 1])
    calls.clear()
    both = {"treatment": Side("good", "iou"), "baseline": Side("good", "other")}
    other = claim(id="T2", **both, effect=0.5, sentence="Other words.", paper="another")
    assert run(tmp_path, [0, 1], one=other)["seeds"] == [0, 1] and calls == []
    assert run(tmp_path, [1, 2], one=claim(id="T3"))["seeds"] == [1, 2]  # seed 0 was not asked for
    assert {seed for _, seed, *_ in calls} == {2}


def test_runs_of_another_scale_are_not_shared(tmp_path):
    run(tmp_path, 1)
    assert run(tmp_path, 1, "full")["scale"] == "full"
    assert [scale for *_, scale, _ in calls] == ["quick"] * 2 + ["full"] * 2


def test_two_metrics_of_one_run_are_two_sides(tmp_path):
    both = {"treatment": Side("good", "other"), "baseline": Side("good", "iou")}
    record = run(tmp_path, 2, one=claim(**both))
    assert calls == [("good", seed, "quick", "cpu") for seed in (0, 1)]
    assert record["differences"] == pytest.approx([0 - 0.3, 1 - 0.311])
    assert record["baseline"] == {"variant": "good", "metric": "iou"}


def test_the_planned_seeds_are_the_default(tmp_path):
    fresh = claim(first_seed=20)
    record = run(tmp_path, None, one=fresh)
    assert record["seeds"] == [20, 21, 22, 23, 24] and record["verdict"] == "reproduced"
    assert run(tmp_path, None, "smoke", one=fresh)["seeds"] == [20]
    assert run(tmp_path, 2, "full", one=fresh)["seeds"] == [20, 21]


def test_fewer_seeds_than_planned_are_not_judged(tmp_path):
    assert run(tmp_path, 7, one=claim(planned=8))["verdict"] == "not judged"
    assert run(tmp_path, 8, one=claim(planned=8))["verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("gate", "fails"),
    [
        (Gate("good", "iou", above=0.305), False),  # 0.300, 0.311, …: on average
        (Gate("good", "iou", above=0.305, every_run=True), True),
        (Gate("good", "iou", above=0.4), True),
        (Gate("bad", "iou", above="other"), True),
        (Gate("bad", "iou", below="other"), False),
        (Gate("third", "iou", below=0.2), False),  # a variant that is no side
        (Gate("third", "iou", above=0.2), True),
    ],
)
def test_a_claim_whose_gate_fails_is_not_testable_here(tmp_path, gate, fails):
    record = run(tmp_path, 5, one=claim(gates=(gate,)))
    assert record["verdict"] == ("not testable here" if fails else "reproduced")
    assert record["gates_failed"] == ([str(gate)] if fails else [])
    assert (record["holm"] is None) == fails


def test_a_gate_has_one_limit():
    for limits in ({}, {"above": 0.1, "below": 0.2}):
        with pytest.raises(AvcoreError, match="either `above` or `below`"):
            Gate("good", "iou", **limits)


def test_one_seed_is_run_again_with_other_threads(tmp_path):
    def noisy(variant, seed, scale, device):
        calls.append((variant, seed, torch.get_num_threads()))
        return {"iou": seed + 0.001 * torch.get_num_threads() + (variant == "good")}

    usual, other = torch.get_num_threads(), 2 if torch.get_num_threads() == 1 else 1
    one = claim(experiment=noisy)
    record = run(tmp_path, 5, one=one)
    assert len(calls) == 11 and calls[-1] == ("good", 0, other)
    assert record["repeat"]["values"]["iou"] == pytest.approx(1 + 0.001 * other)
    assert record["noise"]["seed"] == 0 and record["noise"]["threads"] == [usual, other]
    assert len(record["noise"]["hardware"]) == 2
    assert record["noise"]["spread"] == pytest.approx(0.001 * abs(usual - other))
    assert torch.get_num_threads() == usual and len(record["runs"]) == 10
    run(tmp_path, 5, one=one), run(tmp_path, 5, one=claim(id="T2", experiment=noisy))
    assert len(calls) == 11  # once for all claims with this treatment
    run(tmp_path, 5, one=claim(id="T3", experiment=noisy, **sides("iou", "bad", "good")))
    assert calls[11:] == [("bad", 0, other)]


def test_where_one_run_gives_both_sides_the_noise_is_of_their_difference(tmp_path):
    def noisy(variant, seed, scale, device):
        threads = torch.get_num_threads()
        return {"iou": 0.5 + 0.1 * threads, "area": 0.3 + 0.1 * threads + 0.01 * (threads == 1)}

    sides = {"treatment": Side("good", "iou"), "baseline": Side("good", "area")}
    noise = run(tmp_path, 5, one=claim(experiment=noisy, **sides))["noise"]
    assert noise["of"] == "difference" and noise["spread"] == pytest.approx(0.01)
    assert sorted(noise["values"]) == pytest.approx([0.19, 0.2])


def test_an_experiment_that_remembers_is_repeated_all_the_same(tmp_path):
    one = claim(experiment="tests.pretended:remembered")
    record = run(tmp_path, 5, one=one)
    assert record["noise"]["spread"] == pytest.approx(0.001)
    assert {each["values"]["process"] for each in record["runs"]} == {os.getpid()}
    assert record["repeat"]["values"]["process"] != os.getpid()


def test_a_repeated_run_that_fails_says_why_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETENDED", str(os.getpid()))
    one = claim(experiment="tests.pretended:fails_when_repeated")
    with pytest.raises(AvcoreError, match=r"T1: the repeated run of .* failed: .*not twice"):
        run(tmp_path, 5, one=one)
    record = load_records("quick", tmp_path, claims={"T1": one})["T1"]
    assert record["verdict"] == "reproduced" and record["noise"] is None


def test_the_number_of_threads_comes_back_after_a_failure(tmp_path):
    def fails(variant, seed, scale, device):
        torch.set_num_threads(3)
        raise AvcoreError("no")

    usual = torch.get_num_threads()
    with pytest.raises(AvcoreError, match="no"):
        run(tmp_path, one=claim(experiment=fails))
    assert torch.get_num_threads() == usual


def test_nothing_is_run_again_for_a_claim_that_is_not_judged(tmp_path):
    assert run(tmp_path, 4)["noise"] is None and len(calls) == 8
    assert run(tmp_path, 5, "smoke")["noise"] is None and len(calls) == 18


def test_holm_corrects_over_the_judged_claims_of_a_paper(tmp_path):
    known = {
        "T1": claim(),
        "T2": claim(id="T2", **sides("other")),
        "T3": claim(id="T3", planned=9),
        "T4": claim(id="T4", paper="another"),
    }
    records = engine.reproduce(None, "quick", 5, tmp_path, "cpu", claims=known)
    assert records["T2"]["verdict"] == "no effect that counts"
    assert records["T1"]["holm"]["claims"] == 2 and records["T1"]["holm"]["survives"]
    assert records["T1"]["holm"]["p_value"] == pytest.approx(2 * records["T1"]["p_value"])
    assert records["T2"]["holm"]["survives"] is None and records["T3"]["holm"] is None
    assert records["T4"]["holm"]["claims"] == 1
    alone = engine.reproduce(["T1"], "quick", 5, tmp_path, "cpu", claims=known)
    assert alone["T1"]["holm"]["claims"] == 2  # the others count though they were not run
    assert "holm" not in json.loads((tmp_path / "quick" / "T1.json").read_text())


def test_a_verdict_may_not_survive_the_correction(tmp_path):
    def weak(variant, seed, scale, device):
        return {"iou": (variant == "good") * [0.1, 0.3, 0.02, 0.2, 0.15][seed]}

    known = {f"T{k}": claim(id=f"T{k}", experiment=weak) for k in (1, 2)}
    records = engine.reproduce(None, "quick", 5, tmp_path, "cpu", claims=known)
    assert {each["verdict"] for each in records.values()} == {"reproduced"}
    assert not any(each["holm"]["survives"] for each in records.values())


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
    for each in engine.CLAIMS.values():
        read = {each.treatment.metric, each.baseline.metric}
        read |= set(re.findall(r"_run\[([^]]*)\]", each.explanation))
        values = [dict.fromkeys(read, number) for number in (0.1, -0.2, 0.3)]
        assert each.explained(values, values) or not each.explanation
        fixed = re.sub(r"\{[^}]*\}", "", each.explanation)
        # the threshold in the name of a score is not measured
        assert not re.search(r"(?<!@)\d[.]\d", fixed), (each.id, fixed)


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


# --- evidence is of committed code ----------------------------------------------------------


@pytest.mark.parametrize("commit", ["abc+dirty", None])
def test_the_book_s_own_results_take_committed_code_only(tmp_path, monkeypatch, commit):
    monkeypatch.setattr("avcore.environment.commit", lambda: commit)
    monkeypatch.setattr("avcore.claims.engine.BOOK_RESULTS", tmp_path / "own")
    for folder in (tmp_path / "own", tmp_path / "x" / ".." / "own"):
        with pytest.raises(AvcoreError, match="committed code only: commit the changes"):
            run(folder)
    assert calls == [] and not (tmp_path / "own").exists()
    assert run(tmp_path / "elsewhere")["commit"] == commit
    run(tmp_path / "own", 1, "smoke")  # no evidence anyway


def test_a_tree_that_is_edited_during_the_runs_is_noticed(tmp_path, monkeypatch):
    commits = iter(["abc", "abc", "abc", "abc+dirty"])
    monkeypatch.setattr("avcore.environment.commit", lambda: next(commits))
    monkeypatch.setattr("avcore.claims.engine.BOOK_RESULTS", tmp_path)
    with pytest.raises(AvcoreError, match="committed code only"):
        run(tmp_path)
    kept = json.loads((tmp_path / "quick" / "T1.json").read_text())
    assert [each["commit"] for each in kept["runs"]] == ["abc"]


def test_code_that_changes_during_a_run_is_not_recorded(tmp_path, monkeypatch):
    def edits(variant, seed, scale, device):
        changed(monkeypatch, f"{variant} {seed}")
        return experiment(variant, seed, scale, device)

    with pytest.raises(AvcoreError, match="was changed since the runs began"):
        run(tmp_path, one=claim(experiment=edits))
    assert not list(tmp_path.rglob("*.json"))


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "huge"}, "unknown scale 'huge'; choose one of smoke, quick, full"),
        ({"seeds": 0}, "at least 1"),
        ({"seeds": [0, -1]}, "list of seeds"),
        ({"seeds": [0.5]}, "list of seeds"),
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"direction": "up"}, "higher, lower, equal"),
        ({"effect": -1}, "from 0 up"),
        ({"direction": "equal", "effect": 0.0}, "wants a margin"),
        ({"kind": "theirs"}, "paper, ours, by construction"),
        ({"treatment": "good"}, r"each a Side\(variant, metric\)"),
        ({"treatment": Side("bad", "iou")}, "compares bad: iou with itself"),
        ({"planned": 0}, "planned is a whole number from 1 up, not 0"),
        ({"first_seed": -1}, "first_seed is a whole number from 0 up"),
        ({"id": "../x"}, "letters and digits"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(changes, words):
    with pytest.raises(AvcoreError, match=words):
        claim(**changes)


def test_an_explanation_may_name_other_values_of_the_runs(tmp_path):
    why = "{treatment_run[other].mean:.1f} and {baseline_run[other].far:.1f}"
    assert run(tmp_path, 3, one=claim(explanation=why))["explanation"] == "1.0 and 2.0"
    with pytest.raises(AvcoreError, match="explanation of T1 asks for 'speed'"):
        claim(explanation="{treatment_run[speed].mean}").explained([{"iou": 1}], [{"iou": 0}])


def test_no_ids_are_no_claims(tmp_path):
    assert engine.reproduce([], "quick", 5, tmp_path, "cpu", claims={"T1": claim()}) == {}
    assert not list(tmp_path.iterdir())


def test_an_unknown_claim_is_named():
    with pytest.raises(AvcoreError, match=r"unknown claim 'Z9'; choose one of C7"):
        engine.reproduce(["Z9"])
    with pytest.raises(AvcoreError, match="unknown claim"):
        engine.load_record("../../etc", "quick")


def test_the_catalogue_is_well_formed():
    for claim_id, one in engine.CLAIMS.items():
        assert claim_id == one.id and one.sentence.endswith(".")
        assert one.effect > 0 and set(one.scales) <= {"smoke", "quick", "full"}
        assert one.planned >= 5 and one.paper[:4] != "ours"
