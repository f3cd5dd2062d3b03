"""Rows that need a matrix each: correlated columns or noise, where every row shows something else."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.threads import shared_out, slices
from tfgmm.mixture.features import pairs
from tfgmm.mixture.integrands import LOG_TWO_PI, Integrands, correlated_integrands_of, integrands_of
from tfgmm.mixture.log_joints import exponentials
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.row_sums import Consumer, log_likelihoods_over_joints
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.mixture.symmetric import inverses
from tfgmm.mixture.true_values import TrueValues

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

_MATRIX_NUMBERS = 2**17  # numbers in the matrices of the rows that are worked on together: they stay in the cache


class _Chunk(NamedTuple):
    """Rows with what is integrated out of them: values (D, B), masks (D, B) float64, noise (D, D, B), weights (B,)."""

    values: np.ndarray
    observed: np.ndarray
    noise: np.ndarray | None
    weights: np.ndarray | None


class _Sums(NamedTuple):
    """Sums over rows for one posterior, T = V + S, u = T^-1 (x - m), both of the columns that a row has.

    counts: (K,). observed: (K, D), those with a value in a column. first: (K, D), of u. second: (K, D, D), of
    u u' - T^-1. totals: (2,), of logsumexp_k and max_k.
    """

    counts: np.ndarray
    observed: np.ndarray
    first: np.ndarray
    second: np.ndarray
    totals: np.ndarray


class NoisyRows:
    """Rows with a covariance matrix each for every component, V + S of the columns that they have.

    Args:
        form: Form of the parameters.
        block: (n, D) float32 values, measured from the centre, NaN where a row has none; with weights and noise, or
            without.
        gap_columns: Columns that have masks in the coefficients; see `MaskedRows`.
    """

    def __init__(self, form: FormName, block: RowBlock, gap_columns: Sequence[int]) -> None:
        self._form, self._block, self._gap_columns = form, block, list(gap_columns)
        self._num_columns = block.values.shape[1]

    def sums(self, coefficients: Sequence[np.ndarray], dtype: type[np.floating]) -> RowSums:
        """Sums statistics and log likelihoods; see `RowGroups.sums`. All is in float64, whatever the dtype is."""
        del dtype
        integrands = self._integrands(coefficients)
        found = [self._sums_of(_one(integrands, number)) for number in range(len(integrands.log_shares))]
        together = _Sums(*(np.stack(values) for values in zip(*found)))
        statistics = self._statistics(together, integrands)
        return RowSums(statistics, *together.totals.T)

    def log_likelihoods(self, coefficients: Sequence[np.ndarray]) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints, (2, R)."""
        return log_likelihoods_over_joints(self.mapped, coefficients, self._block.weights)

    def mapped(self, coefficients: Sequence[np.ndarray], function: Consumer) -> Iterator[Any]:
        """Yields what a function makes of log joints; see `RowGroups.mapped`."""
        integrands = self._integrands(coefficients)
        each = [_one(integrands, number) for number in range(len(integrands.log_shares))]

        def of_share(_: None, parts: Sequence[slice]) -> list[Any]:
            found = []
            with np.errstate(all="ignore"):
                for part in self._small(parts, integrands):
                    chunk = self._chunk(part)
                    joints = [precisions_of_rows(components, chunk)[2] for components in each]
                    found.append(function(part, np.concatenate(joints)))
            return found

        for found in shared_out(of_share, len(self._block.values), integrands.covariances.size, lambda _: None):
            yield from found

    def _small(self, parts: Sequence[slice], integrands: Integrands) -> Iterator[slice]:
        """Cuts slices of rows into those whose matrices are worked on together."""
        size = max(1, _MATRIX_NUMBERS // math.prod(integrands.covariances.shape[-3:]))
        yield from (small for whole in parts for small in slices(whole.start, whole.stop, size))

    def _integrands(self, coefficients: Sequence[np.ndarray]) -> Integrands:
        """Takes the components apart; variances of independent columns become matrices."""
        with np.errstate(all="ignore"):  # the caller says that a bound is not finite
            if self._form == "correlated":
                return correlated_integrands_of(coefficients, self._num_columns)
            found = integrands_of(coefficients, self._num_columns, self._gap_columns)
            return found._replace(covariances=found.covariances[..., None] * np.eye(self._num_columns))

    def _sums_of(self, components: Integrands) -> _Sums:
        """Sums over the rows under one posterior, whose fields have no leading axis."""

        def of_share(_: None, parts: Sequence[slice]) -> _Sums:
            with np.errstate(all="ignore"):
                return _total(_sums_of_chunk(components, self._chunk(part)) for part in self._small(parts, components))

        return _total(shared_out(of_share, len(self._block.values), components.covariances.size, lambda _: None))

    def _chunk(self, part: slice) -> _Chunk:
        return chunk_of(self._block.part(part))

    def _statistics(self, sums: _Sums, integrands: Integrands) -> Statistics:
        """Turns the sums into the moments of the true values."""
        locs, covariances = integrands.locs, integrands.covariances
        first, second = TrueValues(covariances, locs, covariances).moments(sums.counts, sums.first, sums.second)
        if self._form == "correlated":
            return Statistics(sums.counts, first, second[..., *pairs(self._num_columns)])
        # What nobody has seen does not count in columns that have masks
        second = np.diagonal(second, axis1=-2, axis2=-1).copy()
        variances = np.diagonal(covariances, axis1=-2, axis2=-1)[..., self._gap_columns]
        locs, observed = locs[..., self._gap_columns], sums.observed[..., self._gap_columns]
        unseen = sums.counts[..., None] - observed
        first[..., self._gap_columns] -= unseen * locs
        second[..., self._gap_columns] -= unseen * (np.square(locs) + variances)
        return Statistics(sums.counts, first, np.concatenate([second, observed], axis=-1))


def _one(integrands: Integrands, number: int) -> Integrands:
    without = None if integrands.without is None else integrands.without[number]
    log_shares, locs, covariances, _ = integrands
    return Integrands(log_shares[number], locs[number], covariances[number], without)


def _total(several: Iterable[_Sums]) -> _Sums:
    """Adds sums over several chunks, at least one."""
    return functools.reduce(lambda one, other: _Sums(*map(np.add, one, other)), several)


def chunk_of(block: RowBlock) -> _Chunk:
    """Lays rows along the last axis; variances become matrices."""
    values, weights, noise = block
    columns = np.array(values.T, np.float64, order="C")
    is_missing = np.isnan(columns)
    columns[is_missing] = 0.0
    matrices = None
    if noise is not None and noise.ndim == 3:
        matrices = np.moveaxis(noise, 0, -1)
    elif noise is not None:
        matrices = np.square(noise.T) * np.eye(len(columns))[..., None]
    return _Chunk(columns, (~is_missing).astype(np.float64), matrices, weights)


def precisions_of_rows(components: Integrands, chunk: _Chunk) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes T^-1 (K, D, D, B), 0 where a row has no value, u (K, D, B) and log joints (K, B), nats."""
    observed, missing = chunk.observed, 1.0 - chunk.observed
    columns = np.arange(len(observed))
    matrices = components.covariances[..., None] * (observed[:, None] * observed)
    if chunk.noise is not None:
        matrices += chunk.noise
    matrices[:, columns, columns] += missing
    precisions, log_determinants = inverses(matrices)
    precisions[:, columns, columns] -= missing
    away = (chunk.values - components.locs[..., None]) * observed
    scaled = np.einsum("kijb,kjb->kib", precisions, away)
    joints = components.log_shares[:, None] - 0.5 * (
        observed.sum(axis=0) * LOG_TWO_PI + log_determinants + (scaled * away).sum(axis=1)
    )
    if components.without is not None:
        joints += components.without @ missing
    return precisions, scaled, joints


def _sums_of_chunk(components: Integrands, chunk: _Chunk) -> _Sums:
    precisions, scaled, joints = precisions_of_rows(components, chunk)
    (largest,), (norms,) = exponentials(joints[None])
    weights: Any = 1.0 if chunk.weights is None else chunk.weights
    totals = np.array([(weights * (largest + np.log(norms))).sum(), (weights * largest).sum()])
    joints *= weights / norms
    second = (scaled * joints[:, None]) @ scaled.swapaxes(1, 2)
    flat = precisions.reshape(len(joints), -1, joints.shape[1])
    second -= (flat @ joints[..., None]).reshape(second.shape)
    first = (scaled @ joints[..., None])[..., 0]
    return _Sums(joints.sum(axis=1), joints @ chunk.observed.T, first, second, totals)
