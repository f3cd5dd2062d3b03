"""Data of every accepted kind gives the same numbers; every bad kind says what, received, fix."""

from __future__ import annotations

import decimal
import fractions
import json
import math
import pathlib
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from tfgmm.readers import Rows, read_rows
from tfgmm.summary import DataSummary, SummaryAccumulator, centre, check_finite, row_blocks, summarise

NAMES = ("eruptions", "waiting")
VALUES = np.array([[3.6, 79.0], [1.8, 54.0], [3.333, 74.0]])
FRAME = pd.DataFrame(VALUES, columns=list(NAMES))
TABLE = pa.table(dict(zip(NAMES, VALUES.T, strict=True)))


def write_ipc(table, path, new=pa.ipc.new_file):
    with new(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def text_file(folder, text, name="x.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def message_of(error_type, function, *args, **kwargs):
    with pytest.raises(error_type) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert re.search(r"^`\w+`.* must .*Received.*\. \S.*\.$", message, re.DOTALL), message
    return message


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
        "import sys, numpy; from tfgmm.summary import summarise; from tfgmm.readers import read_rows; "
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
    assert "column 'b' (text, for example 'oops' in row 1)" in message
    assert "column 'c' (text, for example '2020-01-01' in row 0)" in message
    assert str(path) in message and "columns=['a']" in message


def test_number_with_a_python_underscore_is_text(tmp_path):
    assert "column 'a' (text)" in message_of(TypeError, read_rows, text_file(tmp_path, "a\n1_000\n"))


# Files that cannot be read


@pytest.mark.parametrize(
    "text, encoding, parts",
    [
        ("a;b\n1,5;2\n", "utf-8", ["separated by semicolons", "sep=';'", "decimal=','"]),
        ("a\tb\n1\t2\n", "utf-8", ["separated by tabs", "sep='\\t'"]),
        ("é,b\n1,2\n", "latin-1", ["not text in UTF-8", "Save it as UTF-8"]),
        ("a,b\n1,é\n", "latin-1", ["not text in UTF-8", "Save it as UTF-8"]),
        ("a,b\n1,2\n", "utf-16", ["not text in UTF-8", "Save it as UTF-8"]),
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


def test_missing_file_folder_and_unknown_suffix_say_what_to_do(tmp_path):
    missing = message_of(FileNotFoundError, read_rows, str(tmp_path / "no.csv"))
    assert "no.csv" in missing and "not found" in missing and "Check the path" in missing
    folder = message_of(ValueError, read_rows, tmp_path)
    assert str(tmp_path) in folder and "Pass one file" in folder
    unknown = message_of(ValueError, read_rows, text_file(tmp_path, "a\n1\n", name="x.xlsx"))
    assert ".csv, .parquet, .pq, .arrow, .feather, .ipc" in unknown and "x.xlsx" in unknown


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


# Summary


def expected_moments(values):
    """Mean and standard deviation in rational numbers: exact at any offset, rounded only at the end."""
    columns = [[fractions.Fraction(value) for value in column] for column in values.T.tolist()]
    means = [sum(column) / len(column) for column in columns]
    pairs = zip(columns, means, strict=True)
    variances = [sum((value - mean) ** 2 for value in column) / len(column) for column, mean in pairs]
    return [float(mean) for mean in means], [math.sqrt(variance) for variance in variances]


@pytest.mark.parametrize("offset", [0.0, -1e8, 1e12])
@pytest.mark.parametrize("block", [1, 7, 64, 300])
def test_summary_is_right_at_any_offset_and_block_size(offset, block):
    values = np.random.default_rng(1).normal(offset, [1.0, 3.0], (300, 2))
    summary = summarise(values[start : start + block] for start in range(0, 300, block))
    means, scales = expected_moments(values)
    assert (summary.num_data, summary.num_features) == (300, 2)
    np.testing.assert_allclose(summary.mean, means, rtol=4e-16, atol=1e-14)
    np.testing.assert_allclose(summary.scale, scales, rtol=1e-13)


def test_summary_equals_numpy_over_blocks_that_do_not_divide_the_rows():
    values = np.random.default_rng(2).normal(2.0, 0.5, (2 * 65_536 + 17, 2)).astype(np.float32)
    summary = summarise(read_rows(values))
    np.testing.assert_allclose(summary.mean, values.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(summary.scale, values.std(axis=0, dtype=np.float64), rtol=1e-13)


def test_constant_columns_have_scale_one():
    summary = summarise(np.tile([0.1, 1e8 + 0.3, 0.0], (1001, 1)))
    assert summary.scale == (1.0, 1.0, 1.0) and summary.mean == (0.1, 1e8 + 0.3, 0.0)
    assert summarise(np.array([[3.0]])).scale == (1.0,)


def test_small_spread_on_a_small_column_is_not_taken_for_constant():
    values = np.array([[1.0], [2.0]]) * 1e-100
    assert summarise(values).scale == pytest.approx((0.5e-100,), rel=1e-12)


def test_summary_survives_json_exactly():
    summary = summarise(Rows(np.random.default_rng(3).normal(1e8, 1e-3, (100, 2)), NAMES))
    again = DataSummary.from_dict(json.loads(json.dumps(summary.to_dict())))
    assert again == summary and again.column_names == NAMES and type(again.mean[0]) is float
    without = summarise(VALUES)
    assert DataSummary.from_dict(json.loads(json.dumps(without.to_dict()))) == without


def test_summary_record_refuses_fields_that_do_not_fit():
    message = message_of(ValueError, DataSummary.from_dict, {"num_data": 3})
    assert "num_features" in message and "['num_data']" in message
    assert "Received: 1" in message_of(ValueError, DataSummary, 3, 2, (0.0,), (1.0, 1.0))
    assert "num_data=0" in message_of(ValueError, DataSummary, 0, 1, (0.0,), (1.0,))


def test_blocks_with_other_columns_or_without_rows():
    accumulator = SummaryAccumulator(name="rows")
    accumulator.update(np.empty((0, 2)))
    assert "no rows" in message_of(ValueError, accumulator.result)
    accumulator.update(VALUES)
    message = message_of(ValueError, accumulator.update, VALUES[:, :1])
    assert "`rows` must have shape (B, 2)" in message and "(3, 1)" in message
    assert accumulator.result().num_data == 3


def test_wide_rows_come_in_smaller_blocks():
    assert [len(block) for block in row_blocks(np.zeros((3000, 4096), dtype=bool))] == [2048, 952]


# Not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("check", [summarise, check_finite])
def test_bad_values_are_counted_over_all_blocks_and_the_first_is_placed(bad, check):
    values = np.ones((150_000, 2))
    values[[70_001, 70_002, 149_999], [1, 0, 0]] = bad
    message = message_of(ValueError, check, Rows(values, NAMES), name="validation_data")
    assert message.startswith("`validation_data` must hold finite numbers. Received: 3 values that are NaN or infinite")
    assert "the first in row 70001, column 'waiting' (rows count from 0). Drop or fill" in message


def test_streamed_blocks_report_the_absolute_row_and_the_count_of_the_block():
    accumulator = SummaryAccumulator()
    accumulator.update(VALUES)
    message = message_of(ValueError, accumulator.update, np.array([[1.0, 1.0], [1.0, math.nan]]))
    assert "1 value that is NaN or infinite in this batch, the first in row 4, column 1" in message


def test_missing_csv_cells_are_refused_by_the_summary(tmp_path):
    path = text_file(tmp_path, "a,b\n1,2\n3,\n")
    message = message_of(ValueError, summarise, read_rows(path))
    assert "1 value that is NaN or infinite, the first in row 1, column 'b'" in message


# Centring


def test_small_differences_at_a_large_offset_survive_centring_to_float32():
    steps = np.array([[0.0], [0.25], [-0.5], [1.125]])
    rows = read_rows(pd.DataFrame(1e8 + steps, columns=["a"]))
    centred = centre(rows, [1e8])
    assert centred.dtype == np.float32 and centred.flags.c_contiguous
    np.testing.assert_array_equal(centred, steps.astype(np.float32))
    mean = 1e8 + 0.21875
    assert summarise(rows).mean == (mean,)
    np.testing.assert_array_equal(centre(rows, (mean,)), (steps - 0.21875).astype(np.float32))


def test_centring_is_the_same_over_block_borders_and_in_float64():
    values = np.random.default_rng(4).normal(5.0, 1.0, (65_536 + 3, 2))
    expected = values - np.array([5.0, 4.0])
    np.testing.assert_array_equal(centre(values, [5.0, 4.0], np.float64), expected)
    np.testing.assert_array_equal(centre(values, [5.0, 4.0]), expected.astype(np.float32))


def test_centring_leaves_nan_and_infinity_for_scoring():
    values = np.array([[math.nan, 1.0], [math.inf, 2.0]])
    np.testing.assert_array_equal(centre(values, [0.0, 1.0]), [[math.nan, 0.0], [math.inf, 1.0]])


def test_values_beyond_float32_after_centring_are_refused():
    rows = Rows(np.array([[0.0, 1.0], [0.0, 1e39]]), NAMES)
    message = message_of(ValueError, centre, rows, [0.0, 0.0], name="validation_data")
    assert "`validation_data` must hold numbers within 3.4e38" in message
    assert "1e+39 in row 1, column 'waiting'" in message and "another unit" in message


def test_spread_beyond_float64_is_refused():
    message = message_of(ValueError, summarise, Rows(np.array([[1.0, 1e300], [2.0, -1e300]]), NAMES))
    assert "values up to 1e+300, column 'waiting'" in message


def test_centre_of_the_wrong_length_is_refused():
    assert "`centre` must have shape (2,)" in message_of(ValueError, centre, VALUES, [0.0])
