"""AVS on the published layout: building, training, resuming, scoring, the commands, bad input."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from avcore.cli import main
from avcore.data.sets.avsbench import AVSBench
from avcore.nn.pvt import PVTConfig, PVTv2
from avcore.nn.vggish import VGGish
from avcore.nn.weights import fill
from avcore.papers.avs import AVSModel, Recipe, Segmented, listening
from avcore.papers.avs import model as avs_model
from avcore.papers.avs.small import FUSIONS, SmallEncoder
from avcore.papers.avs.task import TASK
from avcore.papers.avs.training import prepared, total_loss
from avcore.support import AvcoreError, CheckpointError
from avcore.training import (
    Ordered,
    best_path,
    configure,
    load_task,
    read_best,
    train_task,
)
from tests.avsbench_tree import thing, write_tree
from tests.pseudo_weights import pseudo_weights

SIZE = 32
ONCE = {
    "steps": 1, "batch_size": 2, "learning_rate": 1e-3, "size": SIZE, "device": "cpu",
    "progress": False,
}  # fmt: skip


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
    monkeypatch.setattr(avs_model, "PVTv2", partial(PVTv2, PVTConfig(depths=(1, 1, 1, 1))))


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
    train(tree, path)
    return path


def train(tree, checkpoint=None, preset="s4-small", **settings):
    settings = {**ONCE, **settings}
    return train_task(TASK, preset, tree, {**settings, "checkpoint": checkpoint})


def build(backbone="small", seed=0, **options):
    return listening.build(listening.Network(backbone, **options), seed)


def evaluate(model, data):
    return TASK.evaluate(model, Ordered(data, TASK.batch))


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def command(tree, checkpoint, *settings: str, preset="s4-small", more=()) -> int:
    words = ["train", "avs", "--root", str(tree), "--checkpoint", str(checkpoint)]
    chosen = (f"size={SIZE}", "batch_size=2", *settings)
    sets = [word for setting in chosen for word in ("--set", setting)]
    return main([*words, "--preset", preset, "--workers", "0", "--device", "cpu", *sets, *more])


def score(tree, *more: str, **settings: object) -> int:
    words = ["evaluate", "avs", "--root", str(tree), "--workers", "0", "--device", "cpu"]
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return main([*words, *map(str, more), *sets])


def scores_in(text: str) -> dict[str, float]:
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: float(row[1]) for row in rows if len(row) == 2 and row[1][:1].isdigit()}


# --- training -----------------------------------------------------------------------------------


def test_the_commands_train_resume_and_score(tree, tmp_path, capsys):
    path = tmp_path / "s4.pt"
    assert command(tree, path, "epochs=2") == 0
    said = capsys.readouterr()
    assert "4 steps in" in said.out and "check S4 train" in said.err
    model, run = load_task(TASK, best_path(path))
    assert (run["setting"], run["size"], run["batch_size"]) == ("S4", SIZE, 2)
    wanted = evaluate(model, AVSBench(tree, "S4", "val", SIZE))  # in batches of four, not two
    assert scores_in(said.out) == pytest.approx(wanted, abs=6e-5)
    first = path.read_bytes()
    assert command(tree, path, "epochs=2") == 0  # all is done already
    assert path.read_bytes() == first
    capsys.readouterr()
    assert score(tree, "--split", "val", "--checkpoint", f"{path}.best") == 0
    assert scores_in(capsys.readouterr().out) == pytest.approx(wanted, abs=6e-5)
    assert score(tree, "--checkpoint", path, setting="MS3") == 0
    said = capsys.readouterr()
    assert "avs test" in said.out and "check MS3 test" in said.err
    ms3 = {"preset": "ms3-small"}
    assert command(tree, tmp_path / "ms3.pt", "epochs=1", f"start={path}", **ms3) == 0
    assert command(tree, path, "epochs=2", **ms3) == 2
    assert "setting=S4, not MS3" in capsys.readouterr().err


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(tree, tmp_path, monkeypatch):
    how = {"steps": 4, "checkpoint_every": 2, "seed": 1}
    whole = train(tree, tmp_path / "whole.pt", **how)
    path, calls = tmp_path / "run.pt", []

    def stop(model, batch, recipe):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return total_loss(model, batch, recipe)

    with pytest.raises(KeyboardInterrupt):
        settings = {**ONCE, **how, "checkpoint": path}
        train_task(replace(TASK, loss=stop), "s4-small", tree, settings)
    again = train(tree, path, **how)
    assert same(whole.model.state_dict(), again.model.state_dict())
    kept, expected = read_best(path), read_best(tmp_path / "whole.pt")
    assert kept["step"] == expected["step"]
    assert kept["scores"] == pytest.approx(expected["scores"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "ms3-small"}, "preset=s4-small, not ms3-small and setting=S4, not MS3"),
        ({"setting": "MS3"}, "setting=S4, not MS3"),
        ({"size": 64}, "size=32, not 64"),
        ({"seed": 1}, "seed=0, not 1"),
        ({"matching": 0.5}, "matching=0.0, not 0.5"),
        ({"threshold": True}, "threshold=False, not True"),
        ({"frozen": True}, "frozen=False, not True"),
        ({"fusion": "addition"}, "fusion=TPAVI, not addition"),
        ({"tpavi_stages": (3,)}, r"not \(3,\)"),
        ({"start": ...}, r"start=None, not s4.pt \([0-9a-f]{8}\)"),
    ],
)
def test_only_the_same_run_is_resumed(tree, finished, settings, said):
    before = finished.read_bytes()
    settings = {key: finished if value is ... else value for key, value in settings.items()}
    with pytest.raises(
        CheckpointError, match=rf"s4.pt is of a run with .*{said}.*; choose another"
    ):
        train(tree, finished, **settings)
    assert finished.read_bytes() == before


def test_another_backbone_is_another_run(tree, finished, tiny):
    with (
        pytest.warns(UserWarning, match="starts from random weights"),
        pytest.raises(CheckpointError, match=r"of a run with .*backbone=small, not resnet50"),
    ):
        train(tree, finished, "s4-resnet50")


def test_another_number_of_videos_is_another_run(tree, finished, tmp_path):
    fewer = write_tree(tmp_path, "S4", {"train": 3, "val": 1}, size=SIZE)
    with pytest.raises(CheckpointError, match="of a run with samples=4, not 3"):
        train(fewer, finished)


def test_the_best_epoch_is_kept(tree, tmp_path):
    seen, coming = [], [0.2, 0.5, 0.4]

    def fake(model, loader):
        assert (loader.data.split, loader.batch_size) == ("val", 4)
        seen.append(state_of(model))
        return {"miou": coming.pop(0)}

    settings = {**ONCE, "epochs": 3, "checkpoint": tmp_path / "run.pt"}
    del settings["steps"]
    trained = train_task(replace(TASK, evaluate=fake), "s4-small", tree, settings)
    history = trained.histories["training"]
    assert (history.scored, history.scores["miou"]) == ([2, 4, 6], [0.2, 0.5, 0.4])
    kept = read_best(tmp_path / "run.pt")
    assert (kept["step"], kept["scores"]) == (4, {"miou": 0.5})
    best, run = load_task(TASK, best_path(tmp_path / "run.pt"))
    assert same(best.state_dict(), seen[1]) and not same(seen[1], seen[2])
    assert same(trained.model.state_dict(), seen[1])
    assert run["steps"] == 6 and not best.training
    with pytest.raises(CheckpointError, match="no training run to resume"):
        train(tree, best_path(tmp_path / "run.pt"))


@pytest.mark.parametrize(
    ("preset", "settings", "epochs", "labelled", "matching"),
    [
        ("s4-resnet50", {}, 15, 1, 0.0),
        ("ms3-pvt", {}, 30, 5, 0.5),
        ("ms3-small", {"epochs": "1", "matching": "0.1"}, 1, 5, 0.1),
        ("ms3-small", {"fusion": "no sound"}, 30, 5, 0.0),
        ("s4-small", {"steps": "7"}, 0, 1, 0.0),
    ],
)
def test_epochs_and_matching_are_the_published_ones(preset, settings, epochs, labelled, matching):
    run = configure(TASK, preset, settings)
    (phase,) = run.phases
    assert (phase.epochs, phase.recipe.labelled, phase.recipe.matching) == (
        epochs, labelled, matching
    )  # fmt: skip
    assert (phase.config.batch_size, phase.config.learning_rate) == (4, 1e-4)
    assert phase.config.schedule == "constant" and run.data.setting.lower() in preset
    assert phase.config.steps == 7 or epochs != 0


def test_the_form_of_matching_can_be_chosen():
    chosen = {"fusion": "addition", "matching": 0.2, "distance": "euclidean", "target": "visual"}
    (phase,) = configure(TASK, "s4-small", chosen).phases
    assert phase.recipe == Recipe(1, 0.2, "euclidean", "visual")
    with pytest.raises(AvcoreError, match="unknown distance 'manhattan'"):
        configure(TASK, "ms3-small", {"distance": "manhattan"})
    with pytest.raises(AvcoreError, match="matching needs a network that hears: TPAVI or addition"):
        configure(TASK, "ms3-small", {"fusion": "no sound", "matching": 0.5})


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_trains(tree, fusion):
    model = build(fusion=fusion, tpavi_stages=(1, 3))
    block = FUSIONS[fusion]
    assert {name: type(part) for name, part in model.model.tpavi.items()} == (
        {"1": block, "3": block} if block else {}
    )
    train(tree, preset="ms3-small", fusion=fusion, tpavi_stages=(1, 3))


def test_a_network_that_does_not_hear_needs_no_listener(tiny, recwarn):
    model = build("resnet50", fusion="no sound")
    assert ["resnet50 starts from random weights" in str(w.message) for w in recwarn] == [True]
    assert model.listener is None
    with pytest.raises(AvcoreError, match="'no sound' hears nothing"):
        build("resnet50", vggish="vggish.pth", fusion="no sound")


def test_public_weights_go_where_they_belong(tmp_path, tiny):
    encoder = avs_model.ResNet50().state_dict()
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
        model = build("resnet50", encoder=tmp_path / "resnet50.pth")
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
    before = state_of(build(backbone, vggish=path))
    preset = "ms3-pvt" if backbone == "pvt_v2_b5" else "ms3-resnet50"
    trained = train(tree, preset=preset, vggish=path)
    assert trained.histories["training"]["matching"][0] > 0
    model = trained.model
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("listener."))
    for part in ("model.encoder.", "model.heads.", "model.tpavi.", "model.output."):
        names = [k for k in before if k.startswith(part)]
        assert any(not torch.equal(before[k], after[k]) for k in names), part


@pytest.mark.filterwarnings("ignore:.* starts from random weights")
def test_a_start_brings_all_weights_and_what_is_frozen(tree, finished, tmp_path, tiny):
    torch.save(Ear().state_dict(), tmp_path / "ear.pth")
    path = tmp_path / "s4.pt"
    model = train(tree, path, "s4-pvt", vggish=tmp_path / "ear.pth").model
    started = build("pvt_v2_b5", start=path)
    assert same(model.state_dict(), started.state_dict())
    assert started.network.frozen and not started.train().listener.training
    assert not any(parameter.requires_grad for parameter in started.listener.parameters())
    again = tmp_path / "ms3.pt"
    train(tree, again, "ms3-pvt", start=path)  # and it stays so from start to start
    assert build("pvt_v2_b5", start=again).network.frozen
    learning = build("small", start=finished)
    assert not learning.network.frozen
    assert all(parameter.requires_grad for parameter in learning.listener.parameters())
    for more in ({"vggish": tmp_path / "ear.pth"}, {"encoder": path}):
        with pytest.raises(AvcoreError, match="a start brings all weights; leave out"):
            build("pvt_v2_b5", start=path, **more)
    with pytest.raises(CheckpointError, match="backbone=pvt_v2_b5, not resnet50"):
        build("resnet50", start=path)
    with pytest.raises(CheckpointError, match="fusion=TPAVI, not addition"):
        build("pvt_v2_b5", start=path, fusion="addition")


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
    found = evaluate(Everything(), AVSBench(tree, "S4", "val", size=SIZE))
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
    with pytest.raises(AvcoreError, match="all 5 frames, and these videos have 1 each, as in"):
        evaluate(Everything(), data)
    assert score(tree, "--split", "train", "--checkpoint", finished) == 2
    assert "as in the split train of S4; choose another" in capsys.readouterr().err


def test_the_authors_model_is_scored_with_its_listener(tree, tmp_path, tiny, capsys):
    weights, ear = pseudo_weights("avs_resnet50"), Ear()
    torch.save(weights, tmp_path / "avs.pth")
    torch.save(ear.state_dict(), tmp_path / "ear.pth")
    files = {"official": tmp_path / "avs.pth", "vggish": tmp_path / "ear.pth"}
    model = build("resnet50", **files)
    data = AVSBench(tree, "MS3", "test", size=SIZE)
    with torch.no_grad():
        seen, sound = prepared(data[0].frames[None]), ear.eval()(data[0].heard)
        expected = AVSModel.from_official(weights)(seen, sound).logits
        torch.testing.assert_close(model(seen, data[0].heard).logits, expected)
    assert not any(part.training for part in model.modules())
    words = ("--preset", "ms3-resnet50")
    assert score(tree, *words, **files, size=SIZE) == 0
    wanted = evaluate(model, data)
    assert scores_in(capsys.readouterr().out) == pytest.approx(wanted, abs=6e-5)
    assert score(tree, *words, official=files["official"], size=SIZE) == 2
    assert "vggish=FILE" in capsys.readouterr().err
    torch.save({"model": weights}, tmp_path / "avs.pth")
    assert score(tree, *words, **files, size=SIZE) == 2
    assert "avs.pth is not a state dict: 'model' is no tensor" in capsys.readouterr().err


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        (("setting=S5",), (), "unknown setting 'S5'"),
        (("backbone=alexnet",), (), "unknown backbone 'alexnet'"),
        (("backbone=alexnet",), ("--root", "nowhere"), "unknown backbone 'alexnet'"),
        ((), ("--device", "abacus", "--root", "nowhere"), "unknown device 'abacus'"),
        (("learning_rate=0",), ("--root", "nowhere"), "learning_rate must be positive"),
        (("learning_rate=fast",), (), "learning_rate wants a number, got 'fast'"),
        (("seed=1.5",), (), "seed wants a whole number, got '1.5'"),
        (("frozen=perhaps",), (), "frozen wants true or false, got 'perhaps'"),
        (("tpavi_stages=a",), (), "tpavi_stages wants a whole number or several with commas"),
        (("fusion=telepathy",), (), "unknown fusion 'telepathy'; choose one of TPAVI, addition"),
        (("fusion=no sound", "matching=1"), (), "matching needs a network that hears"),
        (("speed=1",), (), "unknown key 'speed'; choose one of setting, size, backbone, fusion"),
        (("speed",), (), "--set wants key=value, got 'speed'"),
        ((), ("--preset", "s5"), "unknown preset of avs 's5'; choose one of s4-resnet50, s4-pvt"),
        (("size=100",), (), "multiple of 32"),
        (("size=0",), (), "multiple of 32"),
        (("batch_size=9",), (), "a batch of 9 from only 4 samples"),
        (("batch_size=0",), (), "batch_size, devices and log_every must be at least 1"),
        (("epochs=-3",), (), "epochs must not be negative"),
        ((), ("--workers", "-1"), "Invalid value for '--workers':"),
        (("vggish=nowhere.pth",), (), "no public weights"),
        (("start=nowhere.pt",), (), "there is no checkpoint at nowhere.pt"),
        ((), ("--root", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_gets_one_sentence(tree, tmp_path, capsys, settings, more, said):
    code = command(tree, tmp_path / "x.pt", *settings, more=more)
    assert code == (3 if said == "nowhere" else 2)
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert not (tmp_path / "x.pt").exists()


def test_an_unknown_paper_or_no_root_is_one_sentence(tmp_path, capsys):
    words = ["--preset", "s4-small", "--checkpoint", str(tmp_path / "x.pt")]
    assert main(["train", "music", *words]) == 2
    assert "unknown paper 'music'; choose one of avs, denseav" in capsys.readouterr().err
    assert main(["train", "avs", *words]) == 2
    assert "give the folder avsbench_data as root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        ((), {}, "give either --checkpoint or --preset"),
        (("--checkpoint", "a.pt", "--preset", "s4-pvt"), {}, "either --checkpoint or --preset"),
        (("--checkpoint", "a.pt"), {}, "there is no checkpoint at a.pt"),
        (("--preset", "s4-resnet50"), {}, "no trained network: give a checkpoint of a training"),
        (("--preset", "s4"), {}, "unknown preset of avs 's4'"),
        (("--checkpoint", ...), {"backbone": "small"}, "unknown key of the data 'backbone'"),
        (("--checkpoint", ..., "--split", "dev"), {}, "unknown split 'dev'"),
    ],
)
def test_what_is_scored_must_be_clear(tree, finished, capsys, words, settings, said):
    words = [finished if word is ... else word for word in words]
    assert score(tree, *words, **settings) == 2
    assert said in capsys.readouterr().err


def test_a_checkpoint_of_something_else_is_not_loaded(tmp_path):
    from avcore.training import save_checkpoint

    save_checkpoint(SmallEncoder(), tmp_path / "x.pt")
    for use in (partial(load_task, TASK), lambda path: build(start=path)):
        with pytest.raises(CheckpointError, match=r"x\.pt is not of a training of avs"):
            use(tmp_path / "x.pt")


def test_a_missing_file_of_weights_says_where_to_get_it(tmp_path, tiny):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*; download vggish-10086976"):
        build("resnet50", vggish=tmp_path / "none.pth")
    for content in ([1, 2], {"model": {}}):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match=r"is not a state dict.*; download resnet50-19c"):
            build("resnet50", encoder=tmp_path / "x.pth", fusion="no sound")
    with pytest.raises(AvcoreError, match="choose one of small, resnet50, pvt_v2_b5"):
        build("vgg")
    with pytest.raises(AvcoreError, match=r"the stages are .*, got \(4,\)"):
        build("small", tpavi_stages=(4,))
