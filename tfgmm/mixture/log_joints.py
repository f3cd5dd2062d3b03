"""Log joints of rows by NumPy, one chunk at a time: half of what scoring and training do with every row.

NumPy's matrix library multiplies float64 three to six times as fast as TensorFlow's kernels, and there is no graph to
trace. A chunk lies with its rows along the last axis: sums over components then run along the memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.common.threads import work_array
from tfgmm.mixture.features import ProductWriter

Piece = tuple[int, slice]  # number of a group, and rows of it


def factors_of(coefficients: Sequence[Tensor], dtype: type[np.floating] = np.float64) -> np.ndarray:
    """Arranges coefficients as (R M, D + P + 1): log joints (R M, B) = them @ features (D + P + 1, B), the last 1.

    Args:
        coefficients: (R, D + P, M) and (R, M) float64, or one (D + P, M) and (M,).
        dtype: Dtype of the products.
    """
    linear, constants = (np.asarray(value) for value in coefficients)
    both = np.concatenate([linear, constants[..., None, :]], axis=-2)
    with np.errstate(over="ignore"):  # the caller says that a bound is not finite
        return np.ascontiguousarray(both.swapaxes(-1, -2).reshape(-1, both.shape[-2]), dtype)


def write_features(write_products: ProductWriter, columns: np.ndarray, features: np.ndarray) -> None:
    """Writes columns (D, B), P products of them, and 1, into `features` (D + P + 1, B)."""
    num_features = len(columns)
    features[:num_features] = columns
    with np.errstate(over="ignore", invalid="ignore"):  # a row that is not finite has no log joint
        write_products(features[:num_features], features[num_features:-1])
    features[-1] = 1.0


class ChunkProducts:
    """Log joints of chunks of rows, in memory that every chunk uses again: each thread has an object of its own.

    Args:
        factors: Coefficients as `factors_of` arranges them; their dtype is that of all products.
        num_rows: Rows of the largest chunk.
    """

    def __init__(self, factors: np.ndarray, num_rows: int) -> None:
        num_joints, num_features = factors.shape
        self._factors = factors
        self._features = work_array((num_features, num_rows), factors.dtype)
        self._joints = work_array((num_joints, num_rows), factors.dtype)

    def features(self, write_products: ProductWriter, columns: np.ndarray) -> np.ndarray:
        """Computes features (D + P + 1, B) of centred columns (D, B), B <= `num_rows`; the next call overwrites it."""
        features = self._features[:, : columns.shape[1]]
        write_features(write_products, columns, features)
        return features

    def log_joints(self, features: np.ndarray) -> np.ndarray:
        """Computes log joints (R M, B), nats, of features (D + P + 1, B); the next call overwrites them."""
        return np.matmul(self._factors, features, out=self._joints[:, : features.shape[1]])

    def log_joints_of_groups(self, features: np.ndarray, factors: np.ndarray, pieces: Sequence[Piece]) -> np.ndarray:
        """Computes the same where rows have coefficients of their own.

        Args:
            features: Features of rows.
            factors: (G, R M, D + P + 1) coefficients of G groups.
            pieces: Number of a group and the slice of its rows in `features`, which together are all rows.
        """
        joints = self._joints[:, : features.shape[1]]
        for group, piece in pieces:
            np.matmul(factors[group], features[:, piece], out=joints[:, piece])
        return joints


def exponentials(log_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the largest over components, and the sum of exp(log joint - it), both (R, B), of log joints (R, M, B).

    Writes exp(log joint - largest) in their place, or e^-78 (float32) and e^-637 (float64) where that is less:
    below the least normal number, a few steps further down, processors take a hundred times as long for each.
    """
    largest = log_joints.max(axis=1)
    np.subtract(log_joints, largest[:, None], out=log_joints)
    np.maximum(log_joints, 0.9 * np.log(np.finfo(log_joints.dtype).tiny), out=log_joints)
    np.exp(log_joints, out=log_joints)
    return largest, log_joints.sum(axis=1)
