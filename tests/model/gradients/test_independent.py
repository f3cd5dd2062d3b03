"""Draws of independent columns as tensors, and the density of rows under them: SciPy's, with finite gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from log_densities import loop_log_density, narrow_components

from tfgmm.families.independent import DiagComponents, IndependentPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.model.gradients import independent
from tfgmm.model.gradients.independent import IndependentDraws, log_density
from tfgmm.model.gradients.log_gamma import log_gamma_draws

TYPES = [tf.float32, tf.float64]
K, D = 3, 2


def random_posterior(seed=0, num_components=K, num_features=D):
    generator = np.random.default_rng(seed)
    size = (num_components, num_features)
    arrays = generator.normal(size=size), *(generator.uniform(0.2, 9.0, size) for _ in range(3))
    return IndependentPosterior(*(tf.constant(array, tf.float64) for array in arrays))


def draw(posterior, sample_shape, dtype=tf.float64, seed=(1, 2)):
    gamma_seed, loc_seed = tf.unstack(tf.random.split(seed, 2))
    components = DiagComponents(*posterior.locs.shape[-2:], Priors())
    [log_gammas] = log_gamma_draws([components.gamma_shapes(posterior)], sample_shape, gamma_seed, dtype)
    return independent.draws(components, posterior, log_gammas, loc_seed)


def draws_at(locs, precisions):
    """Returns draws that are these parameters, (K, D), locations as pairs of float32."""
    locs, base, log_precisions = np.asarray(locs), np.float32(locs), np.log(precisions)
    return IndependentDraws(*(tf.constant(value, tf.float32) for value in (base, locs - base, log_precisions)))


def locs_of(draws):
    return np.asarray(draws.base, np.float64) + np.asarray(draws.offset, np.float64)


# Density


@pytest.mark.parametrize("seed", range(3))
def test_log_density_equals_a_plain_loop_over_scipy(seed):
    posterior = random_posterior(seed)
    rows = np.random.default_rng(seed).normal(0, 3, (9, D)).astype(np.float32)
    parameters = DiagComponents(K, D, Priors()).means(posterior)
    expected = loop_log_density(rows, posterior.locs, np.log(posterior.alpha / posterior.beta))
    drawn = log_density(tf.constant(rows), draws_at(**parameters))
    assert drawn.dtype == tf.float32
    np.testing.assert_allclose(drawn, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_draws_of_narrow_components_keep_a_ten_thousandth_of_a_nat(width):
    generator, locs, precisions, owner = narrow_components(width)
    posterior = IndependentPosterior(*map(tf.constant, (locs, 0.1 * width + 0 * locs, 50 + 0 * locs, 50 / precisions)))
    draws = draw(posterior, [1, 1])
    locs, log_precisions = locs_of(draws)[0, 0], np.asarray(draws.log_precisions, np.float64)[0, 0]
    rows = (locs[owner] + generator.normal(size=(64, 16)) * np.exp(-0.5 * log_precisions[owner])).astype(np.float32)
    expected = loop_log_density(rows, locs, log_precisions)[np.arange(64), owner]
    density = log_density(tf.constant(rows), draws).numpy()[0, np.arange(64), owner]
    assert np.abs(density - expected).max() < 1e-4  # 1e-3 without the pair of float32 locations


@pytest.mark.parametrize("far", [1e10, -1e19, 1e30, -3e38])
@pytest.mark.parametrize("precision", [1e-6, 1.0, 1e12])
def test_far_rows_have_a_finite_density_and_a_finite_gradient(far, precision):
    rows = tf.constant([[far, 0.0], [0.0, 0.5]], tf.float32)
    ones = tf.ones((K, D), tf.float64)
    posterior = IndependentPosterior(0 * ones, ones, 5 * ones, 5 / precision * ones)
    with tf.GradientTape() as tape:
        tape.watch(posterior)
        density = log_density(rows, draw(posterior, [2], tf.float32))
        total = tf.reduce_sum(tf.reduce_logsumexp(density, axis=-1))
    assert np.isfinite(density.numpy()).all() and density.numpy()[0].max() < -1e7
    assert all(np.isfinite(gradient.numpy()).all() for gradient in tape.gradient(total, posterior))


def test_a_far_row_leaves_its_neighbours_density_bit_for_bit():
    draws = draws_at(**DiagComponents(K, D, Priors()).means(random_posterior()))
    rows = np.array([[0.3, 0.1], [1e30, -1e30], [2.0, 1.0]], np.float32)
    together = log_density(tf.constant(rows), draws).numpy()
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together[[0, 2]], log_density(tf.constant(rows[[0, 2]]), draws).numpy())


def test_draws_shared_by_the_batch_and_the_same_draws_per_row_agree():
    posterior, rows = random_posterior(), tf.constant(np.random.default_rng(0).normal(size=(5, D)), tf.float32)
    shared = draw(posterior, [4, 1])
    density = log_density(rows, shared)
    assert density.shape == (4, 5, K)
    for s in range(4):
        repeated = IndependentDraws(shared.base, *(tf.repeat(value[s], 5, axis=0) for value in shared[1:]))
        assert repeated.offset.shape == (5, K, D)
        per_row = log_density(rows, repeated)
        assert per_row.shape == (5, K)
        np.testing.assert_allclose(per_row, density[s], rtol=1e-6)  # exp rounds differently at the end of a vector


# Draws


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("sample_shape", [[7], [5, 1]], ids=str)
def test_draws_have_the_leading_axes_asked_for_and_are_float32(sample_shape, dtype):
    draws = draw(random_posterior(), sample_shape, dtype)
    assert draws.offset.shape == draws.log_precisions.shape == (*sample_shape, K, D)
    assert np.broadcast_shapes(draws.base.shape, draws.offset.shape) == draws.offset.shape
    assert all(value.dtype == tf.float32 for value in draws)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_mean_gradients_of_draws_are_those_of_qs_moments(dtype):
    """E[mu] = locs, E[(mu - locs)^2] = scales^2, E[tau] = alpha / beta, and their derivatives."""
    locs, scales, alpha, beta = 0.7, 0.4, 3.0, 5.0
    num_draws = 20_000
    lines = IndependentPosterior(
        *(tf.fill([num_draws, 1], tf.constant(v, tf.float64)) for v in (locs, scales, alpha, beta))
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(lines)
        draws = draw(lines, [1], dtype)
        mu = tf.cast(draws.base + draws.offset, tf.float64)
        square = tf.square(mu - locs)
        tau = tf.cast(tf.exp(draws.log_precisions), tf.float64)
    np.testing.assert_allclose(tape.gradient(mu, lines.locs), 1.0, rtol=1e-6)
    for target, source, expected in [
        (square, lines.scales, 2 * scales),
        (tau, lines.alpha, 1 / beta),
        (tau, lines.beta, -alpha / beta**2),
    ]:
        slopes = tape.gradient(target, source).numpy()
        assert abs(slopes.mean() - expected) < 5 * slopes.std() / np.sqrt(num_draws)


def test_small_shapes_keep_draws_density_and_gradient_finite():
    ones = tf.ones((K, D), tf.float64)
    posterior = IndependentPosterior(0 * ones, ones, 1e-3 * ones, 1e-3 * ones)
    with tf.GradientTape() as tape:
        tape.watch(posterior)
        draws = draw(posterior, [2000], tf.float32)
        density = log_density(tf.ones((2000, D)), draws)
    assert np.isfinite(draws.log_precisions.numpy()).all() and np.isfinite(density.numpy()).all()
    assert all(np.isfinite(gradient.numpy()).all() for gradient in tape.gradient(density, posterior))


def test_locations_far_from_zero_keep_their_float64_digits():
    """A draw's location is a pair of float32."""
    locs, scale = np.array([[1 / 3, 1e5 + 1 / 3]]), 1e-12
    posterior = IndependentPosterior(*map(tf.constant, (locs, scale + 0 * locs, 5.0 + 0 * locs, 5.0 + 0 * locs)))
    np.testing.assert_allclose(locs_of(draw(posterior, [1]))[0], locs, rtol=1e-14, atol=6 * scale)
