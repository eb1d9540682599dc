"""The training loop: it learns, repeats itself, resumes exactly and stops when it must."""

import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from avcore.support import AvcoreError, CheckpointError, MediaError, TrainingError
from avcore.training import (
    Ordered,
    Shuffled,
    TrainConfig,
    best_path,
    fit,
    load_checkpoint,
    pick_device,
    predict,
    read_best,
    save_checkpoint,
    seeded,
    shuffled,
    step_seed,
)
from avcore.training.launch import synchronised

pytest.importorskip("lightning_fabric")

CPU = TrainConfig(steps=12, batch_size=4, learning_rate=0.05, device="cpu", progress=False)


def small_model(dropout: float = 0.5) -> nn.Module:
    with seeded(3):
        return nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
        )


def small_data(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 5, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1, keepdim=True)


def squared_error(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# --- it learns, the same every time ---------------------------------------------------------


def test_it_learns_and_repeats_itself_bit_for_bit():
    config = replace(CPU, steps=60, weight_decay=0.01, clip_norm=5.0, warmup=5)
    runs = []
    for _ in range(2):
        model = small_model(dropout=0.1)
        runs.append((model, fit(model, squared_error, Shuffled(small_data(), 16), config)))
    history = runs[0][1]
    assert history["loss"] == runs[1][1]["loss"] and same_weights(runs[0][0], runs[1][0])
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history.steps == list(range(1, 61)) and history.seconds > 0


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(small_model(), squared_error, Shuffled(small_data(), 4), CPU)
    assert torch.equal(torch.rand(3), expected)


def test_the_seed_changes_the_run():
    losses = []
    for seed in (0, 1):
        config = replace(CPU, seed=seed)
        losses.append(fit(small_model(), squared_error, Shuffled(small_data(), 4), config)["loss"])
    assert losses[0] != losses[1]


def test_the_learning_rate_warms_up_and_falls():
    config = TrainConfig(steps=100, warmup=10)
    factors = [config.rate_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == factors[9] == factors[10] == 1
    assert factors[55] == pytest.approx(0.5) and factors[-1] < 0.001
    assert replace(config, schedule="constant").rate_factor(99) == 1


def test_a_given_optimizer_follows_the_schedule():
    model, seen = small_model(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04)
    config = replace(CPU, schedule="constant", warmup=4)
    fit(
        model,
        squared_error,
        Shuffled(small_data(), 4),
        config,
        optimizer,
        on_step=lambda step, values: seen.append(optimizer.param_groups[0]["lr"]),
    )
    assert seen[:5] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.04])


def test_every_value_of_the_loss_is_recorded():
    def loss(model, batch):
        error = squared_error(model, batch)
        return {"loss": 2 * error, "error": error}

    history = fit(small_model(), loss, Shuffled(small_data(), 4), replace(CPU, log_every=5))
    assert history.steps == [5, 10, 12]
    assert history["loss"] == pytest.approx([2 * e for e in history["error"]])


# --- batches --------------------------------------------------------------------------------


def test_shuffled_batches_cover_an_epoch_once_in_a_new_order():
    source = Shuffled({"x": torch.arange(12)}, 4, seed=5)
    epochs = [torch.cat([source(3 * e + i)["x"] for i in range(3)]) for e in range(2)]
    assert all(sorted(epoch.tolist()) == list(range(12)) for epoch in epochs)
    assert not torch.equal(*epochs)
    assert torch.equal(source(4)["x"], Shuffled({"x": torch.arange(12)}, 4, seed=5)(4)["x"])


@dataclass(frozen=True)
class Pair:
    x: torch.Tensor
    y: torch.Tensor


def test_batches_may_be_dataclasses():
    def loss(model, pair):
        return squared_error(model, (pair.x, pair.y))

    config = replace(CPU, steps=3)
    kept = fit(small_model(), loss, Shuffled(Pair(*small_data()), 4), config)
    assert (
        kept.values == fit(small_model(), squared_error, Shuffled(small_data(), 4), config).values
    )


