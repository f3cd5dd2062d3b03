"""Rows that stand for weighted ones: each as often as its weight says."""

from __future__ import annotations

import math

import numpy as np

from tfgmm.data.summary import DataSummary

# Beyond this, float64 has gaps between whole numbers
_LARGEST_WHOLE = 2.0**53
# Copies that are dealt one by one; of more, only how many of each row go where
_MOST_DEALT = 2**20


def are_whole(weights: np.ndarray) -> bool:
    """Tells whether weights are counts of rows: whole numbers, which float64 adds exactly.

    Example:

    >>> are_whole(np.array([1.0, 3.0])), are_whole(np.array([1.0, 0.5]))
    (True, False)
    """
    return bool((weights == np.floor(weights)).all() and weights.sum() < _LARGEST_WHOLE)


def are_few(counts: np.ndarray) -> bool:
    """Tells whether copies of rows, (n,) counts, are few enough to be dealt one by one.

    Example:

    >>> are_few(np.array([3, 1])), are_few(np.array([3, 10**9]))
    (True, False)
    """
    return bool(counts.sum() <= _MOST_DEALT)


def copies(weights: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Chooses rows that stand for weighted ones when each of them counts once.

    A row whose weight is a whole number w is w rows: what is chosen here is what the same seed chooses among rows that
    are repeated w times, in the same order. Other weights are shares: rows are drawn in proportion to them, at equal
    steps of their sum, as many as there are rows or as their sum says.

    Args:
        weights: (n,) float64, positive.
        most: Largest number of rows to choose.
        seed: Seed of the choice.

    Returns:
        (m,) int64 numbers of rows, m <= most; ascending unless there are more whole copies than `most`.

    Source of the equal steps: systematic sampling, Madow and Madow 1944.

    Example:

    >>> copies(np.array([1.0, 3.0, 2.0]), 10, seed=0).tolist()
    [0, 1, 1, 1, 2, 2]
    """
    generator, ends, total = np.random.default_rng(seed), np.cumsum(weights), float(weights.sum())
    if not are_whole(weights):
        number = min(most, max(len(weights), math.ceil(total)))
        places = (generator.random() + np.arange(number)) / number * ends[-1]
        return np.minimum(np.searchsorted(ends, places, "right"), len(weights) - 1)
    if total <= most:
        return np.repeat(np.arange(len(weights)), weights.astype(np.int64))
    return np.searchsorted(ends, generator.choice(int(total), most, replace=False), "right")


def are_counts(weights: np.ndarray, summary: DataSummary) -> bool:
    """Tells whether the weights of all rows are counts, from those of some of them.

    Rows of a sample stand for others too, so that their weights are no longer whole; the sum of all then still is.

    Args:
        weights: (n,) weights of the rows of a sample.
        summary: Summary of all rows.
    """
    is_sample = len(weights) < summary.num_rows
    return are_whole(weights) or (is_sample and float(summary.num_data).is_integer())


def with_counts(
    sample: np.ndarray, weights: np.ndarray | None, summary: DataSummary
) -> tuple[np.ndarray, np.ndarray | None]:
    """Says how often each row counts for those who look at single values, in rows (m, D) and counts (m,).

    Rows whose weights are counts are as many rows. Of a sample, whose weights stand for other rows too, heavy ones are
    repeated, and each then counts once. Weights that are no counts repeat no value.

    Args:
        sample: (n, D) rows.
        weights: (n,) float64, positive; None: each row counts once.
        summary: Summary of all rows.

    Returns:
        The rows, and whole numbers as float64, or None where each counts once.
    """
    if weights is None or not are_counts(weights, summary):
        return sample, None
    if not are_whole(weights):
        return sample[copies(weights * (len(sample) / weights.sum()), len(sample), seed=0)], None
    return sample, weights if weights.max(initial=1.0) > 1.0 else None


def every_nth(rows: np.ndarray, counts: np.ndarray | None, most: int) -> np.ndarray:
    """Takes every n-th of the rows, each repeated as often as it counts, so that at least `most` of many are left.

    Args:
        rows: (n, ...) rows.
        counts: (n,) whole numbers; None: each counts once.
        most: Number of rows, of which there are fewer than twice as many unless there are fewer rows.

    Example:

    >>> every_nth(np.array([5.0, 6.0]), np.array([1.0, 5.0]), 3).tolist()
    [5.0, 6.0, 6.0]
    """
    if counts is None:
        return rows[:: max(1, len(rows) // most)]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return rows[np.searchsorted(ends, np.arange(0, total, max(1, total // most)), "right")]
