"""A posterior in variables: the bound of an independent mixture, slopes by differences, finite whatever they hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from random_posteriors import D, K, mean_precision_matrices, normal_log_densities, random_components, random_weights

from tfgmm.families.variational import COMPONENTS, VariationalPosterior
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.features import num_products, write_products
from tfgmm.model.gradients.trained import TrainedPosterior

tfd = tfp.distributions
CENTRE = np.array([0.4, -1.0, 2.0, 0.1])
ROWS = tf.constant(np.random.default_rng(7).normal(0, 2, (9, D)), tf.float32)
SHAPES = [(covariance, "dirichlet") for covariance in COMPONENTS] + [("diag", "stick_breaking")]
SEED = (5, 6)
DRAWS = [([9], tf.float32), ([4, 1], tf.float64)]  # one draw per row; four that all rows share


def trained(covariance, weights, num_components=K, num_features=D):
    """Returns a random posterior in variables, and that posterior, NumPy."""
    components, of_components = random_components(covariance, num_components, num_features)
    family, of_weights = random_weights(weights, num_components)
    values = [
        [tf.Variable(v) for v in part.values_of(q)] for part, q in ((components, of_components), (family, of_weights))
    ]
    posterior = TrainedPosterior(VariationalPosterior(family, components), *values, tf.Variable(CENTRE[:num_features]))
    return posterior, of_weights, of_components


def loss_and_slopes(posterior, sample_shape, dtype):
    rows = ROWS[:, : posterior.family.num_features]
    variables = posterior.variables.flat
    with tf.GradientTape() as tape:
        factors = posterior.factors()
        drawn = posterior.draw(sample_shape, SEED, dtype, factors)
        log_likelihoods = tf.cast(posterior.log_likelihoods(rows, drawn), tf.float64)
        loss = posterior.kl(factors) / 50.0 - tf.reduce_mean(log_likelihoods)
    return loss, tape.gradient(loss, variables)


@pytest.mark.parametrize("covariance,weights", SHAPES)
def test_factors_are_the_posterior_that_the_variables_stand_for(covariance, weights):
    posterior, of_weights, of_components = trained(covariance, weights)
    for actual, expected in zip(posterior.factors(), (of_weights, of_components)):
        for value, number in zip(actual, expected, strict=True):
            assert value.dtype == tf.float64
            np.testing.assert_allclose(value, number, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("sample_shape,dtype", DRAWS, ids=["per_row", "shared"])
@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_log_likelihoods_are_those_of_tensorflow_probability_at_the_drawn_parameters(covariance, sample_shape, dtype):
    posterior, *_ = trained(covariance, "dirichlet")
    drawn = posterior.draw(sample_shape, SEED, dtype)
    log_joints = posterior.log_joints(ROWS, drawn)
    assert log_joints.shape == ((9, K) if len(sample_shape) == 1 else (4, 9, K)) and log_joints.dtype == tf.float32
    locs = tf.cast(drawn.components.base, tf.float64) + tf.cast(drawn.components.offset, tf.float64)
    if covariance in ("full", "tied"):
        whiteners = tf.cast(drawn.components.whiteners, tf.float64)
        precisions = tf.broadcast_to(tf.matmul(whiteners, whiteners, transpose_a=True), (*locs.shape, D))
    else:
        precisions = tf.linalg.diag(tf.exp(tf.cast(drawn.components.log_precisions, tf.float64)))
    parts = tfd.MultivariateNormalTriL(locs, tf.linalg.cholesky(tf.linalg.inv(precisions)))
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=tf.cast(drawn.log_weights, tf.float64)), parts)
    expected = mixture.log_prob(tf.cast(ROWS, tf.float64))  # (9,), or (4, 9)
    if len(sample_shape) == 2:
        expected = tf.reduce_mean(expected, axis=0)
    np.testing.assert_allclose(posterior.log_likelihoods(ROWS, drawn), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("covariance,weights", SHAPES)
def test_slopes_of_the_bound_are_those_of_differences(covariance, weights):
    """In the numbers of locations alone: draws of Gammas jump where another proposal is rejected."""
    posterior, *_ = trained(covariance, weights)
    variables = posterior.variables.components[:2]
    _, slopes = loss_and_slopes(posterior, [200, 1], tf.float64)
    for variable, slope in zip(variables, slopes):
        index = (1, 2, 0) if variable.shape.rank == 3 else (1, 2)
        step = np.zeros(variable.shape)
        step[index] = 1e-3
        ends = []
        for sign in (1.0, -1.0):
            variable.assign_add(sign * step)
            ends.append(float(loss_and_slopes(posterior, [200, 1], tf.float64)[0]))
            variable.assign_sub(sign * step)
        assert float(slope[index]) == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=2e-2, abs=1e-3)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_slopes_of_the_divergence_are_those_of_differences_in_every_variable(covariance, weights):
    posterior, *_ = trained(covariance, weights)
    variables = posterior.variables.flat
    with tf.GradientTape() as tape:
        kl = posterior.kl()
    for variable, slopes in zip(variables, tape.gradient(kl, variables)):
        direction = np.random.default_rng(0).normal(size=variable.shape)
        ends = []
        for sign in (1.0, -1.0):
            variable.assign_add(sign * 1e-5 * direction)
            ends.append(float(posterior.kl()))
            variable.assign_sub(sign * 1e-5 * direction)
        assert float(tf.reduce_sum(slopes * direction)) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("covariance,weights", SHAPES)
def test_coefficients_at_the_means_give_the_log_joints_of_the_mean_parameters(covariance, weights):
    posterior, of_weights, of_components = trained(covariance, weights)
    coefficients, constants = posterior.mean_coefficients(posterior.factors())
    rows = np.asarray(ROWS, np.float64)
    if posterior.family.form == "independent":
        features = np.concatenate([rows, rows**2], axis=1)
    else:
        products = np.empty((num_products(write_products, D), len(rows)))
        write_products(rows.T, products)
        features = np.concatenate([rows, products.T], axis=1)
    if weights == "dirichlet":
        log_weights = np.log(of_weights.counts / of_weights.counts.sum())
    else:
        taken = of_weights.sticks[:, 0] / of_weights.sticks.sum(axis=1)
        log_weights = np.log(np.append(taken, 1.0) * np.append(1.0, np.cumprod(1.0 - taken)))
    precisions = mean_precision_matrices(posterior.family.components, of_components)
    expected = log_weights + [normal_log_densities(row, of_components.locs, precisions) for row in rows]
    assert coefficients.dtype == constants.dtype == tf.float64
    np.testing.assert_allclose(features @ coefficients + constants, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sample_shape,dtype", DRAWS, ids=["per_row", "shared"])
@pytest.mark.parametrize("covariance,weights", SHAPES)
def test_bound_and_slopes_are_finite_whatever_the_variables_hold(covariance, weights, sample_shape, dtype):
    posterior, *_ = trained(covariance, weights, 2, 2)  # the powers of a long column would overflow
    variables = posterior.variables.flat
    step = tf.function(lambda: loss_and_slopes(posterior, sample_shape, dtype))
    starts = [variable.numpy() for variable in variables]
    for value, chosen in itertools.product((-1e4, -50.0, 50.0, 1e4), [*range(len(variables)), "all"]):
        for index, (variable, start) in enumerate(zip(variables, starts)):
            is_chosen = index == chosen or (chosen == "all" and index > 0)  # the first are the locations
            variable.assign(np.full(start.shape, value) if is_chosen else start)
        loss, slopes = step()
        assert np.isfinite(loss), (value, chosen)
        assert all(np.isfinite(slope).all() for slope in slopes), (value, chosen)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_one_component_has_a_bound_and_a_slope_in_every_variable(weights):
    for covariance in COMPONENTS:
        posterior, *_ = trained(covariance, weights, num_components=1)
        loss, slopes = loss_and_slopes(posterior, [9], tf.float32)
        assert np.isfinite(loss) and all(np.isfinite(slope).all() for slope in slopes)
