"""Data of every accepted kind gives the same numbers, and columns are found by name."""

from __future__ import annotations

import decimal
import math
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables_of_rows import FRAME, NAMES, TABLE, VALUES, message_of, text_file, write_ipc

from tfgmm.data.readers import read_rows
from tfgmm.data.summary import centre, summarise

# What is accepted


def in_memory_kinds():
    return {
        "array": VALUES,
        "big-endian array": VALUES.astype(">f8"),
        "list": VALUES.tolist(),
        "matrix": VALUES.view(np.matrix),
        "pandas": FRAME,
        "pandas nullable": FRAME.convert_dtypes(),
        "pandas arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
        "pandas object": FRAME.astype(object),
        "polars": pl.DataFrame(dict(zip(NAMES, VALUES.T, strict=True))),
        "arrow table": TABLE,
        "record batch": TABLE.to_batches()[0],
        "record batch reader": TABLE.to_reader(),
        "chunks": pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]),
    }


@pytest.mark.parametrize("kind", in_memory_kinds())
def test_every_kind_in_memory_gives_the_same_numbers_and_names(kind):
    rows = read_rows(in_memory_kinds()[kind])
    np.testing.assert_array_equal(np.asarray(rows.values, dtype=np.float64), VALUES)
    assert rows.column_names == (None if kind in ("array", "big-endian array", "list", "matrix") else NAMES)


def write_csv(path):
    FRAME.to_csv(path, index=False)


FILES = {
    "x.csv": write_csv,
    "x.CSV": write_csv,
    "x.parquet": lambda path: FRAME.to_parquet(path),
    "x.pq": lambda path: pq.write_table(TABLE, path, row_group_size=2),
    "x.feather": lambda path: FRAME.to_feather(path),
    "x.arrow": lambda path: write_ipc(TABLE, path),
    "stream.arrow": lambda path: write_ipc(TABLE, path, pa.ipc.new_stream),
    "x.ipc": lambda path: write_ipc(TABLE, path),
    "polars.parquet": lambda path: pl.from_arrow(TABLE).write_parquet(path),
    "polars.ipc": lambda path: pl.from_arrow(TABLE).write_ipc(path),
}


@pytest.mark.parametrize("file_name", FILES)
@pytest.mark.parametrize("path_type", [str, pathlib.Path])
def test_every_kind_of_file_gives_the_same_numbers_and_names(tmp_path, file_name, path_type):
    path = tmp_path / file_name
    FILES[file_name](path)
    rows = read_rows(path_type(path))
    np.testing.assert_array_equal(rows.values, VALUES)
    assert rows.column_names == NAMES


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strides": lambda values: np.repeat(values, 3, axis=0)[::3],
    "reversed": lambda values: values[::-1, ::-1].copy()[::-1, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_memory_layout_gives_the_same_bits(layout):
    values = np.random.default_rng(0).normal(1e3, 1.0, (1000, 3))
    rows, other = read_rows(values), read_rows(LAYOUTS[layout](values))
    assert summarise(rows) == summarise(other)
    middle = summarise(rows).mean
    assert centre(rows, middle).tobytes() == centre(other, middle).tobytes()


def test_read_only_memory_map_is_used_without_a_copy(tmp_path):
    VALUES.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", dtype=np.float64, mode="r", shape=VALUES.shape)
    rows = read_rows(mapped)
    assert np.shares_memory(rows.values, mapped)
    assert summarise(rows) == summarise(VALUES)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "int32", "float16", "float32", "longdouble"])
def test_numeric_dtypes_are_accepted_and_centred_exactly(dtype):
    values = np.array([[0, 1], [1, 1], [1, 0]]).astype(dtype)
    rows = read_rows(values)
    assert rows.values is values
    np.testing.assert_array_equal(centre(rows, [0.5, 0.25]), [[-0.5, 0.75], [0.5, 0.75], [0.5, -0.25]])


def test_numeric_column_types_are_accepted():
    columns = {
        "decimal": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(5, 2)),
        "flag": pa.array([True, None]),
        "half": pa.array(np.array([1.5, 2.5], np.float16)),
        "large": pa.array([2**60 + 1, None]),
        "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
        "nothing": pa.array([None, None]),
    }
    rows = read_rows(pa.table(columns))
    nan = math.nan
    expected = [[1.25, 1.0, 1.5, 2.0**60, 2.0**64, nan], [nan, nan, 2.5, nan, 0.0, nan]]
    np.testing.assert_array_equal(rows.values, expected)


@pytest.mark.parametrize("second, expected", [("float32", "float32"), ("float64", "float64"), ("int8", "float64")])
def test_a_table_is_float32_only_when_every_column_is(second, expected):
    frame = pd.DataFrame({"a": np.ones(2, "float32"), "b": np.ones(2, second)})
    values = read_rows(frame).values
    assert values.dtype == expected and values.flags.c_contiguous


def test_tables_longer_than_a_block_keep_every_row_in_its_place():
    ramp = np.arange(150_000)
    table = pa.table({"a": pa.chunked_array([ramp[:70_000], ramp[70_000:]]), "b": -ramp})
    np.testing.assert_array_equal(read_rows(table).values, np.stack([ramp, -ramp], axis=1))


def test_missing_values_of_every_kind_are_nan(tmp_path):
    path = text_file(tmp_path, "a,b\n1,\nNA,2\n")
    for data in (
        path,
        pa.table({"a": [1, None], "b": [None, 2.0]}),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [math.nan, 2.0]}),
        pl.DataFrame({"a": [1, None], "b": [None, 2.0]}),
        np.ma.array([[1, 9], [9, 2]], mask=[[0, 1], [1, 0]]),
    ):
        np.testing.assert_array_equal(read_rows(data).values, [[1.0, math.nan], [math.nan, 2.0]])


