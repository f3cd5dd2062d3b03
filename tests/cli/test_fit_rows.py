"""`tfgmm fit` says which columns and rows it leaves out, on the screen and in all that it writes."""

from __future__ import annotations

import html
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tfgmm.cli import app as cli
from tfgmm.cli.run import rows as run_rows
from tfgmm.cli.run.settings import RunSettings

NUMBERS = np.random.default_rng(0)
FRAME = pd.DataFrame(NUMBERS.normal([44.0, 4200.0], [5.0, 800.0], (40, 2)).round(1), columns=["bill", "mass"])
ODD = FRAME.assign(row=np.arange(1, 41), species="Adelie", island_code=NUMBERS.integers(1, 4, 40), empty=np.nan)
GAPPED = FRAME.drop(index=3).reindex(FRAME.index)
FEW = ["--components", 1, "--covariance", "diag", "--restarts", 1, "--posterior", "mean_field"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [*map(str, arguments)])


def written(folder: pathlib.Path) -> dict[str, str]:
    """What a run writes of its rows, by file."""
    text = {name: (folder / name).read_text(encoding="utf-8") for name in ("summary.txt", "config.json", "report.html")}
    return {**text, "report.html": html.unescape(text["report.html"])}


@pytest.fixture(scope="module", autouse=True)
def no_figures() -> Iterator[None]:
    """Leaves out the pictures of runs, which are not what these tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfgmm.cli.run.folder._write_figures", lambda run, fitted, folder: ({}, []))
        yield


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """A run of a file as half of Europe writes it, with gaps, a counter and a code."""
    folder = tmp_path_factory.mktemp("odd")
    frame = ODD.copy()
    frame.loc[3, ["bill", "mass"]] = frame.loc[7, "bill"] = np.nan
    frame.to_csv(folder / "penguins.csv", sep=";", decimal=",", index=False, na_rep="?", encoding="utf-16")
    done = run("fit", folder / "penguins.csv", *FEW, "--drop-gaps", "--out", folder / "run")
    assert done.exit_code == 0, done.output
    return done, folder


LEFT_OUT = {
    "row": "a counter: 1 to 40, in the order of the rows",
    "species": "text, for example 'Adelie' in row 0",
    "empty": "only gaps",
}
CODE = "'island_code' (whole numbers under a name that ids and codes have) is used as a measurement."
DROPPED = "2 of 40 rows (5 %) were dropped for a gap or an infinite value, in 'bill' (2) and 'mass' (1): the fit is"
READ_AS = "semicolons between columns, decimal commas and encoding utf-16"


def test_what_is_left_out_is_said_on_the_screen_and_in_every_file(odd: tuple[Any, pathlib.Path]) -> None:
    done, folder = odd
    told = {"screen": done.output, **written(folder / "run")}
    assert json.loads(told.pop("config.json"))["rows"] == {
        "left_out": LEFT_OUT,
        "suspicious": {"island_code": "whole numbers under a name that ids and codes have"},
        "num_dropped": 2,
        "num_read": 40,
        "gaps": {"bill": 2, "mass": 1},
        "num_dropped_validation": 0,
        "read_as": READ_AS,
    }
    for name, text in told.items():
        words = [f"{label!r} ({reason})" for label, reason in LEFT_OUT.items()]
        missing = [part for part in (*words, CODE, DROPPED, READ_AS) if text.count(part) != 1]
        assert missing == [], name
    assert "columns 'bill', 'mass', 'island_code'; left out: 'row'" in done.output
    assert "38 rows x 3 columns" in told["summary.txt"]


def test_a_run_that_is_repeated_still_says_so(odd: tuple[Any, pathlib.Path], tmp_path: pathlib.Path) -> None:
    _, folder = odd
    done = run("fit", "--config", folder / "run" / "config.json", "--out", tmp_path / "again")
    assert done.exit_code == 0, done.output
    assert written(tmp_path / "again")["config.json"] == written(folder / "run")["config.json"]


def test_nothing_is_said_where_nothing_is_left_out(tmp_path: pathlib.Path) -> None:
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    done = run("fit", tmp_path / "x.csv", *FEW, "--drop-gaps", "--out", tmp_path / "run")
    for name, text in {"screen": done.output, **written(tmp_path / "run")}.items():
        assert not any(word in text for word in ("left out:", "dropped for", "read with", "as a measure")), name
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["rows"]["left_out"] == config["rows"]["suspicious"] == {} and config["rows"]["num_dropped"] == 0


def test_columns_that_are_named_are_used_without_a_word(tmp_path: pathlib.Path) -> None:
    ODD.to_csv(tmp_path / "x.csv", index=False)
    done = run("fit", tmp_path / "x.csv", *FEW, "--columns", "row,island_code", "--out", tmp_path / "run")
    assert done.exit_code == 0 and "40 rows x 2 columns" in done.output
    for name, text in {"screen": done.output, **written(tmp_path / "run")}.items():
        assert not any(word in text for word in ("counter", "left out:", "as a measure")), name


def test_rows_with_gaps_are_refused_before_anything_slow_is_loaded(tmp_path: pathlib.Path) -> None:
    GAPPED.to_csv(tmp_path / "x.csv", index=False)
    script = (
        "import sys, atexit; from tfgmm.cli import app\n"
        "atexit.register(lambda: print(sorted({'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys())))\n"
        "app.main()"
    )
    command = [sys.executable, "-c", script, "fit", "x.csv", "--missing", "refuse", "--saved-model", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "2 values that are NaN or infinite, the first in row 3, column 'bill'" in done.stderr
    assert "Pass --drop-gaps to leave such rows out, or fill them." in done.stderr


def test_gaps_in_validation_rows_are_refused_first_and_dropped_too(tmp_path: pathlib.Path) -> None:
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    GAPPED.to_csv(tmp_path / "y.csv", index=False, sep=";", decimal=",")
    command = ["fit", tmp_path / "x.csv", *FEW, "--validation", tmp_path / "y.csv", "--out", tmp_path / "run"]
    refused = run(*command, "--missing", "refuse")
    assert refused.exit_code == 1 and "`--validation` must hold finite numbers" in refused.stderr
    assert "Pass --drop-gaps" in refused.stderr
    done = run(*command, "--drop-gaps")
    assert f"{tmp_path / 'y.csv'}: read with semicolons between columns and decimal commas" in done.output
    assert "Note: Of the rows for validation 1 was dropped for a gap or an infinite value." in done.output, done.output


@pytest.mark.parametrize(
    ("contents", "options"),
    [
        ("bill mass sea\n{}".format("1.5 2 a\n3 4 b\n2 5 c\n" * 5), ["--delimiter", "space"]),
        ("bill;of May\nand;of June\nbill;mass\n{}".format("1.5;2\n3;4\n2;5\n" * 5), ["--skip-rows", "2"]),
        ("bill;mass\n{}".format("1,500;2\n3,000;4\n2,000;5\n" * 5), ["--decimal", ","]),
        ("bill,mass\n{}".format("1.5,2\n3,4\n2,5\n" * 5), ["--encoding", "latin-1"]),
    ],
)
def test_how_a_file_is_written_can_be_said_to_every_command_that_reads_rows(
    tmp_path: pathlib.Path, contents: str, options: list[str]
) -> None:
    rows, model = tmp_path / "x.csv", tmp_path / "run"
    rows.write_text(contents)
    done = run("fit", rows, *FEW, *options, "--out", model)
    assert done.exit_code == 0 and "columns 'bill', 'mass'" in done.output, done.output
    assert f"{rows}: read with" in done.output
    means = next(line for line in done.output.splitlines() if " bill " in line)
    assert "2.1" in means or "2.2" in means
    score = run("score", "--model", model, "--in", rows, *options, "--out", tmp_path / "scored.csv")
    assert score.exit_code == 0 and f"{rows}: read with" in score.output and "15 rows scored" in score.output
    compared = run("compare", model, model, "--data", rows, *options)
    assert compared.exit_code == 0 and "no difference" in compared.output and "read with" in compared.output
    kept = json.loads((model / "config.json").read_text())["settings"]
    assert kept[options[0].strip("-").replace("-", "_")] is not None


def test_how_a_file_is_written_can_be_said_to_plot_and_report(tmp_path: pathlib.Path) -> None:
    rows, model = tmp_path / "x.csv", tmp_path / "run"
    rows.write_text("bill mass\n" + "1.5 2\n3 4\n2 5\nNA 7\n" * 5)
    options = ["--delimiter", "space"]
    assert run("fit", rows, *FEW, *options, "--drop-gaps", "--out", model).exit_code == 0
    plot = run("plot", "--model", model, "--data", rows, *options, "--out", tmp_path / "x.png")
    assert plot.exit_code == 0 and "20 rows, 5 with gaps" in plot.output and "read with spaces" in plot.output
    command = ["report", "--model", model, "--data", rows, *options, "--out", tmp_path / "x.html"]
    refused = run(*command, "--missing", "refuse")
    assert refused.exit_code == 1 and "Pass --drop-gaps to leave such rows out, or fill them." in refused.stderr
    report = run(*command, "--drop-gaps")
    assert report.exit_code == 0 and "read with spaces between columns" in report.output
    assert "other rows" not in (tmp_path / "x.html").read_text()


def test_columns_with_most_of_the_gaps_are_named_first() -> None:
    facts = run_rows.RowFacts(num_dropped=1, num_read=9, gaps={"a": 1, "b": 7, "c": 2, "d": 3})
    assert "1 of 9 rows (11 %) was dropped" in facts.dropped()[0]
    assert "most of these in 'b' (7), 'd' (3) and 'c' (2): the fit" in facts.dropped()[0]


def test_a_code_is_one_caution_and_several_are_one_too() -> None:
    one = run_rows.RowFacts(suspicious={"id": "an id"}).cautions()
    two = run_rows.RowFacts(suspicious={"id": "an id", "zip": "a code"}).cautions()
    assert one[0].startswith("'id' (an id) is used as a measurement. ")
    assert two[0].startswith("'id' (an id), 'zip' (a code) are used as measurements. ")
    assert run_rows.RowFacts().cautions() == run_rows.RowFacts().notes() == run_rows.RowFacts().dropped() == []
    assert RunSettings("/rows.csv", delimiter="tab").delimiter == "\t"
