"""The functions that formulas shared by NumPy and TensorFlow need; the rest of such a formula is operators.

`NUMPY` has them for arrays; `tfgmm.model.gradients.functions` has them for tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from tfgmm.common.shapes import Tensor

# Shapes and concentrations below 1e-9 have gradients beyond float32 (they go as 1 / shape^2); scales and rates
# are limited so that their squares stay inside float64 and their ratios inside float32.
SHAPE_RANGE = (1e-9, 1e34)
SCALE_RANGE = (1e-34, 1e34)


class Functions(NamedTuple):
    """What is neither an operator nor an index in a formula.

    log, digamma, lgamma: Of every entry.
    positive: (logarithm, limits) -> exp(logarithm) of every entry, limited to (smallest, largest).
    sum, logsumexp: (values, axis, keepdims=False) -> over an axis, or several.
    triangular_inverse: Of lower triangular matrices (..., D, D); what is above the diagonal is not looked at.
    """

    log: Callable[..., Tensor]
    positive: Callable[..., Tensor]
    digamma: Callable[..., Tensor]
    lgamma: Callable[..., Tensor]
    sum: Callable[..., Tensor]
    logsumexp: Callable[..., Tensor]
    triangular_inverse: Callable[..., Tensor]


def _positive(logarithm: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Computes exp(logarithm), limited to `limits`: finite and positive for any finite input."""
    low, high = limits
    return np.exp(np.clip(logarithm, math.log(low), math.log(high)))


def _sum(values: np.ndarray, axis: int | tuple[int, ...], keepdims: bool = False) -> np.ndarray:
    return np.sum(values, axis=axis, keepdims=keepdims)


def _logsumexp(values: np.ndarray, axis: int, keepdims: bool = False) -> np.ndarray:
    """Computes log sum exp of finite values; SciPy's, which looks at every case, takes twenty times as long for few."""
    largest = np.max(values, axis=axis, keepdims=True)
    total = largest + np.log(np.sum(np.exp(values - largest), axis=axis, keepdims=True))
    return total if keepdims else np.squeeze(total, axis)


def _triangular_inverse(lower: np.ndarray) -> np.ndarray:
    """Inverts lower triangular matrices (..., D, D) by forward substitution: one row of all of them at a time.

    Example:

    >>> _triangular_inverse(np.array([[2.0, 0.0], [1.0, 4.0]])).tolist()
    [[0.5, 0.0], [-0.125, 0.25]]
    """
    inverse = np.zeros_like(lower)
    for i in range(lower.shape[-1]):
        scale = 1.0 / lower[..., i, i, None]
        inverse[..., i, :i] = -scale * (lower[..., i, None, :i] @ inverse[..., :i, :i])[..., 0, :]
        inverse[..., i, i] = scale[..., 0]
    return inverse


NUMPY = Functions(np.log, _positive, special.digamma, special.gammaln, _sum, _logsumexp, _triangular_inverse)
