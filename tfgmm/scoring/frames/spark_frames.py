"""Scores beside the columns of Spark's frames, batch by batch, in the Python processes of the executors."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from tfgmm.common.threads import one_core
from tfgmm.scoring.frames.part import NAME, PartScorer
from tfgmm.scoring.frames.request import Request, check_numbers
from tfgmm.scoring.table_columns import arrow_array


def scored(frame: Any, request: Request) -> Any:
    """Adds the columns of scores to a Spark DataFrame; nothing is computed.

    Args:
        frame: `pyspark.sql.DataFrame`, of a session here or through Spark Connect.
        request: What is asked.

    Returns:
        A DataFrame with the same columns, as they are, and the scores behind them, which are never null.
    """
    from pyspark.sql import types

    fields = frame.schema.fields
    any_case = frame.sparkSession.conf.get("spark.sql.caseSensitive") != "true"
    columns = request.columns_of([field.name for field in fields], any_case=any_case)
    check_numbers({field.name: _words(field.dataType) for field in fields}, columns)
    _check_carried(fields)
    scorer = request.part_scorer(columns)
    kinds = {"float32": types.FloatType(), "float64": types.DoubleType(), "int64": types.LongType()}
    new = [types.StructField(name, kinds[dtype], nullable=False) for name, dtype in scorer.dtypes().items()]
    # By their places: `mapInArrow` does not find columns with dots in their names
    numbered = frame.toDF(*(f"column_{place}" for place in range(len(fields))))
    function = functools.partial(scored_batches, scorer, frame.columns)
    return numbered.mapInArrow(function, types.StructType([*fields, *new]))


def scored_batches(scorer: PartScorer, labels: list[str], batches: Iterator[Any]) -> Iterator[Any]:
    """Yields the batches of a partition with the columns of scores; Spark calls it in a process of an executor.

    Args:
        scorer: What scores them.
        labels: Names of their columns.
        batches: `pyarrow.RecordBatch`es.
    """
    import pyarrow as pa

    number, num_before = _partition(), 0
    for batch in batches:
        with one_core():
            table = pa.Table.from_batches([batch]).rename_columns(labels)
            scores = scorer.scores(table, functools.partial(_place, number, num_before))
        arrays = [*batch.columns, *map(arrow_array, scores.values())]
        yield pa.RecordBatch.from_arrays(arrays, [*labels, *scores])
        num_before += batch.num_rows


def _place(number: int, num_before: int, row: int) -> str:
    return f"{num_before + row} of partition {number}"


def _partition() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    return 0 if context is None else context.partitionId()


def _check_carried(fields: list[Any]) -> None:
    """Checks that Arrow has the types of all columns: Raises TypeError for intervals of months, which it has not."""
    kinds = {field.name: field.dataType.simpleString() for field in fields}
    bad = [f"{name!r} ({kind})" for name, kind in kinds.items() if _NOT_IN_ARROW.search(kind)]
    if bad:
        raise TypeError(
            f"`{NAME}` must have columns that Spark can hand to Python. Received: {', '.join(bad)}. "
            "Leave them out, or cast them to text."
        )


# Intervals with months, by themselves or inside other types, as Spark writes them
_NOT_IN_ARROW = re.compile(r"(^|[:<,])interval($|[>,]| year| month)")


def _words(kind: Any) -> str:
    """Says what a column of a Spark type holds; "" for numbers."""
    from pyspark.sql import types

    if isinstance(kind, (types.NumericType, types.BooleanType, types.NullType)):
        return ""
    return "text" if isinstance(kind, (types.StringType, types.CharType, types.VarcharType)) else kind.simpleString()
