"""Settings by key, such as `learning_rate=1e-4`: which there are, and what their text means."""

from __future__ import annotations

import csv
import math
import re
import types
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from avcore.support import AvcoreError, choose

WORDS = {"true": True, "yes": True, "false": False, "no": False}


def apply(preset: Any, given: Mapping[str, Any]) -> Any:
    """A preset (see `avcore.training.task.Preset`) with the values that were given by key.

    Raises
    ------
    AvcoreError
        For an unknown key, which lists those that there are, or a value of a wrong type.
    """
    known = known_keys(preset)
    for key in given:
        choose(known, key, "key")
    phases = tuple(_changed_phase(phase, given) for phase in preset.phases)
    network, data = changed(preset.network, given), changed(preset.data, given)
    return replace(preset, phases=phases, network=network, data=data)


def _changed_phase(phase: Any, given: Mapping[str, Any]) -> Any:
    """A phase with what was given for all of them and, before that, for it alone."""
    own = f"{phase.name}."
    used = {key: value for key, value in given.items() if "." not in key}
    used |= {k.removeprefix(own): value for k, value in given.items() if k.startswith(own)}
    epochs = {"epochs": 0} if "steps" in used else {}
    epochs |= {"epochs": used["epochs"]} if "epochs" in used else {}
    parts = {"config": changed(phase.config, used), "recipe": changed(phase.recipe, used)}
    return replace(changed(phase, epochs), **parts)


def known_keys(preset: Any) -> list[str]:
    """The keys of a preset; where there are several phases, those of each with its name too."""
    names = [*_names(preset.data), *_names(preset.network)]
    of_phase = {p.name: ["epochs", *_names(p.recipe), *_names(p.config)] for p in preset.phases}
    names += dict.fromkeys(name for own in of_phase.values() for name in own)
    if len(of_phase) > 1:
        names += [f"{phase}.{name}" for phase, own in of_phase.items() for name in own]
    return names


def _names(part: Any) -> list[str]:
    return [field.name for field in fields(part)]


def changed(part: Any, given: Mapping[str, Any]) -> Any:
    """A frozen dataclass with those of the given values that it has fields for."""
    kinds = get_type_hints(type(part))
    values = {name: read(name, given[name], kinds[name]) for name in _names(part) if name in given}
    return replace(part, **values) if values else part


def read(key: str, value: Any, kind: Any) -> Any:
    """A value, or the text of one, as the type of its key.

    Raises
    ------
    AvcoreError
        When it is none.
    """
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for option in sorted(options, key=lambda option: option is not type(None)):
        try:
            return _as(value, option)
        except (ValueError, TypeError, csv.Error):
            continue
    wanted = " or ".join(_describe(option) for option in options)
    raise AvcoreError(f"{key} wants {wanted}, got {value!r}")


def _as(value: Any, kind: Any) -> Any:
    text = isinstance(value, str)
    if kind is type(None):
        if value is None or (text and value.lower() == "none"):
            return None
        raise ValueError
    if kind is bool:
        return WORDS[value.lower()] if text and value.lower() in WORDS else _exactly(value, bool)
    if kind is int:
        return int(value) if text else _exactly(value, int)
    if kind is float:
        number = float(value) if text or type(value) is int else _exactly(value, float)
        if not math.isfinite(number):
            raise ValueError
        return number
    if kind is Path:
        return Path(value)
    if get_origin(kind) is tuple:
        parts, kinds = _split(value) if text else value, get_args(kind)
        if ... not in kinds and len(parts) != len(kinds):
            raise ValueError
        return tuple(_as(part, kinds[0]) for part in parts)
    return _exactly(value, kind)


def _split(text: str) -> list[str]:
    """The values between commas; one pair of brackets may enclose all, and quotes a value."""
    enclosed = re.fullmatch(r"\(([^()]*)\)", text)
    row = csv.reader([enclosed[1] if enclosed else text], skipinitialspace=True, strict=True)
    return [part.strip() for part in next(row) if part.strip()]


def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError
    return value


def _describe(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if ... not in kinds:
            return f"{len(kinds)} values with commas, each {names[kinds[0]]}"
        return f"{names[kinds[0]]} or several with commas"
    return names.get(kind) or {Path: "a path", type(None): "none"}.get(kind, str(kind))
