"""Coordinates of mixtures near a reference, in which the exact posterior is nearly normal.

All P of them are 0 at the reference. They are v, K - 1 numbers of the weights, and the numbers of the components, which
`independent` and `correlated` have:

    log theta = log theta^ + B v - logsumexp, B (K, K - 1) orthonormal, its columns orthogonal to 1
    mu = mu^ + (T U)^-1 delta        Lambda = U' T' T U        T upper triangular, T_aa = exp(t_a)

with the whitener U of the reference, Lambda^ = U' U. A row's residual is z = T y - delta, y = U (x - mu^). t_a is half
the logarithm of a chi-square and T_ab is normal under a Wishart (Bartlett 1933), and mu has tails like Student's t.
Moving the reference multiplies the density by a constant, so derivatives are needed at 0 alone, where they are short.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import helmert

from tfgmm.families.exact.correlated import CorrelatedPoint
from tfgmm.families.exact.independent import IndependentPoint
from tfgmm.families.records import Drawn
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.statistics import Statistics, split_masks

# Half the logarithm of the ratio of precisions, beyond which the posterior counts as 0
FARTHEST = 12.0

Point = IndependentPoint | CorrelatedPoint


class RowStatistics(NamedTuple):
    """Sums over rows for S mixtures, as a point of the components takes them.

    counts: N_k, (S, K).
    observed: Rows with a value in each column, (S, K, D); N_k in each where no column has gaps.
    first, second: S1 (S, K, D), and the sums of products (S, K, P).
    """

    counts: np.ndarray
    observed: np.ndarray
    first: np.ndarray
    second: np.ndarray


class Coordinates:
    """Coordinates around a reference.

    Args:
        posterior: The family, with its priors and its centre.
        log_weights: Logarithms of the weights of the reference, (K,).
        point: Locations and whiteners of the reference.
    """

    def __init__(self, posterior: VariationalPosterior, log_weights: np.ndarray, point: Point) -> None:
        self.posterior, self.log_weights, self.point = posterior, log_weights, point
        self.num_breaks = len(log_weights) - 1
        self.num_coordinates = self.num_breaks + point.num_coordinates

    @classmethod
    def at_means(cls, posterior: VariationalPosterior) -> Coordinates:
        """Makes coordinates around the posterior means of q."""
        mixture = posterior.plug_in()
        kind: Any = IndependentPoint if posterior.form == "independent" else CorrelatedPoint
        point = kind.at(posterior.components, posterior.centre, mixture.components)
        return cls(posterior, np.asarray(mixture.log_weights), point)

    @functools.cached_property
    def basis(self) -> np.ndarray:
        """B, (K, K - 1)."""
        size = len(self.log_weights)
        return helmert(size).T if size > 1 else np.zeros((1, 0))

    def log_weights_at(self, phi: np.ndarray) -> np.ndarray:
        """Computes logarithms of weights, (S, K), of coordinates (S, P)."""
        logits = self.log_weights + phi[..., : self.num_breaks] @ self.basis.T
        return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)

    def drawn(self, phi: np.ndarray) -> Drawn:
        """Turns coordinates (S, P) into parameters, as draws from q have them."""
        return Drawn(self.log_weights_at(phi), self.point.drawn(phi[..., self.num_breaks :]))

    def rebased(self, phi: np.ndarray) -> Coordinates:
        """Makes coordinates around the mixture at phi, (P,)."""
        return Coordinates(self.posterior, self.log_weights_at(phi), self.point.rebased(phi[self.num_breaks :]))

    def are_near(self, phi: np.ndarray) -> np.ndarray:
        """Tells which phi, (S, P), are so near that their precisions are numbers to reckon with, (S,) bool."""
        return self.point.are_near(phi[..., self.num_breaks :], FARTHEST)

    # --- The prior -----------------------------------------------------------------------------------------------

    def log_prior(self, phi: np.ndarray, drawn: Drawn) -> np.ndarray:
        """Computes the normalised log prior density of phi, (S,) nats.

        Args:
            phi: (S, P).
            drawn: The parameters there.
        """
        family: Any = self.posterior.components
        of_weights = self.posterior.weights.log_prior(drawn.log_weights)
        of_components = family.log_prior(drawn.components, self.posterior.centre)
        return of_weights + of_components + self._log_volume(phi, drawn)

    def log_volume(self, phi: np.ndarray) -> float:
        """Computes log |d parameters / d phi| at one phi, (P,)."""
        return float(self._log_volume(phi[None], self.drawn(phi[None]))[0])

    def _log_volume(self, phi: np.ndarray, drawn: Drawn) -> np.ndarray:
        of_weights = drawn.log_weights.sum(axis=-1) + 0.5 * math.log(len(self.log_weights))
        return of_weights + self.point.log_volume(phi[..., self.num_breaks :], drawn.components)

    def prior_gradient(self, phi: np.ndarray, drawn: Drawn) -> np.ndarray:
        """Computes the gradient of `log_prior`, (S, P)."""
        of_weights = self.posterior.weights.log_prior_gradient(drawn.log_weights) @ self.basis
        of_components = self.point.prior_gradient(phi[..., self.num_breaks :], drawn.components)
        return np.concatenate([of_weights, of_components], axis=-1)

    def prior_information(self) -> np.ndarray:
        """Computes minus the second derivatives of `log_prior` at 0, (P, P); those of the weights by differences."""
        information = np.zeros((self.num_coordinates,) * 2)
        information[: self.num_breaks, : self.num_breaks] = differences(self._weights_gradient, self.num_breaks, 2e-5)
        information[self.num_breaks :, self.num_breaks :] = self.point.prior_information()
        return information

    def _weights_gradient(self, breaks: np.ndarray) -> np.ndarray:
        return np.asarray(self.posterior.weights.log_prior_gradient(self.log_weights_at(breaks)) @ self.basis)

    # --- What rows say -------------------------------------------------------------------------------------------

    def row_gradient(self, phi: np.ndarray, drawn: Drawn, sums: RowStatistics) -> np.ndarray:
        """Computes the gradient of the log likelihood of rows, (S, P), from their sums at the mixtures themselves.

        By Fisher's identity it is the expected gradient of what rows would say with their components and their hidden
        values.
        """
        weights = np.exp(drawn.log_weights)
        of_weights = (sums.counts - sums.counts.sum(axis=-1, keepdims=True) * weights) @ self.basis
        return np.concatenate([of_weights, self.point.row_gradient(phi[..., self.num_breaks :], sums)], axis=-1)

    def complete_information(self, sums: RowStatistics) -> np.ndarray:
        """Computes the information at 0 that rows would have if their components were known, (P, P).

        Args:
            sums: Sums at the reference, with an axis of 1 in front.
        """
        weights, total = np.exp(self.log_weights), sums.counts[0].sum()
        information = np.zeros((self.num_coordinates,) * 2)
        of_weights = self.basis.T @ (total * (np.diag(weights) - np.outer(weights, weights))) @ self.basis
        information[: self.num_breaks, : self.num_breaks] = of_weights
        information[self.num_breaks :, self.num_breaks :] = self.point.complete_information(sums)
        return information


def differences(
    gradient: Callable[[np.ndarray], np.ndarray], num_coordinates: int, step: float, at_a_time: int = 256
) -> np.ndarray:
    """Computes minus the symmetric matrix of derivatives of a gradient at 0, (P, P), by central differences.

    Args:
        gradient: Function from (S, P) to (S, P).
        num_coordinates: P.
        step: Half the distance of the two points.
        at_a_time: Coordinates that are moved in one call, each both ways.
    """
    rows = []
    for first in range(0, num_coordinates, at_a_time):
        moved = np.arange(first, min(first + at_a_time, num_coordinates))
        phi = np.zeros((2, len(moved), num_coordinates))
        phi[0, np.arange(len(moved)), moved], phi[1, np.arange(len(moved)), moved] = step, -step
        after, before = gradient(phi.reshape(-1, num_coordinates)).reshape(phi.shape)
        rows.append((before - after) / (2.0 * step))
    information = np.concatenate(rows) if rows else np.zeros((0, 0))
    return 0.5 * (information + information.T)


def row_statistics(statistics: Statistics, gap_columns: tuple[int, ...], is_independent: bool) -> RowStatistics:
    """Takes apart sums over rows; in a column with gaps only rows with a value there count, if it is independent."""
    observed, second = split_masks(statistics, gap_columns if is_independent else ())
    return RowStatistics(np.asarray(statistics.counts), observed, np.asarray(statistics.first), second)
