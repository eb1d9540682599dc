"""Multisensory by the generic command: data, starts, resuming, scores, bad settings."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("av", reason="the media extra is not installed")
pytest.importorskip("lightning_fabric")

from media_tree import disc, quiet, tone, write_picture, write_sound, write_video
from talking_tree import CLASSES, write_ucf101

from avcore.cli import main
from avcore.papers.multisensory import learner, task
from avcore.papers.multisensory.clips import EXCERPT, FPS, SAMPLES
from avcore.papers.multisensory.learner import EYES, Network, build
from avcore.papers.multisensory.published import FRAMES, MultisensoryNet
from avcore.papers.multisensory.reading import PublishedClips, Videos, read
from avcore.papers.multisensory.task import TASK, Recipe
from avcore.support import AvcoreError, CheckpointError, MediaError
from avcore.training import (
    Ordered,
    Reading,
    best_path,
    configure,
    evaluate_task,
    load_task,
    read_best,
    train_task,
)

SHADES, PITCHES = (30, 80, 130, 180, 230), (400.0, 800.0, 1200.0, 1600.0, 2000.0)
PRESETS = ("shift", "ucf101", "voxceleb")
QUICK = {
    "size": 16, "batch_size": 2, "steps": 3, "checkpoint_every": 2, "warmup": 0, "device": "cpu",
    "progress": False,
}  # fmt: skip
OWN = {"shift": {}, "ucf101": {"classes": 3}, "voxceleb": {"mixtures": 4, "held_out": 3}}
SCORES = {
    "shift": {"accuracy", "score"},
    "ucf101": {"accuracy", "score"},
    "voxceleb": {"si_sdr_gain", "off_screen_gain", "oracle_gain", "score"},
}


def write_folder(root):
    """Videos of five seconds, each with a shade and a pitch of its own."""
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        for number in range(count):
            order = [(number + k) % 5 for k in range(5)]
            shades, pitches = ([row[k] for k in order] for row in (SHADES, PITCHES))
            write_video(root / split / f"{number}.mp4", shades, pitches=pitches)
    return root


def write_talkers(root):
    """Twenty speakers to learn from, so that two are held out, and two to be tested on."""
    for number in range(22):
        half, place = "test" if number > 19 else "dev", f"id{number:05d}/abcdefghijk/00001"
        write_video(root / half / f"mp4/{place}.mp4", (10 * number,) * 2, sound=False)
        write_sound(root / half / f"wav/{place}.wav", tone(200.0 + 100 * number, 2.0))
    return root


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    makers = {"shift": write_folder, "ucf101": write_ucf101, "voxceleb": write_talkers}
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in makers.items()}


@pytest.fixture(scope="module")
def trained(roots, tmp_path_factory):
    """A run of each preset that was not interrupted, and its checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        preset: (train(preset, roots, folder / f"{preset}.pt"), folder / f"{preset}.pt")
        for preset in PRESETS
    }


def train(preset, roots, checkpoint=None, of=TASK, **settings):
    given = {**QUICK, **OWN[preset], "checkpoint": checkpoint, **settings}
    return train_task(of, preset, roots[preset], given)


def same(one, other) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


# --- the data -----------------------------------------------------------------------------------


def agreement(frames, sound) -> float:
    """Share of the frames (3, T, H, W) whose shade is that of the pitch that is heard."""
    steps, rate = frames.shape[1], len(sound) / frames.shape[1]
    seen = (255 * frames.mean((0, 2, 3)) - 30) / 50
    parts = torch.stack([sound[round(k * rate) :][: int(rate)] for k in range(steps)])
    per_second = FPS * SAMPLES if rate == SAMPLES else PublishedClips.fps * PublishedClips.samples
    loudest = torch.fft.rfft(parts, per_second).abs().argmax(1)
    return (seen.round() == (loudest / 400 - 1).round()).float().mean().item()


