"""The rows of a file or folder in the columns of a mixture, by name; any number of rows. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.blocks import finite, num_gaps
from tfgmm.data.columns import wanted_columns
from tfgmm.data.files.csv_format import GUESSED, CsvOptions
from tfgmm.data.files.opening import open_files
from tfgmm.data.readers import open_rows
from tfgmm.data.row_source import RowSource
from tfgmm.data.sampling import SAMPLE_ROWS, RowSample


class Sample(NamedTuple):
    """Some rows of a file.

    Args:
        rows: (n, D) float64, data units, n <= 20,000, in the order of the file; finite, or NaN where gaps are taken.
        num_rows: Rows of the whole file.
        num_bad: Rows of the whole file that are not finite; where gaps are taken, those with an infinite value or
            without any value.
        gaps: D counts of rows of the whole file that have a gap in the column, and were taken; () where gaps are not.
    """

    rows: np.ndarray
    num_rows: int
    num_bad: int
    gaps: tuple[int, ...] = ()


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str],
    column_names: Sequence[str] | None,
    num_features: int,
    name: str = "path",
    csv: CsvOptions = GUESSED,
    drop_gaps: bool = False,
    missing: str = "refuse",
) -> Iterator[RowSource]:
    """Yields the rows of a file, or of a folder of files, in the columns of a mixture; other columns are not looked at.

    Args:
        path: Path of a CSV, Parquet or Arrow file, or of a folder.
        column_names: Names of the columns that the mixture was fitted on; None where they had no names: the file then
            has the D columns, in their order, and no others.
        num_features: D.
        name: What error messages call `path`.
        csv: How CSV files are written.
        drop_gaps: Whether rows with a gap or an infinite value are left out.
        missing: "integrate" where a NaN is a gap, and `sample_of` takes rows with gaps; no row is left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or empty, or lacks a column.
        TypeError: A column does not hold numbers.
    """
    path = os.fspath(path)
    wanted = wanted_columns(name, path, open_files(name, path, csv).column_names, column_names, num_features)
    how: dict[str, Any] = {"csv": csv, "drop_gaps": drop_gaps, "missing": missing, "are_scored": True}
    with contextlib.closing(open_rows(path, name=name, columns=wanted, **how)) as rows:
        yield rows


def sample_of(source: RowSource) -> Sample:
    """Draws up to 20,000 rows, a uniform choice of those that are finite; the same on every call.

    Where the source takes NaN for a gap, rows with gaps are among them.

    Raises:
        ValueError: No row is finite, or has a value.
    """
    chosen, num_rows, num_good = RowSample(SAMPLE_ROWS, 0), 0, 0
    takes_gaps, gaps = source.missing == "integrate", np.zeros(source.num_features, np.int64)
    for block in source.blocks():
        good = _with_values(block.values) if takes_gaps else finite(block.values)
        chosen.update(good)
        num_rows, num_good = num_rows + len(block.values), num_good + len(good)
        gaps += num_gaps(good)
    if num_good == 0:
        lacking = "with a value and without an infinite one" if takes_gaps else "finite"
        fix = "Give rows with finite numbers."
        raise ValueError(
            f"`{source.name}` must have rows of numbers. Received: {num_rows} rows, none of them {lacking}. {fix}"
        )
    return Sample(chosen.result(), num_rows, num_rows - num_good, tuple(gaps.tolist()) if takes_gaps else ())


def _with_values(values: np.ndarray) -> np.ndarray:
    """Selects the rows, (B, D), that have a value, and no infinite one."""
    is_bad = np.isinf(values).any(axis=1) | np.isnan(values).all(axis=1)
    return values[~is_bad]
