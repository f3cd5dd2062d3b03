"""A fingerprint of rows: whether two trainings saw the same ones, in whatever order, blocks and file format."""

from __future__ import annotations

import numpy as np

_ROWS = 2**13  # at a time, so that temporaries stay in the cache
_STEP, _FIRST, _SECOND = (np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def sum_of_hashes(rows: np.ndarray) -> int:
    """Returns the sum over rows of a 64-bit number made from each row's values as float64, modulo 2^64.

    A sum does not depend on the order of rows, nor on the blocks they come in; a changed digit changes it, but for one
    chance in 2^64. It tells accidents apart, not forgeries.

    Args:
        rows: (B, D) real numbers of any dtype. -0.0 counts as 0.0.

    Source: the finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 19).

    Example:

    >>> rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> sum_of_hashes(rows) == sum_of_hashes(rows[::-1]) != sum_of_hashes(rows[:, ::-1])
    True
    """
    places = _mixed(np.arange(1, rows.shape[1] + 1, dtype=np.uint64) * _STEP) | np.uint64(1)
    total = 0
    for start in range(0, len(rows), _ROWS):
        values = np.ascontiguousarray(rows[start : start + _ROWS], np.float64) + 0.0
        total += int(_mixed(values.view(np.uint64) @ places).sum())
    return total % 2**64


def _mixed(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
