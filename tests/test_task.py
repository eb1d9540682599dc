"""The pattern of a paper: settings by key, phases, what a checkpoint knows, data that are made."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from avcore.papers import TASKS, find_task
from avcore.support import AvcoreError, CheckpointError
from avcore.training import (
    Parts,
    Phase,
    Preset,
    Reading,
    Task,
    TrainConfig,
    best_path,
    configure,
    evaluate_task,
    load_task,
    predict,
    read_best,
    seeded,
    train_task,
)
from avcore.training.runs import begun_path
from avcore.training.settings import known_keys

pytest.importorskip("lightning_fabric")


@dataclass(frozen=True)
class Network:
    width: int = 3
    weights: Path | None = None
    backbone: Path | None = None  # brings a part alone


@dataclass(frozen=True)
class Points:
    count: int = 12
    noise: float = 0.0
    names: tuple[str, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Recipe:
    power: float = 2.0
    steps_of: tuple[int, ...] = (1,)
    absolute: bool = False


CONFIG = TrainConfig(steps=4, batch_size=4, device="cpu", progress=False)


def build(network, seed):
    with seeded(seed):
        model = nn.Linear(network.width, 1)
    if network.weights is not None:
        model.load_state_dict(torch.load(network.weights))
    return model


def data(options, root, split, reading):
    """Made, not read: there is no use for a root."""
    seed = ("train", "val", "test").index(split)
    x = torch.randn(options.count, 3, generator=torch.Generator().manual_seed(seed))
    if reading.progress:
        reading.progress(split, 1.0)
    return {"x": x, "y": x.sum(1, keepdim=True) + options.noise}


def loss(model, batch, recipe):
    return {"loss": ((model(batch["x"]) - batch["y"]).abs() ** recipe.power).mean()}


def evaluate(model, loader):
    error = predict(model, loader, lambda model, batch: (model(batch["x"]) - batch["y"]).abs())
    return {"closeness": -error.mean().item(), "batches": float(len(loader))}


FAKE = Task(
    "fake",
    {
        "plain": Preset((Phase(CONFIG, Recipe()),), Network(), Points()),
        "two": Preset(
            (Phase(CONFIG, Recipe(1.0), "first"), Phase(CONFIG, Recipe(), epochs=2)),
            Network(),
            Points(),
        ),
    },
    build,
    data,
    loss,
    evaluate,
    best="closeness",
    batch=5,
    trained=lambda network: ("weights",),
)


# --- settings ---------------------------------------------------------------------------------


def test_settings_go_where_their_key_is():
    given = {"learning_rate": "2e-3", "width": "5", "noise": 1, "power": "1", "clip_norm": "none"}
    run = configure(FAKE, "plain", given)
    (phase,) = run.phases
    assert (phase.config.learning_rate, phase.config.clip_norm) == (2e-3, None)
    assert (run.network, run.data, phase.recipe) == (Network(5), Points(noise=1.0), Recipe(1.0))
    assert type(run.data.noise) is float and configure(FAKE, "plain") == FAKE.presets["plain"]


def test_a_key_may_mean_all_phases_or_one():
    first, second = configure(FAKE, "two", {"batch_size": 2, "first.batch_size": 3}).phases
    assert (first.config.batch_size, second.config.batch_size) == (3, 2)
    first, second = configure(FAKE, "two", {"training.power": 3.0}).phases
    assert (first.recipe.power, second.recipe.power) == (1.0, 3.0)


def test_steps_take_the_place_of_epochs():
    assert configure(FAKE, "two", {"training.steps": 7}).phases[1].epochs == 0
    assert configure(FAKE, "two", {"first.steps": 7}).phases[1].epochs == 2
    both = configure(FAKE, "plain", {"steps": 7, "epochs": 3}).phases[0]
    assert both.epochs == 3


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("absolute", "true", True),
        ("absolute", "No", False),
        ("steps_of", "1, 2", (1, 2)),
        ("steps_of", "(3,)", (3,)),
        ("span", "(0.5, 2)", (0.5, 2.0)),
        ("names", 'dog, "railroad car, train wagon"', ("dog", "railroad car, train wagon")),
        ("names", "(clock) tick,dog (far)", ("(clock) tick", "dog (far)")),
        ("names", "", ()),
        ("weights", "a/b.pt", Path("a/b.pt")),
        ("weights", "none", None),
        ("seed", "-0", 0),
    ],
)
def test_text_is_read_as_the_type_of_its_key(key, text, value):
    run = configure(FAKE, "plain", {key: text})
    found = {
        part.name: getattr(owner, part.name)
        for owner in (run.network, run.data, run.phases[0].recipe, run.phases[0].config)
        for part in fields(owner)
    }
    assert found[key] == value


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": "wide"}, "width wants a whole number, got 'wide'"),
        ({"width": 2.5}, "width wants a whole number, got 2.5"),
        ({"width": True}, "width wants a whole number, got True"),
        ({"noise": "none"}, "noise wants a number, got 'none'"),
        ({"clip_norm": "x"}, "clip_norm wants a number or none, got 'x'"),
        ({"absolute": "1"}, "absolute wants true or false, got '1'"),
        ({"steps_of": "1;2"}, "steps_of wants a whole number or several with commas, got '1;2'"),
        ({"names": '"dog'}, "names wants a word or several with commas, got '\"dog'"),
        ({"span": "0.5"}, "span wants 2 values with commas, each a number, got '0.5'"),
        ({"span": (1, 2, 3)}, r"span wants 2 values .*, got \(1, 2, 3\)"),
        ({"weights": 3}, "weights wants a path or none, got 3"),
        ({"schedule": 3}, "schedule wants a word, got 3"),
        ({"depth": 3}, "unknown key 'depth'; choose one of count, noise, names, span, width, "),
        ({"third.steps": 3}, r"unknown key 'third.steps'; choose one of .*first.steps"),
    ],
)
def test_wrong_settings_are_one_sentence(settings, said):
    with pytest.raises(AvcoreError, match=said) as caught:
        configure(FAKE, "two", settings)
    assert "\n" not in str(caught.value)


def test_unknown_names_list_what_there_is():
    with pytest.raises(AvcoreError, match="unknown preset of fake 'big'; choose one of plain, two"):
        configure(FAKE, "big")
    with pytest.raises(AvcoreError, match="unknown paper 'fake'; choose one of avs, denseav"):
        find_task("fake")


@pytest.mark.parametrize("name", TASKS)
def test_every_key_of_a_paper_means_one_thing(name):
    task = find_task(name)
    assert task.name == name
    for preset in task.presets.values():
        first = next(iter(task.presets.values()))
        assert (type(preset.network), type(preset.data)) == (type(first.network), type(first.data))
        keys = known_keys(preset)
        assert len(keys) == len(set(keys)) and len({p.name for p in preset.phases}) == len(
            preset.phases
        )


# --- training and scoring ---------------------------------------------------------------------


def test_a_preset_trains_resumes_and_is_scored(tmp_path):
    path, said = tmp_path / "run.pt", []
    reading = Reading(progress=lambda what, done: said.append(what))
    trained = train_task(FAKE, "two", None, {"checkpoint": path}, reading)
    assert said == ["train", "val"] and list(trained.histories) == ["first", "training"]
    history = trained.histories["training"]
    assert history.steps[-1] == 6 and history.scored == [3, 6]  # after both epochs
    assert history.scores["batches"] == [3, 3]  # 12 samples, five each
    assert trained.histories["first"].scored == []  # the last phase is chosen from
    model, run = load_task(FAKE, best_path(path))
    assert {**run, "x": 0}.items() >= {
        "task": "fake", "preset": "two", "phase": "training", "samples": 12, "seed": 0,
        "noise": 0.0, "power": 2.0, "first.power": 1.0, "first.steps": 4,
    }.items()  # fmt: skip
    again = train_task(FAKE, "two", None, {"checkpoint": path})
    assert list(again.histories) == ["training"] and torch.equal(again.model.weight, model.weight)
    scores = evaluate_task(FAKE, best_path(path), split="val", device="cpu")
    assert scores == pytest.approx(read_best(path)["scores"])
    worse = evaluate_task(FAKE, path, settings={"noise": "9"}, device="cpu")
    assert worse["closeness"] < scores["closeness"] - 5


def test_a_run_without_a_checkpoint_ends_with_its_best_weights():
    def lucky(model, loader):
        seen.append(model.weight.clone())
        return {"closeness": [1.0, 3.0, 2.0][len(seen) - 1]}

    seen = []
    trained = train_task(replace(FAKE, evaluate=lucky), "plain", settings={"epochs": 3})
    assert torch.equal(trained.model.weight, seen[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"noise": 0.5}, "noise=0.0, not 0.5"),
        ({"count": 16}, "count=12, not 16 and samples=12, not 16"),
        ({"power": 3.0}, "power=2.0, not 3.0"),
        ({"seed": 1}, "seed=0, not 1"),
    ],
)
def test_a_checkpoint_resumes_no_other_run(tmp_path, settings, said):
    path = tmp_path / "run.pt"
    train_task(FAKE, "plain", None, {"checkpoint": path})
    with pytest.raises(CheckpointError, match=rf"of a run with {said}"):
        train_task(FAKE, "plain", None, {"checkpoint": path, **settings})


class FromFiles(dict):
    files = "12345678"  # which they are


def test_a_training_goes_on_with_the_same_files_alone(tmp_path, monkeypatch):
    path, task = tmp_path / "run.pt", replace(FAKE, data=lambda *given: FromFiles(data(*given)))
    train_task(task, "plain", None, {"checkpoint": path})
    train_task(task, "plain", None, {"checkpoint": path})
    monkeypatch.setattr(FromFiles, "files", "87654321")
    with pytest.raises(CheckpointError, match=r"files=\['12345678'.* not \['87654321'"):
        train_task(task, "plain", None, {"checkpoint": path})


def test_batches_that_are_too_small_are_named():
    with pytest.raises(AvcoreError, match="fake wants a batch_size of at least 5"):
        configure(replace(FAKE, least=5), "plain", {"batch_size": 4})


def test_a_file_of_weights_is_known_by_what_is_in_it(tmp_path):
    path, weights = tmp_path / "run.pt", tmp_path / "start.pt"
    torch.save(nn.Linear(3, 1).state_dict(), weights)
    given = {"checkpoint": path, "weights": weights}
    train_task(FAKE, "plain", None, given)
    weights.rename(tmp_path / "moved.pt")
    elsewhere = tmp_path / "elsewhere" / "start.pt"
    elsewhere.parent.mkdir()
    (tmp_path / "moved.pt").rename(elsewhere)
    train_task(FAKE, "plain", None, {**given, "weights": elsewhere})  # the same file
    model, run = load_task(FAKE, path)  # and it is not needed to load
    assert run["weights"].startswith("start.pt (") and model.weight.shape == (1, 3)
    torch.save(nn.Linear(3, 1).state_dict(), elsewhere)
    with pytest.raises(CheckpointError, match=r"weights=start.pt \(\w{8}\), not start.pt \(\w{8}"):
        train_task(FAKE, "plain", None, {**given, "weights": elsewhere})


def test_what_is_scored_must_be_trained(tmp_path):
    for settings in ({}, {"backbone": tmp_path / "a.pt"}):
        with pytest.raises(AvcoreError, match=r"no trained network: .* with weights=FILE$"):
            evaluate_task(FAKE, "plain", settings=settings)
    torch.save(nn.Linear(3, 1).state_dict(), tmp_path / "a.pt")
    found = evaluate_task(FAKE, "plain", settings={"weights": tmp_path / "a.pt"}, device="cpu")
    assert found["batches"] == 3
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        evaluate_task(FAKE, tmp_path / "none.pt")


def test_a_path_is_a_file_even_if_a_preset_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_task(FAKE, "plain", None, {"checkpoint": "plain"})
    assert evaluate_task(FAKE, Path("plain"), device="cpu")["batches"] == 3
    with pytest.raises(AvcoreError, match="the preset plain has no trained network"):
        evaluate_task(FAKE, "plain")


@pytest.mark.parametrize(
    ("paper", "preset", "files"),
    [
        ("avs", "s4-resnet50", {"official", "start"}),
        ("denseav", "published", {"official"}),
        ("csol", "published", set()),
        ("ier", "music", set()),
        ("multisensory", "shift", {"start"}),
        ("multisensory", "voxceleb", set()),
    ],
)
def test_only_files_of_whole_networks_count_as_trained(paper, preset, files):
    task = find_task(paper)
    network = task.presets[preset].network
    assert set(task.trained(network)) == files <= {part.name for part in fields(network)}
    with pytest.raises(AvcoreError, match=f"{preset} has no trained network") as caught:
        evaluate_task(task, preset)
    assert set(re.findall(r"(\w+)=FILE", str(caught.value))) == files


def test_a_checkpoint_of_another_paper_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    train_task(FAKE, "plain", None, {"checkpoint": path})
    with pytest.raises(CheckpointError, match=r"run.pt is of a training of fake, not of other"):
        load_task(replace(FAKE, name="other"), path)
    with pytest.raises(AvcoreError, match="unknown key of the data 'width'; choose one of count"):
        evaluate_task(FAKE, path, settings={"width": 4})


# --- phases that see different data, and note what they find at their beginning ------------------


def parts(options, root, split, reading):
    whole = data(options, root, split, reading)
    half = {name: value[:6] for name, value in whole.items()}
    return Parts(whole=whole, half=half)


def begin(model, data, phase):
    """Doubles the weights, and notes how far the model is from each point."""
    if phase.name == "first":
        return None
    with torch.no_grad():
        model.weight *= 2
        noise = torch.randn(1)
        return {"far": (model(data["whole"]["x"]) - data["whole"]["y"]).abs() + noise, "plain": 3}


def lesson(data, notes, phase):
    if phase.name == "first":
        return data[phase.part]
    whole = data["whole"]
    return lambda step, generator: {
        name: value[torch.randint(12, (4,), generator=generator)]
        for name, value in {**whole, "y": whole["y"] + notes["far"]}.items()
    }


def scored(model, loader):
    return evaluate(model, loader["whole"]) | {"halves": float(loader["half"].count)}


NOTED = replace(
    FAKE,
    presets={
        "two": Preset(
            (
                Phase(CONFIG, Recipe(1.0), "first", epochs=2, part="half"),
                Phase(CONFIG, Recipe(), epochs=2, part="whole"),
            ),
            Network(),
            Points(),
        )
    },
    data=parts,
    evaluate=scored,
    begin=begin,
    lesson=lesson,
)


def test_phases_learn_from_their_part_and_their_notes(tmp_path):
    whole = train_task(NOTED, "two")
    first, last = whole.histories.values()
    assert first.steps[-1] == 2 and last.steps[-1] == 6  # an epoch of half the data has one batch
    assert last.scores["halves"] == [6, 6]
    for stop in range(1, 9):
        calls, path = [], tmp_path / f"{stop}.pt"

        def interrupted(model, batch, recipe, calls=calls, stop=stop):
            calls.append(None)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return loss(model, batch, recipe)

        with pytest.raises(KeyboardInterrupt):
            train_task(replace(NOTED, loss=interrupted), "two", None, {"checkpoint": path})
        assert begun_path(path).exists() == (stop > 2)
        again = train_task(NOTED, "two", None, {"checkpoint": path})
        assert torch.equal(again.model.weight, whole.model.weight)
        assert list(again.histories) == (["first", "training"] if stop < 3 else ["training"])
    scores = evaluate_task(NOTED, best_path(path), split="val", device="cpu")
    assert scores == pytest.approx(read_best(path)["scores"])
    assert load_task(NOTED, path)[1]["samples"] == {"whole": 12, "half": 6}


def test_notes_of_another_run_are_refused(tmp_path):
    path = tmp_path / "run.pt"
    train_task(NOTED, "two", None, {"checkpoint": path})
    path.unlink()
    with pytest.raises(CheckpointError, match=r"run.pt.begun is of a run with power=2.0, not 3.0"):
        train_task(NOTED, "two", None, {"checkpoint": path, "training.power": 3.0})
    content = torch.load(begun_path(path))
    torch.save({name: content[name] for name in ("format", "settings")}, begun_path(path))
    with pytest.raises(CheckpointError, match=r"run.pt.begun is damaged: a part of it is missing"):
        train_task(NOTED, "two", None, {"checkpoint": path})


def test_a_task_without_notes_keeps_none(tmp_path):
    train_task(FAKE, "two", None, {"checkpoint": tmp_path / "run.pt"})
    assert not list(tmp_path.glob("*.begun"))
