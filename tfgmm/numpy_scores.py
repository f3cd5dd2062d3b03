"""Scores of rows by NumPy alone, in float64: for few rows it is done before TensorFlow would have loaded."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from tfgmm import outliers
from tfgmm.draw_densities import Standardisers, log_joints
from tfgmm.exported import ExportedMixture

# Numbers in one temporary of rows x components x columns: more spill out of the processor's cache
_MEMORY = 2**18


class NumpyScorer:
    """The scores of an exported mixture; the same as `tfgmm.load_scorer` gives, to 1e-6.

    Args:
        found: the mixture.

    Example: see `tests/test_numpy_scores.py`.
    """

    def __init__(self, found: ExportedMixture) -> None:
        self._found = found
        self._standardisers = _standardisers_of(found)
        self._size = max(1, _MEMORY // found.components["locs"].size)

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
        pieces = [self._piece(rows[start : start + self._size]) for start in range(0, max(1, len(rows)), self._size)]
        log_densities, shares, assignment = (np.concatenate(parts) for parts in zip(*pieces))
        found = {}
        if "log_prob" in names:
            lowest = float(np.finfo(np.float32).min)
            found["log_prob"] = np.maximum(log_densities, lowest).astype(np.float32)
        if "responsibilities" in names:
            found["responsibilities"] = shares
        if "assignment" in names:
            found["assignment"] = assignment
        if "outlier" in names:
            table = outliers.check_table(self._found.outlier_table)
            found["outlier"] = outliers.tail_probabilities(table, log_densities)
        return found

    def _piece(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns log densities (B,) float64, responsibilities (B, K) float32 and assignments (B,) int64."""
        with np.errstate(over="ignore", invalid="ignore"):
            centred = (rows - self._found.centre).astype(np.float32)  # rounded as in training
        bad = ~np.isfinite(centred).all(axis=1)
        joints = log_joints(self._standardisers, np.where(bad[:, None], 0.0, centred.astype(np.float64)))[0]
        largest = joints.max(axis=1, keepdims=True)
        shares = np.exp(joints - largest)
        totals = shares.sum(axis=1, keepdims=True)
        log_densities, assignment = (largest + np.log(totals))[:, 0], joints.argmax(axis=1)
        shares /= totals
        log_densities[bad], shares[bad], assignment[bad] = np.nan, np.nan, -1
        return log_densities, shares.astype(np.float32), assignment.astype(np.int64)


def _standardisers_of(found: ExportedMixture) -> Standardisers:
    """Returns the mixture as `draw_densities` takes it, locations measured from the centre."""
    locs = found.components["locs"]
    num_components, num_features = locs.shape
    if "precisions" in found.components:
        factors = np.sqrt(found.components["precisions"])
        log_factors = np.log(factors).sum(axis=1)
    else:
        shape = (num_components, num_features, num_features)
        # Tied ones are copied: a matrix that lies in memory once cannot go through the fast products
        factors = np.ascontiguousarray(np.broadcast_to(found.components["whiteners"], shape))
        log_factors = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    log_factors = found.log_weights + log_factors - 0.5 * num_features * math.log(2.0 * math.pi)
    return Standardisers(log_factors[None], locs[None], factors[None])
