"""Sums over rows by NumPy, on every core: what every sweep of training computes from every row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.common.threads import shared_out
from tfgmm.mixture.features import ProductWriter
from tfgmm.mixture.log_joints import ChunkProducts, Piece, exponentials, factors_of
from tfgmm.mixture.statistics import RowSums, Statistics

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock


# What is done with the log joints (R K, B) of a slice of rows
Consumer = Callable[[slice, np.ndarray], Any]


class GroupedRows(NamedTuple):
    """Rows on their way through products, group after group; the rows of a group share their coefficients.

    write_products: Function that writes the products of columns that the form of the parameters has.
    values: (n, D) float32, measured from the centre.
    weights: (n,) float64; None where each row counts once.
    ends: Number of rows up to the end of each of G groups, rising.
    """

    write_products: ProductWriter
    values: np.ndarray
    weights: np.ndarray | None
    ends: tuple[int, ...]

    def pieces(self, part: slice) -> list[Piece]:
        """Cuts a slice of rows where groups end: numbers of groups, and slices of the slice."""
        if len(self.ends) == 1:
            return [(0, slice(0, part.stop - part.start))]
        group, start, found = int(np.searchsorted(self.ends, part.start, "right")), part.start, []
        while start < part.stop:
            stop = min(self.ends[group], part.stop)
            found.append((group, slice(start - part.start, stop - part.start)))
            group, start = group + 1, stop
        return found


class _Memory(NamedTuple):
    """Memory that a thread overwrites: chunks of log joints, and (R K, F + 1) sums of one of them."""

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
        block: (n, D) float32 rows, measured from the centre; with weights or without.
        coefficients: (R, D + P, K) and (R, K) float64: log joints = features of rows @ the first + the second, nats.
        dtype: Dtype of the products. np.float64 errs by 1e-3 nats at most for components down to 1e-6 of the range of
            the rows; np.float32 is twice as fast and errs by up to `float32_error` of the family.
        features: (D + P + 1, n) of that dtype, where the caller has them; see `write_features`.
    """
    rows = one_group(write_products, block)
    factors = factors_of(coefficients, dtype)[None]
    (sums,), totals = sums_over_groups(rows, factors, coefficients[0].shape[0], features)
    return RowSums(statistics_of(sums, block.values.shape[1]), *totals)


def one_group(write_products: ProductWriter, block: RowBlock) -> GroupedRows:
    """Makes one group of all rows, which must have no noise."""
    values = block._replace(weights=None).plain_values()  # refuses noise
    return GroupedRows(write_products, values, block.weights, (len(values),))


def statistics_of(sums: np.ndarray, num_columns: int) -> Statistics:
    """Takes apart the sums (..., F + 1) of features: columns, products, and 1."""
    return Statistics(sums[..., -1], sums[..., :num_columns], sums[..., num_columns:-1])


