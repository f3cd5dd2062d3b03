"""Draws of components whose columns are independent, and the density of rows under them.

Rows and locations are measured from `centre`. A draw is differentiable in the posterior it is from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.model.gradients.log_gamma import NORMAL, stream

if TYPE_CHECKING:
    from tfgmm.families.independent import IndependentComponents, IndependentPosterior

# A standardised distance beyond this is set to it, so that its square stays finite in float32 for 10,000 columns.
FARTHEST = 1e17


class IndependentDraws(NamedTuple):
    """Component parameters drawn from q, float32; leading axes (B,) or (S, 1) before (K, D).

    The location is `base + offset`: rows subtract `base` first, exactly, so that the rounding of a location
    far from zero never reaches the density of a tight component.
    """

    base: Tensor
    offset: Tensor
    log_precisions: Tensor


def draws(
    components: IndependentComponents, posterior: IndependentPosterior, log_gammas: Tensor, seed: Tensor
) -> IndependentDraws:
    """Draws component parameters from q, (..., K, D) float32, differentiable in q.

    Args:
        components: Components whose precisions are in `units`.
        posterior: q.
        log_gammas: Log Gamma draws with the shapes `gamma_shapes`; all is drawn in their type.
        seed: (2,) int, seed of the locations.
    """
    dtype = log_gammas.dtype
    shape = tf.concat([tf.shape(log_gammas)[:-2], posterior.locs.shape[-2:]], axis=0)
    noise = tf.random.stateless_normal(shape, stream(seed, NORMAL), dtype=dtype)
    base, rest = high_and_low(posterior.locs)
    offset = rest + tf.cast(tf.cast(posterior.scales, dtype) * noise, tf.float32)
    log_precisions = log_gammas - tf.cast(tf.math.log(posterior.beta), dtype) - 2.0 * np.log(components.units)
    return IndependentDraws(base, offset, tf.broadcast_to(tf.cast(log_precisions, tf.float32), shape))


def log_density(rows: Tensor, drawn: IndependentDraws) -> Tensor:
    """Computes log Normal(row | mu_k, 1 / tau_k), nats, (..., B, K) float32.

    Subtracts before squaring: exact to about 1e-5 nats for components down to 1e-4 of the data's range.

    Args:
        rows: (B, D) float32, measured from the centre.
        drawn: Draws with leading axes (B,) for one draw per row, (S, 1) for S draws shared by the batch, or none.
    """
    differences = (rows[:, None, :] - drawn.base) - drawn.offset
    distances = differences * tf.exp(0.5 * drawn.log_precisions)
    # Limited to a finite range, so that neither a square nor its gradient overflows far away.
    squares = tf.square(tf.clip_by_value(distances, -FARTHEST, FARTHEST))
    constant = rows.shape[-1] * math.log(2.0 * math.pi)
    return 0.5 * (tf.reduce_sum(drawn.log_precisions, -1) - tf.reduce_sum(squares, -1) - constant)


def row_corrections(components: IndependentComponents, drawn: IndependentDraws) -> Tensor:
    """Computes what `row_variance` of the priors takes from the log density of each row, nats, (..., K) float32."""
    if components.row_variance is None:
        return tf.zeros([], tf.float32)
    return -0.5 * tf.reduce_sum(tf.exp(drawn.log_precisions) * np.float32(components.row_variance), -1)


def high_and_low(values: Tensor) -> tuple[Tensor, Tensor]:
    """Splits float64 `values` into a pair of float32 whose sum is `values`; the first carries no gradient."""
    high = tf.stop_gradient(tf.cast(values, tf.float32))
    return high, tf.cast(values - tf.cast(high, tf.float64), tf.float32)
