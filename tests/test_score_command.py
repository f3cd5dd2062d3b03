"""`tfgmm score`: any kind of file into any other, whole or untouched, one clear line when it cannot be."""

from __future__ import annotations

import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from exports import FRAME, NAMES, PACKAGE_ROOT, ROWS, K, card_of, write_card, write_parameters
from typer.testing import CliRunner

import tfgmm
from tfgmm import cli, score_command, score_file, scored_input, scored_output

ALL = "log_prob,assignment,responsibilities,outlier"
FIELDS = ["log_prob", "assignment", "responsibility_0", "responsibility_1", "outlier"]
SHUFFLED = FRAME[["depth", "width", "height"]].assign(id=[f"00{row}" for row in range(len(ROWS))])


def run(*arguments: Any, columns: str = ALL) -> Any:
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli.app, ["score", *texts, "--columns", columns])


def write(path: pathlib.Path, frame: pd.DataFrame) -> pathlib.Path:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(table, path, row_group_size=7)
    elif path.suffix == ".feather":
        pa.feather.write_feather(table, str(path), chunksize=6)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
    return path


def read(path: pathlib.Path) -> pa.Table:
    if path.suffix == ".csv":
        return pa.csv.read_csv(path)
    return pa.parquet.read_table(path) if path.suffix == ".parquet" else pa.feather.read_table(str(path))


