"""Rows of one column, as the one-dimensional companions take them, and the errors for rows that they cannot use."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.shapes import check_shape

_FIX = "Pass one column of numbers, e.g. rows[:, 0]."


def one_column(name: str, data: Any, *, num_components: int | None = None, allow_gaps: bool = False) -> np.ndarray:
    """Reads data as one column of finite numbers, (N,) float64.

    Args:
        name: Name of the caller's argument, for messages.
        data: Array (N,), list, pandas or polars Series, or tensor on the processor.
        num_components: Least number of rows; None for any number.
        allow_gaps: Whether values may be NaN or infinite, because the caller looks at them.

    Raises:
        ValueError: not one column; NaN or infinite values; fewer rows than components.
        TypeError: not numbers.

    Example:

    >>> one_column("data", [0, 1, 10])
    array([ 0.,  1., 10.])
    """
    rows = _numbers(name, data)
    check_shape(name, rows, "N", fix=_FIX)
    num_bad = int(len(rows) - np.isfinite(rows).sum())
    if num_bad and not allow_gaps:
        first = int(np.flatnonzero(~np.isfinite(rows))[0])
        raise ValueError(
            f"`{name}` must hold finite numbers. Received: {num_bad} of {len(rows):,} that are NaN or infinite, the "
            f"first in row {first} (rows count from 0). Drop or fill such rows."
        )
    if num_components is not None:
        check_enough_rows(len(rows), num_components)
    return rows


def check_enough_rows(num_data: float, num_components: int) -> None:
    """Checks the number of rows: Raises ValueError unless there are at least as many rows as components."""
    if num_data < num_components:
        raise ValueError(
            f"`num_components` must be at most the number of rows. Received: num_components={num_components} for "
            f"{num_data} rows. Ask for fewer components."
        )


def _numbers(name: str, data: Any) -> np.ndarray:
    try:
        rows = np.asarray(data)
    except (ValueError, TypeError, RuntimeError) as error:  # uneven lists; tensors on a GPU or with a gradient
        raise TypeError(f"`{name}` must be numbers. Received: {type(data).__name__} ({error}). {_FIX}") from error
    if rows.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be numbers. Received: {type(data).__name__} of dtype {rows.dtype}. {_FIX}")
    return rows.astype(np.float64)
