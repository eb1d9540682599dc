"""Players and figures in a real browser, on a page of their own without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from avcore import viz
from avcore.stage import MOVING, Stage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
PLOTLY = pytest.importorskip("plotly").__path__[0] + "/package_data/plotly.min.js"
EVIL = "</script><script>document.title='taken'</script>"


@pytest.fixture
def show(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Page]]:
    """Show views on a page; a complaint in its console or a request fails the test."""
    monkeypatch.setenv("AVCORE_VIZ", "static")
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    complaints: list[str] = []

    def page_of(*views: viz.View, plotly: bool = False) -> Page:
        script = f'<script src="file://{PLOTLY}"></script>' if plotly else ""
        body = "".join(view.html() for view in views)
        head = f'<meta charset="utf-8"><title>views</title>{script}'
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><html><head>{head}</head><body>{body}", encoding="utf-8")
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield page_of
    context.close()
    assert not complaints


@pytest.fixture(scope="module")
def scene():
    """A moving scene with two sounds."""
    return Stage(replace(MOVING, sounding=(2, 2)), seed=0).scene("train", 0)


CENTRE = """canvas => {
    const copy = new OffscreenCanvas(64, 64).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return [...copy.getImageData(32, 32, 1, 1).data].slice(0, 3);
}"""


def test_picture_sound_and_cursor_move_together(show, scene) -> None:
    page = show(viz.scene_player(scene, EVIL))
    slider, picture = page.get_by_label("Frame"), page.locator(".av-picture canvas")
    for frame in (0, 5, 15):
        slider.fill(str(frame))
        page.wait_for_timeout(50)
        assert picture.evaluate(CENTRE) == scene.frames[frame, 32, 32].tolist()
        time = page.locator("audio").evaluate("a => a.currentTime")
        assert time == pytest.approx(scene.times[frame], abs=1e-3)
        left = page.locator(".av-cursor").evaluate("c => parseFloat(c.style.left)")
        assert left == pytest.approx(100 * scene.times[frame], abs=0.1)
    slider.fill("0")
    page.locator("audio").evaluate("a => a.play()")
    page.wait_for_function("() => document.querySelector('.av-frame').value > 3")
    assert page.title() == "views"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_truth_hides_and_tracks_change(show, scene) -> None:
    page = show(viz.scene_player(scene, show_truth=False))
    assert not page.locator(".av-tag").first.is_visible()
    assert not page.locator(".av-legend").is_visible()
    page.get_by_label("Truth").check()
    assert page.locator(".av-tag").first.is_visible() and page.locator(".av-legend").is_visible()
    wave = page.locator(".av-wave path")
    before, sound = wave.get_attribute("d"), page.locator("audio").get_attribute("src")
    page.locator(".av-tracks input").first.focus()
    page.keyboard.press("ArrowRight")
    assert wave.get_attribute("d") != before
    assert page.locator("audio").get_attribute("src") != sound
    page.keyboard.press("ArrowLeft")
    assert page.locator("audio").get_attribute("src") == sound


def test_one_player_at_a_time_and_one_output_shown_twice(show, scene) -> None:
    twice = viz.scene_player(scene)
    page = show(twice, twice, viz.audio_player(scene.waveform, 16_000, "the mix"))
    assert page.locator(".av-player[data-ready]").count() == 3
    page.locator(".av-loop").first.check()
    page.locator("audio").first.evaluate("a => a.play()")
    page.locator("audio").last.evaluate("a => a.play()")
    page.wait_for_function("() => document.querySelector('audio').paused")


def test_figures_follow_their_sliders_and_the_theme(show) -> None:
    maps = np.linspace(0, 1, 2 * 144).reshape(2, 12, 12)
    page = show(
        viz.heatmaps(np.zeros((2, 8, 8, 3)), maps, captions=["first", EVIL]),
        viz.explore(lambda k: viz.Html(f"<p>panel {k}</p>"), k=[1, 2]),
        plotly=True,
    )
    value = "() => document.querySelector('.av-plotly').data[2].z[0][0]"
    assert page.evaluate(value) == 0
    page.get_by_label("sample").press("ArrowRight")
    assert page.evaluate(value) == pytest.approx(maps[1, 0, 0], abs=0.01)
    assert EVIL in page.get_by_label("sample").get_attribute("aria-valuetext")
    page.get_by_label("k", exact=False).last.press("ArrowRight")
    assert [panel.is_visible() for panel in page.locator(".av-panel").all()] == [False, True]
    ink = "() => document.querySelector('.av-plotly')._fullLayout.font.color"
    light = page.evaluate(ink)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"() => ({ink})() !== '{light}'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_without_plotly_says_what_is_missing(show) -> None:
    page = show(viz.waveform_plot(np.ones(100), 16_000, alt="a flat line"))
    assert "does not load. It would show: a flat line" in page.locator(".av-missing").inner_text()


def test_a_block_turns_and_is_cut_open_at_the_chosen_slice(show) -> None:
    volume = np.random.default_rng(0).random((5, 4, 4))
    page = show(viz.volume_block(np.zeros((16, 16, 3), np.uint8), volume, caption=EVIL))
    slider, chosen = page.get_by_role("slider", name="slice"), page.locator(".av-slice.av-chosen")
    assert chosen.count() == 1
    for k in (0, 4):
        slider.fill(str(k))
        assert page.locator(".av-slice").nth(k).evaluate("s => s.matches('.av-chosen')")
        assert page.locator(".av-slice.av-before").count() == 4 - k
        source = chosen.locator("img").get_attribute("src")
        assert page.locator(".av-over").get_attribute("src") == source
    before = page.locator(".av-turn").evaluate("e => e.style.getPropertyValue('--turn')")
    page.get_by_role("slider", name="turn").fill("25")
    after = page.locator(".av-turn").evaluate("e => e.style.getPropertyValue('--turn')")
    assert (before, after) == ("-40deg", "50deg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
