"""Fingerprints: they follow what an experiment uses, and every Python computes the same."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avcore.claims import CLAIMS, Claim, Side
from avcore.claims import fingerprint as fingerprints

FIXTURE = Path(__file__).parent / "reference" / "fingerprinted.txt"
GOLDEN = "886d12d7f2f6efdb"
ALONE = """
import hashlib, importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("alone", sys.argv[1])
alone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(alone)
for path in map(pathlib.Path, sys.argv[2:]):
    module = alone._Module(path.read_text(encoding="utf-8"))
    texts = {name: module.printed(found) for name, found in module.definitions.items()}
    whole = repr(sorted(texts.items())) + module.printed(module.loose)
    print(hashlib.sha256(whole.encode()).hexdigest()[:16])
"""


@functools.cache
def pythons() -> list[str]:
    """This Python, and whichever others of the supported ones are installed."""
    names = [f"python3.{minor}" for minor in (11, 12, 13, 14)]
    versions = Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python")
    found = [sys.executable, *filter(None, map(shutil.which, names)), *map(str, versions)]
    works = [
        subprocess.run([each, "-c", ""], capture_output=True).returncode == 0 for each in found
    ]
    return [each for each, well in zip(found, works, strict=True) if well]


def hashes(python: str, *files: Path) -> list[str]:
    command = [python, "-c", ALONE, fingerprints.__file__, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_fixture_has_its_golden_fingerprint_on_every_python_here():
    assert {python: hashes(python, FIXTURE) for python in pythons()} == {
        python: [GOLDEN] for python in pythons()
    }


def test_every_module_has_one_fingerprint_on_all_pythons_here():
    files = sorted((Path(fingerprints.__file__).parents[1]).rglob("*.py"))
    assert len({tuple(hashes(python, *files)) for python in pythons()}) == 1


def test_a_module_is_printed_as_its_logical_lines():
    lines = fingerprints._logical_lines(
        'def f(x,\n  y):\n    """Say."""\n    # why\n    return x\n'
    )
    assert lines == {1: "0 def f ( x , y ) :", 5: "1 return x"}


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("x = f'{a} b'", "x = f'{a}  b'"),
        ("x = 'a'", "x = b'a'"),
        ("x: 'int' = 1", "x: 'str' = 1"),
        ("f(a, 'b')", "f(a)"),
    ],
)
def test_what_means_something_else_is_printed_otherwise(text, other):
    printed = [list(fingerprints._logical_lines(each + "\n").values()) for each in (text, other)]
    assert printed[0] != printed[1]


def printed(tmp_path, monkeypatch, **changes: str) -> str:
    """Fingerprint of an experiment in two small modules, some lines of them changed."""
    lines = {
        "start": '''"""One."""''',
        "import": "from avcore import other; from avcore.other import LIMIT as limit",
        "experiment": "def experiment():\n    return other.helper(limit)",
        "beside": "def beside(): return 1",
    }
    others = {
        "loose": "print('imported')",
        "limit": "LIMIT = 3",
        "helper": "def helper(x): return Thing(x).run()",
        "thing": "class Thing(int):\n    def run(self): return self",
        "unused": "def unused(): return 1",
    }
    for name, text in {"first": lines, "other": others}.items():
        chosen = (changes.get(key, line) for key, line in text.items())
        (tmp_path / f"{name}.py").write_text("\n".join(chosen))
    files = {"avclaimtest": tmp_path / "first.py", "avcore.other": tmp_path / "other.py"}
    monkeypatch.setattr(fingerprints, "_source_of", files.get)
    start = Claim("T1", "p", "S.", lambda: None, Side("a", "x"), Side("b", "x"), 0.0)
    monkeypatch.setattr(start.experiment, "__module__", "avclaimtest")
    monkeypatch.setattr(start.experiment, "__qualname__", "experiment")
    return fingerprints.fingerprint(start)


@pytest.mark.parametrize(
    ("part", "text", "counts"),
    [
        ("start", '''"""Two."""  # why''', False),
        (
            "experiment",
            '''def experiment():\n    """Say."""\n    return other.helper(\n        limit)  # so''',
            False,
        ),
        ("beside", "def beside(): return 2", False),
        ("unused", "def unused(): return 2", False),
        ("experiment", "def experiment():\n  return other . helper(limit)", False),
        ("experiment", "def experiment(): return other.helper(2)", True),
        ("limit", "LIMIT = 4", True),
        ("helper", "def helper(x): return Thing(x).run() + 1", True),
        ("thing", "class Thing(int):\n    def run(self): return -self", True),
        ("loose", "print('other')", True),
    ],
)
def test_the_fingerprint_follows_what_the_experiment_uses(
    tmp_path, monkeypatch, part, text, counts
):
    before = printed(tmp_path, monkeypatch)
    assert (printed(tmp_path, monkeypatch, **{part: text}) != before) is counts


def test_of_a_module_that_is_passed_on_everything_counts(tmp_path, monkeypatch):
    uses = {"experiment": "def experiment(): return vars(other)"}
    before = printed(tmp_path, monkeypatch, **uses)
    assert printed(tmp_path, monkeypatch, **uses, unused="def unused(): return 2") != before


def test_the_fingerprints_of_the_catalogue_reach_their_networks():
    texts = fingerprints._Code().reached("avcore.papers.avc", "localisation_experiment")
    for place in (
        "nn.backbones:SoundStream",
        "training.loop:_update",
        "nn.pretrained:JoinedFeatures",
        "stage.looks:frog",
    ):
        assert f"avcore.{place}" in texts
    assert "avcore.metrics.segmentation:f_measure" not in texts


def test_a_module_is_parsed_once_for_all_claims():
    for _ in range(2):
        before = fingerprints._parsed.cache_info().misses
        for claim in CLAIMS.values():
            fingerprints.fingerprint(claim)
    assert fingerprints._parsed.cache_info().misses == before
