"""One run of an experiment, with all that its numbers depend on."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping

import torch

from avcore import environment
from avcore.claims.alone import run_alone
from avcore.claims.claim import Claim
from avcore.claims.summary import Run
from avcore.support import AvcoreError


def make_run(
    claim: Claim, variant: str, seed: int, scale: str, device: str, threads: int | None = None
) -> Run:
    """Run the experiment of a claim; with a number of threads, as a repeated run.

    A repeated run gets a process of its own, since an experiment may keep what it has trained.

    Raises
    ------
    AvcoreError
        When a value that the claim reads is missing, or one is not finite.
    """
    commit, began = environment.commit(), time.perf_counter()
    options = {"variant": variant, "seed": seed, "scale": scale, "device": device}
    if threads and isinstance(claim.experiment, str):
        values = run_alone(claim.experiment, threads, **options)
    else:
        with _threads(threads or torch.get_num_threads()):
            values = claim.load_experiment()(**options)
    return {
        "variant": variant,
        "seed": seed,
        "values": _finite_values(values, claim, variant, seed),
        "seconds": round(time.perf_counter() - began, 2),
        "threads": threads or torch.get_num_threads(),
        "device": device,
        "hardware": environment.hardware(device),
        "commit": commit,
        "versions": environment.versions(),
    }


def told(claim: Claim, run: Run) -> str:
    """A run in one line."""
    names = sorted(claim.needs[run["variant"]])
    values = ", ".join(f"{name} {run['values'][name]:.4g}" for name in names)
    return f"{claim.id} seed {run['seed']}, {run['variant']}: {values} ({run['seconds']:.0f} s)"


def _finite_values(
    values: Mapping[str, float], claim: Claim, variant: str, seed: int
) -> dict[str, float]:
    """What an experiment gave, if it is all that the claim reads, and finite."""
    numbers = {name: float(value) for name, value in values.items()}
    lacking = sorted(claim.needs[variant] - numbers.keys())
    if lacking:
        found = ", ".join(numbers)
        raise AvcoreError(
            f"the experiment of {claim.id} gives {found}, but not {', '.join(lacking)}"
        )
    bad = [name for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        where = f"{claim.id}, {variant}, seed {seed}"
        raise AvcoreError(f"{where}: {', '.join(bad)} is not a finite number")
    return numbers


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute with so many threads, and as before afterwards."""
    usual = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
