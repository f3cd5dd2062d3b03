"""Batches of rows that stay in their files, as tf.data: read, shuffled and centred by a thread beside the training."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfgmm.data.files.stored import StoredRows
from tfgmm.data.summary import centre as centre_rows

# Batches made ahead of the one that is being trained on
_AHEAD = 1


def endless_batches(
    source: StoredRows,
    centre: np.ndarray,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
    first_pass: int = 0,
    skip: int = 0,
) -> tf.data.Dataset:
    """Returns batches of centred rows, (B, D) float32, pass after pass without end; the last of a pass may be short.

    Args:
        source: the rows.
        centre: (D,) float64, data units.
        batch_size: B.
        seed: of the order.
        shuffle: each pass in an order of its own, a pure function of (seed, pass); see `StoredRows.block_order`.
        first_pass: the number of the first pass.
        skip: batches of the first pass to leave out.
    """

    centred = functools.partial(centre_rows, centre=centre, name=source.name)

    def batches() -> Iterator[np.ndarray]:
        for number in itertools.count(first_pass):
            left_out = skip if number == first_pass else 0
            rows = source.batches(batch_size, seed=seed, epoch=number, shuffle=shuffle, skip=left_out)
            yield from map(centred, rows)

    return _from_generator(batches, len(centre), tf.data.INFINITE_CARDINALITY)


def one_pass(source: StoredRows, centre: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Returns batches of centred rows, (B, D) float32, in the order of the files; the last may be short.

    Args:
        source: the rows.
        centre: (D,) float64, data units.
        batch_size: B.
    """

    def batches() -> Iterator[np.ndarray]:
        return map(functools.partial(centre_rows, centre=centre, name=source.name), source.batches(batch_size))

    return _from_generator(batches, len(centre), math.ceil(source.num_data / batch_size))


def file_error_of(error: tf.errors.OpError) -> ValueError | None:
    """Returns the error that stopped the reading of files, out of what TensorFlow made of it, or None for another.

    Example:

    >>> file_error_of(tf.errors.InvalidArgumentError(None, None, "ValueError: `x` must be a CSV file.\\nTraceback"))
    ValueError('`x` must be a CSV file.')
    """
    found = re.search(r"ValueError: (`\w+` must .*)", error.message)
    return ValueError(found[1]) if found else None


def _from_generator(batches: Callable[[], Iterator[np.ndarray]], num_features: int, length: int) -> tf.data.Dataset:
    spec = tf.TensorSpec((None, num_features), tf.float32)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
    return dataset.apply(tf.data.experimental.assert_cardinality(length)).prefetch(_AHEAD)
