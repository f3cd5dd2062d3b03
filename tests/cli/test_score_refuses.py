"""`tfgmm score` writes a whole file or leaves what stood there, and says in one line what cannot be."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from exports import FRAME, ROWS, card_of, write_card, write_parameters
from scored_files import read, run, write
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.data.table_writer import written_table
from tfgmm.export import score_file

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
        monkeypatch.setattr("tfgmm.export.scorer.Scorer.scores", fail)
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
    flat = score_file.flat_scores

    def flat_while_another_writes(*arguments: Any) -> Any:
        target.write_text("theirs")
        return flat(*arguments)

    monkeypatch.setattr(score_file, "flat_scores", flat_while_another_writes)
    done = run("--model", whole, "--in", path, "--out", target)
    assert done.exit_code == 1 and target.read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["rows.csv", "scored.csv"]


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: pathlib.Path, whole: pathlib.Path
) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = [f".scored.csv.{os.getppid()}.ab1.writing", ".other.csv.1.ab1.writing", ".scored.csv.writing"]
    for name in (f".scored.csv.{dead.pid}.ab1.writing", *kept):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scored.csv").write_text("half")
    assert run("--model", whole, "--in", path, "--out", tmp_path / "scored.csv").exit_code == 0
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "rows.csv", "scored.csv"])


def test_input_that_changes_meanwhile_is_refused(
    tmp_path: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    flat = score_file.flat_scores

    def flat_while_it_grows(*arguments: Any) -> Any:
        with open(path, "a") as file:
            file.write("1,2,3\n")
        return flat(*arguments)

    monkeypatch.setattr(score_file, "flat_scores", flat_while_it_grows)
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
    "a file for a model": (another("--model", "rows.csv"), 1, "which is a file"),
    "an empty folder for a model": (another("--model", "."), 1, "it holds rows.csv"),
    "a tampered model": (tampered, 1, "whose parameters.npz has changed"),
    "no table of outliers": (version_1, 1, "Export the model again"),
    "no input": (another("--in", "nowhere.csv"), 1, "not found"),
    "a folder for an input": (another("--in", "."), 2, "must be a folder where `--in` is one"),
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
    "an output below a file": (another("--out", "rows.csv/scored.csv"), 1, "must be a file that can be written"),
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
        with written_table(tmp_path, None, overwrite=True):
            pass


@pytest.mark.parametrize("arguments", [[], ["--model", "a"], ["--model", "a", "--in", "b", "--out", "c", "--fast"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.app, ["score", *arguments]).exit_code == 2


NOISES: dict[str, tuple[list[str], str, int, str]] = {
    "no pair": (["--noise", "width"], "log_prob", 2, "`--noise` must be a column and the column with its standard"),
    "twice": (["--noise", "width=e", "--noise", "width=e"], "log_prob", 2, "each column once"),
    "outlier": (["--noise", "width=e"], "outlier", 2, "`--columns` must be without outlier where there is --noise"),
    "not there": (["--noise", "width=f"], "log_prob", 1, "`--noise` must name columns of `--in`. Received: 'f'"),
    "no value": (["--noise", "e=width"], "log_prob", 1, "`--noise` must be in other columns than the values"),
    "not used": (["--noise", "other=e"], "log_prob", 1, "`--noise` must be stated for columns of `--in` that are used"),
    "negative": (["--noise", "width=e"], "log_prob", 1, "standard deviations of 0 or more wherever a value is"),
}


@pytest.mark.parametrize("case", NOISES)
def test_noise_that_cannot_be_is_refused(tmp_path: pathlib.Path, whole: pathlib.Path, case: str) -> None:
    options, columns, code, words = NOISES[case]
    path = write(tmp_path / "rows.csv", FRAME.assign(e=-1.0))
    done = run("--model", whole, "--in", path, "--out", tmp_path / "scored.csv", *options, columns=columns)
    assert done.exit_code == code and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert os.listdir(tmp_path) == ["rows.csv"]


def test_noise_by_name_needs_a_model_with_names(tmp_path: pathlib.Path) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 3, seed=0), tmp_path / "mixture", saved_model=False)
    path = write(tmp_path / "rows.csv", FRAME.assign(e=1.0))
    done = run("--model", folder, "--in", path, "--out", tmp_path / "scored.csv", "--noise", "width=e")
    assert done.exit_code == 2 and "must be without outlier" in done.stderr
    done = run("--model", folder, "--in", path, "--out", tmp_path / "a.csv", "--noise", "width=e", columns="log_prob")
    assert done.exit_code == 1 and "`--noise` must be left out for a model whose columns have no names" in done.stderr
