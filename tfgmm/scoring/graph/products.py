"""Products of the columns of rows as TensorFlow operations, and the coefficients that they are multiplied with."""

from __future__ import annotations

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.features import GROUP, pair_coefficients, pairs


def products(rows: Tensor) -> list[Tensor]:
    """Computes products of the columns of rows (B, D), of the same type, a piece per group; see `features.pairs`.

    P columns in all. Pieces are faster than one array: the product that follows reads them from the cache.
    """
    num_features = rows.shape[1]
    groups = []
    for start in range(0, num_features, GROUP):
        stop = min(start + GROUP, num_features)
        block = rows[:, start:stop, None] * rows[:, None, start:]
        groups.append(tf.reshape(block, (-1, (stop - start) * (num_features - start))))
    return groups


def coefficients_of_products(matrices: Tensor) -> Tensor:
    """Computes (..., K, P) such that products @ their transpose = row' M_k row, from symmetric M (..., K, D, D)."""
    num_features = matrices.shape[-1]
    first, second = pairs(num_features)
    flat = tf.reshape(matrices, tf.concat([tf.shape(matrices)[:-2], [num_features * num_features]], axis=0))
    return tf.gather(flat, first * num_features + second, axis=-1) * pair_coefficients(num_features)
