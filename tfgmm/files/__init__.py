"""Rows in files and folders of files, read on demand: CSV, Parquet and Arrow, free of TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tfgmm.files import columnar
from tfgmm.files.kinds import kind_of
from tfgmm.files.reading import FileSet
from tfgmm.files.stored import StoredRows

__all__ = ["StoredRows", "is_large", "open_stored"]

_LARGE_BYTES = 2**25


def open_stored(
    name: str, paths: Sequence[str], column_names: Sequence[str], *, origin: str | None = None, same_names: bool = True
) -> StoredRows:
    """Returns the rows of files of one kind, one file after the other, to be read on demand.

    Args:
        name: what the caller's argument is called in error messages.
        paths: of the files.
        column_names: the columns wanted, in this order.
        origin: the path that was given, for error messages; default the first file.
        same_names: whether the files must have the same columns, those that are not wanted included.

    Raises:
        ValueError: a file is empty or damaged, or lacks a column.
        TypeError: a column is not of numbers.
    """
    files = FileSet(name, paths, column_names, same_names=same_names)
    return StoredRows(files, paths[0] if origin is None else origin)


def is_large(name: str, path: str, column_names: Sequence[str]) -> bool:
    """Returns whether the numbers of a file, in float64, take more than 32 MiB; of CSV, whether the file does.

    Args:
        name: what the caller's argument is called in error messages.
        path: of the file.
        column_names: the columns wanted.

    Raises:
        ValueError: the file is damaged.
    """
    if kind_of(path) == "CSV" or columnar.is_sequential(path) or not column_names:
        return os.path.getsize(path) > _LARGE_BYTES
    num_rows = sum(columnar.group_rows(name, path, column_names[0]))
    return num_rows * len(column_names) * 8 > _LARGE_BYTES
