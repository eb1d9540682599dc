"""Which version of an experiment a number belongs to."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import re
import sys
import token
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # so that any Python, without avcore's packages, can read this module alone
    from avcore.claims.claim import Claim

LAYOUT = {token.NEWLINE, token.NL, token.COMMENT, token.INDENT, token.DEDENT, token.ENDMARKER}
WORDS_ALONE = re.compile(r"[rRuU]?[\"']")  # a text, but not an f-string or bytes


def fingerprint(claim: Claim) -> str:
    """Short hash of the code that the claim's experiment runs.

    It covers the experiment and every function, class and constant of avcore that it names,
    directly or through others, and what their modules do when they are imported. It is taken from
    their source text, token by token, and so the same on every Python. Comments, docstrings, line
    breaks and whatever else stands in those modules do not count; numbers with different
    fingerprints are never put in one record.
    """
    module, _, name = claim.experiment_name.partition(":")
    claim.load_experiment()  # a module that is nowhere to be found is named
    texts = _Code().reached(module, name.partition(".")[0])
    whole = "\n".join(f"{place}\n{texts[place]}" for place in sorted(texts))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


class _Module:
    """The definitions of a module by name, its imports, and the rest of its statements."""

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.lines = _logical_lines(text)
        self.definitions: dict[str, list[ast.stmt]] = defaultdict(list)
        self.imports: dict[str, list[str]] = defaultdict(list)  # what a name may stand for
        self.loose: list[ast.stmt] = []
        for statement in tree.body:
            names = _defined(statement)
            for name in names:
                self.definitions[name].append(statement)
            if not names and not isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.loose.append(statement)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    self.imports[alias.asname or whole].append(whole)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    origin = f"{node.module}.{alias.name}"
                    self.imports[alias.asname or alias.name].append(origin)

    def printed(self, statements: Iterable[ast.stmt]) -> str:
        """The tokens of some statements, one logical line after the other."""
        found = []
        for statement in statements:
            decorators = getattr(statement, "decorator_list", [])
            first = min(each.lineno for each in (statement, *decorators))
            found += [
                self.lines[n] for n in range(first, statement.end_lineno + 1) if n in self.lines
            ]
        return "\n".join(found)


@lru_cache(maxsize=256)
def _parsed(text: str) -> _Module:
    """A module, parsed once: most claims share most of their code."""
    return _Module(text)


class _Code:
    """Follows names from definition to definition, through the modules of avcore."""

    def __init__(self) -> None:
        self.modules: dict[str, _Module | None] = {}
        self.texts: dict[str, str] = {}
        self.waiting: list[tuple[str, list[ast.stmt]]] = []

    def reached(self, module: str, name: str) -> dict[str, str]:
        """Text of each definition that `name` of `module` needs, by its place."""
        if self.module(module) is not None:
            self.follow_any(module, [name])
        while self.waiting:
            where, statements = self.waiting.pop()
            for chain in (chain for statement in statements for chain in _named(statement)):
                self.follow(where, chain)
        return self.texts

    def module(self, name: str) -> _Module | None:
        """A module's content, and None for what is no module; first seen, its import counts."""
        if name not in self.modules:
            path = _source_of(name)
            self.modules[name] = _parsed(path.read_text(encoding="utf-8")) if path else None
            if path:
                self.add(name, "", self.modules[name].loose)
        return self.modules[name]

    def add(self, module: str, name: str, statements: list[ast.stmt]) -> None:
        place = f"{module}:{name}"
        if place not in self.texts:
            self.texts[place] = self.module(module).printed(statements)
            self.waiting.append((module, statements))

    def follow(self, module: str, chain: list[str]) -> None:
        """Add what `first.second.third` means in a module, as far as it is avcore's."""
        content, first = self.module(module), chain[0]
        if first in content.definitions:
            self.add(module, first, content.definitions[first])
        for origin in content.imports.get(first, ()):
            self.follow_path([*origin.split("."), *chain[1:]])

    def follow_path(self, path: list[str]) -> None:
        """The same for a path from the top, such as avcore.metrics.iou."""
        if path[0] != "avcore":
            return
        length = 1
        while length < len(path) and self.module(".".join(path[: length + 1])):
            length += 1
        self.follow_any(".".join(path[:length]), path[length:])

    def follow_any(self, module: str, chain: list[str]) -> None:
        """`follow`, or all of a module that is passed on or has no such name."""
        content = self.module(module)
        names = {*content.definitions, *content.imports}
        if chain and chain[0] in names:
            self.follow(module, chain)
        else:
            for name in names:
                self.follow(module, [name])


def _defined(statement: ast.stmt) -> set[str]:
    """Names that a statement of a module defines or changes."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    else:
        return set()
    nodes = (node for target in targets for node in ast.walk(target))
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _named(node: ast.AST) -> Iterator[list[str]]:
    """The names in a syntax tree, each with the attributes that are taken of it."""
    attributes, inner = [], node
    while isinstance(inner, ast.Attribute):
        attributes.insert(0, inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield [inner.id, *attributes]
        return
    for child in ast.iter_child_nodes(inner):
        yield from _named(child)


def _source_of(name: str) -> Path | None:
    """The file of a module, or None when there is no such module."""
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # a function or class, not a module
            return None
        origin = spec.origin if spec else None
    path = Path(origin or "")
    return path if path.is_file() else None


def _logical_lines(text: str) -> dict[int, str]:
    """Each logical line of a module by the number of its first physical line.

    A line is its depth of indentation and its tokens, parted by blanks. Lines that consist of a
    text alone are docstrings and are left out.
    """
    lines, depth, first, parts = {}, 0, 0, []
    for kind, word, line in _tokens(text):
        if kind in (token.INDENT, token.DEDENT):
            depth += 1 if kind == token.INDENT else -1
        if kind not in LAYOUT:
            first = first or line
            parts.append(word)
        elif kind == token.NEWLINE and parts:
            if not all(WORDS_ALONE.match(part) for part in parts):
                lines[first] = " ".join([str(depth), *parts])
            first, parts = 0, []
    return lines


def _tokens(text: str) -> Iterator[tuple[int, str, int]]:
    """Kind, text and line of each token; an f-string is one token, as before Python 3.12."""
    start, end = (getattr(token, f"FSTRING_{word}", None) for word in ("START", "END"))
    source = io.StringIO(text).readlines()
    begun: list[tuple[int, int]] = []
    for each in tokenize.generate_tokens(io.StringIO(text).readline):
        if each.type == start:
            begun.append(each.start)
        if not begun:
            yield each.type, each.string, each.start[0]
        if each.type == end and begun:
            opened = begun.pop()
            if not begun:
                yield token.STRING, _between(source, opened, each.end), opened[0]


def _between(source: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text from one place to another, each a line, from 1, and a column."""
    chosen = source[start[0] - 1 : end[0]]
    chosen[-1] = chosen[-1][: end[1]]
    chosen[0] = chosen[0][start[1] :]
    return "".join(chosen)
