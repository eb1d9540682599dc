"""AVS on the published layout: building, training, resuming, scoring, the commands, bad input."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from avcore.cli import main
from avcore.data.avsbench import AVSBench
from avcore.nn.pvt import PVTConfig, PVTv2
from avcore.nn.vggish import VGGish
from avcore.nn.weights import fill
from avcore.papers.avs import AVSModel, Recipe, Segmented, listening, real
from avcore.papers.avs.small import FUSIONS, SmallEncoder
from avcore.papers.avs.training import prepared
from avcore.support import AvcoreError, CheckpointError
from avcore.training import TrainConfig
from avcore.training.checkpoint import write
from tests.avsbench_tree import thing, write_tree
from tests.pseudo_weights import pseudo_weights

SIZE = 32
ONCE = TrainConfig(
    steps=1, batch_size=2, learning_rate=1e-3, schedule="constant", device="cpu", progress=False
)


class Ear(nn.Module):
    """Stands in for VGGish, of which it has the shapes; it remembers what it hears in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6144), nn.Linear(6144, 128))

    @classmethod
    def from_official(cls, state_dict):
        ear = cls()
        fill(ear, state_dict, "this")
        return ear.eval()

    def forward(self, example):
        return self.layers(example).relu()


@pytest.fixture
def tiny(monkeypatch):
    """The published networks, shallow: VGGish as `Ear`, PVT-v2 with a block in each stage."""
    monkeypatch.setattr(listening, "VGGish", Ear)
    monkeypatch.setattr(listening, "PVTv2", partial(PVTv2, PVTConfig(depths=(1, 1, 1, 1))))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("avsbench")
    for setting in ("S4", "MS3"):
        write_tree(root, setting, {"train": 4, "val": 5, "test": 1}, size=SIZE)
    return root


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    """The checkpoint of a small run on S4."""
    path = tmp_path_factory.mktemp("run") / "s4.pt"
    train(listening.build("small"), tree, path)
    return path


def train(model, tree, checkpoint=None, setting="S4", size=SIZE, recipe=None, config=ONCE, **more):
    data = AVSBench(tree, setting, "train", size=size)
    config = replace(config, checkpoint=checkpoint)
    return real.train(model, data, config, recipe or Recipe(1), **more)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def command(tree, checkpoint, *more: str) -> int:
    words = ["train", "avs", "--root", str(tree), "--checkpoint", str(checkpoint)]
    small = ["--backbone", "small", "--size", str(SIZE), "--batch-size", "2", "--workers", "0"]
    return main([*words, *small, "--device", "cpu", *more])


def score(tree, *more: str) -> int:
    words = ["evaluate", "avs", "--root", str(tree), "--workers", "0", "--device", "cpu"]
    return main([*words, *map(str, more)])


def scores_in(text: str) -> dict[str, float]:
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: float(row[1]) for row in rows if len(row) == 2 and row[1][:1].isdigit()}


# --- training -----------------------------------------------------------------------------------


def test_the_commands_train_resume_and_score(tree, tmp_path, capsys):
    path = tmp_path / "s4.pt"
    assert command(tree, path, "--epochs", "2") == 0
    said = capsys.readouterr()
    assert "4 steps in" in said.out and "check S4 train" in said.err
    model, run = listening.load(real.best_path(path))
    assert (run["setting"], run["size"], run["batch_size"]) == ("S4", SIZE, 2)
    wanted = real.evaluate(model, AVSBench(tree, "S4", "val", SIZE))  # in batches of four, not two
    assert scores_in(said.out) == pytest.approx(wanted, abs=6e-5)
    first = path.read_bytes()
    assert command(tree, path, "--epochs", "2") == 0  # all is done already
    assert path.read_bytes() == first
    capsys.readouterr()
    assert score(tree, "--setting", "S4", "--split", "val", "--checkpoint", f"{path}.best") == 0
    assert scores_in(capsys.readouterr().out) == pytest.approx(wanted, abs=6e-5)
    assert score(tree, "--setting", "MS3", "--checkpoint", path) == 0
    assert "MS3 test" in capsys.readouterr().out
    more = ("--setting", "MS3", "--epochs", "1")
    assert command(tree, tmp_path / "ms3.pt", *more, "--start", str(path)) == 0
    assert command(tree, path, *more) == 2
    assert "of a run with setting=S4, not MS3" in capsys.readouterr().err


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(tree, tmp_path):
    config = replace(ONCE, steps=4, checkpoint_every=2)
    val = AVSBench(tree, "S4", "val", size=SIZE)
    whole, parts = (listening.build("small", seed=1) for _ in range(2))
    train(whole, tree, tmp_path / "whole.pt", config=config, validation=val)

    def stop(step: int, _: dict) -> None:
        if step == 3:
            raise KeyboardInterrupt

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(parts, tree, path, config=config, validation=val, on_step=stop)
    again = listening.build("small", seed=2)
    train(again, tree, path, config=config, validation=val)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    kept, expected = real.read_best(path), real.read_best(tmp_path / "whole.pt")
    assert kept["after"] == expected["after"]
    assert kept["scores"] == pytest.approx(expected["scores"])


