"""Diagonal components: KLs and densities of independent libraries, draws with q's moments, products that hold."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from assigned import assign
from scipy import special, stats
from tfgmm.families.log_gamma import log_gamma_draws

from tfgmm.families.independent import DiagComponents, IndependentDraws, IndependentPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.scoring.graph import chunks
from tfgmm.scoring.graph.densities import GRAPH_FORMS

TYPES = [tf.float32, tf.float64]
K, D = 3, 2
PRIORS = Priors((0.5, -1.0), (2.0, 0.3), (1.5, 4.0), (0.8, 30.0))
NO_SHIFT = tf.zeros(D, tf.float64)


def random_posterior(seed=0, num_components=K, num_features=D):
    generator = np.random.default_rng(seed)
    size = (num_components, num_features)
    arrays = generator.normal(size=size), *(generator.uniform(0.2, 9.0, size) for _ in range(3))
    return IndependentPosterior(*(tf.constant(array, tf.float64) for array in arrays))


def draw(posterior, sample_shape, dtype=tf.float64, seed=(1, 2)):
    gamma_seed, loc_seed = tf.unstack(tf.random.split(seed, 2))
    components = DiagComponents(*posterior.locs.shape[-2:], Priors())
    [log_gammas] = log_gamma_draws([components.gamma_shapes(posterior)], sample_shape, gamma_seed, dtype)
    return components.draws(posterior, log_gammas, loc_seed)


def draws_at(locs, precisions):
    """Returns draws that are these parameters, (K, D), locations as pairs of float32."""
    locs, base, log_precisions = np.asarray(locs), np.float32(locs), np.log(precisions)
    return IndependentDraws(*(tf.constant(value, tf.float32) for value in (base, locs - base, log_precisions)))


def loop_log_density(rows, locs, log_precisions):
    """Returns log densities (B, K), one scipy call per row and component, in float64."""
    rows, locs, log_precisions = (np.asarray(array, np.float64) for array in (rows, locs, log_precisions))
    densities = np.zeros((len(rows), len(locs)))
    for i, row in enumerate(rows):
        for k, (means, logs) in enumerate(zip(locs, log_precisions)):
            densities[i, k] = stats.norm.logpdf(row, means, np.exp(-0.5 * logs)).sum()
    return densities


def product(rows, parameters, dtype=tf.float64):
    """Returns the log densities (B, K) of the path that training and scoring take: features times coefficients."""
    coefficients, constants = (
        tf.cast(value, dtype) for value in GRAPH_FORMS[DiagComponents.form].coefficients(parameters)
    )
    return chunks.log_joints(GRAPH_FORMS[DiagComponents.form].features(tf.cast(rows, dtype)), coefficients, constants)


def locs_of(draws):
    return np.asarray(draws.base, np.float64) + np.asarray(draws.offset, np.float64)


# KL


@pytest.mark.parametrize("seed", range(3))
def test_kl_of_the_locations_equals_that_of_tensorflow_probability(seed):
    posterior, normal = random_posterior(seed), tfp.distributions.Normal
    prior = normal(np.array(PRIORS.loc_mean), np.array(PRIORS.loc_scale))
    expected = np.sum(tfp.distributions.kl_divergence(normal(posterior.locs, posterior.scales), prior))
    kl = DiagComponents(K, D, PRIORS).kl_locs(posterior, NO_SHIFT)
    assert kl.dtype == tf.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_kl_of_the_precisions_equals_that_of_tensorflow_probability(seed):
    posterior, gamma = random_posterior(seed), tfp.distributions.Gamma
    prior = gamma(np.array(PRIORS.precision_shape), np.array(PRIORS.precision_rate))
    expected = np.sum(tfp.distributions.kl_divergence(gamma(posterior.alpha, posterior.beta), prior))
    kl = DiagComponents(K, D, PRIORS).kl_precisions(posterior)
    assert kl.dtype == tf.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


def test_kl_is_the_sum_over_locations_and_precisions():
    components, posterior = DiagComponents(K, D, PRIORS), random_posterior()
    both = components.kl_locs(posterior, NO_SHIFT) + components.kl_precisions(posterior)
    assert float(components.kl(posterior, NO_SHIFT)) == float(both)


def test_moving_the_locations_and_the_prior_together_changes_nothing():
    posterior, centre = random_posterior(), np.array([512.0, -0.25])
    components = DiagComponents(K, D, PRIORS)
    moved = posterior._replace(locs=posterior.locs - centre)
    moved_prior = DiagComponents(
        K, D, Priors(tuple(PRIORS.loc_mean - centre), PRIORS.loc_scale, PRIORS.precision_shape, PRIORS.precision_rate)
    )
    expected = float(components.kl(posterior, NO_SHIFT))
    assert float(components.kl(moved, tf.constant(centre))) == pytest.approx(expected, rel=1e-12)
    assert float(moved_prior.kl(moved, NO_SHIFT)) == pytest.approx(expected, rel=1e-12)
    assert abs(float(components.kl(moved, NO_SHIFT)) - expected) > 1.0  # the centre matters


# Density


@pytest.mark.parametrize("seed", range(3))
def test_log_density_equals_a_plain_loop_over_scipy(seed):
    posterior = random_posterior(seed)
    rows = np.random.default_rng(seed).normal(0, 3, (9, D)).astype(np.float32)
    parameters = DiagComponents(K, D, Priors()).means(posterior)
    expected = loop_log_density(rows, posterior.locs, np.log(posterior.alpha / posterior.beta))
    density = product(rows, parameters)
    assert density.dtype == tf.float64
    np.testing.assert_allclose(density, expected, rtol=1e-12, atol=1e-12)
    drawn = DiagComponents.log_density(tf.constant(rows), draws_at(**parameters))
    assert drawn.dtype == tf.float32
    np.testing.assert_allclose(drawn, expected, rtol=2e-6, atol=2e-6)


def narrow_components(width):
    """Returns 4 components of 16 columns, `width` wide in a range of 1, and the owners of 64 rows."""
    generator = np.random.default_rng(3)
    locs = generator.uniform(-0.5, 0.5, (4, 16))
    precisions = generator.uniform(0.5, 2.0, (4, 16)) / width**2
    return generator, locs, precisions, generator.integers(4, size=64)


# In float64 what cancels is 2^-53 of D (range / width)^2: 1e-7 of a nat at 1e-4, and 1e-4 nats are promised.
@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_product_of_narrow_components_keeps_a_ten_thousandth_of_a_nat(width):
    """The reference is scipy's on the same float32 rows."""
    generator, locs, precisions, owner = narrow_components(width)
    rows = (locs[owner] + generator.normal(size=(64, 16)) * precisions[owner] ** -0.5).astype(np.float32)
    expected = loop_log_density(rows, locs, np.log(precisions))[np.arange(64), owner]
    parameters = {"locs": locs, "precisions": precisions}
    density = product(rows, parameters).numpy()[np.arange(64), owner]
    assert np.abs(density - expected).max() < min(1e-4, 1e-14 / width**2 + 1e-12)


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_product_in_float32_errs_within_its_bound_and_not_far_below(width):
    generator, locs, precisions, owner = narrow_components(width)
    rows = (locs[owner] + generator.normal(size=(64, 16)) * precisions[owner] ** -0.5).astype(np.float32)
    parameters = {"locs": locs, "precisions": precisions}
    expected = loop_log_density(rows, locs, np.log(precisions))
    errors = np.abs(product(rows, parameters, tf.float32) - expected).max(axis=0)
    bound = DiagComponents.float32_error(parameters, np.abs(rows).max(axis=0).astype(np.float64)).numpy()
    assert bound.shape == (4,)
    assert (errors <= bound).all()
    assert (errors >= 0.01 * bound).any()


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_draws_of_narrow_components_keep_a_ten_thousandth_of_a_nat(width):
    generator, locs, precisions, owner = narrow_components(width)
    posterior = IndependentPosterior(*map(tf.constant, (locs, 0.1 * width + 0 * locs, 50 + 0 * locs, 50 / precisions)))
    draws = draw(posterior, [1, 1])
    locs, log_precisions = locs_of(draws)[0, 0], np.asarray(draws.log_precisions, np.float64)[0, 0]
    rows = (locs[owner] + generator.normal(size=(64, 16)) * np.exp(-0.5 * log_precisions[owner])).astype(np.float32)
    expected = loop_log_density(rows, locs, log_precisions)[np.arange(64), owner]
    density = DiagComponents.log_density(tf.constant(rows), draws).numpy()[0, np.arange(64), owner]
    assert np.abs(density - expected).max() < 1e-4  # 1e-3 without the pair of float32 locations


