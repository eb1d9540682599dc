"""The project around the library: versions, licences, layers, what may be in the repository."""

from __future__ import annotations

import ast
import graphlib
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import avcore

OPTIONAL = (
    "IPython", "PIL", "av", "espeakng_loader", "ipywidgets", "lightning", "lightning_fabric",
    "mir_eval", "pandas", "plotly", "soundfile", "timm", "torchvision", "tqdm", "typer",
)  # fmt: skip
# Imports go down only: a module may import those of its own height and below.
HEIGHT = {
    "support": 0, "audio": 1, "data": 2, "stage": 2, "nn": 2, "metrics": 2, "training": 3,
    "class_aware": 3, "papers": 4, "sceptic": 4, "trials": 4, "viz": 5, "claims": 5,
    "environment": 5, "bench_kernels": 5,
    "doctor": 6, "bench": 6, "commands": 7, "video_commands": 7, "cli": 8,
}  # fmt: skip
ON_DEMAND = {"avcore.commands", "avcore.video_commands"}  # imported when they are used
LARGEST_FILE = 500_000  # bytes
LARGEST_WEIGHTS = 1_000_000  # bytes of a network that ships with a card beside it
TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".cff", ".ipynb", ".css", ".js", ""}


@pytest.fixture(scope="session")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="session")
def pins(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.fixture(scope="session")
def tracked(repository: Path) -> list[Path]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True)
    if listing.returncode != 0:
        pytest.skip("not a checkout of git")
    names = listing.stdout.decode().split("\0")
    return [repository / name for name in names if name and (repository / name).is_file()]


# ------------------------------------------------------------------------------------ versions


def test_every_requirement_is_pinned_to_a_version_that_it_allows(project, pins) -> None:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in map(Requirement, itertools.chain(*groups)):
        if requirement.name != "avcore":
            version = pins.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in constraints.txt"
            assert requirement.specifier.contains(version), f"{requirement} against {version}"


def test_environment_yml_installs_the_same(repository: Path, project) -> None:
    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    python, pip, installs = environment["dependencies"]
    assert installs == {"pip": ["--constraint constraints.txt", "--editable .[all]"]}
    assert pip == "pip"
    version = python.removeprefix("python=")
    assert SpecifierSet(project["requires-python"]).contains(version)
    header = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()[0]
    assert f"Python {version}" in header


def test_all_means_all(project) -> None:
    extras = project["optional-dependencies"]
    reached, waiting = set(), ["all"]
    while waiting:
        extra = waiting.pop()
        reached.add(extra)
        for requirement in map(Requirement, extras[extra]):
            waiting += requirement.extras - reached
    assert reached == set(extras)


def test_ruff_has_one_version(repository: Path, pins) -> None:
    hooks = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    fetched = [repo for repo in hooks["repos"] if repo["repo"] != "local"]
    revisions = {Path(repo["repo"]).name: repo["rev"].lstrip("v") for repo in fetched}
    assert revisions["ruff-pre-commit"] == pins["ruff"]
    assert revisions["nbstripout"] == pins["nbstripout"]


