"""Every field of every configuration is read by the code: an option that does nothing fails."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "avcore"
TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


def is_config(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and node.name.endswith("Config")


def configs(trees: list[ast.Module]) -> Iterator[tuple[str, str]]:
    """(class, field) of every dataclass of the package whose name ends in Config."""
    for node in (node for tree in trees for node in ast.walk(tree) if is_config(node)):
        for line in node.body:
            if isinstance(line, ast.AnnAssign):
                yield node.name, line.target.id


def reads(trees: list[ast.Module]) -> set[str]:
    """Names read as `config.name` or `….config.name`, or as `self.name` inside a configuration.

    Checks in `__post_init__` do not count: a field that is only checked does nothing.
    """
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and _names(node.value, "config"):
                found.add(node.attr)
            if is_config(node):
                methods = [line for line in node.body if isinstance(line, ast.FunctionDef)]
                used = [method for method in methods if method.name != "__post_init__"]
                for inner in (inner for method in used for inner in ast.walk(method)):
                    if isinstance(inner, ast.Attribute) and _names(inner.value, "self"):
                        found.add(inner.attr)
    return found


def _names(node: ast.expr, name: str) -> bool:
    return getattr(node, "id", None) == name or getattr(node, "attr", None) == name


READ = reads(TREES)


@pytest.mark.parametrize(("config", "field"), sorted(set(configs(TREES))))
def test_the_field_is_read(config, field):
    assert field in READ, f"{config}.{field} is set by callers but read nowhere"


def test_a_field_that_is_only_checked_is_found_out():
    source = """
class FakeConfig:
    used: int = 1
    checked: int = 1
    own: int = 1
    def __post_init__(self): assert self.checked
    def double(self): return 2 * self.own
def f(config): return config.used
"""
    tree = ast.parse(source)
    unread = {field for _, field in configs([tree])} - reads([tree])
    assert unread == {"checked"}
