"""Downloading one package file with `apt-get`, as any user, without installing anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avcore.support import MediaError

Progress = Callable[[str, float], None]  # what is being done, and how much of it, 0 to 1
POLITE = ("-q", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::Retries=2")


@dataclass(frozen=True)
class Offer:
    """What apt says about a package: the file's name, its size in bytes and its SHA-256 or ""."""

    file: str
    size: int
    sha256: str
    options: tuple[str, ...] = ()


def download(
    package: str, folder: Path, progress: Progress, patience: float = 120.0
) -> tuple[Path, str]:
    """Download the newest version of `package` into `folder`.

    When apt does not know the package, its lists are first fetched into `folder` (as a user
    without rights may), and it is asked again.

    Parameters
    ----------
    patience
        Seconds without a new byte after which the download is given up.

    Returns
    -------
    The file, and the SHA-256 that apt's signed lists give for it ("" when they give none).

    Raises
    ------
    MediaError
        There is no apt, it does not know the package, or the download fails.
    """
    if shutil.which("apt-get") is None:
        raise MediaError(
            f"{package} is downloaded with apt-get (Debian, Ubuntu, Colab), which is not here"
        )
    offer = _ask(package, folder) or _ask(package, folder, _fetch_lists(folder, progress))
    if offer is None:
        raise MediaError(f"apt-get does not know the package {package} (is there a network?)")
    _run(
        ["apt-get", *offer.options, *POLITE, "download", package],
        folder,
        patience,
        lambda: progress("download", _size(folder / offer.file) / max(offer.size, 1)),
    )
    path = folder / offer.file
    if _size(path) == 0:
        raise MediaError(f"apt-get download gave no file {offer.file}")
    progress("download", 1.0)
    return path, offer.sha256


def _ask(package: str, folder: Path, options: Sequence[str] = ()) -> Offer | None:
    """What would be downloaded; None when apt does not know the package."""
    command = ["apt-get", *options, *POLITE, "download", "--print-uris", package]
    answer = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    found = re.search(r"^'[^']*' (\S+) (\d+)(?: SHA256:(\w{64}))?", answer.stdout, re.MULTILINE)
    if answer.returncode or not found or "/" in found[1]:
        return None
    return Offer(found[1], int(found[2]), found[3] or "", tuple(options))


def _fetch_lists(folder: Path, progress: Progress) -> list[str]:
    """Fetch apt's package lists into `folder`; the options that make apt use them."""
    places = {"Dir::State::Lists": folder / "lists", "Dir::Cache": folder / "cache"}
    for place in (folder / "lists" / "partial", folder / "cache" / "archives" / "partial"):
        place.mkdir(parents=True, exist_ok=True)
    options = [part for key, value in places.items() for part in ("-o", f"{key}={value}")]
    progress("package lists", 0.0)
    command = ["apt-get", *options, *POLITE, "update"]
    subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, check=False)
    progress("package lists", 1.0)
    return options


def _run(command: list[str], folder: Path, patience: float, watch: Callable[[], None]) -> None:
    """Run a download; call `watch` as it goes; end it when nothing arrives for `patience` s."""
    log = folder / "apt.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=out, stderr=out)
    try:
        arrived, since = -1, time.monotonic()
        while process.poll() is None:
            watch()
            size = sum(_size(path) for path in folder.iterdir())
            if size != arrived:
                arrived, since = size, time.monotonic()
            elif time.monotonic() - since > patience:
                raise MediaError(f"the download stood still for {patience:.0f} s and was given up")
            time.sleep(0.1)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    if process.returncode:
        raise MediaError(f"apt-get could not download the package: {_reason(log)}")


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line[2:].strip() for line in lines if line.startswith("E:")]
    return (errors or [line for line in lines if line.strip()] or ["it gave no reason"])[0]


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
