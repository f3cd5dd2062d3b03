"""log q - log prior of drawn component parameters, whose mean over draws is the KL divergence."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families import wishart
from tfgmm.scoring.graph import triangular


def of_normals(locs: Tensor, means: Tensor, scales: Tensor, prior_means: Tensor, prior_scales: Tensor) -> Tensor:
    """Computes the sum over K, D of log Normal(locs | means, scales) - log Normal(locs | prior), (S,) nats."""
    from_q, from_prior = (locs - means) / scales, (locs - prior_means) / prior_scales
    ratios = 0.5 * (tf.square(from_prior) - tf.square(from_q)) + tf.math.log(prior_scales) - tf.math.log(scales)
    return tf.reduce_sum(ratios, axis=[-2, -1])


def of_gammas(log_values: Tensor, alpha: Tensor, beta: Tensor, prior_shape: Tensor, prior_rate: Tensor) -> Tensor:
    """Computes the sum of log Gamma(value | alpha, rate beta) - log Gamma(value | prior), (S,) nats."""
    varying = (alpha - prior_shape) * log_values - (beta - prior_rate) * tf.exp(log_values)
    of_q = alpha * tf.math.log(beta) - tf.math.lgamma(alpha)
    of_prior = prior_shape * tf.math.log(prior_rate) - tf.math.lgamma(prior_shape)
    return tf.reduce_sum(varying + (of_q - of_prior), axis=[-2, -1])


def of_correlated_normals(
    locs: Tensor, means: Tensor, roots: Tensor, prior_mean: Tensor, prior_root: np.ndarray
) -> Tensor:
    """Computes the sum over K of log Normal(locs | means, roots roots') - log Normal(locs | prior), (S,) nats."""
    prior_roots = tf.broadcast_to(tf.constant(prior_root), roots.shape)
    from_q = tf.linalg.matvec(triangular.inverse(roots), locs - means)
    from_prior = tf.linalg.matvec(triangular.inverse(prior_roots), locs - prior_mean)
    constants = triangular.log_determinants(prior_roots) - triangular.log_determinants(roots)
    squares = tf.reduce_sum(tf.square(from_prior) - tf.square(from_q), axis=-1)
    return tf.reduce_sum(0.5 * squares + constants, axis=-1)


def of_wisharts(
    whiteners: Tensor,
    log_determinants: Tensor,
    degrees: Tensor,
    inverse_root: Tensor,
    prior_degrees: float,
    prior_root: np.ndarray,
) -> Tensor:
    """Computes the sum over M of log Wishart(U'U | q) - log Wishart(U'U | prior), (S,) nats (Bishop 2006, B.78).

    Args:
        whiteners: U, (S, M, D, D).
        log_determinants: log det U, (S, M).
        degrees, inverse_root, prior_degrees, prior_root: As in `wishart.kl_to_prior`.
    """
    prior_roots = tf.broadcast_to(tf.constant(prior_root), inverse_root.shape)
    # tr(W^-1 Lambda) = tr(C C' U' U)
    traces = [
        tf.reduce_sum(tf.square(tf.matmul(whiteners, root)), axis=[-2, -1]) for root in (inverse_root, prior_roots)
    ]
    varying = (degrees - prior_degrees) * log_determinants - 0.5 * (traces[0] - traces[1])
    of_q = wishart.log_normalisers(degrees, inverse_root)
    of_prior = wishart.log_normalisers(tf.constant([prior_degrees], tf.float64), prior_roots[:1])
    return tf.reduce_sum(varying - of_q + of_prior, axis=-1)
