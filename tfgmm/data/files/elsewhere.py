"""Parquet and Arrow files on other filesystems: few requests, each of them long. pyarrow is imported when needed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tfgmm.data.files.filesystems import STREAM_BYTES, Place

_MOST_AT_ONCE = 2**25  # bytes of row groups that are fetched as wholes
_MANY = 8  # times the columns that are wanted: so many are not fetched along
_LEAST_AT_ONCE = 2**18  # of a column, where a row group is larger


class ParquetElsewhere:
    """A Parquet file on another filesystem, which stays open: what stands at its end is fetched once.

    Args:
        place: The file.
    """

    def __init__(self, place: Place) -> None:
        import pyarrow.parquet as pq

        self._source = place.opened()
        whole = pq.ParquetFile(self._source, pre_buffer=False)
        self.metadata, self.schema = whole.metadata, whole.schema_arrow

    @property
    def num_groups(self) -> int:
        """How many row groups it has."""
        return int(self.metadata.num_row_groups)

    def group_rows(self) -> list[int]:
        """Counts the rows of each row group."""
        return [self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups)]

    def batches(self, wanted: list[str], batch_rows: int, groups: range | None) -> Iterator[Any]:
        """Yields rows: row groups as wholes, by several requests at once, and a large one in parts of its columns."""
        import pyarrow.parquet as pq

        chosen = range(self.metadata.num_row_groups) if groups is None else groups
        in_parts = max(_LEAST_AT_ONCE, min(STREAM_BYTES, _MOST_AT_ONCE // len(wanted)))
        for is_small, run in _runs_of(self.metadata, wanted, chosen):
            how: dict[str, Any] = {"pre_buffer": is_small, "buffer_size": 0 if is_small else in_parts}
            file = pq.ParquetFile(self._source, metadata=self.metadata, **how)
            yield from file.iter_batches(batch_size=batch_rows, row_groups=run, columns=wanted, use_threads=False)

    def table(self, wanted: Sequence[str]) -> Any:
        """Reads whole columns."""
        import pyarrow.parquet as pq

        return pq.ParquetFile(self._source, metadata=self.metadata, pre_buffer=True).read(columns=list(wanted))

    def close(self) -> None:
        """Closes the file."""
        self._source.close()


class ArrowElsewhere:
    """An Arrow file on another filesystem, or a stream, to be read once, from its start.

    What stands at the end of a file does not tell how many rows a record batch has: asking each costs two requests. A
    file is a stream between two marks, and is read as one.

    Args:
        place: The file.
    """

    def __init__(self, place: Place) -> None:
        import pyarrow as pa

        self._place, self._is_file = place, place.first_bytes(6) == b"ARROW1"
        self._source = place.opened() if self._is_file else place.stream()
        self._reader = pa.ipc.open_file(self._source) if self._is_file else pa.ipc.open_stream(self._source)
        self.schema = self._reader.schema

    def batches(self, wanted: list[str], batch_rows: int, groups: range | None = None) -> Iterator[Any]:
        """Yields all rows; a record batch is fetched whole."""
        for batch in self._whole(wanted):
            batch.validate()
            for start in range(0, batch.num_rows, batch_rows):
                yield batch.select(wanted).slice(start, batch_rows)

    def table(self, wanted: Sequence[str]) -> Any:
        """Reads whole columns."""
        import pyarrow as pa

        batches = [batch.select(list(wanted)) for batch in self._whole(list(wanted))]
        table = pa.Table.from_batches(batches, pa.schema([self.schema.field(label) for label in wanted]))
        table.validate()
        return table

    def close(self) -> None:
        """Closes the file."""
        self._source.close()

    def _whole(self, wanted: list[str]) -> Iterator[Any]:
        if not self._is_file:
            yield from self._reader
        elif len(self.schema.names) < _MANY * len(wanted):
            yield from self._as_stream()
        else:
            yield from self._narrow(wanted)

    def _as_stream(self) -> Iterator[Any]:
        import pyarrow as pa

        with self._place.stream() as stream:
            stream.read(8)  # the mark, filled up to 8 bytes
            yield from itertools.islice(pa.ipc.open_stream(stream), self._reader.num_record_batches)

    def _narrow(self, wanted: list[str]) -> Iterator[Any]:
        """Fetches only some columns, each by two requests a record batch."""
        import pyarrow as pa

        places = [self.schema.names.index(label) for label in wanted]
        reader = pa.ipc.open_file(self._source, options=pa.ipc.IpcReadOptions(included_fields=places))
        yield from map(reader.get_batch, range(reader.num_record_batches))


def _runs_of(metadata: Any, wanted: Collection[str], groups: range) -> Iterator[tuple[bool, list[int]]]:
    """Yields runs of row groups that together fit into memory, and whether one does: a larger one is one by itself."""
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
