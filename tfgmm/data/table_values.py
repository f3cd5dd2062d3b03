"""Columns of a table, in memory or in a file, put side by side as one array of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.data.blocks import BLOCK_ROWS
from tfgmm.data.files.kinds import decoded_type, not_numbers_error, words_if_not_numbers
from tfgmm.data.files.opening import TableFiles
from tfgmm.data.files.streams import as_numpy
from tfgmm.data.frames import MemoryTable

if TYPE_CHECKING:
    import pyarrow


def table_values(name: str, table: MemoryTable | TableFiles, wanted: Sequence[str], allow_empty: bool) -> np.ndarray:
    """Reads the columns wanted as one array of numbers, (N, D) float32 or float64.

    Raises:
        TypeError: A column does not hold numbers; the message names all of these.
        ValueError: There are no rows or no columns; see `check_not_empty`.
    """
    columns: list[Any] = table.columns(wanted)
    pairs = zip(wanted, columns, strict=True)
    words = {label: col if isinstance(col, str) else words_if_not_numbers(col.type) for label, col in pairs}
    if any(words.values()):
        raise not_numbers_error(name, words, table.origin, table.named)
    num_rows = len(columns[0]) if columns else 0
    check_not_empty(name, (num_rows, len(columns)), allow_empty, table.origin)
    return _interleaved(columns, num_rows)


def check_not_empty(name: str, shape: tuple[int, ...], allow_empty: bool, origin: str = "") -> None:
    """Checks that rows (N, D) have a column, and a row unless `allow_empty`: Raises ValueError otherwise."""
    if 0 in shape[1 if allow_empty else 0 : 2]:
        missing = "rows" if shape[0] == 0 and not allow_empty else "columns"
        fix = "Check the filter or selection that made it."
        received = f"no {missing}, shape {shape}{origin}"
        raise ValueError(f"`{name}` must have at least one row and one column. Received: {received}. {fix}")


def _interleaved(columns: list[pyarrow.ChunkedArray], num_rows: int) -> np.ndarray:
    """Puts the columns side by side, (N, D) float32 or float64, block by block: only the result is ever held whole."""
    import pyarrow as pa

    kind = np.dtype(np.float32 if all(decoded_type(column.type) == pa.float32() for column in columns) else np.float64)
    values = np.empty((num_rows, len(columns)), kind)
    for start in range(0, num_rows, BLOCK_ROWS):
        for index, column in enumerate(columns):
            place = start
            for part in column.slice(start, BLOCK_ROWS).cast(pa.from_numpy_dtype(kind), safe=False).chunks:
                values[place : place + len(part), index] = as_numpy(part, kind)
                place += len(part)
    return values
