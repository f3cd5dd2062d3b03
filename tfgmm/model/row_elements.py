"""One batch of rows on its way through a tf.data pipeline: made, read again, and checked where a dataset brings it.

Plain rows are one tensor. Rows with weights, noise or gaps are a dict of tensors: Keras would take a tuple, named or
not, for rows, labels and weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.data.row_source import RowSource

NOT_FINITE = "rows must hold finite numbers: a batch of the dataset has a NaN or infinite value"
INFINITE = "rows must not hold infinite numbers: a batch of the dataset has an infinite value"
BAD_WEIGHTS = "weights must be finite numbers of 0 or more, one per row: a batch of the dataset has others"


def element_of(block: RowBlock, *, has_gaps: bool) -> Any:
    """Makes the element that stands for centred rows: an array, or a dict of arrays.

    Args:
        block: (B, D) float32 values, NaN where a row has none, with weights and noise.
        has_gaps: Whether some rows of the pipeline may have gaps, so that each says where it has values.
    """
    carried: dict[str, np.ndarray] = {}
    if block.weights is not None:
        carried["weights"] = block.weights
    if block.noise is not None:
        carried["noise"] = np.asarray(block.noise, np.float32)
    if has_gaps:
        carried["seen"] = ~np.isnan(block.values)
    return {"values": block.values, **carried} if carried else block.values


def spec_of(source: RowSource, *, has_gaps: bool) -> Any:
    """Describes the elements that `element_of` makes of the blocks of a source."""
    num_features = source.num_features
    carried: dict[str, tf.TensorSpec] = {}
    if source.has_weights:
        carried["weights"] = tf.TensorSpec((None,), tf.float64)
    if source.noise_axes:
        carried["noise"] = tf.TensorSpec((None, *[num_features] * source.noise_axes), tf.float32)
    if has_gaps:
        carried["seen"] = tf.TensorSpec((None, num_features), tf.bool)
    values = tf.TensorSpec((None, num_features), tf.float32)
    return {"values": values, **carried} if carried else values


def block_of(element: Any) -> RowBlock:
    """Reads the rows of an element that count: those of weight 0, which a dataset may bring, are left out."""
    if not isinstance(element, dict):
        return RowBlock(element)
    parts = {name: np.asarray(part) for name, part in element.items() if name != "seen"}
    if "noise" in parts:
        parts["noise"] = parts["noise"].astype(np.float64)
    block = RowBlock(**parts)
    return block if block.weights is None or block.weights.all() else block.part(block.weights > 0.0)


def total_weight(block: RowBlock) -> float:
    """Sums the weights of rows: their number where they have none."""
    return float(len(block.values) if block.weights is None else block.weights.sum())


def element_of_dataset(batch: Sequence[Tensor], centre: np.ndarray, *, may_have_gaps: bool) -> Any:
    """Makes an element of a batch of a dataset, and stops the run where it is not what it must be.

    A row without any value gets the weight 0.

    Args:
        batch: (B, D) rows, and (B,) weights where there are some.
        centre: (D,) float64, data units.
        may_have_gaps: Whether NaN is a gap, and not an error.
    """
    centred = tf.cast(tf.cast(batch[0], tf.float64) - centre, tf.float32)
    centred = tf.ensure_shape(centred, (None, len(centre)))
    weights = [_checked_weights(weights, centred) for weights in batch[1:]]
    for counts in weights:  # what a row of weight 0 holds does not matter
        centred = tf.where(counts[:, None] > 0.0, centred, tf.zeros_like(centred))
    if not may_have_gaps:
        values = tf.debugging.assert_all_finite(centred, NOT_FINITE)
        return {"values": values, "weights": weights[0]} if weights else values
    seen = ~tf.math.is_nan(centred)
    check = tf.debugging.Assert(~tf.reduce_any(tf.math.is_inf(centred)), [INFINITE])
    with tf.control_dependencies([] if check is None else [check]):
        counts = tf.cast(tf.reduce_any(seen, axis=1), tf.float64)
        return {"values": tf.identity(centred), "weights": counts * weights[0] if weights else counts, "seen": seen}


def _checked_weights(weights: Tensor, rows: Tensor) -> Tensor:
    weights = tf.cast(weights, tf.float64)
    is_good = tf.reduce_all((weights >= 0.0) & tf.math.is_finite(weights)) & tf.reduce_all(
        tf.equal(tf.shape(weights), tf.shape(rows)[:1])
    )
    check = tf.debugging.Assert(is_good, [BAD_WEIGHTS])
    with tf.control_dependencies([] if check is None else [check]):
        return tf.ensure_shape(tf.identity(weights), (None,))
