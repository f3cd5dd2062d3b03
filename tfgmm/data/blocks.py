"""Rows cut into blocks, and sums over the rows of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.shapes import check_shape

BLOCK_ROWS = 65_536
BLOCK_VALUES = 2**23  # 64 MiB of float64: wide data is read in fewer rows at a time
PIECE_VALUES = 2**16  # half a MiB of float64: several passes over a piece stay in the processor's cache


class RowBlock(NamedTuple):
    """Some rows on their way from a source to the sums and scores over them.

    Args:
        values: (B, D) real numbers of any dtype, data units; NaN where a row has no value.
        weights: (B,) float64, positive, how often each row counts. None: each counts once.
        noise: Measurement noise: standard deviations (B, D), or covariances (B, D, D), float64, data units, finite, 0
            where a row has no value. None: there is no noise.
    """

    values: np.ndarray
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None

    def part(self, chosen: slice | np.ndarray) -> RowBlock:
        """Takes some of the rows, by a slice, by numbers or by a mask, with all that they carry."""
        weights, noise = (None if values is None else values[chosen] for values in (self.weights, self.noise))
        return RowBlock(self.values[chosen], weights, noise)

    def plain_values(self) -> np.ndarray:
        """Hands on the values to those who can do nothing else: Raises ValueError unless both others are None."""
        if self.weights is not None or self.noise is not None:
            raise ValueError("rows must have neither weights nor noise here. Received: a block with one of them.")
        return self.values


def together(blocks: Sequence[RowBlock]) -> RowBlock:
    """Puts blocks, one or more, behind each other."""
    values = np.concatenate([block.values for block in blocks])
    weights, noise = (None if part[0] is None else np.concatenate(part) for part in list(zip(*blocks, strict=True))[1:])
    return RowBlock(values, weights, noise)


def finite(block: np.ndarray) -> np.ndarray:
    """Selects the rows of a block, (B, D), without NaN and infinite values.

    Example:

    >>> finite(np.array([[1.0, 2.0], [np.nan, 3.0]])).tolist()
    [[1.0, 2.0]]
    """
    return block[np.isfinite(block).all(axis=1)]


def is_finite(values: np.ndarray) -> bool:
    """Tells whether all numbers are finite: from their sum, which is fast, wherever that is finite.

    Example:

    >>> is_finite(np.array([1.0, 2.0])), is_finite(np.array([np.inf, -np.inf]))
    (True, False)
    """
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def has_gap(block: RowBlock) -> np.ndarray:
    """Tells which rows of a block have a NaN or infinite value, or infinite noise, which makes a value a gap: (B,)."""
    bad: np.ndarray = ~np.isfinite(block.values).all(axis=1)
    if block.noise is not None:
        axes = tuple(range(1, block.noise.ndim))
        bad |= np.isposinf(block.noise).any(axis=axes)
    return bad


def num_gaps(block: np.ndarray) -> np.ndarray:
    """Counts the NaN and infinite values of each column of a block, (B, D) to (D,).

    Example:

    >>> num_gaps(np.array([[1.0, np.inf], [np.nan, np.nan]])).tolist()
    [1, 2]
    """
    return np.sum(~np.isfinite(block), axis=0)


def rows_per_block(num_features: int) -> int:
    """Computes the number of rows in a block: 65,536, fewer when D is above 128.

    Example:

    >>> rows_per_block(16), rows_per_block(4096)
    (65536, 2048)
    """
    return max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(1, num_features)))


def row_blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields views of (N, D) rows, one block after the other: 65,536 rows each, fewer when D is above 128.

    Example:

    >>> [len(block) for block in row_blocks(np.zeros((100_000, 2)))]
    [65536, 34464]
    """
    check_shape("values", values, "ND")
    size = rows_per_block(values.shape[1])
    for start in range(0, len(values), size):
        yield values[start : start + size]


def pieces(block: np.ndarray, origin: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the rows minus `origin` piece by piece, (n, D) float64, in one buffer that the next piece overwrites.

    The buffer has one memory order, so that sums, which depend on the order, are the same for every layout of the rows.
    """
    num_rows = max(1, PIECE_VALUES // max(1, block.shape[1]))
    buffer = np.empty((min(num_rows, len(block)), block.shape[1]))
    for start in range(0, len(block), num_rows):
        part = block[start : start + num_rows]
        yield np.subtract(part, origin, out=buffer[: len(part)], dtype=np.float64)


def moments(piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean and the sum of squared deviations, (D,) each, of (B, D) float64, which is overwritten."""
    shift = over_rows(np.add, piece) / len(piece)
    piece -= shift
    rest = over_rows(np.add, piece) / len(piece)  # what rounding left in the mean
    squares = over_rows(np.add, np.square(piece, out=piece)) - len(piece) * rest**2
    return shift + rest, np.maximum(squares, 0.0)


def weighted_moments(
    piece: np.ndarray, is_gap: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes total weight, mean and weighted sum of squared deviations over the values that are there, (D,) each.

    Args:
        piece: (B, D) float64.
        is_gap: (B, D), where there is no value.
        weights: (B,) positive.
    """
    counted = np.where(is_gap, 0.0, weights[:, None])
    total = counted.sum(axis=0)
    share = counted / np.where(total > 0.0, total, 1.0)
    values = np.where(is_gap, 0.0, piece)
    shift = (share * values).sum(axis=0)
    values -= shift
    rest = (share * values).sum(axis=0)  # what rounding left in the mean
    squares = (counted * values**2).sum(axis=0) - total * rest**2
    return total, shift + rest, np.maximum(squares, 0.0)


def over_rows(reduce: np.ufunc, block: np.ndarray) -> np.ndarray:
    """Reduces the rows of (B, D) to (D,), many rows side by side at first: NumPy is slow on short rows."""
    num_columns = block.shape[1]
    side = max(1, 512 // num_columns)
    whole = len(block) - len(block) % side
    if side == 1 or whole == 0 or not block.flags.c_contiguous:
        return np.asarray(reduce.reduce(block, axis=0))
    folded = reduce.reduce(block[:whole].reshape(-1, side * num_columns), axis=0).reshape(side, num_columns)
    return np.asarray(reduce.reduce(np.concatenate([folded, block[whole:]]), axis=0))
