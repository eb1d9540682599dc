"""The view of what each head makes of a prompt."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from avcore import viz
from avcore.support import AvcoreError


def shown(scenes: int = 2, **changed):
    """Two prompts, two heads, 13 steps of a second of sound."""
    marked = np.zeros((scenes, 2, 13), bool)
    marked[:, 0, 3:6] = True
    given = {
        "frames": np.zeros((scenes, 3, 16, 16)),
        "maps": np.linspace(-1, 1, scenes * 4 * 16).reshape(scenes, 2, 2, 4, 4),
        "masks": np.ones((scenes, 2, 16, 16), bool),
        "mel": np.zeros((scenes, 64, 101)),
        "marked": marked,
        "times": 0.08 * np.arange(13) + 0.02,
    }
    words = {"prompts": ["the word", "the sound"], "heads": ["head 1", "head 2"]}
    return viz.prompt_maps(*(given | changed).values(), **words, captions=["<a>"] * scenes)


def test_every_scene_and_prompt_is_a_step_and_texts_are_escaped(monkeypatch) -> None:
    monkeypatch.setenv("AVCORE_STATIC", "1")
    page = shown().html()
    data = json.loads(re.search(r'class="av-data"[^>]*>(.*?)</script>', page, re.S).group(1))
    assert len(data["steps"]) == 4
    assert re.findall(r'<button type="button">(.*?)</button>', page) == ["the word", "the sound"]
    assert "the word" in page and "<a>" not in page and "from \u22120.90" in page


def test_the_marked_steps_and_the_cells_lie_where_they_belong() -> None:
    traces = shown().results()[0].fig.data
    bar = next(trace for trace in traces if trace.type == "bar")
    np.testing.assert_allclose(bar.x, [0.26, 0.34, 0.42])
    assert np.isclose(bar.width, 0.08)
    map_of_one = next(trace for trace in traces if trace.type == "heatmap")
    assert map_of_one.x0 - map_of_one.dx / 2 == -0.5 and map_of_one.dx == 4


def test_what_does_not_fit_is_one_clear_error() -> None:
    with pytest.raises(AvcoreError, match="do not fit maps"):
        shown(maps=np.zeros((2, 2, 3, 4, 4)))
    with pytest.raises(AvcoreError, match="not finite"):
        shown(maps=np.full((2, 2, 2, 4, 4), np.nan))
    with pytest.raises(AvcoreError, match="more than 64"):
        shown(scenes=33)