def hears(**network):
    return lambda _: listening.Listening(
        listening.small_avs(),
        listening.SmallListener(),
        listening.Network(**{"backbone": "small", **network}),
    )


@pytest.mark.parametrize(
    ("make", "how", "said"),
    [
        (None, {"setting": "MS3"}, "setting=S4, not MS3"),
        (None, {"size": 64}, "size=32, not 64"),
        (None, {"recipe": Recipe(1, 0.5)}, "matching=0.0, not 0.5"),
        (None, {"recipe": Recipe(1, threshold=True)}, "threshold=False, not True"),
        (hears(backbone="resnet50"), {}, "backbone=small, not resnet50"),
        (hears(frozen=True), {}, "frozen=False, not True"),
        (lambda _: listening.build("small", fusion="addition"), {}, "fusion=TPAVI, not addition"),
        (lambda _: listening.build("small", tpavi_stages=[3]), {}, r"not \(3,\)"),
        (
            lambda path: listening.build("small", start=path),
            {},
            r"start=None, not s4.pt \([0-9a-f]{8}\)",
        ),
    ],
)
def test_only_the_same_run_is_resumed(tree, finished, make, how, said):
    before = finished.read_bytes()
    model = make(finished) if make else listening.build("small")
    with pytest.raises(CheckpointError, match=rf"s4.pt is of a run with .*{said}; choose another"):
        train(model, tree, finished, **how)
    assert finished.read_bytes() == before


def test_another_number_of_videos_is_another_run(tree, finished, tmp_path):
    fewer = write_tree(tmp_path, "S4", {"train": 3}, size=SIZE)
    with pytest.raises(CheckpointError, match="of a run with videos=4, not 3"):
        train(listening.build("small"), fewer, finished)


def test_the_best_epoch_is_kept(tree, tmp_path, monkeypatch):
    seen, coming = [], []

    def fake(model, data, workers):
        model.eval()
        seen.append(state_of(model))
        return {"miou": coming.pop(0)}

    def stop(step: int, _: dict) -> None:
        assert model.training
        if step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(real, "evaluate", fake)
    path, config = tmp_path / "run.pt", replace(ONCE, steps=6, checkpoint_every=2)
    how = {"config": config, "validation": AVSBench(tree, "S4", "val", size=SIZE)}
    model, coming = listening.build("small"), [0.2, 0.5]
    with pytest.raises(KeyboardInterrupt):
        train(model, tree, path, on_step=stop, **how)
    coming = [0.4]  # the best before the interruption counts
    train(listening.build("small"), tree, path, **how)
    assert len(seen) == 3
    kept = real.read_best(path)
    assert (kept["after"], kept["scores"]) == (4, {"miou": 0.5})
    best, run = listening.load(real.best_path(path))
    assert same(best.state_dict(), seen[1]) and not same(seen[1], seen[2])
    assert run["steps"] == 6 and not best.training
    with pytest.raises(CheckpointError, match="no training run to resume"):
        train(listening.build("small"), tree, real.best_path(path), config=config)
    write(real.best_path(path), {"settings": {}, "scores": {"miou": 0.9}})
    coming = [0.6]  # a file of another run does not count
    train(listening.build("small"), tree, path, **how)
    assert real.read_best(path)["scores"] == {"miou": 0.6}
    path.unlink()  # what an earlier run left is not this run's best
    coming = [0.1, 0.1, 0.1]
    train(listening.build("small"), tree, path, **how)
    assert real.read_best(path)["scores"] == {"miou": 0.1}
    real.best_path(path).unlink()  # as if stopped while the last epoch was scored
    coming = [0.3]
    model = listening.build("small")
    train(model, tree, path, **how)
    assert real.read_best(path)["after"] == 6 and not model.training
    with pytest.raises(AvcoreError, match="kept beside the checkpoint, but there is none"):
        train(model, tree, **how)


