"""Scores beside the columns of frames in memory: pandas, polars, and tables of Arrow."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.scoring.frames.part import table_of
from tfgmm.scoring.frames.request import Request
from tfgmm.scoring.table_columns import arrow_array


def scored(frame: Any, request: Request) -> Any:
    """Scores a frame at once.

    Args:
        frame: DataFrame of pandas or polars, or Table of pyarrow; it is not changed.
        request: What is asked.

    Returns:
        A frame of the same kind with the same rows and columns, and the scores behind them.
    """
    table = table_of(frame)
    columns = request.columns_of(table.names, table.named)
    return with_columns(frame, request.part_scorer(columns).scores(frame))


def with_columns(frame: Any, scores: dict[str, np.ndarray]) -> Any:
    """Puts columns, (N,) each, behind those of a frame, whose rows they follow by position."""
    if is_instance_of(frame, "pandas", "DataFrame"):
        return frame.assign(**scores)
    if is_instance_of(frame, "polars", "DataFrame"):
        import polars as pl

        return frame.with_columns([pl.Series(name, values) for name, values in scores.items()])
    for name, values in scores.items():
        frame = frame.append_column(name, [arrow_array(values)])
    return frame
