"""Random numbers of the posterior by NumPy, float64; `model.gradients` has draws that gradients go through."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from tfgmm.common.checks import check_seed


def generator_of(seed: int | None) -> np.random.Generator:
    """Makes the source of a set of draws from a number; without one, a new random source."""
    return np.random.default_rng(random.randrange(2**31) if seed is None else check_seed(seed))


def log_gamma_draws(shapes: np.ndarray, sample_shape: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """Draws log x for x ~ Gamma(shape, rate 1), sample_shape + the shape of `shapes`; never -inf.

    A draw with shape + 1, which never comes near zero, is carried down to `shape` in log space:
    log x = log Gamma(shape + 1) draw + log(1 - U) / shape, with U uniform
    (Naesseth, Ruiz, Linderman and Blei 2017, section 4, shape augmentation).

    Example:

    >>> draws = log_gamma_draws(np.array([1e-6, 100.0]), [4], np.random.default_rng(0))
    >>> draws.shape, bool(np.isfinite(draws).all())
    ((4, 2), True)
    """
    size = (*sample_shape, *shapes.shape)
    gammas = generator.standard_gamma(shapes + 1.0, size=size)
    # U may be 0 but never 1
    return np.log(gammas) + np.log1p(-generator.random(size)) / shapes
