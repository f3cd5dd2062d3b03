"""How many components the rows occupy, as the posterior has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.mixture.occupied import is_occupied
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.model.importance import centred_batches, check_training_rows
from tfgmm.scoring.scores import score_data


def num_occupied(model: Any) -> int:
    """Counts the components that at least one row is expected in."""
    counts = model.mixture_weights.expected_counts(model.mixture_weights.posterior())
    return int(np.sum(is_occupied(counts)))


def occupied_probabilities(model: Any, data: Any, num_draws: int = 200, seed: int = 0) -> np.ndarray:
    """Computes the share of draws in which 0, 1, ..., K components have rows, (K + 1,) float64.

    Each draw takes weights and components from q, and then a component for every row by its memberships under those.
    A component of which every row has a little is empty in some draws and not in others.

    Args:
        model: A `GaussianMixtureModel`.
        data: The rows that it was fitted to; the memory needed is that of a block of them times K.
        num_draws: Number of draws, S, at least 1.
        seed: Seed of the draws.

    Raises:
        ValueError: Another number of rows than the model was fitted to.
    """
    seed = check_seed(seed)
    mixtures = _drawn_mixtures(model, check_count("num_draws", num_draws), seed)
    generator = np.random.default_rng(seed)
    has_rows = np.zeros((num_draws, model.num_components), bool)
    num_rows = 0
    for rows in centred_batches(model, data):
        num_rows += len(rows)
        for of_draw, mixture in zip(has_rows, mixtures):
            of_draw[drawn_components(score_data(mixture, rows, "responsibilities"), generator)] = True
    check_training_rows(model, num_rows)
    return np.bincount(has_rows.sum(axis=1), minlength=model.num_components + 1) / num_draws


def drawn_components(responsibilities: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws one component per row, (B,) int, by its memberships, (B, K).

    Example:

    >>> drawn_components(np.array([[0.0, 1.0], [1.0, 0.0]]), np.random.default_rng(0)).tolist()
    [1, 0]
    """
    sums = np.cumsum(responsibilities, axis=1, dtype=np.float64)
    # From 0 up to, but not including, the last sum: no component without membership is drawn
    thresholds = generator.random((len(sums), 1)) * sums[:, -1:]
    return np.sum(sums <= thresholds, axis=1)


def _drawn_mixtures(model: Any, num_draws: int, seed: int) -> list[MixtureDensity]:
    """Draws S mixtures from q, for rows measured from the model's centre."""
    drawn = model.predictive(num_draws, seed)
    drawn = drawn._replace(centre=np.zeros_like(drawn.centre))
    return [drawn.part(number) for number in range(num_draws)]
