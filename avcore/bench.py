"""The project's figures: measured here, or read from what was recorded, beside their targets.

A bench is a function that gives figures. What is quick to measure is measured; what took a
training is read from `book/results/trials/*.json`, and the chapters' seconds from the last build.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from avcore import bench_kernels, environment
from avcore.claims.record import load_records, results_folder
from avcore.nn import pretrained
from avcore.stage import MOVING, STILL, SceneConfig, Stage, render
from avcore.support import atomic_write, choose
from avcore.training.features import seen

HEARING = (", TPAVI", ", addition")  # how the names of AVS networks that listen end
CHAPTER_LIMIT, GROUND_LIMIT, BOOK_LIMIT = 150, 360, 1800  # s, on two cores


@dataclass(frozen=True)
class Figure:
    """A number beside its target; `value` is None when it has not been recorded yet."""

    name: str
    value: float | None
    unit: str
    target: float
    at_most: bool = False

    @property
    def ok(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.target if self.at_most else self.value >= self.target

    def as_dict(self) -> dict[str, Any]:
        """The fields that `avcore bench --json` prints."""
        return asdict(self) | {"ok": self.ok}


# What the recorded trials must show: name, unit, target, whether the target is an upper bound.
TRIALS = (
    ("shift_accuracy", "fraction", 0.92, False),
    ("shift_accuracy_sound_only", "fraction", 0.55, True),
    ("shift_accuracy_picture_only", "fraction", 0.55, True),
    ("shift_pointing", "share", 0.60, False),
    ("actions_gain", "points", 10.0, False),
    ("in_view_gain", "points", 10.0, False),
    ("separation_gain", "dB", 6.0, False),
    ("separation_same_voice", "dB", 4.0, False),
    ("word_accuracy", "fraction", 0.90, False),
    ("sound_class_accuracy", "fraction", 0.90, False),
    ("probe_colour_above_chance", "points", 5.0, True),
    ("probe_position_above_chance", "points", 5.0, True),
    ("probe_loudness_above_chance", "points", 5.0, True),
    ("correspondence_pointing", "share", 0.70, False),
    ("photographs_pointing", "share", 0.60, False),
    ("avs_miou", "share", 0.80, False),
    ("avs_wrong_sound_miou", "share", 0.20, True),
    ("photographs_avs_miou", "share", 0.60, False),
    ("photographs_avs_wrong_sound_miou", "share", 0.20, True),
    ("denseav_ap", "share", 0.55, False),
    ("denseav_pointing", "share", 0.75, False),
    ("denseav_wrong_sound_pointing", "share", 0.35, True),
    ("photographs_denseav_ap", "share", 0.52, False),
    ("photographs_denseav_pointing", "share", 0.70, False),
    ("people_words_top1", "share", 0.50, False),
    ("people_words_top5", "share", 0.75, False),
    ("dictionary_nmi", "share", 0.90, False),
    ("photographs_dictionary_nmi", "share", 0.85, False),
    ("solo_iou_over_whole", "ratio", 5.0, False),
    ("solo_pointing", "share", 0.75, False),
    ("collage_ciou_over_agnostic", "ratio", 2.0, False),
    ("collage_nsa", "share", 0.80, False),
    ("elsewhere_collage_ciou_ahead_of_trivial", "share", 0.0, False),
    ("quieter_found", "share", 0.60, False),
    ("quieter_found_ahead_of_csol", "share", 0.0, False),
    ("photographs_quieter_found", "share", 0.60, False),
    ("false_activation_over_without", "ratio", 0.5, True),
)
CLAIMS_LIMIT = 120  # minutes for all claims of one paper on their planned seeds
CORES = 2  # that all limits are meant for


def stage_speed() -> list[Figure]:
    """Scenes per second that two processes make, their start included."""
    large = replace(STILL, size=128)
    cases = (
        ("stage_stills", STILL, 1600, 400),
        ("stage_stills_128", large, 1000, 250),
        ("stage_moving_clips", MOVING, 400, 80),
    )
    return [
        Figure(f"{name}_per_second", _scenes_per_second(config, count), "1/s", target)
        for name, config, count, target in cases
    ]


def trials() -> list[Figure]:
    """What the stage can teach: the recorded value of every trial."""
    recorded = recorded_trials()
    return [
        Figure(name, recorded.get(name), unit, target, at_most)
        for name, unit, target, at_most in TRIALS
    ]


def features() -> list[Figure]:
    """Pictures of 128 pixels that the eye sees per second, and how long a second look takes."""
    pictures = torch.randint(0, 256, (1000, 3, 128, 128), dtype=torch.uint8)
    eye = pretrained.eye()
    with tempfile.TemporaryDirectory() as folder:
        first, again = (_seconds_of(lambda: seen(eye, pictures, folder)) for _ in range(2))
    return [
        Figure("eye_pictures_per_second", round(len(pictures) / first, 1), "1/s", 120),
        Figure("eye_second_look", round(again, 2), "s", 2, True),
    ]


def claims() -> list[Figure]:
    """Of the recorded claims: minutes of two cores per paper, and whether every AVS network that
    listens is above the perfect segmenter that never does, by the mean over the seeds."""
    records = {name: each for name, each in load_records("quick").items() if each["seeds"]}
    runs = {}  # of one experiment, variant and seed there is one run, whichever claims read it
    for record in records.values():
        for made in record["runs"]:
            place = record["paper"], record["experiment"], made["variant"], made["seed"]
            runs[place] = made
    figures = []
    for paper in dict.fromkeys(record["paper"] for record in records.values()):
        spent = (
            made["seconds"] * made["threads"] for place, made in runs.items() if place[0] == paper
        )
        minutes = sum(spent) / CORES / 60
        name = f"claims_{paper.split()[0].lower()}"
        figures.append(Figure(name, round(minutes, 1), "min", CLAIMS_LIMIT, True))
    above: dict[str, list[float]] = defaultdict(list)
    for (_, _, variant, _), made in runs.items():
        values = made["values"]
        if variant.endswith(HEARING) and {"miou", "blind_miou"} <= values.keys():
            above[variant].append(values["miou"] - values["blind_miou"])
    least = min((fmean(each) for each in above.values()), default=None)
    figures.append(Figure("avs_above_never_listening", least, "share", 0.0))
    return figures


def build() -> list[Figure]:
    """Seconds that the last build at quick scale took: by chapter, 00 to 02, and all together."""
    folder = environment.ROOT / "_build" / "quick"
    seconds = {path.stem: _seconds(path) for path in sorted(folder.glob("executed/*.ipynb"))}
    figures = [
        Figure(f"chapter_{name}", value, "s", CHAPTER_LIMIT, True)
        for name, value in seconds.items()
    ]
    pages = folder / "pages.done"
    ground = whole = None
    done = {name: value for name, value in seconds.items() if value is not None}
    if seconds and len(done) == len(seconds) and pages.is_file():
        rest = float(pages.read_text() or 0)
        whole = round(sum(done.values()) + rest, 1)
        of_ground = [s for name, s in done.items() if name[0] == "0" or name == "scoreboard"]
        ground = round(sum(of_ground) + rest, 1)
    return [
        *figures,
        Figure("make_book_ground", ground, "s", GROUND_LIMIT, True),
        Figure("make_book", whole, "s", BOOK_LIMIT, True),
    ]


def kernels() -> list[Figure]:
    """Fast forms against the published ones, in one run; on a GPU too where there is one."""
    on_cpu = bench_kernels.contest(bench_kernels.Similarity())
    figures = [
        Figure("similarity_cpu_speedup", round(on_cpu["speedup"], 2), "ratio", 3),
        Figure("similarity_cpu_memory", round(on_cpu["memory_ratio"], 2), "ratio", 3),
    ]
    for side, batch, target in ((28, 4, 12), (56, 1, 40)):
        found = bench_kernels.contest(bench_kernels.Attention(batch, side))
        figures += [
            Figure(f"tpavi_{side}_speedup", round(found["speedup"], 1), "ratio", target),
            Figure(f"tpavi_{side}_memory", round(found["memory_ratio"], 2), "ratio", 5),
        ]
    f_measure = bench_kernels.contest(bench_kernels.Thresholds())["speedup"]
    figures.append(Figure("f_measure_speedup", round(f_measure, 1), "ratio", 30))
    if torch.cuda.is_available():
        case = bench_kernels.Similarity(batch=80, channels=192, side=28)
        on_gpu = bench_kernels.contest(case, "cuda")
        most = bench_kernels.largest_batch(case, "fast")
        figures += [
            Figure("similarity_gpu_speedup", round(on_gpu["speedup"], 2), "ratio", 5),
            Figure("similarity_gpu_memory", round(on_gpu["memory_ratio"], 2), "ratio", 20),
            Figure("similarity_gpu_largest_batch", most, "clips", case.batch),
        ]
    return figures


BENCHES: dict[str, Callable[[], list[Figure]]] = {
    "stage": stage_speed,
    "kernels": kernels,
    "features": features,
    "trials": trials,
    "claims": claims,
    "build": build,
}


def run(only: str | None = None) -> list[Figure]:
    """Figures of all benches, or of the bench called `only`; an unknown one is an `AvcoreError`."""
    benches = BENCHES.values() if only is None else [choose(BENCHES, only, "bench")]
    return [figure for bench in benches for figure in bench()]


def record_trial(name: str, values: dict[str, float], seed: int, seconds: float) -> Path:
    """Record what a trial measured, for `trials`; gives the file, `trials/<name>.json`.

    Parameters
    ----------
    values
        Figures by name; those in `TRIALS` have a target.
    """
    path = results_folder() / "trials" / f"{name}.json"
    content = {
        "name": name,
        "values": {key: float(value) for key, value in values.items()},
        "seed": seed,
        "seconds": round(seconds, 1),
        "hardware": environment.hardware(),
        "commit": environment.commit(),
        "versions": environment.versions(),
    }
    with atomic_write(path) as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")
    return path


def recorded_trials() -> dict[str, float]:
    """Figures of all recorded trials by name, in the units of `TRIALS`; a damaged file warns."""
    values: dict[str, float] = {}
    for path in sorted((results_folder() / "trials").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            values |= {name: float(value) for name, value in content["values"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            warnings.warn(f"the results file {path} is damaged; record it again", stacklevel=2)
    return values


def _scenes_per_second(config: SceneConfig, count: int) -> float:
    return round(count / _seconds_of(lambda: render(Stage(config), "train", count, workers=2)), 1)


def _seconds_of(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _seconds(notebook: Path) -> float | None:
    """Seconds that an executed notebook took, as papermill noted them; None of a damaged one."""
    try:
        metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
        duration = metadata.get("papermill", {}).get("duration")
    except (ValueError, KeyError, TypeError, AttributeError):
        warnings.warn(f"{notebook} is damaged; build the book again", stacklevel=2)
        return None
    return None if duration is None else round(duration, 1)
