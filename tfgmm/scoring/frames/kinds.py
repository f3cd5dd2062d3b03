"""The kinds of frame that are scored: told apart without importing what they come from."""

from __future__ import annotations

import os
from typing import Any

from tfgmm.common.checks import is_instance_of
from tfgmm.scoring.frames import in_memory
from tfgmm.scoring.frames.part import NAME
from tfgmm.scoring.frames.request import Request

_IN_MEMORY = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))
# What else people pass, and what to do
_ADVICE = (
    ("polars", "LazyFrame", f"Pass {NAME}.collect()."),
    ("pyarrow", "RecordBatch", f"Pass pyarrow.table({NAME})."),
    ("pandas", "Series", f"Pass {NAME}.to_frame()."),
    ("polars", "Series", f"Pass {NAME}.to_frame()."),
    ("dask.dataframe", "Series", f"Pass {NAME}.to_frame()."),
    ("pyspark.sql", "Column", "Pass the DataFrame with that column."),
)


def scored_frame(frame: Any, request: Request) -> Any:
    """Adds the columns of scores to a frame of any kind.

    Raises:
        TypeError: It is no frame, or a column does not hold numbers.
        ValueError: Its columns are not those of the model, or a name is taken.
    """
    if any(is_instance_of(frame, *kind) for kind in _IN_MEMORY):
        return in_memory.scored(frame, request)
    if is_instance_of(frame, "dask.dataframe", "DataFrame"):
        from tfgmm.scoring.frames import dask_frames

        return dask_frames.scored(frame, request)
    if is_instance_of(frame, "dask.array", "Array"):
        from tfgmm.scoring.frames import dask_frames

        return dask_frames.scored_array(frame, request)
    if is_instance_of(frame, "pyspark.sql", "DataFrame"):
        from tfgmm.scoring.frames import spark_frames

        return spark_frames.scored(frame, request)
    raise _kind_error(frame)


def _kind_error(frame: Any) -> TypeError:
    fix = "Pass a frame; of arrays and lists, log_prob and its like give the scores themselves."
    if isinstance(frame, (str, os.PathLike)):
        fix = "Score files and folders with the command `tfgmm score`."
    for package, class_name, advice in _ADVICE:
        if is_instance_of(frame, package, class_name):
            fix = advice
    kinds = "a DataFrame of pandas, polars, Dask or Spark, a Dask Array, or an Arrow table"
    received = f"{type(frame).__module__.split('.')[0]}.{type(frame).__qualname__}".removeprefix("builtins.")
    return TypeError(f"`{NAME}` must be {kinds}. Received: {received}. {fix}")
