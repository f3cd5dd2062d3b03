"""Importance ratios of draws from q: how much more probable each is under the exact posterior than under q."""

from __future__ import annotations

import numpy as np

from tfgmm.families.exact.target import PassedRows, Target
from tfgmm.families.variational import Drawn, Factors, VariationalPosterior


def log_importance_ratios(
    posterior: VariationalPosterior, factors: Factors, drawn: Drawn, rows: PassedRows
) -> np.ndarray:
    """Computes log p(rows, draw) - log q(draw), (S,) float64, nats; the rows are read once.

    Args:
        posterior: The posterior, its priors and its centre.
        factors: The q that the draws are from.
        drawn: S draws, float64.
        rows: Rows that the posterior was fitted to, measured from its centre, with their weights, gaps and noise.
    """
    return Target(posterior, rows).log_likelihoods(drawn) - posterior.log_ratios(drawn, factors)
