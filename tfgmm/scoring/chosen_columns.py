"""Columns that a question is about, chosen by number or name."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of


def column_mask(argument: str, columns: Any, num_features: int, column_names: Sequence[str] | None) -> np.ndarray:
    """Marks the columns that a list of numbers and names means, (D,) bool.

    Args:
        argument: Name of the argument, for errors.
        columns: Numbers and names of columns.
        num_features: D.
        column_names: Names of all columns, where they have names.

    Raises:
        ValueError: No column has this number or name, or one is there twice.
    """
    known = f"names ({', '.join(column_names)}) or " if column_names else ""
    wanted = f"`{argument}` must be a list of {known}numbers from 0 to {num_features - 1}, each once"
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise ValueError(f"{wanted}. Received: {columns!r}. Put what you mean in a list.")
    columns = list(columns)
    if any(isinstance(column, (bool, np.bool_)) for column in columns):
        raise ValueError(f"{wanted}. Received: {columns!r}. Pass np.flatnonzero of a mask.")
    mask = np.zeros(num_features, bool)
    for column in columns:
        place = _place(column, num_features, column_names)
        if place is None or mask[place]:
            raise ValueError(f"{wanted}. Received: {column!r} among {columns!r}. Take it out.")
        mask[place] = True
    return mask


def _place(column: Any, num_features: int, column_names: Sequence[str] | None) -> int | None:
    if isinstance(column, str):
        return list(column_names).index(column) if column_names and column in column_names else None
    try:
        place = operator.index(column)
    except TypeError:
        return None
    return place if 0 <= place < num_features else None


def with_columns(x: Any, column_names: Sequence[str] | None, needed: np.ndarray) -> Any:
    """Adds to a pandas DataFrame the columns that it lacks and that are not needed, without values.

    Args:
        x: Rows of any kind; all but DataFrames stay as they are.
        column_names: D names of the columns, or None.
        needed: (D,) bool, the columns that are needed.
    """
    if not column_names or not is_instance_of(x, "pandas", "DataFrame"):
        return x
    absent = [name for name, is_needed in zip(column_names, needed) if not is_needed and name not in x]
    return x.assign(**dict.fromkeys(absent, np.nan)) if absent else x
