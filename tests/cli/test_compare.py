"""`tfgmm compare` says what differs, and of rows what densities and clusterings computed elsewhere say."""

from __future__ import annotations

import pathlib
import re
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exports import FRAME, NAMES, PACKAGE_ROOT, ROWS, leave_out_graph
from scored_files import write
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli import compare, display
from tfgmm.cli.compare import facts_of
from tfgmm.data.files.csv_format import CsvOptions
from tfgmm.export.reading import read_export

SHIPPED = PACKAGE_ROOT / "saved_models" / "old_faithful"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Three components of the columns of `whole`, in another order."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_graph(patch)
        columns = list(reversed(NAMES))
        rows = pd.DataFrame(np.random.default_rng(3).normal(size=(60, 3)), columns=columns)
        model = tfgmm.fit_mixture(rows, 3, restarts=1).model
        return tfgmm.export_model(model, tmp_path_factory.mktemp("three") / "mixture")


def test_example_of_the_help_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"Example: tfgmm compare (.+?) Arguments", " ".join(run("--help").stdout.split()))
    assert example is not None
    monkeypatch.chdir(PACKAGE_ROOT)
    done = run(*example[1].split())
    assert (done.exit_code, done.stderr) == (0, "") and "\x1b" not in done.stdout
    assert "differs" not in done.stdout and "the same: components 2; shape diag" in done.stdout
    assert "by 64 draws of A and 64 of B" in done.stdout
    assert "272 rows\n" in done.stdout and "no difference: both" in done.stdout
    assert "100.0 % of the rows are in the same one; adjusted Rand index 1.000" in done.stdout


def test_how_the_draws_were_made_is_among_the_facts(light: pathlib.Path) -> None:
    card = read_export(light).card
    assert facts_of(card)["posterior"] == "mean_field"
    assert facts_of({**card, "posterior": None})["posterior"] == "mean_field"  # as written before
    record = {"method": "importance", "k_hat": 0.25, "ess": 900.0}
    assert facts_of({**card, "posterior": record})["posterior"] == "importance, Pareto k-hat 0.25, 900 effective draws"


def test_mixtures_of_other_sizes_are_compared_by_rows(
    whole: pathlib.Path, three: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = write(tmp_path / "rows.csv", FRAME.assign(place="river"))
    lines = run(whole, three, "--data", path).stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("components")] == [["components", "2", "3"]]
    assert "posteriors: not compared, since components or columns differ" in lines
    means = [tfgmm.load_scorer(folder).log_prob(FRAME).mean() for folder in (whole, three)]
    [line] = [line for line in lines if line.startswith("mean log density")]
    found = [float(number) for number in re.findall(r"-\d+\.\d+", line)]
    np.testing.assert_allclose(found, means, atol=1e-4)


def test_posteriors_are_compared_by_the_draws_that_exports_keep(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = tfgmm.load_scorer(SHIPPED).draws()
    shifted = tfgmm.Draws(draws.weights, draws.locs + 0.1, draws.scales, draws.column_names)
    shifted.to_arviz().to_netcdf(tmp_path / "chains.nc")
    monkeypatch.setattr(compare, "_MOST_LINES", 5)
    done = run(SHIPPED, tmp_path / "chains.nc")
    assert done.exit_code == 0, done.stderr
    assert (
        f"B: {tmp_path / 'chains.nc'} (draws)" in done.stdout and "the 5 of 10 numbers that differ most:" in done.stdout
    )
    expected = tfgmm.compare(draws, shifted).to_frame().sort_values("distance, sd", ascending=False).head(5)
    table = [
        re.split(r" {2,}", line) for line in done.stdout.splitlines() if re.match(r"(locs|weights|scales)\[", line)
    ]
    assert [line[0].strip() for line in table] == list(expected.index)
    for line, (_, numbers) in zip(table, expected.iterrows()):
        found = [float(text) for part in line[1:] for text in part.split()]
        np.testing.assert_allclose(found, numbers.to_numpy(), rtol=1e-3)


def test_export_of_an_earlier_version_is_compared_by_rows_alone(whole: pathlib.Path, tmp_path: pathlib.Path) -> None:
    new = compare.Side("A", whole, read_export(whole))
    old = compare.Side("B", whole, new.mixture._replace(drawn=None) if new.mixture else None)
    rows = write(tmp_path / "rows.csv", FRAME)
    said = list(compare._lines((new, old), rows, CsvOptions(), display._Plain(sys.stderr)))
    assert "posteriors: not compared, since B kept no draws: written by an earlier tfgmm" in said
    assert "no difference: both describe these rows equally well" in said


def test_what_alignment_warns_of_is_a_note(whole: pathlib.Path) -> None:
    done = run(whole, whole)  # two components that no rows have told apart
    assert done.exit_code == 0 and done.stderr == ""
    assert "\nNote: in " in done.stdout and "too alike to be told apart" in done.stdout


@pytest.mark.parametrize(
    ("second", "options", "code", "words"),
    [
        ("none", (), 1, "`B` must be a folder that tfgmm.export_model or tfgmm fit wrote"),
        ("none.nc", (), 1, "`B` must be a file"),
        ("a.nc", (), 1, "`B` must be a NetCDF file of a posterior"),
        ("a.nc", ("--data", "rows.csv"), 2, "`--data` must be left out"),
        (SHIPPED, ("--data", "rows.csv"), 1, "depth, height, width and eruptions, waiting"),
        ("WHOLE", ("--data", "none.csv"), 1, "not found"),
        ("WHOLE", ("--data", "nan.csv"), 1, "two rows at least"),
    ],
)
def test_refusal_is_one_line(
    whole: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    second: Any,
    options: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.nc").touch()
    write(tmp_path / "nan.csv", FRAME * np.nan)
    done = run(whole, whole if second == "WHOLE" else second, *options)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("Error: ") and words in done.stderr and done.stderr.count("\n") == 1


def test_rows_decide_what_is_printed(whole: pathlib.Path, three: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lines = [run(whole, three, "--data", write(tmp_path / "a.csv", FRAME * scale)).stdout for scale in (1.0, 5.0)]
    assert lines[0] != lines[1] and len(ROWS) == 20 and all("20 rows" in text for text in lines)
