"""The papers. Each that is trained by name has a module `task` with a `TASK` in it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from avcore.support import choose

if TYPE_CHECKING:
    from avcore.training import Task

NAMES = ("avs", "denseav", "csol", "ier", "multisensory")
TASKS = {name: f"avcore.papers.{name}.task" for name in NAMES}


def find_task(name: str) -> Task:
    """What a paper says of itself, by the paper's name.

    Raises
    ------
    AvcoreError
        When no paper of that name can be trained.
    """
    choose(TASKS, name, "paper")
    return importlib.import_module(TASKS[name]).TASK