def check_scores(table: pa.Table, scorer: tfgmm.Scorer, rows: np.ndarray) -> None:
    shares = np.stack([table[f"responsibility_{k}"].to_numpy() for k in range(K)], axis=1)
    for found, expected in (
        (table["log_prob"].to_numpy(), scorer.log_prob(rows)),
        (shares, scorer.responsibilities(rows)),
        (table["outlier"].to_numpy(), scorer.outlier(rows)),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(table["assignment"].to_numpy(), scorer.assign(rows))


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
    monkeypatch.setattr(scored_input, "BLOCK_ROWS", block)
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
    monkeypatch.setattr(scored_input, "BLOCK_ROWS", 3)
    path, target = write(tmp_path / source, SHUFFLED), tmp_path / out
    done = run("--model", whole, "--in", path, "--out", target, "--keep", columns="outlier, log_prob")
    assert done.exit_code == 0, done.stderr
    found = pd.read_csv(target, dtype={"id": str}) if out.endswith("csv") else read(target).to_pandas()
    assert list(found) == ["depth", "width", "height", "id", "outlier", "log_prob"]
    assert found["id"].tolist() == SHUFFLED["id"].tolist()
    np.testing.assert_array_equal(found[list(NAMES)], ROWS)


def test_columns_come_in_the_order_asked_for(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    run("--model", whole, "--in", path, "--out", tmp_path / "a.csv", columns="responsibilities,log_prob")
    assert read(tmp_path / "a.csv").column_names == ["responsibility_0", "responsibility_1", "log_prob"]


def test_both_engines_write_the_same(tmp_path: pathlib.Path, whole: pathlib.Path, scorer: tfgmm.Scorer) -> None:
    path = write(tmp_path / "rows.parquet", FRAME)
    for engine in ("numpy", "tensorflow", "auto"):
        target = tmp_path / f"{engine}.parquet"
        done = run("--model", whole, "--in", path, "--out", target, "--engine", engine)
        assert done.exit_code == 0, done.stderr
        check_scores(read(target), scorer, ROWS)


def test_auto_takes_numpy_unless_the_work_is_long(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, used = write(tmp_path / "rows.csv", FRAME), []
    scores = tfgmm.Scorer.scores
    monkeypatch.setattr(tfgmm.Scorer, "scores", lambda *arguments: used.append("tensorflow") or scores(*arguments))
    assert run("--model", whole, "--in", path, "--out", tmp_path / "a.csv").exit_code == 0 and not used
    monkeypatch.setattr(score_command, "_LONG_WORK", 1e-9)
    assert run("--model", whole, "--in", path, "--out", tmp_path / "b.csv").exit_code == 0 and used


def test_rows_without_names_are_matched_by_their_order(tmp_path: pathlib.Path) -> None:
    model = tfgmm.GaussianMixtureModel(K, 3, seed=0)
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    path = write(tmp_path / "rows.csv", pd.DataFrame(ROWS, columns=["a", "b", "c"]))
    assert run("--model", folder, "--in", path, "--out", tmp_path / "a.csv").exit_code == 0
    check_scores(read(tmp_path / "a.csv"), tfgmm.load_scorer(folder), ROWS)
    done = run("--model", folder, "--in", write(path, SHUFFLED), "--out", tmp_path / "b.csv")
    assert done.exit_code == 1 and "must have 3 columns" in done.stderr


@pytest.mark.parametrize("engine", ["numpy", "tensorflow"])
@pytest.mark.parametrize("source", ["rows.csv", "rows.parquet"])
def test_rows_that_are_not_finite_are_marked_and_counted(
    tmp_path: pathlib.Path, whole: pathlib.Path, scorer: tfgmm.Scorer, source: str, engine: str
) -> None:
    frame = FRAME.copy()
    frame.loc[3, "width"], frame.loc[8, "depth"] = np.nan, np.inf
    path, target = write(tmp_path / source, frame), tmp_path / "scored.parquet"
    done = run("--model", whole, "--in", path, "--out", target, "--engine", engine)
    assert done.stdout.endswith("20 rows scored, 2 of them not finite (NaN, assignment -1)\n")
    table = read(target).to_pandas()
    assert table["assignment"][[3, 8]].tolist() == [-1, -1]
    assert np.isnan(table.drop(columns="assignment")).all(axis=1).tolist() == [row in (3, 8) for row in range(20)]
    check_scores(read(target), scorer, frame.to_numpy())


def test_parquet_without_rows_gives_a_table_without_rows(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path = write(tmp_path / "rows.parquet", FRAME.iloc[:0])
    done = run("--model", whole, "--in", path, "--out", tmp_path / "scored.parquet")
    assert (done.exit_code, read(tmp_path / "scored.parquet").num_rows) == (0, 0)


# --- A file that is there


def test_file_that_is_there_is_kept_unless_overwrite_is_given(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    path, target = write(tmp_path / "rows.csv", FRAME), tmp_path / "scored.csv"
    target.write_text("mine")
    done = run("--model", whole, "--in", path, "--out", target)
    assert done.exit_code == 1 and "--overwrite" in done.stderr and target.read_text() == "mine"
    assert run("--model", whole, "--in", path, "--out", target, "--overwrite").exit_code == 0
    assert read(target).num_rows == 20


def text_far_below(path: pathlib.Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, *lines[1:] * 3000, "1.0,deep,2.0", *lines[1:]]) + "\n")


def cut_parquet(path: pathlib.Path) -> None:
    contents = bytearray(path.read_bytes())
    contents[4:60] = bytes(56)
    path.write_bytes(contents)


FAILURES: dict[str, tuple[str, Callable[[pathlib.Path], None] | None]] = {
    "text far below": ("rows.csv", text_far_below),
    "a damaged file": ("rows.parquet", cut_parquet),
    "scores that fail": ("rows.csv", None),
    "a full disk": ("rows.csv", None),
    "a renaming that fails": ("rows.csv", None),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("earlier", [True, False])
def test_failure_leaves_what_stood_there_and_nothing_else(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch, failure: str, earlier: bool
) -> None:
    name, damage = FAILURES[failure]
    path, target = write(tmp_path / name, FRAME), tmp_path / "scored.csv"
    if damage:
        damage(path)
    if earlier:
        target.write_text("mine")
    full = OSError(28, "No space left on device")

    def fail(*_: Any, **__: Any) -> None:
        raise full

    if failure == "scores that fail":
        monkeypatch.setattr("tfgmm.numpy_scores.NumpyScorer.scores", fail)
    if failure == "a full disk":
        monkeypatch.setattr(os, "fsync", fail)
    if failure == "a renaming that fails":
        monkeypatch.setattr(os, "replace", fail)
    done = run("--model", whole, "--in", path, "--out", target, "--overwrite")
    assert done.exit_code == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert sorted(os.listdir(tmp_path)) == sorted([name, "scored.csv"] if earlier else [name])
    if earlier:
        assert target.read_text() == "mine"


def test_file_that_appears_meanwhile_is_kept(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = write(tmp_path / "rows.csv", FRAME), tmp_path / "scored.csv"
    flat = score_file._flat

    def flat_while_another_writes(*arguments: Any) -> Any:
        target.write_text("theirs")
        return flat(*arguments)

    monkeypatch.setattr(score_file, "_flat", flat_while_another_writes)
    done = run("--model", whole, "--in", path, "--out", target)
    assert done.exit_code == 1 and target.read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["rows.csv", "scored.csv"]


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: pathlib.Path, whole: pathlib.Path
) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [f".scored.csv.{os.getppid()}.writing", ".other.csv.1.writing", ".scored.csv.writing"]
    for name in (f".scored.csv.{dead.pid}.writing", *kept):
        (tmp_path / name).write_text("half")
    assert run("--model", whole, "--in", path, "--out", tmp_path / "scored.csv").exit_code == 0
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "rows.csv", "scored.csv"])


def test_input_that_changes_meanwhile_is_refused(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    flat = score_file._flat

    def flat_while_it_grows(*arguments: Any) -> Any:
        with open(path, "a") as file:
            file.write("1,2,3\n")
        return flat(*arguments)

    monkeypatch.setattr(score_file, "_flat", flat_while_it_grows)
    done = run("--model", whole, "--in", path, "--out", tmp_path / "scored.csv")
    assert done.exit_code == 1 and "changed" in done.stderr
    assert os.listdir(tmp_path) == ["rows.csv"]


# --- What cannot be


def options(tmp_path: pathlib.Path, whole: pathlib.Path) -> dict[str, Any]:
    return {
        "--model": whole,
        "--in": write(tmp_path / "rows.csv", FRAME),
        "--out": tmp_path / "scored.csv",
        "--columns": "log_prob",
    }


def frame_at(name: str, frame: pd.DataFrame) -> Callable[[pathlib.Path, dict[str, Any]], Any]:
    return lambda place, given: given.update({"--in": write(place / name, frame)})


def bytes_at(name: str, contents: bytes) -> Callable[[pathlib.Path, dict[str, Any]], Any]:
    def change(place: pathlib.Path, given: dict[str, Any]) -> None:
        given["--in"] = place / name
        given["--in"].write_bytes(contents)

    return change


def another(option: str, name: str) -> Callable[[pathlib.Path, dict[str, Any]], Any]:
    return lambda place, given: given.update({option: place / name})


def same_by_link(place: pathlib.Path, given: dict[str, Any]) -> None:
    given["--out"].symlink_to(given["--in"])


def same_by_hard_link(place: pathlib.Path, given: dict[str, Any]) -> None:
    os.link(given["--in"], given["--out"])


def tampered(place: pathlib.Path, given: dict[str, Any]) -> None:
    given["--model"] = pathlib.Path(shutil.copytree(given["--model"], place / "mixture"))
    with open(given["--model"] / "parameters.npz", "r+b") as file:
        file.seek(200)
        file.write(b"\1\2\3")


def version_1(place: pathlib.Path, given: dict[str, Any]) -> None:
    folder = given["--model"] = pathlib.Path(shutil.copytree(given["--model"], place / "mixture"))
    card = card_of(folder) | {"format_version": 1}
    del card["parameters"]["outlier_table"]
    write_card(folder, card)
    write_parameters(folder, outlier_table=None)
    given["--columns"] = "outlier"


BIG = FRAME.assign(width=[*ROWS[:19, 0], 1e300])
CASES: dict[str, tuple[Callable[[pathlib.Path, dict[str, Any]], Any], int, str]] = {
    "no model": (another("--model", "nowhere"), 1, "`--model` must be a folder"),
    "a file for a model": (another("--model", "rows.csv"), 1, "which is not a folder"),
    "an empty folder for a model": (another("--model", "."), 1, "model_card.json is missing"),
    "a tampered model": (tampered, 1, "whose parameters.npz has changed"),
    "no table of outliers": (version_1, 1, "Export the model again"),
    "no input": (another("--in", "nowhere.csv"), 1, "not found"),
    "a folder for an input": (another("--in", "."), 1, "a folder"),
    "an input of unknown kind": (bytes_at("rows.txt", b"1"), 1, "whose name ends in"),
    "an empty input": (bytes_at("none.csv", b""), 1, "empty (0 bytes)"),
    "an empty Parquet file": (bytes_at("none.parquet", b""), 1, "empty (0 bytes)"),
    "a header alone": (bytes_at("head.csv", b"width,height,depth\n"), 1, "no rows"),
    "no Parquet": (bytes_at("bad.parquet", b"PAR1 and no more"), 1, "damaged"),
    "not UTF-8": (bytes_at("latin.csv", b"width,height,depth\n1,2,\xff\n"), 1, "UTF-8"),
    "lines of other lengths": (bytes_at("odd.csv", b"width,height,depth\n1,2,3\n1,2\n"), 1, "regular table"),
    "columns missing": (frame_at("a.csv", FRAME[["width"]]), 1, "without 'height', 'depth'; its columns are 'width'"),
    "a column renamed": (frame_at("a.parquet", FRAME.rename(columns={"depth": "Depth"})), 1, "without 'depth'"),
    "columns twice": (bytes_at("a.csv", b"width,width,height,depth\n1,2,3,4\n"), 1, "'width' more than once"),
    "text in CSV": (frame_at("a.csv", FRAME.assign(depth="deep")), 1, "column 'depth' (text"),
    "text in Parquet": (frame_at("a.parquet", FRAME.assign(depth="deep")), 1, "column 'depth' (text)"),
    "a number beyond float32": (frame_at("a.csv", BIG), 1, "1e+300 in row 19, column 'width'"),
    "unknown columns": (lambda _, given: given.update({"--columns": "log_prob,density"}), 2, "Received: 'density'"),
    "no columns": (lambda _, given: given.update({"--columns": ""}), 2, "`--columns` must be some of"),
    "columns asked twice": (lambda _, given: given.update({"--columns": "outlier,outlier"}), 2, "each once"),
    "the same file": (another("--out", "rows.csv"), 2, "must be another file"),
    "the same file by another way": (another("--out", "../{}/rows.csv"), 2, "must be another file"),
    "the same file by a link": (same_by_link, 2, "must be another file"),
    "the same file by a hard link": (same_by_hard_link, 2, "must be another file"),
    "an output of unknown kind": (another("--out", "scored.txt"), 2, "whose name ends in"),
    "an output in no folder": (another("--out", "nowhere/scored.csv"), 1, "`--out` must be a file that can be written"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: pathlib.Path, whole: pathlib.Path, case: str) -> None:
    change, code, words = CASES[case]
    given = options(tmp_path, whole)
    change(tmp_path, given)
    given["--out"] = str(given["--out"]).format(tmp_path.name)
    before = sorted(os.listdir(tmp_path))
    done = CliRunner().invoke(cli.app, ["score", *(str(part) for pair in given.items() for part in pair)])
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr and "Received: " in done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1 and "columns=[" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", ["scored.csv", "scored.parquet"])
def test_kept_column_that_cannot_be_is_refused(tmp_path: pathlib.Path, whole: pathlib.Path, kind: str) -> None:
    frame = FRAME.assign(log_prob=1.0) if kind == "scored.parquet" else FRAME.assign(lists=[[1, 2]] * 20)
    path = write(tmp_path / "rows.parquet", frame)
    done = run("--model", whole, "--in", path, "--out", tmp_path / kind, "--keep")
    assert done.exit_code == 1 and done.stderr.count("\n") == 1 and "--keep" in done.stderr
    assert run("--model", whole, "--in", path, "--out", tmp_path / kind).exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["rows.parquet", kind]


def test_folder_is_no_output_even_with_overwrite(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileExistsError, match="a folder"):
        scored_output.check_output(tmp_path, overwrite=True)


@pytest.mark.parametrize("arguments", [[], ["--model", "a"], ["--model", "a", "--in", "b", "--out", "c", "--fast"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.app, ["score", *arguments]).exit_code == 2


# --- In a process of its own


def fresh(*arguments: Any) -> list[str]:
    return [sys.executable, "-W", "error", *(str(argument) for argument in arguments)]


ENV = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}


def test_small_file_is_scored_in_a_moment_without_tensorflow_and_control_codes(
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
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: 20 rows scored, 1 of them not finite (NaN, assignment -1)\n[]\n"
    assert seconds < 5.0  # half a second on an idle machine
    check_scores(read(target), scorer, frame.astype(float).to_numpy())


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