@pytest.mark.parametrize(
    ("options", "frames", "samples"),
    [
        (Videos(size=16), EXCERPT, EXCERPT * SAMPLES),
        (Videos(size=16, rates="published", seconds=5.0, least=0.4), FRAMES, 700 * FRAMES),
    ],
)
def test_an_excerpt_has_its_own_sound_and_a_shifted_one(roots, options, frames, samples):
    data = read(options, roots["shift"], "train", Reading())
    for seed in range(4):
        torch.manual_seed(seed)
        pairs = data[seed % len(data)]
        assert pairs.frames.shape == (3, frames, 16, 16) and 0 <= pairs.frames.min()
        assert pairs.own.shape == pairs.other.shape == (samples,)
        assert agreement(pairs.frames, pairs.own) > 0.85
        assert agreement(pairs.frames, pairs.other) < agreement(pairs.frames, pairs.own) - 0.2
    torch.manual_seed(3)
    again = data[0]
    assert all(torch.equal(one, other) for one, other in zip(pairs, again, strict=True))


def test_the_other_sound_may_be_of_another_video(roots):
    options = Videos(size=16, negatives="random pairs")
    data = read(options, roots["shift"], "val", Reading())
    assert len(data) == 2
    for pairs in data:
        assert agreement(pairs.frames, pairs.own) > 0.85 > 0.3 > agreement(*pairs[::2])


def test_held_out_excerpts_do_not_depend_on_the_batch(roots):
    data = read(Videos(size=16), roots["shift"], "val", Reading())
    one, two = ([part for batch in Ordered(data, k) for part in batch.other] for k in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_folder_wants_videos_that_are_long_enough(tmp_path):
    write_picture(tmp_path / "train" / "a.png", disc((9, 9, 9), 16, "RGB"))
    write_sound(tmp_path / "train" / "a.wav", tone(300.0))
    write_video(tmp_path / "train" / "b.mp4", (1, 2))
    write_video(tmp_path / "train" / "c.mp4", (1,) * 4, sound=False)
    with pytest.raises(MediaError, match="no clip can be used") as caught:
        read(Videos(), tmp_path, "train", Reading())
    said = str(caught.value)
    assert "train/a.png: is a picture, but only videos have moments" in said
    assert "train/b.mp4: lasts 2.00 s; at least 3 s is needed" in said
    assert "train/c.mp4: has no sound in it" in said
    write_video(tmp_path / "val" / "d.mp4", (1,) * 4)
    with pytest.raises(AvcoreError, match="random pairs want two videos at least"):
        read(Videos(negatives="random pairs"), tmp_path, "val", Reading())
    with pytest.raises(AvcoreError, match="give the folder of them as root"):
        read(Videos(), None, "train", Reading())


def test_talkers_that_cannot_be_paired_are_named_with_their_split(roots):
    options = Videos("voxceleb", 16, 1.5, same_sex=True)
    with pytest.raises(AvcoreError, match=r"\(val\): no table says the sex of these speakers"):
        read(options, roots["voxceleb"], "val", Reading())


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_learns_is_stopped_and_goes_on(preset, roots, trained, tmp_path):
    calls = []

    def interrupted(model, batch, recipe):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return task.loss(model, batch, recipe)

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(preset, roots, path, replace(TASK, loss=interrupted))
    again, (whole, _) = train(preset, roots, path), trained[preset]
    history = again.histories["training"]
    assert same(again.model, whole.model) and history.scored == [2, 3]
    assert set(history.scores) == SCORES[preset] and history.steps[-1] == 3


@pytest.mark.parametrize("preset", PRESETS)
def test_a_trained_network_is_scored(preset, roots, trained):
    path = best_path(trained[preset][1])
    model, run = load_task(TASK, path)
    assert same(model, trained[preset][0].model) and run["preset"] == preset
    for split in ("val", "test"):
        found = evaluate_task(TASK, path, roots[preset], split, device="cpu")
        assert set(found) == SCORES[preset] and all(map(math.isfinite, found.values()))
        if split == "val":
            assert found == pytest.approx(read_best(trained[preset][1])["scores"], abs=1e-5)


def test_the_commands_train_and_score(roots, tmp_path, capsys):
    words = ["--root", str(roots["shift"]), "--workers", "0"]
    words += ["--checkpoint", str(tmp_path / "run.pt")]
    sets = [f"--set={key}={QUICK[key]}" for key in QUICK if key not in ("progress", "device")]
    command = ["train", "multisensory", "--preset", "shift", "--device", "cpu"]
    assert main([*command, *words, *sets]) == 0
    said = capsys.readouterr()
    assert "training: 3 steps" in said.out and "check val" in said.err
    assert main(["evaluate", "multisensory", "--device", "cpu", *words]) == 0
    assert "\naccuracy " in capsys.readouterr().out
    words[1] = str(roots["ucf101"])
    assert main(["evaluate", "multisensory", *words, "--set=layout=ucf101"]) != 0
    assert "head=match wants layout=folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "network",
    [
        Network(),
        Network(sound="waveform"),
        Network("classes", classes=3),
        *(Network("separation", eye=eye) for eye in EYES),
    ],
)
def test_every_weight_that_learns_gets_a_gradient(network, roots):
    preset = {"match": "shift", "classes": "ucf101", "separation": "voxceleb"}[network.head]
    options = configure(TASK, preset, {"size": 16, **OWN[preset]}).data
    batch = next(iter(Ordered(read(options, roots[preset], "val", Reading()), 2)))
    model = build(network).train()
    task.loss(model, batch, Recipe())["loss"].backward()
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert learning and [n for n, p in learning.items() if p.grad is None] == []


