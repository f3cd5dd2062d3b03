"""A fingerprint of rows: whether two trainings saw the same ones, in whatever order, blocks and file format."""

from __future__ import annotations

import numpy as np

_ROWS = 2**13  # at a time, so that temporaries stay in the cache
_STEP, _FIRST, _SECOND = (np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def sum_of_hashes(
    rows: np.ndarray, weights: np.ndarray | None = None, noise: np.ndarray | None = None, has_gaps: bool = False
) -> int:
    """Sums over rows a 64-bit number made from each row's values as float64, modulo 2^64.

    A sum does not depend on the order of rows, nor on the blocks they come in. Different rows have the same
    sum by accident with a chance of about one in 2^64; whoever wants to forge a sum could find rows that have it.

    Args:
        rows: (B, D) real numbers of any dtype. -0.0 counts as 0.0.
        weights: (B,) float64, positive: a row of a whole weight counts as that many rows; another weight is one more
            number of its row. None: each row counts once.
        noise: (B, D) or (B, D, D) float64: further numbers of each row; None: there are none.
        has_gaps: Whether there may be NaN among the rows, which all count as the same.

    Source: Each value is mixed into what the columns before it left, by the finaliser of SplitMix64 (Steele, Lea and
    Flood 2014, figure 19).

    Example:

    >>> rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> sum_of_hashes(rows) == sum_of_hashes(rows[::-1]) != sum_of_hashes(rows[:, ::-1])
    True
    """
    total = 0
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        columns = np.ascontiguousarray(rows[part].T, np.float64) + 0.0
        if has_gaps:
            columns[np.isnan(columns)] = np.nan
        hashes = _hashes(columns, np.zeros(columns.shape[1], np.uint64))
        if noise is not None:
            hashes = _hashes(noise[part].reshape(len(hashes), -1).T + 0.0, hashes)
        if weights is not None:
            hashes = _weighted(hashes, weights[part])
        total += int(hashes.sum())
    return total % 2**64


def _hashes(columns: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Mixes further columns, (D, n) float64, into the hashes of rows, (n,)."""
    for column in np.ascontiguousarray(columns).view(np.uint64):
        hashes = _mixed((hashes ^ column) + _STEP)
    return hashes


def _weighted(hashes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Multiplies hashes, (n,), by weights that are whole, and mixes the other weights in."""
    is_whole = (weights == np.floor(weights)) & (weights < 2.0**53)
    times = np.where(is_whole, weights, 1.0).astype(np.uint64)
    return np.where(is_whole, hashes, _hashes(weights[None], hashes)) * times


def _mixed(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
