"""Tables of any kind, in memory or in a file, as named Arrow columns: the one road that all tabular input takes.

`readers.read_rows` is the door; nothing else calls this module. pyarrow is imported where it is used, and pandas or
polars never: a frame can only arrive when the caller has imported its package already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfgmm.data.files.columnar import schema_of
from tfgmm.data.files.csv_text import Column, csv_columns, csv_names
from tfgmm.data.files.file_set import columns_of
from tfgmm.data.files.kinds import check_file, files_in, first_line, kind_of, names_without_index, readable


@dataclass(frozen=True, eq=False)
class TableSource:
    """A table whose names are known and whose columns are read on demand.

    Args:
        names: the columns' names in the table's order; duplicates are possible.
        load: returns the columns of the given names, which stand once in `names`.
        origin: " in 'iris.csv'" for a file, empty for a table in memory; put behind what an error message received.
        named: False when the names only number the columns (a pandas frame made from an array).
        paths: of the file, or of all files of a folder, which `load` cannot read; empty for a table in memory.
        is_folder: whether it is a folder.
    """

    names: tuple[str, ...]
    load: Callable[[Sequence[str]], list[Column]]
    origin: str = ""
    named: bool = True
    paths: tuple[str, ...] = ()
    is_folder: bool = False


def is_instance_of(data: Any, package: str, class_name: str) -> bool:
    """Returns whether `data` is an instance of a class of a package, without importing the package.

    Example:

    >>> is_instance_of(3, "a_package_that_is_not_imported", "DataFrame")
    False
    """
    found = getattr(sys.modules.get(package), class_name, None)
    return found is not None and isinstance(data, found)


def open_table(name: str, data: Any) -> TableSource | None:
    """Returns the table that `data` is or names, or None when it is not a table.

    Args:
        name: what the caller's argument is called in error messages.
        data: the path (str or os.PathLike) of a file or a folder, a pandas.DataFrame, or anything with
            `__arrow_c_stream__`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of an unknown kind, empty, or cannot be read; a folder has no tables, or
            tables of two kinds.
        TypeError: a table in memory that Arrow cannot take.

    Example:

    >>> import pyarrow
    >>> open_table("x", pyarrow.table({"eruptions": [3.6], "waiting": [79.0]})).names
    ('eruptions', 'waiting')
    """
    if isinstance(data, (str, os.PathLike)):
        return _open_path(name, os.fspath(data))
    if is_instance_of(data, "pandas", "DataFrame"):
        return _open_frame(data)
    if hasattr(data, "__arrow_c_stream__"):
        return _open_arrow(name, data)
    return None


def _open_frame(frame: Any) -> TableSource:
    names = tuple(str(label) for label in frame.columns)
    position = {label: index for index, label in enumerate(names)}

    def load(wanted: Sequence[str]) -> list[Column]:
        return [_frame_column(frame.iloc[:, position[label]]) for label in wanted]

    return TableSource(names, load, named=list(frame.columns) != list(range(len(names))))


def _frame_column(series: Any) -> Column:
    """Column by column, because `Table.from_pandas` stops at the first one that it cannot convert."""
    import pyarrow as pa

    try:
        array = pa.array(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return str(series.dtype)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _open_arrow(name: str, data: Any, origin: str = "") -> TableSource:
    import pyarrow as pa

    try:
        table = pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(
            f"`{name}` must be a table that Arrow can take. Received: {type(data).__name__} ({first_line(error)}). "
            "Cast its columns to float64 first, and pass a table with columns, not a single column."
        ) from error
    names = names_without_index(table.schema)
    return TableSource(names, lambda wanted: [table.column(label) for label in wanted], origin)


def _open_path(name: str, path: str) -> TableSource:
    if os.path.isdir(path):
        paths = files_in(name, path)
        check_file(name, paths[0])
        names = tuple(label for label, _ in columns_of(name, paths[0]))
        return TableSource(names, _never_whole, f" in '{path}'", paths=paths, is_folder=True)
    check_file(name, path)
    openers = {"CSV": _open_csv, "Parquet": _open_parquet, "Arrow": _open_ipc}
    return openers[kind_of(path) or "CSV"](name, path)


def _never_whole(wanted: Sequence[str]) -> list[Column]:
    raise NotImplementedError("the files of a folder are read by `files.StoredRows`")


def _open_parquet(name: str, path: str) -> TableSource:
    def load(wanted: Sequence[str]) -> list[Column]:
        import pyarrow.parquet as pq

        # Read-ahead buffers cost many times the memory of the columns and save no time on a local disk.
        with readable(name, path), pq.ParquetFile(path, pre_buffer=False) as file:
            table = file.read(columns=list(wanted))
        return [table.column(label) for label in wanted]

    return TableSource(tuple(schema_of(name, path).names), load, f" in '{path}'", paths=(path,))


def _open_ipc(name: str, path: str) -> TableSource:
    def load(wanted: Sequence[str]) -> list[Column]:
        import pyarrow as pa

        with readable(name, path), pa.memory_map(path) as file:
            is_stream = file.read(6) != b"ARROW1"
            file.seek(0)
            reader = pa.ipc.open_stream(file) if is_stream else pa.ipc.open_file(file)
            table = reader.read_all()
            table.validate()
        return [table.column(label) for label in wanted]

    return TableSource(tuple(schema_of(name, path).names), load, f" in '{path}'", paths=(path,))


def _open_csv(name: str, path: str) -> TableSource:
    def load(wanted: Sequence[str]) -> list[Column]:
        return csv_columns(name, path, wanted)

    return TableSource(csv_names(name, path), load, f" in '{path}'", paths=(path,))
