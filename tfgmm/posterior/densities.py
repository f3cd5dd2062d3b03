"""The densities of drawn mixtures at given points, in NumPy: for all engines, in pieces that fit in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.shapes import check_shape
from tfgmm.posterior.draws import Draws

# Numbers in one temporary of draws x points x components x columns.
_MEMORY = 2**22


class Standardisers(NamedTuple):
    """The terms of the densities of n drawn mixtures.

    log_factors: (n, K) log weights and normalising constants of the components, nats.
    locs: (n, K, D) locations, data units.
    factors: (n, K, D) or (n, K, D, D) factors that standardise differences from the locations.
    """

    log_factors: np.ndarray
    locs: np.ndarray
    factors: np.ndarray


def points_of(name: str, points: Any, num_features: int) -> np.ndarray:
    """Checks points and turns them into (G, D) float64; for one column, (G,) is accepted too.

    Args:
        name: What the caller's argument is called in error messages.
        points: Numbers, data units.
        num_features: D.

    Raises:
        ValueError: The number of columns is another, or numbers are NaN or infinite.
        TypeError: The points are not numbers.
    """
    shapes = "(G,) or (G, 1)" if num_features == 1 else f"(G, {num_features})"
    fix = f"Pass points of shape {shapes}, data units."
    try:
        array = np.asarray(points)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"`{name}` must be an array of numbers. Received: {error}. {fix}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be numbers. Received: dtype {array.dtype}. {fix}")
    values = array.astype(np.float64)
    if values.ndim == 1 and num_features == 1:
        values = values[:, None]
    check_shape(name, values, "GD", D=num_features, fix=fix)
    if not np.isfinite(values).all():
        raise ValueError(f"`{name}` must hold finite numbers. Received: NaN or infinite ones. {fix}")
    return values


def standardisers_of(draws: Draws) -> Standardisers:
    """Computes what `log_joints` needs of all draws, chains one after the other."""
    shape = (-1, draws.num_components, draws.num_features)
    locs = draws.locs.reshape(shape)
    with np.errstate(divide="ignore"):  # a weight of 0 is fine
        log_weights = np.log(draws.weights.reshape(shape[:2]))
    if draws.covariances is None:
        scales = draws.scales.reshape(shape)
        log_scales, factors = np.log(scales).sum(axis=-1), 1 / scales
    else:
        roots = np.linalg.cholesky(draws.covariances.reshape(*shape, draws.num_features))
        log_scales = np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(axis=-1)
        factors = np.linalg.inv(roots)
    return Standardisers(log_weights - log_scales - 0.5 * draws.num_features * math.log(2 * math.pi), locs, factors)


def log_joints(standardisers: Standardisers, points: np.ndarray) -> np.ndarray:
    """Computes log theta_k + log Normal(point | component k) of each draw, (n, G, K), nats."""
    log_factors, locs, factors = standardisers
    differences = points[None, :, None] - locs[:, None]  # (n, G, K, D)
    if factors.ndim == 3:
        differences *= factors[:, None]
    else:
        differences = np.einsum("nkde,ngke->ngkd", factors, differences, optimize=True)
    return log_factors[:, None] - 0.5 * np.square(differences, out=differences).sum(axis=-1)


def blocks_of_draws(draws: Draws, num_points: int) -> Iterator[tuple[slice, Standardisers]]:
    """Yields the draws in blocks: the place of each among all draws, and what `log_joints` needs of it."""
    all_draws = standardisers_of(draws)
    each = num_points * draws.num_components * draws.num_features
    size = max(1, _MEMORY // max(1, each))
    for start in range(0, len(all_draws.locs), size):
        part = slice(start, start + size)
        yield part, Standardisers(*(values[part] for values in all_draws))
