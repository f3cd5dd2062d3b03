"""Docstrings say what a function is for, and an argument is a noun phrase: two turns of phrase are refused."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CODE = ("tfgmm", "training", "benchmarks", "docs/machinery")
# "seed: of the draws." instead of "seed: Seed of the draws."
ARGUMENT = re.compile(r"^\s+\*{0,2}\w+(?:,\s+\*{0,2}\w+)*: of ")
# A function that writes, checks or draws: its docstring starts with that verb
NOTHING = re.compile(r"\bReturns\s+nothing\b")


def docstring_lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Yields every line of every docstring of a file as the source has it, with its number."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if ast.get_docstring(node, clean=False) is not None:
                yield from ((number, lines[number - 1]) for number in range(first.lineno, (first.end_lineno or 0) + 1))


def refused(folders: tuple[str, ...], *patterns: re.Pattern[str], root: pathlib.Path = ROOT) -> list[str]:
    """Lists every line of a docstring in the folders that one of the patterns fits, as file:line and the text."""
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    assert files, "the search found no file: is the path right?"
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for path in files
        for number, line in docstring_lines(path)
        if any(pattern.search(line) for pattern in patterns)
    ]


def test_docstrings_start_with_a_verb_and_arguments_are_noun_phrases() -> None:
    hits = refused(CODE, NOTHING, ARGUMENT)
    assert hits == [], "\n".join(["", *hits])


def test_docstrings_of_tests_start_with_a_verb() -> None:
    hits = refused(("tests",), NOTHING)
    assert hits == [], "\n".join(["", *hits])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Returns " + "nothing; writes a file.", True),
        ("Writes a file.", False),
        ("Args:\n        seed: of the draws.", True),
        ("Args:\n        shape, rate: of the prior.", True),
        ("Args:\n        **options: of the command.", True),
        ("Args:\n        seed: Seed of the draws.", False),
        ("Sums over rows: of the sample, then of all.", False),
    ],
)
def test_the_search_itself_finds_both(tmp_path: pathlib.Path, line: str, expected: bool) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "module.py").write_text(f'class C:\n    def f():\n        """{line}\n        """\n')
    assert bool(refused(("code",), NOTHING, ARGUMENT, root=tmp_path)) is expected
