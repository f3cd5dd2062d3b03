"""Importance ratios of draws from q: how much more probable each is under the exact posterior than under q."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import Drawn, Factors, VariationalPosterior
from tfgmm.mixture.parameters import MixtureDensity, coefficients_of
from tfgmm.scoring import devices

# Mixtures whose products are computed together, since they share the features of a row
_AT_A_TIME = 16


def log_importance_ratios(
    posterior: VariationalPosterior, factors: Factors, drawn: Drawn, blocks: Iterable[np.ndarray]
) -> np.ndarray:
    """Computes log p(rows, draw) - log q(draw), (S,) float64, nats; the rows are read once.

    Args:
        posterior: The posterior, its priors and its centre.
        factors: The q that the draws are from.
        drawn: S draws, float64.
        blocks: (B, D) float32 blocks of the rows that the posterior was fitted to, measured from its centre.
    """
    log_ratios = posterior.log_ratios(drawn, factors)
    mixtures, components = posterior.mixtures_of(drawn), posterior.components
    of_rows = mixtures.log_weights + components.row_corrections(mixtures.components)
    return log_likelihoods(mixtures._replace(log_weights=of_rows), blocks) - log_ratios


def log_likelihoods(mixtures: MixtureDensity, blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Computes the log likelihood of all rows under each of S mixtures, (S,) float64, nats.

    Args:
        mixtures: S mixtures.
        blocks: (B, D) float32 blocks of rows, measured from the centre.
    """
    num_draws = len(mixtures.log_weights)
    groups = [slice(first, first + _AT_A_TIME) for first in range(0, num_draws, _AT_A_TIME)]
    coefficients = [coefficients_of(mixtures.part(group)) for group in groups]
    totals = np.zeros(num_draws)
    for rows in blocks:
        for group, of_group in zip(groups, coefficients):
            totals[group] += devices.log_likelihoods(mixtures.form.name, of_group, RowBlock(rows))[0]
    return totals
