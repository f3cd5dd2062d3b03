"""Triangular matrices, and products of them, as TensorFlow operations."""

from __future__ import annotations

import tensorflow as tf

from tfgmm.common.shapes import Tensor


def log_determinants(lower: Tensor) -> Tensor:
    """Computes the log determinants, (...), of lower triangular matrices (..., D, D) with a positive diagonal."""
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(lower)), axis=-1)


def log_abs_determinants(matrices: Tensor) -> Tensor:
    """Computes the logarithms of the absolute determinants, (...), of any regular matrices (..., D, D).

    `tf.linalg.slogdet` gives the same and has no kernel in XLA. `log_determinants` is quicker where it serves.
    """
    triangle = tf.linalg.qr(matrices).r
    return tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangle))), axis=-1)


def inverse(lower: Tensor) -> Tensor:
    """Inverts lower triangular matrices (..., D, D)."""
    identity = tf.linalg.diag(tf.ones_like(tf.linalg.diag_part(lower)))
    return tf.linalg.triangular_solve(lower, identity)