def test_each_process_has_its_part_of_the_joined_batch():
    whole = Shuffled(torch.arange(13), 6, seed=1)
    for step in range(5):
        parts = [whole.share(rank, 3)(step) for rank in range(3)]
        assert torch.equal(torch.cat(parts), whole(step)) and {len(p) for p in parts} == {2}
    with pytest.raises(AvcoreError, match="batches of 6 cannot be shared evenly by 4 devices"):
        whole.share(0, 4)


def test_the_short_form_takes_batch_and_seed_from_the_configuration():
    config = replace(CPU, batch_size=5, seed=9)
    short = shuffled(torch.arange(20), config)
    assert torch.equal(short(6), Shuffled(torch.arange(20), 5, 9)(6))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.zeros(3), "a batch of 4 from only 3 samples"),
        (TensorDataset(torch.zeros(3)), "a batch of 4 from only 3 samples"),
        ((torch.zeros(8), torch.zeros(9)), r"the same number of samples, got \[8, 9\]"),
    ],
)
def test_data_that_make_no_batch_are_named(data, words):
    with pytest.raises(AvcoreError, match=words):
        Shuffled(data, 4)


def test_a_function_of_the_step_gets_its_own_generator():
    drawn = []

    def batch(step, generator):
        drawn.append((step, torch.rand(1, generator=generator).item()))
        return small_data(4)

    for _ in range(2):
        fit(small_model(), squared_error, batch, replace(CPU, steps=3))
    assert drawn[:3] == drawn[3:] and len({value for _, value in drawn}) == 3


def test_step_seeds_do_not_collide():
    seeds = {
        step_seed(s, t, u, r) for s in range(4) for t in range(50) for u in (0, 1) for r in (0, 1)
    }
    assert len(seeds) == 4 * 50 * 2 * 2


@pytest.mark.parametrize("batches", [[small_data(4)], (b for b in [small_data(4)])])
def test_batches_that_no_step_can_be_asked_for_are_named(batches):
    with pytest.raises(AvcoreError, match=r"give a function of \(step, generator\), or Shuffled"):
        fit(small_model(), squared_error, batches, CPU)


# --- checkpoints and resuming ---------------------------------------------------------------


class Stop(Exception):
    pass


def stop_after(last: int):
    def on_step(step, values):
        if step == last:
            raise Stop

    return on_step


def drawn(step, generator):
    x = torch.randn(4, 5, generator=generator)
    return x, x.sum(1, keepdim=True)


SOURCES = {
    "tensors": lambda: Shuffled(small_data(), 4),
    "data set": lambda: Shuffled(TensorDataset(*small_data(24)), 4),
    "data set read by workers": lambda: Shuffled(TensorDataset(*small_data(24)), 4, workers=2),
    "function": lambda: drawn,
}


@pytest.mark.parametrize("source", SOURCES)
def test_interrupted_and_resumed_equals_uninterrupted(source, tmp_path):
    whole, history = small_model(), None
    history = fit(whole, squared_error, SOURCES[source](), CPU)
    config = replace(CPU, checkpoint=tmp_path / "run.pt", checkpoint_every=4)
    with pytest.raises(Stop):
        fit(small_model(), squared_error, SOURCES[source](), config, on_step=stop_after(9))
    resumed = small_model()
    again = fit(resumed, squared_error, SOURCES[source](), config)
    assert same_weights(whole, resumed)
    assert again.values == history.values and again.steps == history.steps
    finished = small_model()
    assert fit(finished, squared_error, SOURCES[source](), config).values == history.values
    assert same_weights(whole, finished)


class Read:
    """A data set of so many numbers that remembers which were read."""

    def __init__(self, count: int) -> None:
        self.count, self.seen = count, []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        self.seen.append(index)
        return index


