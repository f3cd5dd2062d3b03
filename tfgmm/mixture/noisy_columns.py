"""Rows of independent columns with a standard deviation of its noise for each value: element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.threads import shared_out
from tfgmm.mixture.integrands import LOG_TWO_PI, Integrands, integrands_of
from tfgmm.mixture.log_joints import exponentials
from tfgmm.mixture.row_sums import Consumer, log_likelihoods_over_joints
from tfgmm.mixture.statistics import RowSums, Statistics

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


class _Terms(NamedTuple):
    """What the elements of a chunk need, M = R K components of all posteriors.

    constants: (M, 1), log joints of a complete row at the locations, but for the variances. locs, variances: (M, D, 1).
    without: (M, D), what is added where a row has no value.
    side: Columns whose variances are multiplied with each other before one logarithm is taken.
    """

    constants: np.ndarray
    locs: np.ndarray
    variances: np.ndarray
    without: np.ndarray
    side: int


class _Memory(NamedTuple):
    """Memory that a thread overwrites: two arrays (M, D, B), and log joints (M, B)."""

    gains: np.ndarray
    away: np.ndarray
    joints: np.ndarray


class _Chunk(NamedTuple):
    """A chunk of rows: values and variances of the noise (D, B) float64, masks (D, B) or None, weights (B,) or None."""

    values: np.ndarray
    noise: np.ndarray
    observed: np.ndarray | None
    weights: np.ndarray | None


class NoisyColumns:
    """Rows of independent columns, each value with noise of its own.

    With variance v of a component and s^2 of the noise, a value x has density Normal(x | m, v + s^2), and the true
    value behind it mean m + v u and variance v - v^2 / (v + s^2), u = (x - m) / (v + s^2).

    Args:
        block: (n, D) float32 values, measured from the centre, NaN where a row has none; noise (n, D); with weights or
            without.
        gap_columns: Columns that have masks in the coefficients; see `MaskedRows`.
    """

    def __init__(self, block: RowBlock, gap_columns: Sequence[int]) -> None:
        self._block, self._gap_columns = block, list(gap_columns)
        self._num_columns = block.values.shape[1]
        self._has_gaps = bool(np.isnan(block.values).any())
        self._most_noise = float(np.max(np.asarray(block.noise))) ** 2

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums statistics and log likelihoods; see `RowGroups.sums`. All is in float64, whatever the dtype is."""
        del dtype
        integrands = self._integrands(coefficients)
        num_posteriors, num_components = integrands.log_shares.shape
        terms, num_columns = self._terms(integrands), self._num_columns

        def of_share(memory: _Memory, parts: Sequence[slice]) -> tuple[np.ndarray, np.ndarray]:
            sums, totals = (
                np.zeros((num_posteriors * num_components, 3 * num_columns + 1)),
                np.zeros((2, num_posteriors)),
            )
            with np.errstate(all="ignore"):
                for chunk in map(self._chunk, parts):
                    gains, scaled, joints = _log_joints(terms, chunk, memory)
                    totals += _memberships(joints, num_posteriors, chunk.weights)
                    sums += _sums(gains, scaled, joints, chunk.observed)
            return sums, totals

        sums, totals = np.zeros((num_posteriors * num_components, 3 * num_columns + 1)), np.zeros((2, num_posteriors))
        for more_sums, more_totals in self._shared(of_share, len(sums)):
            sums, totals = sums + more_sums, totals + more_totals
        return RowSums(self._statistics(sums.reshape(num_posteriors, num_components, -1), integrands), *totals)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints, (2, R)."""
        return log_likelihoods_over_joints(self.mapped, coefficients, self._block.weights)

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]:
        """Yields what a function makes of log joints; see `RowGroups.mapped`."""
        terms = self._terms(self._integrands(coefficients))

        def of_share(memory: _Memory, parts: Sequence[slice]) -> list[Any]:
            with np.errstate(all="ignore"):
                return [function(part, _log_joints(terms, self._chunk(part), memory)[2]) for part in parts]

        for found in self._shared(of_share, len(terms.constants)):
            yield from found

    def _integrands(self, coefficients: Sequence[np.ndarray]) -> Integrands:
        with np.errstate(all="ignore"):  # the caller says that a bound is not finite
            return integrands_of(coefficients, self._num_columns, self._gap_columns)

    def _terms(self, integrands: Integrands) -> _Terms:
        variances = integrands.covariances.reshape(-1, self._num_columns)
        constants = integrands.log_shares.reshape(-1, 1) - 0.5 * self._num_columns * LOG_TWO_PI
        # Where a row has no value, the density of the column is taken back, which is 1 / sqrt(2 pi v) there
        without = 0.5 * (LOG_TWO_PI + np.log(variances))
        if integrands.without is not None:
            without += integrands.without.reshape(variances.shape)
        locs = integrands.locs.reshape(*variances.shape, 1)
        return _Terms(constants, locs, variances[..., None], without, _side(variances, self._most_noise))

    def _shared(self, of_share: Callable[[_Memory, Sequence[slice]], Any], num_joints: int) -> Iterator[Any]:
        def memory(num_rows: int) -> _Memory:
            size = num_joints, self._num_columns, num_rows
            return _Memory(np.empty(size), np.empty(size), np.empty((num_joints, num_rows)))

        return shared_out(of_share, len(self._block.values), 3 * num_joints * self._num_columns, memory)

    def _chunk(self, part: slice) -> _Chunk:
        values, weights, noise = self._block.part(part)
        columns, observed = np.array(values.T, np.float64, order="C"), None
        if self._has_gaps:
            is_missing = np.isnan(columns)
            columns[is_missing] = 0.0
            observed = (~is_missing).astype(np.float64)
        return _Chunk(columns, np.square(np.asarray(noise).T, order="C"), observed, weights)

    def _statistics(self, sums: np.ndarray, integrands: Integrands) -> Statistics:
        """Turns sums of u, of u^2 - 1 / (v + s^2), and of masks, into the moments of the true values."""
        first, second, observed, counts = np.split(sums, [self._num_columns * number for number in (1, 2, 3)], axis=-1)
        locs, variances = integrands.locs, integrands.covariances
        times = np.broadcast_to(counts, locs.shape).copy()
        times[..., self._gap_columns] = observed[..., self._gap_columns]
        moved = variances * first
        total = moved + times * locs
        squares = np.square(variances) * second + 2.0 * locs * moved + times * (np.square(locs) + variances)
        squares = np.concatenate([squares, observed[..., self._gap_columns]], axis=-1)
        return Statistics(counts[..., 0], total, squares)


def _side(variances: np.ndarray, most_noise: float) -> int:
    """Counts the columns whose variances can be multiplied with each other in the range of float64."""
    with np.errstate(all="ignore"):
        decades = np.abs(np.log10([variances.min(), variances.max() + most_noise])).max()
        return int(np.clip(np.nan_to_num(300.0 / decades, nan=1.0), 1, variances.shape[1]))


def _log_joints(terms: _Terms, chunk: _Chunk, memory: _Memory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes 1 / (v + s^2) and u, (M, D, B), and log joints (M, B), nats; the next call overwrites them."""
    num_rows = chunk.values.shape[1]
    gains, away, joints = (array[..., :num_rows] for array in memory)
    np.add(terms.variances, chunk.noise, out=gains)
    joints[...] = 0.0
    for start in range(0, gains.shape[1], terms.side):  # a product takes a third of the time of a logarithm
        joints += np.log(np.multiply.reduce(gains[:, start : start + terms.side], axis=1))
    np.divide(1.0, gains, out=gains)
    if chunk.observed is not None:
        gains *= chunk.observed
    np.subtract(chunk.values, terms.locs, out=away)
    joints += np.einsum("mdb,mdb,mdb->mb", away, away, gains)
    joints *= -0.5
    joints += terms.constants
    if chunk.observed is not None:
        joints += terms.without @ (1.0 - chunk.observed)
    away *= gains
    return gains, away, joints


def _memberships(joints: np.ndarray, num_posteriors: int, weights: np.ndarray | None) -> np.ndarray:
    """Writes memberships, as often as rows count, in place of log joints (M, B); sums logsumexp_k and max_k, (2, R)."""
    by_posterior = joints.reshape(num_posteriors, -1, joints.shape[1])
    largest, norms = exponentials(by_posterior)
    by_posterior *= ((1.0 if weights is None else weights) / norms)[:, None]
    both = np.stack([largest + np.log(norms), largest])
    return both.sum(axis=-1) if weights is None else both @ weights


def _sums(gains: np.ndarray, scaled: np.ndarray, joints: np.ndarray, observed: np.ndarray | None) -> np.ndarray:
    """Sums memberships (M, B) times u, u^2 - 1 / (v + s^2), masks and 1: (M, 3 D + 1)."""
    columns = joints[..., None]
    first = (scaled @ columns)[..., 0]
    np.square(scaled, out=scaled)
    scaled -= gains
    second, counts = (scaled @ columns)[..., 0], joints.sum(axis=1, keepdims=True)
    of_masks = np.broadcast_to(counts, first.shape) if observed is None else joints @ observed.T
    return np.concatenate([first, second, of_masks, counts], axis=1)
