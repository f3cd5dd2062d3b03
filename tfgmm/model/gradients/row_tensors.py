"""The rows of a training step as tensors, with all that they carry."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfgmm.common.shapes import Tensor


class RowTensors(NamedTuple):
    """Some rows, measured from the centre; `data.blocks.RowBlock` has the same as arrays.

    values: (B, D) float32; any finite number where a row has no value.
    weights: (B,) float64, how often each row counts, 0 for not at all; None: each counts once.
    noise: Standard deviations (B, D) or covariances (B, D, D) of the measurement noise, float32, 0 where a row has no
        value; None: there is none.
    seen: (B, D) bool, where a row has a value; None: everywhere.
    """

    values: Tensor
    weights: Tensor | None = None
    noise: Tensor | None = None
    seen: Tensor | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the rows have neither gaps nor noise, so that their density is a plain one."""
        return self.noise is None and self.seen is None

    def total_weight(self) -> Tensor:
        """Sums the weights, scalar float64: the number of rows where they have none."""
        if self.weights is None:
            return tf.cast(tf.shape(self.values)[0], tf.float64)
        return tf.reduce_sum(self.weights)

    def weighted_sum(self, per_row: Tensor) -> Tensor:
        """Sums numbers (B,) over the rows, as often as each counts: scalar float64."""
        per_row = tf.cast(per_row, tf.float64)
        return tf.reduce_sum(per_row if self.weights is None else self.weights * per_row)


def row_tensors(rows: Any) -> RowTensors:
    """Makes `RowTensors` of an element of a pipeline: a tensor for plain rows, else a dict with their parts by name.

    Keras would take a tuple, named or not, for rows, labels and weights.
    """
    if isinstance(rows, RowTensors):
        return rows
    if not isinstance(rows, dict):
        return RowTensors(rows)
    parts = RowTensors(**rows)
    if parts.seen is None:
        return parts
    return parts._replace(values=tf.where(parts.seen, parts.values, tf.zeros_like(parts.values)))
