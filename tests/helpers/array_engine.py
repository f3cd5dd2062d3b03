"""Rows in parts that are arrays in this process: an engine with nothing behind it, for tests without Dask and Spark."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards.chosen_columns import ShardColumns
from tfgmm.data.shards.rows import ShardRows


class ArrayEngine:
    """Parts that are arrays, (n, D + E) each, in the columns to read.

    What it is handed is pickled, and what it holds too, as engines on other machines do.

    Args:
        parts: The parts; or a function that makes them anew for each pass.
        columns: The columns.
        block_rows: Rows of a block.
    """

    name = "arrays in parts"

    def __init__(
        self,
        parts: Sequence[np.ndarray] | Callable[[], Sequence[np.ndarray]],
        columns: ShardColumns,
        block_rows: int = 1000,
    ) -> None:
        self._parts: Callable[[], Sequence[np.ndarray]] = parts if callable(parts) else lambda: parts
        self._columns, self._block_rows = columns, block_rows
        self.held: list[list[bytes]] | None = None
        self.calls: list[str] = []

    def survey(self, function: Callable[[int, Iterator[RowBlock]], Any]) -> list[Any]:
        self.calls.append("survey")
        answers = [_sent(function)(number, self._blocks(part)) for number, part in enumerate(self._parts())]
        return [_sent(answer) for answer in answers]

    def hold(self, function: Callable[[int, Iterator[RowBlock]], Iterator[RowBlock]]) -> None:
        self.calls.append("hold")
        parts = enumerate(self._parts())
        self.held = [[pickle.dumps(block) for block in _sent(function)(one, self._blocks(part))] for one, part in parts]

    def sums(self, function: Callable[[int, Iterator[RowBlock]], np.ndarray]) -> np.ndarray:
        self.calls.append("sums")
        assert self.held is not None
        sums = [_sent(function)(number, map(pickle.loads, held)) for number, held in enumerate(self.held)]
        while len(sums) > 1:
            sums = [sum(sums[start + 1 : start + 8], sums[start]) for start in range(0, len(sums), 8)]
        return sums[0]

    def release(self) -> None:
        self.calls.append("release")
        self.held = None

    def _blocks(self, part: np.ndarray) -> Iterator[RowBlock]:
        for start in range(0, len(part), self._block_rows):
            yield self._columns.block(part[start : start + self._block_rows])


def _sent(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def rows_in_parts(
    parts: Sequence[np.ndarray] | Callable[[], Sequence[np.ndarray]],
    names: Sequence[str],
    *,
    weights: str | None = None,
    noise: Mapping[str, str] | None = None,
    missing: str = "integrate",
    block_rows: int = 1000,
) -> tuple[ShardRows, ArrayEngine]:
    """Opens arrays as rows in parts, with the engine that has them; columns of weights and noise come last."""
    columns = ShardColumns(tuple(names), CarriedColumns(weights, noise or {}))
    engine = ArrayEngine(parts, columns, block_rows)
    return ShardRows(engine, columns, "data", missing), engine
