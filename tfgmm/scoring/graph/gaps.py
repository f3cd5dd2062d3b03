"""Rows with gaps as TensorFlow operations: log joints of the columns that a row has, and means of the others.

Batches without a gap take one look at their log joints more, and nothing else: what rows with gaps need is in a branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.graph.chunks import mapped_over_chunks, normalised
from tfgmm.scoring.graph.densities import CorrelatedGraph, GapFactors, GraphForm, graph_form_of

_MATRIX_NUMBERS = 2**17  # numbers in the matrices of the rows that are worked on together: they stay in the cache


class Joints(NamedTuple):
    """Log joints of rows, and which rows say something.

    Args:
        values: (B, M) float64, nats, of the columns that a row has; the log weights where it has none.
        has_values: (B,) bool, False for a row without any value.
    """

    values: Tensor
    has_values: Tensor


def with_gaps(rows: Tensor, joints: Tensor, form: GraphForm, factors: Callable[[], GapFactors] | None) -> Joints:
    """Puts log joints of their observed columns in place of the NaN that rows with gaps have.

    Args:
        rows: (B, D) float64, centred; NaN is a gap.
        joints: (B, M) float64, nats; NaN where a value is NaN or infinite.
        form: Form of the parameters.
        factors: Function that computes what log joints of rows with gaps need, where there are such rows; None leaves
            these rows as they are.
    """
    all_have_values = tf.ones_like(joints[:, 0], tf.bool)
    if factors is None:
        return Joints(joints, all_have_values)

    def of_gaps() -> tuple[Tensor, Tensor]:
        is_gap = tf.math.is_nan(rows)
        has_gaps = tf.reduce_any(is_gap, axis=1)
        found = _joints_of_gaps(rows, has_gaps, form, factors())
        return tf.where(has_gaps[:, None], found, joints), ~tf.reduce_all(is_gap, axis=1)

    # One column will do: what is not finite in a row makes all its log joints so
    any_gaps = tf.reduce_any(tf.math.is_nan(joints[:, 0]))
    return Joints(*tf.cond(any_gaps, of_gaps, lambda: (joints, all_have_values)))


def _joints_of_gaps(rows: Tensor, has_gaps: Tensor, form: GraphForm, factors: GapFactors) -> Tensor:
    """Computes the log joints (B, M) of rows that have gaps; those of others may be anything."""
    if not isinstance(form, CorrelatedGraph):
        return form.joints_of_gaps(rows, factors)
    spec = tf.TensorSpec((None, factors.log_weights.shape[0]), tf.float64)
    return _gaps_first(rows, has_gaps, lambda chunk: form.joints_of_gaps(chunk, factors), factors, spec)


def _gaps_first(
    rows: Tensor, has_gaps: Tensor, function: Callable[[Tensor], Tensor], factors: GapFactors, spec: tf.TensorSpec
) -> Tensor:
    """Computes a function that takes a matrix per row and covariance, of rows with gaps only, a few at a time."""
    order = tf.argsort(tf.cast(~has_gaps, tf.int32))
    num_needed = tf.reduce_sum(tf.cast(has_gaps, tf.int32))
    size = max(1, _MATRIX_NUMBERS // max(1, np.prod(factors.of_form[0].shape)))
    (found,) = mapped_over_chunks(
        tf.gather(rows, order), lambda chunk: (function(chunk),), int(size), [spec], num_needed
    )
    return tf.gather(found, tf.argsort(order))


def expected(centred: Tensor, mixture: MixtureDensity, factors: GapFactors) -> Tensor:
    """Computes the mean of each column given those that a row has, (B, D) float64, measured from the centre.

    Args:
        centred: (B, D) float64; NaN is a gap. What is given for a row without gaps may be anything.
        mixture: One mixture.
        factors: What log joints of rows with gaps need.
    """
    form = graph_form_of(mixture.covariance)

    def of_rows(rows: Tensor) -> Tensor:
        shares = tf.cast(normalised(form.joints_of_gaps(rows, factors))[1], tf.float64)
        return form.expected(rows, shares, mixture.components, factors)

    if not isinstance(form, CorrelatedGraph):
        return of_rows(centred)
    has_gaps = tf.reduce_any(tf.math.is_nan(centred), axis=1)
    return _gaps_first(centred, has_gaps, of_rows, factors, tf.TensorSpec((None, centred.shape[1]), tf.float64))
