"""What a chapter depends on, by content: only what changed runs again.

For every chapter a small text file lists the hash and the name of each thing it is made from:
its code cells, the modules of `avcore` that it imports (and what those import), the versions in
`constraints.txt`, the recorded results and the media where it uses them. The file is rewritten
only when its text changes, so its date is the date of the last real change: touching a file, a
fresh checkout or an edit of the prose between the cells makes nothing run again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from avcore.support import AvcoreError, atomic_write

from .layout import Layout
from .publish import published_scale, restore

USES_RESULTS = re.compile(r"claim|record|result")
INSTALLS = re.compile(r"^(\s*)%pip install\b.*", re.MULTILINE)  # what the first cell does in Colab
CALLS_SHELL = re.compile(r"^\s*[!%]", re.MULTILINE)
RUNS_CLAIMS = re.compile(r"\b(?:reproduce|run_claim|load_experiment|is_current)\b")
NAMES_MODULE = re.compile(r"(avcore(?:\.\w+)+)(?::\w+)?")  # such as "avcore.papers.avc:experiment"
MEDIA = {  # module of avcore.data.media -> what it keeps in the cache
    "stamps": ("tuxpaint-stamps/manifest.json",),
    "elsewhere": ("elsewhere-gcompris/manifest.json", "elsewhere-ovos/manifest.json"),
    "words": ("words",),
}


def refresh(layout: Layout) -> None:
    """Bring the list of inputs of every chapter, and of the pages, up to date."""
    for chapter in layout.chapters():
        write_if_changed(layout.inputs(chapter), "\n".join(chapter_inputs(layout, chapter)) + "\n")
    write_if_changed(layout.inputs("pages"), "\n".join(page_inputs(layout)) + "\n")


def prepare(layout: Layout) -> None:
    """What has to be true before a build looks at the dates of files.

    The lists of inputs are current, an interrupted publication is undone, and pages that another
    scale has published since do not count as ours.
    """
    refresh(layout)
    restore(layout.html)
    if published_scale(layout.html) != layout.scale:
        layout.site_marker.unlink(missing_ok=True)


def write_if_changed(path: Path, text: str) -> bool:
    """Write `text` unless the file holds it already; return whether it was written."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    with atomic_write(path) as file:
        file.write(text)
    return True


def chapter_inputs(layout: Layout, chapter: str) -> list[str]:
    """One line for each thing the outputs of a chapter depend on."""
    code = code_of(layout.notebook(chapter))
    modules = imported_modules(layout.root, code)
    files = [*modules, layout.root / "constraints.txt", Path(__file__).with_name("execute.py")]
    if USES_RESULTS.search(code):
        records = sorted(layout.results.glob("*/*.json"))
        files += [path for path in records if not path.name.endswith(".partial.json")]
    lines = [f"{_hash(code.encode())}  code cells of {chapter}", *_hash_lines(layout, files)]
    return lines + media_lines(layout, modules)


def page_inputs(layout: Layout) -> list[str]:
    """One line for each file the pages are made from, other than the executed chapters."""
    book = layout.root / "book"
    prose = [layout.root / "_config.yml", layout.root / "constraints.txt"]
    prose += [*book.glob("*.md"), *book.glob("*.bib"), *book.glob("*.yml")]
    prose += [path for folder in ("_static", "_ext") for path in _files_in(book / folder)]
    prose += [layout.notebook(chapter) for chapter in layout.chapters()]
    return _hash_lines(layout, [*prose, Path(__file__).with_name("site.py")])


def code_of(notebook: Path) -> str:
    """The code cells of a notebook with their tags, as one text.

    Raises
    ------
    AvcoreError
        When the file is missing or is not a notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except FileNotFoundError:
        raise AvcoreError(f"the table of contents names {notebook}, which does not exist") from None
    except (ValueError, KeyError, TypeError):
        raise AvcoreError(f"{notebook} is not a notebook") from None
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tags = [" ".join(cell["metadata"].get("tags", [])) for cell in code]
    return "\n".join(f"# [{t}]\n{''.join(c['source'])}" for t, c in zip(tags, code, strict=True))


def imported_modules(root: Path, code: str) -> list[Path]:
    """Files of `avcore` that `code` imports, directly or through other modules of `avcore`.

    A notebook that runs shell commands or magics may use any of them, so it depends on all, but
    for one that installs packages. The experiments that the catalogue of claims names in strings
    count where claims are run. Files that are not Python (tables, checksums) always count.
    """
    package = root / "avcore"
    code = INSTALLS.sub(r"\1pass", code)
    everything = set(_files_in(package))
    if CALLS_SHELL.search(code):
        return sorted(everything)
    found = {path for path in everything if path.suffix != ".py"}
    runs_claims = bool(RUNS_CLAIMS.search(code))
    todo = list(_imports(code, "", root, strings=True))
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            todo += _imports(path.read_text(encoding="utf-8"), name, root, strings=runs_claims)
    return sorted(found)


def _imports(code: str, module: str, root: Path, strings: bool) -> Iterator[Path]:
    """Files of the `avcore` modules that `code` names in import statements, or also in strings."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # running it will say so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif strings and isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = NAMES_MODULE.fullmatch(node.value)
            names = [named[1]] if named else []
        else:
            continue
        for name in names:
            yield from _module_files(name, root)


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """Full name of the module in `from ... import`, seen from inside `module`."""
    if node.level == 0:
        return node.module or ""
    # a package's own name ends in __init__, so the same number of steps leads up from it
    parts = module.split(".")[: -node.level]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _module_files(name: str, root: Path) -> Iterator[Path]:
    """The file of a module and the `__init__` files of the packages it lies in."""
    parts = name.split(".")
    if parts[0] != "avcore":
        return
    for depth in range(1, len(parts) + 1):
        stem = root.joinpath(*parts[:depth])
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                yield path


def media_lines(layout: Layout, modules: Container[Path]) -> list[str]:
    """Which media are there, of those that the modules read: chapters show more with them."""
    from avcore.data.media.cache import cache_folder

    folder = layout.root / "avcore" / "data" / "media"
    places = [place for name in MEDIA if folder / f"{name}.py" in modules for place in MEDIA[name]]
    return [f"{_state(cache_folder() / place)}  media: {place}" for place in places]


def _state(path: Path) -> str:
    """A hash of a file's content or of the names in a folder; "absent" where there is neither."""
    if path.is_dir():
        return _hash(" ".join(sorted(os.listdir(path))).encode())
    return _hash(path.read_bytes()) if path.is_file() else "absent"


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    hidden = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}
    return sorted(p for p in folder.rglob("*") if p.is_file() and not hidden & set(p.parts))


def _hash_lines(layout: Layout, files: Iterable[Path]) -> list[str]:
    return [f"{_hash(p.read_bytes())}  {_shown(p, layout)}" for p in sorted(files) if p.is_file()]


def _shown(path: Path, layout: Layout) -> str:
    inside = path.is_relative_to(layout.root)
    return path.relative_to(layout.root).as_posix() if inside else path.name


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
