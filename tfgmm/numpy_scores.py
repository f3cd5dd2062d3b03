"""Scores of rows under an exported mixture, without TensorFlow: what commands and MLflow's servers answer with."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from tfgmm import outliers
from tfgmm.exported import ExportedMixture
from tfgmm.features import pair_coefficients, pairs, write_products, write_squares
from tfgmm.row_scores import score_rows


class NumpyScorer:
    """The scores of an exported mixture; the same as `tfgmm.load_scorer` gives.

    Args:
        found: the mixture.

    Example: see `tests/test_numpy_scores.py`.
    """

    def __init__(self, found: ExportedMixture) -> None:
        self._found = found
        self._coefficients = _coefficients_of(found)
        self._write_products = write_squares if "precisions" in found.components else write_products

    def scores(self, rows: np.ndarray, names: Collection[str]) -> dict[str, np.ndarray]:
        """Returns the scores of the names given: of log_prob, responsibilities, assignment and outlier.

        Args:
            rows: (B, D) real numbers, data units, within the range of float32 of the centre; a row that is not finite
                gets NaN, assignment -1.
            names: of the scores wanted.

        Returns:
            Arrays by name: log_prob (B,) float32 nats, responsibilities (B, K) float32, assignment (B,) int64,
            outlier (B,) float32.

        Raises:
            ValueError: outlier of an export that has no table for it.
        """
        centre, shape = self._found.centre, self._found.log_weights.shape
        wanted = ["log_density" if name == "outlier" else name for name in names]
        found = score_rows(self._write_products, rows, centre, self._coefficients, wanted, shape)
        if "outlier" in names:
            table = outliers.check_table(self._found.outlier_table)
            found["outlier"] = outliers.tail_probabilities(table, found.pop("log_density"))
        return found


def _coefficients_of(found: ExportedMixture) -> tuple[np.ndarray, np.ndarray]:
    """Returns (D + P, K) and (K,): log joints of centred rows = features @ the first + the second, nats."""
    locs = found.components["locs"]
    if "precisions" in found.components:
        precisions = np.broadcast_to(found.components["precisions"], locs.shape)
        linear, quadratic, squares = precisions * locs, precisions, (precisions * np.square(locs)).sum(axis=1)
        log_determinants = np.log(precisions).sum(axis=1)
    else:
        whiteners = found.components["whiteners"]  # U: the precisions are U' U
        whitened, transposed = whiteners @ locs[..., None], np.swapaxes(whiteners, 1, 2)
        linear, squares = (transposed @ whitened)[..., 0], np.square(whitened).sum(axis=(1, 2))
        first, second = pairs(locs.shape[1])
        quadratic = (transposed @ whiteners)[:, first, second] * pair_coefficients(locs.shape[1])
        log_determinants = 2.0 * np.log(np.diagonal(whiteners, axis1=1, axis2=2)).sum(axis=1)
    constants = found.log_weights + 0.5 * (log_determinants - locs.shape[1] * math.log(2.0 * math.pi) - squares)
    quadratic = np.broadcast_to(-0.5 * quadratic, (len(locs), quadratic.shape[1]))  # tied ones stand there once
    return np.concatenate([linear, quadratic], axis=1).T, constants
