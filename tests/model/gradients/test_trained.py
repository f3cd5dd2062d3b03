"""A posterior in variables: the same q as arrays and as tensors, and what a gradient step asks of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from local_steps import local_step
from log_densities import features_of
from random_posteriors import D, K, random_components, random_weights
from scipy import special, stats

from tfgmm.families.natural_gradient import place_at
from tfgmm.families.variational import COMPONENTS, Factors
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.parameters import FORMS, coefficients_of
from tfgmm.model.variables import KerasPosterior

CENTRE = np.array([3.0, -1.0, 0.5, 1e4])
SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]
ROWS = np.random.default_rng(9).normal(0, 2, (12, D)).astype(np.float32)
SEED = (5, 6)


def posterior_and_factors(covariance: str = "diag", weights: str = "dirichlet") -> tuple[KerasPosterior, Factors]:
    """Returns a posterior with variables at random factors and a centre that is not 0."""
    (of_components, components), (of_weights, q) = random_components(covariance), random_weights(weights)
    posterior, factors = KerasPosterior(of_weights, of_components), Factors(q, components)
    posterior.create_variables(
        lambda name, start: tf.Variable(start, name=name),
        lambda name, shape, dtype: tf.Variable(tf.zeros(shape, dtype), name=name),
        posterior.values_of(factors),
    )
    posterior.assign_centre(CENTRE)
    return posterior, factors


def assert_close(values: Any, expected: Any, **tolerance: float) -> None:
    for value, wanted in zip(tf.nest.flatten(values), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(value, wanted, **tolerance)


# Variables


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_variables_stand_for_the_factors_that_they_were_made_at(covariance: str, weights: str) -> None:
    posterior, factors = posterior_and_factors(covariance, weights)
    assert_close(posterior.factors(), factors, rtol=1e-12)
    variables = posterior.trained.variables
    names = [variable.name.removesuffix(":0") for variable in variables.flat]
    assert names == [*posterior.components.variable_names, *posterior.weights.variable_names]
    assert all(variable.dtype == tf.float64 for variable in (*variables.flat, posterior.centre_variable))
    assert posterior.centre_variable.name.removesuffix(":0") == "centre"
    assert (posterior.covariance, posterior.num_components, posterior.num_features) == (covariance, K, D)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_q_as_tensors_is_q_as_arrays(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    trained = posterior.trained
    factors = trained.factors()
    assert all(value.dtype == tf.float64 for value in tf.nest.flatten(factors))
    assert_close(factors, posterior.factors(), rtol=1e-14)
    assert_close(trained.values(), posterior.values(), rtol=0)
    assert float(trained.kl()) == pytest.approx(float(posterior.kl()), rel=1e-12)
    assert float(trained.kl(factors)) == float(trained.kl())


def test_assigned_numbers_move_both_and_arrays_that_were_read_stay() -> None:
    posterior, factors = posterior_and_factors("full", "stick_breaking")
    before = posterior.values()
    other = Factors(random_weights("stick_breaking", seed=1)[1], random_components("full", seed=1)[1])
    posterior.assign(posterior.values_of(other))
    assert_close(posterior.factors(), other, rtol=1e-13, atol=1e-15)
    assert_close(posterior.trained.factors(), other, rtol=1e-13, atol=1e-15)
    assert_close(before, posterior.values_of(factors), rtol=1e-15)
    plain = posterior.at(posterior.values())
    posterior.assign(before)
    assert_close(plain.factors(), other, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_moving_the_centre_moves_the_variable_and_no_divergence(covariance: str) -> None:
    posterior, _ = posterior_and_factors(covariance)
    kl, locs = float(posterior.trained.kl()), posterior.public()["locs"]
    posterior.move_centre(CENTRE - 7.0)
    np.testing.assert_array_equal(posterior.centre_variable.numpy(), CENTRE - 7.0)
    np.testing.assert_allclose(posterior.public()["locs"], locs, rtol=0, atol=1e-11)
    assert float(posterior.trained.kl()) == pytest.approx(kl, rel=1e-9)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_the_divergence_is_differentiable_in_every_variable(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    variables = posterior.trained.variables
    with tf.GradientTape() as tape:
        kl = posterior.trained.kl()
    gradients = tape.gradient(kl, variables)
    assert (np.abs(gradients.weights[0]) > 1e-6).all()
    for gradient in gradients.components:
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-6


# Draws and densities


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_draws_scatter_about_the_plug_in_mixture(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    drawn = posterior.trained.draw([4_000], SEED, tf.float64)
    plug_in = posterior.plug_in()
    shares = np.exp(drawn.log_weights)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    locs = (drawn.components.base + drawn.components.offset).numpy().astype(np.float64)
    for values, expected in ((shares, np.exp(plug_in.log_weights)), (locs, plug_in.components["locs"])):
        assert (np.abs(values.mean(axis=0) - expected) < 5 * values.std(axis=0) / 4_000**0.5).all()


def log_joints_by_scipy(form: str, rows: np.ndarray, log_weights: np.ndarray, components: Any) -> np.ndarray:
    """Returns (B, K) log joints of rows under one draw."""
    values = {name: np.asarray(value, np.float64) for name, value in components._asdict().items()}
    parameters = {"locs": values["base"] + values["offset"]}
    if form == "correlated":
        parameters["whiteners"] = values["whiteners"]
    else:
        parameters["precisions"] = np.exp(values["log_precisions"])
    scales, covariances = FORMS[form].covariances(parameters)
    covariances = scales[..., None] ** 2 * np.eye(D) if covariances is None else covariances
    each = zip(log_weights, parameters["locs"], covariances)
    joints = [weight + stats.multivariate_normal(*pair).logpdf(rows) for weight, *pair in each]
    return np.reshape(joints, (K, len(rows))).T


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_log_likelihoods_of_shared_draws_are_the_mean_over_them(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    trained = posterior.trained
    drawn = trained.draw([3, 1], SEED, tf.float64)
    joints = trained.log_joints(tf.constant(ROWS), drawn)
    assert joints.dtype == tf.float32 and joints.shape == (3, len(ROWS), K)
    for s in range(3):
        components = type(drawn.components)(
            drawn.components.base, *(value[s, 0] for value in list(drawn.components)[1:])
        )
        expected = log_joints_by_scipy(posterior.form, ROWS, drawn.log_weights[s, 0].numpy(), components)
        np.testing.assert_allclose(joints[s], expected, rtol=3e-5, atol=3e-5)
    expected = special.logsumexp(joints.numpy().astype(np.float64), axis=-1).mean(axis=0)
    np.testing.assert_allclose(trained.log_likelihoods(tf.constant(ROWS), drawn), expected, rtol=1e-5)


@pytest.mark.parametrize("covariance", ["tied_diag", "full", "tied"])
def test_log_likelihoods_of_draws_per_row_are_each_under_its_own(covariance: str) -> None:
    posterior, _ = posterior_and_factors(covariance)
    trained = posterior.trained
    drawn = trained.draw([len(ROWS)], SEED, tf.float32)
    found = trained.log_likelihoods(tf.constant(ROWS), drawn)
    assert found.shape == (len(ROWS),)
    for index, row in enumerate(ROWS):
        components = type(drawn.components)(
            drawn.components.base, *(value[index] for value in list(drawn.components)[1:])
        )
        joints = log_joints_by_scipy(posterior.form, row[None], drawn.log_weights[index].numpy(), components)
        assert float(found[index]) == pytest.approx(special.logsumexp(joints), rel=3e-5, abs=3e-5)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_coefficients_at_the_means_are_those_of_the_plug_in_mixture(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    found = posterior.trained.mean_coefficients(posterior.trained.factors())
    for value, expected in zip(found, coefficients_of(posterior.plug_in())):
        assert value.dtype == tf.float64
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-11)


def test_draws_are_a_pure_function_of_the_seed() -> None:
    posterior, _ = posterior_and_factors("full", "stick_breaking")
    first, again, other = (posterior.trained.draw([5], seed, tf.float32) for seed in (SEED, SEED, (5, 7)))
    assert_close(first, again, rtol=0)
    assert not np.any(first.log_weights.numpy() == other.log_weights.numpy())
    assert not np.any(first.components.offset.numpy() == other.components.offset.numpy())


# The other bound, by an independent route: what tests of its gradients rely on


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_a_local_step_from_expectations_is_that_of_the_coefficients(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    linear, constants = place_at(posterior, posterior.values()).coefficients
    joints = features_of(posterior.form, ROWS) @ linear + constants
    log_likelihoods, shares = local_step(posterior, ROWS)
    np.testing.assert_allclose(log_likelihoods, special.logsumexp(joints, axis=1), rtol=1e-9)
    np.testing.assert_allclose(shares, special.softmax(joints, axis=1), rtol=1e-8, atol=1e-12)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(local_step(posterior, ROWS)[0])
    for gradient in tape.gradient(total, posterior.trained.variables.flat):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0.0
