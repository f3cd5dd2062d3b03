"""A fitted mixture in the terms of TensorFlow Probability: its posterior, and its density, as `tfd` distributions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfgmm.families.functions import NUMPY
from tfgmm.mixture.parameters import LOCS, MixtureDensity
from tfgmm.mixture.registry import COVARIANCES

tfd = tfp.distributions


class PosteriorDistributions(NamedTuple):
    """The factors of q as distributions, float64, data units; for K components of D columns.

    locs: Locations: K distributions of (D,), a Normal per column or a MultivariateNormalTriL.
    precisions: Precisions: a Gamma per column, or a WishartTriL of (D, D) matrices; K of them, or 1 for tied shapes.
        What columns share is one Gamma, of an event (1,), the precision of the first column; those of the others are
        proportional to it.
    weights: Weights: a Dirichlet of (K,), or for stick-breaking the K - 1 Betas of the breaks, an event (K - 1,).
    """

    locs: Any
    precisions: Any
    weights: Any


def posterior_distributions(model: Any) -> PosteriorDistributions:
    """Makes the distributions of q as it stands: they do not follow the model when it is trained on.

    Args:
        model: Fitted mixture with the attributes of a `tfgmm.GaussianMixtureModel`: `locs`, `scales` and so on.

    Example:

    >>> model = tfgmm.GaussianMixtureModel(3, 2)
    >>> q = posterior_distributions(model)
    >>> q.locs.batch_shape.as_list(), q.locs.event_shape.as_list(), q.weights.event_shape.as_list()
    ([3], [2], [3])
    """
    is_matrix = COVARIANCES[model.covariance].form == "correlated"
    parts = _correlated_factors(model) if is_matrix else _independent_factors(model)
    return PosteriorDistributions(*parts, _weights(model))


def _float64(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def _independent_factors(model: Any) -> tuple[Any, Any]:
    locs = tfd.Independent(tfd.Normal(_float64(model.locs), _float64(model.scales)), 1)
    rates = _float64(model.beta)
    if COVARIANCES[model.covariance].is_spherical:
        rates = rates[:, :1]  # in the units of every column there would be D rates of the one precision
    return locs, tfd.Independent(tfd.Gamma(_float64(model.alpha), rate=rates), 1)


def _correlated_factors(model: Any) -> tuple[Any, Any]:
    locs = tfd.MultivariateNormalTriL(_float64(model.locs), np.linalg.cholesky(_float64(model.loc_covariances)))
    degrees, roots = _float64(model.degrees), _inverse_roots(_float64(model.inverse_scales))
    # TensorFlow Probability refuses numbers of degrees between D - 1 and D, for which its formulas hold as well; the
    # value of a variable it does not look at
    is_refused = degrees.min() < roots.shape[-1]
    return locs, tfd.WishartTriL(tf.Variable(degrees, trainable=False) if is_refused else degrees, roots)


def _weights(model: Any) -> Any:
    if model.weight_prior == "stick_breaking":
        sticks = _float64(model.sticks)
        return tfd.Independent(tfd.Beta(sticks[:, 0], sticks[:, 1]), 1)
    counts = _float64(model.counts)
    # TensorFlow Probability has no Dirichlet of one weight, which is 1
    return tfd.Dirichlet(counts) if len(counts) > 1 else tfd.VectorDeterministic(np.ones(1))


def mixture_distribution(mixture: MixtureDensity, dtype: Any = "float32") -> Any:
    """Makes the density of rows, in data units, as a distribution: a prior or a likelihood for other models.

    Its `log_prob` is differentiable in the rows; `sample`, `mean`, `stddev` and `covariance` work. In float32 too,
    locations are measured from the centre of the data, and a row is subtracted from that first: at an offset of 1e6 the
    density of a float32 row is as exact as near zero (what the row lost when it became float32 is lost).

    Args:
        mixture: Mixture, (K,), or S of them, (S, K), whose average is meant: then S K components.
        dtype: Float type of rows and densities.

    Returns:
        A `tfd.TransformedDistribution`: a `tfd.MixtureSameFamily` of MultivariateNormalDiag or MultivariateNormalTriL,
        then a shift.

    Example:

    >>> model = tfgmm.GaussianMixtureModel(3, 2)
    >>> density = mixture_distribution(model.plug_in())
    >>> density.log_prob([[0.0, 1.0]]).shape.as_list(), density.sample(5, seed=0).shape.as_list()
    ([1], [5, 2])
    """
    dtype = _float_type(dtype)
    centre = _float64(mixture.centre)
    origin = centre.astype(dtype.as_numpy_dtype)
    # What rounding takes from the centre, the locations get
    locs = _float64(mixture.components[LOCS]) + (centre - origin.astype(np.float64))
    log_weights = _float64(mixture.log_weights)
    if log_weights.ndim == 2:
        log_weights = log_weights - math.log(len(log_weights))
    components = _components(mixture, locs, dtype.as_numpy_dtype)
    of_components = tfd.Categorical(logits=log_weights.ravel().astype(dtype.as_numpy_dtype))
    centred = tfd.MixtureSameFamily(of_components, components)
    return tfd.TransformedDistribution(centred, tfp.bijectors.Shift(origin))


def _float_type(dtype: Any) -> tf.DType:
    try:
        found = tf.as_dtype(dtype)
    except TypeError:
        found = None
    if found not in (tf.float32, tf.float64):
        raise ValueError(f"`dtype` must be float32 or float64. Received: {dtype!r}. Leave it out for float32.")
    return found


def _components(mixture: MixtureDensity, locs: np.ndarray, dtype: Any) -> Any:
    """Makes the M = K or S K components, a batch (M,), with locations (..., K, D) in the type asked for."""
    flat = locs.reshape(-1, locs.shape[-1]).astype(dtype)
    values = _float64(mixture.components[mixture.form.precision_name])
    if mixture.form.name == "independent":
        scales = np.broadcast_to(values, locs.shape) ** -0.5
        return tfd.MultivariateNormalDiag(flat, scales.reshape(flat.shape).astype(dtype))
    roots = _covariance_roots(values)
    if locs.ndim == 3:  # what components share stands once in each of the S mixtures
        roots = np.broadcast_to(roots, (*locs.shape, locs.shape[-1]))
    return tfd.MultivariateNormalTriL(flat, roots.reshape(-1, *roots.shape[-2:]).astype(dtype))


def _covariance_roots(whiteners: np.ndarray) -> np.ndarray:
    """Computes lower triangular L with L L' = (U' U)^-1, (..., D, D), from any invertible U."""
    # With its columns reversed, U = Q R; R with rows and columns reversed is lower triangular, and (L L')^-1 its square
    upper = np.asarray(np.linalg.qr(whiteners[..., ::-1], mode="r"))
    lower = upper[..., ::-1, ::-1]
    signs = np.sign(np.diagonal(lower, axis1=-2, axis2=-1))
    return NUMPY.triangular_inverse(signs[..., None] * lower)


def _inverse_roots(matrices: np.ndarray) -> np.ndarray:
    """Computes lower triangular L with L L' the inverses of positive definite matrices, (..., D, D)."""
    # Without inverting the matrix itself, which columns of very different units would not survive
    root = np.linalg.cholesky(matrices[..., ::-1, ::-1])
    return np.swapaxes(NUMPY.triangular_inverse(root)[..., ::-1, ::-1], -1, -2)
