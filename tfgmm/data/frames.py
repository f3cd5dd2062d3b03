"""Tables in memory, pandas frames and everything that Arrow can take, as named Arrow columns.

pyarrow is imported where it is used, and pandas or polars never: a frame can only arrive when the caller has imported
its package already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfgmm.common.checks import is_instance_of
from tfgmm.data.containers import is_arrow_table
from tfgmm.data.files.csv_cells import Column
from tfgmm.data.files.kinds import first_line, names_without_index


@dataclass(frozen=True, eq=False)
class MemoryTable:
    """A table in memory whose names are known and whose columns are converted on demand.

    Args:
        names: Names of the columns, in the table's order; duplicates are possible.
        columns: Function from names, each of which appears once in `names`, to those columns.
        named: False when the names only number the columns (a pandas frame made from an array).
        origin: What stands behind what an error message received: where the table is one of several, which.
    """

    names: tuple[str, ...]
    columns: Callable[[Sequence[str]], list[Column]]
    named: bool = True
    origin: str = ""


def open_table(name: str, data: Any) -> MemoryTable | None:
    """Opens the table that `data` is; None when it is not a table.

    Args:
        name: What the caller's argument is called in error messages.
        data: pandas.DataFrame, or a table with `__arrow_c_stream__`; an array that has one is an array.

    Raises:
        TypeError: Arrow cannot take the table.

    Example:

    >>> import pyarrow
    >>> open_table("x", pyarrow.table({"eruptions": [3.6], "waiting": [79.0]})).names
    ('eruptions', 'waiting')
    """
    if is_instance_of(data, "pandas", "DataFrame"):
        return _open_frame(data)
    if is_arrow_table(data):
        return _open_arrow(name, data)
    return None


def _open_frame(frame: Any) -> MemoryTable:
    names = tuple(str(label) for label in frame.columns)
    position = {label: index for index, label in enumerate(names)}

    def columns(wanted: Sequence[str]) -> list[Column]:
        return [_frame_column(frame.iloc[:, position[label]]) for label in wanted]

    return MemoryTable(names, columns, named=list(frame.columns) != list(range(len(names))))


def _frame_column(series: Any) -> Column:
    """Converts one column, because `Table.from_pandas` stops at the first one that it cannot convert."""
    import pyarrow as pa

    if is_instance_of(series.dtype, "pandas", "SparseDtype"):
        series = series.sparse.to_dense()
    try:
        array = pa.array(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return str(series.dtype)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _open_arrow(name: str, data: Any) -> MemoryTable:
    import pyarrow as pa

    try:
        table = pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(
            f"`{name}` must be a table that Arrow can take. Received: {type(data).__name__} ({first_line(error)}). "
            "Cast its columns to float64 first, and pass a table with columns, not a single column."
        ) from error
    names = names_without_index(table.schema)
    return MemoryTable(names, lambda wanted: [table.column(label) for label in wanted])
