"""The assignment problem for many draws at once: which component of a draw is which."""

from __future__ import annotations

import numpy as np


def cheapest(costs: np.ndarray) -> np.ndarray:
    """Finds the order of least cost, (n, K) int, of each table (n, K, K): component order[k] becomes the k-th.

    Where the cheapest places of all components differ, they are the answer; the Hungarian algorithm does the rest.

    Args:
        costs: Costs, whose entry [., j, k] is that of component j becoming the k-th.

    Example:

    >>> cheapest(np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 9.0]]])).tolist()
    [[1, 0], [1, 0]]
    """
    places = np.argmin(costs, axis=-1)
    is_taken = np.zeros(places.shape, bool)
    np.put_along_axis(is_taken, places, True, axis=-1)
    for draw in np.flatnonzero(~is_taken.all(axis=-1)):
        places[draw] = _by_the_hungarian_algorithm(costs[draw])
    return inverse(places)


def _by_the_hungarian_algorithm(costs: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment  # a fifth of a second to import: only when it is used

    return np.asarray(linear_sum_assignment(costs)[1])


def inverse(permutations: np.ndarray) -> np.ndarray:
    """Computes the inverses of permutations (n, K)."""
    inverses = np.empty_like(permutations)
    np.put_along_axis(inverses, permutations, np.arange(permutations.shape[-1])[None], axis=-1)
    return inverses


def keeping_most(permutations: np.ndarray) -> np.ndarray:
    """Changes orders (n, K) alike, so that most draws stay as they are; in a tie, the first draw does."""
    orders, counts = np.unique(permutations, axis=0, return_counts=True)
    is_first = (orders == permutations[0]).all(axis=1)
    return permutations[:, np.argsort(orders[np.argmax(counts + 0.5 * is_first)])]
