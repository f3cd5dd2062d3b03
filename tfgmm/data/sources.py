"""Where rows come from: memory, files, or a tf.data dataset, each seen through one protocol. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.data.blocks import RowBlock
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows, check_num_features, open_rows
from tfgmm.data.streamed import StreamedRows, open_dataset


class RowSource(Protocol):
    """Rows of any kind: `Rows` in memory, `StoredRows` in files, `StreamedRows` out of a tf.data dataset."""

    @property
    def name(self) -> str:
        """What the caller's argument is called in error messages."""

    @property
    def origin(self) -> str | None:
        """Path of the file or folder that the rows are read from as they are needed; None for other rows."""

    @property
    def num_features(self) -> int:
        """D, the number of columns."""

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """D names, or None when the data had none."""

    @property
    def num_data(self) -> int | None:
        """N, the number of rows; None when it is not known."""

    @property
    def is_in_memory(self) -> bool:
        """Whether all rows are in memory, so that looking at them again costs nothing."""

    @property
    def has_own_batches(self) -> bool:
        """Whether the blocks are batches that the caller made, in the caller's order."""

    @property
    def has_known_length(self) -> bool:
        """Whether it is known before reading how far the rows go: neither endless nor of unknown length."""

    @property
    def is_endless(self) -> bool:
        """Whether the rows are known to have no end."""

    def blocks(self) -> Iterator[RowBlock]:
        """Yields all rows in their order, block by block, in data units; NaN and infinite values as they are."""

    def place(self, row: int) -> str:
        """Names a row, counted from 0 over all blocks, in words for an error message."""

    def close(self) -> None:
        """Closes files; reading opens them again."""


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
    if isinstance(data, tuple) and any(hasattr(part, "shape") for part in data):
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
