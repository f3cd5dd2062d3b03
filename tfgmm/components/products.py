"""Products of the columns of rows, the features of second order that full covariance matrices need.

The product of columns i and j stands once, except near the diagonal: columns are taken in groups of eight, and each
group is multiplied by itself and everything to its right in one operation. Little more than half the work of all D^2
products, with an eighth of the operations that one per column would need.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any

_GROUP = 8


def products(rows: Tensor) -> list[Tensor]:
    """Returns products of the columns of rows (B, D), of the same type, a piece per group; see `pairs` for which.

    P columns in all. Pieces are cheaper than one: what multiplies them next reads them from the cache.
    """
    num_features = rows.shape[1]
    groups = []
    for start in range(0, num_features, _GROUP):
        stop = min(start + _GROUP, num_features)
        block = rows[:, start:stop, None] * rows[:, None, start:]
        groups.append(tf.reshape(block, (-1, (stop - start) * (num_features - start))))
    return groups


def write_products(columns: np.ndarray, products: np.ndarray) -> None:
    """Returns nothing; writes the products of columns (D, B) into `products` (P, B); see `pairs` for which."""
    (num_features, num_rows), place = columns.shape, 0
    for start in range(0, num_features, _GROUP):
        group, others = columns[start : start + _GROUP, None], columns[None, start:]
        shape = (len(group), num_features - start, num_rows)
        end = place + shape[0] * shape[1]
        np.multiply(group, others, out=products[place:end].reshape(shape, copy=False))
        place = end


@functools.lru_cache(maxsize=16)
def pairs(num_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the columns i and j that each of the P products multiplies.

    Example:

    >>> [columns.tolist() for columns in pairs(2)]
    [[0, 0, 1, 1], [0, 1, 0, 1]]
    """
    firsts, seconds = [], []
    for start in range(0, num_features, _GROUP):
        of_group, to_the_right = np.arange(start, min(start + _GROUP, num_features)), np.arange(start, num_features)
        firsts.append(np.repeat(of_group, len(to_the_right)))
        seconds.append(np.tile(to_the_right, len(of_group)))
    return np.concatenate(firsts), np.concatenate(seconds)


def coefficients_of_products(matrices: Tensor) -> Tensor:
    """Returns (..., K, P) such that products @ their transpose = row' M_k row, from symmetric M (..., K, D, D)."""
    num_features = matrices.shape[-1]
    first, second = pairs(num_features)
    times = np.zeros((num_features, num_features))
    np.add.at(times, (first, second), 1.0)
    share = 2.0 / (times + times.T)[first, second]
    flat = tf.reshape(matrices, tf.concat([tf.shape(matrices)[:-2], [num_features * num_features]], axis=0))
    return tf.gather(flat, first * num_features + second, axis=-1) * share


def matrices_of_products(sums: Tensor, num_features: int) -> Tensor:
    """Returns the symmetric matrices (..., K, D, D) whose entries the sums of products (..., K, P) hold."""
    first, second = pairs(num_features)
    place = np.zeros((num_features, num_features), np.int64)
    place[first, second] = place[second, first] = np.arange(len(first))
    flat = tf.gather(sums, place.ravel(), axis=-1)
    return tf.reshape(flat, tf.concat([tf.shape(flat)[:-1], [num_features, num_features]], axis=0))
