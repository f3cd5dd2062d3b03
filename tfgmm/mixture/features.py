"""What log densities are linear in: the columns of rows, and products of them. NumPy, no TensorFlow.

For independent columns, the products are their squares. For correlated ones, the product of columns i and j stands
once, except near the diagonal: columns are taken in groups of eight, and each group is multiplied by itself and
everything to its right in one operation. This is little more than half the work of all D^2 products, with an eighth of
the operations that one per column would need.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

ProductWriter = Callable[[np.ndarray, np.ndarray], None]

GROUP = 8


def write_squares(columns: np.ndarray, products: np.ndarray) -> None:
    """Writes the squares of columns (D, B) into `products` (D, B), of the same type."""
    np.square(columns, out=products)


def write_products(columns: np.ndarray, products: np.ndarray) -> None:
    """Writes the products of columns (D, B) into `products` (P, B), of the same type; see `pairs`."""
    (num_features, num_rows), place = columns.shape, 0
    for start in range(0, num_features, GROUP):
        group, others = columns[start : start + GROUP, None], columns[None, start:]
        shape = (len(group), num_features - start, num_rows)
        end = place + shape[0] * shape[1]
        np.multiply(group, others, out=products[place:end].reshape(shape, copy=False))
        place = end


def write_first_squares(columns: np.ndarray, products: np.ndarray) -> None:
    """Writes the squares of the first D columns, (D + G, B), into `products` (D, B); the others are masks."""
    np.square(columns[: len(products)], out=products)


@functools.lru_cache(maxsize=16)
def pairs(num_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists the columns i and j, (P,) int each, that each of the P products multiplies.

    Example:

    >>> [columns.tolist() for columns in pairs(2)]
    [[0, 0, 1, 1], [0, 1, 0, 1]]
    """
    firsts, seconds = [], []
    for start in range(0, num_features, GROUP):
        of_group, to_the_right = np.arange(start, min(start + GROUP, num_features)), np.arange(start, num_features)
        firsts.append(np.repeat(of_group, len(to_the_right)))
        seconds.append(np.tile(to_the_right, len(of_group)))
    return np.concatenate(firsts), np.concatenate(seconds)


def num_products(write: ProductWriter, num_features: int) -> int:
    """Counts P, the products that `write_squares` or `write_products` makes of D columns.

    Example:

    >>> num_products(write_squares, 16), num_products(write_products, 16)
    (16, 192)
    """
    return num_features if write is write_squares else len(pairs(num_features)[0])


def columns_of_products(num_products: int, num_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists the columns i and j, (P,) int each, that P products of D columns multiply: squares, or those of `pairs`.

    Example:

    >>> [columns.tolist() for columns in columns_of_products(2, 2)]
    [[0, 1], [0, 1]]
    """
    return (np.arange(num_features),) * 2 if num_products == num_features else pairs(num_features)


@functools.lru_cache(maxsize=16)
def pair_coefficients(num_features: int) -> np.ndarray:
    """Computes c, (P,), with x' M x = sum of c M[i, j] x_i x_j over the P products: 2 where a product stands once.

    Example:

    >>> pair_coefficients(2).tolist(), float(pair_coefficients(9)[8])
    ([1.0, 1.0, 1.0, 1.0], 2.0)
    """
    first, second = pairs(num_features)
    times = np.zeros((num_features, num_features))
    np.add.at(times, (first, second), 1.0)
    return 2.0 / (times + times.T)[first, second]


def matrices_of_products(sums: np.ndarray, num_features: int) -> np.ndarray:
    """Makes the symmetric matrices (..., K, D, D) whose entries the sums of products (..., K, P) hold.

    Example:

    >>> matrices_of_products(np.array([1.0, 2.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    return sums[..., _places_in_products(num_features)]


@functools.lru_cache(maxsize=16)
def _places_in_products(num_features: int) -> np.ndarray:
    first, second = pairs(num_features)
    places = np.zeros((num_features, num_features), np.int64)
    places[first, second] = places[second, first] = np.arange(len(first))
    return places
