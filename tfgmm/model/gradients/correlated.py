"""Draws of components whose columns are correlated, and the density of rows under them; see `independent`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.model.gradients.independent import FARTHEST, high_and_low
from tfgmm.model.gradients.log_gamma import BARTLETT, NORMAL, stream
from tfgmm.scoring.graph import triangular

if TYPE_CHECKING:
    from tfgmm.families.correlated import CorrelatedComponents, CorrelatedPosterior

# Entries of C^-1 beyond this are set to it, so that products with draws stay finite in float32.
_STEEPEST = 1e18


class CorrelatedDraws(NamedTuple):
    """Component parameters drawn from q; leading axes (B,) or (S, 1) before (K, D) and (K or 1, D, D).

    The location is `base + offset`, float32, as in `IndependentDraws`. The precision matrix is whiteners' whiteners, in
    the type of the drawing.
    """

    base: Tensor
    offset: Tensor
    whiteners: Tensor
    log_determinants: Tensor


def draws(
    components: CorrelatedComponents, posterior: CorrelatedPosterior, log_gammas: Tensor, seed: Tensor
) -> CorrelatedDraws:
    """Draws component parameters from q, (..., K, D), differentiable in q.

    Lambda = C^-T A A' C^-1 with A lower triangular, A_ii^2 / 2 ~ Gamma((nu + 1 - i) / 2), the others standard
    normal (Bartlett 1933).

    Args:
        components: Components of a known number.
        posterior: q.
        log_gammas: (..., K or 1, D) log Gamma draws with the shapes `gamma_shapes`; all is drawn in their type.
        seed: (2,) int, seed of the locations and of the off-diagonal of A.
    """
    dtype = log_gammas.dtype
    leading = tf.shape(log_gammas)[:-2]
    noise = tf.random.stateless_normal(tf.concat([leading, components.shape], 0), stream(seed, NORMAL), dtype=dtype)
    base, rest = high_and_low(posterior.locs)
    offset = rest + tf.cast(tf.linalg.matvec(tf.cast(posterior.loc_cholesky, dtype), noise), tf.float32)
    whiteners, log_determinants = _whiteners(posterior.scale_cholesky, log_gammas, seed)
    return CorrelatedDraws(base, offset, whiteners, log_determinants)


def _whiteners(scale_cholesky: Tensor, log_gammas: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
    """Draws A' C^-1, (..., K or 1, D, D), and computes their log determinants."""
    dtype = log_gammas.dtype
    shape = tf.concat([tf.shape(log_gammas), log_gammas.shape[-1:]], 0)
    normals = tf.random.stateless_normal(shape, stream(seed, BARTLETT), dtype=dtype)
    log_diagonal = 0.5 * (math.log(2.0) + log_gammas)
    factor = tf.linalg.set_diag(tf.linalg.band_part(normals, -1, 0), tf.exp(log_diagonal))
    inverse = triangular.inverse(scale_cholesky)
    limited = tf.clip_by_value(inverse, -_STEEPEST, _STEEPEST)
    whiteners = tf.matmul(factor, tf.cast(limited, dtype), transpose_a=True)
    return whiteners, tf.reduce_sum(log_diagonal, -1) + tf.cast(triangular.log_determinants(inverse), dtype)


def row_corrections(components: CorrelatedComponents, drawn: CorrelatedDraws) -> Tensor:
    """Computes what `row_variance` of the priors takes from the log density of each row, nats, (..., K) float32."""
    if components.row_variance is None:
        return tf.zeros([], tf.float32)
    root = tf.constant(np.linalg.cholesky(components.row_variance), drawn.whiteners.dtype)
    # One plain product: the gradient of one that is broadcast over a matrix for all components crashes TensorFlow 2.21
    squares = tf.reduce_sum(tf.square(tf.tensordot(drawn.whiteners, root, 1)), [-2, -1])
    return tf.cast(-0.5 * squares, tf.float32)


def log_density(rows: Tensor, drawn: CorrelatedDraws) -> Tensor:
    """Computes log Normal(row | mu_k, Lambda_k^-1), nats, (..., B, K) float32; arguments as of `independent`."""
    differences = tf.clip_by_value((rows[:, None, :] - drawn.base) - drawn.offset, -FARTHEST, FARTHEST)
    whiteners = tf.cast(drawn.whiteners, tf.float32)
    distances = tf.clip_by_value(tf.linalg.matvec(whiteners, differences), -FARTHEST, FARTHEST)
    constant = rows.shape[-1] * math.log(2.0 * math.pi)
    return tf.cast(drawn.log_determinants, tf.float32) - 0.5 * (tf.reduce_sum(tf.square(distances), -1) + constant)
