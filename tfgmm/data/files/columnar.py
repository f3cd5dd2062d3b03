"""Parquet and Arrow files: which columns and groups of rows they have, and their rows, some at a time.

A group is a row group of Parquet or a record batch of Arrow. Memory stays at a few batches, however large a group is,
except for one record batch that is compressed or elsewhere, which Arrow can only take whole.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Any

from tfgmm.data.blocks import rows_per_block
from tfgmm.data.files.filesystems import STREAM_BYTES, Place
from tfgmm.data.files.kinds import kind_of, names_without_index, readable

# Column chunks are read in pieces of this size; without, each column of a row group is held whole.
_BUFFER_BYTES = 2**18
_MOST_AT_ONCE = 2**25  # bytes of row groups that are fetched as wholes from elsewhere


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
        if kind_of(place.label) == "Parquet":
            schema = pq.read_schema(place.path, filesystem=place.filesystem)
        else:
            with _ipc_source(place) as (source, _):
                schema = _open_ipc(source).schema
    names = names_without_index(schema)
    return pa.schema([field for field in schema if field.name in names])


def is_sequential(name: str, place: Place) -> bool:
    """Tells whether a file can only be read from its start: CSV, and Arrow in the streaming format."""
    if kind_of(place.label) != "Arrow":
        return kind_of(place.label) == "CSV"
    with readable(name, place):
        return place.first_bytes(6) != b"ARROW1"


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
        if kind_of(place.label) == "Parquet":
            metadata = pq.read_metadata(place.path, filesystem=place.filesystem)
            return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        with _ipc_source(place) as (source, _):
            reader = _open_ipc(source, [column])
            return [reader.get_batch(index).num_rows for index in range(reader.num_record_batches)]


def is_in_place(name: str, place: Place) -> bool:
    """Tells whether any row of the file can be read without others: Arrow without compression, on this machine.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
    """
    if kind_of(place.label) == "Parquet" or not place.is_here:
        return False
    with readable(name, place), _ipc_source(place) as (buffer, _):
        reader = _open_ipc(buffer)
        batch = reader.get_batch(0) if reader.num_record_batches else None
        columns = [] if batch is None else batch.columns
        parts = [part for column in columns for part in column.buffers() if part is not None and part.size]
        return all(buffer.address <= part.address < buffer.address + buffer.size for part in parts)


def batches(name: str, place: Place, wanted: Sequence[str], groups: range | None = None) -> Generator[Any]:
    """Yields rows of a Parquet or Arrow file, one `pyarrow.RecordBatch` at a time, an eighth of a block or less.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file.
        wanted: Names of the columns.
        groups: Groups to read; default all.

    Raises:
        ValueError: The file is damaged.
    """
    read = _parquet_batches if kind_of(place.label) == "Parquet" else _ipc_batches
    with readable(name, place):
        yield from read(place, list(wanted), max(1, rows_per_block(len(wanted)) // 8), groups)


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
        if kind_of(place.label) == "Parquet":
            # Read-ahead buffers cost many times the memory of the columns and save no time on a local disk.
            with pq.ParquetFile(place.path, filesystem=place.filesystem, pre_buffer=not place.is_here) as file:
                table = file.read(columns=list(wanted))
        elif place.is_here:
            with pa.memory_map(place.path) as file:
                table = _open_ipc(file.read_buffer()).read_all()
                table.validate()
        else:
            with _ipc_source(place) as (source, _):
                table = _open_ipc(source, wanted).read_all()
                table.validate()
    return [table.column(label) for label in wanted]


def release_memory() -> None:
    """Gives back memory that this thread's decoding has freed, and that Arrow would keep for each thread."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _parquet_batches(place: Place, wanted: list[str], batch_rows: int, groups: range | None) -> Iterator[Any]:
    import pyarrow.parquet as pq

    if not place.is_here:
        yield from _remote_batches(place, wanted, batch_rows, groups)
        return
    # Read-ahead buffers cost many times the memory of the columns and save no time on a local disk.
    with pq.ParquetFile(place.path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        row_groups = None if groups is None else list(groups)
        # One thread is as fast and holds half the memory.
        yield from file.iter_batches(batch_size=batch_rows, row_groups=row_groups, columns=wanted, use_threads=False)


def _remote_batches(place: Place, wanted: list[str], batch_rows: int, groups: range | None) -> Iterator[Any]:
    """Yields rows of a Parquet file elsewhere: groups as wholes, by several requests at once, a large one in parts."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(place.path, filesystem=place.filesystem, pre_buffer=False) as file:
        metadata = file.metadata
    for whole, run in _runs_of(metadata, wanted, range(metadata.num_row_groups) if groups is None else groups):
        buffer_bytes = 0 if whole else max(_BUFFER_BYTES, min(STREAM_BYTES, _MOST_AT_ONCE // len(wanted)))
        how: dict[str, Any] = {"pre_buffer": whole, "buffer_size": buffer_bytes, "metadata": metadata}
        with pq.ParquetFile(place.path, filesystem=place.filesystem, **how) as file:
            yield from file.iter_batches(batch_size=batch_rows, row_groups=run, columns=wanted, use_threads=False)


def _runs_of(metadata: Any, wanted: Collection[str], groups: range) -> Iterator[tuple[bool, list[int]]]:
    """Yields runs of groups that together fit into memory, and whether one does: a larger one is a run by itself."""
    run: list[int] = []
    total = 0
    for group in groups:
        size = _group_bytes(metadata.row_group(group), wanted)
        if run and total + size > _MOST_AT_ONCE:
            yield True, run
            run, total = [], 0
        if size > _MOST_AT_ONCE:
            yield False, [group]
        else:
            run, total = [*run, group], total + size
    if run:
        yield True, run


def _group_bytes(group: Any, wanted: Collection[str]) -> int:
    chunks = map(group.column, range(group.num_columns))
    return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in wanted)


def _ipc_batches(place: Place, wanted: list[str], batch_rows: int, groups: range | None) -> Iterator[Any]:
    with _ipc_source(place) as (source, forget):
        reader = _open_ipc(source, wanted)
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


def _open_ipc(source: Any, columns: Sequence[str] | None = None) -> Any:
    """Opens an Arrow file, as a buffer or elsewhere, or a stream; only some columns of it where that saves reading."""
    import pyarrow as pa

    is_buffer = isinstance(source, pa.Buffer)
    is_file = source[:6].to_pybytes() == b"ARROW1" if is_buffer else source.seekable()
    new = pa.ipc.open_file if is_file else pa.ipc.open_stream
    if columns is None:
        return new(source)
    if not is_file and not is_buffer:
        return new(source)  # all of it comes; it can be opened only once
    names = new(source).schema.names
    if not is_buffer and 2 * len(columns) > len(names):
        return new(source)  # one request for all columns, not two for each
    return new(source, options=pa.ipc.IpcReadOptions(included_fields=[names.index(label) for label in columns]))


@contextlib.contextmanager
def _ipc_source(place: Place) -> Iterator[tuple[Any, Any]]:
    """Yields what Arrow reads an Arrow file or stream from, and a function that gives its memory back."""
    if place.is_here:
        with _mapped(place.path) as mapped:
            yield mapped
        return
    is_file = place.first_bytes(6) == b"ARROW1"
    with place.opened() if is_file else place.stream() as source:
        yield source, lambda: None


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