@pytest.mark.parametrize("far", [1e10, -1e19, 1e30, -3e38])
@pytest.mark.parametrize("precision", [1e-6, 1.0, 1e12])
def test_far_rows_have_a_finite_density_and_a_finite_gradient(far, precision):
    rows = tf.constant([[far, 0.0], [0.0, 0.5]], tf.float32)
    ones = tf.ones((K, D), tf.float64)
    posterior = IndependentPosterior(0 * ones, ones, 5 * ones, 5 / precision * ones)
    with tf.GradientTape() as tape:
        tape.watch(posterior)
        density = DiagComponents.log_density(rows, draw(posterior, [2], tf.float32))
        total = tf.reduce_sum(tf.reduce_logsumexp(density, axis=-1))
    assert np.isfinite(density.numpy()).all() and density.numpy()[0].max() < -1e7
    assert all(np.isfinite(gradient.numpy()).all() for gradient in tape.gradient(total, posterior))


def test_a_far_row_leaves_its_neighbours_density_bit_for_bit():
    parameters = DiagComponents(K, D, Priors()).means(random_posterior())
    rows = np.array([[0.3, 0.1], [1e30, -1e30], [2.0, 1.0]], np.float32)
    draws = draws_at(**parameters)
    for density_of in (lambda rows: product(rows, parameters), lambda rows: DiagComponents.log_density(rows, draws)):
        together = density_of(tf.constant(rows)).numpy()
        assert np.isfinite(together).all()
        np.testing.assert_array_equal(together[[0, 2]], density_of(tf.constant(rows[[0, 2]])).numpy())


