"""The next proposal of adaptive importance sampling: clouds fitted to weighted draws, by NumPy."""

from __future__ import annotations

import math

import numpy as np

from tfgmm.families.exact.groups import grouped
from tfgmm.families.exact.proposals import Cloud, CloudMixture

# Draws per coordinate and group that it takes to tell groups apart
DRAWS_PER_GROUP = 20
MOST_GROUPS = 4
# Clouds a little wider than the draws: their tails would be cut otherwise
INFLATION = 1.2
BROAD_SHARE = 0.2
LEAST_VARIANCE = 1e-6


def first_mixture(num_coordinates: int) -> CloudMixture:
    """Makes the proposal to begin with: two clouds about 0 of scale 1 and of a larger one."""
    zero, degrees = np.zeros(num_coordinates), degrees_of(num_coordinates)
    broad = math.sqrt(broad_variance(num_coordinates, 4.0))
    return CloudMixture(np.array([0.7, 0.3]), [Cloud(zero, 1.0, degrees), Cloud(zero, broad, degrees)])


def degrees_of(num_coordinates: int) -> float:
    """Gives the degrees of freedom of the clouds.

    Few degrees make the radius vary: among many coordinates, few draws would then be where they are needed.
    """
    return max(5.0, float(num_coordinates))


def broad_variance(num_coordinates: int, most: float) -> float:
    """Gives the variance of a broad cloud, at most `most`; among many coordinates a broader one has no useful draw."""
    return min(most, 1.0 + max(15.0 / num_coordinates, 2.0 / math.sqrt(num_coordinates)))


def fitted_mixture(points: np.ndarray, weights: np.ndarray, generator: np.random.Generator) -> CloudMixture:
    """Fits a mixture of clouds to weighted draws whose distribution is near standard normal in most directions.

    Args:
        points: Draws, (S, P) float64.
        weights: Their weights, (S,) float64, at least 0 with sum 1.
        generator: Source of the random numbers that groups begin with.

    Returns:
        One cloud per group of draws, and a broad one about all of them.
    """
    size, num_coordinates = effective_size(weights), points.shape[1]
    mean = weights @ points
    pooled = cleaned_covariance(covariance(points, weights, mean), num_coordinates / size)
    mean = drawn_in(mean, np.zeros(num_coordinates), pooled, size)
    num_groups = int(np.clip(1.0 + size / (DRAWS_PER_GROUP * num_coordinates), 1, MOST_GROUPS))
    labels = grouped(points, weights, num_groups, generator)
    degrees = degrees_of(num_coordinates)
    broad = Cloud(mean, np.linalg.cholesky(broad_variance(num_coordinates, 2.0) * pooled), degrees)
    shares = np.bincount(labels, weights, num_groups)
    groups = [
        _cloud(points[labels == group], weights[labels == group] / shares[group], mean, pooled)
        for group in np.flatnonzero(shares > 0.0)
    ]
    return CloudMixture(np.append((1.0 - BROAD_SHARE) * shares[shares > 0.0], BROAD_SHARE), [*groups, broad])


def _cloud(points: np.ndarray, weights: np.ndarray, mean: np.ndarray, pooled: np.ndarray) -> Cloud:
    """Makes the cloud of one group, drawn in towards all draws where the group is small."""
    size, num_coordinates = effective_size(weights), points.shape[1]
    centre = weights @ points
    shrinkage = num_coordinates / (num_coordinates + size)
    spread = (1.0 - shrinkage) * covariance(points, weights, centre) + shrinkage * pooled
    centre = drawn_in(centre, mean, spread, size)
    return Cloud(centre, np.linalg.cholesky(INFLATION * spread), degrees_of(num_coordinates))


def effective_size(weights: np.ndarray) -> float:
    """Gives the effective number of draws, 1 / sum of the squared weights."""
    return float(1.0 / (weights @ weights))


def covariance(points: np.ndarray, weights: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Gives the weighted covariance of draws about `centre`, (P, P) float64."""
    scaled = (points - centre) * np.sqrt(weights)[:, None]
    return scaled.T @ scaled


def drawn_in(mean: np.ndarray, target: np.ndarray, spread: np.ndarray, size: float) -> np.ndarray:
    """Draws a mean in towards a target as far as its error goes (James and Stein 1961, positive part), (P,) float64.

    Args:
        mean: Mean of draws, (P,) float64.
        target: Point to draw it towards, (P,) float64.
        spread: Covariance of the draws, (P, P) float64.
        size: Effective number of draws.
    """
    away = mean - target
    distance = float(away @ np.linalg.solve(spread, away))
    return target + away * max(0.0, 1.0 - len(mean) / (size * distance)) if distance > 0.0 else mean


def cleaned_covariance(spread: np.ndarray, ratio: float) -> np.ndarray:
    """Takes the noise out of a covariance that is near the identity in most directions, (P, P) float64.

    Eigenvalues that the noise of an identity explains become 1; others lose the bias that noise gives them (Donoho,
    Gavish and Johnstone 2018).

    Args:
        spread: Covariance of draws, (P, P) float64.
        ratio: P over the number of draws.
    """
    values, vectors = np.linalg.eigh(spread)
    low, high = max(0.0, 1.0 - math.sqrt(ratio)) ** 2, (1.0 + math.sqrt(ratio)) ** 2
    middle = values + 1.0 - ratio
    root = np.sqrt(np.maximum(middle**2 - 4.0 * values, 0.0))
    true = np.where(values > high, 0.5 * (middle + root), np.where(values < low, 0.5 * (middle - root), 1.0))
    return (vectors * np.maximum(true, LEAST_VARIANCE)) @ vectors.T
