"""What Spark's workers do with the record batches of a partition. They load neither TensorFlow nor pyspark's frames."""

from __future__ import annotations

import functools
import gc
import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.version import __version__
from tfgmm.data.blocks import RowBlock, rows_per_block
from tfgmm.data.files.streams import RowStream
from tfgmm.data.shards.chosen_columns import ShardColumns
from tfgmm.data.shards.eights import added

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of what workers give: one row for each partition, or one for each block
ANSWERS = "number int, answer binary"
BLOCKS = "block binary"


class RowLayout(NamedTuple):
    """How rows lie in record batches, whose columns are those to read, in their order.

    Args:
        columns: The columns to read.
        dtype: "float32" or "float64".
    """

    columns: ShardColumns
    dtype: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Names that the columns have in record batches: the user's may hold letters that mean something to Spark."""
        return tuple(f"column{index}" for index in range(len(self.columns.to_read)))


def read(layout: RowLayout, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a partition as blocks, whose ends do not depend on where those of the batches are."""
    stream = RowStream((batch for batch in batches), layout.labels, np.dtype(layout.dtype))
    size = rows_per_block(len(layout.labels))
    while len(rows := stream.read(size)):
        yield _written(rows)


def of_rows(
    function: Callable[[int, Iterator[RowBlock]], Any], columns: ShardColumns, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yields what the function says of the rows of a partition that `read` has read, beside the versions here."""
    number = _number_of_partition()
    yield _answer(number, (versions(), function(number, map(columns.block, _blocks(batches)))))


def made_of_rows(
    function: Callable[[int, Iterator[RowBlock]], Iterator[RowBlock]],
    columns: ShardColumns,
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Yields the blocks that the function makes of the rows of a partition that `read` has read."""
    yield from map(_written, function(_number_of_partition(), map(columns.block, _blocks(batches))))


def of_blocks(
    function: Callable[[int, Iterator[RowBlock]], np.ndarray], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yields what the function says of the blocks of a partition that `made_of_rows` made."""
    _keep_modules_from_collection()
    number = _number_of_partition()
    yield _answer(number, function(number, _blocks(batches)))


@functools.cache
def _keep_modules_from_collection() -> None:
    """Exempts what this process has loaded from collections of garbage: Spark makes a full one after every task.

    It takes 30 ms where NumPy, Arrow and pandas are loaded: longer than the sums over a small partition.
    """
    gc.freeze()


def versions() -> dict[str, str]:
    """Lists the versions of what decides the bytes, which must be the same on all workers."""
    return {"tfgmm": __version__, "numpy": np.__version__}


def _written(block: Any) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch([pa.array([pickle.dumps(block, protocol=5)], pa.binary())], names=["block"])


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[Any]:
    return (pickle.loads(block.as_buffer()) for batch in batches for block in batch.column("block"))


def of_eight(table: pa.Table) -> pa.Table:
    """Adds the arrays of up to eight partitions in their order; the sum takes the number of the eight."""
    import pyarrow as pa

    rows = sorted(table.to_pylist(), key=lambda row: row["number"])
    total = added([pickle.loads(row["answer"]) for row in rows])
    return pa.Table.from_batches([_answer(rows[0]["eight"], total)])


def _number_of_partition() -> int:
    from pyspark import TaskContext

    task = TaskContext.get()
    if task is None:
        raise RuntimeError("this is done on Spark's workers alone. Received: a call elsewhere. Give it to mapInArrow.")
    return int(task.partitionId())


def _answer(number: int, answer: Any) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [pa.array([number], pa.int32()), pa.array([pickle.dumps(answer, protocol=5)], pa.binary())]
    return pa.record_batch(columns, names=["number", "answer"])
