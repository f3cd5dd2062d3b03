"""Files that cannot be read block by block: every fault names the file, and the column or the row where it can."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables_of_rows import message_of, text_file, write_ipc

from tfgmm.data.files.opening import open_stored
from tfgmm.data.readers import open_rows, read_rows
from tfgmm.data.survey import check_finite

FRAME = pd.DataFrame({"a": np.arange(6.0), "b": np.arange(6.0) ** 2})


def write(frame, path):
    kinds = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".parquet": lambda: frame.to_parquet(path, index=False),
        ".arrow": lambda: write_ipc(pa.Table.from_pandas(frame, preserve_index=False), path),
    }
    kinds[path.suffix]()
    return path


def read_all(path, **options):
    with open_rows(path, **options) as rows:
        for _ in rows.blocks():
            pass


# Folders


def test_folders_without_tables_or_with_two_kinds_or_compressed_files(tmp_path):
    message = message_of(ValueError, read_rows, tmp_path)
    assert str(tmp_path) in message and "no such file" in message and ".parquet" in message
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "inner.csv").mkdir()
    write(FRAME, tmp_path / "inner.csv" / "x.csv")
    write(FRAME, tmp_path / ".x.csv")
    assert "no such file" in message_of(ValueError, read_rows, tmp_path)
    write(FRAME, tmp_path / "x.csv")
    np.testing.assert_array_equal(read_rows(tmp_path).values, FRAME)
    write(FRAME, tmp_path / "y.parquet")
    message = message_of(ValueError, read_rows, tmp_path)
    assert "CSV ('x.csv') and Parquet ('y.parquet')" in message
    (tmp_path / "y.parquet").rename(tmp_path / "y.csv.xz")
    assert "the compressed file 'y.csv.xz'" in message_of(ValueError, read_rows, tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_files_of_a_folder_must_have_the_same_columns(tmp_path, suffix):
    write(FRAME, tmp_path / f"1{suffix}")
    second = write(FRAME[["a"]], tmp_path / f"2{suffix}")
    message = message_of(ValueError, open_rows, tmp_path, name="validation_data")
    assert message.startswith("`validation_data`") and f"'{second}', without column 'b'" in message
    assert read_rows(tmp_path, columns=["a"]).values.shape == (12, 1)
    write(FRAME.assign(c=1.0), second)
    message = message_of(ValueError, open_rows, tmp_path)
    assert f"'{second}', unlike the first file with column 'c'" in message and "columns=[...]" in message
    assert read_rows(tmp_path, columns=["b", "a"]).values.shape == (12, 2)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_a_text_column_in_a_later_file_is_named_with_the_file(tmp_path, suffix):
    write(FRAME, tmp_path / f"1{suffix}")
    second = write(FRAME.assign(b=["1", "2", "three", "4", "5", "6"]), tmp_path / f"2{suffix}")
    message = message_of(TypeError, read_all, tmp_path)
    assert "column 'b' (text" in message and str(second) in message and "columns=['a']" in message
    assert suffix != ".csv" or "for example 'three' in row 2" in message
    assert read_rows(tmp_path, columns=["a"]).values.shape == (12, 1)


def test_repeated_columns_in_a_later_file_are_named(tmp_path):
    write(FRAME, tmp_path / "1.csv")
    text_file(tmp_path, "a,b,b\n1,2,3\n", name="2.csv")
    assert "more than once with column 'b'" in message_of(ValueError, open_rows, tmp_path)


def test_the_columns_of_the_model_are_asked_of_a_folder_too(tmp_path):
    write(FRAME, tmp_path / "1.parquet")
    message = message_of(ValueError, open_rows, tmp_path, column_names=["a", "c"])
    assert "missing: 'c'; not expected: 'b'" in message and str(tmp_path) in message
    assert "'d', not found" in message_of(ValueError, open_rows, tmp_path, columns=["d"])


def test_a_folder_of_files_without_rows(tmp_path):
    write(FRAME[:0], tmp_path / "1.parquet")
    assert "no rows" in message_of(ValueError, open_rows, tmp_path)
    assert read_rows(tmp_path, allow_empty=True).values.shape == (0, 2)
    write(FRAME, tmp_path / "2.parquet")
    np.testing.assert_array_equal(read_rows(tmp_path).values, FRAME)


# Damaged files


@pytest.mark.parametrize(
    "text, encoding, parts",
    [
        ("a,b\n1;2\n3;4\n", "utf-8", ["not a regular table"]),
        ("a,b\n1,é\n", "latin-1", ["not text in UTF-8"]),
        ("a,b\n", "utf-8", ["header line and no rows"]),
        ('a,b\n"' + "x" * 140_000, "utf-8", ["not a regular table", "never closed"]),
        ("", "utf-8", ["empty (0 bytes)"]),
        ("1.5,2\n3,4\n", "utf-8", ["must name the columns"]),
        ("a,b\n1,2\n1,2,3\n", "utf-8", ["not a regular table", "Expected 2 columns, got 3"]),
        ("a,b\n" + "1,2\n" * 1_500_000 + "1\n", "utf-8", ["not a regular table", "Expected 2 columns, got 1"]),
    ],
    ids=["semicolons", "Latin-1", "header only", "open quotation", "empty", "no header", "ragged", "ragged far below"],
)
def test_odd_csv_files_in_a_folder_say_the_cause_and_the_file(tmp_path, text, encoding, parts):
    write(FRAME, tmp_path / "1.csv")
    path = text_file(tmp_path, text, name="2.csv", encoding=encoding)
    message = message_of(ValueError, read_all, tmp_path, name="validation_data")
    assert message.startswith("`validation_data` must be a CSV file")
    assert all(part in message for part in [str(path), *parts]), message


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: raw[: len(raw) // 2], lambda raw: b"a,b\n1,2\n"])
def test_truncated_files_in_a_folder_say_so(tmp_path, suffix, damage):
    write(FRAME, tmp_path / f"1{suffix}")
    path = write(FRAME, tmp_path / f"2{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    message = message_of(ValueError, read_all, tmp_path)
    assert str(path) in message and "damaged, cut short or of another kind" in message


def test_damaged_parquet_pages_say_so(tmp_path):
    path = write(FRAME, tmp_path / "x.parquet")
    raw = path.read_bytes()
    path.write_bytes(raw[:4] + b"\xff" * 60 + raw[64:])
    message = message_of(ValueError, read_all, tmp_path)
    assert str(path) in message and "damaged" in message


def test_a_cut_arrow_stream_says_so(tmp_path):
    table = pa.table({"a": np.arange(100_000.0)})
    write_ipc(table, tmp_path / "x.arrow", pa.ipc.new_stream)
    raw = (tmp_path / "x.arrow").read_bytes()
    (tmp_path / "x.arrow").write_bytes(raw[: len(raw) // 2])
    assert "damaged" in message_of(ValueError, read_all, tmp_path)


# Files that change


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("change", ["replaced", "touched", "deleted"])
def test_a_file_that_changes_between_two_passes_is_refused(tmp_path, suffix, change):
    for number in (1, 2):
        write(FRAME, tmp_path / f"{number}{suffix}")
    second = tmp_path / f"2{suffix}"
    with open_rows(tmp_path) as rows:
        assert sum(len(block.values) for block in rows.blocks()) == 12
        if change == "replaced":
            os.replace(write(FRAME[:3], tmp_path / f"new{suffix}"), second)
        elif change == "deleted":
            second.unlink()
        else:
            found = second.stat()
            os.utime(second, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
        message = message_of(ValueError, list, rows.blocks())
        assert str(second) in message and "replaced or changed" in message
        message_of(ValueError, list, rows.batches(3, seed=0, epoch=1, shuffle=True))


# Numbers that are not finite


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_is_placed_by_file_row_and_column(tmp_path, suffix, bad):
    long = pd.DataFrame({"a": np.zeros(100_000), "b": np.zeros(100_000)})
    write(FRAME, tmp_path / f"1{suffix}")
    path = write(long.assign(b=np.where(np.arange(100_000) == 70_003, bad, 0.0)), tmp_path / f"2{suffix}")
    write(FRAME, tmp_path / f"3{suffix}")
    with open_rows(tmp_path, name="validation_data") as rows:
        message = message_of(ValueError, check_finite, rows)
    assert message.startswith("`validation_data` must hold finite numbers")
    assert "1 value that is NaN or infinite" in message
    assert f"the first in row 70003 of '{path}', column 'b' (rows count from 0)" in message


def test_a_null_far_into_one_file_is_placed_by_its_row(tmp_path):
    numbers = np.arange(200_000.0)
    table = pa.table({"a": pa.array(numbers), "b": pa.array(numbers, mask=numbers == 150_001)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=60_000)
    with open_stored("x", [str(tmp_path / "x.parquet")], ["a", "b"]) as rows:
        message = message_of(ValueError, check_finite, rows)
    assert f"row 150001 of '{tmp_path / 'x.parquet'}', column 'b'" in message
