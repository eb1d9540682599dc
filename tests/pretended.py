"""A pretended experiment and a claim on it, for the tests of the claims engine."""

import functools
import os

import torch

from avcore import claims as engine
from avcore.claims import Claim, Reported, Side
from avcore.support import AvcoreError

calls = []


def experiment(variant, seed, scale, device):
    """A pretended training: "good" beats "bad" by 0.2, and by a little more with each seed."""
    calls.append((variant, seed, scale, device))
    return {"iou": 0.1 + 0.01 * seed + (0.2 + 0.001 * seed) * (variant == "good"), "other": seed}


@functools.cache
def remembered(variant, seed, scale, device):
    """A pretended experiment that trains each network once per process, and is noisy."""
    print("words on the way")
    return {"iou": (variant == "good") + 0.001 * torch.get_num_threads(), "process": os.getpid()}


def fails_when_repeated(variant, seed, scale, device):
    if os.environ.get("PRETENDED") != str(os.getpid()):
        raise AvcoreError("not twice")
    return experiment(variant, seed, scale, device)


def claim(**changes) -> Claim:
    given = {
        "id": "T1",
        "paper": "a paper",
        "sentence": "Good is better than bad.",
        "experiment": experiment,
        "treatment": Side("good", "iou"),
        "baseline": Side("bad", "iou"),
        "effect": 0.02,
        "planned": 5,
        "reported": (Reported("IoU, good", 51.4, "%", "its readme"),),
    }
    return Claim(**{**given, **changes})


def sides(metric, treatment="good", baseline="bad"):
    return {"treatment": Side(treatment, metric), "baseline": Side(baseline, metric)}


def run(tmp_path, seeds=3, scale="quick", one=None, **options):
    one = one or claim()
    options = {"device": "cpu", "results_dir": tmp_path, **options}
    return engine.reproduce([one.id], scale, seeds, claims={one.id: one}, **options)[one.id]


def changed(monkeypatch, code="other"):
    """As if the code of all experiments had been changed."""
    monkeypatch.setattr("avcore.claims.engine.fingerprint", lambda claim: code)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "quick").iterdir())
