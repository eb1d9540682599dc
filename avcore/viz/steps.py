"""Several figures as one: the first whole, of the others what differs, and nothing twice."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from avcore.viz.encode import base64_of
from avcore.viz.figure import plotly_json

LONG = 200  # characters of JSON above which a value is worth keeping once


def merged(specs: Sequence[dict]) -> dict:
    """What figure.js draws: `data` and `layout` of the first figure, `steps` and `shared`.

    A step holds for each trace, and for the layout, the entries that differ from the first
    figure; `all` of its traces where it has others. Long values lie in `shared`.
    """
    store = Store()
    steps = [store.pack(_difference(specs[0], spec)) for spec in specs]
    return {**store.pack(specs[0]), "steps": steps, "shared": store.values}


class Store:
    """Long values of traces, such as pictures and maps, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def pack(self, spec: dict) -> dict:
        """`spec` with every long value of its traces replaced by {"shared": its place}."""
        packed = {
            key: [{name: self._place(name, v) for name, v in trace.items()} for trace in spec[key]]
            for key in ("data", "all")
            if key in spec
        }
        return {**spec, **packed}

    def _place(self, name: str, value: Any) -> Any:
        written = plotly_json(value)
        if len(written) < LONG:
            return value
        if written not in self._places:
            self._places[written] = len(self.values)
            self.values.append(_rounded(value) if name == "z" else value)
        return {"shared": self._places[written]}


def _rounded(value: Any) -> Any:
    """A float32 map as plotly encodes it, in 255 even steps from its least to its greatest."""
    if not isinstance(value, dict) or value.get("dtype") != "f4":
        return value
    array = np.frombuffer(base64.b64decode(value["bdata"]), "<f4")
    if not np.isfinite(array).all():
        return value
    low, high = float(array.min()), float(array.max())
    levels = (array - low) / ((high - low) or 1.0) * 255
    columns = int(str(value["shape"]).split(",")[-1])
    return {
        "levels": base64_of(levels.round().astype(np.uint8)),
        "columns": columns,
        "low": low,
        "high": high,
    }


def _difference(first: dict, spec: dict) -> dict:
    layout = _changed(first["layout"], spec["layout"])
    kinds = [[trace.get("type") for trace in each["data"]] for each in (first, spec)]
    if kinds[0] != kinds[1]:
        return {"all": spec["data"], "layout": layout}
    pairs = zip(first["data"], spec["data"], strict=True)
    return {"data": [_changed(old, new) for old, new in pairs], "layout": layout}


def _changed(old: dict, new: dict) -> dict:
    gone = {key: None for key in old if key not in new}
    return gone | {key: value for key, value in new.items() if not _same(old.get(key), value)}


def _same(one: Any, two: Any) -> bool:
    return plotly_json(one) == plotly_json(two)
