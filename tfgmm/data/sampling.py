"""Samples and orders of rows that are pure functions of a seed."""

from __future__ import annotations

import numpy as np

from tfgmm.data.blocks import BLOCK_ROWS, RowBlock, together

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
    """A sample without replacement of rows that come block by block, the same for blocks of any size.

    Every row has a random priority, a pure function of (seed, row); the rows with the smallest ones are the sample. At
    most a few times `num_rows` rows are held. Without weights the sample is uniform. With weights the priorities are
    divided by them, and the rows of the sample get weights that are right on average.

    Args:
        num_rows: Largest number of rows of the sample.
        seed: Seed of the choice.
        part: Number of the part that the rows are in, where they come in parts.

    Source: Priority sampling (Duffield, Lund and Thorup 2007, section 2).

    Example:

    >>> sample = RowSample(2, seed=0)
    >>> sample.update(np.arange(10.0)[:, None])
    >>> sample.result().shape
    (2, 1)
    """

    def __init__(self, num_rows: int, seed: int, part: int = 0) -> None:
        self._num_rows = num_rows
        self._wanted = num_rows  # with weights one more, whose priority says what the others stand for
        self._seed, self._part = seed, part
        self._seen = 0
        self._limit = np.inf  # no row of a higher priority can be in the sample any more
        self._candidates: list[tuple[np.ndarray, RowBlock]] = []
        self._chunk, self._generator = 0, random_numbers(seed, SAMPLE, part)

    def update(self, block: np.ndarray | RowBlock) -> None:
        """Takes one more block, (B, D) real numbers, or these with what they carry, into account."""
        block = block if isinstance(block, RowBlock) else RowBlock(block)
        priorities = self._priorities(len(block.values))
        self.add(priorities if block.weights is None else priorities / block.weights, block)

    def add(self, priorities: np.ndarray, block: RowBlock) -> None:
        """Takes rows into account whose priorities are known: those of another part, as `candidates` gave them."""
        num_rows = len(block.values)
        if block.weights is not None:
            self._wanted = self._num_rows + 1
        if num_rows > self._wanted:
            known = np.concatenate([priorities, *(some for some, _ in self._candidates)])
            self._limit = np.partition(known, self._wanted - 1)[self._wanted - 1]
        chosen = np.flatnonzero(priorities <= self._limit)
        self._candidates.append((priorities[chosen], _taken(block, chosen)))
        if sum(len(some) for some, _ in self._candidates) > 2 * self._wanted:
            self._prune()

    def result(self) -> np.ndarray:
        """Returns the sample of all blocks so far, (n, D) float64, in the order of the rows; (0, 0) without any."""
        return self.block().values

    def block(self, total: float | None = None) -> RowBlock:
        """Returns the sample with what it carries; its weights, where rows have some, sum to `total`, N.

        Args:
            total: N. Default: what the priorities make of the weights, which is N on average.
        """
        if not self._candidates:
            return RowBlock(np.zeros((0, 0)))
        self._prune()
        priorities, block = self._candidates[0]
        if block.weights is None or len(priorities) <= self._num_rows:
            return block
        last = int(np.argmax(priorities))
        kept = block.part(np.delete(np.arange(len(priorities)), last))
        weights = np.maximum(block.weights, 1.0 / priorities[last])
        weights = np.delete(weights, last)
        return kept._replace(weights=weights if total is None else weights * (total / weights.sum()))

    def candidates(self) -> tuple[np.ndarray, RowBlock]:
        """Returns the smallest priorities so far, and their rows: one more than asked for where rows have weights."""
        if not self._candidates:
            return np.zeros(0), RowBlock(np.zeros((0, 0)))
        self._prune()
        return self._candidates[0]

    @property
    def limit(self) -> float:
        """Largest priority of the rows that `candidates` returns, where these are as many as are wanted; else inf."""
        priorities, _ = self.candidates()
        return float(priorities.max()) if len(priorities) >= self._wanted else float(np.inf)

    def _prune(self) -> None:
        priorities = np.concatenate([some for some, _ in self._candidates])
        block = together([some for _, some in self._candidates])
        if len(priorities) > self._wanted:
            smallest = np.sort(np.argpartition(priorities, self._wanted - 1)[: self._wanted])
            priorities, block = priorities[smallest], _taken(block, smallest)
            self._limit = priorities.max()
        self._candidates = [(priorities, block)]

    def _priorities(self, num_rows: int) -> np.ndarray:
        """Draws the priorities of the next rows, with numbers of their own for each 65,536 rows."""
        parts, start, end = [], self._seen, self._seen + num_rows
        while start < end:
            chunk, offset = divmod(start, BLOCK_ROWS)
            if chunk != self._chunk:
                self._chunk, self._generator = chunk, random_numbers(self._seed, SAMPLE, self._part, chunk)
            # It goes on from where the block before ended, so that blocks of any size get the same
            parts.append(self._generator.random(min(end - start, BLOCK_ROWS - offset)))
            start += len(parts[-1])
        self._seen = end
        return np.concatenate(parts) if parts else np.zeros(0)


def _taken(block: RowBlock, chosen: np.ndarray) -> RowBlock:
    """Takes rows by their numbers, as float64."""
    values = np.asarray(block.values.take(chosen, axis=0), dtype=np.float64)
    weights, noise = (None if part is None else part.take(chosen, axis=0) for part in block[1:])
    return RowBlock(values, weights, noise)