def sums_over_groups(
    rows: GroupedRows, factors: np.ndarray, num_posteriors: int, features: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sums memberships times features, (G, R, K, F + 1), and logsumexp_k and max_k of log joints, (2, R), float64.

    Args:
        rows: Rows of G groups.
        factors: (G, R K, F + 1), as `factors_of` arranges the coefficients of each group.
        num_posteriors: R.
        features: (F + 1, n) of the dtype of the factors, where the caller has them.
    """

    def of_share(memory: _Memory, parts: Sequence[slice]) -> tuple[dict[int, np.ndarray], np.ndarray]:
        sums: dict[int, np.ndarray] = {}
        totals = np.zeros((2, num_posteriors))
        with np.errstate(all="ignore"):  # the caller says that a bound is not finite
            for part, pieces, of_chunk, joints in _chunks(memory.chunks, rows, factors, parts, features):
                weights = None if rows.weights is None else rows.weights[part]
                by_posterior = joints.reshape(num_posteriors, len(joints) // num_posteriors, joints.shape[1])
                largest, norms = exponentials(by_posterior)
                totals += _log_likelihoods(largest, norms, weights)
                by_posterior *= _reciprocals(norms, weights)[:, None]  # the memberships, as often as the row counts
                for group, piece in pieces:
                    if group not in sums:
                        sums[group] = np.zeros(memory.sums.shape)
                    sums[group] += np.matmul(joints[:, piece], of_chunk[:, piece].T, out=memory.sums)
        return sums, totals

    def memory(num_rows: int) -> _Memory:
        return _Memory(ChunkProducts(factors[0], num_rows), np.empty_like(factors[0]))

    sums, totals = np.zeros(factors.shape), np.zeros((2, num_posteriors))
    for more_sums, more_totals in shared_out(of_share, len(rows.values), sum(factors.shape[1:]), memory):
        for group, more in more_sums.items():
            sums[group] += more
        totals += more_totals
    return sums.reshape(len(factors), num_posteriors, -1, factors.shape[2]), totals


def log_likelihoods_over_rows(
    write_products: ProductWriter, block: RowBlock, coefficients: Sequence[Tensor]
) -> np.ndarray:
    """Sums logsumexp_k and max_k of the log joints of rows under each of R posteriors, (2, R) float64.

    They are two of the fields of `sums_over_rows`, without the work of the others.

    Args:
        write_products, block, coefficients: As in `sums_over_rows`.
    """
    rows = one_group(write_products, block)
    return log_likelihoods_over_groups(rows, factors_of(coefficients)[None], coefficients[0].shape[0])


def log_likelihoods_over_groups(rows: GroupedRows, factors: np.ndarray, num_posteriors: int) -> np.ndarray:
    """Sums logsumexp_k and max_k of the log joints of rows, (2, R) float64. Args: As `sums_over_groups`."""

    def of_share(chunks: ChunkProducts, parts: Sequence[slice]) -> np.ndarray:
        totals = np.zeros((2, num_posteriors))
        with np.errstate(all="ignore"):
            for part, _, _, joints in _chunks(chunks, rows, factors, parts):
                weights = None if rows.weights is None else rows.weights[part]
                by_posterior = joints.reshape(num_posteriors, len(joints) // num_posteriors, joints.shape[1])
                totals += _log_likelihoods(*exponentials(by_posterior), weights)
        return totals

    memory = functools.partial(ChunkProducts, factors[0])
    shares = shared_out(of_share, len(rows.values), sum(factors.shape[1:]), memory)
    return sum(shares, start=np.zeros((2, num_posteriors)))


def log_likelihoods_over_joints(
    mapped: Callable[[Sequence[np.ndarray], Consumer], Iterator[Any]],
    coefficients: Sequence[np.ndarray],
    weights: np.ndarray | None,
) -> np.ndarray:
    """Sums logsumexp_k and max_k of the log joints of rows of any kind, (2, R) float64.

    Args:
        mapped: The `mapped` of these rows.
        coefficients: As it takes them.
        weights: (n,) float64; None where each row counts once.
    """
    num_posteriors = len(coefficients[1])

    def totals(part: slice, joints: np.ndarray) -> np.ndarray:
        by_posterior = joints.reshape(num_posteriors, -1, joints.shape[1])
        return np.stack(_log_likelihoods(*exponentials(by_posterior), None if weights is None else weights[part]))

    return sum(mapped(coefficients, totals), start=np.zeros((2, num_posteriors)))


def mapped_over_groups(rows: GroupedRows, factors: np.ndarray, function: Consumer, offset: int = 0) -> Iterator[Any]:
    """Yields what a function makes of each chunk of rows; it is called in threads, with rows and log joints (R K, B).

    Args:
        rows, factors: As for `sums_over_groups`.
        function: Function of a slice of rows and their log joints, which the next chunk overwrites.
        offset: Number of the first row.
    """

    def of_share(chunks: ChunkProducts, parts: Sequence[slice]) -> list[Any]:
        found = []
        with np.errstate(all="ignore"):
            for part, _, _, joints in _chunks(chunks, rows, factors, parts):
                found.append(function(slice(part.start + offset, part.stop + offset), joints))
        return found

    memory = functools.partial(ChunkProducts, factors[0])
    for found in shared_out(of_share, len(rows.values), sum(factors.shape[1:]), memory):
        yield from found


def _chunks(
    chunks: ChunkProducts,
    rows: GroupedRows,
    factors: np.ndarray,
    parts: Sequence[slice],
    features: np.ndarray | None = None,
) -> Iterator[tuple[slice, list[Piece], np.ndarray, np.ndarray]]:
    """Yields the rows of one chunk at a time, its pieces, features (F + 1, B) and log joints (R K, B).

    Each overwrites the one before.
    """
    for part in parts:
        of_chunk = chunks.features(rows.write_products, rows.values[part].T) if features is None else features[:, part]
        pieces = rows.pieces(part)
        yield part, pieces, of_chunk, chunks.log_joints_of_groups(of_chunk, factors, pieces)


def _reciprocals(norms: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Computes what exponentials (R, B) are multiplied by: 1, or the weight of the row, over their sum."""
    return 1.0 / norms if weights is None else (weights / norms).astype(norms.dtype, copy=False)


def _log_likelihoods(
    largest: np.ndarray, norms: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sums logsumexp_k and max_k over rows, (R,) float64, from `exponentials`."""
    largest = largest.astype(np.float64)
    if weights is None:
        return (largest + np.log(norms)).sum(axis=1), largest.sum(axis=1)
    return (weights * (largest + np.log(norms))).sum(axis=1), (weights * largest).sum(axis=1)
