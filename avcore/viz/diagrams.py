"""The book's hand-written diagrams, drawn into the page so that they follow its colours."""

from __future__ import annotations

from avcore.environment import ROOT
from avcore.support import AvcoreError, choose
from avcore.viz.view import Html, output

FOLDER = ROOT / "book" / "_static" / "diagrams"
PUBLISHED = "https://github.com/seeing-sound/seeing-sound/tree/main/book/_static/diagrams"


def diagram(name: str, caption: str = "") -> Html:
    """Show a diagram of book/_static/diagrams, such as "correspondence".

    Outside a clone of the repository, as in Colab, it says where the diagram can be seen.

    Raises
    ------
    AvcoreError
        For an unknown diagram, or a file that is no SVG.
    """
    if not FOLDER.is_dir():
        note = f'<p>The diagram is <a href="{PUBLISHED}/{name}.svg">in the repository</a>.</p>'
        return Html(output(note, kind="diagram", caption=caption))
    files = {path.stem: path for path in sorted(FOLDER.glob("*.svg"))}
    markup = choose(files, name, "diagram").read_text(encoding="utf-8")
    start = markup.find("<svg")
    if start < 0:
        raise AvcoreError(f"{files[name]} holds no SVG")
    return Html(
        output(
            f'<div class="av-wide">{markup[start:]}</div>',
            kind="diagram",
            styles=("diagram.css",),
            caption=caption,
        )
    )
