"""Divergences of q from priors that learn their scale, as tensors.

What the prior says is a function U of few sums over the components, which NumPy computes. Its derivatives are
expectations that NumPy has too (the envelope theorem), so the tensor is U with a linear form in the sums: no gradient
goes through eigenvectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families import wishart
from tfgmm.families.correlated import CorrelatedComponents, CorrelatedPosterior
from tfgmm.families.independent import IndependentComponents, IndependentPosterior
from tfgmm.model.gradients.functions import TENSORFLOW

Divergences = tuple[Tensor | None, Tensor | None]


def of_independent(components: IndependentComponents, posterior: IndependentPosterior, centre: Tensor) -> Divergences:
    """Computes E_q[log q - log p] of locations and of precisions, nats; None where the prior is fixed."""
    of_locs = of_precisions = None
    if components.learned_locs is not None:
        away = (posterior.locs - (components.loc_mean - centre)) / components.loc_scale
        squares = tf.reduce_sum(tf.square(away) + tf.square(posterior.scales / components.loc_scale))
        entropies = tf.reduce_sum(tf.math.log(posterior.scales)) + _constant(components)
        of_locs = -entropies - _log_density_of_locs(components.learned_locs, squares)
    if components.learned is not None:
        alpha, beta = posterior.alpha, posterior.beta
        logarithms = tf.math.digamma(alpha) - tf.math.log(beta)
        of_q = alpha * tf.math.log(beta) - tf.math.lgamma(alpha) + alpha * logarithms - alpha
        sums = tf.reduce_sum(alpha / beta, axis=-2), tf.reduce_sum(logarithms)
        of_prior = _log_density_of_precisions(components.learned, *sums, 0.0)
        of_precisions = tf.reduce_sum(of_q) - of_prior
    return of_locs, of_precisions


def of_correlated(components: CorrelatedComponents, posterior: CorrelatedPosterior, centre: Tensor) -> Divergences:
    """Computes the same for components with matrices."""
    of_locs = of_precisions = None
    if components.learned_locs is not None:
        whitener = np.linalg.inv(components.prior_loc_cholesky)
        away = tf.linalg.matvec(whitener, posterior.locs - (components.loc_mean - centre))
        squares = tf.reduce_sum(tf.square(away)) + tf.reduce_sum(tf.square(whitener @ posterior.loc_cholesky))
        diagonals = tf.linalg.diag_part(posterior.loc_cholesky)
        entropies = tf.reduce_sum(tf.math.log(diagonals)) + _constant(components)
        of_locs = -entropies - _log_density_of_locs(components.learned_locs, squares)
    if components.learned is not None:
        q = posterior.degrees, posterior.scale_cholesky
        whiteners = components.means(posterior, TENSORFLOW)["whiteners"]
        total = tf.reduce_sum(tf.matmul(whiteners, whiteners, transpose_a=True), axis=-3)
        log_determinants = tf.reduce_sum(wishart.expected_log_determinants(*q, TENSORFLOW))
        own_shape = 0.5 * (components.shape[1] + 1.0)
        of_prior = _log_density_of_precisions(components.learned, total, log_determinants, own_shape)
        of_precisions = tf.reduce_sum(wishart.negative_entropies(*q, TENSORFLOW)) - of_prior
    return of_locs, of_precisions


def _constant(components: Any) -> float:
    """Computes the constant part of the entropy of K D normals."""
    return 0.5 * (math.log(2.0 * math.pi) + 1.0) * math.prod(components.shape)


def _log_density_of_locs(learned: Any, squares: Tensor) -> Tensor:
    """Computes E[log p(mu)], whose derivative in R is -E[lambda] / 2."""
    value, expected = _by_numpy(learned.given, [squares], 2)
    return value - 0.5 * expected * (squares - tf.stop_gradient(squares))


def _log_density_of_precisions(learned: Any, total: Tensor, logarithms: Tensor, own_shape: float) -> Tensor:
    """Computes E[log p] of all precisions: U, less `own_shape` T, less the floor.

    U has the derivatives E[e] / 2, or E[nu0] / 2, in T, and -E[Psi] / 2 in S.
    """

    def given(total: np.ndarray, logarithms: np.ndarray) -> tuple[np.ndarray, ...]:
        found = learned.given(total, logarithms)
        return found.log_density, found.degrees, found.inverse_scale - learned.floor

    value, degrees, inverse_scale = _by_numpy(given, [total, logarithms], 3)
    moved = total - tf.stop_gradient(total), logarithms - tf.stop_gradient(logarithms)
    linear = 0.5 * degrees * moved[1] - 0.5 * tf.reduce_sum(inverse_scale * moved[0])
    return value + linear - own_shape * logarithms - 0.5 * tf.reduce_sum(learned.floor * total)


def _by_numpy(function: Callable[..., tuple[np.ndarray, ...]], sums: list[Tensor], num_results: int) -> list[Tensor]:
    """Calls a NumPy function of tensors, in graphs too; its results are constants to gradients."""
    found = tf.numpy_function(
        lambda *values: [np.asarray(value, np.float64) for value in function(*values)],
        [tf.stop_gradient(value) for value in sums],
        [tf.float64] * num_results,
    )
    return [tf.stop_gradient(value) for value in found]
