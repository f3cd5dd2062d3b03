"""Scores of rows under an exported mixture, without TensorFlow: what commands and MLflow's servers answer with."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tfgmm.export.reading import ExportedMixture
from tfgmm.mixture import outliers
from tfgmm.mixture.features import write_products, write_squares
from tfgmm.mixture.log_joints import coefficients_of, factors_of
from tfgmm.mixture.row_scores import score_rows


class NumpyScorer:
    """The scores of an exported mixture; the same as `tfgmm.load_scorer` gives, to rounding.

    Exact to 1e-6 nats for components down to 1e-4 of the range of the rows, to 1e-3 nats down to 1e-6 of it.

    Args:
        found: the mixture.

    Example: see `tests/scoring/test_row_scores.py`.
    """

    def __init__(self, found: ExportedMixture) -> None:
        self._found = found
        self._factors = factors_of(coefficients_of(found.log_weights, found.components))
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
        found = score_rows(self._write_products, rows, centre, self._factors, wanted, shape)
        if "outlier" in names:
            table = outliers.check_table(self._found.outlier_table)
            found["outlier"] = outliers.tail_probabilities(table, found.pop("log_density"))
        return found
