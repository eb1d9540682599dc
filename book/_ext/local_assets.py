"""Sphinx extension: the scripts of the pages are local files, and plotly comes only where needed.

MathJax and plotly.js are taken from installed Python packages and copied beside the pages, so
the book works from a memory stick. Plotly is loaded in the head of a page, before the figures
in its body call it; a page without figures does not load it.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts")
PLOTLY_CALL = "Plotly."


def package_folder(name: str) -> Path:
    """Folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {name!r} is missing; run: pip install 'avcore[book]'")
    return Path(spec.origin).parent


def copy_if_changed(source: Path, target: Path) -> None:
    """Copy a file, or a folder file by file, leaving equal copies alone."""
    if source.is_dir():
        for child in source.iterdir():
            copy_if_changed(child, target / child.name)
    elif not target.exists() or target.stat().st_size != source.stat().st_size:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def copy_assets(app) -> None:
    """Put MathJax with its fonts, and plotly.js, into the `_static` folder of the pages."""
    static = Path(app.outdir) / "_static"
    mathjax = package_folder("sphinx-mathjax-offline") / "static" / "mathjax"
    for part in MATHJAX:
        copy_if_changed(mathjax / part, static / "mathjax" / part)
    plotly = package_folder("plotly") / "package_data" / "plotly.min.js"
    copy_if_changed(plotly, static / "plotly.min.js")


def load_plotly(app, pagename, templatename, context, doctree) -> None:
    """Load plotly.js on this page if something on it draws a figure."""
    if PLOTLY_CALL in context.get("body", ""):
        app.add_js_file("plotly.min.js", priority=100)


def one_menu_button(app, config) -> None:
    """Keep the theme's upper bar away.

    It would hold a second search field, and a second menu button that takes the place of the
    visible one: the menu would not open on a phone.
    """
    config.html_theme_options.setdefault("navbar_persistent", [])


def setup(app) -> dict:
    """Register the steps with Sphinx."""
    app.connect("config-inited", one_menu_button)
    app.connect("builder-inited", copy_assets)
    app.connect("html-page-context", load_plotly)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
