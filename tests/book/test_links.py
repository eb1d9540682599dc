"""The files of the built pages: links that lead somewhere, and nothing fetched from outside."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from book.pipeline.layout import Layout

pytestmark = pytest.mark.notebooks

PAGES = [*Layout().pages(), "search", "genindex"]
LOADS = {
    "script": "src", "link": "href", "img": "src", "source": "src", "audio": "src",
    "video": "src", "iframe": "src", "embed": "src", "object": "data", "track": "src",
}  # fmt: skip
CSS_LOADS = re.compile(r"""(?:url\(|@import)\s*["']?(https?:)?//""")
LARGEST_PAGE = 40e6  # bytes; a page must not carry a library of its own, nor hours of sound


class Reader(HTMLParser):
    """What a page links to, what it loads, and the places in it that a link can name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = {""}
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attributes}
        self.places |= {values.get("id", ""), values.get("name", "")}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADS and values.get("rel") not in ("canonical", "index", "search"):
            self.loads.append(values.get(LOADS[tag], ""))


@cache
def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_links_inside_the_book_lead_somewhere(smoke_book: Layout, name: str) -> None:
    page = smoke_book.html / f"{name}.html"
    lost = []
    for link in read(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        place = unquote(parts.fragment)
        if not target.is_file() or (target.suffix == ".html" and place not in read(target).places):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_outside(smoke_book: Layout, name: str) -> None:
    page = smoke_book.html / f"{name}.html"
    outside = [url for url in read(page).loads if urlsplit(url).scheme in ("http", "https")]
    outside += [url for url in read(page).loads if url.startswith("//")]
    assert outside == []
    assert page.stat().st_size < LARGEST_PAGE


def test_style_sheets_load_nothing_from_outside(smoke_book: Layout) -> None:
    sheets = list(smoke_book.html.rglob("*.css"))
    assert sheets
    found = [sheet.name for sheet in sheets if CSS_LOADS.search(sheet.read_text(encoding="utf-8"))]
    assert found == []
