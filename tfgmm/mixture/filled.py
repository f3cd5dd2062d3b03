"""Rows without gaps, for those who need a place for each row: starts, and pictures of them. Fits fill nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfgmm.common.remembered import Remembered
from tfgmm.common.threads import one_thread_each

# Rows that give their values, for each column
_MOST_DONORS = 1_000
# Distances are computed for so many pairs of rows at a time: 1 MiB of float64
_PAIRS_AT_A_TIME = 2**17
# Spreads: values beyond count as so far away, so that squares lose no digits
_FARTHEST = 100.0
# Squared spreads between two rows in a column that one of them lacks: what two independent values differ by, on average
_UNKNOWN = 2.0
# Squared spreads that decide between rows that are equally near: other ones for each row with a gap
_TIES = 1e-6


def with_gaps_filled(rows: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Fills each gap with the value of the row nearest to it among those that have one there; rows without gaps stay.

    A row is taken over, and no mean of several, so that what is filled in varies as much as what is not. The same rows
    are always filled alike, and only the first time takes long: what fills them is kept.

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
    complete = rows.copy()
    complete[is_gap] = _lent(rows, spread)
    return complete


def _computed_values(rows: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Finds what fills the gaps of rows, row by row: one number for each gap."""
    is_gap = np.isnan(rows)
    complete = np.where(is_gap, 0.0, rows)
    scaled, generator = np.clip(complete / spread, -_FARTHEST, _FARTHEST), np.random.default_rng(0)
    # A second thread waits ten times longer than it computes, and would round otherwise
    with one_thread_each():
        for column in np.flatnonzero(is_gap.any(axis=0)):
            donors = _donors(~is_gap[:, column], generator)
            if not len(donors):
                continue
            ties, places = _ties(len(donors), generator), _places(scaled[donors], ~is_gap[donors])
            gaps = np.flatnonzero(is_gap[:, column])
            for some in _parts(gaps, len(donors)):
                distances = _distances(scaled[some], ~is_gap[some], places)
                distances += ties[generator.integers(len(donors), size=len(some))]
                complete[some, column] = rows[donors[distances.argmin(axis=1)], column]
    return complete[is_gap]


# Every number of components and every fold of a choice asks again for the same rows
_lent = Remembered(_computed_values, most=16)


def _donors(has_value: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Chooses rows that have a value, some of many."""
    donors = np.flatnonzero(has_value)
    return donors if len(donors) <= _MOST_DONORS else np.sort(generator.choice(donors, _MOST_DONORS, replace=False))


def _parts(gaps: np.ndarray, num_donors: int) -> Iterator[np.ndarray]:
    """Cuts the rows with a gap into parts whose distances stay in the cache."""
    size = max(1, _PAIRS_AT_A_TIME // num_donors)
    return (gaps[start : start + size] for start in range(0, len(gaps), size))


def _places(donors: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Writes donors (n, D) as the factors (3 D, n) of what a row makes of itself in `_distances`.

    What a donor lacks is as far away as two independent values are: few columns in common are not near.
    """
    known = is_known.astype(np.float64)
    return np.concatenate([known, np.square(donors) - _UNKNOWN * known, -2.0 * donors], axis=1).T


def _distances(rows: np.ndarray, is_known: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Computes squared distances (B, n) between rows with gaps, which hold 0 there, and donors, in one product.

    A number that is the same for all donors of a row is left out: what the row lacks is as far from each.
    """
    return np.concatenate([np.square(rows), is_known.astype(np.float64), rows], axis=1) @ places


def _ties(num_donors: int, generator: np.random.Generator) -> np.ndarray:
    """Draws tiny numbers in n orders, (n, n), so that rows with equally near donors do not all take one's value."""
    numbers = np.tile(_TIES * generator.random(num_donors), 2)
    return np.lib.stride_tricks.sliding_window_view(numbers, num_donors)[:num_donors]
