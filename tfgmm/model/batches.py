"""Batches of centred rows as tf.data pipelines, from rows of any kind."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.data import blocks
from tfgmm.data.blocks import RowBlock
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows
from tfgmm.data.row_source import RowSource
from tfgmm.data.streamed import StreamedRows
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import check_finite, no_rows_error
from tfgmm.model.row_elements import element_of, element_of_dataset, spec_of

_LARGEST_BATCH = 65_536
_SMALLEST_BATCH = 1_024
# Numbers in the (batch, K, D) tensor of a training step: about 130 MB each, and a step keeps several.
_BATCH_NUMBERS = 2**25
# Batches made ahead of the one that is being trained on: of rows in memory, of rows in files
_AHEAD_IN_MEMORY, _AHEAD_IN_FILES = 2, 1


class Batches(NamedTuple):
    """`dataset` of batches of centred rows; endless, where their number is known, and then cut into epochs.

    An element is (B, D) float32, or a dict where rows have weights, noise or gaps; see `row_elements`. `from_epoch`
    makes the dataset that begins with another epoch; None where the rows come in an order that is not ours.
    """

    dataset: tf.data.Dataset
    steps_per_epoch: int | None
    batch_size: int | None
    from_epoch: Callable[[int], tf.data.Dataset] | None = None

    @property
    def num_batches(self) -> int | None:
        """Steps of one epoch, or None when the number is unknown."""
        return self.steps_per_epoch


class _Order(NamedTuple):
    """How endless batches follow each other.

    Args:
        batch_size: B.
        num_batches: Batches of one pass over the rows.
        seed: Seed of the order.
        shuffle: Whether each pass has an order of its own, a pure function of (seed, pass).
        first_pass: Number of the first pass.
        skip: Batches of the first pass to leave out.
    """

    batch_size: int
    num_batches: int
    seed: int
    shuffle: bool
    first_pass: int
    skip: int


def default_batch_size(num_data: float, num_components: int, num_features: int) -> int:
    """Chooses B: all rows when they are few, else about 64 K rows, and fewer where K x D would make batches huge.

    Example:

    >>> default_batch_size(3_000, 3, 2), default_batch_size(10**7, 32, 16), default_batch_size(10**7, 500, 512)
    (3000, 65536, 1024)
    """
    affordable = max(_SMALLEST_BATCH, _BATCH_NUMBERS // (num_components * num_features))
    return math.ceil(min(num_data, _LARGEST_BATCH, affordable))


def training_batches(
    source: RowSource,
    centre: np.ndarray,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
    steps_per_epoch: int | None,
    initial_epoch: int = 0,
) -> Batches:
    """Makes endless batches, each pass in an order that is a pure function of (seed, pass).

    Stored rows are shuffled as `StoredRows.block_order` says, and read by a thread beside the training. A tf.data
    dataset keeps its own batches and order, and its epochs end where it ends. The last, short batch of a pass is
    included.

    Args:
        source: Rows of any kind.
        centre: (D,) float64, data units.
        batch_size: B; a dataset has its own.
        seed: Seed of the order.
        shuffle: Whether to shuffle; False keeps the order of the rows.
        steps_per_epoch: Steps that make an epoch; by default one pass over the rows.
        initial_epoch: Number of epochs done before, whose batches are skipped: a resumed run continues there.
    """
    if source.num_data is None:
        dataset = _in_order(source, centre, None)
        length = num_batches_of(source)
        if length is None:
            return Batches(dataset, steps_per_epoch, None)
        return Batches(dataset.repeat(), min(steps_per_epoch or length, length), None)
    num_batches = math.ceil(source.num_data / batch_size)
    steps = steps_per_epoch or num_batches

    def from_epoch(epoch: int) -> tf.data.Dataset:
        first_pass, skip = divmod(epoch * steps, num_batches)
        return _endless(source, centre, _Order(batch_size, num_batches, seed, shuffle, first_pass, skip))

    return Batches(from_epoch(initial_epoch), steps, batch_size, from_epoch)


def num_batches_of(source: RowSource, batch_size: int | None = None) -> int | None:
    """Counts the batches of one pass over rows; None where nobody knows.

    Args:
        source: Rows of any kind.
        batch_size: B; a dataset has its own.
    """
    if isinstance(source, StreamedRows):
        return source.num_batches if source.has_known_length else None
    return None if source.num_data is None or batch_size is None else math.ceil(source.num_data / batch_size)


def ordered_batches(source: RowSource, centre: np.ndarray, batch_size: int | None) -> tf.data.Dataset:
    """Makes batches of centred rows in their own order, for evaluation. A dataset has its own `batch_size`.

    Without a `batch_size`, rows in memory are one batch, and stored rows come 65,536 at a time. Stored rows are read
    once more, to check that they are finite.

    Raises:
        ValueError: The rows hold NaN or infinite values, or a dataset has no rows.
    """
    _check_rows(source)
    return _in_order(source, centre, batch_size)


# --- Where the kinds of rows differ ------------------------------------------------------------------------------


@functools.singledispatch
def _in_order(source: Any, centre: np.ndarray, batch_size: int | None) -> tf.data.Dataset:
    """Makes batches of centred rows in the order of the rows, in one pass; the last may be short."""
    raise NotImplementedError(type(source).__name__)


@functools.singledispatch
def _check_rows(source: Any) -> None:
    """Checks rows before they are evaluated: Raises ValueError unless there are some and all are as they must be."""
    check_finite(source)


@_check_rows.register
def _(source: StreamedRows) -> None:
    if next(iter(source.dataset.take(1)), None) is None:
        raise no_rows_error(source.name)


@functools.singledispatch
def _endless(source: Any, centre: np.ndarray, order: _Order) -> tf.data.Dataset:
    """Makes batches of centred rows, pass after pass; the last of a pass may be short."""
    raise NotImplementedError(type(source).__name__)


@_in_order.register
def _(source: Rows, centre: np.ndarray, batch_size: int | None) -> tf.data.Dataset:
    size = batch_size or source.num_data
    return _slices(_in_tensors(source, centre), size, math.ceil(source.num_data / size))


@_in_order.register
def _(source: StoredRows, centre: np.ndarray, batch_size: int | None) -> tf.data.Dataset:
    size = batch_size or blocks.BLOCK_ROWS

    def batches() -> Iterator[Any]:
        return map(_centring(source, centre), source.batches(size))

    return _from_generator(batches, source, math.ceil(source.num_data / size))


@_in_order.register
def _(source: StreamedRows, centre: np.ndarray, batch_size: int | None) -> tf.data.Dataset:
    may_have_gaps = source.missing == "integrate"
    return _mapped(source.dataset, lambda *batch: element_of_dataset(batch, centre, may_have_gaps=may_have_gaps))


@_endless.register
def _(source: Rows, centre: np.ndarray, order: _Order) -> tf.data.Dataset:
    rows = _in_tensors(source, centre)
    if order.num_batches == 1:
        dataset = tf.data.Dataset.from_tensors(rows).repeat()
    elif not order.shuffle:
        dataset = _slices(rows, order.batch_size, order.num_batches).repeat()
        dataset = dataset.skip(order.skip) if order.skip else dataset
    else:
        one_pass = tf.autograph.experimental.do_not_convert(functools.partial(_shuffled, rows, source.num_data, order))
        dataset = tf.data.Dataset.counter(start=order.first_pass).flat_map(one_pass).skip(order.skip)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return dataset.prefetch(_AHEAD_IN_MEMORY)


@_endless.register
def _(source: StoredRows, centre: np.ndarray, order: _Order) -> tf.data.Dataset:
    def batches() -> Iterator[Any]:
        for number in itertools.count(order.first_pass):
            skip = order.skip if number == order.first_pass else 0
            rows = source.batches(order.batch_size, seed=order.seed, epoch=number, shuffle=order.shuffle, skip=skip)
            yield from map(_centring(source, centre), rows)

    return _from_generator(batches, source, tf.data.INFINITE_CARDINALITY)


# --- Their parts -------------------------------------------------------------------------------------------------


def has_gaps(source: RowSource) -> bool:
    """Tells whether rows may have gaps: for rows in memory, whether some have."""
    if source.missing != "integrate":
        return False
    return not isinstance(source, Rows) or bool(np.isnan(source.values).any())


def _in_tensors(source: Rows, centre: np.ndarray) -> Any:
    """Makes one element of all rows in memory, of tensors."""
    block = RowBlock(centre_rows(source, centre), source.weights, source.noise)
    return tf.nest.map_structure(tf.constant, element_of(block, has_gaps=has_gaps(source)))


def _slices(rows: Any, batch_size: int, num_batches: int) -> tf.data.Dataset:
    def slice_of(number: Tensor) -> Any:
        return tf.nest.map_structure(lambda part: part[number * batch_size : (number + 1) * batch_size], rows)

    return _mapped(tf.data.Dataset.range(num_batches), slice_of)


def _shuffled(rows: Any, num_rows: int, order: _Order, number: Tensor) -> tf.data.Dataset:
    places = tf.random.experimental.stateless_shuffle(tf.range(num_rows), seed=tf.stack([order.seed, number]))

    def chosen(batch: Tensor) -> Any:
        return tf.nest.map_structure(lambda part: tf.gather(part, batch), rows)

    return _mapped(_slices(places, order.batch_size, order.num_batches), chosen)


def _mapped(dataset: tf.data.Dataset, function: Any) -> tf.data.Dataset:
    """Maps a function over a dataset without AutoGraph, which would take 0.1 s to read the function's source."""
    return dataset.map(tf.autograph.experimental.do_not_convert(function))