def test_masked_array_without_masked_values_keeps_its_numbers():
    np.testing.assert_array_equal(read_rows(np.ma.array(VALUES)).values, VALUES)


def test_index_that_pandas_wrote_is_not_a_column(tmp_path):
    FRAME.set_index(pd.Index([7, 8, 9], name="id")).to_parquet(tmp_path / "x.parquet")
    assert read_rows(tmp_path / "x.parquet").column_names == NAMES


def test_frame_made_from_an_array_has_no_names():
    assert read_rows(pd.DataFrame(VALUES)).column_names is None
    assert read_rows(pd.DataFrame(VALUES, columns=[1, 2])).column_names == ("1", "2")


def test_csv_types_do_not_depend_on_the_first_block(tmp_path):
    path = text_file(tmp_path, "a\n" + "1\n" * 300_000 + "1.5\n")
    assert read_rows(path).values[[0, -1], 0].tolist() == [1.0, 1.5]


def test_csv_with_byte_order_mark_spaces_quotes_and_flags_is_read(tmp_path):
    path = text_file(tmp_path, 'a,"b, c",d\r\n 1 ,"2", true\r\n3,4,False\r\n', encoding="utf-8-sig")
    rows = read_rows(path)
    assert rows.column_names == ("a", "b, c", "d")
    assert rows.values.tolist() == [[1.0, 2.0, 1.0], [3.0, 4.0, 0.0]]


def test_readers_load_neither_tensorflow_nor_pandas_nor_polars_nor_pyarrow():
    code = (
        "import sys, numpy; from tfgmm.data.summary import summarise; from tfgmm.data.readers import read_rows; "
        "summarise(read_rows(numpy.ones((2, 2)))); "
        "print(sorted({'tensorflow', 'keras', 'pandas', 'polars', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# Column names


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "csv", "parquet"])
def test_columns_are_matched_by_name_in_any_order(tmp_path, kind):
    write_csv(tmp_path / "x.csv")
    FRAME.to_parquet(tmp_path / "x.parquet")
    paths = {"csv": tmp_path / "x.csv", "parquet": tmp_path / "x.parquet"}
    data = {"pandas": FRAME, "polars": pl.from_arrow(TABLE), "arrow": TABLE, **paths}[kind]
    rows = read_rows(data, column_names=["waiting", "eruptions"])
    assert rows.column_names == ("waiting", "eruptions")
    np.testing.assert_array_equal(rows.values, VALUES[:, ::-1])


def test_missing_and_extra_columns_are_listed():
    message = message_of(ValueError, read_rows, FRAME, name="validation_data", column_names=["waiting", "depth"])
    assert message.startswith("`validation_data`")
    assert "missing: 'depth'; not expected: 'eruptions'" in message and "order does not matter" in message


def test_data_without_names_is_checked_by_its_width_only():
    assert read_rows(VALUES, column_names=NAMES).column_names == NAMES
    message = message_of(ValueError, read_rows, VALUES[:, :1], column_names=NAMES)
    assert "(N, 2)" in message and "(3, 1)" in message and "'waiting'" in message


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".feather"])
def test_selected_columns_are_read_although_others_are_text(tmp_path, suffix):
    frame = FRAME.assign(place="Yellowstone, é")
    path = tmp_path / f"x{suffix}"
    {".csv": lambda p: frame.to_csv(p, index=False), ".parquet": frame.to_parquet, ".feather": frame.to_feather}[
        suffix
    ](path)
    for data in (path, frame, pl.from_pandas(frame)):
        rows = read_rows(data, columns=["waiting", "eruptions"])
        assert rows.column_names == ("waiting", "eruptions")
        np.testing.assert_array_equal(rows.values, VALUES[:, ::-1])


def test_a_column_whose_name_has_a_dot_is_found_in_parquet(tmp_path):
    pq.write_table(pa.table({"a.b": [1.0], "c": [2.0]}), tmp_path / "x.parquet")
    assert read_rows(tmp_path / "x.parquet", columns=["a.b"]).values.tolist() == [[1.0]]


@pytest.mark.parametrize(
    "data, columns, error, parts",
    [
        (FRAME, ["wating"], ValueError, ["'wating', not found", "'eruptions', 'waiting'"]),
        (FRAME, [], ValueError, ["Received: none", "'eruptions', 'waiting'"]),
        (FRAME, "waiting", TypeError, ["list of names", "columns=['waiting']"]),
        (VALUES, ["waiting"], ValueError, ["without column names", "by position"]),
    ],
)
def test_bad_selections_list_what_there_is(data, columns, error, parts):
    message = message_of(error, read_rows, data, columns=columns)
    assert message.startswith("`columns`") and all(part in message for part in parts), message


def test_the_same_column_selected_twice_is_refused():
    assert "'waiting' more than once" in message_of(ValueError, read_rows, FRAME, columns=["waiting", "waiting"])


@pytest.mark.parametrize("kind", ["pandas", "arrow", "csv"])
def test_repeated_names_are_refused(tmp_path, kind):
    frame = pd.DataFrame(VALUES, columns=["a", "a"])
    table = pa.Table.from_arrays([TABLE.column(0), TABLE.column(1)], names=["a", "a"])
    data = {"pandas": frame, "arrow": table, "csv": text_file(tmp_path, "a,a\n1,2\n")}[kind]
    assert "'a' more than once" in message_of(ValueError, read_rows, data)
