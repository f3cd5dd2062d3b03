"""`tfgmm score` scores any kind of file into any other, at once, with a bar where somebody looks."""

from __future__ import annotations

import os
import pathlib
import pty
import re
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from exports import FRAME, NAMES, PACKAGE_ROOT, ROWS, K
from scored_files import ALL, FIELDS, SHUFFLED, check_scores, read, run, write

import tfgmm
from tfgmm.data import pass_through


@pytest.fixture(scope="module")
def scorer(whole: pathlib.Path) -> tfgmm.Scorer:
    return tfgmm.load_scorer(whole)


# --- The same scores, whatever the files


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet", "rows.feather", "rows.arrow"])
@pytest.mark.parametrize("out", ["scored.csv", "scored.parquet", "scored.arrow"])
@pytest.mark.parametrize("block", [3, 65_536], ids=["blocks of 3", "one block"])
def test_every_kind_of_file_is_scored_into_every_other(
    tmp_path: pathlib.Path,
    whole: pathlib.Path,
    scorer: tfgmm.Scorer,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    out: str,
    block: int,
) -> None:
    monkeypatch.setattr(pass_through, "BLOCK_ROWS", block)
    path, target = write(tmp_path / source, SHUFFLED), tmp_path / out
    done = run("--model", whole, "--in", path, "--out", target)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{target}: 20 rows scored, all of them finite\n"
    table = read(target)
    assert table.column_names == FIELDS
    check_scores(table, scorer, ROWS)
    assert sorted(os.listdir(tmp_path)) == sorted([source, out])


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet", "rows.arrow"])
@pytest.mark.parametrize("out", ["scored.csv", "scored.parquet"])
def test_keep_carries_the_columns_along_as_they_are(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch, source: str, out: str
) -> None:
    monkeypatch.setattr(pass_through, "BLOCK_ROWS", 3)
    path, target = write(tmp_path / source, SHUFFLED), tmp_path / out
    done = run("--model", whole, "--in", path, "--out", target, "--keep", columns="outlier, log_prob")
    assert done.exit_code == 0, done.stderr
    found = pd.read_csv(target, dtype={"id": str}) if out.endswith("csv") else read(target).to_pandas()
    assert list(found) == ["depth", "width", "height", "id", "outlier", "log_prob"]
    assert found["id"].tolist() == SHUFFLED["id"].tolist()
    np.testing.assert_array_equal(found[list(NAMES)], ROWS)


