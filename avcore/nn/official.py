"""State dicts of other people's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from avcore.support import CheckpointError


def only_tensors(content: Any, what: str | Path, hint: str = "") -> dict[str, Tensor]:
    """`content` if it is a state dict, a flat dict of tensors.

    Raises
    ------
    CheckpointError
        When it is anything else; `what` says where it comes from, `hint` what to do then. Where
        the weights lie under a name of their own, the name is said.
    """
    hint = hint and f"; {hint}"
    if not isinstance(content, dict):
        raise CheckpointError(f"{what} is not a state dict{hint}")
    unnamed = [name for name in content if not isinstance(name, str)]
    if unnamed:
        raise CheckpointError(f"{what} is not a state dict: {unnamed[0]!r} is no name{hint}")
    others = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        inside = next((name for name in others if isinstance(content[name], dict)), None)
        where = f"; the weights may lie under {inside!r}" if inside is not None else ""
        raise CheckpointError(
            f"{what} is not a state dict: {others[0]!r} is no tensor{where}{hint}"
        )
    return content
