"""A small file read as whole columns gives what the same file gives when it is read as it is needed."""

from __future__ import annotations

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tables_of_rows import message_of, text_file, write_ipc

from tfgmm.data.files.opening import open_files
from tfgmm.data.readers import read_rows

TABLE = pa.table(
    {
        "a": pa.array([1.5, None, -2.0]),
        "flag": pa.array([True, False, None]),
        "whole": pa.array([2**53 + 1, 0, 3]),
        "text": ["x", "y", "z"],
    }
)
WRITERS = {
    ".csv": lambda path: pyarrow.csv.write_csv(TABLE, path),
    ".parquet": lambda path: pq.write_table(TABLE, path),
    ".arrow": lambda path: write_ipc(TABLE, path),
    ".ipc": lambda path: write_ipc(TABLE, path, pa.ipc.new_stream),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_both_ways_to_read_a_file_give_the_same_bytes(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    WRITERS[suffix](path)
    files = open_files("x", str(path))
    assert files.column_names == ("a", "flag", "whole", "text") and not files.is_folder
    wanted = ("whole", "a", "flag")
    whole = read_rows(path, columns=wanted).values
    with files.stored(wanted, same_names=True) as stored:
        (block,) = stored.blocks()
    assert whole.dtype == block.values.dtype == np.float64
    assert whole.tobytes() == block.values.tobytes()


@pytest.mark.parametrize("suffix", WRITERS)
def test_both_ways_refuse_text_with_the_same_words(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    WRITERS[suffix](path)

    def by_blocks() -> None:
        with open_files("x", str(path)).stored(("a", "text"), same_names=True) as stored:
            list(stored.blocks())

    message = message_of(TypeError, by_blocks)
    assert message == message_of(TypeError, read_rows, path, columns=["a", "text"])
    assert "column 'text' (text" in message and f" in '{path}'" in message


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "\ufeffa,b\n1,2\n")
    assert open_files("x", str(path)).column_names == ("a", "b")
    assert read_rows(path).values.tolist() == [[1.0, 2.0]]


def test_a_folder_with_one_file_is_a_folder(tmp_path: pathlib.Path) -> None:
    WRITERS[".parquet"](tmp_path / "x.parquet")
    files = open_files("x", str(tmp_path))
    assert files.is_folder and files.paths == (str(tmp_path / "x.parquet"),) and files.origin == f" in '{tmp_path}'"