def test_draws_shared_by_the_batch_and_the_same_draws_per_row_agree():
    posterior, rows = random_posterior(), tf.constant(np.random.default_rng(0).normal(size=(5, D)), tf.float32)
    shared = draw(posterior, [4, 1])
    density = DiagComponents.log_density(rows, shared)
    assert density.shape == (4, 5, K)
    for s in range(4):
        repeated = IndependentDraws(shared.base, *(tf.repeat(value[s], 5, axis=0) for value in shared[1:]))
        assert repeated.offset.shape == (5, K, D)
        per_row = DiagComponents.log_density(rows, repeated)
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
def test_draws_have_the_moments_of_q(dtype):
    num_draws = 20_000
    posterior = random_posterior(4)
    draws = draw(posterior, [num_draws], dtype)
    posterior = IndependentPosterior(*(value.numpy() for value in posterior))
    locs = locs_of(draws)
    log_precisions = draws.log_precisions.numpy().astype(np.float64)
    means = [
        (locs, posterior.locs),
        ((locs - posterior.locs) ** 2, posterior.scales**2),
        (np.exp(log_precisions), posterior.alpha / posterior.beta),
        (log_precisions, special.digamma(posterior.alpha) - np.log(posterior.beta)),
        ((locs - posterior.locs) * (np.exp(log_precisions) - posterior.alpha / posterior.beta), 0.0),
    ]
    for values, expected in means:
        errors = values.std(axis=0) / np.sqrt(num_draws)
        assert (np.abs(values.mean(axis=0) - expected) < 5 * errors).all()


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
        density = DiagComponents.log_density(tf.ones((2000, D)), draws)
    assert np.isfinite(draws.log_precisions.numpy()).all() and np.isfinite(density.numpy()).all()
    assert all(np.isfinite(gradient.numpy()).all() for gradient in tape.gradient(density, posterior))


def test_locations_far_from_zero_keep_their_float64_digits():
    """A draw's location is a pair of float32; `parameters_of` gives their float64 sum."""
    locs, scale = np.array([[1 / 3, 1e5 + 1 / 3]]), 1e-12
    posterior = IndependentPosterior(*map(tf.constant, (locs, scale + 0 * locs, 5.0 + 0 * locs, 5.0 + 0 * locs)))
    drawn = draw(posterior, [1])
    np.testing.assert_allclose(locs_of(drawn)[0], locs, rtol=1e-14, atol=6 * scale)
    parameters = DiagComponents.parameters_of(drawn)
    np.testing.assert_array_equal(parameters["locs"], locs_of(drawn))
    assert parameters["locs"].dtype == parameters["precisions"].dtype == tf.float64


# Parameters


def test_assign_sets_what_posterior_returns():
    components, posterior = DiagComponents(K, D, PRIORS), random_posterior(2)
    components.create_variables(
        lambda name, start: tf.Variable(start, name=name), components.random_start(np.random.default_rng(0))
    )
    assign(components, posterior)
    for value, expected in zip(components.posterior(), posterior):
        assert value.dtype == tf.float64
        np.testing.assert_allclose(value, expected, rtol=1e-14)


def test_sampled_rows_have_the_mean_and_spread_of_their_component():
    parameters = {"locs": np.array([[0.0, 5.0], [-3.0, 1e6]]), "precisions": np.array([[4.0, 0.01], [1.0, 1e4]])}
    assignment = np.repeat([0, 1], 10_000)
    rows = GRAPH_FORMS[DiagComponents.form].sample(parameters, tf.constant(assignment), (3, 4)).numpy()
    for k in range(2):
        mine, sds = rows[assignment == k], parameters["precisions"][k] ** -0.5
        assert (np.abs(mine.mean(axis=0) - parameters["locs"][k]) < 5 * sds / 100).all()
        assert (np.abs(mine.var(axis=0) / sds**2 - 1) < 5 * np.sqrt(2 / 10_000)).all()
