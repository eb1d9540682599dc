"""Every page of the book, opened from the disk in a real browser that has no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from book.pipeline.layout import Layout

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PAGES = Layout().pages()
VIEWS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
LOCAL = ("file:", "data:", "blob:")

# What is wrong with the page, as far as it can be read off it.
MATHEMATICS = """() => [...document.querySelectorAll('.math')]
    .filter(e => !e.querySelector('mjx-container') || e.querySelector('mjx-merror'))
    .map(e => e.textContent)"""
EMPTY_FIGURES = """() => [...document.querySelectorAll('.av-plotly, .plotly-graph-div')]
    .filter(e => !e.querySelector('.main-svg')).map(e => e.outerHTML.slice(0, 120))"""
SILENT_SOUNDS = """async () => {
    const silent = [];
    for (const sound of document.querySelectorAll('audio, video')) {
        sound.preload = 'metadata';
        sound.load();
        await Promise.race([
            new Promise(done => sound.addEventListener('loadedmetadata', done)),
            new Promise(done => setTimeout(done, 3000))]);
        if (!(sound.duration > 0)) silent.push(sound.outerHTML.slice(0, 120));
    }
    return silent;
}"""
PICTURES_WITHOUT_WORDS = """() => [
    ...[...document.querySelectorAll('article img:not([hidden])')].filter(e => !e.alt.trim()),
    ...[...document.querySelectorAll('article canvas, article .av-plotly')].filter(
        e => !e.closest('[aria-label], [aria-labelledby], [aria-hidden="true"]')),
    ].map(e => e.outerHTML.slice(0, 120))"""
BROKEN_IMAGES = """() => [...document.images]
    .filter(e => e.complete && !e.naturalWidth).map(e => e.src.slice(0, 120))"""
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const clipped = e => { for (let p = e.parentElement; p; p = p.parentElement)
        if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
    return [...document.querySelectorAll('body *')]
        .filter(e => e.getBoundingClientRect().right > width + 1 && !clipped(e))
        .map(e => e.outerHTML.slice(0, 100)).slice(-5).concat('the page scrolls sideways');
}"""
# Code, printed text and formulas whose ends one would have to scroll to.
CUT_OFF = """() => [...document.querySelectorAll('article :is(pre, mjx-container[display="true"])')]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
    .map(e => `${e.scrollWidth - e.clientWidth} px: ${e.textContent.slice(0, 80)}`)"""
# What the figure around a slider shows, to see that it changes with the slider.
SHOWN = """slider => {
    const root = slider.closest('.avcore-viz') || slider.closest('.cell_output');
    const plot = root.querySelector('.av-plotly');
    return root.innerHTML + JSON.stringify(plot ? [plot.data, plot.layout] : '');
}"""
DRAWN = """button => {
    const root = button.closest('.avcore-viz'), plot = root.querySelector('.av-plotly');
    return plot ? JSON.stringify(plot.data) : root.querySelector('.av-panels').innerHTML;
}"""
UNNAMED_CONTROLS = """() => [...document.querySelectorAll(
        'article input:not([type=hidden]), article :is(select, button, audio, video)')]
    .filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label')
        && !e.title && !e.textContent.trim()).map(e => e.outerHTML.slice(0, 120))"""


