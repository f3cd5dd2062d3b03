"""Parameters that stay positive whatever an optimizer does to the numbers behind them."""

from __future__ import annotations

import math

import tensorflow as tf

from tfgmm.common.shapes import Tensor

# Shapes and concentrations below 1e-9 have gradients beyond float32 (they go as 1 / shape^2); scales and rates
# are limited so that their squares stay inside float64 and their ratios inside float32.
SHAPE_RANGE = (1e-9, 1e34)
SCALE_RANGE = (1e-34, 1e34)


def positive(logarithm: Tensor, limits: tuple[float, float] = SCALE_RANGE) -> Tensor:
    """Computes exp(logarithm), limited to `limits`: finite and positive for any finite input.

    Args:
        logarithm: Float variable or tensor of any shape; this is what is trained.
        limits: Smallest and largest value returned. The gradient is zero beyond them, never NaN.

    Example:

    >>> [f"{value:.3g}" for value in positive(tf.constant([-1e4, 0.0, 1e4], tf.float64)).numpy()]
    ['1e-34', '1', '1e+34']
    """
    low, high = limits
    return tf.exp(tf.clip_by_value(tf.convert_to_tensor(logarithm), math.log(low), math.log(high)))
