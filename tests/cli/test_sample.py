"""`tfgmm sample` writes the rows that the scorer draws, of any number, whole or not at all."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

import numpy as np
import pytest
from exports import PACKAGE_ROOT, K
from scored_files import read
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli import sample


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["sample", *map(str, arguments)])


def drawn(model: pathlib.Path, path: pathlib.Path, *options: Any) -> np.ndarray:
    done = run("--model", model, "--out", path, *options)
    assert (done.exit_code, done.stderr) == (0, ""), done.stderr
    table = read(path)
    assert done.stdout == f"{path}: {table.num_rows:,} rows drawn\n"
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.arrow"])
def test_rows_are_those_of_the_scorer(whole: pathlib.Path, tmp_path: pathlib.Path, name: str) -> None:
    scorer = tfgmm.load_scorer(whole)
    rows = drawn(whole, tmp_path / name, "--num-rows", 50, "--seed", 2**40)
    np.testing.assert_array_equal(rows, scorer.sample(50, seed=2**40))
    assert read(tmp_path / name).column_names == list(scorer.column_names)


def test_seed_0_is_the_default_and_another_seed_draws_others(whole: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = drawn(whole, tmp_path / "a.parquet", "--num-rows", 20)
    np.testing.assert_array_equal(rows, tfgmm.load_scorer(whole).sample(20, seed=0))
    others = drawn(whole, tmp_path / "b.parquet", "--num-rows", 20, "--seed", 1)
    assert (rows != others).all()


def test_blocks_are_drawn_one_after_the_other_all_of_them_different(
    whole: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = tfgmm.load_scorer(whole)
    num_features = len(scorer.column_names)
    monkeypatch.setattr(sample, "_BLOCK_NUMBERS", 400 * num_features)
    rows = drawn(whole, tmp_path / "rows.parquet", "--num-rows", 4_100)
    assert rows.shape == (4_100, num_features) and len(np.unique(rows, axis=0)) == 4_100
    np.testing.assert_array_equal(rows[:400], scorer.sample(400, seed=0))
    mixture = scorer.plug_in()
    weights = np.exp(mixture.log_weights)
    locs = mixture.centre + mixture.components["locs"]
    assert len(weights) == K
    # five standard errors, which the rows themselves tell
    assert (np.abs(rows.mean(axis=0) - weights @ locs) < 5 * rows.std(axis=0) / np.sqrt(len(rows))).all()


def test_columns_without_names_are_numbered(tmp_path: pathlib.Path, no_graph: None) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 2, seed=0), tmp_path / "mixture")
    assert drawn(folder, tmp_path / "rows.csv", "--num-rows", 1).shape == (1, 2)
    assert read(tmp_path / "rows.csv").column_names == ["column_0", "column_1"]


def test_example_of_the_help_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    example = re.search(r"Example: tfgmm sample (.+)", " ".join(run("--help").stdout.split()))
    assert example is not None
    monkeypatch.chdir(PACKAGE_ROOT)
    path = tmp_path / "rows.csv"
    done = run(*example[1].partition("/tmp/geyser_rows.csv")[0].split(), path)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{path}: 1,000 rows drawn\n", "")
    assert read(path).num_rows == 1_000


REFUSALS = {
    "no rows": (["--num-rows", "0"], 2, "`--num-rows` must be at least 1"),
    "a negative seed": (["--seed", "-1"], 2, "`--seed` must be"),
    "a seed too large": (["--seed", str(2**63)], 2, "`--seed` must be"),
    "an ending of nothing": (["--out", "rows.txt"], 2, "`--out` must be a file whose name ends in .csv"),
    "no such model": (["--model", "none"], 1, "`--model` must be"),
    "a file that is there": ([], 1, "--overwrite"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line_and_changes_nothing(
    whole: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("mine")
    options, code, words = REFUSALS[case]
    done = run("--model", whole, "--num-rows", 3, "--out", "rows.csv", *options)  # the last of two options counts
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.startswith("Error: ") and words in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "rows.csv").read_text() == "mine" and os.listdir(tmp_path) == ["rows.csv"]


def test_overwrite_replaces_and_failure_and_ctrl_c_do_not(
    whole: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mine")
    for failure in (OSError("no space"), KeyboardInterrupt()):
        with monkeypatch.context() as patch:
            patch.setattr(
                "tfgmm.mixture.sampling.sample_rows", lambda *_, failure=failure: (_ for _ in ()).throw(failure)
            )
            done = run("--model", whole, "--num-rows", 3, "--out", path, "--overwrite")
        assert done.exit_code == 1 and done.stderr.count("\n") == 1
        assert path.read_text() == "mine" and os.listdir(tmp_path) == ["rows.csv"]
    assert len(drawn(whole, path, "--num-rows", 3, "--overwrite")) == 3
