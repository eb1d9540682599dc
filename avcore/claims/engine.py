"""Running claims: paired by seed, recorded after every run, resumed where they stopped."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from avcore import environment
from avcore.claims.catalogue import CLAIMS, find_claim
from avcore.claims.claim import Claim
from avcore.claims.fingerprint import fingerprint
from avcore.claims.record import (
    DamagedRecord,
    Run,
    read_record,
    record_path,
    results_folder,
    save_record,
    set_aside,
)
from avcore.support import AvcoreError
from avcore.training.config import pick_device

Say = Callable[[str], None]


def reproduce(
    ids: Iterable[str] | None = None,
    scale: str = "quick",
    seeds: int | Sequence[int] = 3,
    results_dir: str | Path | None = None,
    device: str = "auto",
    progress: Say | None = None,
    claims: dict[str, Claim] | None = None,
) -> dict[str, dict[str, Any]]:
    """Run claims and record them; what is recorded already is not run again.

    Parameters
    ----------
    ids
        Which claims; all that may be run at this scale by default.
    scale
        "smoke" (never judged), "quick" or "full".
    seeds
        How many seeds (0, 1, …), or which. Both variants run with each.
    results_dir
        Folder of the records, see `results_folder`.
    progress
        Called with one line after every run.
    claims
        Where to look claims up; the book's own by default.

    Returns
    -------
    The record of each claim. Fields: `id`, `paper`, `sentence`, `metric`, `direction`,
    `margin`, `treatment`, `baseline`, `reported`, `explanation`, `scale`, `seeds`,
    `treatment_values`, `baseline_values`, `differences`, `mean_difference`, `interval`,
    `confidence`, `sign_test`, `verdict`, `seconds`, `device`, `hardware`, `commit`, `versions`,
    `fingerprint`, `runs`.

    Raises
    ------
    AvcoreError
        For an unknown claim, scale or device, before anything is run; and when the experiments of
        some claims failed, after the others have been run and recorded.
    """
    claims = CLAIMS if claims is None else claims
    chosen = [find_claim(claim_id, claims) for claim_id in dict.fromkeys(ids or claims)]
    record_path("any", scale)  # an unknown scale is an error
    for claim in chosen if ids else ():
        if scale not in claim.scales:
            raise AvcoreError(f"claim {claim.id} is run at {', '.join(claim.scales)}, not {scale}")
    pick_device(device), _seeds(seeds)
    records, failed = {}, []
    for claim in chosen:
        if scale in claim.scales:
            try:
                records[claim.id] = run_claim(claim, scale, seeds, results_dir, device, progress)
            except AvcoreError as error:
                failed.append(f"{claim.id}: {error}")
                if progress:
                    progress(f"failed, {failed[-1]}")
    if failed:
        raise AvcoreError(f"{len(failed)} of {len(chosen)} claims failed. {'; '.join(failed)}")
    return records


def run_claim(
    claim: Claim,
    scale: str = "quick",
    seeds: int | Sequence[int] = 3,
    results_dir: str | Path | None = None,
    device: str = "auto",
    progress: Say | None = None,
) -> dict[str, Any]:
    """Run one claim and record it; see `reproduce`. Its record is written after every run."""
    wanted = _seeds(seeds)
    device = str(pick_device(device))
    path = record_path(claim.id, scale, results_dir)
    code = fingerprint(claim)
    known = _known_runs(claim, code, path, device)
    for seed in wanted:
        for variant in (claim.treatment, claim.baseline):
            if (variant, seed) in known:
                continue
            run = _run(claim, variant, seed, scale, device)
            # read again: another process may have recorded runs in the meantime
            known = _known_runs(claim, code, path, device) | {(variant, seed): run}
            _save(claim, scale, code, known, path, progress)
            if progress:
                value, seconds = run["values"][claim.metric], run["seconds"]
                described = f"{claim.metric} {value:.4g} ({seconds:.0f} s)"
                progress(f"{claim.id} seed {seed}, {variant}: {described}")
    return _save(claim, scale, code, known, path, progress)


def _run(claim: Claim, variant: str, seed: int, scale: str, device: str) -> Run:
    """One run of the experiment, with all that the number depends on."""
    began = time.perf_counter()
    values = claim.load_experiment()(variant=variant, seed=seed, scale=scale, device=device)
    values = {name: float(value) for name, value in values.items()}
    if claim.metric not in values:
        found = ", ".join(values)
        raise AvcoreError(f"the experiment of {claim.id} gives {found}, but not {claim.metric}")
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise AvcoreError(
            f"{claim.id}, {variant}, seed {seed}: {', '.join(bad)} is not a finite number"
        )
    return {
        "variant": variant,
        "seed": seed,
        "values": values,
        "seconds": round(time.perf_counter() - began, 2),
        "device": device,
        "hardware": environment.hardware(device),
        "commit": environment.commit(),
        "versions": environment.versions(),
    }


def _known_runs(claim: Claim, code: str, path: Path, device: str) -> dict[tuple[str, int], Run]:
    """Runs of the same experiment and code at this scale, the claim's own or another's.

    Both variants of a seed are of one device; where they are not, the run of `device` counts.
    """
    runs: dict[tuple[str, int], Run] = {}
    files = results_folder(path.parent).glob("*.json")
    for file in sorted(files, key=lambda each: (each != path, each.name)):
        try:
            record = read_record(file)
        except DamagedRecord:
            continue
        if record["experiment"] == claim.experiment_name and record["fingerprint"] == code:
            for run in record["runs"]:
                wanted = run["variant"] in (claim.treatment, claim.baseline)
                if wanted and claim.metric in run["values"]:
                    runs.setdefault((run["variant"], run["seed"]), run)
    for seed in {seed for _, seed in runs}:
        pair = [runs.get((variant, seed)) for variant in (claim.treatment, claim.baseline)]
        if len({run["device"] if run else device for run in pair}) > 1:
            for run in pair:
                if run and run["device"] != device:
                    del runs[run["variant"], seed]
    return runs


def _save(
    claim: Claim,
    scale: str,
    code: str,
    runs: dict[tuple[str, int], Run],
    path: Path,
    say: Say | None,
) -> dict[str, Any]:
    """Write the record; a file in its place that is damaged or of other code is set aside."""
    if path.exists():
        try:
            same = read_record(path)["fingerprint"] == code
            why = None if same else "from-other-code"
        except DamagedRecord:
            why = "damaged"
        if why:
            set_aside(path, why, say or warnings.warn)
    return save_record(claim, scale, code, list(runs.values()), path)


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    wanted = list(range(seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not wanted or any(not isinstance(seed, int) or seed < 0 for seed in wanted):
        raise AvcoreError(f"seeds wants a number of at least 1, or a list of seeds, got {seeds!r}")
    return wanted
