"""The density of rows that have gaps or measurement noise, under drawn components; differentiable.

It is that of what was seen: a gap is integrated out, and noise adds its covariance to the component's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.registry import FormName
from tfgmm.model.gradients.independent import FARTHEST, IndependentDraws
from tfgmm.model.gradients.row_tensors import RowTensors

if TYPE_CHECKING:
    from tfgmm.families.correlated import CorrelatedComponents
    from tfgmm.families.independent import IndependentComponents
    from tfgmm.model.gradients.correlated import CorrelatedDraws

_LOG_TWO_PI = math.log(2.0 * math.pi)
# Added to the unit diagonal of scaled matrices, so that rounding never makes them indefinite
_JITTER = 1e-12


def log_density(form: FormName, components: Any, rows: RowTensors, drawn: Any) -> Tensor:
    """Computes log Normal(row | component k) of what was seen, less the priors' row correction: (..., B, K) float32.

    Args:
        form: Form of the components' parameters.
        components: Components, which know the variance that priors add to each row.
        rows: (B, D) rows, measured from the centre.
        drawn: Draws with leading axes (B,) for one draw per row, or (S, 1) for S draws shared by the batch.
    """
    has_covariances = rows.noise is not None and rows.noise.shape.rank == 3
    if form == "independent" and not has_covariances:
        return _column_by_column(components, rows, drawn)
    differences = (rows.values[:, None, :] - drawn.base) - drawn.offset
    away = tf.cast(tf.clip_by_value(differences, -FARTHEST, FARTHEST), tf.float64)
    whiteners, log_determinants, root = _MATRICES[form](components, drawn)
    columns = away[..., None]
    if root is not None:
        columns = tf.concat([columns, tf.broadcast_to(root, [*tf.unstack(tf.shape(away)), root.shape[-1]])], axis=-1)
    terms = _twice_log_density(rows, tf.cast(whiteners, tf.float64), columns)
    return tf.cast(0.5 * terms + tf.cast(log_determinants, tf.float64), tf.float32)


def _column_by_column(components: IndependentComponents, rows: RowTensors, drawn: IndependentDraws) -> Tensor:
    """Adds up the columns that were seen; noise of a column adds to its variance."""
    log_precisions = drawn.log_precisions
    if rows.noise is not None:
        # 1 / (1 / tau + s^2), in logarithms: finite for every tau, and tau itself where s = 0
        log_precisions -= tf.nn.softplus(log_precisions + 2.0 * tf.math.log(rows.noise)[:, None, :])
    differences = (rows.values[:, None, :] - drawn.base) - drawn.offset
    distances = differences * tf.exp(0.5 * log_precisions)
    squares = tf.square(tf.clip_by_value(distances, -FARTHEST, FARTHEST))
    if components.row_variance is not None:
        squares += tf.exp(log_precisions) * np.float32(components.row_variance)
    terms = log_precisions - squares - np.float32(_LOG_TWO_PI)
    if rows.seen is not None:
        terms = tf.where(rows.seen[:, None, :], terms, tf.zeros_like(terms))
    return 0.5 * tf.reduce_sum(terms, -1)


def _twice_log_density(rows: RowTensors, whiteners: Tensor, columns: Tensor) -> Tensor:
    """Computes twice the log density without log det U, summed over the squares of all columns, (..., B, K) float64.

    A row differs from its true place by G z: z is standard normal where there is noise, and free in gaps. The z of the
    highest density is found by least squares. There the derivative in z is zero, so no gradient need go through it;
    the width around it is H = G' U' U G + 1 (without the 1 in gaps).

    Args:
        rows: The rows.
        whiteners: U, (..., K or 1, D, D) float64: the precision matrix is U' U.
        columns: (..., B, K, D, M) float64, what the squares are taken of: distances first.
    """
    shifts, is_noise = _shifts(rows)
    turned = tf.matmul(whiteners, shifts)
    gram = tf.matmul(turned, turned, transpose_a=True)
    inverse, log_determinant = _inverse(tf.stop_gradient(gram + tf.linalg.diag(is_noise)))
    log_determinant += tf.reduce_sum(inverse * (gram - tf.stop_gradient(gram)), [-2, -1])
    if rows.seen is not None:
        columns = tf.where(rows.seen[:, None, :, None], columns, tf.zeros_like(columns))
    slopes = tf.matmul(turned, tf.matmul(whiteners, columns), transpose_a=True)
    shift = tf.stop_gradient(tf.matmul(inverse, slopes))
    left = tf.matmul(whiteners, columns - tf.matmul(shifts, shift))
    squares = tf.square(tf.clip_by_value(left, -FARTHEST, FARTHEST))
    of_noise = tf.square(tf.clip_by_value(shift, -FARTHEST, FARTHEST)) * is_noise[..., None]
    num_seen = tf.reduce_sum(is_noise, -1)
    return -log_determinant - _LOG_TWO_PI * num_seen - tf.reduce_sum(squares + of_noise, [-2, -1])


def _shifts(rows: RowTensors) -> tuple[Tensor, Tensor]:
    """Computes G, (B, 1, D, D) float64, and where there is a value, which is where noise has a law, (B, 1, D)."""
    seen = tf.ones_like(rows.values, tf.bool) if rows.seen is None else rows.seen
    is_noise = tf.cast(seen, tf.float64)
    if rows.noise is None:
        shifts = tf.linalg.diag(1.0 - is_noise)
    elif rows.noise.shape.rank == 2:
        shifts = tf.linalg.diag(tf.where(seen, tf.cast(rows.noise, tf.float64), tf.ones_like(is_noise)))
    else:
        both = (seen[:, :, None] & seen[:, None, :])[..., None, :, :]
        root = _root(tf.cast(rows.noise, tf.float64))[:, None]
        shifts = tf.where(both, root, tf.linalg.diag(1.0 - is_noise)[:, None])
        return shifts, is_noise[:, None]
    return shifts[:, None], is_noise[:, None]


def _root(covariances: Tensor) -> Tensor:
    """Computes the symmetric roots of matrices (B, D, D) that may be singular."""
    values, vectors = tf.linalg.eigh(covariances)
    return tf.matmul(vectors * tf.sqrt(tf.maximum(values, 0.0))[:, None, :], vectors, transpose_b=True)


def _inverse(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Computes inverses and log determinants of positive definite (..., D, D) float64, for columns of any scales."""
    scales = tf.math.rsqrt(tf.maximum(tf.linalg.diag_part(matrices), np.finfo(np.float64).tiny))
    both = scales[..., :, None] * scales[..., None, :]
    identity = tf.eye(matrices.shape[-1], dtype=tf.float64)
    scaled = matrices * both + _JITTER * identity
    # What is not finite shows in the loss, which then stops the run in words of its own
    is_finite = tf.reduce_all(tf.math.is_finite(scaled), [-2, -1], keepdims=True)
    factors = tf.linalg.cholesky(tf.where(is_finite, scaled, identity))
    inverses = tf.linalg.cholesky_solve(factors, tf.broadcast_to(identity, tf.shape(factors)))
    diagonals = tf.math.log(tf.linalg.diag_part(factors)) - tf.math.log(scales)
    return inverses * both, 2.0 * tf.reduce_sum(diagonals, -1)


def _independent_matrices(
    components: IndependentComponents, drawn: IndependentDraws
) -> tuple[Tensor, Tensor, Tensor | None]:
    whiteners = tf.linalg.diag(tf.exp(0.5 * tf.cast(drawn.log_precisions, tf.float64)))
    root = None
    if components.row_variance is not None:
        variances = np.broadcast_to(components.row_variance, components.shape[1:])
        root = tf.constant(np.diag(np.sqrt(variances)), tf.float64)
    return whiteners, 0.5 * tf.reduce_sum(drawn.log_precisions, -1), root


def _correlated_matrices(
    components: CorrelatedComponents, drawn: CorrelatedDraws
) -> tuple[Tensor, Tensor, Tensor | None]:
    root = None
    if components.row_variance is not None:
        root = tf.constant(np.linalg.cholesky(components.row_variance), tf.float64)
    return drawn.whiteners, drawn.log_determinants, root


_MATRICES: Mapping[FormName, Any] = {"independent": _independent_matrices, "correlated": _correlated_matrices}
