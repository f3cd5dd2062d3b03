"""Mixtures of multivariate t and normal distributions to draw from, with their log densities, by NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln


class Proposal(Protocol):
    """Describes what importance draws can come from: any distribution of P numbers with a log density."""

    def draw(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws points, (num_draws, P) float64, independent and in any order."""

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Gives the normalised log density of `points` (S, P), (S,) float64 in nats."""


@dataclass(frozen=True)
class Cloud:
    """Holds one multivariate t distribution of P numbers, or a normal where `degrees` is infinite.

    Attributes:
        mean: Centre, (P,) float64.
        root: Lower Cholesky root of the scale matrix, (P, P) float64, or one number for a multiple of the identity.
        degrees: Degrees of freedom, above 0; `math.inf` makes the cloud normal, with the scale matrix as covariance.
    """

    mean: np.ndarray
    root: np.ndarray | float
    degrees: float

    def draw(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws points, (num_draws, P) float64."""
        normals = generator.standard_normal((num_draws, len(self.mean)))
        if np.isfinite(self.degrees):
            normals /= np.sqrt(generator.chisquare(self.degrees, (num_draws, 1)) / self.degrees)
        return self.mean + (normals @ self.root.T if isinstance(self.root, np.ndarray) else normals * self.root)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Gives the log density of `points` (S, P), (S,) float64 in nats."""
        residuals = (points - self.mean) @ self._inverse_root.T if self._is_matrix else (points - self.mean) / self.root
        squares = np.einsum("sp,sp->s", residuals, residuals)
        if np.isinf(self.degrees):
            return self._log_height - 0.5 * squares
        return self._log_height - 0.5 * (self.degrees + len(self.mean)) * np.log1p(squares / self.degrees)

    @property
    def _is_matrix(self) -> bool:
        return isinstance(self.root, np.ndarray)

    @cached_property
    def _inverse_root(self) -> np.ndarray:
        # One product per point instead of one triangular system
        return solve_triangular(self.root, np.eye(len(self.mean)), lower=True)

    @cached_property
    def _log_height(self) -> float:
        """Gives the log density at the mean."""
        size = len(self.mean)
        log_volume = np.log(np.diag(self.root)).sum() if isinstance(self.root, np.ndarray) else size * np.log(self.root)
        if np.isinf(self.degrees):
            return float(-0.5 * size * np.log(2.0 * np.pi) - log_volume)
        half = 0.5 * self.degrees
        return float(
            gammaln(half + 0.5 * size) - gammaln(half) - 0.5 * size * np.log(np.pi * self.degrees) - log_volume
        )


@dataclass(frozen=True)
class CloudMixture:
    """Holds a mixture of clouds.

    Attributes:
        weights: Shares of the clouds, (J,) float64, at least 0 with sum 1.
        clouds: The J clouds, all of the same P numbers.

    Example:

    >>> import numpy as np
    >>> mixture = CloudMixture(np.array([0.7, 0.3]), [Cloud(np.zeros(2), 1.0, 5.0), Cloud(np.zeros(2), 2.0, 5.0)])
    >>> mixture.draw(4, np.random.default_rng(0)).shape
    (4, 2)
    """

    weights: np.ndarray
    clouds: Sequence[Cloud]

    def draw(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws points, (num_draws, P) float64."""
        return drawn_from(self.clouds, self.weights, num_draws, generator)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Gives the log density of `points` (S, P), (S,) float64 in nats."""
        return log_average(np.stack([cloud.log_density(points) for cloud in self.clouds]), self.weights)


def drawn_from(
    parts: Sequence[Proposal], shares: np.ndarray, num_draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Draws points (num_draws, P) from a mixture: from each part its share of them, rounded without bias.

    Args:
        parts: The J parts of the mixture.
        shares: Their shares, (J,) float64, at least 0 with sum 1.
        num_draws: Number of points.
        generator: Source of the random numbers.

    Returns:
        The points, (num_draws, P) float64, those of each part side by side.
    """
    counts = shared_out(num_draws, shares, generator)
    return np.concatenate(
        [part.draw(int(count), generator) for part, count in zip(parts, counts, strict=True) if count]
    )


def log_average(log_values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Gives log sum_j weights_j exp(log_values_j) for `log_values` (J, S) and `weights` (J,) >= 0, (S,) float64.

    Example:

    >>> import numpy as np
    >>> log_average(np.log([[1.0], [3.0]]), np.array([0.5, 0.5])).round(6).tolist()
    [0.693147]
    """
    inside = weights > 0.0
    values, shares = log_values[inside], weights[inside]
    highest = values.max(axis=0)
    # Where every value is -inf, there is nothing to measure from
    base = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        return base + np.log(shares @ np.exp(values - base))


def shared_out(count: int, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shares `count` things out in proportion to `shares` (J,), (J,) int64 with sum `count`.

    One random number rounds them all, so that each has the right mean and is less than 1 off.

    Example:

    >>> import numpy as np
    >>> shared_out(10, np.array([0.5, 0.3, 0.2]), np.random.default_rng(0)).tolist()
    [5, 3, 2]
    """
    edges = np.cumsum(shares) / np.sum(shares) * count + generator.random()
    steps = np.minimum(np.floor(edges).astype(np.int64), count)
    # The shares add to 1 but for rounding
    steps[-1] = count
    return np.diff(steps, prepend=0)
