"""The training loop: it learns, repeats itself, resumes exactly and stops when it must."""

import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from avcore.support import AvcoreError, CheckpointError, MediaError, TrainingError
from avcore.training import (
    Loaded,
    Shuffled,
    TrainConfig,
    fit,
    load_checkpoint,
    pick_device,
    save_checkpoint,
    seeded,
    step_seed,
)
from avcore.training.batches import share_of

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


def test_a_joined_batch_is_cut_into_equal_parts():
    parts = [share_of({"x": torch.arange(6), "name": "a"}, rank, 3) for rank in range(3)]
    assert [part["x"].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(AvcoreError, match="shared evenly by 4 devices"):
        share_of(torch.arange(6), 0, 4)


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


def test_batches_that_run_out_are_named():
    once = (batch for batch in [small_data(4)])
    with pytest.raises(AvcoreError, match="ran out"):
        fit(small_model(), squared_error, once, CPU)


# --- checkpoints and resuming ---------------------------------------------------------------


class Stop(Exception):
    pass


def stop_after(last: int):
    def on_step(step, values):
        if step == last:
            raise Stop

    return on_step


SOURCES = {
    "shuffled": lambda: Shuffled(small_data(), 4),
    "loaded": lambda: Loaded(TensorDataset(*small_data(24)), 4),
    "loaded by workers": lambda: Loaded(TensorDataset(*small_data(24)), 4, workers=2),
    "list": lambda: list(zip(*(t.split(4) for t in small_data(24)), strict=True)),
    "loader": lambda: DataLoader(TensorDataset(*small_data(24)), batch_size=4, shuffle=True),
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


def test_loaded_batches_are_read_once_from_the_step_that_is_asked_for():
    data = Read(11)
    whole = [batch.tolist() for batch in map(Loaded(data, 4, seed=1), range(6))]
    assert Loaded(data, 4).per_epoch == 2 and len(data.seen) == 24
    assert len({*whole[0], *whole[1]}) == 8 and whole[:2] != whole[2:4]
    data.seen.clear()
    late = Loaded(data, 4, seed=1)
    assert [late(step).tolist() for step in (4, 5, 1)] == [whole[4], whole[5], whole[1]]
    assert data.seen == [*whole[4], *whole[5], *whole[1]]
    with pytest.raises(AvcoreError, match="a batch of 12 from only 11"):
        Loaded(data, 12)


def test_workers_end_with_their_batches():
    batches = Loaded(Read(8), 4, workers=1)
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
        Loaded(Broken(4), 2, workers=workers)(0)
    assert str(caught.value) == "a.wav: not a whole sound file"


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
                fit(model, squared_error, [small_data(4)], replace(CPU, checkpoint=f"{name}.pt"))
    assert not (tmp_path / "exploded").exists()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_run_is_not_resumed_with_other_settings(tmp_path):
    config = replace(CPU, checkpoint=tmp_path / "run.pt")
    fit(small_model(), squared_error, [small_data(4)], config)
    with pytest.raises(CheckpointError, match=r"learning_rate=0.05, not 0.1"):
        fit(small_model(), squared_error, [small_data(4)], replace(config, learning_rate=0.1))


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(small_model(), tmp_path / "a.pt", version=1)
    monkeypatch.setattr(torch, "save", lambda content, file: file.write(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(small_model(), tmp_path / "a.pt", version=2)
    assert load_checkpoint(small_model(), tmp_path / "a.pt") == {"version": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


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
    from avcore.training import Shuffled, TrainConfig, fit, seeded
    with seeded(3):
        model = nn.Linear(5, 1)
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    config = TrainConfig(3, learning_rate=0.1, device="cpu", checkpoint=sys.argv[1])
    def loss(model, batch):
        error = (model(batch[0]) - batch[1]).square().mean()
        return {"loss": error, "share": torch.tensor(len(batch[0]))}
    fit(model, loss, Shuffled((x, x.sum(1, keepdim=True)), 8), config)
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
