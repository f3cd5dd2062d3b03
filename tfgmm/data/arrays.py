"""Arrays and lists of rows, checked and handed on as one array of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.shapes import check_shape
from tfgmm.data.containers import array_error, dtype_fix, kind_error
from tfgmm.data.table_values import check_not_empty


def number_array(name: str, data: Any, allow_empty: bool) -> np.ndarray:
    """Reads an array, or a list of rows, as (N, D) real numbers of its own type; masked cells become NaN.

    An array is checked, never copied.

    Args:
        name: What the caller's argument is called in error messages.
        data: Anything with `__array__`, or a list or tuple of rows.
        allow_empty: Whether there may be no rows.

    Raises:
        TypeError: It is no array of real numbers.
        ValueError: It has another number of axes, rows of several lengths, or none.

    Example:

    >>> number_array("x", [[1, 2], [3, 4]], allow_empty=False).shape
    (2, 2)
    """
    array = real_array(name, data)
    if 0 in array.shape:
        check_not_empty(name, array.shape, allow_empty)
    if array.ndim != 2:
        plain = name if isinstance(data, np.ndarray) else f"np.asarray({name})"
        one = f"Pass {plain}[:, None] for one column, {plain}[None, :] for one row."
        fix = one if array.ndim == 1 else "Pass one row per observation and one column per feature."
        check_shape(name, array, "ND", fix=fix)
    return array


def real_array(name: str, data: Any) -> np.ndarray:
    """Reads an array, or a list, of any shape as real numbers of its own type; masked cells become NaN.

    Raises:
        TypeError: It is no array of real numbers.
        ValueError: Its rows have several lengths.
    """
    array = _as_array(name, data)
    if array.dtype.kind not in "fiub":
        first = data[0] if isinstance(data, (list, tuple)) and data else None
        raise TypeError(
            f"`{name}` must be an array of real numbers (float, int or bool). Received: dtype {array.dtype}. "
            + dtype_fix(name, array.dtype, first)
        )
    return array


def _as_array(name: str, data: Any) -> np.ndarray:
    if isinstance(data, (list, tuple)):
        if any(isinstance(row, np.ma.MaskedArray) for row in data):
            data = np.ma.array(data)
        else:
            return _of_rows(name, data)
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        floats: Any = data.astype(data.dtype if data.dtype.kind == "f" else np.float64)
        return np.asarray(floats.filled(np.nan))
    if not hasattr(data, "__array__"):
        raise kind_error(name, data, "Pass numpy.asarray(...) of it if it holds numbers.")
    try:
        return np.asarray(data)
    except (TypeError, ValueError, RuntimeError) as error:  # what packages say of tensors that NumPy cannot take
        raise array_error(name, data, error) from error


def _of_rows(name: str, rows: Any) -> np.ndarray:
    try:
        return np.asarray(rows)
    except ValueError as error:
        lengths = [len(row) if hasattr(row, "__len__") else 1 for row in rows]
        odd = next((row for row, length in enumerate(lengths) if length != lengths[0]), 0)
        received = f"{lengths[0]} in row 0, {lengths[odd]} in row {odd}" if odd else "lists of mixed depth"
        raise ValueError(
            f"`{name}` must have rows of one length. Received: {received}. Give every row the same columns."
        ) from error
