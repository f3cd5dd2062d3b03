"""Importance ratios of draws from q: how much more probable each is under the exact posterior than under q."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import Drawn, Factors, VariationalPosterior
from tfgmm.mixture.integrands import Coefficients, with_masks
from tfgmm.mixture.parameters import MixtureDensity, coefficients_of
from tfgmm.scoring import devices

# Mixtures whose products are computed together, since they share the features of a row
_AT_A_TIME = 16


def log_importance_ratios(
    posterior: VariationalPosterior, factors: Factors, drawn: Drawn, blocks: Iterable[RowBlock]
) -> np.ndarray:
    """Computes log p(rows, draw) - log q(draw), (S,) float64, nats; the rows are read once.

    Args:
        posterior: The posterior, its priors and its centre.
        factors: The q that the draws are from.
        drawn: S draws, float64.
        blocks: (B, D) float32 blocks of the rows that the posterior was fitted to, measured from its centre, with
            their weights, gaps and noise.
    """
    log_ratios = posterior.log_ratios(drawn, factors)
    return log_likelihoods(posterior, posterior.mixtures_of(drawn), blocks) - log_ratios


def log_likelihoods(
    posterior: VariationalPosterior, mixtures: MixtureDensity, blocks: Iterable[RowBlock]
) -> np.ndarray:
    """Computes the log likelihood of all rows under each of S mixtures, (S,) float64, nats.

    Args:
        posterior: The family that the mixtures are from, with what each row varies by.
        mixtures: S mixtures.
        blocks: (B, D) float32 blocks of rows, measured from the centre.
    """
    num_draws = len(mixtures.log_weights)
    parts = [slice(first, first + _AT_A_TIME) for first in range(0, num_draws, _AT_A_TIME)]
    groups = [mixtures.part(part) for part in parts]
    totals = np.zeros(num_draws)
    known: dict[tuple[int, ...], list[Coefficients]] = {}
    for block in blocks:
        gap_columns = _gap_columns(posterior, block)
        if gap_columns not in known:
            known[gap_columns] = [_coefficients(posterior, group, gap_columns) for group in groups]
        for part, coefficients in zip(parts, known[gap_columns]):
            totals[part] += devices.log_likelihoods(mixtures.form.name, coefficients, block, gap_columns)[0]
    return totals


def _gap_columns(posterior: VariationalPosterior, block: RowBlock) -> tuple[int, ...]:
    """Lists the columns that need masks: each row varies only where it has values, if columns are independent."""
    if posterior.form == "correlated" or posterior.components.row_variance is None:
        return ()
    return tuple(np.flatnonzero(np.isnan(block.values).any(axis=0)).tolist())


def _coefficients(
    posterior: VariationalPosterior, mixtures: MixtureDensity, gap_columns: tuple[int, ...]
) -> Coefficients:
    """Computes the coefficients of some mixtures, with masks for these columns."""
    components: Any = posterior.components  # one family
    of_rows = mixtures.log_weights + components.row_corrections(mixtures.components)
    coefficients = coefficients_of(mixtures._replace(log_weights=of_rows))
    if not gap_columns:
        return coefficients
    return with_masks(coefficients, components.gap_constants(mixtures.components, gap_columns))
