"""The rows of a file or folder that belong to a mixture: its columns by name, any number of rows. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import SAMPLE_ROWS, RowSample, row_blocks
from tfgmm.data.files.file_set import columns_of
from tfgmm.data.files.kinds import check_file, files_in
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.pass_through import wanted_columns
from tfgmm.data.readers import Rows, open_rows

NAME = "--data"  # what the file is called in error messages


class Sample(NamedTuple):
    """Some rows of a file.

    Args:
        rows: (n, D) float64, data units, finite, n <= 20,000; in the order of the file.
        num_rows: of the whole file.
        num_bad: how many of these are not finite.
    """

    rows: np.ndarray
    num_rows: int
    num_bad: int


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str], column_names: Sequence[str] | None, num_features: int
) -> Iterator[Rows | StoredRows]:
    """Yields the rows of a file, or of a folder of files, in the columns of a mixture; others are not looked at.

    Args:
        path: of CSV, Parquet or Arrow.
        column_names: of the columns that the mixture was fitted on; None where they had no names: then the file has
            the D columns, in their order, and no others.
        num_features: D.

    Raises:
        FileNotFoundError, ValueError, TypeError: no such file, damaged or empty, columns missing or not of numbers.
    """
    place = os.fspath(path)
    first = files_in(NAME, place)[0] if os.path.isdir(place) else place
    check_file(NAME, first)
    names = [label for label, _ in columns_of(NAME, first)]
    wanted = wanted_columns(NAME, place, names, column_names, num_features)
    rows = open_rows(place, name=NAME, columns=wanted)
    with rows if isinstance(rows, StoredRows) else contextlib.nullcontext():
        yield rows


def blocks_of(rows: Rows | StoredRows) -> Iterator[np.ndarray]:
    """Returns the rows block by block, (B, D) each, data units, in their order; NaN and infinite values as they are."""
    return rows.blocks() if isinstance(rows, StoredRows) else row_blocks(rows.values)


def finite(block: np.ndarray) -> np.ndarray:
    """Returns the rows of a block without NaN and infinite values.

    Example:

    >>> finite(np.array([[1.0, 2.0], [np.nan, 3.0]])).tolist()
    [[1.0, 2.0]]
    """
    return block[np.isfinite(block).all(axis=1)]


def sample_of(rows: Rows | StoredRows) -> Sample:
    """Returns at most 20,000 rows, a uniform choice of those that are finite, always the same.

    Raises:
        ValueError: none is finite.
    """
    chosen, num_rows, num_finite = RowSample(SAMPLE_ROWS, 0), 0, 0
    for block in blocks_of(rows):
        whole = finite(block)
        chosen.update(whole)
        num_rows, num_finite = num_rows + len(block), num_finite + len(whole)
    if num_finite == 0:
        fix = "Give rows with finite numbers."
        raise ValueError(f"`{NAME}` must have rows of numbers. Received: {num_rows} rows, none of them finite. {fix}")
    return Sample(chosen.result(), num_rows, num_rows - num_finite)
