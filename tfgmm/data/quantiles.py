"""Quantiles of columns whose rows have weights and gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def column_quantiles(values: np.ndarray, weights: np.ndarray | None, levels: Sequence[float]) -> np.ndarray:
    """Computes quantiles of every column over the rows that have a value, as NumPy does of repeated rows.

    A row of weight 2 is the row twice; quantiles between two rows are interpolated. With weights that are not whole,
    the distance between neighbours is that of the smallest weight, or 1 where all are larger: so all weights 1/2
    give what no weights give.

    Args:
        values: (n, D) float64, NaN for a gap.
        weights: (n,) positive, or None: each row counts once.
        levels: L numbers from 0 to 1.

    Returns:
        (L, D) float64; NaN for a column without a value.

    Example:

    >>> column_quantiles(np.array([[1.0], [5.0]]), np.array([3.0, 1.0]), [0.5, 1.0]).tolist()
    [[1.0], [5.0]]
    """
    is_gap = np.isnan(values)
    if weights is None and not is_gap.any():
        return np.quantile(values, levels, axis=0)
    columns = zip(values.T, ~is_gap.T, strict=True)
    per_column = [
        _of_column(column[seen], None if weights is None else weights[seen], levels) for column, seen in columns
    ]
    return np.stack(per_column, axis=1)


def quantile_of(values: np.ndarray, level: float) -> float:
    """Computes a quantile of finite numbers to the last bit as `np.quantile` does, in a tenth of its time for few.

    Args:
        values: (n,) float64.
        level: A number from 0 to 1.

    Example:

    >>> quantile_of(np.array([4.0, 1.0, 2.0]), 0.75)
    3.0
    """
    place = level * (len(values) - 1)
    row = min(int(place), len(values) - 1)
    following = min(row + 1, len(values) - 1)
    parted = np.partition(values, [row, following])
    low, high, share = float(parted[row]), float(parted[following]), place - row
    if share >= 0.5:
        return high - (high - low) * (1.0 - share)
    return low + (high - low) * share


def _of_column(values: np.ndarray, weights: np.ndarray | None, levels: Sequence[float]) -> np.ndarray:
    if not len(values):
        return np.full(len(levels), np.nan)
    if weights is None:
        return np.quantile(values, levels)
    order = np.argsort(values)
    values, ends = values[order], np.cumsum(weights[order])
    unit = min(1.0, float(weights.min()))
    places = np.asarray(levels) * (ends[-1] - unit)
    row = np.minimum(np.searchsorted(ends, places, "right"), len(ends) - 1)
    # Copies of a row lie side by side from where it starts to one unit before it ends
    shares = np.clip(places - (ends[row] - unit), 0.0, unit) / unit
    following = np.where(shares > 0.0, np.minimum(row + 1, len(ends) - 1), row)
    with np.errstate(over="ignore"):
        return np.asarray(values[row] + shares * (values[following] - values[row]))
