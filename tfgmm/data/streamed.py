"""Rows that come out of a tf.data dataset, in its own batches.

TensorFlow is imported inside functions: a dataset can only arrive when it is loaded already.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tfgmm.common.forks import check_not_forked
from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import pair_words
from tfgmm.data.carried.cleaning import Cleaning, LeftOut


@dataclass(frozen=True, eq=False)
class StreamedRows:
    """Rows of a tf.data dataset, in the data's units. Their number is not known before they are counted.

    Args:
        dataset: `tf.data.Dataset` of (B, D) batches of numbers.
        num_features: D.
        name: What the caller's argument is called in error messages.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
        has_weights: Whether the elements are pairs of rows and their weights, (B,).
        are_scored: Whether the rows are to be scored: none is left out then, and no value is refused.
        left_out: Counts of the latest pass over `blocks`.

    Attributes: Those of a `tfgmm.data.sources.RowSource`.
    """

    dataset: Any
    num_features: int
    name: str = "x"
    missing: str = "refuse"
    has_weights: bool = False
    are_scored: bool = False
    left_out: LeftOut = field(default_factory=LeftOut)

    column_names: ClassVar[tuple[str, ...] | None] = None
    num_data: ClassVar[int | None] = None
    origin: ClassVar[str | None] = None
    is_in_memory: ClassVar[bool] = False
    has_own_batches: ClassVar[bool] = True
    noise_axes: ClassVar[int] = 0
    noise_columns: ClassVar[tuple[str, ...]] = ()

    @property
    def weights_name(self) -> str | None:
        """ "" where rows have weights, which have no name; else None."""
        return "" if self.has_weights else None

    @property
    def num_empty(self) -> int:
        """Rows without any value that the latest pass over `blocks` left out."""
        return self.left_out.num_empty

    @property
    def num_weightless(self) -> int:
        """Rows of weight 0 that the latest pass over `blocks` left out."""
        return self.left_out.num_weightless

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
        """Yields the batches of the dataset.

        Raises:
            ValueError: Where rows have weights, or a NaN is a gap: a number is not what it must be.
        """
        if self.missing == "refuse" and not self.has_weights:
            return (RowBlock(np.asarray(batch)) for batch in self.dataset.as_numpy_iterator())
        return self._clean_blocks()

    def _clean_blocks(self) -> Iterator[RowBlock]:
        """Yields the batches, without the rows that say nothing, which are counted."""
        part = f"{self.name}[1]"
        clean = Cleaning(self.name, None, self.missing, self.are_scored, weights_part=part)
        self.left_out.num_empty = self.left_out.num_weightless = start = 0
        for batch in self.dataset.as_numpy_iterator():
            rows, weights = batch if self.has_weights else (batch, None)
            values = np.asarray(rows)
            if weights is not None and len(weights) != len(values):
                raise ValueError(
                    f"`sample_weight` must have one weight per row. Received: {len(weights)} weights for a batch of "
                    f"{len(values)} rows.{pair_words(part)}"
                )
            block = RowBlock(values, None if weights is None else np.asarray(weights, np.float64))
            place = functools.partial(_place_after, start)
            start += len(values)
            yield clean(block, place, self.left_out)

    def place(self, row: int) -> str:
        """Names a row in words for an error message: by its number."""
        return str(row)

    def close(self) -> None:
        """Does nothing: the dataset is the caller's."""

    def repeated(self) -> StreamedRows:
        """Repeats the same rows without end."""
        return dataclasses.replace(self, dataset=self.dataset.repeat())


def _place_after(start: int, row: int) -> str:
    return str(start + row)


def open_dataset(
    dataset: Any, name: str, num_features: int | None, missing: str = "refuse", are_scored: bool = False
) -> StreamedRows:
    """Opens a tf.data dataset of batches of rows, of 1-tuples of them, or of (rows, weights) or (rows, None, weights).

    Args:
        dataset: `tf.data.Dataset` of (B, D) batches.
        name: What the caller's argument is called in error messages.
        num_features: D of the model; None takes any that is known.
        missing, are_scored: As in `StreamedRows`.

    Raises:
        TypeError: The elements are labelled, or not numbers.
        ValueError: The elements have another shape.
    """
    check_not_forked("a tf.data dataset")

    dataset, has_weights = _rows_and_weights(dataset)
    spec = dataset.element_spec[0] if has_weights else dataset.element_spec
    _check_elements(spec, name, num_features)
    columns = spec.shape[1] if num_features is None else num_features
    return StreamedRows(dataset, int(columns), name, missing, has_weights, are_scored)


def _rows_and_weights(dataset: Any) -> tuple[Any, bool]:
    """Takes the rows out of elements that are 1-tuples, rows and weights out of others, and tells whether it did."""
    import tensorflow as tf

    def mapped(function: Any) -> Any:  # reading the function's source for Python's ifs and loops would take 0.1 s
        return dataset.map(tf.autograph.experimental.do_not_convert(function))

    spec = dataset.element_spec
    if not isinstance(spec, tuple):
        return dataset, False
    is_none, is_pair = [isinstance(part, tf.NoneTensorSpec) for part in spec], len(spec) == 2
    if is_none == [False, True, False] and _are_weights(spec[2], False):
        return mapped(lambda rows, _, weights: (rows, weights)), True
    if is_none == [False, *[True] * (len(spec) - 1)]:
        return mapped(lambda rows, *_: rows), False
    return dataset, is_pair and _are_weights(spec[1], True)


def _are_weights(spec: Any, is_pair: bool) -> bool:
    """Tells whether a part of an element can be weights, (B,) numbers; whole ones in a pair are taken for labels."""
    import tensorflow as tf

    if not isinstance(spec, tf.TensorSpec) or spec.shape.rank != 1:
        return False
    return bool(spec.dtype.is_floating or spec.dtype.is_integer and not is_pair)


def _check_elements(spec: Any, name: str, num_features: int | None) -> None:
    import tensorflow as tf

    if isinstance(spec, tuple) and len(spec) == 3 and isinstance(spec[1], tf.NoneTensorSpec):
        raise TypeError(
            f"`{name}` must be a dataset of batches of rows, or of (rows, None, weights) with weights of shape (B,), "
            f"numbers. Received: weights {spec[2]}. "
            "Apply dataset.map(lambda rows, _, weights: (rows, None, tf.reshape(weights, [-1])))."
        )
    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(
            f"`{name}` must be a dataset of row batches, each one tensor of shape (B, {num_features}). "
            f"Received: elements {spec}. A mixture has no labels or named inputs: "
            "map each element to its rows, e.g. dataset.map(lambda rows, label: rows), or to rows and weights, (B,) "
            "floats: whole numbers are taken for labels."
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
