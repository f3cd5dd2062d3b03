"""Mean, spread and range of every column in one pass, and the same rows centred: what training needs to know.

The mean is subtracted in float64 before anything becomes float32: at an offset of 1e8 float32 holds multiples of 8
only, and everything that tells the rows apart would be lost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tfgmm.common.shapes import check_shape
from tfgmm.data.accumulator import SummaryAccumulator as SummaryAccumulator
from tfgmm.data.blocks import RowBlock, pieces
from tfgmm.data.errors import check_no_overflow
from tfgmm.data.record import DataSummary as DataSummary
from tfgmm.data.rows import Rows
from tfgmm.data.sampling import SAMPLE_ROWS, RowSample

if TYPE_CHECKING:
    from tfgmm.data.row_source import RowSource


def summarise(
    rows: Rows | np.ndarray | Iterable[np.ndarray],
    *,
    name: str | None = None,
    sample: np.ndarray | RowBlock | None = None,
    weights: np.ndarray | None = None,
) -> DataSummary:
    """Computes the number of rows and the mean, standard deviation and range of each column, in one pass by blocks.

    Args:
        rows: `Rows`, with all that they carry, an (N, D) array, or (B, D) blocks one after the other (a finite number
            of them).
        name: What the caller's argument is called in error messages. Default: the name of `Rows`, or x.
        sample: (n, D) float64, some of the rows, or these with their weights, whose quartiles give `centre` and
            `spread`. Default: up to 20,000 rows of an array; for blocks none, and `centre` and `spread` are the mean
            and the standard deviation.
        weights: (N,) positive, how often each row of an array counts. Default: those of `Rows`, or each counts once.

    Returns:
        DataSummary, computed in float64; the same for every memory layout of the same numbers.

    Raises:
        ValueError: Values are NaN or infinite (the message says how many, and where the first is); there are no rows;
            blocks differ in their columns; a spread is beyond float64; `Rows` that may have gaps have none but gaps in
            a column.

    Example:

    >>> summary = summarise(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> summary.mean, summary.scale
    ((2.0, 5.0), (1.0, 1.0))
    >>> summarise(np.array([[1.0], [4.0]]), weights=np.array([2.0, 1.0])).mean
    (2.0,)
    """
    values, names, words = _parts_of(rows, name)
    source = _as_rows(rows, values, names, words, weights) if isinstance(values, np.ndarray) else None
    missing = "refuse" if source is None else source.missing
    accumulator = SummaryAccumulator(name=words, column_names=names, missing=missing)
    blocks: Iterator[RowBlock] = map(RowBlock, values) if source is None else source.blocks()
    chosen = RowSample(SAMPLE_ROWS, seed=0) if sample is None and source is not None else None
    for block in blocks:
        accumulator.update(block, later=(block.values for block in blocks))
        if chosen is not None:
            chosen.update(block)
    summary = accumulator.result(sample if chosen is None else chosen.block(accumulator.num_data))
    return summary if source is None else with_facts_of(summary, source)


def _as_rows(
    rows: Any, values: np.ndarray, names: tuple[str, ...] | None, words: str, weights: np.ndarray | None
) -> Rows:
    """Puts an array, or `Rows` with other weights, into `Rows`."""
    check_shape(words, values, "BD", fix="Every block must have the same columns.")
    if not isinstance(rows, Rows):
        rows = Rows(values, names, words)
    if weights is None:
        return rows
    check_shape("weights", np.asarray(weights), "N", N=len(values), fix="Pass one weight per row.")
    return dataclasses.replace(rows, weights=np.asarray(weights, np.float64))


def with_facts_of(summary: DataSummary, source: RowSource) -> DataSummary:
    """Adds to a summary what a source says of its weights, its noise and the rows that it left out."""
    if source.missing == "refuse" and not (source.has_weights or source.noise_axes):
        return summary
    return dataclasses.replace(
        summary,
        num_empty=source.num_empty,
        num_weightless=source.num_weightless,
        weights_name=source.weights_name,
        noise_columns=source.noise_columns,
    )


def _parts_of(rows: Any, name: str | None) -> tuple[Any, tuple[str, ...] | None, str]:
    """Splits rows that may be `Rows` into values, names of columns, and the name in error messages."""
    return (rows.values, rows.column_names, name or rows.name) if isinstance(rows, Rows) else (rows, None, name or "x")


def centre(
    rows: Rows | np.ndarray, centre: ArrayLike, dtype: DTypeLike = np.float32, *, name: str | None = None
) -> np.ndarray:
    """Computes the rows minus a centre, subtracted in float64 and only then rounded to `dtype`.

    Args:
        rows: (N, D) real numbers of any dtype, in the data's units. NaN and infinite values stay what they are.
        centre: (D,) float64, in the data's units; usually `DataSummary.mean`.
        dtype: Dtype of the result, float32 or float64.
        name: What the caller's argument is called in error messages. Default: the name of `Rows`, or x.

    Returns:
        (N, D) array of `dtype`, C-contiguous, new, in the data's units. No float64 copy of all rows is made.

    Raises:
        ValueError: `centre` does not have one entry per column, or a finite value is beyond `dtype` once centred.

    Example:

    >>> centre(np.array([[100000001.0], [100000002.5]]), [1e8])
    array([[1. ],
           [2.5]], dtype=float32)
    """
    values, names, words = _parts_of(rows, name)
    middle = np.asarray(centre, dtype=np.float64)
    check_shape(words, values, "ND")
    check_shape("centre", middle, "D", D=values.shape[1], fix="Give one number per column.")
    centred = np.empty(values.shape, dtype=dtype)
    start = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in pieces(values, middle):
            part = centred[start : start + len(piece)]
            part[...] = piece
            if not np.isfinite(part).all():
                check_no_overflow(words, names, values[start : start + len(piece)], part, start)
            start += len(piece)
    return centred
