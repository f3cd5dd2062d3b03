"""Sums over rows by NumPy, on every core: what every sweep of training computes from every row."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.common.threads import shared_out
from tfgmm.mixture.features import ProductWriter
from tfgmm.mixture.log_joints import ChunkProducts, exponentials, factors_of
from tfgmm.mixture.statistics import RowSums, Statistics

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


class _Memory(NamedTuple):
    """Memory that a thread overwrites: chunks of log joints, and (R K, D + P + 1) sums of one of them."""

    chunks: ChunkProducts
    sums: np.ndarray


def sums_over_rows(
    write_products: ProductWriter,
    block: RowBlock,
    coefficients: Sequence[Tensor],
    dtype: type[np.floating] = np.float64,
    features: np.ndarray | None = None,
) -> RowSums:
    """Sums expected sufficient statistics of rows, and logsumexp_k and max_k of their log joints, float64.

    R posteriors at a time share the features and one matrix product: all fields of the result are (R, ...). Except for
    rounding, they are the sums of `scoring.graph.chunks.sums_over_rows`, in half of its time on a processor.

    Args:
        write_products: Function that writes the products of columns that the form of the parameters has.
        block: (n, D) float32 rows, measured from the centre.
        coefficients: (R, D + P, K) and (R, K) float64: log joints = features of rows @ the first + the second, nats.
        dtype: Dtype of the products. np.float64 errs by 1e-3 nats at most for components down to 1e-6 of the range of
            the rows; np.float32 is twice as fast and errs by up to `float32_error` of the family.
        features: (D + P + 1, n) of that dtype, where the caller has them; see `write_features`.
    """
    rows, factors, num_posteriors = block.plain_values(), factors_of(coefficients, dtype), coefficients[0].shape[0]

    def of_share(memory: _Memory, parts: Sequence[slice]) -> tuple[np.ndarray, np.ndarray]:
        sums, totals = np.zeros(factors.shape), np.zeros((2, num_posteriors))
        with np.errstate(all="ignore"):  # the caller says that a bound is not finite
            for of_chunk, joints in _chunks(memory.chunks, write_products, rows, parts, features):
                by_posterior = joints.reshape(num_posteriors, -1, joints.shape[1])
                largest, norms = exponentials(by_posterior)
                totals += _log_likelihoods(largest, norms)
                by_posterior *= 1.0 / norms[:, None]  # the memberships
                sums += np.matmul(joints, of_chunk.T, out=memory.sums)
        return sums, totals

    def memory(num_rows: int) -> _Memory:
        return _Memory(ChunkProducts(factors, num_rows), np.empty_like(factors))

    sums, totals = np.zeros(factors.shape), np.zeros((2, num_posteriors))
    for more_sums, more_totals in shared_out(of_share, len(rows), sum(factors.shape), memory):
        sums += more_sums
        totals += more_totals
    num_features, num_columns = rows.shape[1], factors.shape[1] - 1
    first, second, counts = np.split(sums.reshape(num_posteriors, -1, num_columns + 1), [num_features, num_columns], 2)
    return RowSums(Statistics(counts[..., 0], first, second), *totals)


def log_likelihoods_over_rows(
    write_products: ProductWriter, block: RowBlock, coefficients: Sequence[Tensor]
) -> np.ndarray:
    """Sums logsumexp_k and max_k of the log joints of rows under each of R posteriors, (2, R) float64.

    They are two of the fields of `sums_over_rows`, without the work of the others.

    Args:
        write_products, block, coefficients: As in `sums_over_rows`.
    """
    rows, factors, num_posteriors = block.plain_values(), factors_of(coefficients), coefficients[0].shape[0]

    def of_share(chunks: ChunkProducts, parts: Sequence[slice]) -> np.ndarray:
        totals = np.zeros((2, num_posteriors))
        with np.errstate(all="ignore"):
            for _, joints in _chunks(chunks, write_products, rows, parts):
                totals += _log_likelihoods(*exponentials(joints.reshape(num_posteriors, -1, joints.shape[1])))
        return totals

    memory = functools.partial(ChunkProducts, factors)
    return sum(shared_out(of_share, len(rows), sum(factors.shape), memory), start=np.zeros((2, num_posteriors)))


def _chunks(
    chunks: ChunkProducts,
    write_products: ProductWriter,
    rows: np.ndarray,
    parts: Sequence[slice],
    features: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields features (D + P + 1, B) and log joints (R K, B), one chunk at a time; each overwrites the one before."""
    for part in parts:
        of_chunk = chunks.features(write_products, rows[part].T) if features is None else features[:, part]
        yield of_chunk, chunks.log_joints(of_chunk)


def _log_likelihoods(largest: np.ndarray, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums logsumexp_k and max_k over rows, (R,) float64, from `exponentials`."""
    largest = largest.astype(np.float64)
    return (largest + np.log(norms)).sum(axis=1), largest.sum(axis=1)
