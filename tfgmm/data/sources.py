"""Where rows come from: memory, files, or a tf.data dataset, each seen through one protocol. No TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.checks import check_choice, is_instance_of
from tfgmm.data.carried.asked import MISSING, Asked
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows, check_num_features, open_rows
from tfgmm.data.row_source import RowSource
from tfgmm.data.shards.recognised import kind_of_shards, stays_error
from tfgmm.data.shards.rows import ShardRows, open_shards
from tfgmm.data.streamed import StreamedRows, open_dataset


def open_source(
    data: Any,
    name: str,
    num_features: int | None,
    column_names: tuple[str, ...] | None = None,
    *,
    allow_empty: bool = False,
    sample_weight: Any = None,
    noise: Any = None,
    missing: str = "refuse",
    may_be_gaps: bool = False,
    may_be_shards: bool = False,
) -> Rows | StoredRows | StreamedRows | ShardRows:
    """Opens data of any kind that has D columns.

    A folder, and a file whose numbers take more than 32 MiB in float64, stay where they are: `StoredRows`.

    Args:
        data: Anything `read_rows` takes, a tf.data dataset of (B, D) batches, or of these and their weights (B,); a
            tuple (rows,) or (rows, None, weights), as Keras passes them; or a source opened before, which keeps its
            name.
        name: What the argument is called in errors.
        num_features: D of the model; None takes any.
        column_names: Names the model was fitted on, if any: named columns are put in that order.
        allow_empty: Whether data without rows is taken, to be scored: no row is left out then, no value refused.
        sample_weight: Weights, (N,) numbers of 0 or more; for tables and files also the name of their column.
        noise: Standard deviations (N, D), covariances (N, D, D), or for tables and files {column: column of its
            standard deviation}.
        missing: "refuse" where a NaN is an error; "integrate" where it is a gap.
        may_be_gaps: Whether there may be no row with a value, of rows in memory: then none is left. Otherwise an error.
        may_be_shards: Whether the caller takes Dask and Spark frames, whose rows stay where they are: `ShardRows`.

    Raises:
        ValueError, TypeError: As in `read_rows`; a dataset is not in batches, or yields labels or dicts; weights or
            noise are asked for where they cannot be.

    Example:

    >>> source = open_source([[1.0, 2.0], [3.0, 4.0]], "x", num_features=2)
    >>> source.num_data, [block.values.tolist() for block in source.blocks()]
    (2, [[[1.0, 2.0], [3.0, 4.0]]])
    """
    check_choice("missing", missing, MISSING)
    weights_part = ""
    if not isinstance(data, np.ndarray):
        data, sample_weight, weights_part = _rows_and_weights(data, name, sample_weight)
    if isinstance(data, ShardRows) and not may_be_shards:
        raise stays_error(name, f"rows of {data.engine_name}")
    if isinstance(data, (Rows, StoredRows, StreamedRows, ShardRows)):  # opened by the caller, who chose its columns
        _check_none_asked(sample_weight, noise, "rows that were opened before", "Pass it where they are opened.")
        check_num_features(data, name, num_features)
        return data
    if not isinstance(data, np.ndarray) and is_instance_of(data, "tensorflow", "data.Dataset"):
        pairs = "Zip the rows with their weights: a dataset of pairs. Noise needs rows in arrays, tables or files."
        _check_none_asked(sample_weight, noise, "a tf.data dataset", pairs)
        return open_dataset(data, name, num_features, missing, allow_empty)
    if may_be_shards and (kind := kind_of_shards(data)):
        return open_shards(kind, data, name, Asked(sample_weight, noise, missing), column_names, num_features)
    asked: dict[str, Any] = {"sample_weight": sample_weight, "noise": noise, "missing": missing}
    asked |= {"are_scored": allow_empty, "weights_part": weights_part, "may_be_gaps": may_be_gaps}
    return open_rows(
        data, name=name, column_names=column_names, num_features=num_features, allow_empty=allow_empty, **asked
    )


def _rows_and_weights(data: Any, name: str, sample_weight: Any) -> tuple[Any, Any, str]:
    """Takes rows and weights out of a tuple, the numbers out of tensors, and says which part the weights were.

    The second of a tuple of two is labels to Keras, and is refused: a mixture has none.
    """
    part = ""
    if isinstance(data, tuple) and len(data) in (1, 2, 3) and all(part is None for part in data[1:]):
        data = data[0] if len(data) else data
    axes = [_num_axes(part) for part in data] if isinstance(data, tuple) else []
    if axes == [2, None, 1]:
        if sample_weight is not None:
            raise TypeError(
                f"`sample_weight` must be left out where `{name}` is a tuple with weights. "
                "Received: weights in both. Pass them once."
            )
        part = f"{name}[{len(axes) - 1}]"
        data, sample_weight = data[0], data[-1]
    elif axes[:2] == [2, None]:
        raise _weights_error(name, data)
    elif axes == [2, 1] or (axes and axes[0] != 1 and any(hasattr(part, "shape") or part is None for part in data)):
        raise _labels_error(name, data)
    if is_instance_of(sample_weight, "tensorflow", "Tensor"):
        sample_weight = sample_weight.numpy()
    return data.numpy() if is_instance_of(data, "tensorflow", "Tensor") else data, sample_weight, part


def _num_axes(part: Any) -> int | None:
    """Counts the axes of a part of a tuple: 2 for rows of any kind; None for None."""
    if part is None:
        return None
    if isinstance(part, (Rows, StoredRows, StreamedRows, ShardRows)) or is_instance_of(
        part, "tensorflow", "data.Dataset"
    ):
        return 2
    if hasattr(part, "shape"):
        return len(part.shape)
    if isinstance(part, (list, tuple)):
        return 1 + (_num_axes(part[0]) or 0 if part else 0)
    return 1 if hasattr(part, "__len__") and not isinstance(part, str) else 0


def _labels_error(name: str, data: tuple[Any, ...]) -> TypeError:
    shapes = ", ".join(_words_of(part) for part in data)
    return TypeError(
        f"`{name}` must be rows alone, or rows and their weights. Received: a tuple of {len(data)} arrays ({shapes}). "
        "A mixture has no labels: pass the rows only, or (rows, None, weights) with one weight per row."
    )


def _weights_error(name: str, data: tuple[Any, ...]) -> ValueError:
    """Makes the error for a tuple of rows and None whose further parts are not the weights of the rows."""
    shapes = ", ".join(_words_of(part) for part in data)
    fix = f"Pass {name}[2][:, 0] for one column of an array" if _num_axes(data[2]) == 2 else "Pass one weight per row"
    return ValueError(
        f"`{name}` must be rows alone, or (rows, None, weights) with weights of shape (N,). "
        f"Received: a tuple of {len(data)} parts ({shapes}). {fix}; noise is an argument of its own, noise=..."
    )


def _words_of(part: Any) -> str:
    shape = getattr(part, "shape", None)
    return type(part).__name__ if shape is None else f"shape {tuple(shape)}"


def _check_none_asked(sample_weight: Any, noise: Any, received: str, fix: str) -> None:
    for argument, value in (("sample_weight", sample_weight), ("noise", noise)):
        if value is not None:
            raise TypeError(f"`{argument}` must be left out for {received}. Received: a {type(value).__name__}. {fix}")


def check_ends(source: RowSource, steps: int | None, fix: str) -> None:
    """Checks rows: Raises ValueError when they have no end and `steps` is None.

    Args:
        source: Rows of any kind.
        steps: Batches to stop after, or None.
        fix: Sentence that says which argument to pass.
    """
    if steps is None and source.is_endless:
        raise ValueError(f"`{source.name}` must be a finite dataset. Received: an endless one. {fix}")
