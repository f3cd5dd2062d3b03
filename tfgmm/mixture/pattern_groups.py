"""Rows of correlated columns in groups that show the same: one pattern of gaps, one measurement noise, or both.

The rows of a group take one matrix product each way, as complete rows do, with coefficients of their own in which what
is not seen is integrated out. The sums of a group are then mapped, once, to those of the complete true values z behind
its rows: given row x and component k, z is normal with mean A x + c and covariance C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.mixture.exact_rows import KeptFeatures
from tfgmm.mixture.features import matrices_of_products, pairs, write_products
from tfgmm.mixture.log_joints import factors_of
from tfgmm.mixture.row_sums import (
    Consumer,
    GroupedRows,
    log_likelihoods_over_groups,
    mapped_over_groups,
    statistics_of,
    sums_over_groups,
)
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.mixture.true_values import Patterns, TrueValues, behind_gaps, behind_noise, covariances_of

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

_GROUP_NUMBERS = 2**20  # numbers in the matrices of the groups that are worked on together


class PatternGroups:
    """Rows of correlated columns, sorted by group.

    Args:
        block: (n, D) float32 values, measured from the centre, group after group; NaN where a row has none; with
            weights or without. Noise, where the block has it, is the same for all rows of a group.
        counts: (G,) number of rows of each group.
        keeps_features: Whether the features of rows are kept from pass to pass, where they are few.
    """

    def __init__(self, block: RowBlock, counts: np.ndarray, keeps_features: bool) -> None:
        self._ends, self._weights = tuple(np.cumsum(counts).tolist()), block.weights
        values, _, noise = block.part(np.array([0, *self._ends[:-1]]))
        noise = None if noise is None or not noise.any() else covariances_of(noise)
        self._patterns = Patterns((~np.isnan(values)).astype(np.float64), noise)
        self._values = np.nan_to_num(block.values)
        self._kept = KeptFeatures(write_products, self._values, keeps_features)

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums statistics and log likelihoods; see `RowGroups.sums`. Products are in float64, whatever the dtype is.

        The bound on the errors of float32 does not hold for the coefficients of a pattern.
        """
        del dtype
        num_features, moments = self._values.shape[1], []
        totals = np.zeros((2, coefficients[0].shape[0]))
        kept = self._kept.of(np.float64, coefficients[0].shape[1])
        for rows, values, factors, part in self._batches(coefficients):
            features = None if kept is None else kept[:, part]
            sums, more = sums_over_groups(rows, factors, coefficients[0].shape[0], features)
            counts, first, second = statistics_of(sums, num_features)
            moved = values.moments(counts, first, matrices_of_products(second, num_features))
            moments.append([value.sum(axis=0) for value in (counts, *moved)])
            totals += more
        counts, first, second = (sum(values[1:], values[0]) for values in zip(*moments))
        return RowSums(Statistics(counts, first, second[..., *pairs(num_features)]), *totals)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints, (2, R)."""
        batches = self._batches(coefficients)
        found = [log_likelihoods_over_groups(rows, factors, len(coefficients[1])) for rows, _, factors, _ in batches]
        return sum(found[1:], found[0])

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]:
        """Yields what a function makes of log joints; see `RowGroups.mapped`."""
        for rows, _, factors, part in self._batches(coefficients):
            yield from mapped_over_groups(rows, factors, function, part.start)

    def _batches(
        self, coefficients: Sequence[np.ndarray]
    ) -> Iterator[tuple[GroupedRows, TrueValues, np.ndarray, slice]]:
        """Yields rows of some groups, their true values, factors (G, R K, F + 1) and where the rows are."""
        num_columns, last = self._values.shape[1], 0
        with np.errstate(all="ignore"):  # the caller says that a bound is not finite
            integrated = behind_gaps if self._patterns.noise is None else behind_noise
            of_patterns = integrated(coefficients, num_columns)
            size = max(1, _GROUP_NUMBERS // (coefficients[1].size * num_columns**2))
            for start in range(0, len(self._ends), size):
                chosen, first = slice(start, start + size), last
                ends = self._ends[chosen]
                last = ends[-1]
                part = slice(first, last)
                weights = None if self._weights is None else self._weights[part]
                shifted = tuple(end - first for end in ends)
                rows = GroupedRows(write_products, self._values[part], weights, shifted)
                of_groups, values = of_patterns(self._patterns.part(chosen))
                factors = np.stack([factors_of(of_one) for of_one in zip(*of_groups)])
                yield rows, values, factors, part
