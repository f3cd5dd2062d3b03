"""Rows of correlated columns in groups that show the same: one pattern of gaps, one measurement noise, or both.

The rows of a group take one matrix product each way, as complete rows do, with coefficients of their own in which what
is not seen is integrated out. The sums of a group are then mapped, once, to those of the complete true values z behind
its rows: given row x and component k, z is normal with mean A x + c and covariance C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfgmm.mixture.exact_rows import KeptFeatures
from tfgmm.mixture.features import matrices_of_products, pair_coefficients, pairs, write_products
from tfgmm.mixture.integrands import LOG_TWO_PI, correlated_integrands_of, precisions_of
from tfgmm.mixture.log_joints import factors_of
from tfgmm.mixture.row_sums import GroupedRows, log_likelihoods_over_groups, statistics_of, sums_over_groups
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.mixture.symmetric import inverses

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

_GROUP_NUMBERS = 2**20  # numbers in the matrices of the groups that are worked on together


class TrueValues(NamedTuple):
    """How the true values z behind rows follow from what is known of these, per component: mean A x + c, covariance C.

    gains: A, (..., D, D). offsets: c, (..., D). spreads: C, (..., D, D).
    """

    gains: np.ndarray
    offsets: np.ndarray
    spreads: np.ndarray

    def moments(self, counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turns sums over rows (...), (..., D) and (..., D, D) into those of z and of z z'."""
        gains, offsets, spreads = self
        moved = (gains @ first[..., None])[..., 0]
        total = moved + counts[..., None] * offsets
        cross = moved[..., :, None] * offsets[..., None, :]
        squares = gains @ second @ gains.swapaxes(-1, -2) + cross + cross.swapaxes(-1, -2)
        squares += counts[..., None, None] * (offsets[..., :, None] * offsets[..., None, :] + spreads)
        return total, squares


class _Patterns(NamedTuple):
    """What G groups show: 1 where a row has a value, (G, D), and covariances of the noise, (G, D, D), None for none."""

    observed: np.ndarray
    noise: np.ndarray | None

    def part(self, chosen: slice) -> _Patterns:
        """Takes some of the groups."""
        return _Patterns(self.observed[chosen], None if self.noise is None else self.noise[chosen])


def covariances_of(noise: np.ndarray) -> np.ndarray:
    """Makes covariances (n, D, D) of standard deviations (n, D); covariances stay."""
    return noise if noise.ndim == 3 else np.square(noise)[..., None] * np.eye(noise.shape[1])


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
        self._patterns = _Patterns((~np.isnan(values)).astype(np.float64), noise)
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

    def _batches(
        self, coefficients: Sequence[np.ndarray]
    ) -> Iterator[tuple[GroupedRows, TrueValues, np.ndarray, slice]]:
        """Yields rows of some groups, their true values, factors (G, R K, F + 1) and where the rows are."""
        num_columns, last = self._values.shape[1], 0
        with np.errstate(all="ignore"):  # the caller says that a bound is not finite
            integrated = _gaps if self._patterns.noise is None else _noise
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


# Patterns of G groups -> their coefficients, (G, R, F, K) and (G, R, K), and the true values behind their rows
_OfPatterns = Callable[[_Patterns], tuple[tuple[np.ndarray, np.ndarray], TrueValues]]


def _gaps(coefficients: Sequence[np.ndarray], num_columns: int) -> _OfPatterns:
    """Makes the function that integrates gaps out: Bishop 2006, 2.3.1, in the precisions, which need no inverse."""
    precisions = precisions_of(coefficients[0], num_columns)
    linear, constants = coefficients[0][:, :num_columns].swapaxes(1, 2), coefficients[1]

    def of_patterns(patterns: _Patterns) -> tuple[tuple[np.ndarray, np.ndarray], TrueValues]:
        observed = patterns.observed[:, None, None]  # (G, 1, 1, D)
        hidden = 1.0 - observed
        # The hidden columns of the precisions, and 1 on the diagonal of the others
        spreads, log_determinants = _inverted_within(precisions, hidden)
        gains = _diagonal(observed) - spreads @ precisions * observed[..., None, :]
        offsets = (spreads @ linear[..., None])[..., 0]
        gone = hidden.sum(axis=-1) * LOG_TWO_PI - log_determinants + (linear * offsets).sum(axis=-1)
        moved = (gains.swapaxes(-1, -2) @ linear[..., None])[..., 0]
        of_groups = _coefficients(observed[..., None] * (precisions @ gains), moved, constants + 0.5 * gone)
        return of_groups, TrueValues(gains, offsets, spreads)

    return of_patterns


def _noise(coefficients: Sequence[np.ndarray], num_columns: int) -> _OfPatterns:
    """Makes the function that integrates true values out, behind noise and in gaps: Bovy, Hogg and Roweis 2011."""
    log_shares, locs, covariances, *_ = correlated_integrands_of(coefficients, num_columns)

    def of_patterns(patterns: _Patterns) -> tuple[tuple[np.ndarray, np.ndarray], TrueValues]:
        observed, noise = patterns.observed[:, None, None], np.asarray(patterns.noise)[:, None, None]
        precisions, log_determinants = _inverted_within(covariances + noise, observed)
        gains = covariances @ precisions
        offsets = locs - (gains @ locs[..., None])[..., 0]
        linear = (precisions @ locs[..., None])[..., 0]
        gone = observed.sum(axis=-1) * LOG_TWO_PI + log_determinants + (linear * locs).sum(axis=-1)
        of_groups = _coefficients(precisions, linear, log_shares - 0.5 * gone)
        return of_groups, TrueValues(gains, offsets, covariances - gains @ covariances)

    return of_patterns


def _inverted_within(matrices: np.ndarray, is_in: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverts the rows and columns that are in, (G, 1, 1, D) of 0 and 1, of matrices; all others become 0.

    Returns (G, R, K, D, D) and the log determinants, (G, R, K).
    """
    both = matrices * (is_in[..., :, None] * is_in[..., None, :]) + _diagonal(1.0 - is_in)
    found, log_determinants = inverses(np.ascontiguousarray(np.moveaxis(both, 0, -1)))
    found = np.ascontiguousarray(np.moveaxis(found, -1, 0))
    return found * is_in[..., None, :] * is_in[..., None], np.moveaxis(log_determinants, -1, 0)


def _diagonal(values: np.ndarray) -> np.ndarray:
    return values[..., None] * np.eye(values.shape[-1])


def _coefficients(precisions: np.ndarray, linear: np.ndarray, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Writes precisions (G, R, K, D, D), linear terms (G, R, K, D) and constants as coefficients of features."""
    num_columns = linear.shape[-1]
    precisions = 0.5 * (precisions + precisions.swapaxes(-1, -2))
    times = pair_coefficients(num_columns)
    quadratic = -0.5 * times * precisions[..., *pairs(num_columns)]
    return np.concatenate([linear, quadratic], axis=-1).swapaxes(-1, -2), constants
