"""Inverses of many small symmetric matrices at once: the matrices lie along the last axis, and so does the memory."""

from __future__ import annotations

import numpy as np


def inverses(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverts positive definite matrices (..., D, D, B), which are overwritten; returns them and the log determinants.

    A matrix that is not positive definite becomes NaN, and so does its log determinant (..., B): nothing is raised.

    Source: The sweep operator (Goodnight 1979): after all pivots a matrix is minus its inverse. NumPy's own routine
    takes one matrix at a time, ten times as long for few columns.

    Example:

    >>> matrices = np.array([[2.0, 1.0], [1.0, 1.0]])
    >>> of_both, log_determinants = inverses(np.stack([matrices, 4.0 * matrices], axis=-1))
    >>> of_both[..., 1].tolist(), (np.exp(log_determinants) + 1e-9).astype(int).tolist()
    ([[0.25, -0.25], [-0.25, 0.5]], [1, 16])
    """
    products, logarithms = np.empty_like(matrices), np.zeros(matrices.shape[:-3] + matrices.shape[-1:])
    for number in range(matrices.shape[-2]):
        pivots = np.array(matrices[..., number, number, :])
        logarithms += np.log(pivots)
        column = np.array(matrices[..., number, :])
        shares = column / pivots[..., None, :]
        np.multiply(column[..., :, None, :], shares[..., None, :, :], out=products)
        matrices -= products
        matrices[..., number, :] = matrices[..., number, :, :] = shares
        matrices[..., number, number, :] = -1.0 / pivots
    return np.negative(matrices, out=matrices), logarithms


def inverted(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the same of matrices (..., D, D), which stay as they are: (..., D, D) and (...)."""
    *leading, size, _ = matrices.shape
    last = np.array(matrices.reshape(-1, size, size).transpose(1, 2, 0), order="C")
    found, logarithms = inverses(last)
    return np.ascontiguousarray(found.transpose(2, 0, 1)).reshape(matrices.shape), logarithms.reshape(leading)
