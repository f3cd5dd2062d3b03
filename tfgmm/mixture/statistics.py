"""What a pass over rows adds up: all that a step of training needs to know of them.

The statistics of different rows add up, so rows may be divided among threads, batches or machines in any way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.features import columns_of_products


class Statistics(NamedTuple):
    """Expected sufficient statistics of rows, float64.

    counts: (K,) N_k = sum_i r_ik.
    first: (K, D) S1_k = sum_i r_ik x_i, rows measured from the centre.
    second: (K, P) S2_k = sum_i r_ik times the P products of columns of x_i; see `tfgmm.mixture.features`. Where columns
        are independent and G of them have gaps, (K, P + G): the last are sums of r_ik over rows with a value there.
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


def with_whole_masks(statistics: Statistics, num_masks: int) -> Statistics:
    """Adds to the statistics of complete rows what stands at G masks: every row has a value there."""
    if not num_masks:
        return statistics
    counts, first, second = (np.asarray(value) for value in statistics)
    observed = np.broadcast_to(counts[..., None], (*counts.shape, num_masks))
    return Statistics(counts, first, np.concatenate([second, observed], axis=-1))


def split_masks(statistics: Statistics, gap_columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Splits `second`: rows with a value in each column, (..., K, D), and the sums of products, (..., K, P).

    Args:
        statistics: Statistics of independent columns, or of correlated ones, which count all rows.
        gap_columns: The G columns whose rows with a value are counted by themselves.
    """
    counts, first, second = (np.asarray(value) for value in statistics)
    observed = np.repeat(counts[..., None], first.shape[-1], axis=-1)
    num_products = second.shape[-1] - len(gap_columns)
    if gap_columns:
        observed[..., list(gap_columns)] = second[..., num_products:]
    return observed, second[..., :num_products]


def with_more_masks(statistics: Statistics, gap_columns: Sequence[int], more_gap_columns: Sequence[int]) -> Statistics:
    """Makes room for columns in which later rows have gaps: the rows so far have a value there, all of them.

    Args:
        statistics: Statistics of independent columns.
        gap_columns: The columns whose rows with a value they count by themselves.
        more_gap_columns: These columns and others, whose rows they are to count.
    """
    observed, products = split_masks(statistics, gap_columns)
    return Statistics(*statistics[:2], np.concatenate([products, observed[..., list(more_gap_columns)]], axis=-1))


def shifted(first: np.ndarray, products: np.ndarray, observed: np.ndarray, step: np.ndarray) -> list[np.ndarray]:
    """Measures rows from a centre that is `step` lower than before: their sums as if they had been so measured.

    Args:
        first: (K, D) sums of the rows, from the centre before.
        products: (K, P) sums of their products.
        observed: (K, D) or (K, 1) rows with a value in each column.
        step: (D,) data units.

    Returns:
        `first` and `products`, from the new centre.
    """
    one, other = columns_of_products(products.shape[-1], len(step))
    observed = np.broadcast_to(observed, first.shape)
    squares = observed[:, one] * (step[one] * step[other])  # with gaps, products are squares: one for each column
    moved = products + first[:, one] * step[other] + first[:, other] * step[one] + squares
    return [first + observed * step, moved]
