"""Answers of more than one figure per row. No TensorFlow is needed here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Credible bands of N rows, float32.

    Args:
        log_prob_low, log_prob_high: (N,) nats. Ends of the band of the log density.
        responsibilities_low, responsibilities_high: (N, K). Ends of the bands of the responsibilities, each by itself:
            the lower ends of a row sum to less than 1, and the upper ends to more.
    """

    log_prob_low: np.ndarray
    log_prob_high: np.ndarray
    responsibilities_low: np.ndarray
    responsibilities_high: np.ndarray


class Conditional(NamedTuple):
    """The mixture over some columns given the others, for each of N rows.

    Args:
        log_prob: (N,) float32, nats. Log density of what the row holds in the other columns; NaN where that is NaN.
        weights: (N, K) float32. Probability of each component given the columns that are known.
        means: (N, K, D) float64, data units. Mean of each component; the given columns as they are.
        expectation: (N, D) float64, data units. Mean of the whole mixture, the best guess of what is missing.
        scales: (K, D) float64, data units. Standard deviations left in each component; 0 where a column is given.
        covariances: (K, D, D) float64, squared data units. The same as covariances, for correlated columns; else None.
    """

    log_prob: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    expectation: np.ndarray
    scales: np.ndarray
    covariances: np.ndarray | None = None
