"""The Wishart distribution by its degrees nu and the Cholesky factor C of its inverse scale, W^-1 = C C'.

Every function takes M distributions at once: degrees (M,), inverse_root C (M, D, D), lower triangular, float64. Leading
axes before these stay.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.positive import positive
from tfgmm.scoring.graph.triangular import log_determinants


def bartlett_shapes(degrees: Tensor, num_features: int) -> Tensor:
    """Computes (nu + 1 - i) / 2 for i = 1 .. D, (M, D): shapes of the Gammas in Bartlett's decomposition."""
    return 0.5 * (degrees[..., None] - np.arange(num_features, dtype=np.float64))


def expected_log_determinants(degrees: Tensor, inverse_root: Tensor) -> Tensor:
    """Computes E[log det Lambda] = sum_i digamma((nu + 1 - i) / 2) + D log 2 + log det W, (M,) (Bishop 2006, B.81)."""
    num_features = inverse_root.shape[-1]
    digammas = tf.reduce_sum(tf.math.digamma(bartlett_shapes(degrees, num_features)), axis=-1)
    return digammas + num_features * math.log(2.0) - 2.0 * log_determinants(inverse_root)


def kl_to_prior(degrees: Tensor, inverse_root: Tensor, prior_degrees: float, prior_root: Tensor) -> Tensor:
    """Computes the sum over M of KL(Wishart(nu, W) || Wishart(nu0, W0)), (...) nats.

    (nu - nu0) / 2 E[log det Lambda] + nu / 2 (tr(W0^-1 W) - D) - log Z(nu, W) + log Z(nu0, W0), where
    log Z = nu D / 2 log 2 + nu / 2 log det W + log Gamma_D(nu / 2) (Bishop 2006, B.78 to B.82).

    Args:
        degrees, inverse_root: nu and C of the M distributions.
        prior_degrees: nu0.
        prior_root: (D, D), the Cholesky factor of W0^-1.
    """
    prior = tf.broadcast_to(prior_root, tf.shape(inverse_root))
    trace = tf.reduce_sum(tf.square(tf.linalg.triangular_solve(inverse_root, prior)), axis=[-2, -1])
    expected = 0.5 * (degrees - prior_degrees) * expected_log_determinants(degrees, inverse_root)
    expected += 0.5 * degrees * (trace - float(inverse_root.shape[-1]))
    of_prior = log_normalisers(tf.constant([prior_degrees], tf.float64), tf.convert_to_tensor(prior_root)[None])
    return tf.reduce_sum(expected - log_normalisers(degrees, inverse_root) + of_prior, axis=-1)


def log_normalisers(degrees: Tensor, inverse_root: Tensor) -> Tensor:
    """Computes log Z(nu, W), (M,): the log density is (nu - D - 1) / 2 log det Lambda - tr(W^-1 Lambda) / 2 - log Z."""
    num_features = inverse_root.shape[-1]
    log_gammas = tf.reduce_sum(tf.math.lgamma(bartlett_shapes(degrees, num_features)), axis=-1)
    log_gammas += num_features * (num_features - 1) / 4.0 * math.log(math.pi)
    return 0.5 * num_features * math.log(2.0) * degrees - degrees * log_determinants(inverse_root) + log_gammas


def triangular(values: Tensor) -> Tensor:
    """Makes the lower triangular matrices whose numbers, with the logarithm of the diagonal, are `values`."""
    lower = tf.linalg.band_part(tf.convert_to_tensor(values), -1, 0)
    return tf.linalg.set_diag(lower, positive(tf.linalg.diag_part(lower)))


def with_log_diagonal(lower: Tensor) -> Tensor:
    """Computes the numbers behind lower triangular matrices; `triangular` is the inverse."""
    return tf.linalg.set_diag(lower, tf.math.log(tf.linalg.diag_part(lower)))
