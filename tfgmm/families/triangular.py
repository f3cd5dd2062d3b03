"""Lower triangular matrices by NumPy, many at a time: (..., D, D) with a positive diagonal."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tfgmm.common.shapes import Tensor


def inverse(lower: np.ndarray) -> np.ndarray:
    """Inverts by substitution, row after row, all matrices at once: NumPy has no solver for triangular ones."""
    num_rows = lower.shape[-1]
    inverses = np.zeros(lower.shape)
    reciprocals = 1.0 / diagonal(lower)
    for row in range(num_rows):
        pivot = reciprocals[..., row, None]
        if row:
            products = lower[..., row, None, :row] @ inverses[..., :row, :row]
            inverses[..., row, :row] = -pivot * products[..., 0, :]
        inverses[..., row, row] = pivot[..., 0]
    return inverses


def diagonal(matrices: np.ndarray) -> np.ndarray:
    """Views the diagonals, (..., D)."""
    return matrices.diagonal(axis1=-2, axis2=-1)


def log_determinants(lower: np.ndarray) -> np.ndarray:
    """Computes the log determinants, (...)."""
    return np.log(diagonal(lower)).sum(axis=-1)


def transposed(matrices: np.ndarray) -> np.ndarray:
    """Views the transposed matrices."""
    return np.swapaxes(matrices, -1, -2)


def times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Multiplies matrices (..., D, D) by vectors (..., D)."""
    return (matrices @ vectors[..., None])[..., 0]


def with_log_diagonal(lower: np.ndarray) -> np.ndarray:
    """Computes the numbers behind lower triangular matrices: the diagonal is its logarithm; see `from_values`."""
    values = np.array(lower, np.float64)
    rows = np.arange(values.shape[-1])
    values[..., rows, rows] = np.log(values[..., rows, rows])
    return values


@functools.lru_cache(maxsize=8)
def _below(num_rows: int) -> np.ndarray:
    """Makes the matrix of ones below the diagonal, which nothing may change."""
    ones = np.tri(num_rows, k=-1)
    ones.setflags(write=False)
    return ones


def from_values(values: Tensor, limits: tuple[float, float], functions: Any) -> Tensor:
    """Makes the lower triangular matrices whose numbers, with the logarithm of the diagonal, are `values`.

    Args:
        values: (..., D, D); what is above the diagonal is not looked at.
        limits: Smallest and largest entry of a diagonal.
        functions: `Functions` of the library that the values belong to.
    """
    num_rows = values.shape[-1]
    below = _below(num_rows)
    if isinstance(values, np.ndarray):  # the same in a third of the time: a sweep of a small table does it four times
        lower = values * below + 0.0  # no zero is -0.0
        rows = np.arange(num_rows)
        lower[..., rows, rows] = functions.positive(diagonal(values), limits)
        return lower
    identity = np.eye(num_rows)
    return values * below + functions.positive(functions.sum(values * identity, -1), limits)[..., None] * identity
