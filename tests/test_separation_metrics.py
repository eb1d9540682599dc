"""Scores of separation: worked out by hand, unchanged by scale and batch, silence has an answer."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from avcore.metrics import bss_eval, on_off_loss, si_sdr, si_sdr_gain
from avcore.metrics.separation import LIMIT
from avcore.support import AvcoreError

N = 4000


def noises(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------ SI-SDR


def test_si_sdr_by_hand():
    target = torch.tensor([3.0, 4.0, 0.0])
    estimate = 2 * target + torch.tensor([0.0, 0.0, 1.0])  # 100 of the target, 1 of what is not
    assert si_sdr(estimate, target).item() == pytest.approx(20)
    assert si_sdr(target + torch.tensor([-4.0, 3.0, 0.0]), target).item() == pytest.approx(0)


def test_si_sdr_equals_the_loop():
    estimate, target = noises(2, 3, N), noises(2, 3, N, seed=1) + 0.5
    expected = np.empty((2, 3))
    for index in np.ndindex(2, 3):
        e, s = estimate[index].double().numpy(), target[index].double().numpy()
        scaled = e @ s / (s @ s) * s
        expected[index] = 10 * np.log10(scaled @ scaled / ((scaled - e) @ (scaled - e)))
    np.testing.assert_allclose(si_sdr(estimate, target), expected, rtol=1e-9)


def test_si_sdr_does_not_change_with_scale_sign_or_batch():
    target, noise = noises(5, N), noises(5, N, seed=1)
    estimate = target + 0.3 * noise
    scores = si_sdr(estimate, target)
    assert scores.shape == (5,) and scores.dtype == torch.float64
    torch.testing.assert_close(si_sdr(-3 * estimate, target), scores)
    torch.testing.assert_close(si_sdr(estimate, 0.01 * target), scores)
    alone = torch.stack([si_sdr(e, t) for e, t in zip(estimate, target, strict=True)])
    torch.testing.assert_close(alone, scores)
    joined = si_sdr(estimate[None].expand(2, -1, -1), target[None].expand(2, -1, -1))
    torch.testing.assert_close(joined, scores.expand(2, -1))


def test_perfect_silent_and_orthogonal_estimates_have_an_answer():
    target = noises(N)
    assert si_sdr(0.5 * target, target).item() == LIMIT
    assert si_sdr(torch.zeros(N), target).item() == -LIMIT
    assert si_sdr(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])).item() == -LIMIT


def test_the_gain_is_over_the_mixture():
    on, off = noises(2, N), noises(2, N, seed=1)
    mixture, estimate = on + off, on + 0.1 * off
    gain = si_sdr_gain(estimate, mixture, on)
    torch.testing.assert_close(gain, si_sdr(estimate, on) - si_sdr(mixture, on))
    assert gain.tolist() == pytest.approx([20, 20], abs=0.5)
    assert si_sdr_gain(mixture, mixture, on).tolist() == [0, 0]


# ---------------------------------------------------------------------------------- BSS Eval


def test_bss_eval_is_the_library_s_and_never_below_si_sdr():
    pytest.importorskip("mir_eval")
    targets = noises(2, 2, N)
    estimates = targets + 0.2 * targets.flip(1) + 0.1 * noises(2, 2, N, seed=1)
    found = bss_eval(estimates, targets)
    assert found.sdr.shape == (2, 2) and found.sir.dtype == torch.float64
    assert (found.sdr >= si_sdr(estimates, targets)).all()
    assert (found.sdr <= torch.minimum(found.sir, found.sar)).all()
    # 512 filter taps for each of two sounds explain a quarter of 4,000 samples of noise: 1.2 dB
    assert (found.sdr - si_sdr(estimates, targets)).max() < 1
    assert found.sir.mean().item() == pytest.approx(20 * np.log10(1 / 0.2), abs=1)
    assert found.sar.mean().item() == pytest.approx(20 * np.log10(1 / 0.1), abs=1.5)
    louder = bss_eval(5 * estimates[1], targets[1])  # alone, too
    torch.testing.assert_close(torch.stack(louder), torch.stack(found)[:, 1])


def test_targets_that_are_one_sound_are_a_sentence():
    impulse = torch.zeros(2, 2000)
    impulse[:, 0] = 1.0
    with pytest.raises(AvcoreError, match="cannot tell the targets apart"):
        bss_eval(torch.randn(2, 2000), impulse)


def test_bss_eval_can_choose_the_order():
    pytest.importorskip("mir_eval")
    targets = noises(2, 2000)
    estimates = targets.flip(0) + 0.1 * noises(2, 2000, seed=1)
    as_named, best = bss_eval(estimates, targets), bss_eval(estimates, targets, best_order=True)
    assert (as_named.sdr < 0).all() and (best.sdr > 15).all()
    assert bss_eval(targets[:1], targets[:1]).sir.tolist() == [LIMIT]


def test_without_the_library_its_extra_is_named(monkeypatch):
    for name in ("mir_eval", "mir_eval.separation"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"'mir_eval'; run: pip install 'avcore\[separation\]'"):
        bss_eval(noises(2, N), noises(2, N))


# ----------------------------------------------------------------------------- the on/off loss


def test_the_on_off_loss_by_hand():
    silence = torch.full((2, 3, 4), -100.0)
    on, off = silence.clone(), silence.clone()
    on[0] += 6  # everywhere
    off[0, 0] += 12  # in one of three steps
    off[1, 0, 0] -= 24  # in one of twelve places
    loss = on_off_loss(on, off, silence, silence)
    assert loss.tolist() == pytest.approx([6 + 4, 2])
    torch.testing.assert_close(on_off_loss(off, on, silence, silence), loss)
    assert on_off_loss(on, off, on, off).tolist() == [0, 0]
    torch.testing.assert_close(on_off_loss(on[1:], off[1:], silence[1:], silence[1:]), loss[1:])


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("estimate", "target", "said"),
    [
        (torch.ones(2, 4), torch.ones(2, 5), r"same shape, got \(2, 4\) and \(2, 5\)"),
        (torch.ones(2, 4), torch.tensor([[1.0] * 4, [0.0] * 4]), r"the target \(1,\) is silent"),
        (torch.ones(4), torch.zeros(4), "the target is silent"),
        (torch.tensor([1.0, float("nan")]), torch.ones(2), "estimate holds NaN"),
        (torch.ones(2, 0), torch.ones(2, 0), "is empty"),
        (torch.tensor(1.0), torch.tensor(1.0), "at least two axes"),
    ],
)
def test_what_has_no_ratio_is_refused(estimate, target, said):
    with pytest.raises(AvcoreError, match=said):
        si_sdr(estimate, target)


def test_bss_eval_and_the_on_off_loss_refuse_what_does_not_fit():
    sounds = noises(2, N)
    with pytest.raises(AvcoreError, match=r"the estimate \(1,\) is silent"):
        bss_eval(sounds * torch.tensor([[1.0], [0.0]]), sounds)
    with pytest.raises(AvcoreError, match=r"\(\.\.\., S, n\) are wanted"):
        bss_eval(sounds[0], sounds[0])
    levels = torch.zeros(2, 3, 4)
    with pytest.raises(AvcoreError, match="wants 3 axes"):
        on_off_loss(*[levels[0]] * 4)
    with pytest.raises(AvcoreError, match="different shapes"):
        on_off_loss(levels, levels[:1], levels, levels[:1])
