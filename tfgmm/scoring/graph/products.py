"""Products of the columns of rows as TensorFlow operations, and the matrices that sums of them make up."""

from __future__ import annotations

import numpy as np
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


def matrices_of_products(sums: Tensor, num_features: int) -> Tensor:
    """Makes the symmetric matrices (..., K, D, D) whose entries the sums of products (..., K, P) hold."""
    first, second = pairs(num_features)
    place = np.zeros((num_features, num_features), np.int64)
    place[first, second] = place[second, first] = np.arange(len(first))
    flat = tf.gather(sums, place.ravel(), axis=-1)
    return tf.reshape(flat, tf.concat([tf.shape(flat)[:-1], [num_features, num_features]], axis=0))
