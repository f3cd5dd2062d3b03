"""A table is written whole or not at all, and errors call the file as the caller does."""

from __future__ import annotations

import os
import pathlib

import pyarrow as pa
import pyarrow.csv
import pytest

from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.data.table_writer import written_table

SCHEMA = pa.schema([("a", pa.int64())])
NAMES = [IN_PYTHON, ArgumentNames("--out", "--overwrite")]


def write(path: pathlib.Path, numbers: list[int], overwrite: bool = False, names: ArgumentNames = IN_PYTHON) -> None:
    with written_table(path, SCHEMA, overwrite, names) as write_rows:
        write_rows([pa.array(numbers)])


def test_rows_stand_when_the_block_ends_well(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deep" / "rows.csv"
    with written_table(path, SCHEMA, False) as write_rows:
        for numbers in ([1, 2], [3]):
            write_rows([pa.array(numbers)])
        assert not path.exists()
    assert pa.csv.read_csv(path)["a"].to_pylist() == [1, 2, 3] and os.listdir(path.parent) == ["rows.csv"]


@pytest.mark.parametrize("names", NAMES)
def test_errors_call_the_file_as_they_are_told_to(tmp_path: pathlib.Path, names: ArgumentNames) -> None:
    write(tmp_path / "rows.csv", [1])
    with pytest.raises(FileExistsError, match=f"^`{names.path}` must be a new file unless {names.overwrite}. Received"):
        write(tmp_path / "rows.csv", [2], names=names)
    with pytest.raises(FileExistsError, match=f"^`{names.path}` must be a file. Received: .*, a folder"):
        write(tmp_path, [2], True, names)
    with pytest.raises(NotADirectoryError, match=f"^`{names.path}` must be a file that can be written. Received"):
        write(tmp_path / "rows.csv" / "rows.csv", [2], names=names)
    lists = pa.schema([("a", pa.list_(pa.int64()))])
    with pytest.raises(ValueError, match=f"^`{names.path}` must be able to hold all columns. Received"):
        with written_table(tmp_path / "lists.csv", lists, False, names) as write_rows:
            write_rows([pa.array([[1]])])
    assert os.listdir(tmp_path) == ["rows.csv"] and pa.csv.read_csv(tmp_path / "rows.csv")["a"].to_pylist() == [1]


def test_error_of_the_block_is_not_taken_for_one_of_the_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="^the source is gone$"):
        with written_table(tmp_path / "rows.csv", SCHEMA, False):
            raise OSError("the source is gone")
    assert os.listdir(tmp_path) == []


def test_option_that_adds_columns_is_named_where_there_is_one(tmp_path: pathlib.Path) -> None:
    lists = pa.schema([("a", pa.list_(pa.int64()))])
    for keep_name, fix in [("--keep", ", or leave out --keep."), (None, ").")]:
        with pytest.raises(ValueError, match="must be able to hold all columns") as caught:
            with written_table(tmp_path / "lists.csv", lists, False, keep_name=keep_name) as write_rows:
                write_rows([pa.array([[1]])])
        assert str(caught.value).endswith(fix)
