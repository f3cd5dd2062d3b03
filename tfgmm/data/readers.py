"""Arrays, DataFrames and CSV, Parquet or Arrow files as rows of numbers: where all data comes in. No TensorFlow.

The command line, the scorer, the companions and training all use it. Every table is read through Arrow columns
(`frames`, `files.opening`); arrays are only checked, never copied. NaN and infinity pass here, because scoring handles
them row by row; `summary.summarise`, which training calls, refuses them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfgmm.common.shapes import check_shape
from tfgmm.common.words import quoted
from tfgmm.data.arrays import number_array
from tfgmm.data.blocks import RowBlock, finite, num_gaps, row_blocks, rows_per_block
from tfgmm.data.columns import wanted_names
from tfgmm.data.containers import check_kind, check_no_columns
from tfgmm.data.errors import gap_in_every_row_error
from tfgmm.data.files.csv_format import GUESSED, CsvOptions
from tfgmm.data.files.opening import TableFiles, is_large, open_files
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.frames import open_table
from tfgmm.data.table_values import check_not_empty, table_values

if TYPE_CHECKING:
    from tfgmm.data.row_source import RowSource


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in memory, checked: a 2-D array of numbers, in the user's units, and its columns' names.

    Args:
        values: (N, D) array of any float, integer or bool dtype, with any strides, perhaps read-only. An array that
            the user passed is used as it is, not copied.
        column_names: D names, or None when the data had none.
        name: What the caller's argument is called in error messages.
        num_dropped: Rows of the data with a gap that were left out.
        dropped_gaps: Gaps in each column of those; () where none was left out.
        weights: (N,) float64, positive, how often each row counts; None: each counts once.
        noise: Standard deviations (N, D) or covariances (N, D, D) of the measurement noise; None: there is none.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
        num_empty, num_weightless: Rows without any value, and rows of weight 0, that were left out.

    Attributes: Those of a `tfgmm.data.sources.RowSource`.
    """

    values: np.ndarray
    column_names: tuple[str, ...] | None = None
    name: str = "x"
    num_dropped: int = 0
    dropped_gaps: tuple[int, ...] = ()
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None
    missing: str = "refuse"
    num_empty: int = 0
    num_weightless: int = 0

    origin: ClassVar[str | None] = None
    is_in_memory: ClassVar[bool] = True
    is_endless: ClassVar[bool] = False
    has_known_length: ClassVar[bool] = True
    has_own_batches: ClassVar[bool] = False

    @property
    def num_data(self) -> int:
        """N, the number of rows."""
        return len(self.values)

    @property
    def num_features(self) -> int:
        """D, the number of columns."""
        return int(self.values.shape[1])

    def blocks(self) -> Iterator[RowBlock]:
        """Yields views of the rows, 65,536 at a time, fewer when D is above 128."""
        if self.weights is None and self.noise is None:
            return map(RowBlock, row_blocks(self.values))
        whole, size = RowBlock(self.values, self.weights, self.noise), rows_per_block(self.num_features)
        return (whole.part(slice(start, start + size)) for start in range(0, len(self.values), size))

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""
        return self.weights is not None

    @property
    def noise_axes(self) -> int:
        """0 where there is no noise, 1 for standard deviations, 2 for covariances."""
        return 0 if self.noise is None else self.noise.ndim - 1

    def place(self, row: int) -> str:
        """Names a row in words for an error message: by its number."""
        return str(row)

    def close(self) -> None:
        """Does nothing: the rows are the caller's."""


def read_rows(
    data: Any,
    *,
    name: str = "x",
    column_names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    allow_empty: bool = False,
) -> Rows:
    """Reads an array, a table in memory or a file as one (N, D) array of numbers with column names.

    Tables and files come back as float32 when every column is float32 and as float64 otherwise: integers beyond
    2**53 and decimals are rounded to float64. Nulls, pandas NA and the usual spellings of a gap in a CSV file (empty,
    NA, null, ?, -, #DIV/0! and others) become NaN. Categories that are numbers are read as these numbers. The index of
    a pandas frame is not a column, nor is it one in a file that pandas wrote.

    Args:
        data: A 2-D array (anything with `__array__`), a list of lists of numbers, a pandas or polars DataFrame, a
            pyarrow Table or anything with `__arrow_c_stream__`, or the path of a .csv or .tsv (names of the columns
            above the rows; also compressed, .csv.gz), .parquet, .pq, .arrow, .feather or .ipc file, or of a folder of
            such files, all of one kind, read one after the other in the order of their names. Separator, decimal mark
            and UTF-16 are found out from the first lines of a CSV file.
        name: What the caller's argument is called in error messages.
        column_names: D names that the model was fitted on. Data with names must have exactly these, in any order,
            and comes back in this order; for data without names, only the number of columns is checked.
        columns: Names of the columns to keep, in the order wanted; the others are not looked at. Default: all.
        allow_empty: Whether data without rows is taken too: it cannot be fitted, but it can be scored.

    Returns:
        Rows: `values` (N, D), in the data's units; D >= 1, and N >= 1 unless `allow_empty`.

    Raises:
        TypeError: The data is not a table of numbers; the message names every column that does not hold numbers.
        ValueError: The shape is wrong, there are no rows, columns are unknown, missing or repeated, or a file cannot
            be read.
        FileNotFoundError: There is no such file.

    Example:

    >>> import pandas
    >>> frame = pandas.DataFrame({"waiting": [79, 54], "eruptions": [3.6, 1.8]})
    >>> rows = read_rows(frame, column_names=["eruptions", "waiting"])
    >>> rows.values.tolist()
    [[3.6, 79.0], [1.8, 54.0]]
    """
    rows = open_rows(data, name=name, column_names=column_names, columns=columns, allow_empty=allow_empty, whole=True)
    return rows if isinstance(rows, Rows) else _all_in_memory(rows)


