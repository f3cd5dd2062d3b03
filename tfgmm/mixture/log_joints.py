"""Log joints of rows by NumPy, chunk after chunk: half of what scoring and training do with every row.

NumPy's matrix library multiplies float64 three to six times as fast as TensorFlow's kernels, and there is no graph to
trace. A chunk lies with its rows along the last axis: sums over components then run along the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.common import threads
from tfgmm.mixture.features import ProductWriter, pair_coefficients, pairs

Tensor = Any


def coefficients_of(log_weights: Any, components: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns (..., D + P, K) and (..., K) float64: log joints = features of rows @ the first + the second, nats.

    Leading axes are kept. `components.coefficients` gives the same in TensorFlow, without the weights.

    Args:
        log_weights: (..., K).
        components: locs (..., K, D) from the centre, and precisions, of their shape, or whiteners (..., K or 1, D, D).
    """
    locs = np.asarray(components["locs"], np.float64)
    num_features = locs.shape[-1]
    if "precisions" in components:
        quadratic = np.broadcast_to(components["precisions"], locs.shape)
        linear, squares = quadratic * locs, (quadratic * np.square(locs)).sum(axis=-1)
        log_determinants = np.log(quadratic).sum(axis=-1)
    else:
        whiteners = np.asarray(components["whiteners"], np.float64)  # U: the precisions are U' U
        whitened, transposed = whiteners @ locs[..., None], np.swapaxes(whiteners, -1, -2)
        linear, squares = (transposed @ whitened)[..., 0], np.square(whitened).sum(axis=(-1, -2))
        first, second = pairs(num_features)
        quadratic = (transposed @ whiteners)[..., first, second] * pair_coefficients(num_features)
        log_determinants = 2.0 * np.linalg.slogdet(whiteners)[1]  # those of draws are not triangular
    constants = np.asarray(log_weights) + 0.5 * (log_determinants - num_features * math.log(2.0 * math.pi) - squares)
    quadratic = np.broadcast_to(-0.5 * quadratic, (*locs.shape[:-1], quadratic.shape[-1]))  # tied ones stand there once
    return np.concatenate([linear, quadratic], axis=-1).swapaxes(-1, -2), constants


def factors_of(coefficients: Sequence[Tensor], dtype: type[np.floating] = np.float64) -> np.ndarray:
    """Returns (R M, D + P + 1): log joints (R M, B) = them @ features (D + P + 1, B), the last of which is 1.

    Args:
        coefficients: (R, D + P, M) and (R, M) float64, or one (D + P, M) and (M,).
        dtype: of the products.
    """
    linear, constants = (np.asarray(value) for value in coefficients)
    both = np.concatenate([linear, constants[..., None, :]], axis=-2)
    with np.errstate(over="ignore"):  # a bound that is not finite is told by those who asked
        return np.ascontiguousarray(both.swapaxes(-1, -2).reshape(-1, both.shape[-2]), dtype)


def write_features(write_products: ProductWriter, columns: np.ndarray, features: np.ndarray) -> None:
    """Returns nothing; writes columns (D, B), P products of them, and 1, into `features` (D + P + 1, B)."""
    num_features = len(columns)
    features[:num_features] = columns
    with np.errstate(over="ignore", invalid="ignore"):  # a row that is not finite has no log joint
        write_products(features[:num_features], features[num_features:-1])
    features[-1] = 1.0


class ChunkProducts:
    """Log joints of chunks of rows, in memory that every chunk uses again: a thread has one of its own.

    Args:
        factors: see `factors_of`; its type is that of all products.
        num_rows: that are to come; no chunk has more.
    """

    def __init__(self, factors: np.ndarray, num_rows: int) -> None:
        num_joints, num_features = factors.shape
        self.size = max(1, min(num_rows, threads.chunk_size(num_joints + num_features)))
        self._factors = factors
        self._features = np.empty((num_features, self.size), factors.dtype)
        self._joints = np.empty((num_joints, self.size), factors.dtype)

    def features(self, write_products: ProductWriter, columns: np.ndarray) -> np.ndarray:
        """Returns features (D + P + 1, B) of centred columns (D, B), B at most `size`; the next call writes over."""
        features = self._features[:, : columns.shape[1]]
        write_features(write_products, columns, features)
        return features

    def log_joints(self, features: np.ndarray) -> np.ndarray:
        """Returns log joints (R M, B), nats, of features (D + P + 1, B); the next call writes over."""
        return np.matmul(self._factors, features, out=self._joints[:, : features.shape[1]])


def exponentials(log_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the largest over components, and the sum of exp(log joint - it), both (R, B), of log joints (R, M, B).

    In their place it leaves exp(log joint - largest), or e^-78 (float32) and e^-637 (float64) where that is less:
    below the least normal number, a few steps further down, processors take a hundred times as long for each.
    """
    largest = log_joints.max(axis=1)
    np.subtract(log_joints, largest[:, None], out=log_joints)
    np.maximum(log_joints, 0.9 * np.log(np.finfo(log_joints.dtype).tiny), out=log_joints)
    np.exp(log_joints, out=log_joints)
    return largest, log_joints.sum(axis=1)
