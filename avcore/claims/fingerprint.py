"""Which version of an experiment a number belongs to."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path

from avcore.claims.claim import Claim


def fingerprint(claim: Claim) -> str:
    """Short hash of the code that the claim's experiment runs.

    It covers the module of the experiment and every module of avcore that this one imports,
    directly or not. Comments, docstrings and layout do not count, the rest does: numbers with
    different fingerprints are never put in one record.
    """
    experiment = claim.load_experiment()
    start = inspect.getsourcefile(experiment) or ""
    texts, waiting = {}, {experiment.__module__: Path(start)}
    while waiting:
        name, path = waiting.popitem()
        if not path.is_file():
            texts[name] = ""
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts[name] = ast.unparse(_without_docstrings(tree))
        for imported in _imports(tree):
            source = _source_of(imported)
            if source is not None and imported not in texts:
                waiting[imported] = source
    whole = "\n".join(f"{name}\n{texts[name]}" for name in sorted(texts))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _imports(tree: ast.AST) -> set[str]:
    """Names of avcore's modules that a syntax tree may import (some are only names in them)."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "avcore"}


def _source_of(name: str) -> Path | None:
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
        return Path(origin) if origin else None
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a function or class, not a module
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return tree
