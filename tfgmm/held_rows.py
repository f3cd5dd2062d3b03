"""Rows in memory and sums over them: the step that every row takes in every sweep, of a fit and of its restarts."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfgmm import bounds
from tfgmm.components import Statistics
from tfgmm.cores import shared_out, slices
from tfgmm.log_joints import ChunkProducts, exponentials, factors_of, write_features

Tensor = Any

# Bytes of features that are kept from sweep to sweep; of more they are worked out again, chunk by chunk. For one type
# of products and one set of rows: five folds that climb side by side may keep seven times as much.
_KEPT_BYTES = 2**24


class HeldRows:
    """Rows in memory that are summed over again and again.

    Args:
        components: a class of `tfgmm.components`.
        values: (n, D) float32, measured from the centre.
        num_data: N that they stand for: all sums are scaled to it. Default n.
    """

    def __init__(self, components: Any, values: np.ndarray, num_data: int | None = None) -> None:
        self.values = values
        self.num_data = len(values) if num_data is None else num_data
        self._components = components
        self._features: dict[Any, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.values)

    @functools.cached_property
    def num_columns(self) -> int:
        """D + P, the columns of features that the components make of a row."""
        num_features = self.values.shape[1]
        return num_features + bounds.num_products(self._components, num_features)

    def kept(self, is_kept: np.ndarray) -> HeldRows:
        """Returns the rows where `is_kept`, (n,) bool; they stand for themselves."""
        return HeldRows(self._components, self.values[is_kept])

    def sums(self, coefficients: Sequence[Tensor], dtype: type[np.floating]) -> bounds.RowSums:
        """Returns `sums_over_rows` scaled to N rows."""
        found = sums_over_rows(self._components, self.values, coefficients, dtype, self._kept_features(dtype))
        share = self.num_data / len(self.values)
        return bounds.RowSums(Statistics(*(share * value for value in found[0])), share * found[1], share * found[2])

    def _kept_features(self, dtype: type[np.floating]) -> np.ndarray | None:
        """Returns the features of all rows, (D + P + 1, n); None where they would take too much memory."""
        shape = (self.num_columns + 1, len(self.values))
        if math.prod(shape) * np.dtype(dtype).itemsize > _KEPT_BYTES:
            return None
        if dtype not in self._features:
            self._features[dtype] = np.empty(shape, dtype)
            write_features(self._components, self.values.T, self._features[dtype])
        return self._features[dtype]


def sums_over_rows(
    components: Any,
    rows: np.ndarray,
    coefficients: Sequence[Tensor],
    dtype: type[np.floating] = np.float64,
    features: np.ndarray | None = None,
) -> bounds.RowSums:
    """Returns the expected sufficient statistics of rows and the sums of logsumexp_k and of max_k of rho_ik, float64.

    Under R posteriors at a time, which share the features and one matrix product: all fields are (R, ...). The same
    sums as `bounds.sums_over_rows`, to rounding, in half of its time on a processor.

    Args:
        components: a class of `tfgmm.components`.
        rows: (n, D) float32, measured from the centre.
        coefficients: (R, D + P, K) and (R, K) float64, as `NaturalGradient.coefficients` gives them.
        dtype: of the products. np.float64 errs by 1e-3 nats at most for components down to 1e-6 of the range of the
            rows; np.float32 is twice as fast and errs by up to `components.float32_error`.
        features: (D + P + 1, n) of that type, of those who have them; see `write_features`.
    """
    factors, num_posteriors = factors_of(coefficients, dtype), coefficients[0].shape[0]

    def of_share(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        chunks = ChunkProducts(factors, stop - start)
        sums, totals = np.zeros(factors.shape), np.zeros((2, num_posteriors))
        with np.errstate(all="ignore"):  # a bound that is not finite is told by those who asked
            for part in slices(start, stop, chunks.size):
                of_part = chunks.features(components, rows[part].T) if features is None else features[:, part]
                joints, shares = chunks.log_joints(of_part)
                shape = (num_posteriors, -1, part.stop - part.start)
                totals += _normalise(joints.reshape(shape), shares.reshape(shape))
                np.copyto(joints, shares)  # the memberships, in the type of the products
                sums += joints @ of_part.T
        return sums, totals

    sums, totals = (np.sum(parts, axis=0) for parts in zip(*shared_out(of_share, len(rows), sum(factors.shape))))
    num_features, num_columns = rows.shape[1], factors.shape[1] - 1
    first, second, counts = np.split(sums.reshape(num_posteriors, -1, num_columns + 1), [num_features, num_columns], 2)
    return bounds.RowSums(Statistics(counts[..., 0], first, second), *totals)


def _normalise(log_joints: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sums over rows of logsumexp_k and of max_k, (R,), of log joints (R, K, B).

    Fills shares (R, K, B) with softmax_k.
    """
    largest, totals = exponentials(log_joints, shares)
    shares /= totals[:, None]
    largest = largest.astype(np.float64)
    return (largest + np.log(totals)).sum(axis=1), largest.sum(axis=1)
