"""One idea per function: functions above 40 lines of code and files above 320 lines stand here with their reason."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "tfgmm"
MOST_CODE_LINES = 40
MOST_FILE_LINES = 320

# file: function -> why it is not cut
LONG_FUNCTIONS = {
    "cli/fit.py: fit": "typer reads the options of the command from its signature: thirty lines are that",
    "fit/estimator/bayesian_gaussian_mixture.py: BayesianGaussianMixture.__init__": "scikit-learn wants every argument "
    "in the signature, and stored under its name",
    "fit/fitting.py: fit_mixture": "half of it is its signature, and the rest hands it on",
    "companions/numpyro_mixture/nuts.py: sample_nuts": "twenty lines are its signature; the rest checks every argument",
    "plot/memberships.py: responsibilities": "one picture, drawn from top to bottom: pieces would take six arguments",
}
# file -> why it is not cut
LONG_FILES: dict[str, str] = {
    "families/correlated.py": "one family, from its numbers to its draws; what priors learn is in learned_scales",
    "families/independent.py": "as families/correlated.py",
}


def test_functions_are_short_or_say_why_not() -> None:
    long = {
        f"{path.relative_to(PACKAGE)}: {name}": length
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, length in code_lines(path.read_text(encoding="utf-8"))
        if length > MOST_CODE_LINES
    }
    assert {name: length for name, length in long.items() if name not in LONG_FUNCTIONS} == {}
    assert sorted(LONG_FUNCTIONS.keys() - long.keys()) == []  # cut by now: take them off the table


def test_files_are_short_or_say_why_not() -> None:
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    assert len(lengths) > 100, "the search found almost nothing: is the path right?"
    long = {name: length for name, length in lengths.items() if length > MOST_FILE_LINES}
    assert {name: length for name, length in long.items() if name not in LONG_FILES} == {}
    assert sorted(LONG_FILES.keys() - long.keys()) == []  # as above


def code_lines(source: str) -> Iterator[tuple[str, int]]:
    """Yields every function, with its class, and its lines of code: the signature counts; the docstring, comments and
    empty lines do not. Functions inside a function count as part of it, and by themselves."""
    lines = source.splitlines()
    for name, node in functions_in(ast.parse(source), ""):
        docstring = node.body[0] if ast.get_docstring(node) is not None else None
        left_out = range(docstring.lineno, (docstring.end_lineno or 0) + 1) if docstring else range(0)
        numbers = (number for number in range(node.lineno, (node.end_lineno or 0) + 1) if number not in left_out)
        code = (lines[number - 1].strip() for number in numbers)
        yield name, sum(bool(line) and not line.startswith("#") for line in code)


def functions_in(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yields every function below a node with its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{child.name}", child
        is_named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from functions_in(child, f"{prefix}{child.name}." if is_named else prefix)


def test_the_count_itself_leaves_out_docstrings_comments_and_empty_lines() -> None:
    lines = [
        "class C:",
        "  def f(",
        "    self,",
        "  ):",
        '    """One.',
        "",
        '    Two."""',
        "    # 3",
        "",
        "    return 4",
    ]
    assert dict(code_lines("\n".join(lines))) == {"C.f": 4}
