"""The first half of a sweep as differentiable operations: what gradients of the augmented bound are checked with.

Written from the expectations of the textbook, on TensorFlow alone: no features, no coefficients, no code of tfgmm's but
what turns the variables into q.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import IndependentComponents, IndependentPosterior
from tfgmm.families.weights import DirichletPosterior, StickPosterior
from tfgmm.model.variables import KerasPosterior


def local_step(posterior: KerasPosterior, rows: Any) -> tuple[Any, Any]:
    """Returns logsumexp_k rho_ik, (B,) float64, and responsibilities softmax_k rho_ik, (B, K) float64.

    The likelihood part of the augmented bound: L_A = sum over rows of the first - KL(q || prior);
    L_A <= L_M <= log evidence (Bishop 2006, 10.46 to 10.49).

    Args:
        posterior: with its variables, in which both are differentiable.
        rows: (B, D) float32, measured from the centre.
    """
    of_weights, of_components = posterior.trained.factors()
    away = tf.cast(rows, tf.float64)[:, None] - of_components.locs
    if isinstance(of_components, CorrelatedPosterior):
        densities = _of_correlated(of_components, away)
    else:
        densities = _of_independent(posterior.components, of_components, away)
    rho = _expected_log_weights(of_weights) + densities - 0.5 * away.shape[-1] * math.log(2.0 * math.pi)
    return tf.reduce_logsumexp(rho, axis=1), tf.nn.softmax(rho, axis=1)


def _expected_log_weights(q: DirichletPosterior | StickPosterior) -> Any:
    """Returns E[log theta_k], (K,)."""
    if isinstance(q, DirichletPosterior):
        return tf.math.digamma(q.counts) - tf.math.digamma(tf.reduce_sum(q.counts))
    log_taken, log_left = tf.unstack(
        tf.math.digamma(q.sticks) - tf.math.digamma(tf.reduce_sum(q.sticks, axis=1, keepdims=True)), axis=1
    )
    left_before = tf.concat([tf.zeros(1, tf.float64), tf.cumsum(log_left)], axis=0)
    return tf.concat([log_taken, tf.zeros(1, tf.float64)], axis=0) + left_before


def _of_independent(components: IndependentComponents, q: IndependentPosterior, away: Any) -> Any:
    """Returns 1/2 sum_d (E[log tau] - E[tau] E[(row - mu)^2]), (B, K), without the constant."""
    rates = q.beta * np.square(components.units)
    log_precisions = tf.math.digamma(q.alpha) - tf.math.log(rates)
    squares = tf.square(away) + tf.square(q.scales)
    return 0.5 * tf.reduce_sum(log_precisions - q.alpha / rates * squares, axis=-1)


def _of_correlated(q: CorrelatedPosterior, away: Any) -> Any:
    """Returns 1/2 (E[log det Lambda] - E[(row - mu)' Lambda (row - mu)]), (B, K), without the constant."""
    num_features = away.shape[-1]
    inverse_scales = tf.matmul(q.scale_cholesky, q.scale_cholesky, transpose_b=True)
    halves = 0.5 * (q.degrees[:, None] - np.arange(num_features))
    log_determinants = tf.reduce_sum(tf.math.digamma(halves), axis=1) + num_features * math.log(2.0)
    log_determinants -= tf.linalg.slogdet(inverse_scales)[1]
    loc_covariances = tf.matmul(q.loc_cholesky, q.loc_cholesky, transpose_b=True)
    second_moments = away[..., :, None] * away[..., None, :] + loc_covariances
    means = q.degrees[:, None, None] * tf.linalg.inv(inverse_scales)
    return 0.5 * (log_determinants - tf.reduce_sum(means * second_moments, axis=[-2, -1]))
