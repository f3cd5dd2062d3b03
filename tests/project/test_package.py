"""The package as a whole: lazy names, the command line, and what neither of them loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli

PACKAGE = Path(tfgmm.__file__).parent
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


def test_unknown_name_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="no public name 'Mixture'.*GaussianMixtureModel.*load_scorer"):
        _ = tfgmm.Mixture
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


def test_info_prints_the_card(tmp_path: Path) -> None:
    card = {
        "num_components": 3,
        "column_names": ["eruptions", "[red]waiting"],
        "bound": -1132.25,
        "versions": {"tensorflow": "2.21.0"},
        "locs": [[1.0, 2.0], [3.0, 4.0]],
        "seed": None,
        "files": {},
        "fitted": True,
    }
    (tmp_path / cli.CARD_NAME).write_text(json.dumps(card))
    result = CliRunner().invoke(cli.app, ["info", str(tmp_path)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.stderr
    for text in ("num components", "eruptions, [red]waiting", "-1132.25", "2.21.0", "[1, 2], [3, 4]", "none", "yes"):
        assert text in result.stdout


def test_card_rows_indent_what_is_nested_and_cut_long_lists() -> None:
    rows = list(cli.card_rows({"data": {"num_data": 300000}, "weights": [0.1] * 20}))
    assert rows[:2] == [("data", ""), ("  num data", "300000")]
    assert rows[2][1].endswith("0.1, ... (20 in all)")


def test_card_rows_keep_file_names_and_join_short_parts() -> None:
    card = {"files": {"saved_model.pb": {"bytes": 98, "sha256": "55f7"}}}
    assert list(cli.card_rows(card)) == [("files", ""), ("  saved_model.pb", "bytes 98; sha256 55f7")]


def test_a_card_cannot_steer_the_terminal() -> None:
    [(label, text)] = cli.card_rows({"note\x1b[2J": "\x1b[31mred"})
    assert "\x1b" not in label + text


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_deeply_nested_card_is_cut(tmp_path: Path, opening: str, closing: str) -> None:
    content = f'{{"deep": {opening * 500}1{closing * 500}}}'
    (tmp_path / cli.CARD_NAME).write_text(content)
    result = CliRunner().invoke(cli.app, ["info", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout) < 2000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "an empty folder"),
        (b"{", "must be JSON"),
        (b"", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"[1]", "a list"),
    ],
)
def test_bad_card_exits_with_1_and_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / cli.CARD_NAME).write_bytes(content)
    result = CliRunner().invoke(cli.app, ["info", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr
    assert "Received: " in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_what_is_no_folder_exits_with_1(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    if kind == "file":
        path.touch()
    result = CliRunner().invoke(cli.app, ["info", str(path)])
    assert result.exit_code == 1
    assert "`DIR` must be a folder that" in result.stderr
