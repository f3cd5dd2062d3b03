"""Rows that stand for weighted ones: each as often as its weight says."""

from __future__ import annotations

import math

import numpy as np

from tfgmm.data.sampling import SAMPLE_ROWS
from tfgmm.data.summary import DataSummary

# Beyond this, float64 has gaps between whole numbers
_LARGEST_WHOLE = 2.0**53
# Copies of weighted rows whose values are looked at one by one: at most so many, fewer where they have many columns
_MOST_COPIES, _MOST_VALUES = 200_000, 2**23
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


def with_copies(sample: np.ndarray, weights: np.ndarray | None, summary: DataSummary) -> np.ndarray:
    """Repeats rows whose weights are counts, (n, D) to (m, D), for those who look at single values.

    Whole weights with a sum of at most 20,000 (200,000 where there are at most 40 columns) give the repeated rows; a
    sample of more rows is as many, with heavy ones repeated. Weights that are no counts repeat no value: rows with such
    weights, and without any, stay as they are.

    Args:
        sample: (n, D) rows.
        weights: (n,) float64, positive; None: each row counts once.
        summary: Summary of all rows.
    """
    if weights is None or not are_counts(weights, summary):
        return sample
    if not are_whole(weights):
        return sample[copies(weights * (len(sample) / weights.sum()), len(sample), seed=0)]
    most = min(_MOST_COPIES, max(SAMPLE_ROWS, _MOST_VALUES // sample.shape[1]))
    return sample[copies(weights, most, seed=0)]
