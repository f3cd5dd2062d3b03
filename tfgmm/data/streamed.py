"""Rows that come out of a tf.data dataset, in its own batches.

TensorFlow is imported inside functions: a dataset can only arrive when it is loaded already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tfgmm.common.forks import check_not_forked
from tfgmm.data.blocks import RowBlock


@dataclass(frozen=True, eq=False)
class StreamedRows:
    """Rows of a tf.data dataset, in the data's units. Their number is not known before they are counted.

    Args:
        dataset: `tf.data.Dataset` of (B, D) batches of numbers.
        num_features: D.
        name: What the caller's argument is called in error messages.

    Attributes: Those of a `tfgmm.data.sources.RowSource`.
    """

    dataset: Any
    num_features: int
    name: str = "x"

    column_names: ClassVar[tuple[str, ...] | None] = None
    num_data: ClassVar[int | None] = None
    origin: ClassVar[str | None] = None
    is_in_memory: ClassVar[bool] = False
    has_own_batches: ClassVar[bool] = True
    missing: str = "refuse"
    has_weights: bool = False
    noise_axes: ClassVar[int] = 0

    @property
    def is_endless(self) -> bool:
        """Whether the dataset says of itself that it never ends."""
        import tensorflow as tf

        return int(self.dataset.cardinality()) == int(tf.data.INFINITE_CARDINALITY)

    @property
    def has_known_length(self) -> bool:
        """Whether the dataset says how many batches it has."""
        return int(self.dataset.cardinality()) >= 0  # below are the numbers for unknown and for endless

    @property
    def num_batches(self) -> int:
        """How many batches the dataset says that it has."""
        return int(self.dataset.cardinality())

    def blocks(self) -> Iterator[RowBlock]:
        """Yields the batches of the dataset."""
        return (RowBlock(np.asarray(batch)) for batch in self.dataset.as_numpy_iterator())

    def place(self, row: int) -> str:
        """Names a row in words for an error message: by its number."""
        return str(row)

    def close(self) -> None:
        """Does nothing: the dataset is the caller's."""

    def repeated(self) -> StreamedRows:
        """Repeats the same rows without end."""
        return dataclasses.replace(self, dataset=self.dataset.repeat())


def open_dataset(dataset: Any, name: str, num_features: int | None) -> StreamedRows:
    """Opens a tf.data dataset whose elements are batches of rows, or 1-tuples of them.

    Args:
        dataset: `tf.data.Dataset` of (B, D) batches.
        name: What the caller's argument is called in error messages.
        num_features: D of the model; None takes any that is known.

    Raises:
        TypeError: The elements are labelled, or not numbers.
        ValueError: The elements have another shape.
    """
    check_not_forked("a tf.data dataset")
    import tensorflow as tf

    if isinstance(dataset.element_spec, tuple) and len(dataset.element_spec) == 1:
        # Reading the function's source for Python's ifs and loops would take 0.1 s
        dataset = dataset.map(tf.autograph.experimental.do_not_convert(lambda rows: rows))
        return open_dataset(dataset, name, num_features)
    _check_elements(dataset.element_spec, name, num_features)
    columns = dataset.element_spec.shape[1] if num_features is None else num_features
    return StreamedRows(dataset, int(columns), name)


def _check_elements(spec: Any, name: str, num_features: int | None) -> None:
    import tensorflow as tf

    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(
            f"`{name}` must be a dataset of row batches, each one tensor of shape (B, {num_features}). "
            f"Received: elements {spec}. A mixture has no labels or named inputs: "
            "map each element to its rows, e.g. dataset.map(lambda rows, label: rows)."
        )
    if num_features is None and spec.shape.rank in (None, 2) and spec.shape[1] is None:
        raise ValueError(
            f"`{name}` must be a dataset whose batches have a known number of columns. "
            f"Received: elements of shape {spec.shape if spec.shape.rank is None else tuple(spec.shape)}. "
            "Apply dataset.map(lambda rows: tf.ensure_shape(rows, (None, D)))."
        )
    if not (spec.dtype.is_floating or spec.dtype.is_integer or spec.dtype.is_bool):
        raise TypeError(
            f"`{name}` must be a dataset of numbers. Received: elements of type {spec.dtype.name}. "
            "Map the columns to numbers first."
        )
    if spec.shape.rank is not None and (
        spec.shape.rank != 2 or num_features and spec.shape[1] not in (None, num_features)
    ):
        raise ValueError(
            f"`{name}` must be a dataset of batches of shape (B, {num_features}). "
            f"Received: elements of shape {tuple(spec.shape)}. Use .batch(batch_size) on a dataset of single rows."
        )
