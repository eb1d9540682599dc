"""What a number was made with: versions, hardware, and the commit of the code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

import avcore

ROOT = Path(avcore.__file__).resolve().parent.parent  # the repository, when run from a clone
PACKAGES = ("torch", "torchaudio", "numpy", "scipy", "scikit-learn")


def version_of(package: str) -> str | None:
    """Installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of Python, avcore and the packages that numbers depend on."""
    found = {"python": platform.python_version(), "avcore": avcore.__version__}
    return found | {name: version_of(name) or "missing" for name in PACKAGES}


def hardware(device: str = "cpu") -> str:
    """Name of the processor and its usable cores, and of the GPU when `device` is one."""
    name = f"{_processor()}, {usable_cores()} cores"
    if torch.device(device).type == "cuda":
        name = f"{torch.cuda.get_device_name(torch.device(device))}; {name}"
    return name


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit() -> str | None:
    """Commit of the library's code, with "+dirty" when it was edited since; None outside git."""
    if _git("ls-files", "--error-unmatch", "avcore/__init__.py") is None:
        return None
    name = _git("rev-parse", "--short=12", "HEAD")
    return f"{name}+dirty" if name and _git("status", "--porcelain", "--", "avcore") else name


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
