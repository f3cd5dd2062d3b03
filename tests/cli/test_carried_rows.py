"""`tfgmm report`, `plot` and `compare` take weights and gaps; `info` and `sample` say what rows of a fit carried."""

from __future__ import annotations

import html
import pathlib
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import Page
from scored_files import write
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.report import pictures

NUMBERS = np.random.default_rng(0)
VALUES = NUMBERS.normal([[0.0, 5.0]] * 30 + [[6.0, -5.0]] * 30, 1.0)
VALUES[3:9, 0] = VALUES[20:22, 1] = np.nan
TABLE = pd.DataFrame({"a": VALUES[:, 0], "b": VALUES[:, 1], "count": NUMBERS.integers(0, 4, 60)})
NUM_USED, NUM_INCOMPLETE = int((TABLE["count"] > 0).sum()), int(TABLE[TABLE["count"] > 0].isna().any(axis=1).sum())
REPEATED = TABLE.loc[np.repeat(TABLE.index, TABLE["count"]), ["a", "b"]]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with rows, once with weights and once repeated, and with the export of a fit to the first."""
    folder = tmp_path_factory.mktemp("place")
    write(folder / "rows.csv", TABLE)
    write(folder / "repeated.csv", REPEATED)
    write(folder / "odd.csv", TABLE.assign(count=-1.0))
    write(folder / "infinite.csv", TABLE.assign(a=np.where(TABLE.index == 0, np.inf, TABLE["a"])))
    with pytest.warns(UserWarning):
        result = tfgmm.fit_mixture(folder / "rows.csv", 2, sample_weight="count", restarts=1)
    tfgmm.export_model(result, folder / "model", saved_model=False)
    write_noisy(folder)
    return folder


def write_noisy(folder: pathlib.Path) -> None:
    """Writes the export of a fit to rows with measurement noise."""
    result = tfgmm.fit_mixture(VALUES[9:20], 1, noise=np.full((11, 2), 0.1), restarts=1)
    tfgmm.export_model(result, folder / "noisy", saved_model=False)


def page_of(place: pathlib.Path, out: pathlib.Path, *options: Any) -> Page:
    done = run("report", "--model", place / "model", "--out", out / "a.html", "--overwrite", "--data", *options)
    assert (done.exit_code, done.stderr) == (0, "")
    return Page((out / "a.html").read_text("utf-8"))


def test_a_report_with_the_weights_of_the_fit_is_about_its_rows(
    place: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "drawings", lambda *_: ())
    page = page_of(place, tmp_path, place / "rows.csv", "--weights", "count")
    words = " ".join(page.words.split())
    total = TABLE["count"].sum()
    assert f"{NUM_USED} rows that count as {total}, {NUM_INCOMPLETE} of them with gaps;" in words
    assert "not the rows" not in words and f"{60 - NUM_USED} rows of weight 0 are left out." in words
    of_repeated = page_of(place, tmp_path, place / "repeated.csv")
    assert page.tables["memberships"] == of_repeated.tables["memberships"]
    [_, missing, *_] = zip(*page.tables["columns"])
    assert missing == ("missing", *(f"{TABLE[TABLE['count'] > 0][name].isna().sum()}" for name in "ab"))
    without = " ".join(page_of(place, tmp_path, place / "rows.csv").words.split())
    assert "60 rows are shown here" in without and "Those had weights (column 'count'), and none were given" in without
    dropped = " ".join(page_of(place, tmp_path, place / "repeated.csv", "--drop-gaps").words.split())
    assert f"{len(REPEATED.dropna())} rows;" in dropped


def test_a_run_on_gaps_weights_and_noise_says_how_they_were_treated(tmp_path: pathlib.Path) -> None:
    table = write(tmp_path / "rows.csv", TABLE.assign(a_err=0.5))
    few = ["--components", 2, "--covariance", "full", "--restarts", 1, "--columns", "a,b", "--posterior", "mean_field"]
    done = run("fit", table, *few, "--weights", "count", "--noise", "a=a_err", "--out", tmp_path / "run")
    assert (done.exit_code, done.stderr) == (0, "")
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    words = " ".join(page.words.split())
    total = TABLE["count"].sum()
    for said in (
        f"{NUM_USED} rows that count as {total}, {NUM_INCOMPLETE} of them with gaps;",
        f"{NUM_INCOMPLETE} of {2 * NUM_USED} values are missing, in {NUM_INCOMPLETE} of {NUM_USED} rows",
        "nothing was filled in",
        f"(column 'count'): {NUM_USED} rows with the sum {total}.",
        "noise of each row in column 'a' ('a_err') is taken off",
        "The density is that of values without measurement noise",
    ):
        assert said in words, said
    assert "not the rows" not in words and "scorer.impute(rows)" in page.pre[0]
    assert sum(int(line[1]) for line in page.tables["memberships"][1:]) == total
    assert (tmp_path / "run" / "figures" / "density.png").is_file()
    twice = [tmp_path / "run", tmp_path / "run", "--data", table, "--weights", "count"]
    blind, noisy = run("compare", *twice), run("compare", *twice, "--noise", "a=a_err")
    is_said = ["Rows were judged as if" in one.stdout for one in (blind, noisy)]
    assert is_said == [True, False] and blind.exit_code == noisy.exit_code == 0, noisy.stderr
    # The same page about the same rows, read again
    again = ["--data", table, "--weights", "count", "--noise", "a=a_err", "--out", tmp_path / "a.html"]
    assert run("report", "--model", tmp_path / "run", *again).exit_code == 0
    of_report = Page((tmp_path / "a.html").read_text("utf-8"))
    assert of_report.tables["memberships"] == page.tables["memberships"] and "not the rows" not in of_report.words


def test_a_plot_shows_gaps_as_gaps_and_weights_in_bars(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lines, contents = [], []
    for options in ([], ["--weights", "count"], ["--drop-gaps"]):
        plain = ["--model", place / "model", "--data", place / "rows.csv", "--columns", "a", "--overwrite"]
        done = run("plot", *plain, "--out", tmp_path / "a.svg", *options)
        assert (done.exit_code, done.stderr) == (0, "")
        lines.append(done.stdout.strip().partition("; ")[2].removesuffix("; band of the mean-field posterior"))
        contents.append((tmp_path / "a.svg").read_text("utf-8"))
    whole = len(TABLE.dropna())
    assert lines == ["60 rows, 8 with gaps", f"{NUM_USED} rows, weighted, {NUM_INCOMPLETE} with gaps", f"{whole} rows"]
    assert len(set(contents)) == 3 and "54 rows (6 lack a value)" in contents[0] and ", weighted" in contents[1]


def test_infinite_values_are_left_out_of_a_plot_and_refused_beside_weights(
    place: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    plain = ["plot", "--model", place / "model", "--data", place / "infinite.csv", "--out", tmp_path / "a.png"]
    done = run(*plain)
    assert done.stdout.endswith("; 59 rows, 8 with gaps; 1 without values or infinite, left out\n"), done.stderr
    done = run(*plain, "--overwrite", "--weights", "count")
    assert done.exit_code == 1 and "infinite" in done.stderr and "--drop-gaps" in done.stderr


def test_compare_judges_by_weights_and_by_what_rows_have(place: pathlib.Path) -> None:
    both = ["compare", place / "model", place / "noisy"]
    refused = run(*both, "--data", place / "rows.csv")
    assert refused.exit_code == 1 and "`--data` can judge mixtures of the same columns alone" in refused.stderr
    both = ["compare", place / "model", place / "model"]
    weighted = run(*both, "--data", place / "rows.csv", "--weights", "count")
    repeated = run(*both, "--data", place / "repeated.csv")
    assert (weighted.exit_code, weighted.stderr, repeated.stderr) == (0, "", "")
    total = TABLE["count"].sum()
    assert f": {NUM_USED} rows that count as {total}, {NUM_INCOMPLETE} with gaps\n" in weighted.stdout
    assert f"{NUM_USED} rows that count as {total}, fingerprint " in weighted.stdout
    means = [re.findall("mean log density.*", done.stdout) for done in (weighted, repeated)]
    assert means[0] == means[1] and len(means[0]) == 1


def test_info_sample_and_compare_say_what_rows_of_the_fit_carried(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    told = " ".join(CliRunner().invoke(cli.app, ["info", str(place / "model")], env={"COLUMNS": "200"}).stdout.split())
    assert f"{NUM_USED} rows with the sum {TABLE['count'].sum()}" in told and "values are missing, in" in told
    told = CliRunner().invoke(cli.app, ["info", str(place / "noisy")], env={"COLUMNS": "200"}).stdout
    assert "measurement noise of each row" in " ".join(told.split())
    done = run("sample", "--model", place / "noisy", "--num-rows", 3, "--out", tmp_path / "a.csv")
    assert done.stdout == f"{tmp_path / 'a.csv'}: 3 rows drawn; their values have no measurement noise\n", done.stderr
    done = run("sample", "--model", place / "model", "--num-rows", 3, "--out", tmp_path / "b.csv")
    assert done.stdout.endswith("3 rows drawn\n")
    plain = pd.DataFrame(VALUES[9:20], columns=["a", "b"])
    done = run("compare", place / "noisy", place / "noisy", "--data", write(tmp_path / "plain.csv", plain))
    assert "Rows were judged as if they had no measurement noise" in done.stdout
    assert ", measurement noise" in done.stdout


def test_pictures_of_a_fit_with_noise_say_so(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for model, is_said in (("noisy", True), ("model", False)):
        out = tmp_path / f"{model}.svg"
        assert run("plot", "--model", place / model, "--columns", "0", "--out", out).exit_code == 0
        assert ("values without measurement noise" in html.unescape(out.read_text("utf-8"))) is is_said


REFUSALS = {
    "weights of nothing": ("plot", ["--weights", "count"], 2, "`--weights` is about rows. Received: no `--data`"),
    "gaps of nothing": ("compare", ["--missing", "refuse"], 2, "`--missing` is about rows"),
    "dropping of nothing": ("plot", ["--drop-gaps"], 2, "`--drop-gaps` is about rows"),
    "unknown treatment": ("report", ["--data", "rows.csv", "--missing", "fill"], 2, "`--missing` must be integrate or"),
    "negative weights": ("report", ["--data", "odd.csv", "--weights", "count"], 1, "`--weights` must be"),
    "negative weights of a plot": ("plot", ["--data", "odd.csv", "--weights", "count"], 1, "`--weights` must be"),
    "unknown weights": ("compare", ["--data", "rows.csv", "--weights", "often"], 1, "'often'"),
    "weights that are values": ("plot", ["--data", "rows.csv", "--weights", "a"], 1, "'a'"),
    "refused gaps": ("compare", ["--data", "rows.csv", "--missing", "refuse"], 1, "must hold finite numbers"),
    "no noise": ("report", ["--data", "rows.csv", "--noise", "a"], 2, "`--noise` must be a column and"),
    "unknown noise": ("report", ["--data", "rows.csv", "--noise", "a=a_err"], 1, "'a_err'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line(
    place: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(place)
    command, options, code, words = REFUSALS[case]
    of_command = {
        "report": ["--model", "model", "--out", tmp_path / "a.html"],
        "plot": ["--model", "model", "--out", tmp_path / "a.png"],
        "compare": ["model", "model"],
    }
    done = run(command, *of_command[command], *options)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("Error: ") and words in done.stderr and done.stderr.count("\n") == 1
    assert "Received: " in done.stderr and "missing=" not in done.stderr and "sample_weight" not in done.stderr
    assert list(tmp_path.iterdir()) == []
