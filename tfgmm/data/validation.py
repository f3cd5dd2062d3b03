"""Rows to validate on: in the columns of those to train on, with weights and noise of their own."""

from __future__ import annotations

import os
from typing import Any

from tfgmm.common.checks import is_instance_of
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import open_source

NAME = "validation_data"


def open_validation(
    data: Any, training: RowSource, column_names: tuple[str, ...] | None = None, may_be_shards: bool = False
) -> RowSource:
    """Opens rows to validate on: alone, or as Keras has them, (rows, None, weights), and their noise behind if any.

    In tables and files the columns that hold the weights and the noise of the rows to train on are read for them too.

    Args:
        data: Rows of any kind, or a tuple of up to four parts, or a list of these with None as the second.
        training: The rows to train on.
        column_names: Names of the columns, where the rows to train on have none.
        may_be_shards: As in `open_source`.

    Raises:
        ValueError, TypeError: There are labels; the rows to train on have noise, and these have none; as `open_source`.
    """
    rows, carried = _taken_apart(data)
    if _has_names(rows):
        noise = {label: error for label, error in zip(training.column_names or (), training.noise_columns) if error}
        carried = {"sample_weight": training.weights_name or None, "noise": noise or None} | carried
    names = training.column_names or column_names
    source = open_source(
        rows, NAME, training.num_features, names, missing=training.missing, may_be_shards=may_be_shards, **carried
    )
    if training.noise_axes and not source.noise_axes:
        raise ValueError(
            f"`{NAME}` must have measurement noise, as the rows to train on have: rows with noise are spread more "
            "widely. Received: rows without. Pass (rows, None, weights or None, noise)."
        )
    return source


def _taken_apart(data: Any) -> tuple[Any, dict[str, Any]]:
    """Takes rows, and the weights and the noise that are stated, out of a tuple, or of a list that says None."""
    is_list = isinstance(data, list) and len(data) > 1 and data[1] is None  # two paths are a set of files
    if not ((isinstance(data, tuple) or is_list) and 2 <= len(data) <= 4 and _is_whole_table(data[0])):
        return data, {}
    rows, labels, *others = data
    if labels is not None:
        raise TypeError(
            f"`{NAME}` must be rows, or (rows, None, weights): a mixture has no labels. "
            f"Received: a tuple whose second part is a {type(labels).__name__}. Pass None there."
        )
    stated = zip(("sample_weight", "noise"), others)
    return rows, {name: value for name, value in stated if value is not None}


def _is_whole_table(part: Any) -> bool:
    """Tells whether the first part of a tuple is rows by itself, and not one row of a nested list."""
    is_table = len(getattr(part, "shape", ())) > 1 or hasattr(part, "__arrow_c_stream__")
    is_nested = isinstance(part, list) and bool(part) and isinstance(part[0], (list, tuple))
    is_stream = is_instance_of(part, "tensorflow", "data.Dataset")
    return is_table or is_nested or is_stream or isinstance(part, (str, os.PathLike))


def _has_names(rows: Any) -> bool:
    """Tells whether rows come from a file or a table, whose columns have names."""
    is_table = hasattr(rows, "columns") or (hasattr(rows, "__arrow_c_stream__") and not hasattr(rows, "__array__"))
    return isinstance(rows, (str, os.PathLike)) or is_table