def test_a_data_set_is_read_once_from_the_step_that_is_asked_for():
    data = Read(11)
    whole = [batch.tolist() for batch in map(Shuffled(data, 4, seed=1), range(6))]
    assert Shuffled(data, 4).per_epoch == 2 and len(data.seen) == 24
    assert len({*whole[0], *whole[1]}) == 8 and whole[:2] != whole[2:4]
    assert whole == [Shuffled(torch.arange(11), 4, seed=1)(step).tolist() for step in range(6)]
    data.seen.clear()
    late = Shuffled(data, 4, seed=1)
    assert [late(step).tolist() for step in (4, 5, 1)] == [whole[4], whole[5], whole[1]]
    assert data.seen == [*whole[4], *whole[5], *whole[1]]


def test_a_process_reads_nothing_but_its_share():
    data = Read(11)
    parts = [Shuffled(data, 4, seed=1).share(rank, 2) for rank in (0, 1)]
    for step in range(4):
        data.seen.clear()
        wanted = Shuffled(torch.arange(11), 4, seed=1)(step).tolist()
        assert parts[1](step).tolist() == wanted[2:] == data.seen
        assert parts[0](step).tolist() == wanted[:2]


class Noisy(Read):
    """Items with a random part, as an augmentation draws it."""

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, torch.rand(1).item()

    @staticmethod
    def collate(items: list) -> torch.Tensor:
        return torch.tensor(items, dtype=torch.float64)


def test_what_items_draw_follows_from_seed_and_step():
    torch.manual_seed(0)
    whole = [Shuffled(Noisy(8), 4, seed=2)(step) for step in range(4)]
    assert torch.equal(torch.rand(1), torch.manual_seed(0) and torch.rand(1))
    assert len({row[1].item() for batch in whole for row in batch}) == 16  # anew in every epoch
    by_workers = Shuffled(Noisy(8), 4, seed=2, workers=2)
    assert all(torch.equal(by_workers(step), whole[step]) for step in (1, 2, 3))
    halves = [Shuffled(Noisy(8), 4, seed=2).share(rank, 2)(3) for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), whole[3])
    assert not torch.equal(Shuffled(Noisy(8), 4, seed=3)(0), whole[0])


def test_batches_in_order_are_read_once_to_the_last():
    data = Read(5)
    assert [batch.tolist() for batch in Ordered(data, 2)] == [[0, 1], [2, 3], [4]]
    assert data.seen == [0, 1, 2, 3, 4] and len(Ordered(data, 2)) == 3
    assert [b["x"].tolist() for b in Ordered({"x": torch.arange(3)}, 2)] == [[0, 1], [2]]
    assert [b.tolist() for b in Ordered(Read(3), 2, workers=1)] == [[0, 1], [2]]


def test_batches_travel_to_other_processes():
    data = TensorDataset(torch.arange(9))
    batches = Shuffled(data, 4)
    batches(0)
    again = pickle.loads(pickle.dumps(batches))
    assert torch.equal(again(1)[0], batches(1)[0])


def test_workers_end_with_their_batches():
    batches = Shuffled(Read(8), 4, workers=1)
    batches(0)
    (worker,) = multiprocessing.active_children()
    gc.disable()  # it must not take the collector to end them
    try:
        del batches
        assert not worker.is_alive()
    finally:
        gc.enable()


class Broken(Read):
    def __getitem__(self, index: int) -> int:
        raise MediaError("a.wav: not a whole sound file")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_worker_cannot_read_is_one_sentence(workers):
    with pytest.raises(MediaError) as caught:
        Shuffled(Broken(4), 2, workers=workers)(0)
    assert str(caught.value) == "a.wav: not a whole sound file"


def test_after_an_error_the_same_step_can_be_asked_for_again():
    data = Read(4)
    batches = Shuffled(data, 2)
    data.__class__ = Broken
    with pytest.raises(MediaError):
        batches(0)
    data.__class__ = Read
    assert torch.equal(batches(0), Shuffled(torch.arange(4), 2)(0))


