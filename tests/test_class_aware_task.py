"""CSOL and IEr by the generic command: phases, what they note, resuming, scores, bad settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")
pytest.importorskip("lightning_fabric")

from music_tree import CLASSES, write_music

from avcore.class_aware import videos
from avcore.class_aware.network import SmallLocaliser
from avcore.class_aware.scenes import SIZE
from avcore.class_aware.videos import Videos
from avcore.cli import INTERRUPTED, main
from avcore.data.sets import music
from avcore.nn import pretrained
from avcore.nn.pictures import normalise
from avcore.papers.csol import StageOne, StageTwo
from avcore.papers.csol import task as csol
from avcore.papers.csol.published import PublishedLocaliser
from avcore.papers.ier import task as ier
from avcore.papers.ier.training import Curriculum
from avcore.support import AvcoreError, CheckpointError, MediaError
from avcore.training import (
    Ordered,
    Reading,
    best_path,
    configure,
    evaluate_task,
    load_task,
    train_task,
)
from avcore.training.runs import begun_path

pytestmark = pytest.mark.skipif(not pretrained.available(), reason="the eye extra is missing")

MODULES = {"csol": csol, "ier": ier}
DATA = {"classes": CLASSES, "collages": 10, "held_out": 6, "size": 32}
QUICK = {
    **DATA, "clusters": 4, "batch_size": 4, "steps": 3, "checkpoint_every": 2, "device": "cpu",
    "warmup": 1, "progress": False,
}  # fmt: skip
OPTIONS = Videos(**DATA)
SCORES = {
    "ciou@0.3", "ciou@0.5", "auc", "nsa", "pointing", "nmi", "chance_nmi", "accuracy",
    "trivial_ciou@0.3", "trivial_auc",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def parts(root):
    return {split: videos.read(OPTIONS, root, split, Reading()) for split in ("train", "val")}


@pytest.fixture
def task_of(parts):
    """The task of a paper, whose data are read once."""

    def found(paper):
        module = MODULES[paper]
        return replace(module.TASK, data=lambda options, root, split, reading: parts[split])

    return found


def same(one, other) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


# --- the data -----------------------------------------------------------------------------------


def test_real_videos_become_scenes(parts):
    solos, mixtures = parts["train"]["solos"], parts["train"]["mixtures"]
    assert (len(solos), len(mixtures)) == (12, 10)  # half of the videos
    assert solos.seen.shape == (12, 152, 4, 4) and solos.mel.shape == (12, 64, 101)
    assert solos.label().bincount().tolist() == [3, 3, 3, 3]
    assert mixtures.masks.shape == (10, 4, SIZE, SIZE) and mixtures.masks.sum(1).eq(1).all()
    assert mixtures.sounding.tolist() == [[True, True, False, False]] * 10
    assert (mixtures.offscreen == -1).all() and len(mixtures.boxes()[0]) == 2
    assert [box[3:] for box in mixtures.boxes()[0]] == [(0.5, 0.5)] * 2
    assert (len(parts["val"]["solos"]), len(parts["val"]["mixtures"])) == (4, 6)


def test_duets_take_the_place_of_collages_to_learn_from(root):
    options = replace(OPTIONS, mixtures="duets")
    train, val = (videos.read(options, root, split, Reading()) for split in ("train", "val"))
    assert len(train["mixtures"]) == 6 and train["mixtures"].class_id.shape == (6, 2)
    assert val["mixtures"].class_id.shape == (6, 4)  # collages have tiles to score by
    with pytest.raises(AvcoreError, match="duets with drum, but no solos; name the classes"):
        duets = videos._clips(options, root, music.list_duets(root, "train"), "", Reading())
        videos._duets(options, duets, ("bell",))


def test_classes_of_a_root_are_sorted_unless_they_are_given(root, parts):
    reading = Reading()
    found = videos.read(replace(OPTIONS, classes=()), root, "val", reading)["solos"]
    assert torch.equal(found.class_id, parts["val"]["solos"].class_id)
    turned = videos.read(replace(OPTIONS, classes=CLASSES[::-1]), root, "val", reading)["solos"]
    assert torch.equal(turned.class_id.sort(0)[0], found.class_id.sort(0)[0])
    assert torch.equal(3 - turned.class_id, found.class_id)


def test_agreement_by_chance_is_told(parts, monkeypatch):
    solos, class_of = parts["train"]["solos"], torch.tensor([1, 2, 3, 0])
    clusters = (solos.label() - 1) % 4
    monkeypatch.setattr(videos, "nearest", lambda model, entries, solos: clusters)
    found = videos.cluster_scores(SmallLocaliser(4), torch.zeros(4, 152), class_of, solos)
    assert found["nmi"] == pytest.approx(1) and found["accuracy"] == 1
    assert 0.1 < found["chance_nmi"] < 0.7  # twelve solos of four classes


# --- phases -------------------------------------------------------------------------------------


def test_csol_clusters_once_then_learns_its_own_labels(task_of):
    seen = []

    def watch(model, batch, recipe):
        seen.append((type(recipe).__name__, batch.label.clone(), model.dictionary.clone()))
        return csol.loss(model, batch, recipe)

    trained = train_task(replace(task_of("csol"), loss=watch), "music", None, QUICK)
    assert [name for name, _, _ in seen] == [
        name for name in ("Correspondence", "Classes", "Mixtures") for _ in range(3)
    ]
    assert all((label == -1).all() for _, label, _ in seen[:3])
    assert all(((0 <= label) & (label < 4)).all() for _, label, _ in seen[3:6])
    assert all(label.shape == (4, 4) for _, label, _ in seen[6:])  # logits of what is heard
    assert not seen[0][2].any() and seen[3][2].any()
    assert all(torch.equal(entries, seen[3][2]) for _, _, entries in seen[3:])
    assert sorted(trained.model.class_of.tolist()) == [0, 1, 2, 3]
    assert list(trained.histories) == ["correspondence", "classes", "mixtures"]
    scores = trained.histories["mixtures"].scores
    assert set(scores) == {*SCORES, "silent_pointing"}
    assert trained.histories["mixtures"].scored == [2, 3]
    assert {"kl", "location"} < set(trained.histories["mixtures"].values)


def test_ier_trains_one_part_after_the_other(task_of):
    learning = []

    def watch(model, batch, recipe):
        weights = model.referrer.named_parameters()
        names = {name.partition(".")[0] for name, weight in weights if weight.requires_grad}
        modes = {name for name, part in model.referrer.named_children() if part.training}
        learning.append((type(recipe).__name__, names, modes))
        return ier.loss(model, batch, recipe)

    train_task(replace(task_of("ier"), loss=watch), "music", None, {**QUICK, "steps": 1})
    assert learning == [
        ("Correspondence", {"network"}, {"network"}),
        ("Classes", {"network"}, {"network"}),
        ("Curriculum", {"identifier"}, {"identifier"}),
        ("Referring", {"network"}, {"network"}),
    ]


def test_iers_identifier_begins_with_the_ear_of_stage_one(task_of, parts):
    model = ier.build(ier.Network(4), 0)
    for phase in ier.PHASES[1:]:
        ier.prepare(model, phase.recipe)
        notes = ier.begin(model, parts["train"], phase)
        if phase.name == "identifier":
            break
    identifier, network = model.referrer.identifier, model.referrer.network
    assert same(identifier.ear, network.audio_net) and identifier.prototypes.any()
    assert notes["clusters"] == 4 and notes["labels"].shape == (12,)
    batch = ier.lesson(parts["train"], notes, phase)(0, torch.Generator())
    assert batch.mel.shape == (64, 64, 101) and batch.label.shape == (64, 4)
    assert ier.begin(model, parts["train"], ier.PHASES[3]) is None


@pytest.mark.parametrize("paper", MODULES)
def test_every_weight_that_learns_gets_a_gradient(paper, task_of, parts):
    module = MODULES[paper]
    task, model = task_of(paper), module.build(module.Network(4), 0)
    for phase in task.presets["music"].phases:
        phase = replace(phase, config=replace(phase.config, batch_size=4))
        task.prepare(model, phase.recipe)
        model.train()
        lesson = task.lesson(parts["train"], task.begin(model, parts["train"], phase), phase)
        batch = lesson(0, torch.Generator()) if callable(lesson) else first_four(lesson)
        task.loss(model, batch, phase.recipe)["loss"].backward()
        missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == [], phase.name


def first_four(lesson):
    return type(lesson)(lesson.seen[:4], lesson.mel[:4], lesson.label[:4])


# --- the published network of CSOL --------------------------------------------------------------

PICTURES = {**QUICK, "backbones": "published", "features": False, "moments": 1, "steps": 1}


@pytest.fixture(scope="module")
def pictures(root):
    options = replace(OPTIONS, features=False)
    return {split: videos.read(options, root, split, Reading()) for split in ("train", "val")}


@pytest.fixture
def large(pictures):
    """The task of CSOL on pictures that are read once."""
    return replace(csol.TASK, data=lambda options, root, split, reading: pictures[split])


def test_the_published_network_answers_as_the_two_published_ones():
    pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model, image, mel = PublishedLocaliser(4).eval(), torch.rand(2, 3, 64, 64), torch.rand(2, 64, 9)
    entries, audio = torch.randn(4, 512), mel.transpose(1, 2)[:, None]
    with torch.no_grad():
        found = model(image, mel, entries, pairs=True)
        first = StageOne.forward(model, normalise(image), audio)
        second = StageTwo.forward(model, normalise(image), audio, entries)
    torch.testing.assert_close(found.av_map, first.av_map[:, 0])
    torch.testing.assert_close((found.v_logits, found.a_logits), (first.v_logits, first.a_logits))
    torch.testing.assert_close(found.class_maps, second.class_maps)
    torch.testing.assert_close(found.volume[[0, 1], [0, 1]], found.av_logits)
    torch.testing.assert_close(found.objects, first.visual)
    with pytest.raises(AvcoreError, match=r"the dictionary wants shape \(4, 512\), got \(3, 512\)"):
        model(image, mel, entries[:3])


def test_the_published_network_is_trained_on_pictures(large, pictures):
    pytest.importorskip("torchvision")
    solos = pictures["train"]["solos"]
    assert solos.seen.shape == (12, 3, 32, 32) and solos.seen.dtype == torch.uint8
    assert solos.mel.shape == (12, 64, 201)
    used = []

    def watch(model, batch, recipe):
        used.append((recipe, {n for n, p in model.named_parameters() if not p.requires_grad}))
        return csol.loss(model, batch, recipe)

    with pytest.warns(UserWarning, match="random weights; download resnet18-f37072fd"):
        trained = train_task(replace(large, loss=watch), "published", None, PICTURES)
    assert trained.model.dictionary.shape == (4, 512) and trained.model.dictionary.any()
    assert used[-1][0].sharpened == 1.0 and not any("obj_" in name for name in used[-1][1])
    assert any("obj_conv" in name for name in used[0][1])
    assert set(trained.histories["mixtures"].scores) == {*SCORES, "silent_pointing"}


def test_every_weight_of_the_published_network_that_learns_gets_a_gradient(large, pictures):
    pytest.importorskip("torchvision")
    with pytest.warns(UserWarning, match="random weights"):
        model = csol.build(csol.Network(4, backbones="published"), 0)
    for phase in csol.LONG:
        csol.prepare(model, phase.recipe)
        model.train()
        lesson = csol.lesson(pictures["train"], csol.begin(model, pictures["train"], phase), phase)
        csol.loss(model, first_four(lesson), phase.recipe)["loss"].backward()
        missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == [], phase.name


def test_public_weights_go_into_the_pictures_network(tmp_path):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    public = models.resnet18().state_dict()
    torch.save(public, tmp_path / "resnet18.pth")
    network = csol.Network(4, backbones="published", resnet=tmp_path / "resnet18.pth")
    own = csol.build(network, 0).visual_net.state_dict()
    assert set(own) - set(public) == {"conv1_a.weight"}
    assert all(torch.equal(own[name], value) for name, value in public.items())
    with pytest.raises(CheckpointError, match=r"none.pth.*; download resnet18-f37072fd.pth"):
        csol.build(replace(network, resnet=tmp_path / "none.pth"))


# --- stopping and going on ----------------------------------------------------------------------

PHASES = {"csol": 3, "ier": 4}
STOPS = [("csol", stop) for stop in range(1, 10)]
STOPS += [("ier", stop) for stop in range(7, 13)]  # stage one is that of CSOL


@pytest.fixture(scope="module")
def whole(parts):
    """The uninterrupted run of each paper."""
    return {
        paper: train_task(
            replace(module.TASK, data=lambda options, root, split, reading: parts[split]),
            "music", None, QUICK,
        ).model
        for paper, module in MODULES.items()
    }  # fmt: skip


@pytest.mark.parametrize(("paper", "stop"), STOPS)
def test_a_run_that_was_stopped_anywhere_is_the_run_that_was_not(
    paper, stop, task_of, whole, tmp_path
):
    """In the first, second and third update of a phase, of which the second is kept."""
    task, calls = task_of(paper), []

    def interrupted(model, batch, recipe):
        calls.append(None)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return task.loss(model, batch, recipe)

    settings = {**QUICK, "checkpoint": tmp_path / "run.pt"}
    with pytest.raises(KeyboardInterrupt):
        train_task(replace(task, loss=interrupted), "music", None, settings)
    calls.clear()
    again = train_task(replace(task, loss=counted(task, calls)), "music", None, settings)
    assert same(whole[paper], again.model)
    done = stop - 1 - (stop - 1) % 3 + ((stop - 1) % 3 // 2) * 2  # updates that were kept
    assert len(calls) == 3 * PHASES[paper] - done


def counted(task, calls):
    def loss(model, batch, recipe):
        calls.append(None)
        return task.loss(model, batch, recipe)

    return loss


def test_the_notes_of_a_phase_are_kept_beside_its_checkpoint(task_of, tmp_path):
    path, task = tmp_path / "run.pt", task_of("csol")
    settings = {**QUICK, "checkpoint": path}
    train_task(task, "music", None, settings)
    assert {file.name for file in tmp_path.iterdir()} == {
        "run.pt", "run.pt.best", "run.pt.begun", "run.pt.classes", "run.pt.classes.begun",
        "run.pt.correspondence",
    }  # fmt: skip
    path.unlink()  # the last phase alone is wanted anew, and otherwise
    with pytest.raises(CheckpointError, match=r"run.pt.begun is of a run with seed=0, not 1"):
        train_task(task, "music", None, {**settings, "mixtures.seed": 1})
    begun_path(path).write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"run.pt.begun"):
        train_task(task, "music", None, settings)


# --- the commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("paper", MODULES)
def test_what_was_not_trained_is_not_scored(paper, task_of):
    with pytest.raises(AvcoreError, match="music has no trained network: give a checkpoint of a"):
        evaluate_task(task_of(paper), "music")
    task = task_of(paper)
    loader = {name: Ordered(part, 4) for name, part in task.data(None, None, "val", None).items()}
    with pytest.raises(AvcoreError, match="has no object dictionary; give a checkpoint"):
        task.evaluate(task.build(MODULES[paper].Network(4), 0), loader)


@pytest.mark.parametrize("paper", MODULES)
def test_the_command_trains_is_stopped_goes_on_and_scores(
    paper, root, tmp_path, monkeypatch, whole, capsys
):
    sets = {key: QUICK[key] for key in QUICK if key not in ("progress", "device")}
    sets["classes"] = ",".join(CLASSES)
    sets["spread_db"] = 0.0
    words = ["--root", str(root), "--workers", "0", "--checkpoint", str(tmp_path / "run.pt")]
    command = ["train", paper, "--preset", "music", "--device", "cpu", *words]
    command += [f"--set={key}={value}" for key, value in sets.items()]
    calls, real = [], MODULES[paper].solo_loss

    def interrupted(*given):
        calls.append(None)
        if len(calls) == 5:  # in the second update of the second phase
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(MODULES[paper], "solo_loss", interrupted)
    assert main(command) == INTERRUPTED
    assert begun_path(tmp_path / "run.pt.classes").exists()
    assert main(command) == 0
    said = capsys.readouterr()
    assert "classes: 3 steps" in said.out and "correspondence: " not in said.out
    assert "read solos, train" in said.err and f"{paper} val" in said.out
    model, run = load_task(MODULES[paper].TASK, best_path(tmp_path / "run.pt"))
    assert same(model, whole[paper]) and run["classes"] == CLASSES
    assert main(["evaluate", paper, "--device", "cpu", *words]) == 0
    assert "\nnmi " in capsys.readouterr().out


def test_held_out_scores_have_their_yardsticks(task_of, root, tmp_path):
    settings = {**QUICK, "checkpoint": tmp_path / "run.pt"}
    trained = train_task(task_of("ier"), "music", None, settings)
    path = best_path(tmp_path / "run.pt")
    found = evaluate_task(ier.TASK, path, root, "val", device="cpu")
    more = {"cap", "piap", "loud", "quiet", "named@0", "named@20"}
    assert set(found) == SCORES | more == set(trained.histories["referrer"].scores)
    assert all(0 <= value <= 1 for value in found.values())


def test_the_command_verifies_a_root(root, tmp_path, capsys):
    assert main(["data", "verify", str(root), "--layout", "music"]) == 0
    assert "32 videos can be used, 0 problems" in capsys.readouterr().out
    spoiled = shutil.copytree(root, tmp_path / "music")
    (spoiled / "solo" / "horn" / "horn-0.wav").write_bytes(b"RIFF")
    (spoiled / "solo" / "lost.mp4").write_bytes(b"")
    assert main(["data", "verify", str(spoiled), "--layout", "music"]) == 1
    said = capsys.readouterr().out
    assert "31 videos can be used, 2 problems" in said and "horn-0.wav: not a whole" in said


@pytest.mark.parametrize(
    ("paper", "settings", "said"),
    [
        ("csol", {"rounds": 2}, "unknown key 'rounds'; choose one of layout, classes, size"),
        ("csol", {"silent_filter": "hard"}, "unknown filter 'hard'; choose one of soft, binary"),
        ("csol", {"clusters": 0}, "clusters are at least 1, got 0"),
        ("csol", {"mixtures": "trios"}, "unknown mixtures 'trios'; choose one of collages, duets"),
        ("csol", {"layout": "vggsound", "mixtures": "duets"}, "only MUSIC has duets"),
        ("csol", {"features": "no"}, "backbones=small wants features=true"),
        ("csol", {"backbones": "published"}, "backbones=published wants features=false"),
        ("csol", {"resnet": "a.pth"}, "the small network has an eye of its own"),
        ("csol", {"layout": "flickr"}, "unknown layout 'flickr'; choose one of music, vggsound"),
        ("csol", {"size": 40}, "size wants a multiple of 32, got 40"),
        ("csol", {"held_out": 0}, "collages and held_out are at least 1"),
        ("csol", {"classes.loss": "hinge"}, "unknown loss 'hinge'; choose one of infonce, bce"),
        ("ier", {"distinguishing": "classifier"}, "a classifier has no features to refer to"),
        ("ier", {"mask": "none"}, "unknown mask 'none'; choose one of fixed"),
        ("ier", {"share": "0.5,2"}, "shares go from 0 to 1"),
        ("ier", {"referrer.share": 1}, "unknown key 'referrer.share'"),
    ],
)
def test_bad_settings_are_one_sentence(paper, settings, said):
    with pytest.raises(AvcoreError, match=said):
        configure(MODULES[paper].TASK, "music", settings)


def test_settings_reach_the_phase_that_they_name():
    given = {"identifier.share": "0.2, 0.4", "most": "3,3", "referrer.off_screen": "no"}
    phases = configure(ier.TASK, "music", given | {"pool": "attention"}).phases
    assert phases[2].recipe == Curriculum((0.2, 0.4), (3, 3)) and not phases[3].recipe.off_screen
    assert [phase.recipe.pool for phase in phases[:2]] == ["attention"] * 2
    assert configure(csol.TASK, "vggsound", {}).data.layout == "vggsound"


def test_what_is_missing_is_one_sentence(root, tmp_path, task_of, monkeypatch):
    with pytest.raises(AvcoreError, match="videos of MUSIC or VGGSound: give a root"):
        train_task(csol.TASK, "music", None, QUICK)
    with pytest.raises(MediaError, match="solo: there is no such folder"):
        train_task(csol.TASK, "music", tmp_path, QUICK)
    with pytest.raises(AvcoreError, match=r"unknown class of .* 'accordion'; choose one of bell"):
        train_task(csol.TASK, "music", root, {"device": "cpu"})
    with pytest.raises(AvcoreError, match="solos of four classes, but there are 2"):
        videos.read(replace(OPTIONS, classes=CLASSES[:2]), root, "val", Reading())
    with pytest.raises(AvcoreError, match="12 samples cannot make 40 clusters"):
        train_task(task_of("csol"), "music", None, {**QUICK, "clusters": 40})
    monkeypatch.setattr(pretrained, "available", lambda: False)
    with pytest.raises(CheckpointError, match="efficientnet_lite0 are not installed"):
        train_task(csol.TASK, "music", root, QUICK)


# --- two processes ------------------------------------------------------------------------------

DDP_SCRIPT = """
    import os, sys, torch
    from avcore.cli import main
    code = main(sys.argv[1:])
    torch.distributed.barrier()
    os._exit(code)  # gloo's threads may still hold tensors, and now and then abort a normal exit
"""


@pytest.mark.slow
@pytest.mark.parametrize("paper", MODULES)
def test_two_processes_have_the_same_notes(paper, root, tmp_path):
    script, path = tmp_path / "train.py", tmp_path / "run.pt"
    script.write_text(textwrap.dedent(DDP_SCRIPT))
    repository = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    sets = {**QUICK, "classes": ",".join(CLASSES)}
    words = [f"--set={key}={value}" for key, value in sets.items() if key != "device"]
    command = ["train", paper, "--preset=music", f"--root={root}", f"--checkpoint={path}"]
    ended = subprocess.run(
        [*launch, str(script), *command, "--device=cpu", "--workers=0", *words],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.count("classes: 3 steps") == 1  # the main process speaks alone
    model, _ = load_task(MODULES[paper].TASK, best_path(path))
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert sorted(model.class_of.tolist()) == [0, 1, 2, 3]
