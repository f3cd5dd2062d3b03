"""Answers that are more than one figure a row. Free of TensorFlow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Credible bands of N rows, float32.

    Args:
        log_prob_low, log_prob_high: (N,) nats.
        responsibilities_low, responsibilities_high: (N, K); of each component by itself, so that they sum to less, and
            to more, than 1.
    """

    log_prob_low: np.ndarray
    log_prob_high: np.ndarray
    responsibilities_low: np.ndarray
    responsibilities_high: np.ndarray


class Conditional(NamedTuple):
    """The mixture over some columns given the others, for each of N rows.

    Args:
        log_prob: (N,) float32, nats: log density of what the row holds in the other columns; NaN where that is NaN.
        weights: (N, K) float32, the probability of each component given the columns that are known.
        means: (N, K, D) float64, data units; the given columns as they are.
        expectation: (N, D) float64, data units: the mean of the whole mixture, the best guess of what is missing.
        scales: (K, D) float64, data units, the standard deviations left in each component; 0 where a column is given.
        covariances: (K, D, D) float64 of correlated columns, else None.
    """

    log_prob: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    expectation: np.ndarray
    scales: np.ndarray
    covariances: np.ndarray | None = None
