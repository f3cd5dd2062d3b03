"""Rows cut into blocks, sums over their rows, and choices among rows that are pure functions of a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfgmm.common.shapes import check_shape

BLOCK_ROWS = 65_536
BLOCK_VALUES = 2**23  # 64 MiB of float64: wide data is read in fewer rows at a time
PIECE_VALUES = 2**16  # half a MiB of float64: several passes over a piece stay in the processor's cache
SAMPLE_ROWS = 20_000  # rows that tell enough of any data to start from

# What a random number is for: no two purposes share a stream.
SAMPLE, BLOCK_ORDER, ROW_ORDER = range(3)


class RowBlock(NamedTuple):
    """Some rows, in their order.

    values: (B, D) real numbers.
    weights: (B,) how often each row counts; None, the only value so far, for once each.
    noise: Measurement noise of the values; None, the only value so far, for none.
    """

    values: np.ndarray
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None


def rows_per_block(num_features: int) -> int:
    """Returns the number of rows in a block: 65,536, fewer when D is above 128.

    Example:

    >>> rows_per_block(16), rows_per_block(4096)
    (65536, 2048)
    """
    return max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(1, num_features)))


def row_blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """Returns views of (N, D) rows, one block after the other: 65,536 rows each, fewer when D is above 128.

    Example:

    >>> [len(block) for block in row_blocks(np.zeros((100_000, 2)))]
    [65536, 34464]
    """
    check_shape("values", values, "ND")
    size = rows_per_block(values.shape[1])
    for start in range(0, len(values), size):
        yield values[start : start + size]


def pieces(block: np.ndarray, origin: np.ndarray) -> Iterator[np.ndarray]:
    """Returns the rows minus `origin` in float64, in one buffer that the next piece overwrites.

    In one memory order, so that sums, which depend on the order, are the same for every layout.
    """
    num_rows = max(1, PIECE_VALUES // max(1, block.shape[1]))
    buffer = np.empty((min(num_rows, len(block)), block.shape[1]))
    for start in range(0, len(block), num_rows):
        part = block[start : start + num_rows]
        yield np.subtract(part, origin, out=buffer[: len(part)], dtype=np.float64)


def moments(piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and sum of squared deviations of (B, D) float64, which is overwritten."""
    shift = over_rows(np.add, piece) / len(piece)
    piece -= shift
    rest = over_rows(np.add, piece) / len(piece)  # what rounding left in the mean
    squares = over_rows(np.add, np.square(piece, out=piece)) - len(piece) * rest**2
    return shift + rest, np.maximum(squares, 0.0)


def over_rows(reduce: np.ufunc, block: np.ndarray) -> np.ndarray:
    """Returns `reduce` over the rows of (B, D): many rows side by side at first, for NumPy is slow on short ones."""
    num_columns = block.shape[1]
    side = max(1, 512 // num_columns)
    whole = len(block) - len(block) % side
    if side == 1 or whole == 0 or not block.flags.c_contiguous:
        return np.asarray(reduce.reduce(block, axis=0))
    folded = reduce.reduce(block[:whole].reshape(-1, side * num_columns), axis=0).reshape(side, num_columns)
    return np.asarray(reduce.reduce(np.concatenate([folded, block[whole:]]), axis=0))


def random_numbers(seed: int, purpose: int, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Returns a generator of random numbers that is a pure function of its arguments (Philox, keyed by them).

    Args:
        seed: any whole number; taken modulo 2**64.
        purpose: SAMPLE, BLOCK_ORDER or ROW_ORDER.
        epoch: the pass over the data, from 0.
        index: the block within the pass, from 0.

    Example:

    >>> random_numbers(1, SAMPLE).random() == random_numbers(1, SAMPLE).random()
    True
    """
    key = np.array([seed % 2**64, purpose], dtype=np.uint64)
    # The lowest word counts the numbers drawn; those above it are ours.
    counter = np.array([0, index, epoch, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def row_order(seed: int, epoch: int, block: int, num_rows: int) -> np.ndarray:
    """Returns the order of the rows within one block, (num_rows,) int64: a pure function of the arguments.

    Args:
        seed: of the order.
        epoch: the pass over the data, from 0.
        block: the block's index.
        num_rows: how many rows it has.

    Example:

    >>> sorted(row_order(7, epoch=3, block=1, num_rows=4).tolist())
    [0, 1, 2, 3]
    """
    return random_numbers(seed, ROW_ORDER, epoch, block).permutation(num_rows)


class RowSample:
    """A uniform sample without replacement of rows that come block by block; how they are cut changes nothing.

    Every row has a random priority, a pure function of (seed, row); the rows of the smallest are kept. At most a
    few times `num_rows` rows are held.

    Args:
        num_rows: rows to keep, at most.
        seed: of the choice.

    Example:

    >>> sample = RowSample(2, seed=0)
    >>> sample.update(np.arange(10.0)[:, None])
    >>> sample.result().shape
    (2, 1)
    """

    def __init__(self, num_rows: int, seed: int) -> None:
        self._wanted = num_rows
        self._seed = seed
        self._seen = 0
        self._limit = 1.0  # no row of a higher priority can be in the sample any more
        self._candidates: list[tuple[np.ndarray, np.ndarray]] = []
        self._chunk, self._chunk_priorities = -1, np.zeros(0)

    def update(self, block: np.ndarray) -> None:
        """Returns nothing; takes one more block, (B, D) real numbers, into account."""
        priorities = self._priorities(len(block))
        if len(block) > self._wanted:
            known = np.concatenate([priorities, *(some for some, _ in self._candidates)])
            self._limit = np.partition(known, self._wanted - 1)[self._wanted - 1]
        chosen = np.flatnonzero(priorities <= self._limit)
        self._seen += len(block)
        self._candidates.append((priorities[chosen], np.asarray(block.take(chosen, axis=0), dtype=np.float64)))
        if sum(len(some) for some, _ in self._candidates) > 2 * self._wanted:
            self._prune()

    def result(self) -> np.ndarray:
        """Returns the sample of all blocks so far, (n, D) float64, in the order of the rows; (0, 0) without any."""
        if not self._candidates:
            return np.zeros((0, 0))
        self._prune()
        return self._candidates[0][1]

    def _prune(self) -> None:
        priorities = np.concatenate([some for some, _ in self._candidates])
        rows = np.concatenate([some for _, some in self._candidates])
        if len(rows) > self._wanted:
            kept = np.sort(np.argpartition(priorities, self._wanted - 1)[: self._wanted])
            priorities, rows = priorities[kept], rows.take(kept, axis=0)
            self._limit = priorities.max()
        self._candidates = [(priorities, rows)]

    def _priorities(self, num_rows: int) -> np.ndarray:
        """Numbers are drawn for 65,536 rows of the whole data at a time, so that blocks of any size get the same."""
        parts, start, end = [], self._seen, self._seen + num_rows
        while start < end:
            chunk, offset = divmod(start, BLOCK_ROWS)
            if chunk != self._chunk:
                generator = random_numbers(self._seed, SAMPLE, index=chunk)
                self._chunk, self._chunk_priorities = chunk, generator.random(BLOCK_ROWS)
            parts.append(self._chunk_priorities[offset : offset + end - start])
            start += len(parts[-1])
        return np.concatenate(parts) if parts else np.zeros(0)
