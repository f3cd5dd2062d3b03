"""What draws predict: rows and data sets to come, densities and their bands. NumPy alone."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.posterior.densities import log_joints, points_of, standardisers_of
from tfgmm.posterior.drawn_rows import rows_of
from tfgmm.posterior.draws import Draws

# Numbers in memory at a time: draws x components x points x columns.
_MEMORY = 2**23


@dataclasses.dataclass(frozen=True, eq=False)
class DensityBand:
    """The density of a mixture at G points, and how certain the posterior is of it.

    Args:
        mean: Posterior mean of the density, (G,), 1 / data units: the posterior predictive density.
        lower: Lower limits of the density, (G,), 1 / data units.
        upper: Upper limits of the density, (G,), 1 / data units.
        interval: Probability with which the density lies between the limits, at each point by itself.
    """

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    interval: float


def sample_predictive(draws: Draws, num_rows: int, seed: int = 0) -> np.ndarray:
    """Draws rows from the posterior predictive distribution.

    Each row has its own draw of the parameters, chosen at random.

    Args:
        draws: Draws from the posterior, of any engine.
        num_rows: Number of rows.
        seed: Seed of the rows.

    Returns:
        The rows, (num_rows, D) float64, data units.

    Raises:
        ValueError: If the number of rows is negative, or the seed is not valid.

    Example:

    >>> draws = Draws(np.full((1, 4, 2), 0.5), np.zeros((1, 4, 2, 3)), np.ones((1, 4, 2, 3)))
    >>> sample_predictive(draws, 5).shape
    (5, 3)
    """
    num_rows = check_count("num_rows", num_rows, least=0)
    generator = np.random.default_rng(check_seed(seed))
    drawn = generator.integers(draws.num_chains * draws.num_draws, size=num_rows)
    return rows_of(draws, drawn, generator)


def replicated_rows(draws: Draws, num_sets: int, num_rows: int, seed: int = 0) -> np.ndarray:
    """Draws data sets that the model could have produced instead.

    All rows of a set have the same draw of the parameters, chosen at random: sets differ as new data would, by noise
    and by what is not known of the parameters (Gelman, Meng and Stern 1996).

    Args:
        draws: Draws from the posterior, of any engine.
        num_sets: R, the number of sets.
        num_rows: Number of rows of each set; as many as the data has, to compare statistics.
        seed: Seed of the sets.

    Returns:
        The data sets, (R, num_rows, D) float64, data units.

    Raises:
        ValueError: If a number of sets or rows is negative, or the seed is not valid.

    Example:

    >>> draws = Draws(np.full((1, 4, 2), 0.5), np.zeros((1, 4, 2, 3)), np.ones((1, 4, 2, 3)))
    >>> replicated_rows(draws, 10, 5).shape
    (10, 5, 3)
    """
    num_sets = check_count("num_sets", num_sets, least=0)
    num_rows = check_count("num_rows", num_rows, least=0)
    generator = np.random.default_rng(check_seed(seed))
    drawn = generator.integers(draws.num_chains * draws.num_draws, size=num_sets)
    rows = rows_of(draws, np.repeat(drawn, num_rows), generator)
    return rows.reshape(num_sets, num_rows, draws.num_features)


def density_band(draws: Draws, grid: Any, interval: float = 0.9) -> DensityBand:
    """Computes the posterior mean and a credible band of the density at every point of a grid.

    Relabelled components have the same density: draws need no alignment.

    Args:
        draws: Draws from the posterior, of any engine.
        grid: Points, (G, D), or (G,) for one column, data units.
        interval: Probability that the density lies in the band, at each point by itself; it lies above with the same
            probability as below.

    Returns:
        A `DensityBand` at the G points.

    Raises:
        ValueError: If the points have another number of columns or NaN, or the interval is not between 0 and 1.

    Example:

    >>> draws = Draws(np.ones((1, 2, 1)), np.zeros((1, 2, 1, 1)), np.array([1.0, 2.0]).reshape(1, 2, 1, 1))
    >>> density_band(draws, [0.0]).mean.round(4).tolist()  # of 0.3989 and 0.1995
    [0.2992]
    """
    points = points_of("grid", grid, draws.num_features)
    if not 0 < interval < 1:
        raise ValueError(f"`interval` must lie between 0 and 1. Received: {interval!r}. Try 0.9.")
    levels = [(1 - interval) / 2, (1 + interval) / 2]
    standardisers = standardisers_of(draws)
    size = max(1, _MEMORY // (math.prod(draws.weights.shape) * draws.num_features))
    band = np.empty((3, len(points)))
    for first in range(0, len(points), size):
        part = slice(first, first + size)
        densities = np.exp(log_joints(standardisers, points[part])).sum(axis=-1)
        band[0, part] = densities.mean(axis=0)
        band[1:, part] = np.quantile(densities, levels, axis=0)
    mean, lower, upper = band
    return DensityBand(mean, lower, upper, float(interval))


def component_densities(draws: Draws, grid: Any) -> np.ndarray:
    """Computes the posterior mean of every weighted component's density at every point.

    Components must be in the same order in all draws: see `tfgmm.align`.

    Args:
        draws: Draws from the posterior, of any engine.
        grid: Points, (G, D), or (G,) for one column, data units.

    Returns:
        The densities, (K, G), 1 / data units; their sum over components is the density of the mixture.

    Raises:
        ValueError: If the points have another number of columns, or NaN.

    Example:

    >>> draws = Draws(np.full((1, 1, 2), 0.5), np.zeros((1, 1, 2, 1)), np.array([1.0, 2.0]).reshape(1, 1, 2, 1))
    >>> component_densities(draws, [0.0]).round(4).tolist()
    [[0.1995], [0.0997]]
    """
    points = points_of("grid", grid, draws.num_features)
    standardisers = standardisers_of(draws)
    size = max(1, _MEMORY // (math.prod(draws.weights.shape) * draws.num_features))
    densities = np.empty((draws.num_components, len(points)))
    for first in range(0, len(points), size):
        part = slice(first, first + size)
        densities[:, part] = np.exp(log_joints(standardisers, points[part])).mean(axis=0).T
    return densities