def _centring(source: StoredRows, centre: np.ndarray) -> Callable[[RowBlock], Any]:
    may_have_gaps = has_gaps(source)

    def element(block: RowBlock) -> Any:
        centred = centre_rows(block.values, centre, name=source.name)
        return element_of(block._replace(values=centred), has_gaps=may_have_gaps)

    return element


def _from_generator(batches: Callable[[], Iterator[Any]], source: StoredRows, length: int) -> tf.data.Dataset:
    """Makes a dataset of batches that Python reads, in a thread beside the training."""
    spec = spec_of(source, has_gaps=has_gaps(source))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
    return dataset.apply(tf.data.experimental.assert_cardinality(length)).prefetch(_AHEAD_IN_FILES)


def split_rows(source: RowSource, validation_split: float) -> tuple[Rows, Rows]:
    """Splits rows, as Keras does, into those before the last `validation_split` share of them, and that share.

    Raises:
        ValueError: The share leaves no row to train on, or the rows are read from files as they are needed.
    """
    if not isinstance(source, Rows):
        raise ValueError(
            f"`validation_split` must be left out when the rows are read from files as they are needed. "
            f"Received: {validation_split}, with '{source.origin}'. "
            "Write the rows to validate on to a file of their own, and pass it as validation_data."
        )
    num_rows = source.num_data
    num_kept = num_rows - int(math.ceil(num_rows * validation_split)) if 0 < validation_split < 1 else 0
    if num_kept < 1:
        raise ValueError(
            "`validation_split` must be between 0 and 1 and leave at least one row to train on. "
            f"Received: {validation_split}, with {num_rows} rows. Pass a smaller share, or validation_data."
        )
    return source.part(slice(num_kept)), source.part(slice(num_kept, None))
