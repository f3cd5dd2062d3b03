"""The package as a whole: lazy names, the command line, and what neither of them loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli

PACKAGE = Path(tfgmm.__file__).parent
TESTS = Path(__file__).parents[1]
# Of the reference mixtures, the repository, earlier versions, and fits to rows in parts by each engine
OTHER_TESTS = {"helpers", "project", "written_before", "fit/shards"}
HEAVY = ("tensorflow", "keras", "tensorflow_probability", "torch", "jax")


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Returns what a fresh Python process did with these arguments; a warning is an error in it."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)


def loaded_after(statement: str, packages: tuple[str, ...]) -> list[str]:
    """Returns which of the packages a fresh process holds after running the statement."""
    done = run_python("-c", f"import sys\n{statement}\nprint([p for p in {packages!r} if p in sys.modules])")
    assert done.returncode == 0, done.stderr
    return list(ast.literal_eval(done.stdout.splitlines()[-1]))


def test_import_loads_neither_tensorflow_nor_numpy() -> None:
    assert loaded_after("import tfgmm; tfgmm.__version__; dir(tfgmm)", (*HEAVY, "numpy", "pandas", "matplotlib")) == []


def test_packages_without_tensorflow_do_not_load_it() -> None:
    packages = (
        "posterior.draws",
        "plot",
        "mixture.priors",
        "data.readers",
        "data.summary",
        "posterior.alignment",
        "cli",
    )
    assert loaded_after(f"import {', '.join(f'tfgmm.{name}' for name in packages)}", HEAVY) == []


PUBLIC = {name: f"tfgmm.{home}" for home, names in tfgmm._HOMES.items() for name in names}


@pytest.mark.parametrize("name", sorted({*PUBLIC, *tfgmm._MODULES} - {"__version__"}))
def test_public_name_resolves(name: str) -> None:
    found = getattr(tfgmm, name)
    assert name in dir(tfgmm)
    assert getattr(found, "__name__", name).rpartition(".")[2] == name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.asname: node.module
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == PUBLIC | dict.fromkeys(tfgmm._MODULES, "tfgmm")


def test_tests_lie_where_the_code_they_test_lies() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert len(folders) > 14, "the search found almost nothing: is the path right?"
    others = [folder for folder in folders if not (folder.parts and (PACKAGE / folder / "__init__.py").is_file())]
    assert {str(folder) for folder in others} <= OTHER_TESTS


def test_unknown_name_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="no public name 'Mixture'.*GaussianMixtureModel.*load_scorer") as caught:
        _ = tfgmm.Mixture
    assert "__version__" not in str(caught.value)
    assert not hasattr(tfgmm, "fit_mixtures")


def test_no_public_name_hides_a_module() -> None:
    """`tfgmm.fit` must stay the package that Python makes it, whatever was imported before."""
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert {"fit", "model", "plot"} <= modules
    assert modules.isdisjoint(PUBLIC)
    assert "fit" not in dir(tfgmm)


def test_help_loads_no_tensorflow() -> None:
    statement = (
        "from tfgmm.cli import app\ntry:\n    app.app(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert loaded_after(statement, (*HEAVY, "numpy")) == []


def test_python_m_prints_the_version() -> None:
    done = run_python("-m", "tfgmm", "--version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"tfgmm {tfgmm.__version__}", "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["info"], ["info", "a", "b"], ["--nonsense"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr
