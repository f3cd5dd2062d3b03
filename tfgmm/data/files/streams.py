"""Record batches as blocks of rows: from columns side by side to one (n, D) array, and a cache of such rows on disk."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np


class BatchSlices:
    """Record batches that come one after the other, cut to the numbers of rows that the caller wants.

    Args:
        batches: `pyarrow.RecordBatch` each.
    """

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._rest: Any = None

    def _next(self, most: int) -> Any:
        batch = next(self._batches, None) if self._rest is None else self._rest
        self._rest = None
        if batch is None or batch.num_rows <= most:
            return batch
        self._rest = batch.slice(most)
        return batch.slice(0, most)

    def batches(self, num_rows: int) -> Iterator[Any]:
        """Yields the batches of the next `num_rows` rows, one at a time; fewer rows at the end."""
        while num_rows and (batch := self._next(num_rows)) is not None:
            num_rows -= batch.num_rows
            yield batch


class RowStream:
    """Rows of record batches that come one after the other, in portions of any size.

    Args:
        batches: `pyarrow.RecordBatch` each, with the columns in the order wanted or another.
        column_names: D names in the order wanted.
        dtype: float32 or float64.
    """

    def __init__(self, batches: Generator[Any], column_names: Sequence[str], dtype: np.dtype) -> None:
        self._batches = batches
        self._slices = BatchSlices(batches)
        self._column_names = column_names
        self._dtype = dtype

    def skip(self, num_rows: int) -> None:
        """Skips the next rows."""
        for _ in self._slices.batches(num_rows):
            pass

    def read(self, num_rows: int) -> np.ndarray:
        """Reads the next rows, (n, D) of the dtype; n is below `num_rows` at the end only."""
        return rows_of(self._slices.batches(num_rows), num_rows, self._column_names, self._dtype)

    def close(self) -> None:
        """Closes the file behind the batches."""
        self._batches.close()


def rows_of(batches: Iterable[Any], num_rows: int, column_names: Sequence[str], dtype: np.dtype) -> np.ndarray:
    """Gathers the rows of record batches in one array, (n, D) of the dtype.

    Args:
        batches: `pyarrow.RecordBatch` each.
        num_rows: Rows of all of them together, or more.
        column_names: D names in the order wanted.
        dtype: float32 or float64.
    """
    values = np.empty((num_rows, len(column_names)), dtype=dtype)
    filled = 0
    for batch in batches:
        _fill(values[filled : filled + batch.num_rows], batch, column_names)
        filled += batch.num_rows
    return values[:filled]


def _fill(values: np.ndarray, batch: Any, column_names: Sequence[str]) -> None:
    import pyarrow as pa

    kind = pa.from_numpy_dtype(values.dtype)
    for index, label in enumerate(column_names):
        column = batch.column(label)
        # Integers beyond 2**53 and decimals are rounded; nulls become NaN.
        column = column if column.type == kind else column.cast(kind, safe=False)
        values[:, index] = as_numpy(column, values.dtype)


def as_numpy(column: Any, dtype: np.dtype) -> np.ndarray:
    """Converts an Arrow array of floats, nulls to NaN; its own `to_numpy` would import pandas, which takes long."""
    if not len(column):
        return np.empty(0, dtype)
    validity, numbers = column.buffers()
    values = np.frombuffer(numbers, dtype, len(column), column.offset * dtype.itemsize)
    if not column.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return np.where(bits[column.offset : column.offset + len(column)], values, np.nan).astype(dtype, copy=False)


def rebatched(pieces: Iterable[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    """Yields rows that come in pieces of any size in batches of one size; the last may be short.

    Args:
        pieces: (n, D) each.
        batch_size: Rows of a batch.

    Example:

    >>> [len(batch) for batch in rebatched([np.zeros((5, 1)), np.zeros((2, 1))], 3)]
    [3, 3, 1]
    """
    waiting: list[np.ndarray] = []
    num_rows = 0
    for piece in pieces:
        waiting.append(piece)
        num_rows += len(piece)
        del piece
        while num_rows >= batch_size:
            together = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            num_rows -= batch_size
            waiting = [together[batch_size:]] if num_rows else []
            batch = together[:batch_size]
            del together
            yield batch
            del batch
    if num_rows:
        yield np.concatenate(waiting)


class RowCache:
    """Rows on disk in a temporary file without a name, gone when it is closed, collected, or the process ends.

    Args:
        num_features: D.
        dtype: Dtype of the numbers.
    """

    def __init__(self, num_features: int, dtype: np.dtype) -> None:
        self.num_rows = 0
        self._shape, self._dtype = num_features, dtype
        self._file = tempfile.TemporaryFile(prefix="tfgmm-rows-", buffering=0)
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, self._file.close)

    def append(self, rows: np.ndarray) -> None:
        """Writes (n, D) rows behind the others."""
        view = np.ascontiguousarray(rows, dtype=self._dtype).data.cast("B")
        while view:
            view = view[self._file.write(view) :]
        self.num_rows += len(rows)

    def read(self, start: int, num_rows: int) -> np.ndarray:
        """Reads `num_rows` rows from row `start` on, (num_rows, D)."""
        rows = np.empty((num_rows, self._shape), dtype=self._dtype)
        view = rows.data.cast("B")
        with self._lock:
            self._file.seek(start * self._shape * self._dtype.itemsize)
            while view:
                view = view[self._file.readinto(view) :]
        return rows