def test_weights_travel_with_their_notes(tmp_path):
    model, other = small_model(), nn.Sequential(*small_model())
    with torch.no_grad():
        other[0].weight.zero_()
    save_checkpoint(model, tmp_path / "a.pt", classes=["bell", "frog"], scale="smoke")
    assert load_checkpoint(other, tmp_path / "a.pt") == {
        "classes": ["bell", "frog"],
        "scale": "smoke",
    }
    assert same_weights(model, other)


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_files_that_are_not_ours_are_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tmp_path / "text.pt").write_text("not a checkpoint")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"model": Bomb()}, tmp_path / "bomb.pt")
    torch.save(model.state_dict(), tmp_path / "foreign.pt")
    save_checkpoint(nn.Linear(2, 2), tmp_path / "other.pt")
    save_checkpoint(model, tmp_path / "cut.pt")
    cut = (tmp_path / "cut.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(cut[: len(cut) // 2])
    for name in ("text", "empty", "bomb", "foreign", "other", "cut", "absent"):
        with pytest.raises(CheckpointError, match=name) as caught:
            load_checkpoint(model, tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)
        if name != "absent":
            with pytest.raises(CheckpointError):
                fit(
                    model,
                    squared_error,
                    lambda step, generator: small_data(4),
                    replace(CPU, checkpoint=f"{name}.pt"),
                )
    assert not (tmp_path / "exploded").exists()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_run_is_not_resumed_with_other_settings(tmp_path):
    config = replace(CPU, checkpoint=tmp_path / "run.pt")
    fit(small_model(), squared_error, lambda step, generator: small_data(4), config)
    with pytest.raises(CheckpointError, match=r"learning_rate=0.05, not 0.1"):
        fit(
            small_model(),
            squared_error,
            lambda step, generator: small_data(4),
            replace(config, learning_rate=0.1),
        )


def test_everything_that_differs_is_named(tmp_path):
    config = replace(CPU, checkpoint=tmp_path / "run.pt")
    ours = {"task": "a", "size": 32}
    fit(small_model(), squared_error, drawn, config, identity=ours)
    fit(small_model(), squared_error, drawn, config, identity=ours)
    words = r"run.pt is of a run with seed=0, not 1 and task=a, not b; choose another path or"
    with pytest.raises(CheckpointError, match=words):
        other = replace(config, seed=1)
        fit(small_model(), squared_error, drawn, other, identity={"task": "b", "size": 32})
    with pytest.raises(CheckpointError, match="task=a, not None and size=32, not None"):
        fit(small_model(), squared_error, drawn, config)


def test_a_finished_run_can_be_lengthened_but_not_shortened(tmp_path):
    config = replace(CPU, schedule="constant", checkpoint=tmp_path / "run.pt")
    whole, parts = small_model(), small_model()
    history = fit(whole, squared_error, drawn, replace(config, checkpoint=None, steps=20))
    fit(small_model(), squared_error, drawn, config)
    longer = fit(parts, squared_error, drawn, replace(config, steps=20))
    assert same_weights(whole, parts) and longer.values == history.values
    with pytest.raises(CheckpointError, match="steps=20, not 12"):
        fit(small_model(), squared_error, drawn, config)


def test_a_longer_cosine_rises_to_where_it_is_at_that_step(tmp_path):
    config, rates = replace(CPU, checkpoint=tmp_path / "run.pt"), []
    fit(small_model(), squared_error, drawn, config)
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)

    def watch(step, values):
        rates.append(optimizer.param_groups[0]["lr"])

    longer = replace(config, steps=24)
    fit(model, squared_error, drawn, longer, optimizer, watch)
    assert rates == pytest.approx([longer.rate_factor(step) for step in range(12, 24)])
    assert rates[0] == pytest.approx(0.5)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("write failed")])
def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tmp_path, monkeypatch, error):
    config = replace(CPU, checkpoint=tmp_path / "run.pt", checkpoint_every=4)

    def full(content, file):
        file.write(b"half")
        raise error

    def fill_the_disk(step, values):
        if step == 4:
            monkeypatch.setattr(torch, "save", full)

    config = replace(config, steps=8)
    words = r"run.pt could not be written \(.*; the last one there is whole"
    with pytest.raises(CheckpointError, match=words):
        fit(small_model(), squared_error, drawn, config, on_step=fill_the_disk)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
    whole, resumed = small_model(), small_model()
    fit(whole, squared_error, drawn, replace(config, checkpoint=None))
    fit(resumed, squared_error, drawn, config)
    assert same_weights(whole, resumed)