def test_mirrored_or_not(roots):
    seen = []

    def model(frames, sound):
        seen.append(frames)
        return torch.zeros(len(sound), requires_grad=True)

    batch = next(iter(Ordered(read(Videos(size=16), roots["shift"], "val", Reading()), 2)))
    batch = batch._replace(frames=torch.rand_like(batch.frames))
    torch.manual_seed(1)
    for mirrored in (False, *[True] * 8):
        task.loss(model, batch, Recipe(mirrored))
    assert torch.equal(seen[0], batch.frames)
    turned = [torch.equal(part[0], batch.frames[0].flip(-1)) for part in seen[1:]]
    assert any(turned) and not all(turned)


# --- one preset as the start of another ----------------------------------------------------------


@pytest.mark.parametrize("source", PRESETS)
@pytest.mark.parametrize("head", ["match", "classes", "separation"])
def test_the_multisensory_network_is_taken_from_a_checkpoint(source, head, trained):
    model, path = trained[source][0].model, best_path(trained[source][1])
    started = build(Network(head, classes=5, start=path), seed=7)
    assert same(started.multisensory, model.multisensory)
    assert bool(started.learned) == (head == "match")


def test_training_begins_at_the_start_and_remembers_it(roots, trained, tmp_path):
    start = best_path(trained["shift"][1])
    before = trained["shift"][0].model.multisensory.state_dict()
    after = train("voxceleb", roots, tmp_path / "run.pt", start=start, learning_rate=1e-6, steps=1)
    weights = after.model.multisensory.named_parameters()
    assert all((value - before[name]).abs().max() < 1e-5 for name, value in weights)
    _, run = load_task(TASK, tmp_path / "run.pt")
    assert run["start"].startswith("shift.pt.best (")


def test_a_start_of_something_else_is_refused(trained, tmp_path):
    path = trained["shift"][1]
    with pytest.raises(CheckpointError, match="of a run with sound=log-mel, not waveform"):
        build(Network(sound="waveform", start=path))
    content = torch.load(path, weights_only=True)
    torch.save({**content, "settings": {"task": "avs"}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="is not of a training of multisensory"):
        build(Network(start=tmp_path / "other.pt"))
    torch.save({**content, "model": {}}, tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match=r"empty.pt is of another model: moving"):
        build(Network(start=tmp_path / "empty.pt"))
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        build(Network(start=tmp_path / "none.pt"))


def test_what_learned_nothing_is_not_scored(roots, trained):
    start = {"start": best_path(trained["shift"][1])}
    given = {"size": 16, **OWN["ucf101"], **start}
    with pytest.raises(AvcoreError, match="ucf101 has no trained network: give a checkpoint"):
        evaluate_task(TASK, "ucf101", roots["ucf101"], "test", given, device="cpu")
    run = configure(TASK, "ucf101", given)
    data = read(run.data, roots["ucf101"], "test", Reading())
    with pytest.raises(AvcoreError, match="has learned no classes; give a checkpoint"):
        task.evaluate(build(run.network), Ordered(data, 2))
    found = evaluate_task(TASK, "shift", roots["shift"], "val", {"size": 16, **start}, device="cpu")
    assert found["accuracy"] == pytest.approx(read_best(trained["shift"][1])["scores"]["accuracy"])


# --- variants -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("shift", {"negatives": "random pairs"}),
        ("ucf101", {"deaf": True, "with_sound": True, "batch_size": 1}),
        ("voxceleb", {"eye": "none"}),
        ("voxceleb", {"single_frame": True, "eye": "picture"}),
    ],
)
def test_variants_learn(preset, settings, roots):
    history = train(preset, roots, steps=1, **settings).histories["training"]
    assert all(math.isfinite(values[0]) for values in history.scores.values())
    if settings.get("eye") == "none":
        assert history.scores["score"] == history.scores["oracle_gain"]


