"""CSOL: the published networks give the authors' numbers; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avcore.papers import csol
from avcore.support import AvcoreError, CheckpointError
from tests.pseudo_weights import pseudo_weights

pytest.importorskip("torchvision")
REFERENCE = np.load(Path(__file__).parent / "reference" / "csol.npz")


def inputs(name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures, log-mel and dictionary of a case, drawn as for the authors' code."""
    seed, batch, size = (int(REFERENCE[f"{name}/{key}"]) for key in ("seed", "batch", "image"))
    audio = json.loads(str(REFERENCE[f"{name}/audio"]))
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, 3, size, size, generator=generator),
        torch.randn(batch, 1, *audio, generator=generator),
        torch.rand(11, 512, generator=generator),
    )


def assert_equal(name: str, found: dict[str, torch.Tensor]) -> None:
    for key, value in found.items():
        expected = torch.from_numpy(REFERENCE[f"{name}/{key}"])
        error = (value - expected).abs().max() / expected.abs().max()
        assert value.shape == expected.shape and error < 1e-4, (key, error)


@torch.no_grad()
def test_stage_one_equals_the_authors():
    image, audio, _ = inputs("csol_a_stage1")
    model = csol.StageOne.from_official(pseudo_weights("csol_stage_one"))
    out = model(image, audio)
    assert not model.training
    assert_equal("csol_a_stage1", {**out._asdict(), "visual": out.visual[:, ::16]})


@torch.no_grad()
def test_stage_two_equals_the_authors():
    model = csol.StageTwo.from_official(pseudo_weights("csol_stage_two"))
    assert_equal("csol_a_stage2", model(*inputs("csol_a_stage2"))._asdict())


def test_weights_of_another_network_are_refused():
    with pytest.raises(CheckpointError, match="no v_class_layer"):
        csol.StageOne.from_official({"other": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="obj_conv"):
        csol.StageTwo.from_official(pseudo_weights("csol_stage_one"))


def test_inputs_that_do_not_fit_are_refused():
    model = csol.StageTwo(4).eval()
    image, audio = torch.zeros(2, 3, 32, 32), torch.zeros(2, 1, 32, 64)
    with pytest.raises(AvcoreError, match=r"dictionary wants shape \(4, 512\)"):
        model(image, audio, torch.zeros(5, 512))
    with pytest.raises(AvcoreError, match="are wanted, got"):
        model(image, audio[:1], torch.zeros(4, 512))
