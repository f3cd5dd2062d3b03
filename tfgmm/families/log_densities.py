"""Log densities of drawn component parameters under q, or under a prior, nats."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln

from tfgmm.families import triangular, wishart


def of_normals(locs: np.ndarray, means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Computes the sum over K, D of log Normal(locs | means, scales), (S,) nats."""
    densities = -0.5 * np.square((locs - means) / scales) - np.log(scales) - 0.5 * math.log(2.0 * math.pi)
    return densities.sum(axis=(-2, -1))


def of_gammas(log_values: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Computes the sum of log Gamma(value | alpha, rate beta), (S,) nats."""
    densities = (alpha - 1.0) * log_values - beta * np.exp(log_values) + alpha * np.log(beta) - gammaln(alpha)
    return densities.sum(axis=(-2, -1))


def of_correlated_normals(locs: np.ndarray, means: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Computes the sum over K of log Normal(locs | means, roots roots'), (S,) nats."""
    away = triangular.times(triangular.inverse(roots), locs - means)
    constants = triangular.log_determinants(roots) + 0.5 * locs.shape[-1] * math.log(2.0 * math.pi)
    return -(0.5 * np.square(away).sum(axis=-1) + constants).sum(axis=-1)


def of_wisharts(
    whiteners: np.ndarray, log_determinants: np.ndarray, degrees: np.ndarray, inverse_root: np.ndarray
) -> np.ndarray:
    """Computes the sum over M of log Wishart(U'U | degrees, inverse scale), (S,) nats (Bishop 2006, B.78).

    Args:
        whiteners: U, (S, M, D, D).
        log_determinants: log det U, (S, M).
        degrees: (M or 1,).
        inverse_root: Cholesky factors of the inverse scales, (M or 1, D, D).
    """
    traces = np.square(whiteners @ inverse_root).sum(axis=(-2, -1))  # tr(W^-1 Lambda) = tr(C C' U' U)
    varying = (degrees - inverse_root.shape[-1] - 1.0) * log_determinants - 0.5 * traces
    return (varying - wishart.log_normalisers(degrees, inverse_root)).sum(axis=-1)