@pytest.mark.parametrize("out", ["scored.csv", "scored.parquet", "scored.arrow"])
def test_categories_that_differ_from_block_to_block_are_carried_along(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.setattr(pass_through, "BLOCK_ROWS", 7)
    path, target = tmp_path / "rows.parquet", tmp_path / out
    kinds = [f"kind {row // 7}" for row in range(20)]
    tables = [  # each with a dictionary of its own
        pa.Table.from_pandas(part.assign(kind=pd.Categorical(part["kind"])), preserve_index=False)
        for _, part in FRAME.assign(kind=kinds).groupby("kind")
    ]
    with pa.parquet.ParquetWriter(path, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
    done = run("--model", whole, "--in", path, "--out", target, "--keep")
    assert done.exit_code == 0, done.stderr
    assert read(target)["kind"].to_pylist() == kinds


def test_columns_come_in_the_order_asked_for(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    run("--model", whole, "--in", path, "--out", tmp_path / "a.csv", columns="responsibilities,log_prob")
    assert read(tmp_path / "a.csv").column_names == ["responsibility_0", "responsibility_1", "log_prob"]


def test_rows_without_names_are_matched_by_their_order(tmp_path: pathlib.Path) -> None:
    model = tfgmm.GaussianMixtureModel(K, 3, seed=0)
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    path = write(tmp_path / "rows.csv", pd.DataFrame(ROWS, columns=["a", "b", "c"]))
    assert run("--model", folder, "--in", path, "--out", tmp_path / "a.csv").exit_code == 0
    check_scores(read(tmp_path / "a.csv"), tfgmm.load_scorer(folder), ROWS)
    done = run("--model", folder, "--in", write(path, SHUFFLED), "--out", tmp_path / "b.csv")
    assert done.exit_code == 1 and "must have 3 columns" in done.stderr


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
def test_rows_with_gaps_are_scored_and_counted_and_others_marked(
    tmp_path: pathlib.Path, whole: pathlib.Path, scorer: tfgmm.Scorer, source: str
) -> None:
    frame = FRAME.copy()
    frame.loc[3, "width"], frame.loc[8, "depth"], frame.loc[11] = np.nan, np.inf, np.nan
    path, target = write(tmp_path / source, frame), tmp_path / "scored.parquet"
    done = run("--model", whole, "--in", path, "--out", target, columns=f"{ALL},imputed")
    marked = "2 of them without any value or with an infinite one (NaN, assignment -1)"
    assert done.stdout.endswith(f"20 rows scored, 1 of them with gaps, {marked}\n")
    table, rows = read(target).to_pandas(), frame.to_numpy()
    assert table["assignment"][[8, 11]].tolist() == [-1, -1]
    assert np.isnan(table[["log_prob", "outlier"]]).all(axis=1).tolist() == [row in (8, 11) for row in range(20)]
    check_scores(read(target), scorer, rows)
    np.testing.assert_array_equal(table["outlier"], scorer.outlier(rows))
    imputed = table[[f"imputed_{name}" for name in NAMES]]
    assert list(table)[-3:] == list(imputed) and (imputed.dtypes == np.float64).all()
    np.testing.assert_array_equal(imputed, scorer.impute(rows))
    assert imputed["imputed_width"].notna().all()


def test_one_row_is_a_row(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path = write(tmp_path / "rows.csv", FRAME[:1])
    assert "1 row scored" in run("--model", whole, "--in", path, "--out", tmp_path / "a.csv").stdout


def test_columns_of_rows_without_names_have_numbers_where_gaps_are_filled(tmp_path: pathlib.Path) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(K, 2, seed=0), tmp_path / "mixture", saved_model=False)
    path = write(tmp_path / "rows.csv", pd.DataFrame({"a": [0.5, np.nan], "b": [1.0, 2.0]}))
    done = run("--model", folder, "--in", path, "--out", tmp_path / "a.csv", "--keep", columns="imputed")
    assert done.stdout.endswith("2 rows scored, 1 of them with gaps\n"), done.stderr
    assert read(tmp_path / "a.csv").column_names == ["a", "b", "imputed_0", "imputed_1"]


@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
def test_scores_of_measured_rows_follow_their_noise(
    tmp_path: pathlib.Path, whole: pathlib.Path, scorer: tfgmm.Scorer, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(pass_through, "BLOCK_ROWS", 3)
    frame = FRAME.copy()
    frame.loc[3, "width"] = np.nan
    errors = np.random.default_rng(0).uniform(0.2, 2.0, len(frame))
    errors[5] = np.inf  # says nothing
    path, target = write(tmp_path / source, frame.assign(error=errors)), tmp_path / "scored.parquet"
    options = ("--noise", "depth=error", "--keep")
    done = run(
        "--model", whole, "--in", path, "--out", target, *options, columns="log_prob,assignment,responsibilities"
    )
    assert done.stdout.endswith("20 rows scored, 2 of them with gaps\n"), done.stderr
    noise = np.zeros(frame.shape)
    noise[:, 2] = errors
    found, rows = read(target).to_pandas(), frame.to_numpy()
    np.testing.assert_allclose(found["log_prob"], scorer.log_prob(rows, noise=noise), rtol=1e-6)
    np.testing.assert_allclose(found["log_prob"], scorer.log_prob(frame.assign(error=errors), noise={"depth": "error"}))
    assert np.abs(found["log_prob"] - scorer.log_prob(rows)).max() > 0.01
    np.testing.assert_array_equal(found["assignment"], scorer.assign(rows, noise=noise))
    shares = scorer.responsibilities(rows, noise=noise)
    np.testing.assert_allclose(found[["responsibility_0", "responsibility_1"]], shares, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found["error"], errors)  # carried along


def test_parquet_without_rows_gives_a_table_without_rows(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path = write(tmp_path / "rows.parquet", FRAME.iloc[:0])
    done = run("--model", whole, "--in", path, "--out", tmp_path / "scored.parquet")
    assert (done.exit_code, read(tmp_path / "scored.parquet").num_rows) == (0, 0)


# --- In a process of its own


def fresh(*arguments: Any) -> list[str]:
    return [sys.executable, "-W", "error", *(str(argument) for argument in arguments)]


ENV = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}


def test_small_file_is_scored_without_tensorflow_and_control_codes(
    tmp_path: pathlib.Path, whole: pathlib.Path, scorer: tfgmm.Scorer
) -> None:
    frame = FRAME.astype(object)
    frame.loc[3, "width"] = None
    path, target = write(tmp_path / "rows.csv", frame), tmp_path / "scored.csv"
    code = (
        "import sys\nfrom tfgmm import cli\ntry:\n    cli.main()\nfinally:\n"
        "    print([name for name in ('tensorflow', 'keras', 'pandas', 'scipy') if name in sys.modules])"
    )
    command = fresh("-c", code, "score", "--model", whole, "--in", path, "--out", target, "--columns", ALL)
    env = ENV | {"FORCE_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: 20 rows scored, 1 of them with gaps\n[]\n"
    check_scores(read(target), scorer, frame.astype(float).to_numpy())


def test_killed_run_leaves_what_stood_there(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path, target = tmp_path / "rows.parquet", tmp_path / "scored.parquet"
    pa.parquet.write_table(pa.Table.from_pandas(FRAME.sample(1_000_000, replace=True, random_state=0)), path)
    target.write_text("mine")

    def written(half: str) -> bool:
        return any(file.stat().st_size > 1000 for file in tmp_path.glob(f"{half}/scored.parquet"))

    command = fresh("-m", "tfgmm", "score", "--model", whole, "--in", path, "--out", target, "--overwrite")
    with subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        half = f".scored.parquet.{process.pid}.*.writing"
        until = time.monotonic() + 60
        while not written(half) and time.monotonic() < until:
            time.sleep(0.002)
        process.kill()
    assert target.read_text() == "mine" and written(half)
    small = write(tmp_path / "small.parquet", FRAME)
    assert run("--model", whole, "--in", small, "--out", target, "--overwrite").exit_code == 0
    assert read(target).num_rows == 20 and not list(tmp_path.glob(half))


@pytest.mark.parametrize("no_colour", [True, False])
def test_terminal_shows_a_bar_and_no_color_is_respected(
    tmp_path: pathlib.Path, whole: pathlib.Path, no_colour: bool
) -> None:
    path = write(tmp_path / "rows.parquet", FRAME)
    ours, theirs = pty.openpty()
    env = {name: value for name, value in ENV.items() if name not in ("NO_COLOR", "FORCE_COLOR")} | {"TERM": "xterm"}
    env |= {"NO_COLOR": "1"} if no_colour else {}
    command = fresh("-m", "tfgmm", "score", "--model", whole, "--in", path, "--out", tmp_path / "scored.csv")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=env, timeout=100, text=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    assert "\x1b" not in done.stdout and "scoring" in shown and "20 rows" in shown
    assert bool(re.search(r"\x1b\[(\d+;)*3\d", shown)) is not no_colour


def test_help_loads_no_tensorflow() -> None:
    code = (
        "import sys, atexit\natexit.register(lambda: print([n for n in ('tensorflow', 'numpy') if n in sys.modules]))"
    )
    done = subprocess.run(
        fresh("-c", f"{code}\nfrom tfgmm import cli\ncli.main()", "score", "--help"),
        capture_output=True,
        text=True,
        env=ENV,
        timeout=100,
    )
    assert done.returncode == 0 and done.stdout.endswith("[]\n") and "--columns" in done.stdout


def test_rows_without_the_noise_that_those_of_the_fit_had_are_told(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(4).normal(size=(40, 2))
    table = pd.DataFrame({"mag": rows[:, 0], "colour": rows[:, 1], "mag_err": 0.5})
    result = tfgmm.fit_mixture(table, 1, restarts=1, noise={"mag": "mag_err"})
    model = tfgmm.export_model(result, tmp_path / "model", saved_model=False)
    path, target = write(tmp_path / "rows.csv", table), tmp_path / "scored.csv"
    options = ("--model", model, "--in", path, "--out", target)
    blind = run(*options, columns="log_prob")
    noisy = run(*options, "--overwrite", "--noise", "mag=mag_err", columns="log_prob")
    assert "Note: The mixture is that of values without measurement noise" in blind.stdout
    assert blind.stdout.endswith("Pass --noise mag=mag_err to score measured rows.\n"), blind.stderr
    assert noisy.exit_code == 0 and "Note" not in noisy.stdout
