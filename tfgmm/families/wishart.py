"""The Wishart distribution by its degrees nu and the Cholesky factor C of its inverse scale, W^-1 = C C'.

Every function takes M distributions at once: degrees (M,), inverse_root C (M, D, D), lower triangular, float64. Leading
axes before these stay. TensorFlow Probability has no divergence between two of them, so that gradients go through these
formulas too; see `families.functions`.
"""

from __future__ import annotations

import math

import numpy as np

from tfgmm.common.shapes import Tensor
from tfgmm.families import triangular
from tfgmm.families.functions import NUMPY, Functions


def bartlett_shapes(degrees: Tensor, num_features: int) -> Tensor:
    """Computes (nu + 1 - i) / 2 for i = 1 .. D, (M, D): shapes of the Gammas in Bartlett's decomposition."""
    return 0.5 * (degrees[..., None] - np.arange(num_features, dtype=np.float64))


def expected_log_determinants(degrees: Tensor, inverse_root: Tensor, functions: Functions = NUMPY) -> Tensor:
    """Computes E[log det Lambda] = sum_i digamma((nu + 1 - i) / 2) + D log 2 + log det W, (M,) (Bishop 2006, B.81)."""
    num_features = inverse_root.shape[-1]
    of_mean = num_features * functions.log(degrees) - 2.0 * _log_determinants(inverse_root, functions)
    return of_mean + log_determinant_gaps(degrees, num_features, functions)


def log_determinant_gaps(degrees: Tensor, num_features: int, functions: Functions = NUMPY) -> Tensor:
    """Computes E[log det Lambda] - log det E[Lambda], (M,): sum_i digamma((nu + 1 - i) / 2) + D log(2 / nu)."""
    digammas = functions.sum(functions.digamma(bartlett_shapes(degrees, num_features)), -1)
    return digammas + num_features * (math.log(2.0) - functions.log(degrees))


def kl_to_prior(
    degrees: Tensor, inverse_root: Tensor, prior_degrees: float, prior_root: np.ndarray, functions: Functions = NUMPY
) -> Tensor:
    """Computes the sum over M of KL(Wishart(nu, W) || Wishart(nu0, W0)), (...) nats.

    (nu - nu0) / 2 E[log det Lambda] + nu / 2 (tr(W0^-1 W) - D) - log Z(nu, W) + log Z(nu0, W0), where
    log Z = nu D / 2 log 2 + nu / 2 log det W + log Gamma_D(nu / 2) (Bishop 2006, B.78 to B.82).

    Args:
        degrees, inverse_root: nu and C of the M distributions.
        prior_degrees: nu0.
        prior_root: (D, D), the Cholesky factor of W0^-1.
        functions: Functions of the library that the distributions belong to.
    """
    ratios = functions.triangular_inverse(inverse_root) @ prior_root
    traces = functions.sum(ratios * ratios, (-2, -1))
    expected = 0.5 * (degrees - prior_degrees) * expected_log_determinants(degrees, inverse_root, functions)
    expected += 0.5 * degrees * (traces - float(inverse_root.shape[-1]))
    of_prior = log_normalisers(np.array([prior_degrees]), prior_root[None])
    return functions.sum(expected - log_normalisers(degrees, inverse_root, functions) + of_prior, -1)


def log_normalisers(degrees: Tensor, inverse_root: Tensor, functions: Functions = NUMPY) -> Tensor:
    """Computes log Z(nu, W), (M,): the log density is (nu - D - 1) / 2 log det Lambda - tr(W^-1 Lambda) / 2 - log Z."""
    num_features = inverse_root.shape[-1]
    log_gammas = functions.sum(functions.lgamma(bartlett_shapes(degrees, num_features)), -1)
    constant = num_features * (num_features - 1) / 4.0 * math.log(math.pi)
    log_determinants = _log_determinants(inverse_root, functions)
    return 0.5 * num_features * math.log(2.0) * degrees - degrees * log_determinants + (log_gammas + constant)


def _log_determinants(lower: Tensor, functions: Functions) -> Tensor:
    if isinstance(lower, np.ndarray):
        return triangular.log_determinants(lower)
    diagonal = functions.sum(lower * np.eye(lower.shape[-1]), -1)
    return functions.sum(functions.log(diagonal), -1)


def negative_entropies(
    degrees: Tensor, inverse_root: Tensor, functions: Functions = NUMPY, log_determinants: Tensor | None = None
) -> Tensor:
    """Computes E[log Wishart(Lambda)], (M,) nats: (nu - D - 1) / 2 E[log det Lambda] - nu D / 2 - log Z.

    Args:
        degrees, inverse_root: nu and C of the M distributions.
        functions: Functions of the library that the distributions belong to.
        log_determinants: E[log det Lambda], (M,), where the caller has them.
    """
    num_features = float(inverse_root.shape[-1])
    if log_determinants is None:
        log_determinants = expected_log_determinants(degrees, inverse_root, functions)
    varying = 0.5 * (degrees - num_features - 1.0) * log_determinants - 0.5 * num_features * degrees
    return varying - log_normalisers(degrees, inverse_root, functions)