def test_the_published_network_learns_the_pretext_task(roots, monkeypatch):
    monkeypatch.setattr(learner, "MultisensoryNet", partial(MultisensoryNet, width=2))
    given = {**QUICK, "seconds": 4.5, "least": 0.1, "precision": "32-true", "steps": 1}
    trained = train_task(TASK, "published", roots["shift"], given)
    assert isinstance(trained.model.model, MultisensoryNet)
    assert 0 <= trained.histories["training"].scores["accuracy"][0] <= 1


def test_mixtures_with_a_silent_voice_are_left_out(roots, trained, tmp_path):
    _, path = trained["voxceleb"]
    for number in (20, 21):
        place = f"id{number:05d}/abcdefghijk/00001"
        write_video(tmp_path / f"test/mp4/{place}.mp4", (10 * number,) * 2, sound=False)
        write_sound(tmp_path / f"test/wav/{place}.wav", quiet(2.0))
    with pytest.raises(AvcoreError, match="in every mixture a voice is silent"):
        evaluate_task(TASK, path, tmp_path, "test", device="cpu")
    write_video(tmp_path / "test/mp4/id00022/abcdefghijk/00001.mp4", (9, 9))
    write_video(tmp_path / "test/mp4/id00023/abcdefghijk/00001.mp4", (9, 9), pitches=(300, 500))
    settings = {"held_out": 12}
    found = evaluate_task(TASK, path, tmp_path, "test", settings, device="cpu")
    assert all(map(math.isfinite, found.values()))


# --- bad settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "settings", "said"),
    [
        ("shift", {"head": "all"}, "unknown head 'all'; choose one of match, classes, separation"),
        ("shift", {"head": "classes"}, "head=classes wants layout=ucf101"),
        ("voxceleb", {"layout": "folder", "seconds": 3.0}, "head=separation wants layout=voxceleb"),
        ("shift", {"backbones": "huge"}, "unknown backbones 'huge'; choose one of small, publish"),
        ("shift", {"backbones": "published"}, "set head=match and sound=waveform"),
        (
            "shift",
            {"backbones": "published", "sound": "waveform"},
            "backbones=published wants rates=published",
        ),
        ("ucf101", {"rates": "published"}, "backbones=small wants rates=small"),
        ("shift", {"seconds": 2.0}, r"seconds=2 are too few for .*least=0.5; 2.50 are needed"),
        ("voxceleb", {"seconds": 0.9}, r"seconds=0.9 are too few for separation; 1.00 are needed"),
        ("shift", {"least": 0.0}, "seconds wants the time of two frames at least, and least of"),
        ("shift", {"seconds": "inf"}, "seconds wants a number, got .inf."),
        ("shift", {"size": 20}, "size wants a multiple of 8, got 20"),
        ("shift", {"negatives": "none"}, "unknown kind of negatives 'none'"),
        ("shift", {"fold": 2}, "fold is a setting of the layout ucf101, not of folder"),
        ("ucf101", {"eye": "none"}, "eye is a setting of the layout voxceleb, not of ucf101"),
        ("voxceleb", {"held_out": 0}, "mixtures and held_out are at least 1"),
        ("voxceleb", {"eye": "third"}, "unknown eye 'third'"),
        ("ucf101", {"classes": 0}, "classes are at least 1, got 0"),
        ("shift", {"speed": 2}, "unknown key 'speed'; choose one of layout, size, seconds"),
    ],
)
def test_bad_settings_are_one_sentence(preset, settings, said):
    with pytest.raises(AvcoreError, match=said) as caught:
        configure(TASK, preset, settings)
    assert "\n" not in str(caught.value)


def test_the_root_and_the_network_have_the_same_classes(roots):
    assert len(CLASSES) == 3
    with pytest.raises(AvcoreError, match="has 3 classes, but the network 4; set classes=3"):
        train("ucf101", roots, classes=4)
