"""The similarity volume: fast equals naive equals the authors', gradients, and bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

from avcore.nn.similarity import HAS_TRITON, spatial_max
from avcore.papers.denseav import (
    HEAD_POOLS,
    POOLS,
    disentanglement,
    info_nce,
    nonnegative_pressure,
    paired_volume,
    pooled_similarity,
    silence,
    similarity_volume,
    temperature_balance,
    temporal_smoothness,
)
from avcore.support import AvcoreError

CASES = [f"sims_{pool}_{head}" for pool in POOLS for head in HEAD_POOLS] + ["sims_k1"]


@pytest.fixture
def vectors(repository):
    with np.load(repository / "tests/reference/denseav.npz") as file:
        yield {key: file[key] for key in file.files}


def features(seed=0, sounds=3, pictures=4, heads=2, steps=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(sounds, heads * 3, 1, steps, generator=generator, dtype=dtype)
    image = torch.randn(pictures, heads * 3, 2, 4, generator=generator, dtype=dtype)
    mask = torch.rand(sounds, steps, generator=generator) < 0.7
    return audio, image, mask


@pytest.mark.parametrize("name", CASES)
def test_similarities_losses_and_gradients_equal_the_authors(vectors, name):
    case = {
        key.split("/")[1]: value for key, value in vectors.items() if key.startswith(f"{name}/")
    }
    audio, image = (torch.tensor(case[key], requires_grad=True) for key in ("audio", "image"))
    heads = int(case["heads"])
    sims = pooled_similarity(
        audio, image, torch.tensor(case["mask"]), heads, str(case["agg"]), str(case["head_agg"])
    )
    loss = info_nce(sims)
    loss.backward()
    torch.testing.assert_close(sims, torch.tensor(case["sims"]), rtol=0, atol=1e-5)
    assert loss.item() == pytest.approx(float(case["nce"]), abs=1e-5)
    for found, expected in ((audio.grad, "grad_audio"), (image.grad, "grad_image")):
        torch.testing.assert_close(found, torch.tensor(case[expected]), rtol=0, atol=1e-6)
    smooth = temporal_smoothness(audio, image, heads).item()
    assert smooth == pytest.approx(float(case["tv"]), rel=1e-5)
    if "disentangle" in case:
        apart = disentanglement(audio, image, heads).item()
        assert apart == pytest.approx(float(case["disentangle"]), rel=1e-5)


def naive(audio, image, mask, heads, pool, head_pool, nonneg):
    """Eqs. 1 and 2 by the word, over loops."""
    out = torch.zeros(len(audio), len(image), dtype=audio.dtype)
    volume = similarity_volume(audio, image, heads)  # (A, V, K, F, T, H, W)
    volume = volume.clamp_min(0) if nonneg else volume
    if head_pool == "max_elementwise":
        volume = volume.max(2, keepdim=True).values
    for a, v in product(range(len(audio)), range(len(image))):
        per_head = []
        for k in range(volume.shape[2]):
            steps = []
            for t in range(audio.shape[-1]):
                if mask[a, t]:
                    places = volume[a, v, k, 0, t].flatten()
                    steps.append(places.mean() if pool == "sisa" else places.max())
            steps = torch.stack(steps) if steps else torch.zeros(1, dtype=audio.dtype)
            per_head.append(steps.max() if pool == "mima" else steps.mean())
        per_head = torch.stack(per_head)
        out[a, v] = per_head.max() if head_pool == "max" else per_head.sum()
    return out


@pytest.mark.parametrize(("pool", "head_pool"), list(product(POOLS, HEAD_POOLS)))
@pytest.mark.parametrize("nonneg", [False, True])
def test_fast_equals_naive_and_its_gradient_is_right(pool, head_pool, nonneg):
    audio, image, mask = features()
    found = pooled_similarity(audio, image, mask, 2, pool, head_pool, nonneg)
    torch.testing.assert_close(found, naive(audio, image, mask, 2, pool, head_pool, nonneg))

    def function(audio, image):
        return pooled_similarity(audio, image, mask, 2, pool, head_pool, nonneg)

    inputs = audio.requires_grad_(), image.requires_grad_()
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_sound_with_frequencies_is_averaged_over_them():
    generator = torch.Generator().manual_seed(3)
    audio = torch.randn(2, 4, 3, 5, generator=generator)
    image = torch.randn(2, 4, 2, 2, generator=generator)
    volume = similarity_volume(audio, image, 2)
    expected = volume.amax((2, -2, -1)).mean((-2, -1))
    torch.testing.assert_close(pooled_similarity(audio, image, None, 2), expected)


def test_half_precision_gives_float32_near_the_exact_value():
    audio, image, mask = features(dtype=torch.float32)
    exact = pooled_similarity(audio, image, mask, 2)
    rough = pooled_similarity(audio.bfloat16(), image.bfloat16(), mask, 2)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)


def test_the_volume_is_never_held():
    """The fast form of 24 sounds and pictures must save less than a tenth of the volume."""
    audio = torch.randn(24, 32, 1, 20, requires_grad=True)
    image = torch.randn(24, 32, 10, 10, requires_grad=True)
    saved = 0

    def weigh(tensor):
        nonlocal saved
        saved += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        pooled_similarity(audio, image, None, 2)
    assert saved < 24 * 24 * 2 * 20 * 100 / 10


@pytest.mark.parametrize("pool", POOLS)
def test_a_silent_clip_has_similarity_zero_and_finite_gradients(pool):
    audio, image, mask = features(dtype=torch.float32)
    mask[1] = False
    audio.requires_grad_()
    sims = pooled_similarity(audio, image, mask, 2, pool)
    assert sims[1].tolist() == [0, 0, 0, 0]
    sims.sum().backward()
    assert torch.isfinite(audio.grad).all()
    assert audio.grad[1].abs().max() == 0


def test_terms_equal_their_definitions():
    audio, image, mask = features(sounds=4)
    volume = paired_volume(audio, image, 2)  # (B, K, F, T, H, W)
    assert disentanglement(audio, image, 2).item() == pytest.approx(
        (volume[:, 0].abs() * volume[:, 1].abs()).mean().item()
    )
    assert temporal_smoothness(audio, image, 2).item() == pytest.approx(
        volume.diff(dim=3).square().mean().item()
    )
    quiet = ~mask
    rows = [volume[b, :, :, t].abs().mean() for b, t in quiet.nonzero().tolist()]
    assert silence(audio, image, mask, 2).item() == pytest.approx(torch.stack(rows).mean().item())
    assert silence(audio, image, torch.ones_like(mask), 2).item() == 0
    assert disentanglement(audio, image, 1).item() == 0
    assert temporal_smoothness(audio[..., :1], image, 2).item() == 0
    generator = torch.Generator().manual_seed(0)
    pressure = nonnegative_pressure(audio, image, 2, 100, generator).item()
    assert pressure > 0
    assert nonnegative_pressure(audio.abs(), image.abs(), 2).item() == 0
    assert temperature_balance(torch.tensor([0.5])).item() == 0
    assert temperature_balance(torch.tensor([-0.5])).item() == pytest.approx(0.25)


@pytest.mark.parametrize("heads", [3, 4])
def test_more_than_two_heads_average_over_their_pairs(heads):
    audio, image, _ = features(sounds=4, heads=heads)
    volume = paired_volume(audio, image, heads).abs()
    pairs = [
        (volume[:, i] * volume[:, j]).mean() for i in range(heads) for j in range(i + 1, heads)
    ]
    expected = torch.stack(pairs).mean().item()
    assert disentanglement(audio, image, heads).item() == pytest.approx(expected)


def test_bad_input_gets_one_clear_sentence():
    audio, image, mask = features(dtype=torch.float32)
    with pytest.raises(AvcoreError, match="same channels, got 5 and 6"):
        pooled_similarity(audio[:, :5], image, mask, 1)
    with pytest.raises(AvcoreError, match="6 channels cannot be split into 4 heads"):
        pooled_similarity(audio, image, mask, 4)
    with pytest.raises(AvcoreError, match=r"the mask must be \(3, 5\)"):
        pooled_similarity(audio, image, mask[:, :4], 2)
    with pytest.raises(AvcoreError, match=r"the mask must be \(3, 5\), got \(3, 1\)"):
        silence(audio, image[:3], mask[:, :1], 2)
    with pytest.raises(AvcoreError, match=r"the mask must be \(3, 5\), got \(5,\)"):
        temporal_smoothness(audio, image[:3], 2, mask[0])
    with pytest.raises(AvcoreError, match="unknown pooling 'masi'"):
        pooled_similarity(audio, image, mask, 2, "masi")
    with pytest.raises(AvcoreError, match="not finite"):
        pooled_similarity(audio.masked_fill(audio > 1, float("nan")), image, mask, 2)
    with pytest.raises(AvcoreError, match="audio is"):
        pooled_similarity(audio[:, :, 0], image, mask, 2)
    with pytest.raises(AvcoreError, match="as many sounds as pictures: 3, 4"):
        paired_volume(audio, image, 2)


INTERPRETED = """
import torch
from avcore.nn import similarity_triton
from avcore.nn.similarity import _Tiles
torch.manual_seed(0)
rows, columns = torch.randn(2, 70, 20), torch.randn(3, 2, 67, 20)
best, place = similarity_triton.forward(rows, columns)
best_too, place_too = _Tiles.forward(rows, columns)
torch.testing.assert_close(best, best_too)
assert place.equal(place_too)
weight = torch.randn(3, 2, 70) * (torch.rand(3, 2, 70) > 0.3)
for found, expected in zip(
    similarity_triton.backward(rows, columns, place, weight),
    _Tiles.backward(rows, columns, place, weight),
):
    torch.testing.assert_close(found, expected)
