"""Rows that cannot be read: every bad kind says what, received, fix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from tables_of_rows import FRAME, NAMES, TABLE, VALUES, message_of, text_file, write_ipc

from tfgmm.data.readers import read_rows

# Columns that are not numbers


def test_one_error_names_every_column_that_is_not_numbers():
    frame = FRAME.assign(
        species="setosa",
        kind=pd.Categorical(["a", "b", "a"]),
        when=pd.Timestamp("2020-01-01"),
        spans=pd.Timedelta(1),
        parts=[[1], [2], [3]],
        mixed=[1, "a", 2.0],
        phase=1j,
    )
    message = message_of(TypeError, read_rows, frame)
    for part in ("'species' (text)", "'kind' (categorical)", "'when' (timestamp[", "'spans' (duration[",
                 "'parts' (list<item: int64>)", "'mixed' (object)", "'phase' (complex128)"):  # fmt: skip
        assert f"column {part}" in message
    assert "columns=['eruptions', 'waiting']" in message


def test_polars_columns_that_are_not_numbers_are_named():
    frame = pl.DataFrame({"a": [1.0], "b": ["x"], "c": [{"d": 1}]}).with_columns(
        pl.col("b").cast(pl.Categorical).alias("e"), pl.lit(1).cast(pl.Date).alias("f")
    )
    message = message_of(TypeError, read_rows, frame)
    for part in ("'b' (text)", "'c' (struct<d: int64>)", "'e' (categorical)", "'f' (date32[day])", "columns=['a']"):
        assert part in message


def test_text_columns_of_a_csv_file_are_named_with_an_example_and_the_file(tmp_path):
    path = text_file(tmp_path, "a,b,c\n1,2,2020-01-01\n2,oops,2020-01-02\n")
    message = message_of(TypeError, read_rows, path)
    assert "column 'b' (text, for example 'oops' in row 1, line 3)" in message
    assert "column 'c' (text, for example '2020-01-01' in row 0, line 2)" in message
    assert str(path) in message and "columns=['a']" in message


def test_number_with_a_python_underscore_is_text(tmp_path):
    assert "column 'a' (text, for example '1_000' in row 0, line 2)" in message_of(
        TypeError, read_rows, text_file(tmp_path, "a\n1_000\n")
    )


# Files that cannot be read


@pytest.mark.parametrize(
    "text, encoding, parts",
    [
        ("é,b\n1,2\n", "latin-1", ["not text in UTF-8", "Save it as UTF-8"]),
        ("a,b\n1,é\n", "latin-1", ["not text in UTF-8", "Save it as UTF-8"]),
        ("a,b\n1,2\n", "utf-32-be", ["not text in UTF-8", "Save it as UTF-8"]),
        ("a,b\n", "utf-8", ["header line and no rows", "Write the rows"]),
        ("a,b", "utf-8", ["header line and no rows"]),
        ("", "utf-8", ["empty (0 bytes)"]),
        ("\n\n", "utf-8", ["nothing but empty lines"]),
        ("1.5,2\n3,4\n", "utf-8", ["must name the columns and holds numbers", "names of its columns"]),
        ("a,b\n1,2\n1,2,3\n", "utf-8", ["not a regular table", "Expected 2 columns, got 3", "quotes"]),
    ],
)
def test_odd_csv_files_say_the_cause_and_the_file(tmp_path, text, encoding, parts):
    path = text_file(tmp_path, text, encoding=encoding)
    message = message_of(ValueError, read_rows, path, name="validation_data")
    assert message.startswith("`validation_data` must be a CSV file")
    assert all(part in message for part in [str(path), *parts]), message


def test_index_column_of_a_csv_file_is_not_taken_for_a_feature(tmp_path):
    FRAME.to_csv(tmp_path / "x.csv")
    message = message_of(ValueError, read_rows, tmp_path / "x.csv")
    assert "column 0 without a name" in message and "index=False" in message
    assert read_rows(tmp_path / "x.csv", columns=NAMES).values.shape == (3, 2)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: raw[: len(raw) // 2], lambda raw: b"a,b\n1,2\n"])
def test_damaged_files_say_so(tmp_path, suffix, damage):
    path = tmp_path / f"x{suffix}"
    pq.write_table(TABLE, path) if suffix == ".parquet" else write_ipc(TABLE, path)
    path.write_bytes(damage(path.read_bytes()))
    message = message_of(ValueError, read_rows, path)
    assert str(path) in message and "damaged, cut short or of another kind" in message and "again" in message


def test_damaged_parquet_pages_say_so(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(TABLE, path)
    raw = path.read_bytes()
    path.write_bytes(raw[:4] + b"\xff" * 60 + raw[64:])
    assert "damaged" in message_of(ValueError, read_rows, path)


def test_missing_file_and_unknown_suffix_say_what_to_do(tmp_path):
    missing = message_of(FileNotFoundError, read_rows, str(tmp_path / "no.csv"))
    assert "no.csv" in missing and "not found" in missing and "Check the path" in missing
    unknown = message_of(ValueError, read_rows, text_file(tmp_path, "a\n1\n", name="x.xlsx"))
    assert ".csv, .parquet, .pq, .arrow, .feather, .ipc, .tsv (.csv.gz too)" in unknown and "x.xlsx" in unknown


def test_file_without_rows_is_named(tmp_path):
    FRAME[:0].to_parquet(tmp_path / "x.parquet")
    message = message_of(ValueError, read_rows, tmp_path / "x.parquet")
    assert "no rows, shape (0, 2)" in message and "x.parquet" in message


# Other bad input


BAD = {
    "none": (None, TypeError, ["Received: None"]),
    "number": (3, TypeError, ["Received: int"]),
    "dict": ({"a": [1.0]}, TypeError, ["Received: dict", "pandas.DataFrame(x)"]),
    "pandas Series": (FRAME["waiting"], TypeError, ["pandas.Series", "x.to_frame()"]),
    "polars Series": (pl.Series([1.0]), TypeError, ["polars.Series", "x.to_frame()"]),
    "LazyFrame": (pl.DataFrame({"a": [1.0]}).lazy(), TypeError, ["LazyFrame", "x.collect()"]),
    "sparse": (scipy.sparse.csr_matrix(VALUES), TypeError, ["scipy.csr_matrix", "x.toarray()"]),
    "arrow column": (TABLE.column(0), TypeError, ["ChunkedArray", "not a single column"]),
    "1-D": (VALUES[0], ValueError, ["(N, D)", "(2,)", "x[:, None] for one column, x[None, :] for one row"]),
    "1-D list": ([1.0, 2.0], ValueError, ["(2,)", "np.asarray(x)[:, None]"]),
    "3-D": (VALUES[None], ValueError, ["(N, D)", "(1, 3, 2)", "one row per observation"]),
    "0-D": (np.array(1.0), ValueError, ["(N, D)", "()"]),
    "no rows": (VALUES[:0], ValueError, ["no rows", "(0, 2)"]),
    "no columns": (VALUES[:, :0], ValueError, ["no columns", "(3, 0)"]),
    "empty list": ([], ValueError, ["no rows"]),
    "empty frame": (pd.DataFrame(), ValueError, ["no rows"]),
    "frame without rows": (FRAME[:0], ValueError, ["no rows", "(0, 2)"]),
    "object": (VALUES.astype(object), TypeError, ["dtype object", "astype('float64')"]),
    "text": (VALUES.astype(str), TypeError, ["dtype <U32", "Encode text"]),
    "complex": (VALUES + 1j, TypeError, ["dtype complex128", "x.real"]),
    "dates": (np.array([["2020-01-01"]], "datetime64[D]"), TypeError, ["dtype datetime64[D]", "hours since"]),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, ["2 in row 0, 1 in row 1", "same columns"]),
    "list with None": ([[1.0, None]], TypeError, ["dtype object"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_received_fix(case):
    data, error, parts = BAD[case]
    message = message_of(error, read_rows, data)
    assert message.startswith("`x` must") and all(part in message for part in parts), message
