"""Parquet and Arrow files: which columns and groups of rows they have, and their rows, some at a time.

A group is a row group of Parquet or a record batch of Arrow. Memory stays at a few batches, however large a group is,
except for one record batch that is compressed or elsewhere, which Arrow can only take whole.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from tfgmm.data.blocks import rows_per_block
from tfgmm.data.files.elsewhere import ArrowElsewhere, ParquetElsewhere
from tfgmm.data.files.filesystems import Place
from tfgmm.data.files.kinds import kind_of, names_without_index, readable

# Column chunks are read in pieces of this size; without, each column of a row group is held whole.
_BUFFER_BYTES = 2**18


def schema_of(name: str, place: Place) -> Any:
    """Reads the `pyarrow.Schema` of a Parquet or Arrow file, without the column of indices that pandas writes.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.

    Raises:
        ValueError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(name, place):
        if not place.is_here:
            with contextlib.closing(_elsewhere(place)) as table:
                schema = table.schema
        elif kind_of(place.label) == "Parquet":
            schema = pq.read_schema(place.path)
        else:
            with _mapped(place.path) as (buffer, _):
                schema = _open_ipc(buffer).schema
    names = names_without_index(schema)
    return pa.schema([field for field in schema if field.name in names])


def is_sequential(place: Place) -> bool:
    """Tells whether a file is only read from its start: CSV, and Arrow in the streaming format or elsewhere."""
    if kind_of(place.label) != "Arrow":
        return kind_of(place.label) == "CSV"
    return not place.is_here or place.first_bytes(6) != b"ARROW1"


def group_rows(name: str, place: Place, column: str) -> list[int]:
    """Counts the rows of each group of a Parquet file, or of an Arrow file that is not a stream.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
        column: Name of any of its columns; in an Arrow file only this one is looked at.

    Raises:
        ValueError: The file is damaged.
    """
    import pyarrow.parquet as pq

    with readable(name, place):
        if not place.is_here:
            with contextlib.closing(ParquetElsewhere(place)) as table:
                return table.group_rows()
        if kind_of(place.label) == "Parquet":
            metadata = pq.read_metadata(place.path)
            return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        with _mapped(place.path) as (buffer, _):
            reader = _open_ipc(buffer, [column])
            return [reader.get_batch(index).num_rows for index in range(reader.num_record_batches)]


def is_in_place(name: str, place: Place) -> bool:
    """Tells whether any row of the file can be read without others: Arrow without compression, on this machine.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
    """
    if kind_of(place.label) == "Parquet" or not place.is_here:
        return False
    with readable(name, place), _mapped(place.path) as (buffer, _):
        reader = _open_ipc(buffer)
        batch = reader.get_batch(0) if reader.num_record_batches else None
        columns = [] if batch is None else batch.columns
        parts = [part for column in columns for part in column.buffers() if part is not None and part.size]
        return all(buffer.address <= part.address < buffer.address + buffer.size for part in parts)


def opened_elsewhere(name: str, place: Place) -> ParquetElsewhere | None:
    """Opens a Parquet file of another filesystem, to be read in several goes; None for other files.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.

    Raises:
        ValueError: The file is damaged.
        OSError: It cannot be reached.
    """
    if place.is_here or kind_of(place.label) != "Parquet":
        return None
    with readable(name, place):
        return ParquetElsewhere(place)


def batches(
    name: str,
    place: Place,
    wanted: Sequence[str],
    groups: range | None = None,
    opened: ParquetElsewhere | None = None,
) -> Generator[Any]:
    """Yields rows of a Parquet or Arrow file, one `pyarrow.RecordBatch` at a time, an eighth of a block or less.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
        wanted: Names of the columns.
        groups: Groups to read; default all.
        opened: What `opened_elsewhere` gave; the caller closes it. Default: it is opened, if the file is elsewhere.

    Raises:
        ValueError: The file is damaged.
        OSError: It is elsewhere, and cannot be reached.
    """
    read = _parquet_batches if kind_of(place.label) == "Parquet" else _ipc_batches
    batch_rows = max(1, rows_per_block(len(wanted)) // 8)
    with readable(name, place), contextlib.ExitStack() as stack:
        if place.is_here:
            yield from read(place.path, list(wanted), batch_rows, groups)
        else:
            table = opened or stack.enter_context(contextlib.closing(_elsewhere(place)))
            yield from table.batches(list(wanted), batch_rows, groups)


def whole_columns(name: str, place: Place, wanted: Sequence[str]) -> list[Any]:
    """Reads whole columns of a Parquet or Arrow file, each a `pyarrow.ChunkedArray`.

    Several threads read them, or they stay in place on the disk: up to 1.7 times as fast as `batches` for files of 5 to
    10 MB.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
        wanted: Names of the columns.

    Raises:
        ValueError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with readable(name, place):
        if not place.is_here:
            with contextlib.closing(_elsewhere(place)) as opened:
                table = opened.table(wanted)
        elif kind_of(place.label) == "Parquet":
            # Read-ahead buffers cost many times the memory of the columns and save no time on a local disk.
            with pq.ParquetFile(place.path, pre_buffer=False) as file:
                table = file.read(columns=list(wanted))
        else:
            with pa.memory_map(place.path) as file:
                table = _open_ipc(file.read_buffer()).read_all()
                table.validate()
    return [table.column(label) for label in wanted]


def _elsewhere(place: Place) -> ParquetElsewhere | ArrowElsewhere:
    return ParquetElsewhere(place) if kind_of(place.label) == "Parquet" else ArrowElsewhere(place)


def release_memory() -> None:
    """Gives back memory that this thread's decoding has freed, and that Arrow would keep for each thread."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _parquet_batches(path: str, wanted: list[str], batch_rows: int, groups: range | None) -> Iterator[Any]:
    import pyarrow.parquet as pq

    # Read-ahead buffers cost many times the memory of the columns and save no time on a local disk.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        row_groups = None if groups is None else list(groups)
        # One thread is as fast and holds half the memory.
        yield from file.iter_batches(batch_size=batch_rows, row_groups=row_groups, columns=wanted, use_threads=False)


def _ipc_batches(path: str, wanted: list[str], batch_rows: int, groups: range | None) -> Iterator[Any]:
    with _mapped(path) as (buffer, forget):
        reader = _open_ipc(buffer, wanted)
        if groups is None and not hasattr(reader, "get_batch"):
            whole = iter(reader)
        else:
            indices = range(reader.num_record_batches) if groups is None else groups
            whole = (reader.get_batch(index) for index in indices)
        for batch in whole:
            batch.validate()
            for start in range(0, batch.num_rows, batch_rows):
                yield batch.select(wanted).slice(start, batch_rows)
                forget()


def _open_ipc(buffer: Any, columns: Sequence[str] | None = None) -> Any:
    import pyarrow as pa

    new = pa.ipc.open_file if buffer[:6].to_pybytes() == b"ARROW1" else pa.ipc.open_stream
    if columns is None:
        return new(buffer)
    names = new(buffer).schema.names
    return new(buffer, options=pa.ipc.IpcReadOptions(included_fields=[names.index(label) for label in columns]))


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[tuple[Any, Any]]:
    """Yields the file as an Arrow buffer that lies on the disk, and a function that gives its memory back."""
    import pyarrow as pa

    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def forget() -> None:
        # Pages that were read count as memory of this process until they are dropped; the system's cache keeps them.
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)

    yield pa.py_buffer(mapped), forget
