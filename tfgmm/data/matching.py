"""The rows of a file or folder in the columns of a mixture, by name; any number of rows. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.urls import without_secrets
from tfgmm.data.blocks import num_gaps
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
        weights: (n,) float64, for how many rows each of them counts, with the sum n where it is a choice; None for one.
        num_incomplete: Rows of the whole file that have a gap, and were taken.
    """

    rows: np.ndarray
    num_rows: int
    num_bad: int
    gaps: tuple[int, ...] = ()
    weights: np.ndarray | None = None
    num_incomplete: int = 0


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str],
    column_names: Sequence[str] | None,
    num_features: int,
    name: str = "path",
    csv: CsvOptions = GUESSED,
    drop_gaps: bool = False,
    missing: str = "refuse",
    *,
    sample_weight: str | None = None,
    noise: Mapping[str, str] | None = None,
    are_scored: bool = True,
) -> Iterator[RowSource]:
    """Yields the rows of a file, or of a folder of files, in the columns of a mixture; other columns are not looked at.

    Args:
        path: Path or URL of a CSV, Parquet or Arrow file, or of a folder.
        column_names: Names of the columns that the mixture was fitted on; None where they had no names: the file then
            has the D columns, in their order, and no others.
        num_features: D.
        name: What error messages call `path`.
        csv: How CSV files are written.
        drop_gaps: Whether rows with a gap or an infinite value are left out.
        missing: "integrate" where a NaN is a gap, and `sample_of` takes rows with gaps.
        sample_weight, noise: Columns of weights and of standard deviations, as `open_source` takes them.
        are_scored: Whether no row is left out and no value refused; otherwise the rows are those that a fit would see.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or empty, or lacks a column; a weight or a standard deviation is none.
        TypeError: A column does not hold numbers.
    """
    path = os.fspath(path)
    beside = {sample_weight, *(noise or {}).values()} - set(column_names or ())
    names = [label for label in open_files(name, path, csv).column_names if label not in beside]
    wanted = wanted_columns(name, without_secrets(path), names, column_names, num_features)
    how: dict[str, Any] = {"csv": csv, "drop_gaps": drop_gaps, "missing": missing, "are_scored": are_scored}
    how |= {"sample_weight": sample_weight, "noise": noise}
    with contextlib.closing(open_rows(path, name=name, columns=wanted, **how)) as rows:
        yield rows


def sample_of(source: RowSource) -> Sample:
    """Draws up to 20,000 rows, a uniform choice of those that are finite; the same on every call.

    Where the source takes NaN for a gap, rows with gaps are among them.

    Raises:
        ValueError: No row is finite, or has a value.
    """
    chosen, num_rows, total = RowSample(SAMPLE_ROWS, 0), 0, 0.0
    takes_gaps, gaps = source.missing == "integrate", np.zeros(source.num_features, np.int64)
    num_good = num_incomplete = 0
    for block in source.blocks():
        good = block.part(_has_values(block.values) if takes_gaps else np.isfinite(block.values).all(axis=1))
        chosen.update(good)
        num_rows, num_good = num_rows + len(block.values), num_good + len(good.values)
        gaps += num_gaps(good.values)
        num_incomplete += int(np.isnan(good.values).any(axis=1).sum())
        total += 0.0 if good.weights is None else good.weights.sum()
    if num_good == 0:
        lacking = "with a value and without an infinite one" if takes_gaps else "finite"
        fix = "Give rows with finite numbers."
        raise ValueError(
            f"`{source.name}` must have rows of numbers. Received: {num_rows} rows, none of them {lacking}. {fix}"
        )
    sample = chosen.block(total)
    weights = sample.weights
    if weights is not None and len(weights) < num_good:
        weights = weights * (len(weights) / weights.sum())
    found = tuple(gaps.tolist()) if takes_gaps else ()
    return Sample(sample.values, num_rows, num_rows - num_good, found, weights, num_incomplete)


def _has_values(values: np.ndarray) -> np.ndarray:
    """Tells which rows, (B, D), have a value, and no infinite one."""
    is_bad: np.ndarray = np.isinf(values).any(axis=1) | np.isnan(values).all(axis=1)
    return ~is_bad
