"""DenseAV on folders of media: phases, resuming, public weights, the commands."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("soundfile", reason="the media extra is not installed")
pytest.importorskip("lightning_fabric")

from media_tree import disc, tone, write_picture, write_sound, write_video

from avcore.cli import main
from avcore.nn import pretrained
from avcore.nn.hubert import Hubert
from avcore.nn.vit import VisionTransformer
from avcore.papers.denseav import task
from avcore.papers.denseav.aligners import EPS, AudioAligner, ImageAligner
from avcore.papers.denseav.model import DenseAV
from avcore.papers.denseav.task import SAMPLE_RATE, TASK, Network, Pairs, PhaseRecipe, build
from avcore.support import AvcoreError, CheckpointError
from avcore.training import (
    Reading,
    Shuffled,
    best_path,
    configure,
    evaluate_task,
    load_task,
    read_best,
    train_task,
)

EYE = pytest.mark.skipif(not pretrained.available(), reason="the eye extra is not installed")
QUICK = {
    "warm-up.steps": 2, "training.steps": 4, "batch_size": 3, "size": 32, "seconds": 0.5,
    "device": "cpu", "progress": False, "checkpoint_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    for split, count in (("train", 6), ("val", 3), ("test", 6)):
        for number in range(count):
            colour = (40 * number, 200 - 30 * number, 90)
            write_picture(root / split / f"{number}.png", disc(colour, 40, "RGB"))
            write_sound(root / split / f"{number}.wav", tone(300.0 + 200 * number, 0.6))
    return root


def train(root, checkpoint=None, **settings):
    return train_task(TASK, "small", root, {**QUICK, "checkpoint": checkpoint, **settings})


def same(one, other) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@EYE
def test_the_aligners_learn_first_and_then_everything(root, monkeypatch):
    free = []

    def watch(model, batch, recipe):
        learning = [name for name, p in model.named_parameters() if p.requires_grad]
        free.append((recipe.aligners_only, any("encoder" in name for name in learning)))
        assert batch.image.shape == (3, 3, 32, 32) and batch.waveform.shape == (3, 8000)
        return task.loss(model, batch, recipe)

    trained = train_task(replace(TASK, loss=watch), "small", root, QUICK)
    assert free == [(True, False)] * 2 + [(False, True)] * 4
    assert {name: h.steps[-1] for name, h in trained.histories.items()} == {
        "warm-up": 2, "training": 4,
    }  # fmt: skip
    assert trained.histories["warm-up"].scored == []
    assert trained.histories["training"].scored == [2, 4]


@pytest.mark.parametrize("seconds", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_video_s_picture_and_its_sound_are_of_one_stretch(tmp_path, split, seconds):
    pytest.importorskip("av", reason="the media extra is not installed")
    shades, pitches = (30, 80, 130, 180, 230), (400, 800, 1200, 1600, 2000)
    write_video(tmp_path / split / "a.mp4", shades, pitches=pitches)
    (pair,) = task.data(Pairs(32, seconds), tmp_path, split, Reading())
    assert pair.waveform.shape == (seconds * SAMPLE_RATE,)
    assert pair.image.float().mean().item() == pytest.approx(130, abs=6)  # the third of five
    middle = round(min(seconds, 5.0) / 2 * SAMPLE_RATE)  # of what there is
    heard = pair.waveform[middle - 4000 : middle + 4000]
    assert torch.fft.rfft(heard, SAMPLE_RATE).abs().argmax().item() == pytest.approx(1200, abs=4)


@EYE
@pytest.mark.parametrize("stop", [2, 5])
def test_any_phase_can_be_resumed(root, tmp_path, stop):
    whole, calls = train(root, tmp_path / "whole.pt").model, []

    def interrupted(model, batch, recipe):
        calls.append(None)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return task.loss(model, batch, recipe)

    path = tmp_path / "run.pt"
    settings = {**QUICK, "checkpoint": path, "warm-up.checkpoint_every": 1}
    settings["training.checkpoint_every"] = 2
    with pytest.raises(KeyboardInterrupt):
        train_task(replace(TASK, loss=interrupted), "small", root, settings)
    again = train_task(TASK, "small", root, settings)
    assert same(whole, again.model)
    if stop == 5:
        assert list(again.histories) == ["training"]  # the warm-up was over
        (tmp_path / "run.pt.warm-up").unlink()
        assert same(whole, train_task(TASK, "small", root, settings).model)


@EYE
def test_another_warm_up_is_another_run(root, tmp_path):
    train(root, tmp_path / "run.pt")
    with pytest.raises(CheckpointError, match=r"warm-up.steps=2, not 1; choose another"):
        train(root, tmp_path / "run.pt", **{"warm-up.steps": 1})
    with pytest.raises(CheckpointError, match=r"heads=1, not 2"):
        train(root, tmp_path / "run.pt", heads=2)


@EYE
def test_the_commands_train_and_score(root, tmp_path, capsys):
    sets = [f"--set={key}={QUICK[key]}" for key in QUICK if key not in ("progress", "device")]
    words = ["--root", str(root), "--workers", "0", "--checkpoint", str(tmp_path / "run.pt")]
    command = ["train", "denseav", "--preset", "small", "--device", "cpu"]
    assert main([*command, *words, *sets]) == 0
    said = capsys.readouterr()
    assert "warm-up: 2 steps" in said.out and "training: 4 steps" in said.out
    assert "check val" in said.err
    best = read_best(tmp_path / "run.pt")
    assert set(best["scores"]) == {"A_r1", "I_r1", "mean_recall"}  # three pairs alone
    assert main(["evaluate", "denseav", "--device", "cpu", *words]) == 0
    assert "A_r5" in capsys.readouterr().out
    model, _ = load_task(TASK, tmp_path / "run.pt.best")
    found = evaluate_task(TASK, tmp_path / "run.pt.best", root, "val", device="cpu")
    assert found == pytest.approx(best["scores"]) and model.network.backbones == "small"


# --- the published size, shallow ----------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """The published network with one block in each backbone."""

    def published(heads=2, lora_rank=8):
        eye = VisionTransformer(width=48, depth=1, heads=3, eps=EPS, lora_rank=lora_rank)
        ear = Hubert(32, 1, 2, EPS)
        return DenseAV(
            eye, ear, ImageAligner(48, 24), AudioAligner(32, 24, attention_heads=3), heads
        )

    monkeypatch.setattr(DenseAV, "published", published)


def public_files(folder):
    """Weights under their public names, and the same under ours."""
    dino = VisionTransformer(width=48, depth=1, heads=3).state_dict()
    hubert = Hubert(32, 1, 2).state_dict()
    torch.save(dino, folder / "dino.pth")
    theirs = {}
    for name, value in hubert.items():
        name = name.removeprefix("model.").replace("encoder.transformer.", "encoder.")
        name = name.replace("encoder.feature_projection.", "feature_projection.")
        for number, ending in enumerate(("weight_g", "weight_v")):
            name = name.replace(f"parametrizations.weight.original{number}", ending)
        theirs[name] = value
    torch.save({**theirs, "masked_spec_embed": torch.zeros(32)}, folder / "hubert.bin")
    return dino, hubert


def test_public_weights_go_where_they_belong(tmp_path, tiny):
    dino, hubert = public_files(tmp_path)
    files = {"dino": tmp_path / "dino.pth", "hubert": tmp_path / "hubert.bin"}
    model = build(Network("published", 2, **files))
    for part, public in ((model.image_encoder, dino), (model.audio_encoder, hubert)):
        own = part.state_dict()
        assert {name for name in own if "lora_" not in name} == set(public)
        assert all(torch.equal(own[name], value) for name, value in public.items())
    assert any("lora_" in name for name in model.image_encoder.state_dict())
    with pytest.warns(UserWarning, match="hubert starts from random weights; download"):
        build(Network("published", dino=files["dino"]))
    with pytest.raises(CheckpointError, match=r"none.pth; download dino_deitsmall8_pretrain"):
        build(Network("published", dino=tmp_path / "none.pth"))


def test_the_published_network_trains_by_lora(root, tmp_path, tiny):
    public_files(tmp_path)
    files = {"dino": tmp_path / "dino.pth", "hubert": tmp_path / "hubert.bin"}
    before = build(Network("published", 2, **files)).state_dict()
    settings = {**QUICK, **files, "precision": "32-true", "augmented": False, "warmup": 0}
    settings["checkpoint"] = tmp_path / "run.pt"
    model = train_task(TASK, "published", root, settings).model
    moved = {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert not any("image_encoder" in name and "lora_" not in name for name in moved)
    assert any("lora_B" in name for name in moved)
    assert any(name.startswith("audio_encoder") for name in moved)
    again, run = load_task(TASK, tmp_path / "run.pt.best")
    assert same(model, again) and run["dino"].startswith("dino.pth (")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbones": "huge"}, "unknown backbones 'huge'; choose one of small, published"),
        ({"heads": 0}, "at least one head, got heads=0"),
        ({"dino": "a.pth"}, "the small backbones bring their own weights"),
        ({"size": 30}, "size wants a multiple of 8"),
        ({"seconds": "long"}, "seconds wants a number, got 'long'"),
        ({"warm_up": 3}, r"the warm-up is a phase of its own; set warm-up\.steps"),
        ({"warmup.steps": 3}, "unknown key 'warmup.steps'; choose one of size, seconds"),
        ({"pool": "best"}, "unknown pool"),
    ],
)
def test_bad_settings_are_one_sentence(settings, said):
    with pytest.raises(AvcoreError, match=said):
        configure(TASK, "small", settings)


def test_a_folder_is_needed_and_checked(root, tmp_path):
    with pytest.raises(AvcoreError, match="with train and val in it: give a root"):
        train(None)
    with pytest.raises(AvcoreError, match="train: there is no such folder"):
        train(tmp_path)
    with pytest.raises(AvcoreError, match="the authors' checkpoint brings all weights"):
        Network("published", official=tmp_path / "a.ckpt", dino=tmp_path / "a.pth")
    assert PhaseRecipe().augmented


# --- two processes ------------------------------------------------------------------------------

DDP_SCRIPT = """
    import os, sys, torch
    from avcore.cli import main
    code = main(sys.argv[1:])
    torch.distributed.barrier()
    os._exit(code)  # gloo's threads may still hold tensors, and now and then abort a normal exit
"""


@EYE
@pytest.mark.slow
def test_the_command_shares_the_work_of_two_processes(root, tmp_path):
    script, path = tmp_path / "train.py", tmp_path / "run.pt"
    script.write_text(textwrap.dedent(DDP_SCRIPT))
    repository = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    sets = {**QUICK, "batch_size": 4}
    words = [f"--set={key}={value}" for key, value in sets.items() if key != "device"]
    command = ["train", "denseav", "--preset=small", f"--root={root}", f"--checkpoint={path}"]
    ended = subprocess.run(
        [*launch, str(script), *command, "--device=cpu", "--workers=0", *words],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.count("training: 4 steps") == 1  # the main process speaks alone
    model, run = load_task(TASK, best_path(path))
    assert run["batch_size"] == 4 and all(p.isfinite().all() for p in model.parameters())
    with pytest.raises(AvcoreError, match="batches of 3 cannot be shared evenly by 2 devices"):
        Shuffled(torch.arange(6), 3).share(0, 2)
