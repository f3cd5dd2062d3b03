"""Logarithms of Gamma draws, with gradients that are right at every shape.

TensorFlow's own implicit gradient of a Gamma draw drifts for large shapes (-26 % at 1e5 in float32) and its
draws underflow to exact zeros for small ones. Both matter here: shapes grow with the number of rows, and a zero weight
has no logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfgmm.common.shapes import Tensor

# Above this shape the Wilson-Hilferty gradient (off by 2.4e-5 here, less above) replaces TensorFlow's.
_LARGE_SHAPE = 1e3

# The streams of random numbers that one seed gives, see `stream`.
GAMMA, UNIFORM, NORMAL, BARTLETT = range(4)


def log_gamma_draws(
    shapes: Sequence[Tensor], sample_shape: Tensor, seed: Tensor, dtype: tf.DType = tf.float32
) -> list[Tensor]:
    """Draws log x for x ~ Gamma(shape, rate 1), for each tensor of `shapes`, differentiable in them.

    A draw with shape + 1, which never comes near zero, is carried down to `shape` in log space:
    log x = log Gamma(shape + 1) draw + log(U) / shape, with U uniform
    (Naesseth, Ruiz, Linderman and Blei 2017, section 4, shape augmentation).

    Args:
        shapes: Positive float tensors of known shape. All are drawn in one call, to pay its fixed cost once.
        sample_shape: (R,) int, axes before those of each tensor.
        seed: (2,) int, the only source of randomness.
        dtype: Float type of the draws.

    Returns:
        One tensor per entry of `shapes`, sample_shape + its shape, type `dtype`.

    Example:

    >>> [draws] = log_gamma_draws([tf.constant([0.01, 100.0])], [4], [1, 2])
    >>> draws.shape.as_list(), bool(tf.reduce_all(tf.math.is_finite(draws)))
    ([4, 2], True)
    """
    flat = tf.concat([tf.reshape(tf.cast(shape, dtype), [-1]) for shape in shapes], axis=0)
    sample_shape = tf.cast(sample_shape, tf.int32)  # an empty list would be float32
    num_draws = tf.reduce_prod(sample_shape)
    full_shape = tf.stack([num_draws, tf.size(flat)])
    augmented = tf.stop_gradient(flat) + 1.0
    gammas = tf.random.stateless_gamma(full_shape, stream(seed, GAMMA), alpha=augmented, dtype=dtype)
    uniforms = tf.random.stateless_uniform(full_shape, stream(seed, UNIFORM), dtype=dtype)
    drawn = _log_draws(flat, gammas, uniforms)
    pieces = tf.split(drawn, [shape.shape.num_elements() for shape in shapes], axis=1)
    return [
        tf.reshape(piece, tf.concat([sample_shape, tf.shape(shape)], axis=0)) for piece, shape in zip(pieces, shapes)
    ]


def stream(seed: Tensor, index: int) -> Tensor:
    """Makes the seed of one of several independent streams of random numbers, (2,) int64.

    It adds where `tf.random.split` would draw, which would be noticeable in steps of a millisecond.

    Args:
        seed: (2,) int; the second entry, the step, is below 2**40.
        index: GAMMA, UNIFORM, NORMAL or BARTLETT.
    """
    return tf.cast(seed, tf.int64) + tf.constant([0, (index + 1) << 40], tf.int64)


@tf.custom_gradient
def _log_draws(shapes: Tensor, gammas: Tensor, uniforms: Tensor) -> Any:
    """Computes log draws (M, n), with d log(draw) / d shape at fixed quantiles as their gradient in shapes (n,)."""
    # uniforms may be 0 but never 1, so log1p(-U) is finite where log(U) is not
    carried_down = tf.math.log1p(-uniforms) / shapes

    def gradient(upstream: Tensor) -> tuple[Tensor, None, None]:
        augmented = shapes + 1.0
        large = augmented >= _LARGE_SHAPE
        # Few rows make all shapes small, many rows make most of them large: compute both only when both occur.
        slopes = tf.cond(
            tf.reduce_any(large),
            lambda: _mixed_gradient(large, augmented, gammas),
            lambda: _gradient(augmented, gammas),
        )
        return tf.reduce_sum(upstream * (slopes - carried_down / shapes), axis=0), None, None

    return tf.math.log(gammas) + carried_down, gradient


def _gradient(shapes: Tensor, draws: Tensor) -> Tensor:
    """Computes d log x / d shape by TensorFlow's implicit gradient, good for shapes below 1e3."""
    return tf.raw_ops.RandomGammaGrad(alpha=shapes, sample=draws) / draws


def _mixed_gradient(large: Tensor, shapes: Tensor, draws: Tensor) -> Tensor:
    """Computes the gradient where some shapes are large; each way sees harmless values where the other one is used."""
    ones = tf.ones_like(draws)
    implicit = _gradient(tf.where(large, tf.ones_like(shapes), shapes), tf.where(large, ones, draws))
    return tf.where(large, _wilson_hilferty_gradient(shapes, draws), implicit)


def _wilson_hilferty_gradient(shape: Tensor, draws: Tensor) -> Tensor:
    """Computes d log x / d shape for x = shape r^3, r = 1 - 1/(9 shape) + z / (3 sqrt(shape)), z held fixed."""
    ninth = 1.0 / (9.0 * shape)
    root = tf.exp(tf.math.log(draws / shape) / 3.0)
    return (1.0 + 3.0 * (ninth - 0.5 * (root - 1.0 + ninth)) / root) / shape
