"""`tfgmm score` of a folder: a file for each file, the same for any number of workers; whole, or nothing at all."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from exports import FRAME, contents
from scored_files import ALL, check_scores, read, run, write

import tfgmm
from tfgmm.export.score_folder import LIST

NAMES = ("a", "b", "c")


@pytest.fixture
def parts(tmp_path: pathlib.Path) -> Callable[[str], pathlib.Path]:
    """Writes three files of one kind, of different lengths and orders of columns, with what is no table beside them."""

    def written(ending: str) -> pathlib.Path:
        folder = tmp_path / "parts"
        folder.mkdir()
        for place, name in enumerate(NAMES):
            frame = FRAME.iloc[: 20 - 7 * place].assign(id=[f"0{row}" for row in range(20 - 7 * place)])
            frame.loc[2, "depth"] = np.nan
            write(folder / f"{name}.{ending}", frame.iloc[:, ::-1] if place == 1 else frame)
        for name in ("_SUCCESS", ".hidden.csv", "notes.txt"):
            (folder / name).write_text("no table")
        return folder

    return written


@pytest.mark.parametrize(("ending", "workers"), [("csv", 1), ("parquet", 2), ("feather", 1)])
def test_every_file_is_scored_as_it_is_by_itself(
    tmp_path: pathlib.Path, whole: pathlib.Path, parts: Callable[[str], pathlib.Path], ending: str, workers: int
) -> None:
    source, out = parts(ending), tmp_path / "scored"
    options = ("--keep", "--workers", workers)
    done = run("--model", whole, "--in", source, "--out", out, *options, columns=f"{ALL},imputed")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{out}: 3 files, 39 rows scored, 3 of them with gaps\n"
    assert sorted(os.listdir(out)) == [LIST, *(f"{name}.{ending}" for name in NAMES)]
    for name in NAMES:
        alone = tmp_path / f"{name}.{ending}"
        run("--model", whole, "--in", source / alone.name, "--out", alone, "--keep", columns=f"{ALL},imputed")
        assert (out / alone.name).read_bytes() == alone.read_bytes()
        rows = read(source / alone.name).to_pandas()
        check_scores(read(out / alone.name), tfgmm.load_scorer(whole), rows[list(FRAME)].to_numpy(float))
    assert len(read(out / f"c.{ending}")) == 6
    assert sorted(os.listdir(tmp_path)) == sorted(["parts", "scored", *(f"{name}.{ending}" for name in NAMES)])


def test_scored_folder_can_be_scored_again_and_read_as_one_table(
    tmp_path: pathlib.Path, whole: pathlib.Path, parts: Callable[[str], pathlib.Path]
) -> None:
    source, out, again = parts("parquet"), tmp_path / "scored", tmp_path / "again"
    assert run("--model", whole, "--in", source, "--out", out, "--keep", columns="outlier").exit_code == 0
    assert pa.parquet.read_table(out)["outlier"].null_count == 0
    assert run("--model", whole, "--in", out, "--out", again, columns="outlier").exit_code == 0
    for name in NAMES:
        found = read(again / f"{name}.parquet")["outlier"]
        assert found.to_pylist() == read(out / f"{name}.parquet")["outlier"].to_pylist()


def test_compressed_files_are_written_as_they_are_read(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    source, out = tmp_path / "parts", tmp_path / "scored"
    source.mkdir()
    (source / "a.csv.gz").write_bytes(gzip.compress(FRAME.to_csv(index=False).encode()))
    assert run("--model", whole, "--in", source, "--out", out).exit_code == 0
    check_scores(read(out / "a.csv"), tfgmm.load_scorer(whole), FRAME.to_numpy())
    write(source / "a.csv", FRAME)
    done = run("--model", whole, "--in", source, "--out", tmp_path / "other")
    assert done.exit_code == 1 and "with 'a.csv' and the same compressed" in done.stderr


# --- What cannot be: nothing is written, and the file is named


def text_below(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame] * 3000).astype(object).assign(width=lambda rows: [*rows["width"][:-1], "wide"])


FAULTS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a column is missing": ("parquet", lambda rows: rows[["width", "depth"]], "b.parquet', without 'height'"),
    "text": ("parquet", lambda rows: rows.assign(width="wide"), r"column 'width' \(text\) in '.*b.parquet'"),
    "text far below": ("csv", text_below, "width.*b.csv'"),
    "beyond float32": ("csv", lambda rows: rows.assign(depth=1e300), r"1e\+300 in row 0 of '.*b.csv', column 'depth'"),
    "a bad error": ("parquet", lambda rows: rows.assign(id=-1.0), r"-1 in row 0 of '.*b.parquet', column 'id'"),
    "a taken name": (
        "parquet",
        lambda rows: rows.assign(log_prob=1.0),
        r"than the scores.* 'log_prob' in '.*b.parquet'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_one_file_leaves_nothing_and_names_it(
    tmp_path: pathlib.Path, whole: pathlib.Path, parts: Callable[[str], pathlib.Path], fault: str
) -> None:
    ending, damaged, words = FAULTS[fault]
    source = parts(ending)
    numbers = {name: read(source / f"{name}.{ending}").to_pandas().assign(id=0.5) for name in NAMES}
    for name, frame in numbers.items():
        rows, path = damaged(frame) if name == "b" else frame, source / f"{name}.{ending}"
        rows.to_csv(path, index=False) if ending == "csv" else write(path, rows)
    noise = ("--noise", "width=id") if fault == "a bad error" else ()
    keep = ("--keep",) if fault == "a taken name" else ()
    done = run("--model", whole, "--in", source, "--out", tmp_path / "out", *noise, *keep, columns="log_prob")
    assert done.exit_code == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert re.search(words, done.stderr), done.stderr
    assert os.listdir(tmp_path) == ["parts"]


@pytest.mark.slow
def test_fault_found_by_a_worker_is_the_same(
    tmp_path: pathlib.Path, whole: pathlib.Path, parts: Callable[[str], pathlib.Path]
) -> None:
    source, out = parts("parquet"), tmp_path / "scored"
    write(source / "b.parquet", FRAME.assign(depth=1e300))
    out.mkdir()
    failures = [
        run("--model", whole, "--in", source, "--out", out, "--workers", number, columns="log_prob")
        for number in (1, 2)
    ]
    assert failures[0].exit_code == failures[1].exit_code == 1
    assert failures[0].stderr == failures[1].stderr and "in row 0 of " in failures[0].stderr
    assert sorted(os.listdir(tmp_path)) == ["parts", "scored"] and os.listdir(out) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error", "in.csv")])
def test_what_the_disk_refuses_is_told_of_what_it_was(
    tmp_path: pathlib.Path,
    whole: pathlib.Path,
    parts: Callable[[str], pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
) -> None:
    """Of a full disk the folder that is written; of the input what the system says, and not the output."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    place = "tfgmm.data.table_writer._open_writer" if error.errno == 28 else "tfgmm.data.files.columnar.batches"
    monkeypatch.setattr(place, fail)
    done = run("--model", whole, "--in", parts("parquet"), "--out", tmp_path / "scored", columns="log_prob")
    assert done.exit_code == 1 and os.listdir(tmp_path) == ["parts"]
    assert ("`--out` must be a file that can be written" in done.stderr) is (error.errno == 28), done.stderr
    assert str(error.strerror) in done.stderr