def open_rows(
    data: Any,
    *,
    name: str = "x",
    column_names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    num_features: int | None = None,
    allow_empty: bool = False,
    whole: bool = False,
    csv: CsvOptions = GUESSED,
    drop_gaps: bool = False,
) -> Rows | StoredRows:
    """Opens data of any kind: rows in memory, or `StoredRows` for a folder and for a large file.

    Args:
        data, name, column_names, columns, allow_empty: As in `read_rows`.
        num_features: D of the model; None takes any.
        whole: Whether a large file is read into memory too. Otherwise a file whose numbers take more than 32 MiB in
            float64 (for CSV, a file larger than that itself) stays where it is.
        csv: How CSV files are written.
        drop_gaps: Whether rows with a gap or an infinite value are left out; `num_dropped` counts them, for stored
            rows once they were read.

    Raises:
        TypeError, ValueError, FileNotFoundError: As in `read_rows`; errors that only reading can show come later, from
            `StoredRows`.

    Example:

    >>> open_rows([[1.0], [2.0]]).values.shape
    (2, 1)
    """
    if not isinstance(data, np.ndarray):
        check_kind(name, data)
        check_no_columns(name, data, num_features if column_names is None else len(column_names))
    if isinstance(columns, str):
        raise TypeError(f"`columns` must be a list of names. Received: {columns!r}. Pass columns=[{columns!r}].")
    if isinstance(data, (str, os.PathLike)):
        files = open_files(name, os.fspath(data), csv)
        rows = _open_path(files, columns, column_names, allow_empty, whole, drop_gaps)
    else:
        rows = _open_in_memory(name, data, columns, column_names, allow_empty)
    if drop_gaps and isinstance(rows, Rows):
        rows = _without_gaps(rows)
    check_num_features(rows, name, num_features)
    return rows


def check_num_features(source: RowSource, name: str, num_features: int | None) -> None:
    """Checks the number of columns: Raises ValueError unless it is D, where D is known."""
    if num_features is None or source.num_features == num_features:
        return
    shape = source.num_data, source.num_features
    received = f"shape {shape}" if source.origin is None else f"{source.num_features} columns in '{source.origin}'"
    raise ValueError(
        f"`{name}` must have shape (N, {num_features}): this model was built with num_features={num_features}. "
        f"Received: {received}. Pass the training columns only."
    )


def _open_in_memory(
    name: str, data: Any, columns: Sequence[str] | None, column_names: Sequence[str] | None, allow_empty: bool
) -> Rows:
    table = None if isinstance(data, np.ndarray) else open_table(name, data)
    if table is not None and table.named:
        wanted = wanted_names(name, table.names, "", columns, column_names)
        return Rows(table_values(name, table, wanted, allow_empty), wanted, name)
    if table is None:
        values = number_array(name, data, allow_empty)
    else:
        values = table_values(name, table, table.names, allow_empty)
    if columns is not None:
        fix = "Select the columns by position before, or pass a table with names."
        raise ValueError(f"`columns` must be None for data without column names. Received: {list(columns)}. {fix}")
    if column_names is None:
        return Rows(values, None, name)
    if values.shape[1] != len(column_names):
        fix = f"The model was fitted on {quoted(column_names)}: pass these columns only."
        check_shape(name, values, "ND", D=len(column_names), fix=fix)
    return Rows(values, tuple(column_names), name)


def _open_path(
    files: TableFiles,
    columns: Sequence[str] | None,
    column_names: Sequence[str] | None,
    allow_empty: bool,
    whole: bool,
    drop_gaps: bool,
) -> Rows | StoredRows:
    name = files.name
    wanted = wanted_names(name, files.column_names, files.origin, columns, column_names)
    if not files.is_folder and (whole or not is_large(name, files.path, wanted)):
        # Not through `StoredRows`: for a CSV file of 5 to 10 MB, whole columns take 0.55 of the time (two cores)
        return Rows(table_values(name, files, wanted, allow_empty), wanted, name)
    rows = files.stored(wanted, same_names=columns is None, drop_gaps=drop_gaps)
    # Files that must be read to the end to count their rows are not empty: each was looked at.
    if not rows.is_sequential:
        check_not_empty(name, (rows.num_data, rows.num_features), allow_empty, files.origin)
    return rows


def _without_gaps(rows: Rows) -> Rows:
    """Leaves out rows with a gap or an infinite value."""
    kept = finite(rows.values)
    if len(rows.values) and not len(kept):
        raise gap_in_every_row_error(rows.name, len(rows.values))
    gaps = tuple(num_gaps(rows.values).tolist())
    return dataclasses.replace(rows, values=kept, num_dropped=len(rows.values) - len(kept), dropped_gaps=gaps)


def _all_in_memory(stored: StoredRows) -> Rows:
    """Reads all stored rows into one array, with no more than one block beside it in memory."""
    with stored:
        values = np.empty((stored.num_data, stored.num_features), dtype=stored.dtype)
        start = 0
        for block in stored.blocks():
            values[start : start + len(block.values)] = block.values
            start += len(block.values)
    return Rows(values, stored.column_names, stored.name)
