"""Rows held in memory and sums over them by NumPy: what restarts climb on, with no graph to trace and run in."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm import bounds
from tfgmm.components import Statistics

Tensor = Any

# Bytes of features that are kept from sweep to sweep; of more they are worked out again, chunk by chunk. For one type
# of products and one set of rows: five folds that climb side by side may keep seven times as much.
_KEPT_BYTES = 2**24


class HeldRows:
    """Rows in memory, and the sums over them that sweeps need.

    The same sums as `bounds.sums_over_rows`, to rounding. A graph of those takes a tenth of a second before its first
    answer and half a millisecond with every one, in which NumPy has done a sweep of some thousand rows; over many rows
    it is faster.

    Args:
        components: a class of `tfgmm.components`.
        values: (n, D) float32, measured from the centre.
        num_data: N that they stand for: all sums are scaled to it. Default n.
    """

    def __init__(self, components: Any, values: np.ndarray, num_data: int | None = None) -> None:
        self.values = values
        self.num_data = len(values) if num_data is None else num_data
        self._components = components
        self._features: dict[Any, list[np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.values)

    @functools.cached_property
    def num_columns(self) -> int:
        """D + P, the columns of features that the components make of a row."""
        return sum(piece.shape[1] for piece in self._features_of(slice(0), np.float64))

    def kept(self, is_kept: np.ndarray) -> HeldRows:
        """Returns the rows where `is_kept`, (n,) bool; they stand for themselves."""
        return HeldRows(self._components, self.values[is_kept])

    def sums(self, coefficients: Sequence[Tensor], dtype: type[np.floating]) -> bounds.RowSums:
        """Returns the expected statistics of N rows and the sums of their log likelihoods, nats, float64.

        Under R posteriors at a time, which share the features and one matrix product: all fields are (R, ...).

        Args:
            coefficients: (R, D + P, K) and (R, K) float64, as `NaturalGradient.coefficients` gives them.
            dtype: of the products. np.float64 errs by 1e-3 nats at most for components down to 1e-6 of the range of the
                rows; np.float32 is twice as fast and errs by up to `components.float32_error`.
        """
        linear, constants = (np.asarray(value) for value in coefficients)
        num_posteriors, _, num_components = linear.shape
        linear = linear.swapaxes(1, 2).reshape(-1, self.num_columns)  # (R K, D + P)
        counts, sums = np.zeros(len(linear)), np.zeros(linear.shape)
        totals = np.zeros((2, num_posteriors))
        with np.errstate(all="ignore"):  # a bound that is not finite is told by those who asked
            linear, constants = linear.astype(dtype), constants.reshape(-1, 1).astype(dtype)
            for features in self._chunks(dtype, bounds.chunk_size(self.num_columns + len(linear))):
                ends = np.cumsum([piece.shape[1] for piece in features])
                parts = [slice(end - piece.shape[1], end) for end, piece in zip(ends, features)]
                joints = constants + linear[:, parts[0]] @ features[0].T
                for part, piece in zip(parts[1:], features[1:]):
                    joints += linear[:, part] @ piece.T
                log_likelihoods, largest, shares = _normalised(joints.reshape(num_posteriors, num_components, -1))
                shares = shares.reshape(joints.shape)
                counts += shares.sum(axis=1, dtype=np.float64)
                weights = shares.astype(dtype, copy=False)
                for part, piece in zip(parts, features):
                    sums[:, part] += weights @ piece
                totals += log_likelihoods, largest
        num_features, shape = self.values.shape[1], (num_posteriors, num_components)
        share = self.num_data / len(self.values)
        first, second = np.split(share * sums.reshape(*shape, self.num_columns), [num_features], axis=2)
        return bounds.RowSums(Statistics(share * counts.reshape(shape), first, second), *(share * totals))

    def _chunks(self, dtype: type[np.floating], size: int) -> Iterator[list[np.ndarray]]:
        """Yields the features of `size` rows at a time, in pieces (size, ...), D + P columns in all."""
        is_kept = len(self.values) * self.num_columns * np.dtype(dtype).itemsize <= _KEPT_BYTES
        if is_kept and dtype not in self._features:
            self._features[dtype] = self._features_of(slice(None), dtype)
        for start in range(0, len(self.values), size):
            rows = slice(start, start + size)
            yield [piece[rows] for piece in self._features[dtype]] if is_kept else self._features_of(rows, dtype)

    def _features_of(self, rows: slice, dtype: type[np.floating]) -> list[np.ndarray]:
        return self._components.features(self.values[rows].astype(dtype))


def _normalised(log_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the sums over rows of logsumexp_k and of max_k, (R,), and softmax_k (R, K, B) of log joints (R, K, B).

    The largest is subtracted before the rest becomes float32: what is lost is below 1e-7 nats.
    """
    largest = log_joints.max(axis=1)
    log_joints -= largest[:, None]
    shares = log_joints.astype(np.float32, copy=False)
    np.exp(shares, out=shares)
    totals = shares.sum(axis=1)
    shares /= totals[:, None]
    in_double = largest.astype(np.float64)
    return (in_double + np.log(totals)).sum(axis=1), in_double.sum(axis=1), shares
