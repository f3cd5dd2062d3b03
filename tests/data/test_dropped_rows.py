"""Rows with gaps are left out where that is asked for, in memory and in files of any size; categories are numbers."""

from __future__ import annotations

import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables_of_rows import message_of, write_ipc

from tfgmm.data.files.opening import open_files
from tfgmm.data.pass_through import ScoredInput
from tfgmm.data.readers import Rows, open_rows, read_rows
from tfgmm.data.survey import survey_rows

ROWS = np.random.default_rng(0).normal(size=(1000, 2))
ROWS[[3, 700], 0] = np.nan
ROWS[[4, 700], 1] = np.inf, np.nan
KEPT = ROWS[np.isfinite(ROWS).all(axis=1)]
FRAME = pd.DataFrame(ROWS, columns=["a", "b"])
WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False, row_group_size=70),
    ".arrow": lambda frame, path: write_ipc(pa.Table.from_pandas(frame, preserve_index=False), path),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_rows_with_gaps_are_left_out_of_a_file_in_memory_and_of_a_folder(tmp_path: pathlib.Path, suffix: str) -> None:
    for number, part in enumerate((FRAME[:600], FRAME[600:])):
        WRITERS[suffix](part, tmp_path / f"{number}{suffix}")
    whole = open_rows(tmp_path / f"0{suffix}", drop_gaps=True)
    assert (
        isinstance(whole, Rows)
        and whole.num_dropped == 2
        and whole.dropped_gaps == (1, 1)
        and np.array_equal(whole.values, KEPT[:598])
    )
    with open_rows(tmp_path, drop_gaps=True) as stored:  # type: ignore[union-attr]
        survey, expected = survey_rows(stored, None, 0), survey_rows(Rows(KEPT, ("a", "b")), None, 0)
        assert survey.summary.fingerprint == expected.summary.fingerprint
        assert np.array_equal(survey.sample, expected.sample)
        assert (stored.num_data, stored.num_dropped, stored.dropped_gaps) == (997, 3, (2, 2))
        assert np.array_equal(np.concatenate([block.values for block in stored.blocks()]), KEPT)
        shuffled = np.concatenate([batch.values for batch in stored.batches(100, seed=1, shuffle=True)])
        assert np.array_equal(np.sort(shuffled, axis=0), np.sort(KEPT, axis=0)) and stored.num_dropped == 3
    with open_rows(tmp_path) as stored:  # type: ignore[union-attr]
        assert stored.num_data == 1000 and stored.num_dropped == 0


@pytest.mark.parametrize("is_folder", [False, True])
def test_rows_that_all_have_gaps_are_refused(tmp_path: pathlib.Path, is_folder: bool) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": [np.nan, 2.0]})
    frame.to_csv(tmp_path / "x.csv", index=False)

    def read() -> None:
        with open_rows(tmp_path if is_folder else tmp_path / "x.csv", drop_gaps=True) as rows:  # type: ignore[union-attr]
            list(rows.blocks())

    assert "`x` must have rows without gaps. Received: 2 rows, each with a gap" in message_of(ValueError, read)


# Categories

CATEGORIES = pa.table(
    {
        "a": pa.array([1.5, None, 3.0, 1.5]).dictionary_encode(),
        "b": pa.array([7, 7, 8, None], pa.int32()).dictionary_encode(),
        "c": pa.array([True, False, None, True]).dictionary_encode(),
    }
)
NUMBERS = np.array([[1.5, 7.0, 1.0], [np.nan, 7.0, 0.0], [3.0, 8.0, np.nan], [1.5, np.nan, 1.0]])


def category_files(folder: pathlib.Path, table: pa.Table) -> list[pathlib.Path]:
    pq.write_table(table, folder / "x.parquet")
    return [
        folder / "x.parquet",
        write_ipc(table, folder / "x.arrow"),
        write_ipc(table, folder / "x.ipc", pa.ipc.new_stream),
    ]


def test_categories_that_are_numbers_are_these_numbers_in_every_form(tmp_path: pathlib.Path) -> None:
    frame = pd.DataFrame(NUMBERS, columns=list("abc")).astype("category")
    for data in (CATEGORIES, frame, pl.from_arrow(CATEGORIES), *category_files(tmp_path, CATEGORIES)):
        np.testing.assert_array_equal(read_rows(data).values, NUMBERS)
    for path in category_files(tmp_path, CATEGORIES):
        with open_files("x", str(path)).stored(("a", "b", "c"), same_names=True) as stored:
            np.testing.assert_array_equal(next(stored.blocks()).values, NUMBERS)
        block = next(ScoredInput(str(path), ["c", "a"], 2, keep=True).blocks())
        np.testing.assert_array_equal(block.rows, NUMBERS[:, [2, 0]])
        assert block.carried[1].to_pylist() == [7, 7, 8, None]


def test_categories_of_float32_are_rows_of_float32(tmp_path: pathlib.Path) -> None:
    table = pa.table({"a": pa.array([0.1, 0.2, 0.1], pa.float32()).dictionary_encode()})
    for path in category_files(tmp_path, table):
        with open_files("x", str(path)).stored(("a",), same_names=True) as stored:
            assert stored.dtype == read_rows(path).values.dtype == read_rows(table).values.dtype == np.float32


def test_categories_of_text_are_refused_in_every_form(tmp_path: pathlib.Path) -> None:
    table = pa.table({"a": pa.array(["1", "2"]).dictionary_encode(), "b": [1.0, 2.0]})
    for data in (table, table.to_pandas(), pl.from_arrow(table), *category_files(tmp_path, table)):
        assert "column 'a' (categorical)" in message_of(TypeError, read_rows, data)
