"""What a pass over rows adds up: all that a step of training needs to know of them.

The statistics of different rows add up, so rows may be divided among threads, batches or machines in any way.
"""

from __future__ import annotations

from typing import NamedTuple

from tfgmm.common.shapes import Tensor


class Statistics(NamedTuple):
    """Expected sufficient statistics of rows, float64.

    counts: (K,) N_k = sum_i r_ik.
    first: (K, D) S1_k = sum_i r_ik x_i, rows measured from the centre.
    second: (K, P) S2_k = sum_i r_ik times the P products of columns of x_i; see `tfgmm.mixture.features`.
    """

    counts: Tensor
    first: Tensor
    second: Tensor


class RowSums(NamedTuple):
    """Everything that a pass over rows adds up, float64.

    statistics: Expected sufficient statistics.
    log_likelihood: Sum of logsumexp_k of the log joints, nats.
    largest: Sum of max_k of the log joints, nats: the log likelihood of the rows together with the most probable
        component of each.
    """

    statistics: Statistics
    log_likelihood: Tensor
    largest: Tensor


def scaled(statistics: Statistics, factor: float | Tensor) -> Statistics:
    """Scales statistics to those of `factor` times as many rows."""
    if isinstance(factor, float) and factor == 1.0:
        return statistics
    return Statistics(*(factor * value for value in statistics))


def added(one: Statistics | None, other: Statistics) -> Statistics:
    """Adds the statistics of two sets of rows; None stands for no rows."""
    return other if one is None else Statistics(*(a + b for a, b in zip(one, other)))