def test_folder_that_is_there_is_replaced_only_where_it_is_ours_and_overwrite_is_given(
    tmp_path: pathlib.Path, whole: pathlib.Path, parts: Callable[[str], pathlib.Path]
) -> None:
    source, out, mine = parts("csv"), tmp_path / "scored", tmp_path / "mine"
    options = ("--model", whole, "--in", source, "--out")
    assert run(*options, out, columns="log_prob").exit_code == 0
    before = contents(out)
    done = run(*options, out, columns="outlier")
    assert done.exit_code == 1 and "holds a folder of scored files. Pass --overwrite" in done.stderr
    assert contents(out) == before
    assert run(*options, out, "--overwrite", columns="outlier").exit_code == 0
    assert read(out / "a.csv").column_names == ["outlier"]
    mine.mkdir()
    (mine / "a.csv").write_text("mine")
    (out / "mine.csv").write_text("mine")
    for target in (mine, out):
        done = run(*options, target, "--overwrite", columns="log_prob")
        assert done.exit_code == 1 and "nothing was touched" in done.stderr
    assert (mine / "a.csv").read_text() == (out / "mine.csv").read_text() == "mine"


@pytest.mark.parametrize("listed", ["[1]", "{}", "no json", json.dumps({"files": 3})])
def test_list_of_files_that_is_damaged_protects_the_folder(
    tmp_path: pathlib.Path, whole: pathlib.Path, parts: Callable[[str], pathlib.Path], listed: str
) -> None:
    out = tmp_path / "scored"
    out.mkdir()
    (out / LIST).write_text(listed)
    done = run("--model", whole, "--in", parts("csv"), "--out", out, "--overwrite", columns="log_prob")
    assert done.exit_code == 1 and "whose list of files is damaged" in done.stderr
    assert (out / LIST).read_text() == listed


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("scored.parquet", r"must be a folder where `--in` is one.*without \.parquet"),
        ("parts/scored", "must be neither inside `--in` nor around it"),
        (".", "must be neither inside `--in` nor around it"),
        ("parts", "must be another folder than `--in`"),
    ],
)
def test_paths_that_cannot_be(
    tmp_path: pathlib.Path,
    whole: pathlib.Path,
    parts: Callable[[str], pathlib.Path],
    out: str,
    words: str,
) -> None:
    source = parts("csv")
    before = sorted(os.listdir(source))
    done = run("--model", whole, "--in", source, "--out", tmp_path / out)
    assert done.exit_code == 2 and re.search(words, done.stderr), done.stderr
    assert sorted(os.listdir(source)) == before


@pytest.mark.parametrize(("workers", "words"), [("2", "must be 1 unless `--in` is a folder"), ("0", "--workers")])
def test_workers_that_cannot_be(tmp_path: pathlib.Path, whole: pathlib.Path, workers: str, words: str) -> None:
    path = write(tmp_path / "rows.csv", FRAME)
    done = run("--model", whole, "--in", path, "--out", tmp_path / "scored.csv", "--workers", workers)
    assert done.exit_code == 2 and words in done.stderr and os.listdir(tmp_path) == ["rows.csv"]
