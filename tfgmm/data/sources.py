"""Where rows come from: memory, files, or a tf.data dataset, each seen through one protocol. No TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows, check_num_features, open_rows
from tfgmm.data.row_source import RowSource
from tfgmm.data.streamed import StreamedRows, open_dataset


def open_source(
    data: Any,
    name: str,
    num_features: int | None,
    column_names: tuple[str, ...] | None = None,
    *,
    allow_empty: bool = False,
) -> Rows | StoredRows | StreamedRows:
    """Opens data of any kind that has D columns.

    A folder, and a file whose numbers take more than 32 MiB in float64, stay where they are: `StoredRows`.

    Args:
        data: Anything `read_rows` takes, a tf.data dataset of (B, D) batches, a tuple of one of those, or a source
            opened before, which keeps its name.
        name: What the argument is called in errors.
        num_features: D of the model; None takes any.
        column_names: Names the model was fitted on, if any: named columns are put in that order.
        allow_empty: Whether data without rows is taken.

    Raises:
        ValueError, TypeError: As in `read_rows`; a dataset is not in batches, or yields labels or dicts.

    Example:

    >>> source = open_source([[1.0, 2.0], [3.0, 4.0]], "x", num_features=2)
    >>> source.num_data, [block.values.tolist() for block in source.blocks()]
    (2, [[[1.0, 2.0], [3.0, 4.0]]])
    """
    if not isinstance(data, np.ndarray):
        data = _rows_alone(data, name)
    if isinstance(data, (Rows, StoredRows, StreamedRows)):  # opened by the caller, who chose its columns
        check_num_features(data, name, num_features)
        return data
    if not isinstance(data, np.ndarray) and is_instance_of(data, "tensorflow", "data.Dataset"):
        return open_dataset(data, name, num_features)
    return open_rows(data, name=name, column_names=column_names, num_features=num_features, allow_empty=allow_empty)


def _rows_alone(data: Any, name: str) -> Any:
    """Takes the rows out of a tuple that holds nothing else, and the numbers out of a tensor."""
    if isinstance(data, tuple) and len(data) == 1:
        data = data[0]
    is_parts = isinstance(data, tuple) and any(hasattr(part, "shape") for part in data)
    if is_parts and not all(len(getattr(part, "shape", ())) == 1 for part in data):
        raise TypeError(
            f"`{name}` must be rows alone. Received: a tuple of {len(data)} arrays. "
            "A mixture has no labels or weights: pass the rows only."
        )
    return data.numpy() if is_instance_of(data, "tensorflow", "Tensor") else data


def check_ends(source: RowSource, steps: int | None, fix: str) -> None:
    """Checks rows: Raises ValueError when they have no end and `steps` is None.

    Args:
        source: Rows of any kind.
        steps: Batches to stop after, or None.
        fix: Sentence that says which argument to pass.
    """
    if steps is None and source.is_endless:
        raise ValueError(f"`{source.name}` must be a finite dataset. Received: an endless one. {fix}")
