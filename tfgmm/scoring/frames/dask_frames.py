"""Scores beside the columns of Dask's frames and arrays, partition by partition, where the partitions are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgmm.common.checks import is_instance_of
from tfgmm.common.threads import one_core
from tfgmm.data.files.kinds import words_if_not_numbers
from tfgmm.scoring.frames.part import NAME, PartScorer, table_of
from tfgmm.scoring.frames.request import Request, check_numbers


def scored(frame: Any, request: Request) -> Any:
    """Adds the columns of scores to a Dask DataFrame; nothing is computed.

    Args:
        frame: `dask.dataframe.DataFrame`.
        request: What is asked.

    Returns:
        `dask.dataframe.DataFrame` with the same index, divisions and columns, and the scores behind them.
    """
    from dask.delayed import delayed

    empty = frame._meta  # a pandas frame without rows, with the columns and types of every partition
    table = table_of(empty)
    columns = request.columns_of(table.names, table.named)
    check_numbers({label: _words(empty.iloc[:, place]) for place, label in enumerate(table.names)}, columns)
    scorer = request.part_scorer(columns)
    # One object for all tasks, and not a copy in each
    return frame.map_partitions(scored_partition, delayed(scorer, traverse=False), meta=scored_partition(empty, scorer))


def scored_array(array: Any, request: Request) -> Any:
    """Makes a Dask DataFrame of a Dask Array of rows, with its columns and those of the scores; nothing is computed.

    Args:
        array: `dask.array.Array` (N, D), in any chunks.
        request: What is asked.
    """
    import dask.dataframe as dd

    num_features = request.num_features
    if array.ndim != 2 or array.shape[1] != num_features:
        raise ValueError(
            f"`{NAME}` must have shape (N, {num_features}), the columns of the model. "
            f"Received: a Dask Array of shape {array.shape}. Pass the training columns only."
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"`{NAME}` must hold real numbers. Received: a Dask Array of {array.dtype}. Pass {NAME}.astype('float64')."
        )
    whole_rows = array.rechunk({1: -1})
    return scored(dd.from_dask_array(whole_rows, columns=list(request.features)), request)


def scored_partition(part: Any, scorer: PartScorer, partition_info: Mapping[str, Any] | None = None) -> Any:
    """Adds the columns of scores to a partition, a pandas frame; Dask calls it on a worker.

    Args:
        part: The partition.
        scorer: What scores it.
        partition_info: What Dask says of the partition.
    """
    where = "" if partition_info is None else f" of partition {partition_info['number']}"
    with one_core():
        return part.assign(**scorer.scores(part, lambda row: f"{row}{where}"))


def _words(column: Any) -> str:
    """Says what a column without rows holds, "" for numbers: objects and categories would be known from rows only."""
    import pyarrow as pa

    if column.dtype == object:
        return "text or other objects"
    if is_instance_of(column.dtype, "pandas", "CategoricalDtype"):
        return "categorical"
    try:
        return words_if_not_numbers(pa.array(column).type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return str(column.dtype)
