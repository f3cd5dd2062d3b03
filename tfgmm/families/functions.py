"""The functions that formulas need which NumPy and TensorFlow share: everything else in them is operators.

A formula that gradients go through is written once, takes these functions as an argument, and uses +, -, *, /, @ and
indexing for the rest. `model.gradients.functions` has the same for TensorFlow, and the NumPyro companion `Arithmetic`
for JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from tfgmm.families import triangular

# Shapes and concentrations below 1e-9 have gradients beyond float32 (they go as 1 / shape^2); scales and rates
# are limited so that their squares stay inside float64 and their ratios inside float32.
SHAPE_RANGE = (1e-9, 1e34)
SCALE_RANGE = (1e-34, 1e34)


class Functions(NamedTuple):
    """One library's functions.

    Args:
        log: Natural logarithm.
        positive: exp of a logarithm, limited to a range: (logarithm, limits); see `positive`.
        digamma, lgamma: Those of the Gamma function.
        sum: (values, axis, keepdims=False) -> sum over one axis or several.
        logsumexp: (values, axis, keepdims=False) -> logarithm of the sum of exponentials.
        triangular_inverse: Inverse of lower triangular matrices (..., D, D).
    """

    log: Callable[..., Any]
    positive: Callable[..., Any]
    digamma: Callable[..., Any]
    lgamma: Callable[..., Any]
    sum: Callable[..., Any]
    logsumexp: Callable[..., Any]
    triangular_inverse: Callable[..., Any]


def positive(logarithm: np.ndarray, limits: tuple[float, float] = SCALE_RANGE) -> np.ndarray:
    """Computes exp(logarithm), limited to `limits`: finite and positive for any number but NaN.

    Args:
        logarithm: Numbers of any shape; these are what is trained.
        limits: Smallest and largest value.

    Example:

    >>> [f"{value:.3g}" for value in positive(np.array([-1e4, 0.0, 1e4]))]
    ['1e-34', '1', '1e+34']
    """
    low, high = limits
    return np.exp(np.minimum(np.maximum(logarithm, math.log(low)), math.log(high)))


def logsumexp(values: np.ndarray, axis: int, keepdims: bool = False) -> np.ndarray:
    """Computes log sum exp over one axis, of finite numbers."""
    largest = values.max(axis=axis, keepdims=True)
    total = largest + np.log(np.exp(values - largest).sum(axis=axis, keepdims=True))
    return total if keepdims else total.squeeze(axis)


NUMPY = Functions(np.log, positive, special.digamma, special.gammaln, np.sum, logsumexp, triangular.inverse)


class Arithmetic(NamedTuple):
    """The functions that log densities of priors that learn their scale need of NumPy or JAX.

    Args:
        log: Natural logarithm.
        logsumexp: (values, axis) -> logarithm of the sum of exponentials.
        stack: (arrays, axis) -> one array with a new axis.
        eigh: Eigenvalues and vectors of symmetric matrices (..., D, D).
    """

    log: Callable[..., Any]
    logsumexp: Callable[..., Any]
    stack: Callable[..., Any]
    eigh: Callable[..., Any]


NUMPY_ARITHMETIC = Arithmetic(np.log, logsumexp, np.stack, np.linalg.eigh)
