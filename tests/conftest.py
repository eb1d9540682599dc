"""What the tests share: the repository, the book built at smoke scale, the order of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from book.pipeline.layout import REPOSITORY, Layout

LAST = ("notebooks", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, then the chapters, then the pages that are made of them."""

    def place(item: pytest.Item) -> int:
        return max(
            (LAST.index(m.name) + 1 for m in item.iter_markers() if m.name in LAST), default=0
        )

    items.sort(key=place)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Folder of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def smoke_book(pytestconfig: pytest.Config) -> Layout:
    """The book built at smoke scale: every chapter executed once, the pages made with -W -n.

    It is brought up to date once a session, with its progress on the terminal, and shared by the
    tests of the chapters and of the pages. The book in `_build/html` stays as it is.
    """
    layout = Layout(scale="smoke")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\nbuilding the book at smoke scale", flush=True)
        command = [sys.executable, "-m", "book.pipeline", "--scale", "smoke", "build"]
        status = subprocess.run(command, cwd=REPOSITORY).returncode
    if status != 0:
        pytest.fail("the book could not be built at smoke scale; see above", pytrace=False)
    return layout
