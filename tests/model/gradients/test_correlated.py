"""Draws of every covariance shape as tensors, and the density of rows under them, against SciPy and known moments."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from drawn_moments import assert_moments_of_q, assert_variances_of_the_wishart
from log_densities import scipy_log_densities
from random_posteriors import D, K, random_components

from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS
from tfgmm.model.gradients import correlated, independent
from tfgmm.model.gradients.correlated import CorrelatedDraws
from tfgmm.model.gradients.log_gamma import log_gamma_draws

MODULES = {"independent": independent, "correlated": correlated}
ROWS = np.random.default_rng(9).normal(0, 2, (12, D)).astype(np.float32)
NUM_DRAWS = 20_000


def draw(components, posterior, sample_shape, dtype=tf.float64, seed=(3, 4)):
    posterior = type(posterior)(*(tf.constant(value, tf.float64) for value in posterior))
    [log_gammas] = log_gamma_draws([components.gamma_shapes(posterior)], sample_shape, seed, dtype)
    return MODULES[components.form].draws(components, posterior, log_gammas, seed)


def log_density(components, rows, drawn):
    return MODULES[components.form].log_density(tf.constant(rows), drawn)


def parameters_of(drawn):
    """Returns the parameters by name, float64."""
    values = {name: value.numpy().astype(np.float64) for name, value in drawn._asdict().items()}
    locs = values["base"] + values["offset"]
    if "whiteners" in values:
        return {"locs": locs, "whiteners": values["whiteners"]}
    return {"locs": locs, "precisions": np.exp(values["log_precisions"])}


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_draws_have_the_moments_of_q(covariance, dtype):
    components, posterior = random_components(covariance, seed=2)
    drawn = draw(components, posterior, [NUM_DRAWS], dtype)
    of_precisions = dtype if components.form == "correlated" else tf.float32
    assert {value.dtype for value in drawn[:2]} == {tf.float32}
    assert {value.dtype for value in drawn[2:]} == {of_precisions}
    log_determinants = getattr(drawn, "log_determinants", None)
    assert_moments_of_q(components, posterior, parameters_of(drawn), log_determinants, rtol=1e-4)


def test_drawn_precision_matrices_have_the_variances_of_the_wishart():
    components, posterior = random_components("full", seed=3)
    whiteners = draw(components, posterior, [NUM_DRAWS]).whiteners.numpy()
    assert_variances_of_the_wishart(components, posterior, whiteners)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_drawn_densities_equal_those_of_scipy_at_the_same_parameters(covariance):
    components, posterior = random_components(covariance)
    drawn = draw(components, posterior, [4, 1])
    actual = log_density(components, ROWS, drawn)
    assert actual.shape == (4, 12, K) and actual.dtype == tf.float32
    parameters = parameters_of(drawn)
    scales, covariances = FORMS[components.form].covariances(parameters)
    assert scales.shape == (4, 1, K, D)
    if covariances is None:
        covariances = scales[..., None] ** 2 * np.eye(D)
    for s in range(4):
        expected = scipy_log_densities(ROWS, parameters["locs"][s, 0], covariances[s, 0])
        np.testing.assert_allclose(actual[s], expected, rtol=2e-5, atol=2e-5)  # float32 draws and distances


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_draws_per_row_and_the_same_draws_shared_give_the_same_density(covariance):
    components, posterior = random_components(covariance)
    shared = draw(components, posterior, [2, 1])
    density = log_density(components, ROWS, shared)
    for s in range(2):
        repeated = CorrelatedDraws(shared.base, *(tf.repeat(value[s], len(ROWS), axis=0) for value in shared[1:]))
        per_row = log_density(components, ROWS, repeated)
        np.testing.assert_allclose(per_row, density[s], rtol=1e-5, atol=1e-5)