def test_what_killed_trainings_left_is_removed(tmp_path):
    ours = [".run.pt.abcd12_3.tmp", ".run.pt.best.abcd12_3.tmp"]
    others = [".run.pt.tmp", ".other.pt.abcd12_3.tmp", "run.pt.abcd12_3.tmp", ".run.pt.more.a.tmp"]
    for name in (*ours, *others):
        (tmp_path / name).write_bytes(b"half")
    fit(small_model(), squared_error, drawn, replace(CPU, checkpoint=tmp_path / "run.pt"))
    assert {path.name for path in tmp_path.iterdir()} == {"run.pt", *others}


@pytest.mark.parametrize("part", ["settings", "history", "scaler", "step"])
def test_a_checkpoint_without_one_of_its_parts_is_damaged(tmp_path, part):
    path = tmp_path / "run.pt"
    fit(small_model(), squared_error, drawn, replace(CPU, checkpoint=path))
    content = torch.load(path, weights_only=True)
    del content[part]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"run\.pt is damaged: a part of it is missing"):
        fit(small_model(), squared_error, drawn, replace(CPU, checkpoint=path))


# --- scores on the way ------------------------------------------------------------------------


def scored(values: dict[int, float], seen: list | None = None):
    """A function that evaluates to given scores, one after the other; it notes the weights."""
    queue = list(values)

    def evaluate(model):
        assert not model.training and not torch.is_grad_enabled()
        if seen is not None:
            seen.append({name: value.clone() for name, value in model.state_dict().items()})
        torch.rand(100)  # what an evaluation draws must not change the training
        return {"iou": queue.pop(0), "area": 1.0}

    return evaluate


def test_a_run_that_is_scored_is_the_run_that_is_not():
    plain, watched = small_model(), small_model()
    fit(plain, squared_error, drawn, CPU)
    history = fit(watched, squared_error, drawn, CPU, evaluate=scored([0.1] * 3), evaluate_every=5)
    assert same_weights(plain, watched)
    assert history.scored == [5, 10, 12] and history.scores["iou"] == [0.1] * 3
    assert history.scores["area"] == [1.0] * 3


@pytest.mark.parametrize("kept", [True, False])
def test_the_model_ends_with_the_best_weights(tmp_path, kept):
    config, seen = replace(CPU, checkpoint=tmp_path / "run.pt" if kept else None), []
    model, last = small_model(), small_model()
    how = {"evaluate": scored([0.2, float("nan"), 0.5, 0.4], seen), "evaluate_every": 3}
    fit(model, squared_error, drawn, config, best="iou", **how)
    assert all(torch.equal(seen[2][name], value) for name, value in model.state_dict().items())
    fit(last, squared_error, drawn, CPU)
    assert not same_weights(model, last)
    if kept:  # the checkpoint has the last weights, the file beside it the best
        found = read_best(config.checkpoint)
        assert (found["step"], found["scores"]) == (9, {"iou": 0.5, "area": 1.0})
        load_checkpoint(model, best_path(config.checkpoint))
        assert not model.training and same_weights(last, _loaded(config.checkpoint))


def _loaded(path) -> nn.Module:
    model = small_model()
    load_checkpoint(model, path)
    return model


def test_scores_are_known_before_the_checkpoint_is_written(tmp_path):
    config = replace(CPU, checkpoint=tmp_path / "run.pt", checkpoint_every=4)
    how = {"evaluate_every": 4, "best": "iou"}
    with pytest.raises(Stop):
        evaluate = scored([0.3, 0.2])
        fit(
            small_model(),
            squared_error,
            drawn,
            config,
            None,
            stop_after(9),
            evaluate=evaluate,
            **how,
        )
    history = fit(small_model(), squared_error, drawn, config, evaluate=scored([0.1]), **how)
    assert history.scores["iou"] == [0.3, 0.2, 0.1] and read_best(config.checkpoint)["step"] == 4
    best_path(config.checkpoint).unlink()  # lost: what is there now is scored, and kept
    fit(small_model(), squared_error, drawn, config, evaluate=scored([0.1]), **how)
    assert read_best(config.checkpoint)["step"] == 12


