"""Whether what is shown has a live kernel behind it or must stand alone."""

from __future__ import annotations

import importlib.util
import os
import sys

from avcore.support import choose

MODES = ("static", "live")


def mode() -> str:
    """Return "static" (HTML that needs no kernel) or "live" (widgets and plotly's own type).

    The environment variable `AVCORE_VIZ` ("static" or "live") decides; without it
    `AVCORE_STATIC=1` asks for static; without that it is live in a Jupyter kernel.

    Raises
    ------
    AvcoreError
        When `AVCORE_VIZ` is neither.
    """
    wanted = os.environ.get("AVCORE_VIZ", "")
    if wanted:
        return choose(MODES, wanted, "AVCORE_VIZ")
    if os.environ.get("AVCORE_STATIC", "") not in ("", "0"):
        return "static"
    return "live" if _in_kernel() and has("ipywidgets") else "static"


def in_colab() -> bool:
    """Whether this is Google Colab, which runs each output in a frame of its own."""
    return "google.colab" in sys.modules


def has(module: str) -> bool:
    """Whether an optional module can be imported."""
    return importlib.util.find_spec(module) is not None


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")
