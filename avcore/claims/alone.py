"""One run of an experiment in a process of its own, which remembers no earlier training."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

import torch

from avcore.support import AvcoreError


def run_alone(experiment: str, threads: int, **options: Any) -> dict[str, float]:
    """What "package.module:function" gives for `options`, in a new process with so many threads.

    Raises
    ------
    AvcoreError
        With the last words of a run that failed.
    """
    task = json.dumps({"experiment": experiment, "threads": threads, "options": options})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=task, text=True, capture_output=True, env=environment)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it was stopped"])[-1]
        raise AvcoreError(f"the repeated run of {experiment} failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Read a task from the standard input, run it, and print its values as the last line."""
    task = json.load(sys.stdin)
    torch.set_num_threads(task["threads"])
    module, _, name = task["experiment"].partition(":")
    values = getattr(importlib.import_module(module), name)(**task["options"])
    print(f"\n{json.dumps({key: float(value) for key, value in values.items()})}")


if __name__ == "__main__":
    main()
