"""The file that scored rows are written to: CSV, Parquet or Arrow, whole or not there. No TensorFlow."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from tfgmm.common.atomic_file import beside
from tfgmm.data.files.kinds import KINDS, kind_of

NAME = "--out"  # what the file is called in error messages


def check_output(path: pathlib.Path, overwrite: bool) -> None:
    """Checks that `path` is free, or a file that may be replaced.

    Raises:
        FileExistsError: it is not.
    """
    if path.is_dir():
        raise FileExistsError(f"`{NAME}` must be a file. Received: {path}, a folder. Choose another name.")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"`{NAME}` must be a new file. Received: {path}, which is there. Choose another name, or pass --overwrite."
        )


@contextlib.contextmanager
def written_table(path: pathlib.Path, schema: Any, overwrite: bool) -> Iterator[Callable[[list[Any]], None]]:
    """Yields a function that adds rows, as the arrays of all columns; the file stands when the block ends well.

    Until then, and when the block fails, what stood at `path` stands there still: rows go to a file beside it. Folders
    on the way are made.

    Args:
        path: Path of the file; its name says the kind.
        schema: `pyarrow.Schema` of the columns.
        overwrite: Replace a file at `path`.

    Raises:
        FileExistsError: it is there, and `overwrite` is False.
        ValueError: the kind of file cannot hold a column.
        OSError: the disk refuses.
    """
    import pyarrow as pa

    check_output(path, overwrite)
    _make_folder_of(path)
    with beside(path, lambda: check_output(path, overwrite), lambda: _refusals_named(path)) as temporary:
        with _refusals_named(path):
            writer = _open_writer(kind_of(str(path)), str(temporary), schema)

        def write(columns: list[Any]) -> None:
            with _refusals_named(path):
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))

        try:
            yield write
        finally:
            with _refusals_named(path):
                writer.close()


def _make_folder_of(path: pathlib.Path) -> None:
    with _refusals_named(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(path.parent)) from error


def _open_writer(kind: str | None, path: str, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if kind == "CSV":
        return pyarrow.csv.CSVWriter(path, schema)
    return pyarrow.parquet.ParquetWriter(path, schema) if kind == "Parquet" else pa.ipc.new_file(path, schema)


@contextlib.contextmanager
def _refusals_named(path: pathlib.Path) -> Iterator[None]:
    """Turns what pyarrow and the disk say into errors that name the file."""
    import pyarrow as pa

    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        fix = "Choose another place, or make room; what stood there before is untouched."
        raise OSError(f"`{NAME}` must be a file that can be written. Received: {path} ({error}). {fix}") from error
    except pa.ArrowException as error:
        fix = f"Choose another kind of file ({', '.join(KINDS)}), or leave out --keep."
        raise ValueError(f"`{NAME}` must be able to hold all columns. Received: {path} ({error}). {fix}") from error
