"""`tfgmm score --sql` prints the SELECT of an export, `tfgmm info --json` its numbers; other options are refused."""

from __future__ import annotations

import json
import pathlib
import sqlite3
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from exports import FRAME, NAMES, PACKAGE_ROOT, ROWS, card_of
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.export.plain import as_json, plain_numbers
from tfgmm.export.reading import read_export
from tfgmm.export.sql.select import select_of


def run(command: str, *arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [command, *map(str, arguments)])


def printed(light: pathlib.Path, *options: str) -> str:
    done = run("score", "--model", light, "--sql", *options)
    assert (done.exit_code, done.stderr) == (0, "")
    return str(done.stdout)


def test_printed_text_scores_a_table(light: pathlib.Path) -> None:
    with sqlite3.connect(":memory:") as connection:
        FRAME.assign(id=range(len(FRAME))).to_sql("parts", connection, index=False)
        columns = "log_prob,assignment,responsibilities"
        text = printed(light, "--table", "main.parts", "--key", "id,width", "--columns", columns)
        found = np.array(sorted(connection.execute(text)))
    scorer = tfgmm.load_scorer(light)
    np.testing.assert_array_equal(found[:, :2], np.column_stack([range(len(ROWS)), ROWS[:, 0]]))
    np.testing.assert_allclose(found[:, 2], scorer.log_prob(ROWS), rtol=1e-5)
    np.testing.assert_array_equal(found[:, 3], scorer.assign(ROWS))
    np.testing.assert_allclose(found[:, 4:], scorer.responsibilities(ROWS), atol=1e-5)


def test_options_are_the_arguments_of_the_function(light: pathlib.Path) -> None:
    mixture = tfgmm.load_scorer(light).plug_in()
    assert printed(light) == select_of(mixture, NAMES, "rows") + "\n"
    options = ("--table", '"a.b"', "--columns", "assignment, log_prob", "--key", 'id, "two, words"')
    expected = select_of(mixture, NAMES, '"a.b"', ["assignment", "log_prob"], ["id", "two, words"])
    assert printed(light, *options) == expected + "\n"


REFUSED: dict[str, tuple[list[str], str]] = {
    "an input": (
        ["--in", "rows.csv"],
        "`--in` must be left out with --sql. Received: both. The SELECT reads",
    ),
    "an output": (["--out", "scores.sql"], "`--out` must be left out with --sql"),
    "noise": (["--noise", "a=b"], "`--noise` must be left out with --sql"),
    "workers": (["--workers", "3"], "`--workers` must be left out with --sql"),
    "keep": (["--keep"], "`--keep` must be left out with --sql"),
    "overwrite": (["--overwrite"], "`--overwrite` must be left out with --sql"),
    "a delimiter": (["--delimiter", ";"], "`--delimiter` must be left out with --sql"),
    "a decimal mark": (["--decimal", ","], "`--decimal` must be left out with --sql"),
    "an encoding": (["--encoding", "latin-1"], "`--encoding` must be left out with --sql"),
    "lines to skip": (["--skip-rows", "0"], "`--skip-rows` must be left out with --sql"),
    "another score": (["--columns", "imputed"], "`--columns` must be some of log_prob,assignment,responsibilities"),
    "no table": (["--table", ""], "`--table` must be without control characters, and not empty"),
    "half of a quotation": (["--table", 'a"b'], "`--table` must be the name of a table"),
    "a key like a score": (["--key", "log_prob"], "`--key` must be columns of other names than the scores"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_select_cannot_be_is_refused(light: pathlib.Path, case: str) -> None:
    options, words = REFUSED[case]
    done = run("score", "--model", light, "--sql", *options)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr and "Received: " in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--table", "parts"], "`--table` must be left out without --sql. Received: parts. Pass --sql with it."),
        (["--key", "id"], "`--key` must be left out without --sql. Received: id."),
        ([], "`--in` and `--out` must be given without --sql. Received: neither. Name the file with rows"),
        (["--in", "rows.csv"], "Received: `--in` alone."),
        (["--out", "rows.csv"], "Received: `--out` alone."),
    ],
)
def test_without_sql_there_must_be_files_and_no_table(light: pathlib.Path, options: list[str], words: str) -> None:
    done = run("score", "--model", light, *options)
    assert (done.exit_code, done.stdout) == (2, "") and words in done.stderr


def test_mixture_without_names_is_refused(tmp_path: pathlib.Path) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 3, seed=0), tmp_path / "mixture", saved_model=False)
    done = run("score", "--model", folder, "--sql")
    assert done.exit_code == 1 and "must name the mixture's 3 columns. Received: none. Fit a table" in done.stderr


def test_json_has_the_numbers_and_the_card(light: pathlib.Path) -> None:
    done = run("info", light, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == as_json(plain_numbers(read_export(light))) + "\n"
    numbers = json.loads(done.stdout)
    assert numbers["card"] == card_of(light) and numbers["column_names"] == list(NAMES)
    assert run("info", light).stdout != done.stdout


def test_json_of_a_damaged_folder_is_refused(tmp_path: pathlib.Path, light: pathlib.Path) -> None:
    for file in light.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with open(tmp_path / "parameters.npz", "r+b") as file:
        file.seek(200)
        file.write(b"\1\2\3")
    done = run("info", tmp_path, "--json")
    assert done.exit_code == 1 and "`DIR` must be" in done.stderr and "parameters.npz has changed" in done.stderr
    assert run("info", tmp_path).exit_code == 0  # the card alone is shown unchecked


def test_neither_loads_tensorflow(light: pathlib.Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from tfgmm.cli import app\n"
        "for line in (['score', '--sql', '--model', sys.argv[1]], ['info', '--json', sys.argv[1]]):\n"
        "    app.app(line, standalone_mode=False)\n"
    )
    command = [sys.executable, "-c", script, str(light)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE_ROOT, timeout=100)
    assert done.returncode == 0 and "FROM tfgmm_totals\n{\n" in done.stdout and done.stdout.endswith("}\n"), done.stderr
