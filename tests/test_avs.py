"""AVS: the authors' numbers, the published form, bad input."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch

from avcore.nn import vggish
from avcore.papers import avs
from avcore.papers.avs.tpavi import published_form
from avcore.support import AvcoreError, CheckpointError
from tests.pseudo_weights import pseudo_weights


@pytest.fixture(scope="module")
def vectors(request):
    path = request.config.rootpath / "tests/reference/avs.npz"
    with np.load(path) as file:
        return {key: torch.tensor(file[key]) for key in file.files}


def case(vectors, name):
    return {k.split("/", 1)[1]: v for k, v in vectors.items() if k.startswith(f"{name}/")}


# --- TPAVI -------------------------------------------------------------------------------------


def test_tpavi_equals_the_authors(vectors):
    ref = case(vectors, "tpavi_16")
    weights = {k.removeprefix("sd."): v for k, v in ref.items() if k.startswith("sd.")}
    block = avs.TPAVI.from_official(weights)
    with torch.no_grad():
        z, aligned = block(ref["x"], ref["audio"])
        torch.testing.assert_close(z, ref["z"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(aligned, ref["audio_aligned"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(published_form(block, ref["x"], ref["audio"]), z)


@pytest.mark.parametrize("training", [False, True])
def test_the_collapse_is_exact_forward_and_backward(training):
    torch.manual_seed(0)
    block = avs.TPAVI(12).double().train(training)
    torch.nn.init.normal_(block.W_z[1].weight)
    x = torch.randn(2, 12, 5, 4, 3, dtype=torch.float64)
    audio = torch.randn(2, 5, 128, dtype=torch.float64)
    results = []
    for form in (lambda x: block(x, audio)[0], lambda x: published_form(block, x, audio)):
        block.zero_grad()
        inputs = x.clone().requires_grad_()
        z = form(inputs)
        z.square().sum().backward()
        gradients = [parameter.grad.clone() for parameter in block.parameters()]
        results.append([z.detach(), inputs.grad, *gradients])
    for fast, published in zip(*results, strict=True):
        torch.testing.assert_close(fast, published)


def test_the_running_statistics_move_as_those_of_the_published_form():
    torch.manual_seed(0)
    block = avs.TPAVI(12).double()
    torch.nn.init.normal_(block.W_z[1].weight)
    other = copy.deepcopy(block)
    for _ in range(3):
        x = 3 + torch.randn(2, 12, 5, 4, 3, dtype=torch.float64)
        audio = torch.randn(2, 5, 128, dtype=torch.float64)
        block(x, audio)
        published_form(other, x, audio)
    for fast, published in zip(block.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(fast, published)


def test_half_precision_keeps_the_statistics_wide():
    torch.manual_seed(0)
    block = avs.TPAVI(16)
    torch.nn.init.normal_(block.W_z[1].weight)
    x, audio = 20 + torch.randn(2, 16, 5, 8, 8), torch.randn(2, 5, 128)
    exact = block(x, audio)[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = block(x, audio)[0]
    assert (half - exact).abs().mean() < 0.1 * exact.abs().mean()


@pytest.mark.parametrize("hears", [True, False])
def test_half_precision_does_not_overflow(hears):
    torch.manual_seed(0)
    block = avs.TPAVI(256)
    torch.nn.init.ones_(block.W_z[1].weight)
    x, audio = 10 * torch.rand(1, 256, 5, 28, 28), 10 * torch.rand(1, 5, 128)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        assert torch.isfinite(block(x, audio if hears else None)[0]).all()


def test_without_sound_the_pixels_attend_to_each_other():
    torch.manual_seed(0)
    block = avs.TPAVI(8).double().eval()
    torch.nn.init.normal_(block.W_z[1].weight)
    x = torch.randn(1, 8, 2, 3, 3, dtype=torch.float64)
    z, aligned = block(x)
    assert aligned is None
    theta, phi, g = (layer(x).flatten(2) for layer in (block.theta, block.phi, block.g))
    y = (theta.transpose(1, 2) @ phi / 18 @ g.transpose(1, 2)).transpose(1, 2).view(1, 4, 2, 3, 3)
    by_hand = block.norm_layer((x + block.W_z(y)).movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(z, by_hand)


def test_tpavi_refuses_what_does_not_fit():
    block = avs.TPAVI(8)
    with pytest.raises(AvcoreError, match=r"x must be \(B, 8, T, H, W\)"):
        block(torch.randn(1, 4, 2, 3, 3))
    with pytest.raises(AvcoreError, match=r"audio must be \(1, 2, 128\), got \(1, 3, 128\)"):
        block(torch.randn(1, 8, 2, 3, 3), torch.randn(1, 3, 128))
    with pytest.raises(CheckpointError, match=r"theta\.weight is missing"):
        avs.TPAVI.from_official({})
    with pytest.raises(CheckpointError, match=r"theta\.weight is missing"):
        avs.TPAVI.from_official({"theta.weight": torch.zeros(4)})


# --- the published models ----------------------------------------------------------------------


def test_the_published_resnet_model_equals_the_authors(vectors):
    ref = case(vectors, "avs_resnet50")
    generator = torch.Generator().manual_seed(int(ref["seed"]))
    frames = torch.randn(5, 3, 64, 64, generator=generator)
    audio = torch.randn(5, 128, generator=generator)
    model = avs.AVSModel.from_official(pseudo_weights("avs_resnet50"))
    with torch.no_grad():
        found = model(frames, audio)
    for value, expected in (
        (found.logits, ref["logits"]),
        (found.stages[2], ref["stage3"]),
        (found.audio[0], ref["audio0"]),
    ):
        limit = 1e-4 * expected.abs().max().item()
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=limit)


def test_the_published_pvt_model_takes_its_weights_and_gives_masks():
    model = avs.AVSModel.from_official(pseudo_weights("avs_pvt"), backbone="pvt_v2_b5")
    with torch.no_grad():
        found = model(torch.randn(5, 3, 64, 64), torch.randn(5, 128))
    assert found.logits.shape == (5, 1, 64, 64)
    assert [stage.shape[-1] for stage in found.stages] == [16, 8, 4, 2]
    assert torch.isfinite(found.logits).all()


def test_models_name_what_is_wrong():
    with pytest.raises(AvcoreError, match="unknown backbone 'vgg'"):
        avs.AVSModel.from_official({}, "vgg")
    with pytest.raises(CheckpointError, match="of another model"):
        avs.AVSModel.from_official({"resnet.conv1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"'epoch' is no tensor; .* under 'model'"):
        avs.AVSModel.from_official({"epoch": 3, "model": {"conv1.weight": torch.zeros(1)}})
    with pytest.raises(CheckpointError, match="not a state dict"):
        avs.AVSModel.from_official([torch.zeros(1)])
    with pytest.raises(AvcoreError, match=r"multiples of 32, got \(33, 64\)"):
        avs.small_avs("no sound")(torch.zeros(5, 3, 33, 64))


# --- losses ------------------------------------------------------------------------------------


def test_losses_equal_the_authors(vectors):
    ref = case(vectors, "avs_losses_0")
    audio = [ref[f"audio{stage}"] for stage in range(4)]
    visual = [ref[f"visual{stage}"] for stage in range(4)]
    matching = partial(avs.avm_loss, ref["logits"], audio, visual)
    found = {
        "s4_bce": avs.first_frame_bce(ref["logits"], ref["gt_first"]),
        "ms3_bce": avs.all_frames_bce(ref["logits"], ref["gt_all"]),
        "s4_avm": matching("cosine"),
        "ms3_avm_av_kl": matching(),
        "ms3_avm_av_kl_thr": matching(threshold=True),
        "ms3_avm_vv_kl": matching(target="visual"),
        "ms3_avm_av_euclid": matching("euclidean"),
    }
    for name, value in found.items():
        assert value.item() == pytest.approx(ref[name].item(), rel=1e-4), name


def test_the_nearest_sound_is_never_a_frame_s_own():
    torch.manual_seed(0)
    sound, visual = 50 * torch.randn(1, 6, 8), torch.randn(6, 8, 4, 4)
    logits = torch.zeros(6, 1, 8, 8)
    loss = avs.avm_loss(logits, [sound], [visual], target="visual", normalise=False)
    assert loss > 1e-3  # compared with itself each frame would give 0


def test_matching_without_scaling_is_the_sum_of_divergences():
    torch.manual_seed(0)
    logits, sound, features = (
        torch.randn(10, 1, 8, 8),
        torch.randn(2, 5, 4),
        torch.rand(10, 4, 2, 2),
    )
    mask = torch.nn.functional.avg_pool2d(logits, 4).sigmoid()
    q, p = (mask * features).mean((-2, -1)).softmax(-1), sound.flatten(0, 1).softmax(-1)
    by_hand = (p * (p / q).log()).sum()
    found = avs.avm_loss(logits, [sound], [features], normalise=False)
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize(("backbone", "millions"), [("resnet50", 69), ("pvt_v2_b5", 101)])
def test_the_published_architectures_are_built_untrained(backbone, millions):
    """The paper counts 91 million with ResNet-50: 22 of them in a branch that nothing uses."""
    with torch.device("meta"):
        model = avs.AVSModel.published(backbone)
    assert round(sum(value.numel() for value in model.parameters()) / 1e6) == millions
    assert list(model.tpavi) == ["0", "1", "2", "3"] and model.training


def test_the_published_heads_begin_small():
    heads = avs.AVSModel.published("resnet50", tpavi_stages=()).heads
    spread = torch.cat([layer.weight.flatten() for head in heads for layer in head]).std()
    assert spread.item() == pytest.approx(0.01, rel=0.01)


def test_losses_refuse_what_does_not_fit():
    logits, features = torch.randn(10, 1, 8, 8), torch.randn(10, 4, 2, 2)
    with pytest.raises(AvcoreError, match="10 frames cannot be 3 clips"):
        avs.first_frame_bce(logits, torch.ones(3, 1, 8, 8))
    with pytest.raises(AvcoreError, match="logits and masks differ"):
        avs.all_frames_bce(logits, torch.ones(10, 1, 4, 4))
    with pytest.raises(AvcoreError, match="must hold only 0 and 1"):
        avs.all_frames_bce(logits, torch.full((10, 1, 8, 8), 255))
    with pytest.raises(AvcoreError, match="must hold only 0 and 1"):
        avs.first_frame_bce(logits, torch.full((2, 1, 8, 8), 255, dtype=torch.uint8))
    with pytest.raises(AvcoreError, match="unknown distance 'l1'"):
        avs.avm_loss(logits, [torch.randn(2, 5, 4)], [features], "l1")
    with pytest.raises(AvcoreError, match="do not fit"):
        avs.avm_loss(logits, [torch.randn(2, 5, 3)], [features])
    with pytest.raises(AvcoreError, match="as many sounds as stages"):
        avs.avm_loss(logits, [], [])


# --- VGGish ------------------------------------------------------------------------------------


def test_vggish_equals_the_public_port(vectors):
    ref = case(vectors, "vggish_a")
    examples = vggish.examples(ref["wave"], int(ref["sr"]))
    torch.testing.assert_close(examples, ref["examples"], rtol=1e-4, atol=1e-4)
    model = vggish.VGGish.from_official(pseudo_weights("vggish"))
    with torch.no_grad():
        torch.testing.assert_close(model(examples), ref["embedding"], rtol=1e-4, atol=1e-4)


def test_vggish_names_what_is_wrong():
    with pytest.raises(AvcoreError, match=r"too short: 0\.50 s, at least 0\.975 s"):
        vggish.examples(torch.randn(8000), 16_000)
    with pytest.raises(AvcoreError, match="mono"):
        vggish.examples(torch.randn(2, 16_000), 16_000)
    with pytest.raises(CheckpointError, match="of another model"):
        vggish.VGGish.from_official({"features.0.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="this is not a state dict: 0 is no name"):
        vggish.VGGish.from_official({0: torch.zeros(1)})
    assert vggish.examples(torch.randn(44_100 * 2), 44_100).shape == (2, 1, 96, 64)
