"""What Dask's workers do with one partition: tasks, and a partition as blocks of rows. Loads no TensorFlow, no Dask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm.data.arrays import real_array
from tfgmm.data.blocks import RowBlock, rows_per_block
from tfgmm.data.containers import dtype_fix
from tfgmm.data.frames import open_table
from tfgmm.data.shards.chosen_columns import ShardColumns
from tfgmm.data.table_values import table_values

# Of a column that is no extension of pandas: floats, integers, unsigned ones, booleans
NUMBER_KINDS = "fiub"

Function = Callable[[int, Iterator[RowBlock]], Any]


@dataclasses.dataclass(frozen=True)
class PartitionReader:
    """Reads partitions block by block.

    Args:
        name: What the caller's argument is called in error messages.
        columns: The columns to read.
    """

    name: str
    columns: ShardColumns

    def blocks(self, number: int, partition: Any) -> Iterator[RowBlock]:
        """Yields the rows of a partition, a pandas frame or an array, in blocks of 65,536 at most.

        Raises:
            ValueError: It has other columns than the data was said to have.
            TypeError: A column holds no numbers, whatever the data was said to hold.
        """
        is_array = isinstance(partition, np.ndarray)
        partition = self._checked_array(number, partition) if is_array else self._with_columns(number, partition)
        size = rows_per_block(len(self.columns.to_read))
        for start in range(0, len(partition), size):
            part = slice(start, start + size)
            rows = partition[part] if is_array else self._frame_rows(number, partition.iloc[part])
            yield self.columns.block(rows)

    def _checked_array(self, number: int, chunk: np.ndarray) -> np.ndarray:
        """Checks a chunk of an array, which may be of another kind than Dask was told; masked cells become NaN."""
        if chunk.shape[1:] != (len(self.columns.to_read),):
            raise self._columns_error(number, f"shape {chunk.shape}")
        if chunk.dtype.kind not in NUMBER_KINDS:
            raise TypeError(
                f"`{self.name}` must hold real numbers in every partition. Received: dtype {chunk.dtype} in partition "
                f"{number}. {dtype_fix(self.name, chunk.dtype)}"
            )
        return real_array(self.name, chunk)

    def _with_columns(self, number: int, frame: Any) -> Any:
        """Puts the columns of a frame in their order; which there are must be what Dask was told."""
        wanted = list(self.columns.to_read)
        if not hasattr(frame, "columns"):
            raise self._columns_error(number, f"a {type(frame).__name__}")
        names = [*map(str, frame.columns)]
        if names == wanted:
            return frame
        if sorted(names) != sorted(wanted):
            raise self._columns_error(number, f"columns {names}")
        return frame.iloc[:, [names.index(name) for name in wanted]]

    def _columns_error(self, number: int, received: str) -> ValueError:
        return ValueError(
            f"`{self.name}` must have the columns in every partition that Dask says it has: "
            f"{list(self.columns.to_read)}. Received: {received} in partition {number}. "
            "Check the function that makes the partitions."
        )

    def _frame_rows(self, number: int, frame: Any) -> np.ndarray:
        """Puts the columns of a pandas frame side by side, (n, D + E) float32 or float64; nulls are NaN."""
        kinds = {getattr(kind, "kind", "") if isinstance(kind, np.dtype) else "" for kind in frame.dtypes}
        if kinds <= set(NUMBER_KINDS):
            is_single = all(kind == np.float32 for kind in frame.dtypes)
            return np.ascontiguousarray(frame.to_numpy(np.float32 if is_single else np.float64))
        table = open_table(self.name, frame.set_axis(list(self.columns.to_read), axis=1))
        if table is None:
            raise TypeError(f"`{self.name}` must be pandas frames in partitions. Received: {type(frame).__name__}.")
        table = dataclasses.replace(table, origin=f" in partition {number}")
        return table_values(self.name, table, self.columns.to_read, allow_empty=True)


def answer_of(number: int, partition: Any, reader: PartitionReader, function: Function) -> Any:
    """Hands the rows of a partition to a function, whose answer goes back."""
    return function(number, reader.blocks(number, partition))


def blocks_of(number: int, partition: Any, reader: PartitionReader, function: Function) -> list[RowBlock]:
    """Makes the blocks of a partition that stay with the worker."""
    return list(function(number, reader.blocks(number, partition)))


def sums_of(number: int, blocks: Sequence[RowBlock], function: Function) -> Any:
    """Hands the held blocks of a partition to a function."""
    return function(number, iter(blocks))


def same(value: Any) -> Any:
    """Hands a value on: a task that workers fetch it from, and that is done again where its worker died."""
    return value
