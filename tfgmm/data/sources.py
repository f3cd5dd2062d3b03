"""The one door into training: rows of any kind in, batches of centred float32 rows out, as tf.data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from tfgmm.data import blocks
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows, open_rows
from tfgmm.data.summary import DataSummary, SummaryAccumulator, check_finite
from tfgmm.data.summary import centre as centre_rows
from tfgmm.model.batches import endless_batches, one_pass

Tensor = Any
Source: TypeAlias = "Rows | StoredRows | tf.data.Dataset"

NOT_FINITE = "rows must hold finite numbers: a batch of the dataset has a NaN or infinite value"

# Rows that tell enough of a stream to start from.
SAMPLE_ROWS = blocks.SAMPLE_ROWS

_LARGEST_BATCH = 65_536
_SMALLEST_BATCH = 1_024
# Numbers in the (batch, K, D) tensor of a training step: about 130 MB each, and a step keeps several.
_BATCH_NUMBERS = 2**25
# The same of a sweep, which works through its rows chunk by chunk: with more, callbacks would hear seldom.
_SWEEP_NUMBERS = 2**28


class Batches(NamedTuple):
    """`dataset` of (B, D) float32 centred rows; endless when `steps_per_epoch` says where an epoch ends."""

    dataset: tf.data.Dataset
    steps_per_epoch: int | None
    batch_size: int | None

    @property
    def num_batches(self) -> int | None:
        """Steps of one epoch, or None when nobody knows."""
        length = int(self.dataset.cardinality())
        return self.steps_per_epoch or (length if length > 0 else None)


def open_source(
    data: Any,
    name: str,
    num_features: int | None,
    column_names: tuple[str, ...] | None = None,
    *,
    allow_empty: bool = False,
) -> Source:
    """Returns `data` as `Rows` in memory, `StoredRows` in files, or the tf.data dataset that it is, with D columns.

    A folder, and a file whose numbers take more than 32 MiB in float64, stay where they are: `StoredRows`.

    Args:
        data: anything `read_rows` takes, what `open_rows` returned, a tf.data dataset of (B, D) batches, or a tuple of
            one of those.
        name: what the argument is called in errors.
        num_features: D of the model; None takes any, see `num_columns`.
        column_names: names the model was fitted on, if any: named columns are put in that order.
        allow_empty: take data without rows.

    Raises:
        ValueError, TypeError: as `read_rows`; a dataset that is unbatched, or yields labels or dicts.
    """
    if isinstance(data, tuple) and len(data) == 1:
        data = data[0]
    if isinstance(data, tuple) and any(hasattr(part, "shape") for part in data):
        raise TypeError(
            f"`{name}` must be rows alone. Received: a tuple of {len(data)} arrays. "
            "A mixture has no labels or weights: pass the rows only."
        )
    if isinstance(data, tf.data.Dataset):
        return _check_dataset(data, name, num_features)
    if isinstance(data, tf.Tensor):
        data = data.numpy()
    rows = (
        data  # opened by the caller, who chose its columns
        if isinstance(data, (Rows, StoredRows))
        else open_rows(data, name=name, column_names=column_names, allow_empty=allow_empty)
    )
    is_stored = isinstance(rows, StoredRows)
    columns = rows.num_features if isinstance(rows, StoredRows) else rows.values.shape[1]
    if num_features is not None and columns != num_features:
        received = f"{columns} columns in '{rows.origin}'" if isinstance(rows, StoredRows) else rows.values.shape
        raise ValueError(
            f"`{name}` must have shape (N, {num_features}): this model was built with num_features={num_features}. "
            f"Received: {'' if is_stored else 'shape '}{received}. Pass the training columns only."
        )
    return rows


def num_columns(source: Source) -> int:
    """Returns D of what `open_source` returned."""
    if isinstance(source, Rows):
        return int(source.values.shape[1])
    return source.num_features if isinstance(source, StoredRows) else int(source.element_spec.shape[1])


def _check_dataset(dataset: tf.data.Dataset, name: str, num_features: int | None) -> tf.data.Dataset:
    spec = dataset.element_spec
    if num_features is None and isinstance(spec, tf.TensorSpec) and spec.shape.rank == 2 and spec.shape[1] is None:
        raise ValueError(
            f"`{name}` must be a dataset whose batches have a known number of columns. "
            f"Received: elements of shape {tuple(spec.shape)}. "
            "Apply dataset.map(lambda rows: tf.ensure_shape(rows, (None, D)))."
        )
    if isinstance(spec, tuple) and len(spec) == 1:
        return _check_dataset(_mapped(dataset, lambda rows: rows), name, num_features)
    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(
            f"`{name}` must be a dataset of row batches, each one tensor of shape (B, {num_features}). "
            f"Received: elements {spec}. A mixture has no labels or named inputs: "
            "map each element to its rows, e.g. dataset.map(lambda rows, label: rows)."
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
    return dataset


class Survey(NamedTuple):
    """What one pass over the data tells: `summary`, and `sample`, (n, D) float64 rows, data units, n <= 20,000."""

    summary: DataSummary
    sample: np.ndarray


def survey(source: Source, name: str, num_data: int | None, seed: int) -> Survey:
    """Returns the summary of the whole data and a uniform sample of its rows, in the order of the rows, in one pass.

    The same rows in the same order give the same sample, from whatever kind of source they come. Of a stream of
    unknown length only the first 20,000 rows are looked at: they are the sample, and N = `num_data`.

    Args:
        source: what `open_source` returned.
        name: what the argument is called in errors.
        num_data: N given by the user, or None.
        seed: of the sample.

    Raises:
        ValueError: N is unknown and not given; no rows; NaN or infinite values.

    Example:

    >>> survey(Rows(np.array([[1.0], [3.0]])), "x", None, seed=0).summary.mean
    (2.0,)
    """
    is_stream = isinstance(source, tf.data.Dataset) and int(source.cardinality()) < 0
    if is_stream and num_data is None:
        raise ValueError(
            f"`num_data`, the number of rows in the whole data set, must be known: it scales the KL term. "
            f"Received: `{name}`, a dataset of unknown or endless length. "
            "Pass compile(..., num_data=...), or apply tf.data.experimental.assert_cardinality to the dataset."
        )
    following = _blocks(source)
    names = None if isinstance(source, tf.data.Dataset) else source.column_names
    place = source.place if isinstance(source, StoredRows) else str
    accumulator = SummaryAccumulator(name=name, column_names=names, place=place)
    chosen = blocks.RowSample(SAMPLE_ROWS, seed)
    later = following if isinstance(source, Rows) else None
    for block in following:
        if is_stream:
            block = block[: SAMPLE_ROWS - accumulator.num_data]
        accumulator.update(block, later=later)
        chosen.update(block)
        if is_stream and accumulator.num_data >= SAMPLE_ROWS:
            break
    if accumulator.num_data == 0:
        raise _no_rows(name)
    sample = chosen.result()
    summary = accumulator.result(sample)
    return Survey(dataclasses.replace(summary, num_data=num_data) if is_stream and num_data else summary, sample)


def _blocks(source: Source) -> Iterator[np.ndarray]:
    if isinstance(source, Rows):
        return blocks.row_blocks(source.values)
    if isinstance(source, StoredRows):
        return source.blocks()
    return (np.asarray(block) for block in source.as_numpy_iterator())


def check_ends(source: Source, name: str, steps: int | None, fix: str) -> None:
    """Returns nothing when going through `source` comes to an end.

    Raises:
        ValueError: it is endless and `steps` is None; `fix` says which argument to pass.
    """
    endless = isinstance(source, tf.data.Dataset) and int(source.cardinality()) == tf.data.INFINITE_CARDINALITY
    if endless and steps is None:
        raise ValueError(f"`{name}` must be a finite dataset. Received: an endless one. {fix}")


def _no_rows(name: str) -> ValueError:
    return ValueError(
        f"`{name}` must hold at least one batch of rows. Received: a dataset without rows. "
        "If it was made with drop_remainder=True, the data may be shorter than one batch."
    )


def default_batch_size(num_data: int, num_components: int, num_features: int) -> int:
    """Returns B: the whole data when small, else about 64 K rows, fewer where K x D would make batches huge.

    Example:

    >>> default_batch_size(3_000, 3, 2), default_batch_size(10**7, 32, 16), default_batch_size(10**7, 500, 512)
    (3000, 65536, 1024)
    """
    affordable = max(_SMALLEST_BATCH, _BATCH_NUMBERS // (num_components * num_features))
    return min(num_data, _LARGEST_BATCH, affordable)


def sweep_batch_size(num_data: int, num_components: int, num_features: int) -> int:
    """Returns B for exact sweeps over rows in memory: all, so that they need not be copied, or many.

    Example:

    >>> sweep_batch_size(300_000, 32, 16), sweep_batch_size(10**7, 32, 16)
    (300000, 524288)
    """
    return min(num_data, max(_SMALLEST_BATCH, _SWEEP_NUMBERS // (num_components * num_features)))


def training_batches(
    source: Source,
    centre: np.ndarray,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
    steps_per_epoch: int | None,
    initial_epoch: int = 0,
) -> Batches:
    """Returns endless batches, each pass in an order that is a pure function of (seed, pass).

    Stored rows are shuffled as `StoredRows.block_order` says, and read by a thread beside the training. A tf.data
    dataset keeps its own batches and order. The last, short batch of a pass is included.

    Args:
        source: what `open_source` returned.
        centre: (D,) float64, data units.
        batch_size: B; a dataset has its own.
        seed: of the order.
        shuffle: False keeps the order of the rows.
        steps_per_epoch: steps that make an epoch; default one pass over the rows.
        initial_epoch: epochs done before, whose batches are skipped: a resumed run goes on where it stood.
    """
    if isinstance(source, tf.data.Dataset):
        return Batches(_mapped(source, lambda rows: centre_batch(rows, centre)), steps_per_epoch, None)
    num_data = source.num_data if isinstance(source, StoredRows) else len(source.values)
    num_batches = math.ceil(num_data / batch_size)
    passes, done = divmod(initial_epoch * (steps_per_epoch or num_batches), num_batches)
    if isinstance(source, StoredRows):
        order = {"first_pass": passes, "skip": done}
        dataset = endless_batches(source, centre, batch_size, seed=seed, shuffle=shuffle, **order)
        return Batches(dataset, steps_per_epoch or num_batches, batch_size)
    rows = tf.constant(centre_rows(source, centre))
    if num_batches == 1:
        dataset = tf.data.Dataset.from_tensors(rows).repeat()
    elif not shuffle:
        dataset = _in_order(rows, batch_size, num_batches).repeat()
        dataset = dataset.skip(done) if done else dataset
    else:
        one_pass_of = tf.autograph.experimental.do_not_convert(
            lambda number: _shuffled(rows, batch_size, num_batches, seed, number)
        )
        dataset = tf.data.Dataset.counter(start=passes).flat_map(one_pass_of).skip(done)
    return Batches(dataset.prefetch(2), steps_per_epoch or num_batches, batch_size)


def _in_order(rows: Tensor, batch_size: int, num_batches: int) -> tf.data.Dataset:
    numbers = tf.data.Dataset.range(num_batches)
    return _mapped(numbers, lambda number: rows[number * batch_size : (number + 1) * batch_size])


def _shuffled(rows: Tensor, batch_size: int, num_batches: int, seed: int, number: Tensor) -> tf.data.Dataset:
    order = tf.random.experimental.stateless_shuffle(tf.range(len(rows)), seed=tf.stack([seed, number]))
    return _mapped(_in_order(order, batch_size, num_batches), lambda chosen: tf.gather(rows, chosen))


def _mapped(dataset: tf.data.Dataset, function: Any) -> tf.data.Dataset:
    """Returns `dataset.map(function)`; reading the function's source for Python's ifs and loops would take 0.1 s."""
    return dataset.map(tf.autograph.experimental.do_not_convert(function))


def ordered_batches(source: Source, centre: np.ndarray, batch_size: int | None, name: str = "x") -> tf.data.Dataset:
    """Returns batches of centred rows in their own order, for evaluation. A dataset has its own `batch_size`.

    Without a `batch_size` rows in memory are one batch, stored rows come 65,536 at a time. Stored rows are read once
    more, to see that they are finite.

    Raises:
        ValueError: the rows hold NaN or infinite values.
    """
    if isinstance(source, tf.data.Dataset):
        if next(iter(source.take(1)), None) is None:
            raise _no_rows(name)
        return _mapped(source, lambda rows: centre_batch(rows, centre))
    check_finite(source, name=name)
    if isinstance(source, StoredRows):
        return one_pass(source, centre, batch_size or blocks.BLOCK_ROWS)
    rows = tf.constant(centre_rows(source, centre, name=name))
    size = batch_size or len(source.values)
    return _in_order(rows, size, math.ceil(len(source.values) / size))


def centre_batch(rows: Tensor, centre: np.ndarray) -> Tensor:
    """Returns one batch of a dataset, (B, D) float32, measured from `centre`; stops the run on NaN or infinity."""
    centred = tf.cast(tf.cast(rows, tf.float64) - centre, tf.float32)
    checked = tf.debugging.assert_all_finite(centred, NOT_FINITE)
    return tf.ensure_shape(checked, (None, len(centre)))


def split_rows(source: Rows | StoredRows, validation_split: float) -> tuple[Rows, Rows]:
    """Returns the rows before the last `validation_split` share of them, and that share, as Keras splits.

    Raises:
        ValueError: a share that leaves no row to train on, or rows that stay in their files.
    """
    if isinstance(source, StoredRows):
        raise ValueError(
            f"`validation_split` must be left out when the rows are read from files as they are needed. "
            f"Received: {validation_split}, with '{source.origin}'. "
            "Write the rows to validate on to a file of their own, and pass it as validation_data."
        )
    num_data = len(source.values)
    kept = num_data - int(math.ceil(num_data * validation_split)) if 0 < validation_split < 1 else 0
    if kept < 1:
        raise ValueError(
            "`validation_split` must be between 0 and 1 and leave at least one row to train on. "
            f"Received: {validation_split}, with {num_data} rows. Pass a smaller share, or validation_data."
        )
    head, tail = source.values[:kept], source.values[kept:]
    return dataclasses.replace(source, values=head), dataclasses.replace(source, values=tail)