print("equal")
"""


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
def test_the_fused_kernel_equals_the_tiles_in_tritons_interpreter(repository):
    """The kernel's arithmetic without a GPU; on a GPU the next test runs the compiled one."""
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_kernel_equals_the_tiles_on_a_gpu(dtype):
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn(6, 2, 48, 50, generator=generator).to(dtype)
    image = torch.randn(7, 2, 48, 196, generator=generator).to(dtype)
    results = []
    for device in ("cpu", "cuda"):
        sound, picture = (x.to(device).requires_grad_() for x in (audio, image))
        best = spatial_max(sound, picture, True)
        best.square().mean().backward()
        results.append([best.cpu(), sound.grad.cpu().float(), picture.grad.cpu().float()])
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_cpu, on_gpu, rtol=1e-2, atol=1e-2 * on_cpu.abs().max().item())
    if dtype == torch.float32:
        torch.testing.assert_close(results[0][0], results[1][0])


def test_the_published_form_of_the_bench_gives_the_same_numbers():
    from avcore import bench_kernels

    case = bench_kernels.Similarity(batch=3, channels=4, steps=5, side=3)
    audio, image, mask = case.draw("cpu")
    torch.testing.assert_close(
        bench_kernels.published_similarity(audio, image, mask, 2),
        pooled_similarity(audio, image, mask, 2),
    )
    assert bench_kernels.peak_memory(case, "fast") >= 0


def test_the_published_f_measure_of_the_bench_gives_the_same_number():
    from avcore import bench_kernels, metrics

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 20, 20, generator=generator)
    target = torch.rand(3, 20, 20, generator=generator) > 0.7
    published = bench_kernels.published_f_measure(logits, target)
    assert metrics.f_measure(logits, target) == pytest.approx(published, abs=1e-5)


@pytest.mark.parametrize("name", ["Similarity", "Attention", "Thresholds"])
@pytest.mark.parametrize("form", ["fast", "published"])
def test_every_case_of_the_bench_runs_in_both_forms(name, form):
    from avcore import bench_kernels

    getattr(bench_kernels, name)().tiny().step(form, "cpu")()
