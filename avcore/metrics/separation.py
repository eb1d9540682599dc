"""How well are mixed sounds taken apart? Ratios in dB, one value per sample."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from avcore.metrics.checks import Values, scores_tensor
from avcore.support import AvcoreError, require

LIMIT = 100.0  # dB: no ratio is reported beyond ±LIMIT, so that means stay finite


class Ratios(NamedTuple):
    """BSS Eval of S sounds, each (..., S) float64 in dB."""

    sdr: Tensor  # target to distortion, all that is not the target
    sir: Tensor  # target to interference, what is left of the other sounds
    sar: Tensor  # target and interference to artefacts, what is of no sound


def si_sdr(estimate: Values, target: Values) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, (..., n) -> (...) float64.

    10·log10(‖αs‖² / ‖αs − ŝ‖²) with α = ŝᵀs / ‖s‖², target s and estimate ŝ; no mean is removed.
    Source: Le Roux et al. (2019), Eq. 3. A perfect estimate has `LIMIT`; an estimate that is silent
    or orthogonal to the target has −`LIMIT`.

    Raises
    ------
    AvcoreError
        When a target is silent, shapes differ, or values are not finite.
    """
    estimate, target = _pair(estimate, target)
    _refuse_silence(target, "target")
    energy = target.square().sum(-1, keepdim=True)
    scaled = (estimate * target).sum(-1, keepdim=True) / energy * target
    return _decibel(scaled.square().sum(-1), (scaled - estimate).square().sum(-1))


def si_sdr_gain(estimate: Values, mixture: Values, target: Values) -> Tensor:
    """`si_sdr` of the estimate minus that of the mixture, in dB, (..., n) -> (...) float64."""
    return si_sdr(estimate, target) - si_sdr(mixture, target)


def bss_eval(estimates: Values, targets: Values, best_order: bool = False) -> Ratios:
    """SDR, SIR and SAR of BSS Eval (version 3), (..., S, n) -> three of (..., S).

    A target may be filtered by 512 taps before it is compared, so that no SDR is below `si_sdr`.
    Source: Vincent et al. (2006), computed by `mir_eval` on the CPU: 0.2 s for two sounds of 2 s.
    Limited to ±`LIMIT`: the SIR of a single sound is `LIMIT`.

    Parameters
    ----------
    best_order
        Whether estimates may be exchanged: the order with the highest mean SIR counts. This is an
        **oracle**, for networks that do not say which sound is which.

    Raises
    ------
    AvcoreError
        When a target or an estimate is silent, a target is another one filtered, shapes differ,
        or values are not finite.
    ImportError
        Without `mir_eval`, which the extra "separation" brings.
    """
    estimates, targets = _pair(estimates, targets)
    if targets.ndim < 2:
        raise AvcoreError(f"sounds (..., S, n) are wanted, got the shape {tuple(targets.shape)}")
    _refuse_silence(targets, "target")
    _refuse_silence(estimates, "estimate")
    separation = require("mir_eval.separation", "separation")
    shape = (-1, *targets.shape[-2:])
    pairs = zip(targets.reshape(shape).cpu(), estimates.reshape(shape).cpu(), strict=True)
    rows = []
    with warnings.catch_warnings():  # mir_eval 0.9 is to drop BSS Eval: the extra stays below
        warnings.simplefilter("ignore", FutureWarning)
        for target, estimate in pairs:
            sounds = target.numpy(), estimate.numpy()
            try:
                found = separation.bss_eval_sources(*sounds, compute_permutation=best_order)
            except (np.linalg.LinAlgError, AttributeError) as error:  # the latter by numpy 2
                raise AvcoreError(
                    "BSS Eval cannot tell the targets apart: one is the other, filtered"
                ) from error
            rows.append(found[:3])
    values = torch.from_numpy(np.array(rows)).to(targets.device).clamp(-LIMIT, LIMIT)
    return Ratios(*(each.reshape(targets.shape[:-1]) for each in values.unbind(1)))


def on_off_loss(on: Values, off: Values, true_on: Values, true_off: Values) -> Tensor:
    """Owens and Efros' "on/off loss": mean |Δ| of the levels of both sounds, summed, in dB.

    Source: their public code (`sourcesep.py`). Levels are those of spectrograms in dB that are not
    scaled to [-1, 1], (B, steps, bins) -> (B,) float64. Lower is better.

    Raises
    ------
    AvcoreError
        When shapes differ or values are not finite.
    """
    pairs = (_pair(on, true_on, dims=3), _pair(off, true_off, dims=3))
    if pairs[0][0].shape != pairs[1][0].shape:
        raise AvcoreError("the levels on screen and off screen have different shapes")
    return torch.stack([(found - true).abs().mean((1, 2)) for found, true in pairs]).sum(0)


def _pair(estimate: Values, target: Values, dims: int | None = None) -> tuple[Tensor, Tensor]:
    """Both as float64 of the same shape."""
    estimate, target = torch.as_tensor(estimate), torch.as_tensor(target)
    if estimate.shape != target.shape:
        raise AvcoreError(
            "estimate and target must have the same shape, got "
            f"{tuple(estimate.shape)} and {tuple(target.shape)}"
        )
    shape = target.shape
    if target.ndim == 1:  # a single sound has no sample axis
        estimate, target = estimate[None], target[None]
    found = scores_tensor(estimate, "estimate", dims).double().reshape(shape)
    return found, scores_tensor(target, "target", dims).double().reshape(shape)


def _refuse_silence(sounds: Tensor, name: str) -> None:
    silent = (sounds == 0).all(-1).nonzero()
    if len(silent):
        which = f" {tuple(silent[0].tolist())}" if sounds.ndim > 1 else ""
        raise AvcoreError(f"the {name}{which} is silent, so it has no ratio in dB")


def _decibel(signal: Tensor, noise: Tensor) -> Tensor:
    return (10 * torch.log10(signal / noise)).nan_to_num(-LIMIT, LIMIT, -LIMIT).clamp(-LIMIT, LIMIT)
