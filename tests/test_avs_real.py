"""AVS on the published layout: building, training, resuming, the command, bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avcore.cli import main
from avcore.data.avsbench import AVSBench
from avcore.nn.vggish import VGGish
from avcore.papers.avs import Recipe, real
from avcore.support import AvcoreError, CheckpointError
from avcore.training import TrainConfig
from tests.avsbench_tree import write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("avsbench")
    for setting in ("S4", "MS3"):
        write_tree(root, setting, {"train": 4, "val": 2, "test": 1}, size=64)
    return root


def command(tree, checkpoint, *more: str) -> int:
    words = ["train", "avs", "--root", str(tree), "--checkpoint", str(checkpoint)]
    small = ["--backbone", "small", "--size", "64", "--batch-size", "2", "--workers", "0"]
    return main([*words, *small, "--device", "cpu", *more])


def test_the_command_trains_scores_and_resumes(tree, tmp_path, capsys):
    path = tmp_path / "s4.pt"
    assert command(tree, path, "--epochs", "2") == 0
    said = capsys.readouterr().out
    assert "4 steps in" in said and "miou" in said
    first = path.read_bytes()
    assert command(tree, path, "--epochs", "2") == 0  # all is done already
    assert path.read_bytes() == first
    assert command(tree, tmp_path / "ms3.pt", "--setting", "MS3", "--start", str(path)) == 0


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(tree, tmp_path):
    data = AVSBench(tree, "S4", "train", size=64)
    config = TrainConfig(
        steps=4,
        batch_size=2,
        learning_rate=1e-3,
        schedule="constant",
        device="cpu",
        progress=False,
        checkpoint_every=2,
    )
    whole, parts = (real.build("small", seed=1) for _ in range(2))
    real.train(whole, data, config, Recipe(1))

    def stop(step: int, _: dict) -> None:
        if step == 3:
            raise KeyboardInterrupt

    saved = replace(config, checkpoint=tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):
        real.train(parts, data, saved, Recipe(1), on_step=stop)
    again = real.build("small", seed=2)
    real.train(again, data, saved, Recipe(1))
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_public_weights_go_where_they_belong(tmp_path):
    from avcore.papers.avs.model import ResNet50

    encoder = ResNet50().state_dict()
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
    with pytest.warns(UserWarning, match=r"vggish starts from random weights; download vggish"):
        model = real.build("resnet50", encoder=tmp_path / "resnet50.pth")
    for name, value in model.model.encoder.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, encoder[name]), name


def test_a_listener_with_public_weights_stays_as_it_is():
    tiny = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(6144))
    real.Listening(real.small_avs(), tiny, frozen=True).train()
    assert not tiny.training and not any(p.requires_grad for p in tiny.parameters())
    assert real.Listening(real.small_avs(), VGGish(), frozen=False).train().listener.training


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--setting", "S5"), 2, "unknown setting 'S5'"),
        (("--backbone", "alexnet"), 2, "unknown backbone 'alexnet'"),
        (("--data", "music"), 2, "unknown data 'music'"),
        (("--size", "100"), 2, "multiple of 32"),
        (("--batch-size", "9"), 2, "a batch of 9 from only 4 videos"),
        (("--vggish", "nowhere.pth"), 2, "no public weights"),
        (("--root", "nowhere"), 3, "nowhere"),
    ],
)
def test_bad_input_gets_one_sentence(tree, tmp_path, capsys, words, code, said):
    assert command(tree, tmp_path / "x.pt", *words) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x.pt").exists()


def test_a_missing_file_of_weights_says_where_to_get_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*; download vggish-10086976"):
        real.build("resnet50", vggish=tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="is not a state dict"):
        real.build("resnet50", encoder=tmp_path / "list.pth")
    with pytest.raises(AvcoreError, match="choose one of small, resnet50, pvt_v2_b5"):
        real.build("vgg")