@pytest.mark.parametrize(
    ("setting", "more", "steps", "matching"),
    [
        ("S4", (), 30, 0.0),
        ("MS3", (), 60, 0.5),
        ("MS3", ("--epochs", "1", "--matching", "0.1"), 2, 0.1),
        ("MS3", ("--fusion", "no sound"), 60, 0.0),
    ],
)
def test_epochs_and_matching_are_the_published_ones(
    tree, tmp_path, monkeypatch, setting, more, steps, matching
):
    class Called(Exception):
        pass

    def fake(model, data, config, recipe, workers, validation):
        raise Called(config.steps, config.checkpoint_every, recipe.labelled, recipe.matching)

    monkeypatch.setattr(real, "train", fake)
    with pytest.raises(Called) as caught:
        command(tree, tmp_path / "x.pt", "--setting", setting, *more)
    assert caught.value.args == (steps, 2, 1 if setting == "S4" else 5, matching)


def test_the_help_says_what_follows_from_the_setting(capsys):
    main(["train", "avs", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "[S4: 15, MS3: 30]" in said and "[S4: 0, MS3: 0.5]" in said


def test_the_form_of_matching_can_be_chosen():
    assert real.recipe("MS3") == Recipe(5, 0.5)
    assert real.recipe("S4", "addition", 0.2, "euclidean", "visual") == Recipe(
        1, 0.2, "euclidean", "visual"
    )
    with pytest.raises(AvcoreError, match="unknown distance 'manhattan'"):
        real.recipe("MS3", distance="manhattan")
    with pytest.raises(AvcoreError, match="matching needs a network that hears: TPAVI or addition"):
        real.recipe("MS3", "no sound", 0.5)


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_trains(tree, fusion):
    model = listening.build("small", fusion=fusion, tpavi_stages=(1, 3))
    block = FUSIONS[fusion]
    assert {name: type(part) for name, part in model.model.tpavi.items()} == (
        {"1": block, "3": block} if block else {}
    )
    train(model, tree, setting="MS3", recipe=real.recipe("MS3", fusion))


def test_a_network_that_does_not_hear_needs_no_listener(tiny, recwarn):
    model = listening.build("resnet50", fusion="no sound")
    assert ["resnet50 starts from random weights" in str(w.message) for w in recwarn] == [True]
    assert model.listener is None
    with pytest.raises(AvcoreError, match="with no sound nothing is heard"):
        listening.build("resnet50", vggish="vggish.pth", fusion="no sound")


def test_public_weights_go_where_they_belong(tmp_path, tiny):
    encoder = listening.ResNet50().state_dict()
    torch.manual_seed(5)
    encoder = {k: torch.randn_like(v) if v.is_floating_point() else v for k, v in encoder.items()}
    public = {
        name.replace("layers.", "layer").replace(f"layer{name[7:8]}", f"layer{int(name[7]) + 1}")
        if name.startswith("layers.")
        else name: value
        for name, value in encoder.items()
        if not name.endswith("num_batches_tracked")  # as in the file of 2017
    }
    torch.save({**public, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet50.pth")
    said = r"vggish starts from random weights and learns along; download vggish"
    with pytest.warns(UserWarning, match=said):
        model = listening.build("resnet50", encoder=tmp_path / "resnet50.pth")
    for name, value in model.model.encoder.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, encoder[name]), name
    for convolution in (layer for head in model.model.heads for layer in head):
        assert convolution.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert convolution.bias.abs().max() > 0


def test_a_listener_with_public_weights_stays_as_it_is():
    ear = Ear()
    listening.Listening(listening.small_avs(), ear, listening.Network(frozen=True)).train()
    assert not ear.training and not any(p.requires_grad for p in ear.parameters())
    assert (
        listening.Listening(listening.small_avs(), ear, listening.Network())
        .train()
        .listener.training
    )


@pytest.mark.parametrize("backbone", ["resnet50", "pvt_v2_b5"])
@pytest.mark.filterwarnings("ignore:.* starts from random weights")
def test_the_published_networks_learn_and_vggish_stays(tree, tmp_path, tiny, monkeypatch, backbone):
    if backbone == "pvt_v2_b5":  # one of the two with the real listener
        monkeypatch.setattr(listening, "VGGish", VGGish)
    path = tmp_path / "vggish.pth"
    torch.save(listening.VGGish().state_dict(), path)
    model = listening.build(backbone, vggish=path)
    before = state_of(model)
    history = train(model, tree, setting="MS3", recipe=real.recipe("MS3"))
    assert history["matching"][0] > 0
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("listener."))
    for part in ("model.encoder.", "model.heads.", "model.tpavi.", "model.output."):
        names = [k for k in before if k.startswith(part)]
        assert any(not torch.equal(before[k], after[k]) for k in names), part


@pytest.mark.filterwarnings("ignore:.* starts from random weights")
def test_a_start_brings_all_weights_and_what_is_frozen(tree, finished, tmp_path, tiny):
    torch.save(Ear().state_dict(), tmp_path / "ear.pth")
    model, path = listening.build("pvt_v2_b5", vggish=tmp_path / "ear.pth"), tmp_path / "s4.pt"
    train(model, tree, path)
    started = listening.build("pvt_v2_b5", start=path)
    assert same(model.state_dict(), started.state_dict())
    assert started.network.frozen and not started.train().listener.training
    assert not any(parameter.requires_grad for parameter in started.listener.parameters())
    learning = listening.build("small", start=finished)
    assert not learning.network.frozen
    assert all(parameter.requires_grad for parameter in learning.listener.parameters())
    for more in ({"vggish": tmp_path / "ear.pth"}, {"encoder": path}):
        with pytest.raises(AvcoreError, match="a start brings all weights; leave out"):
            listening.build("pvt_v2_b5", start=path, **more)
    with pytest.raises(CheckpointError, match="backbone=pvt_v2_b5, not resnet50"):
        listening.build("resnet50", start=path)
    with pytest.raises(CheckpointError, match="fusion=TPAVI, not addition"):
        listening.build("pvt_v2_b5", start=path, fusion="addition")


# --- scores -------------------------------------------------------------------------------------


class Everything(nn.Module):
    """Marks every pixel, whatever is seen and heard."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(20.0))

    def forward(self, frames, heard):
        assert len(frames) == len(heard) <= 4 * 5  # never more than four videos
        return Segmented(self.bias.expand(len(frames), 1, *frames.shape[-2:]), [], [])


def test_scores_are_those_worked_out_by_hand(tree):
    found = real.evaluate(Everything(), AVSBench(tree, "S4", "val", size=SIZE))
    areas = np.array([[thing(n, t, SIZE, SIZE).mean() for t in range(5)] for n in range(4, 9)])
    f = 1.3 * areas / (0.3 * areas + 1)  # everything is recalled, as precise as the thing is large
    assert found["miou"] == pytest.approx(areas.mean(), abs=1e-6)
    assert found["area"] == pytest.approx(1 / areas.mean(), abs=1e-6)
    assert found["f_whole"] == pytest.approx(f.mean(), abs=1e-6)
    batches = (f[:4].mean() + f[4].mean()) / 2  # four videos, and the one that is left
    assert found["f"] == pytest.approx(batches, abs=1e-6)
    assert abs(batches - f.mean()) > 1e-4


def test_a_split_with_masks_of_first_frames_has_no_scores(tree, finished, capsys):
    data = AVSBench(tree, "S4", "train", size=SIZE)
    with pytest.raises(AvcoreError, match="all 5 frames; the split train of S4 has 1 for each"):
        real.evaluate(Everything(), data)
    assert score(tree, "--setting", "S4", "--split", "train", "--checkpoint", finished) == 2
    assert "the split train of S4 has 1" in capsys.readouterr().err


def test_the_authors_model_is_scored_with_its_listener(tree, tmp_path, tiny, capsys):
    weights, ear = pseudo_weights("avs_resnet50"), Ear()
    torch.save(weights, tmp_path / "avs.pth")
    torch.save(ear.state_dict(), tmp_path / "ear.pth")
    model = listening.official(tmp_path / "avs.pth", "resnet50", tmp_path / "ear.pth")
    data = AVSBench(tree, "MS3", "test", size=SIZE)
    with torch.no_grad():
        seen, sound = prepared(data[0].frames[None]), ear.eval()(data[0].heard)
        expected = AVSModel.from_official(weights)(seen, sound).logits
        torch.testing.assert_close(model(seen, data[0].heard).logits, expected)
    assert not any(part.training for part in model.modules())
    words = ["--setting", "MS3", "--size", SIZE, "--official", tmp_path / "avs.pth"]
    assert score(tree, *words, "--backbone", "resnet50", "--vggish", tmp_path / "ear.pth") == 0
    wanted = real.evaluate(model, data)
    assert scores_in(capsys.readouterr().out) == pytest.approx(wanted, abs=6e-5)
    assert score(tree, *words, "--backbone", "resnet50") == 2
    assert "--vggish to hear by" in capsys.readouterr().err
    torch.save({"model": weights}, tmp_path / "avs.pth")
    assert score(tree, *words, "--backbone", "resnet50", "--vggish", tmp_path / "ear.pth") == 2
    assert "avs.pth is not a state dict: 'model' is no tensor" in capsys.readouterr().err


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--setting", "S5"), 2, "unknown setting 'S5'"),
        (("--backbone", "alexnet"), 2, "unknown backbone 'alexnet'"),
        (("--backbone", "alexnet", "--root", "nowhere"), 2, "unknown backbone 'alexnet'"),
        (("--device", "abacus", "--root", "nowhere"), 2, "unknown device 'abacus'"),
        (("--learning-rate", "0", "--root", "nowhere"), 2, "learning_rate must be positive"),
        (("--fusion", "telepathy"), 2, "unknown fusion 'telepathy'; choose one of TPAVI, addition"),
        (("--fusion", "no sound", "--matching", "1"), 2, "matching needs a network that hears"),
        (("--data", "music"), 2, "unknown data 'music'"),
        (("--size", "100"), 2, "multiple of 32"),
        (("--size", "0"), 2, "Invalid value for '--size':"),
        (("--batch-size", "9"), 2, "a batch of 9 from only 4 videos"),
        (("--batch-size", "0"), 2, "Invalid value for '--batch-size':"),
        (("--workers", "-1"), 2, "Invalid value for '--workers':"),
        (("--epochs", "-3"), 2, "Invalid value for '--epochs':"),
        (("--epochs", "0"), 2, "Invalid value for '--epochs':"),
        (("--vggish", "nowhere.pth"), 2, "no public weights"),
        (("--start", "nowhere.pt"), 2, "there is no checkpoint at nowhere.pt"),
        (("--root", "nowhere"), 3, "nowhere"),
    ],
)
def test_bad_input_gets_one_sentence(tree, tmp_path, capsys, words, code, said):
    assert command(tree, tmp_path / "x.pt", *words) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert not (tmp_path / "x.pt").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give either --checkpoint or --official"),
        (("--checkpoint", "a.pt", "--official", "b.pth"), "give either --checkpoint or --official"),
        (("--checkpoint", "a.pt", "--backbone", "resnet50"), "leave out --backbone and --vggish"),
        (("--checkpoint", "a.pt"), "there is no checkpoint at a.pt"),
        (("--official", "b.pth"), "needs its --backbone, and --vggish"),
    ],
)
def test_what_is_scored_must_be_clear(tree, capsys, words, said):
    assert score(tree, "--setting", "S4", *words) == 2
    assert said in capsys.readouterr().err


def test_a_checkpoint_of_something_else_is_not_loaded(tmp_path):
    from avcore.training import save_checkpoint

    save_checkpoint(SmallEncoder(), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt is not of a training on AVSBench"):
        listening.load(tmp_path / "x.pt")


def test_a_missing_file_of_weights_says_where_to_get_it(tmp_path, tiny):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*; download vggish-10086976"):
        listening.build("resnet50", vggish=tmp_path / "none.pth")
    for content in ([1, 2], {"model": {}}):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match=r"is not a state dict.*; download resnet50-19c"):
            listening.build("resnet50", encoder=tmp_path / "x.pth", fusion="no sound")
    with pytest.raises(AvcoreError, match="choose one of small, resnet50, pvt_v2_b5"):
        listening.build("vgg")
    with pytest.raises(AvcoreError, match=r"the stages are .*, got \(4,\)"):
        listening.build("small", tpavi_stages=[4])
