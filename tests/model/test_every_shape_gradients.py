"""The sampled bound of every shape and weight prior: finite whatever the variables hold; one column, one model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.model.gradients import correlated, independent
from tfgmm.model.gradients.log_gamma import log_gamma_draws

SHAPES = [(covariance, "dirichlet") for covariance in COMPONENTS] + [("diag", "stick_breaking")]
ROWS = np.random.default_rng(0).normal(0, 3, (6, 2))
PRIORS = tfgmm.Priors(loc_scale=2.0, precision_shape=1.5, precision_rate=0.8, weight_concentration=1.2)


def loss_and_gradients(model):
    with tf.GradientTape() as tape:
        log_likelihoods, kl = model.bound_terms(tf.constant(ROWS, tf.float32), tf.constant([1, 2], tf.int64))
        loss = kl / 50.0 - tf.cast(tf.reduce_mean(log_likelihoods), tf.float64)
    return loss, tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize("value", [-1e4, -50.0, 50.0, 1e4])
@pytest.mark.parametrize("covariance,weights", SHAPES)
def test_bound_and_gradient_are_finite_whatever_the_variables_hold(covariance, weights, value):
    model = tfgmm.GaussianMixtureModel(2, 2, covariance, weights, seed=0)
    start = [variable.numpy() for variable in model.trainable_variables]
    names = [variable.name for variable in model.trainable_variables]
    for chosen in [*names, "all"]:
        for variable, first in zip(model.trainable_variables, start):
            is_chosen = variable.name == chosen or (chosen == "all" and variable.name != "locs")
            variable.assign(np.full(first.shape, value) if is_chosen else first)
        loss, gradients = loss_and_gradients(model)
        assert np.isfinite(loss), chosen
        for name, gradient in zip(names, gradients):
            assert np.isfinite(gradient).all(), (chosen, name)


@pytest.mark.parametrize("far", [1e10, -1e19, 3e38])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_far_rows_have_a_finite_density_and_gradient_and_leave_their_neighbours(covariance, far):
    """Narrow components too, 1e-6 wide: whatever overflows is held before it meets its like of the other sign."""
    rows = tf.constant([[0.1, 0.2, 0.3, 0.4], [far, -far, far, 0.0], [far, far, -far, -far]], tf.float32)
    components, posterior = random_components(covariance)
    of_form = correlated if components.form == "correlated" else independent
    for width in (1.0, 1e-6):
        factor = width if covariance in ("full", "tied") else width**2  # the last number is C, or beta
        q = type(posterior)(*posterior[:3], posterior[3] * factor)
        q = type(q)(*(tf.constant(value) for value in q))
        with tf.GradientTape() as tape:
            tape.watch(q)
            [log_gammas] = log_gamma_draws([components.gamma_shapes(q)], [3], (1, 2), tf.float32)
            draws = of_form.draws(components, q, log_gammas, (1, 2))
            density = of_form.log_density(rows, draws)
            total = tf.reduce_sum(tf.reduce_logsumexp(density, axis=-1))
        assert np.isfinite(density).all() and density.numpy()[1:].max() < -1e7
        assert all(np.isfinite(gradient).all() for gradient in tape.gradient(total, q))
        near = type(draws)(draws.base, *(value[:1] for value in draws[1:]))
        np.testing.assert_allclose(of_form.log_density(rows[:1], near), density[:1], rtol=1e-6)


@pytest.mark.parametrize("num_draws", [None, 3])
@pytest.mark.parametrize("covariance,weights", SHAPES)
def test_every_variable_receives_a_gradient(covariance, weights, num_draws):
    model = tfgmm.GaussianMixtureModel(2, 2, covariance, weights, seed=0, num_draws=num_draws)
    for variable, gradient in zip(model.trainable_variables, loss_and_gradients(model)[1]):
        used = np.tril(np.ones(variable.shape)) if variable.name.endswith("cholesky") else np.ones(variable.shape)
        assert ((np.abs(gradient) > 0) == (used > 0)).all(), variable.name


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(
    "shapes", [("spherical", "diag", "full"), ("tied_spherical", "tied_diag", "tied")], ids="-".join
)
def test_in_one_column_the_shapes_are_one_model(shapes, weights):
    """A Wishart of one column with nu degrees and inverse scale w is Gamma(nu / 2, w / 2)."""
    rows = np.concatenate([np.random.default_rng(0).normal(-2, 0.5, 30), np.random.default_rng(1).normal(2, 1, 50)])
    rows, found = rows[:, None], []
    for covariance in shapes:
        model = tfgmm.GaussianMixtureModel(3, 1, covariance, weights, PRIORS, seed=0)
        model.compile()
        model.initialize(rows, start=[[-2.0], [1.0], [3.0]])
        history = model.fit(rows, epochs=8, verbose=0).history["elbo"]
        is_matrix = covariance in ("full", "tied")
        alpha = model.degrees / 2 if is_matrix else model.alpha[:, 0]
        beta = model.inverse_scales[:, 0, 0] / 2 if is_matrix else model.beta[:, 0]
        of_locs = model.locs[:, 0], model.scales[:, 0]
        parts = (history[1:], alpha, beta, *of_locs, model.log_prob(rows), [float(model.kl())])
        found.append([np.array(part) for part in parts])
    for other in found[1:]:
        for part, expected in zip(other, found[0]):
            # the start of a matrix is a tenth of the spread wide whatever the prior, so sweep 1 may differ: 1e-6 later
            np.testing.assert_allclose(part, expected, rtol=1e-6)
