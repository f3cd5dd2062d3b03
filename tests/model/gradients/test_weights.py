"""Draws of weights as tensors: those of the right distribution, never zero, and with gradients that are right."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from drawn_moments import STICKS, assert_moments_of_sticks
from scipy import special

from tfgmm.families.weights import DirichletPosterior, DirichletWeights, StickBreakingWeights, StickPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.model.gradients.functions import TENSORFLOW
from tfgmm.model.gradients.log_gamma import log_gamma_draws

TYPES = [tf.float32, tf.float64]
NUM_DRAWS = 20_000


def log_draws_of(counts, num_draws, dtype, summed=lambda log_weights: log_weights):
    """Returns log weights (n, K), one draw per line, and the slopes of `summed` of each in its own counts, (n, K)."""
    weights = DirichletWeights(len(counts), Priors())
    lines = tf.constant(np.tile(counts, (num_draws, 1)), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(lines)
        [log_gammas] = log_gamma_draws([weights.gamma_shapes(DirichletPosterior(lines))], [1], (5, 6), dtype)
        log_weights = weights.log_draws(log_gammas, TENSORFLOW)[0]
        target = summed(log_weights)
    assert log_weights.dtype == dtype
    return log_weights.numpy(), tape.gradient(target, lines).numpy()


# Dirichlet


def test_one_component_has_weight_one():
    assert log_draws_of([7.5], 10, tf.float32)[0].tolist() == [[0.0]] * 10


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("counts", [[2.0, 2.0], [0.05, 1.0, 10.0], [1e4, 3e4, 20.0]])
def test_drawn_weights_have_the_mean_and_variance_of_the_dirichlet(counts, dtype):
    draws = np.exp(log_draws_of(counts, NUM_DRAWS, dtype)[0].astype(np.float64))
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, atol=20 * np.finfo(dtype.as_numpy_dtype).eps)
    expected = np.array(counts) / np.sum(counts)
    assert (np.abs(draws.mean(axis=0) - expected) < 5 * draws.std(axis=0) / np.sqrt(NUM_DRAWS)).all()
    squares = (draws - expected) ** 2
    variance = expected * (1 - expected) / (1 + np.sum(counts))
    assert (np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(NUM_DRAWS)).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("counts", [[0.5, 3.0], [4.0, 30.0, 0.2], [2e4, 1e4]])
def test_mean_gradient_of_log_weights_is_that_of_their_mean(counts, dtype):
    """E[log theta_0] = digamma(c_0) - digamma(sum c), so its slopes in c are known."""
    _, slopes = log_draws_of(counts, NUM_DRAWS, dtype, lambda log_weights: log_weights[:, 0])
    expected = -special.polygamma(1, np.sum(counts)) * np.ones(len(counts))
    expected[0] += special.polygamma(1, counts[0])
    errors = slopes.std(axis=0) / np.sqrt(NUM_DRAWS)
    rounding = 1e-5 / np.min(counts) if dtype == tf.float32 else 0.0
    assert (np.abs(slopes.mean(axis=0) - expected) < 5 * errors + rounding * np.abs(expected)).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("concentration", [0.05, 0.01, 1e-4])
def test_small_concentrations_give_no_zero_weight_and_a_finite_gradient(concentration, dtype):
    tilt = tf.cast(tf.linspace(0.0, 5.0, 20), dtype)
    for summed in (lambda logs: logs[:, 0], lambda logs: tf.reduce_logsumexp(logs - tilt, axis=-1)):
        log_weights, slopes = log_draws_of([concentration] * 20, 5_000, dtype, summed)
        assert np.isfinite(log_weights).all() and log_weights.min() < -100
        assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


# Stick-breaking


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("sticks", STICKS)
def test_drawn_weights_have_the_moments_of_products_of_betas(sticks, dtype):
    weights, q = StickBreakingWeights(len(sticks) + 1, Priors()), StickPosterior(tf.constant(sticks))
    [log_gammas] = log_gamma_draws([weights.gamma_shapes(q)], [NUM_DRAWS], (5, 6), dtype)
    log_weights = weights.log_draws(log_gammas, TENSORFLOW)
    assert log_weights.shape == (NUM_DRAWS, len(sticks) + 1) and log_weights.dtype == dtype
    # float32 draws carry 1e-6 of their value
    assert_moments_of_sticks(log_weights.numpy(), sticks, rounding=1e-5 if dtype == tf.float32 else 0.0)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_tiny_shapes_give_no_zero_weight_and_a_finite_gradient(dtype):
    weights, lines = StickBreakingWeights(4, Priors()), tf.fill([2000, 3, 2], tf.constant(1e-3, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(lines)
        [log_gammas] = log_gamma_draws([weights.gamma_shapes(StickPosterior(lines))], [1], (5, 6), dtype)
        log_weights = weights.log_draws(log_gammas, TENSORFLOW)
        target = tf.reduce_logsumexp(log_weights - tf.cast(tf.range(4), dtype), axis=-1)
    slopes = tape.gradient(target, lines).numpy()
    assert np.isfinite(log_weights).all() and log_weights.numpy().min() < -100
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


def test_one_component_has_no_sticks_and_weight_one():
    weights = StickBreakingWeights(1, Priors())
    assert weights.log_draws(tf.zeros((5, 0, 2)), TENSORFLOW).numpy().tolist() == [[0.0]] * 5
    q = StickPosterior(tf.zeros((0, 2), tf.float64))
    assert weights.log_mean(q, TENSORFLOW).numpy().tolist() == [0.0]


# Both


@pytest.mark.parametrize("sticks", STICKS)
def test_means_are_those_of_numpy(sticks):
    for weights, q in (
        (StickBreakingWeights(len(sticks) + 1, Priors()), StickPosterior(sticks)),
        (DirichletWeights(sticks.size, Priors()), DirichletPosterior(sticks.ravel())),
    ):
        found = weights.log_mean(type(q)(tf.constant(q[0])), TENSORFLOW)
        np.testing.assert_allclose(found, weights.log_mean(q), rtol=1e-13, atol=1e-15)
