"""Rows without gaps, for those who need a place for each row: starts, and pictures of them. Fits fill nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Rows that give their values, for each column
_MOST_DONORS = 2_000
# Distances are computed for so many pairs of rows at a time: 32 MiB of float64
_PAIRS_AT_A_TIME = 2**22
# Spreads: values beyond count as so far away, so that squares lose no digits
_FARTHEST = 100.0
# Squared spreads between two rows in a column that one of them lacks: what two independent values differ by, on average
_UNKNOWN = 2.0
# Squared spreads that decide between rows that are equally near: other ones for each row with a gap
_TIES = 1e-6


def with_gaps_filled(rows: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Fills each gap with the value of the row nearest to it among those that have one there; rows without gaps stay.

    A row is taken over, and no mean of several, so that what is filled in varies as much as what is not. The same rows
    are always filled alike.

    Args:
        rows: (n, D) float64, measured from the centre; NaN where a row has no value.
        spread: (D,) widths that count as equal.

    Returns:
        (n, D) float64; the rows themselves where there is no gap. A column without any value is at its centre.

    Source: hot deck imputation, Andridge and Little 2010.

    Example:

    >>> rows = np.array([[0.0, 5.0], [9.0, -5.0], [8.9, np.nan]])
    >>> with_gaps_filled(rows, np.ones(2)).tolist()
    [[0.0, 5.0], [9.0, -5.0], [8.9, -5.0]]
    """
    is_gap = np.isnan(rows)
    if not is_gap.any():
        return rows
    scaled = np.clip(np.where(is_gap, 0.0, rows) / spread, -_FARTHEST, _FARTHEST)
    complete, generator = np.where(is_gap, 0.0, rows), np.random.default_rng(0)
    for column in np.flatnonzero(is_gap.any(axis=0)):
        donors = _donors(~is_gap[:, column], generator)
        if not len(donors):
            continue
        gaps = np.flatnonzero(is_gap[:, column])
        for some in _parts(gaps, len(donors)):
            distances = _distances(scaled[some], ~is_gap[some], scaled[donors], ~is_gap[donors])
            nearest = (distances + _ties(len(some), len(donors), generator)).argmin(axis=1)
            complete[some, column] = rows[donors[nearest], column]
    return complete


def _donors(has_value: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Chooses rows that have a value, some of many."""
    donors = np.flatnonzero(has_value)
    return donors if len(donors) <= _MOST_DONORS else np.sort(generator.choice(donors, _MOST_DONORS, replace=False))


def _parts(gaps: np.ndarray, num_donors: int) -> Iterator[np.ndarray]:
    """Cuts the rows with a gap into parts whose distances fit into memory."""
    size = max(1, _PAIRS_AT_A_TIME // num_donors)
    return (gaps[start : start + size] for start in range(0, len(gaps), size))


def _distances(rows: np.ndarray, is_known: np.ndarray, donors: np.ndarray, donors_known: np.ndarray) -> np.ndarray:
    """Computes squared distances (B, n) between rows with gaps, which hold 0 there, and donors.

    What a donor lacks is as far away as two independent values are: few columns in common are not near. What a row
    lacks is as far from one donor as from another.
    """
    known, of_donors = is_known.astype(np.float64), donors_known.astype(np.float64)
    squares = np.square(rows) @ of_donors.T + known @ np.square(donors).T - 2.0 * rows @ donors.T
    return squares + _UNKNOWN * (known.sum(axis=1)[:, None] - known @ of_donors.T)


def _ties(num_rows: int, num_donors: int, generator: np.random.Generator) -> np.ndarray:
    """Draws tiny numbers (B, n), so that rows with equally near donors do not all take the same one's value."""
    numbers = np.tile(_TIES * generator.random(num_donors), 2)
    views = np.lib.stride_tricks.sliding_window_view(numbers, num_donors)
    return views[generator.integers(num_donors, size=num_rows)]
