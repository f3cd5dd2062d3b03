"""The path of a file or a folder opened: which columns it has, and its rows, whole columns or to be read on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tfgmm.data.files import columnar
from tfgmm.data.files.csv_text import Column, csv_columns
from tfgmm.data.files.file_set import FileSet, columns_of
from tfgmm.data.files.kinds import check_file, files_in, kind_of
from tfgmm.data.files.stored import StoredRows

_LARGE_BYTES = 2**25


@dataclass(frozen=True, eq=False)
class TableFiles:
    """A file, or a folder of files of one kind, whose columns are known and read on demand.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path that was given.
        paths: Paths of the file, or of all files of the folder.
        column_names: Names of the columns of the first file, in its order; duplicates are possible.
    """

    name: str
    path: str
    paths: tuple[str, ...]
    column_names: tuple[str, ...]

    named: ClassVar[bool] = True

    @property
    def origin(self) -> str:
        """Words to put behind what an error message received."""
        return f" in '{self.path}'"

    @property
    def is_folder(self) -> bool:
        """Whether the path is that of a folder."""
        return self.paths != (self.path,)

    def columns(self, wanted: Sequence[str]) -> list[Column]:
        """Reads whole columns of a file, by the names wanted.

        Raises:
            ValueError: The file is damaged; of CSV: lines of different lengths, or text that is not UTF-8.
        """
        read = csv_columns if kind_of(self.path) == "CSV" else columnar.whole_columns
        return read(self.name, self.path, wanted)

    def stored(self, wanted: Sequence[str], *, same_names: bool) -> StoredRows:
        """Opens the rows to be read on demand; arguments and errors as in `open_stored`."""
        return open_stored(self.name, self.paths, wanted, origin=self.path, same_names=same_names)


def open_files(name: str, path: str) -> TableFiles:
    """Opens a file of rows, or a folder of files.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of a CSV, Parquet or Arrow file, or of a folder of files of one kind.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of an unknown kind, empty, or cannot be read; a folder has no tables, or tables of
            two kinds.
    """
    paths = files_in(name, path) if os.path.isdir(path) else (path,)
    check_file(name, paths[0])
    return TableFiles(name, path, paths, tuple(label for label, _ in columns_of(name, paths[0])))


def open_stored(
    name: str, paths: Sequence[str], column_names: Sequence[str], *, origin: str | None = None, same_names: bool = True
) -> StoredRows:
    """Returns the rows of files of one kind, one file after the other, to be read on demand.

    Args:
        name: What the caller's argument is called in error messages.
        paths: Paths of the files.
        column_names: Names of the columns wanted, in this order.
        origin: Path that was given, for error messages; default the first file.
        same_names: Whether the files must have the same columns, those that are not wanted included.

    Raises:
        ValueError: a file is empty or damaged, or lacks a column.
        TypeError: a column is not of numbers.
    """
    files = FileSet(name, paths, column_names, same_names=same_names)
    return StoredRows(files, paths[0] if origin is None else origin)


def is_large(name: str, path: str, column_names: Sequence[str]) -> bool:
    """Returns whether the numbers of a file, in float64, take more than 32 MiB; of CSV, whether the file does.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        column_names: Names of the columns wanted.

    Raises:
        ValueError: the file is damaged.
    """
    if kind_of(path) == "CSV" or columnar.is_sequential(path) or not column_names:
        return os.path.getsize(path) > _LARGE_BYTES
    num_rows = sum(columnar.group_rows(name, path, column_names[0]))
    return num_rows * len(column_names) * 8 > _LARGE_BYTES
