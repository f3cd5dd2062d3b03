"""Samples and orders of rows that are pure functions of a seed."""

from __future__ import annotations

import numpy as np

from tfgmm.data.blocks import BLOCK_ROWS

SAMPLE_ROWS = 20_000  # rows that tell enough of any data to start from

# What random numbers are for: no two purposes share a stream
SAMPLE, BLOCK_ORDER, ROW_ORDER = range(3)


def random_numbers(seed: int, purpose: int, epoch: int = 0, index: int = 0) -> np.random.Generator:
    """Makes a generator of random numbers that is a pure function of its arguments (Philox, keyed by them).

    Args:
        seed: Any whole number; taken modulo 2**64.
        purpose: SAMPLE, BLOCK_ORDER or ROW_ORDER.
        epoch: Pass over the data, from 0.
        index: Block within the pass, from 0.

    Example:

    >>> random_numbers(1, SAMPLE).random() == random_numbers(1, SAMPLE).random()
    True
    """
    key = np.array([seed % 2**64, purpose], dtype=np.uint64)
    # The lowest word counts the numbers drawn; those above it are ours.
    counter = np.array([0, index, epoch, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def row_order(seed: int, epoch: int, block: int, num_rows: int) -> np.ndarray:
    """Draws the order of the rows within one block, (num_rows,) int64: a pure function of the arguments.

    Args:
        seed: Seed of the order.
        epoch: Pass over the data, from 0.
        block: Index of the block.
        num_rows: Rows of the block.

    Example:

    >>> sorted(row_order(7, epoch=3, block=1, num_rows=4).tolist())
    [0, 1, 2, 3]
    """
    return random_numbers(seed, ROW_ORDER, epoch, block).permutation(num_rows)


class RowSample:
    """A uniform sample without replacement of rows that come block by block, the same for blocks of any size.

    Every row has a random priority, a pure function of (seed, row); the rows with the smallest ones are the sample. At
    most a few times `num_rows` rows are held.

    Args:
        num_rows: Largest number of rows of the sample.
        seed: Seed of the choice.

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
        """Takes one more block, (B, D) real numbers, into account."""
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
            smallest = np.sort(np.argpartition(priorities, self._wanted - 1)[: self._wanted])
            priorities, rows = priorities[smallest], rows.take(smallest, axis=0)
            self._limit = priorities.max()
        self._candidates = [(priorities, rows)]

    def _priorities(self, num_rows: int) -> np.ndarray:
        """Draws the priorities of the next rows: for 65,536 rows at a time, so that blocks of any size get the same."""
        parts, start, end = [], self._seen, self._seen + num_rows
        while start < end:
            chunk, offset = divmod(start, BLOCK_ROWS)
            if chunk != self._chunk:
                generator = random_numbers(self._seed, SAMPLE, index=chunk)
                self._chunk, self._chunk_priorities = chunk, generator.random(BLOCK_ROWS)
            parts.append(self._chunk_priorities[offset : offset + end - start])
            start += len(parts[-1])
        return np.concatenate(parts) if parts else np.zeros(0)