def test_what_another_run_left_beside_the_checkpoint_does_not_count(tmp_path):
    config = replace(CPU, checkpoint=tmp_path / "run.pt")
    fit(small_model(), squared_error, drawn, config, evaluate=scored([0.9]), best="iou")
    (tmp_path / "run.pt").unlink()
    fit(small_model(), squared_error, drawn, config, evaluate=scored([0.1]), best="iou")
    assert read_best(config.checkpoint)["scores"]["iou"] == 0.1


def test_a_score_that_is_not_there_is_named():
    with pytest.raises(AvcoreError, match="no score 'f' to choose by; choose one of iou, area"):
        fit(small_model(), squared_error, drawn, CPU, evaluate=scored([0.1]), best="f")
    with pytest.raises(AvcoreError, match="to choose by 'f', a function that evaluates is wanted"):
        fit(small_model(), squared_error, drawn, CPU, best="f")


# --- predictions ------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_predictions_are_joined_and_the_mode_is_restored(workers):
    model, (x, y) = small_model(), small_data(7)
    model.train()
    model[1].eval()  # frozen by hand

    def function(model, batch):
        assert not model.training and not torch.is_grad_enabled()
        return {"out": model(batch[0]), "pair": (batch[1], batch[1] * 2)}

    found = predict(model, TensorDataset(x, y), function, batch_size=3, workers=workers)
    assert model.training and model[3].training and not model[1].training
    with torch.no_grad():
        expected = model.eval()(x)
    torch.testing.assert_close(found["out"], expected)
    assert torch.equal(found["pair"][1], 2 * y)
    in_memory = predict(model, Pair(x, y), lambda model, batch: batch, batch_size=3)
    assert torch.equal(in_memory.x, x) and torch.equal(in_memory.y, y)


def test_nothing_to_predict_is_named():
    with pytest.raises(AvcoreError, match="no data to predict"):
        predict(nn.Identity(), torch.zeros(0, 3), lambda model, batch: batch)
    with pytest.raises(AvcoreError, match="predictions are tensors, got str"):
        predict(nn.Identity(), torch.zeros(1, 3), lambda model, batch: "a")


# --- when it must stop ----------------------------------------------------------------------


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_the_run(poison, tmp_path):
    calls = []

    def loss(model, batch):
        calls.append(None)
        value = squared_error(model, batch)
        if len(calls) == 7:  # sqrt has no finite derivative at zero
            return value * torch.nan if poison == "loss" else (value * 0).sqrt()
        return value

    config = replace(CPU, checkpoint=tmp_path / "run.pt", checkpoint_every=1)
    model = small_model()
    with pytest.raises(TrainingError, match=r"at step 7; try a lower learning rate"):
        fit(model, loss, Shuffled(small_data(), 4), config)
    kept = small_model()
    load_checkpoint(kept, tmp_path / "run.pt")
    assert all(p.isfinite().all() for p in kept.parameters())
    pairs = zip(kept.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "at least 1"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"precision": "8"}, "unknown precision '8'"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"seed": -1}, "must not be negative"),
    ],
)
def test_a_wrong_configuration_is_named(change, words):
    with pytest.raises(AvcoreError, match=words):
        replace(CPU, **change)


@pytest.mark.parametrize("value", [np.float64(0.5), {"a": [np.zeros(3)]}, Path("a")])
def test_what_could_not_be_read_again_is_not_written(tmp_path, value):
    path = tmp_path / "a.pt"
    save_checkpoint(small_model(), path, score=0.5, notes=[1, "two", None, torch.ones(2)])
    with pytest.raises(CheckpointError, match=r"score=.* is neither a plain value nor a tensor"):
        save_checkpoint(small_model(), path, score=value)
    assert load_checkpoint(small_model(), path)["score"] == 0.5  # the old one
    torch.save({"format": "avcore checkpoint 1"}, path)
    with pytest.raises(CheckpointError, match="is damaged: there are no weights in it"):
        load_checkpoint(small_model(), path)


