"""Running claims: paired by seed, recorded after every run, resumed where they stopped."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avcore import environment
from avcore.claims.catalogue import CLAIMS, find_claim
from avcore.claims.claim import Claim
from avcore.claims.evidence import (
    DamagedRecord,
    Evidence,
    FutureRecord,
    Record,
    read_evidence,
    save,
    set_aside,
)
from avcore.claims.fingerprint import fingerprint
from avcore.claims.record import load_records, present, record_path, results_folder
from avcore.claims.run import make_run, told
from avcore.claims.statistics import FEWEST_SEEDS
from avcore.claims.summary import Run, complete_seeds, corrected
from avcore.environment import ROOT
from avcore.support import AvcoreError
from avcore.training.config import pick_device

Say = Callable[[str], None]
Seeds = int | Sequence[int] | None
Known = dict[tuple[str, int], Run]  # by variant and seed
BOOK_RESULTS = ROOT / "book" / "results"
CHANGED = "the code of the experiment was changed since the runs began; start again"


def reproduce(
    ids: Iterable[str] | None = None,
    scale: str = "quick",
    seeds: Seeds = None,
    results_dir: str | Path | None = None,
    device: str = "auto",
    progress: Say | None = None,
    claims: dict[str, Claim] | None = None,
) -> dict[str, Record]:
    """Run claims and record them; what is recorded already is not run again.

    Parameters
    ----------
    ids
        Which claims; all that may be run at this scale by default.
    scale
        "smoke" (never judged), "quick" or "full".
    seeds
        Which seeds, or how many from a claim's first on; by default the planned ones, and one at
        smoke scale. Every variant runs with each.
    results_dir
        Folder of the records, see `results_folder`. The book's own results take runs of
        committed code only.
    progress
        Called with one line after every run.
    claims
        Where to look claims up; the book's own by default.

    Returns
    -------
    The record of each claim: how it was declared (`id`, `paper`, `kind`, `sentence`, `reported`,
    `experiment`, `treatment`, `baseline`, `direction`, `effect`, `planned`, `first_seed`,
    `gates`), what came out (`seeds`, `treatment_values`, `baseline_values`, `differences`,
    `mean_difference`, `interval`, `confidence`, `p_value`, `holm`, `sign_test`, `gates_failed`,
    `noise`, `verdict`, `superseded`), and on what (`scale`, `seconds`, `device`, `hardware`,
    `commit`, `versions`, `fingerprint`, `repeat`, `runs`).

    Raises
    ------
    AvcoreError
        For an unknown claim, scale or device, or code that is not committed, before anything is
        run; and when some claims failed, after the others have been run and recorded.
    """
    claims = CLAIMS if claims is None else claims
    chosen = [
        find_claim(claim_id, claims) for claim_id in dict.fromkeys(claims if ids is None else ids)
    ]
    record_path("any", scale)  # an unknown scale is an error
    for claim in chosen:
        if ids is not None and scale not in claim.scales:
            raise AvcoreError(f"claim {claim.id} is run at {', '.join(claim.scales)}, not {scale}")
        _wanted(claim, scale, seeds)
    pick_device(device), _check_committed(scale, results_dir)
    chosen = [claim for claim in chosen if scale in claim.scales]
    codes = {claim.id: fingerprint(claim) for claim in chosen}
    records, failed = {}, []
    for claim in chosen:
        try:
            if fingerprint(claim) != codes[claim.id]:
                raise AvcoreError(CHANGED)
            records[claim.id] = run_claim(claim, scale, seeds, results_dir, device, progress)
        except AvcoreError as error:
            failed.append(f"{claim.id}: {error}")
            if progress:
                progress(f"failed, {failed[-1]}")
    if failed:
        raise AvcoreError(f"{len(failed)} of {len(chosen)} claims failed. {'; '.join(failed)}")
    everything = load_records(scale, results_dir, claims=claims) | records
    return {claim_id: corrected(everything)[claim_id] for claim_id in records}


def run_claim(
    claim: Claim,
    scale: str = "quick",
    seeds: Seeds = None,
    results_dir: str | Path | None = None,
    device: str = "auto",
    progress: Say | None = None,
) -> Record:
    """Run one claim and record it; see `reproduce`. Its record is written after every run.

    Runs of other code than the record in their place are written beside it, to
    `ID.partial.json`, until they are of as many seeds; then they replace it.
    """
    work = _Work(claim, fingerprint(claim), scale, results_dir, str(pick_device(device)))
    work.found(work.path)  # a record of a future version is an error before anything is run
    say = progress or (lambda line: None)
    wanted = _wanted(claim, scale, seeds)
    known = work.known(wanted)
    for seed in wanted:
        for variant in claim.needs:
            if (variant, seed) in known:
                continue
            run = work.run(variant, seed)
            # read again: another process may have recorded runs in the meantime
            known = work.known(wanted) | {(variant, seed): run}
            work.save(known, work.known_repeat(known), progress)
            say(told(claim, run))
    repeat, first = work.known_repeat(known), work.to_repeat(known)
    if repeat is None and first is not None:
        threads = 2 if first["threads"] == 1 else 1
        repeat = work.run(first["variant"], first["seed"], threads)
        known = work.known(wanted)
        say(f"{told(claim, repeat)}, again with {repeat['threads']} threads")
    return work.save(known, repeat, progress)


@dataclass(frozen=True)
class _Work:
    """A claim that is being run: with which code, on what, and where it is recorded."""

    claim: Claim
    code: str
    scale: str
    results_dir: str | Path | None
    device: str

    @property
    def path(self) -> Path:
        return record_path(self.claim.id, self.scale, self.results_dir)

    @property
    def partial(self) -> Path:
        return self.path.with_suffix(".partial.json")

    def run(self, variant: str, seed: int, threads: int | None = None) -> Run:
        """A run that may be recorded: of committed code that nobody changed meanwhile."""
        _check_committed(self.scale, self.results_dir)
        made = make_run(self.claim, variant, seed, self.scale, self.device, threads)
        if fingerprint(self.claim) != self.code:
            raise AvcoreError(CHANGED)
        return made

    def found(self, path: Path) -> Evidence | None:
        """What a file of this claim holds; None when there is none or it is damaged."""
        with contextlib.suppress(DamagedRecord):
            return read_evidence(path) if path.exists() else None
        return None

    def others(self) -> Iterator[Evidence]:
        """Results of the same experiment, code and scale, the claim's own before another's."""
        own = (self.path, self.partial)
        files = self.path.parent.glob("*.json")
        for file in sorted(files, key=lambda each: (each not in own, each)):
            with contextlib.suppress(DamagedRecord, FutureRecord):
                found = read_evidence(file)
                if found.is_of(self.claim.experiment_name, self.code):
                    yield found

    def known(self, wanted: Sequence[int]) -> Known:
        """Runs that need not be made: the claim's own, and another's of the wanted seeds.

        All variants of a seed are of one device; where they are not, those of `device` count.
        """
        runs: Known = {}
        for found in self.others():
            own = found.claim.id == self.claim.id and found.belongs_to(self.claim, self.code)
            for run in found.runs:
                uses = self.claim.uses(run["variant"], run["values"])
                if uses and (own or run["seed"] in wanted):
                    runs.setdefault((run["variant"], run["seed"]), run)
        for seed in {seed for _, seed in runs}:
            of_seed = {variant: runs.get((variant, seed)) for variant in self.claim.needs}
            if len({run["device"] if run else self.device for run in of_seed.values()}) > 1:
                for variant, run in of_seed.items():
                    if run and run["device"] != self.device:
                        del runs[variant, seed]
        return runs

    def known_repeat(self, known: Known) -> Run | None:
        """A run that was made again with other threads, of a treatment's run that is known."""
        side = self.claim.treatment
        for repeat in (found.repeat for found in self.others() if found.repeat):
            first = known.get((repeat["variant"], repeat["seed"]))
            if first and repeat["variant"] == side.variant and side.metric in repeat["values"]:
                return repeat
        return None

    def to_repeat(self, known: Known) -> Run | None:
        """The run that is made again once all planned seeds are there: the treatment's first."""
        seeds = complete_seeds(self.claim, list(known.values()))
        if self.scale == "smoke" or len(seeds) < max(self.claim.planned, FEWEST_SEEDS):
            return None
        treated = (known[self.claim.treatment.variant, seed] for seed in seeds)
        return next((run for run in treated if run["device"] == self.device), None)

    def save(self, known: Known, repeat: Run | None, say: Say | None) -> Record:
        """Write the record, or beside it while it holds other code's runs of more seeds."""
        fresh = Evidence(self.claim, self.scale, self.code, tuple(known.values()), repeat)
        place, path = self.found(self.path), self.path
        if place is not None:
            same = place.belongs_to(self.claim, self.code)
            fresh = replace(fresh, superseded=place.superseded if same else place.history())
            path = self.path if same or fresh.n_seeds >= place.n_seeds else self.partial
        self.make_room(path, say or warnings.warn)
        save(fresh, path)
        if path == self.path:
            self.partial.unlink(missing_ok=True)
        return present(self.claim, fresh)

    def make_room(self, path: Path, say: Say) -> None:
        """Set aside what is neither evidence nor superseded: damage, and halves of other code."""
        found = self.found(path)
        if found is None and path.exists():
            set_aside(path, "damaged", say)
        elif path == self.partial and found and not found.belongs_to(self.claim, self.code):
            set_aside(path, "from-other-code", say)


def _check_committed(scale: str, results_dir: str | Path | None) -> None:
    """Refuse runs of edited code in the book's own results; smoke runs are no evidence anyway."""
    if scale == "smoke" or results_folder(results_dir).resolve() != BOOK_RESULTS.resolve():
        return
    commit = environment.commit()
    if commit is None or commit.endswith("+dirty"):
        raise AvcoreError(
            "the book's own results hold runs of committed code only: commit the changes in "
            "avcore first, or name another folder (results_dir, --results)"
        )


def _wanted(claim: Claim, scale: str, seeds: Seeds) -> list[int]:
    """The seeds that are asked for."""
    if seeds is None:
        return list(claim.seeds)[: 1 if scale == "smoke" else None]
    if isinstance(seeds, int):
        wanted = list(range(claim.first_seed, claim.first_seed + seeds))
    else:
        wanted = list(dict.fromkeys(seeds))
    if not wanted or any(not isinstance(seed, int) or seed < 0 for seed in wanted):
        raise AvcoreError(f"seeds wants a number of at least 1, or a list of seeds, got {seeds!r}")
    return wanted
