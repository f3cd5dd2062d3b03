"""log q - log prior of drawn component parameters, whose mean over draws is the KL divergence."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from tfgmm.families import triangular, wishart


def of_normals(
    locs: np.ndarray, means: np.ndarray, scales: np.ndarray, prior_means: np.ndarray, prior_scales: np.ndarray
) -> np.ndarray:
    """Computes the sum over K, D of log Normal(locs | means, scales) - log Normal(locs | prior), (S,) nats."""
    from_q, from_prior = (locs - means) / scales, (locs - prior_means) / prior_scales
    ratios = 0.5 * (np.square(from_prior) - np.square(from_q)) + np.log(prior_scales) - np.log(scales)
    return ratios.sum(axis=(-2, -1))


def of_gammas(
    log_values: np.ndarray, alpha: np.ndarray, beta: np.ndarray, prior_shape: np.ndarray, prior_rate: np.ndarray
) -> np.ndarray:
    """Computes the sum of log Gamma(value | alpha, rate beta) - log Gamma(value | prior), (S,) nats."""
    varying = (alpha - prior_shape) * log_values - (beta - prior_rate) * np.exp(log_values)
    of_q = alpha * np.log(beta) - gammaln(alpha)
    of_prior = prior_shape * np.log(prior_rate) - gammaln(prior_shape)
    return (varying + (of_q - of_prior)).sum(axis=(-2, -1))


def of_gammas_alone(log_values: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Computes the sum of log Gamma(value | alpha, rate beta), (S,) nats."""
    densities = (alpha - 1.0) * log_values - beta * np.exp(log_values) + alpha * np.log(beta) - gammaln(alpha)
    return densities.sum(axis=(-2, -1))


def of_correlated_normals(
    locs: np.ndarray, means: np.ndarray, roots: np.ndarray, prior_mean: np.ndarray, prior_root: np.ndarray
) -> np.ndarray:
    """Computes the sum over K of log Normal(locs | means, roots roots') - log Normal(locs | prior), (S,) nats."""
    from_q = triangular.times(triangular.inverse(roots), locs - means)
    from_prior = triangular.times(triangular.inverse(prior_root), locs - prior_mean)
    constants = triangular.log_determinants(prior_root) - triangular.log_determinants(roots)
    squares = (np.square(from_prior) - np.square(from_q)).sum(axis=-1)
    return (0.5 * squares + constants).sum(axis=-1)


def of_wisharts(
    whiteners: np.ndarray,
    log_determinants: np.ndarray,
    degrees: np.ndarray,
    inverse_root: np.ndarray,
    prior_degrees: float,
    prior_root: np.ndarray,
) -> np.ndarray:
    """Computes the sum over M of log Wishart(U'U | q) - log Wishart(U'U | prior), (S,) nats (Bishop 2006, B.78).

    Args:
        whiteners: U, (S, M, D, D).
        log_determinants: log det U, (S, M).
        degrees, inverse_root, prior_degrees, prior_root: As in `wishart.kl_to_prior`.
    """
    # tr(W^-1 Lambda) = tr(C C' U' U)
    traces = [np.square(whiteners @ root).sum(axis=(-2, -1)) for root in (inverse_root, prior_root)]
    varying = (degrees - prior_degrees) * log_determinants - 0.5 * (traces[0] - traces[1])
    of_q = wishart.log_normalisers(degrees, inverse_root)
    of_prior = wishart.log_normalisers(np.array([prior_degrees]), prior_root[None])
    return (varying - of_q + of_prior).sum(axis=-1)


def of_wisharts_alone(
    whiteners: np.ndarray, log_determinants: np.ndarray, degrees: np.ndarray, inverse_root: np.ndarray
) -> np.ndarray:
    """Computes the sum over M of log Wishart(U'U | q), (S,) nats (Bishop 2006, B.78). Args: As `of_wisharts`."""
    traces = np.square(whiteners @ inverse_root).sum(axis=(-2, -1))
    varying = (degrees - inverse_root.shape[-1] - 1.0) * log_determinants - 0.5 * traces
    return (varying - wishart.log_normalisers(degrees, inverse_root)).sum(axis=-1)