def test_devices_are_checked():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(AvcoreError, match="unknown device 'gpu9'"):
        pick_device("gpu9")
    with pytest.raises(AvcoreError, match="no device cuda:99"):
        pick_device("cuda:99")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_trains_on_cuda_in_mixed_precision(tmp_path):
    config = replace(CPU, device="cuda", precision="bf16-mixed", checkpoint=tmp_path / "run.pt")
    history = fit(small_model(), squared_error, Shuffled(small_data(), 4), config)
    assert len(history["loss"]) == 12


# --- several processes ----------------------------------------------------------------------

DDP_SCRIPT = """
    import os, sys, torch
    from torch import nn
    from torch.utils.data import TensorDataset
    from avcore.training import Shuffled, TrainConfig, fit, seeded
    with seeded(3):
        model = nn.Linear(5, 1)
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    config = TrainConfig(3, learning_rate=0.1, device="cpu", checkpoint=sys.argv[1])
    def loss(model, batch):
        error = (model(batch[0]) - batch[1]).square().mean()
        return {"loss": error, "share": torch.tensor(len(batch[0]))}
    seen = []
    class Watched(TensorDataset):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)
    def evaluate(model):
        rank = torch.distributed.get_rank()
        return {"rank": rank, "weight": model.weight[0, 0], "read": len(seen)}
    batches = Shuffled(Watched(x, x.sum(1, keepdim=True)), 8)
    how = {"evaluate": evaluate, "evaluate_every": 2, "best": "weight"}
    fit(model, loss, batches, config, **how)
    torch.save(seen, sys.argv[1] + f".seen{torch.distributed.get_rank()}")
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads may still hold tensors, and now and then abort a normal exit
"""


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(DDP_SCRIPT))
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, str(script), str(tmp_path / "two.pt")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]

    with seeded(3):
        one, two = nn.Linear(5, 1), nn.Linear(5, 1)
    x = small_data()[0]
    config = replace(CPU, steps=3, learning_rate=0.1)
    history = fit(one, squared_error, Shuffled((x, x.sum(1, keepdim=True)), 8), config)
    load_checkpoint(two, tmp_path / "two.pt")
    assert torch.allclose(one.weight, two.weight, atol=1e-6)
    values = torch.load(tmp_path / "two.pt", weights_only=True)["history"]["values"]
    assert values["loss"] == pytest.approx(history["loss"], rel=1e-5)
    assert values["share"] == [4, 4, 4]  # each process had its half of the joined batch
    kept = torch.load(tmp_path / "two.pt", weights_only=True)["history"]
    assert kept["scored"] == [2, 3] and kept["scores"]["rank"] == [0, 0]  # the main process alone
    assert kept["scores"]["read"] == [8, 12]
    seen = [torch.load(tmp_path / f"two.pt.seen{rank}") for rank in (0, 1)]
    order = [Shuffled(torch.arange(30), 8)(step).tolist() for step in range(3)]
    assert seen[0] == [i for batch in order for i in batch[:4]]  # neither reads the other's share
    assert seen[1] == [i for batch in order for i in batch[4:]]


def test_batch_normalisation_is_synchronised_over_several_gpus():
    for world, kind in ((2, "cuda"), (2, "cpu"), (1, "cuda")):
        fabric = SimpleNamespace(world_size=world, device=torch.device(kind))
        model = small_model()
        changed = synchronised(model, fabric)
        assert isinstance(changed[1], nn.SyncBatchNorm) == ((world, kind) == (2, "cuda"))
        assert changed is model and same_weights(changed, small_model())
        with torch.no_grad():  # on the CPU it does what it did
            torch.testing.assert_close(
                changed.eval()(small_data()[0]), small_model().eval()(small_data()[0])
            )
