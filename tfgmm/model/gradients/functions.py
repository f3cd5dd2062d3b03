"""The functions of shared formulas for tensors; differentiable."""

from __future__ import annotations

import math

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.functions import Functions
from tfgmm.scoring.graph import triangular


def _positive(logarithm: Tensor, limits: tuple[float, float]) -> Tensor:
    """Computes exp(logarithm), limited to `limits`; the gradient is zero beyond them, never NaN."""
    low, high = limits
    return tf.exp(tf.clip_by_value(tf.convert_to_tensor(logarithm), math.log(low), math.log(high)))


TENSORFLOW = Functions(
    tf.math.log,
    _positive,
    tf.math.digamma,
    tf.math.lgamma,
    tf.reduce_sum,
    tf.reduce_logsumexp,
    triangular.inverse,
)