class Visit:
    """An open page, with everything it asked for and complained about."""

    def __init__(self, context, path: Path) -> None:
        self.page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda r: self.complaints.append(f"failed: {r.url}"))
        self.page.on("console", self._listen)
        self.page.goto(path.as_uri(), wait_until="load")
        ready = "!window.MathJax || MathJax.startup?.promise !== undefined"
        self.page.wait_for_function(ready, timeout=10_000)
        self.page.evaluate("() => window.MathJax && MathJax.startup.promise")

    def _listen(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def outside(self) -> list[str]:
        """Requests that left the disk."""
        return [url for url in self.requests if not url.startswith(LOCAL)]


@pytest.fixture
def visit(browser, smoke_book: Layout) -> Iterator[Callable[[str, str], Visit]]:
    """Open a page of the book in one of the views."""
    contexts = []

    def open_page(name: str, view: str = "desktop") -> Visit:
        context = browser.new_context(offline=True, **VIEWS[view])
        contexts.append(context)
        return Visit(context, smoke_book.html / f"{name}.html")

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", [*PAGES, "search", "genindex"])
def test_the_page_is_whole_without_a_network(visit, name: str, view: str) -> None:
    opened = visit(name, view)
    look = opened.page.evaluate
    assert look(MATHEMATICS) == []
    assert look(EMPTY_FIGURES) == []
    assert look(SILENT_SOUNDS) == []
    assert look(PICTURES_WITHOUT_WORDS) == []
    assert look(BROKEN_IMAGES) == []
    assert look(UNNAMED_CONTROLS) == []
    assert look(TOO_WIDE) == []
    assert look(CUT_OFF) == []
    if view == "desktop":
        move_the_sliders_of_plotly(opened.page)
        move_the_sliders_of_figures_and_players(opened.page)
        use_the_other_controls(opened.page)
    assert opened.outside() == []
    assert opened.complaints == []


def move_the_sliders_of_plotly(page: Page) -> None:
    """Click on the rail of each slider that plotly drew; another step must become the active."""
    for figure in page.locator(".js-plotly-plot:has(.slider-rail-touch-rect)").all():
        figure.scroll_into_view_if_needed()
        active = "figure => figure._fullLayout.sliders[0].active"
        before = figure.evaluate(active)
        rail = figure.locator(".slider-rail-touch-rect").first.bounding_box()
        share = 0.98 if before == 0 else 0.02
        page.mouse.click(rail["x"] + share * rail["width"], rail["y"] + rail["height"] / 2)
        assert figure.evaluate(active) != before


def move_the_sliders_of_figures_and_players(page: Page) -> None:
    """Move each slider one step with the keyboard; what it belongs to must look different."""
    for slider in page.locator("article input[type=range]").all():
        if not slider.is_visible() or slider.is_disabled():
            continue
        before, shown = slider.input_value(), slider.evaluate(SHOWN)
        at_end = before == slider.get_attribute("max")
        slider.press("ArrowLeft" if at_end else "ArrowRight")
        page.wait_for_timeout(50)
        assert slider.input_value() != before
        assert slider.evaluate(SHOWN) != shown, slider.evaluate("e => e.outerHTML")


def use_the_other_controls(page: Page) -> None:
    """Choose, tick and press whatever a figure or player offers; nothing may complain."""
    for choice in page.locator("article select").all():
        if choice.is_visible() and choice.locator("option").count() > 1:
            choice.select_option(index=1)
    for control in page.locator("article .avcore-viz :is(button, [type=checkbox])").all():
        if control.is_visible() and control.is_enabled():
            control.click()
    for button in page.locator("article .av-choice button").all():
        pressed, drawn = button.get_attribute("aria-pressed"), button.evaluate(DRAWN)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        assert pressed == "true" or button.evaluate(DRAWN) != drawn


def test_a_figure_and_a_formula_are_somewhere(smoke_book: Layout) -> None:
    """The tests above would also pass on a book without figures, mathematics and sounds."""
    text = "".join((smoke_book.html / f"{page}.html").read_text(encoding="utf-8") for page in PAGES)
    signs = ("Plotly.", 'class="math', "<audio", 'type="range"')
    assert [sign for sign in signs if sign not in text] == []


def test_dark_mode_is_dark(visit) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)"
    assert max(map(int, visit("index", "dark").page.evaluate(background)[:3])) < 80
    assert min(map(int, visit("index", "desktop").page.evaluate(background)[:3])) > 200


def test_the_menu_opens_on_a_phone(visit) -> None:
    opened = visit("index", "phone")
    link = opened.page.get_by_role("link", name="Glossary", exact=True).first
    assert not link.is_visible()
    opened.page.locator(".bd-header-article .primary-toggle").click()
    link.wait_for(state="visible")
    assert opened.page.evaluate(TOO_WIDE) == []
    assert opened.complaints == []


def test_the_search_works_from_the_disk(browser, smoke_book: Layout) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((smoke_book.html / "search.html").as_uri() + "?q=sound")
    page.locator("#search-results li a").first.wait_for(timeout=10_000)
    context.close()
