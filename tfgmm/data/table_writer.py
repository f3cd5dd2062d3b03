"""The file that scored rows are written to: CSV, Parquet or Arrow, written whole or not at all. No TensorFlow."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from tfgmm.common.atomic_file import beside, check_free
from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames, disk_errors_named
from tfgmm.data.files.kinds import KINDS, kind_of


@contextlib.contextmanager
def written_table(
    path: pathlib.Path,
    schema: Any,
    overwrite: bool,
    names: ArgumentNames = IN_PYTHON,
    keep_name: str | None = None,
) -> Iterator[Callable[[list[Any]], None]]:
    """Yields a function that adds rows, as the arrays of all columns; the file is there once the block has ended well.

    Until then, and when the block fails, what stood at `path` stays there: rows go to a file beside it. Folders on the
    way are made.

    Args:
        path: The file to be; its name says the kind.
        schema: `pyarrow.Schema` of the columns.
        overwrite: Whether a file at `path` may be replaced.
        names: What messages call the arguments.
        keep_name: What messages call the option that adds columns to the table; None where there is none.

    Raises:
        FileExistsError: A file is there, and `overwrite` is False.
        ValueError: The kind of file cannot hold a column.
        OSError: The disk refuses.
    """
    with (
        beside(
            path, lambda: check_free(path, overwrite, names), lambda: _refusals_named(path, names, keep_name)
        ) as temporary,
        table_at(temporary, path, schema, names, keep_name) as write,
    ):
        yield write


@contextlib.contextmanager
def table_at(
    place: pathlib.Path, target: pathlib.Path, schema: Any, names: ArgumentNames, keep_name: str | None
) -> Iterator[Callable[[list[Any]], None]]:
    """Yields a function that adds rows, as the arrays of all columns, to a new file, which is whole after the block.

    Args:
        place: Path of the file.
        target: Path that it will have; the name says the kind, and messages show it.
        schema, names, keep_name: As in `written_table`.

    Raises:
        ValueError: The kind of file cannot hold a column.
        OSError: The disk refuses.
    """
    import pyarrow as pa

    with _refusals_named(target, names, keep_name):
        writer = _open_writer(target, str(place), schema)

    def write(columns: list[Any]) -> None:
        with _refusals_named(target, names, keep_name):
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))

    try:
        yield write
    finally:
        with _refusals_named(target, names, keep_name):
            writer.close()


def _open_writer(target: pathlib.Path, path: str, schema: Any) -> Any:
    """Opens a file at `path` that will become `target`."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    kind = kind_of(str(target))
    if kind == "CSV":
        delimiter = "\t" if target.suffix.lower() == ".tsv" else ","
        return pyarrow.csv.CSVWriter(path, schema, write_options=pyarrow.csv.WriteOptions(delimiter=delimiter))
    return pyarrow.parquet.ParquetWriter(path, schema) if kind == "Parquet" else pa.ipc.new_file(path, schema)


@contextlib.contextmanager
def _refusals_named(path: pathlib.Path, names: ArgumentNames, keep_name: str | None) -> Iterator[None]:
    """Turns what pyarrow and the disk say into errors that name the file."""
    import pyarrow as pa

    try:
        with disk_errors_named(path, "file", names):
            yield
    except pa.ArrowException as error:
        instead = f", or leave out {keep_name}" if keep_name else ""
        fix = f"Choose another kind of file ({', '.join(KINDS)}){instead}."
        raise ValueError(
            f"`{names.path}` must be able to hold all columns. Received: {path} ({error}). {fix}"
        ) from error