def test_the_types_are_published_and_checked(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["avcore"]
    assert (repository / "avcore" / "py.typed").is_file()
    recipe = (repository / "Makefile").read_text(encoding="utf-8").partition("\ntest:")[2]
    assert recipe.index("/mypy") < recipe.index("pytest")


def test_the_citation_names_this_version(repository: Path) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == avcore.__version__


# -------------------------------------------------------------------------------------- layers


def modules(repository: Path) -> dict[str, Path]:
    """Name and file of every module of the library; a package has the name of its folder."""
    paths = sorted((repository / "avcore").rglob("*.py"))
    names = [".".join(path.relative_to(repository).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def imports(source: str, package: str, known: set[str]) -> set[str]:
    """Modules of `known` that a module of `package` imports, anywhere in its source.

    Of `from avcore.papers import avc` that is `avcore.papers.avc`, where there is such a module,
    else `avcore.papers`.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            whole = {f"{origin}.{alias.name}" for alias in node.names}
            found |= {name if name in known else origin for name in whole}
    return found & known


@pytest.fixture(scope="session")
def graph(repository: Path) -> dict[str, set[str]]:
    """What every module of the library imports from it."""
    paths = modules(repository)
    return {
        name: imports(
            path.read_text(encoding="utf-8"),
            name if path.name == "__init__.py" else name.rpartition(".")[0],
            set(paths),
        )
        for name, path in paths.items()
    }


def part(name: str, depth: int = 1) -> str:
    """Of "avcore.papers.avs.model" the part "papers", or "avs" at depth 2; empty where none."""
    return "".join(name.split(".")[depth : depth + 1])


def test_the_library_imports_with_its_core_requirements_alone(repository: Path) -> None:
    names = set(modules(repository)) - ON_DEMAND
    program = (
        f"import importlib, sys\nsys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
        f"for name in {sorted(names)!r}:\n    importlib.import_module(name)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-800:]


def test_imports_go_down_only(graph: dict[str, set[str]]) -> None:
    upwards = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if HEIGHT.get(part(other), 0) > HEIGHT.get(part(name), 0)
    ]
    assert upwards == []


def test_no_paper_imports_a_paper(graph: dict[str, set[str]]) -> None:
    crossing = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if part(name) == part(other) == "papers" and part(name, 2) != part(other, 2)
    ]
    assert crossing == []


def test_no_modules_import_each_other_in_a_circle(graph: dict[str, set[str]]) -> None:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_part_of_the_library_has_a_height(repository: Path) -> None:
    assert {part(name) for name in modules(repository)} - {""} == set(HEIGHT)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import avcore.papers.avc", "avcore.papers.avc"),
        ("import avcore.papers.avc as other", "avcore.papers.avc"),
        ("from avcore import papers", "avcore.papers"),
        ("from avcore.papers import avc", "avcore.papers.avc"),
        ("from avcore.papers import something", "avcore.papers"),
        ("from avcore.papers.avc import train", "avcore.papers.avc"),
        ("def f():\n    from avcore.papers import avc", "avcore.papers.avc"),
        ("from . import avc", "avcore.papers.avc"),
        ("from .avc import train", "avcore.papers.avc"),
        ("from .. import papers", "avcore.papers"),
    ],
)
def test_every_form_of_import_is_seen(line: str, expected: str) -> None:
    known = {"avcore", "avcore.papers", "avcore.papers.avc"}
    assert imports(line, "avcore.papers", known) == {expected}


# --------------------------------------------------------------------------------- the contents


def test_no_large_file_and_no_media_is_in_the_repository(tracked: list[Path]) -> None:
    media = {".png", ".jpg", ".ogg", ".wav", ".mp3", ".mp4", ".webm", ".deb"}
    shots = [path for path in tracked if path.suffix in media and "_static" not in path.parts]
    assert shots == []
    large = [path for path in tracked if path.stat().st_size > LARGEST_FILE]
    weights = [path for path in large if path.suffix == ".safetensors"]
    assert [path for path in weights if not path.with_suffix(".md").is_file()] == []
    assert [path for path in weights if path.stat().st_size > LARGEST_WEIGHTS] == []
    assert [path for path in large if path.suffix != ".npz" and path not in weights] == []


def test_no_address_of_an_installer_or_a_script_on_the_network(tracked: list[Path]) -> None:
    forbidden = re.compile(
        r"index-url|find-links|pypi\.org|cdn\.jsdelivr|cdnjs|unpkg\.com|fonts\.googleapis"
    )
    found = [
        path.name
        for path in tracked
        if path.suffix in TEXT
        and path != Path(__file__)
        and forbidden.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert found == []


def test_the_licence_is_whole(repository: Path) -> None:
    licence = (repository / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_repository_has_one_address(tracked: list[Path]) -> None:
    address = re.compile(
        r"github\.com/([\w-]*seeing[\w-]*/[\w-]+)|/github/([\w-]*seeing[\w-]*/[\w-]+)"
    )
    found = {
        match[1] or match[2]
        for path in tracked
        if path.suffix in TEXT
        for match in address.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    }
    assert found == {"seeing-sound/seeing-sound"}
