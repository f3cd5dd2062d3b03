"""Drawn components of every shape: the moments of q, the densities of SciPy, digits that float32 would lose."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import (
    D,
    K,
    mean_precision_matrices,
    random_components,
    units_of,
)
from scipy import special, stats

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.priors import Priors
from tfgmm.model.gradients import correlated, independent
from tfgmm.model.gradients.correlated import CorrelatedDraws
from tfgmm.model.gradients.independent import IndependentDraws, high_and_low
from tfgmm.model.gradients.log_gamma import log_gamma_draws

TYPES = [tf.float32, tf.float64]
MATRIX_SHAPES = ("full", "tied")
ROWS = np.random.default_rng(9).normal(0, 2, (12, D)).astype(np.float32)
NUM_DRAWS = 20_000


def as_tensors(posterior):
    return type(posterior)(*(tf.constant(value, tf.float64) for value in posterior))


def form_of(components):
    return {"independent": independent, "correlated": correlated}[components.form]


def draw(components, posterior, sample_shape, dtype=tf.float64, seed=(3, 4)):
    [log_gammas] = log_gamma_draws([components.gamma_shapes(posterior)], sample_shape, seed, dtype)
    return form_of(components).draws(components, posterior, log_gammas, seed)


def locs_of(drawn):
    return np.asarray(drawn.base, np.float64) + np.asarray(drawn.offset, np.float64)


def precisions_of(drawn):
    """Returns drawn precision matrices, (..., K or 1, D, D) float64."""
    if isinstance(drawn, CorrelatedDraws):
        whiteners = drawn.whiteners.numpy().astype(np.float64)
        return np.swapaxes(whiteners, -1, -2) @ whiteners
    return np.exp(drawn.log_precisions.numpy().astype(np.float64))[..., None] * np.eye(drawn.base.shape[-1])


def scipy_log_densities(rows, locs, precisions):
    """Returns (B, K), one call of SciPy per component; one matrix stands for all."""
    precisions = np.broadcast_to(precisions, (*locs.shape, locs.shape[1]))
    pairs = zip(locs, np.linalg.inv(precisions))
    return np.stack([stats.multivariate_normal(*pair).logpdf(rows) for pair in pairs], axis=-1)


def diagonal(num_components, num_features):
    return COMPONENTS["diag"](num_components, num_features, Priors())


# Moments


def mean_log_determinants(components, posterior):
    """Returns E[log det Lambda], (K or 1,)."""
    if isinstance(posterior, CorrelatedPosterior):
        arguments = (posterior.degrees[:, None] - np.arange(D)) / 2
        roots = np.diagonal(posterior.scale_cholesky, axis1=1, axis2=2)
        return special.digamma(arguments).sum(axis=1) + D * np.log(2) - 2 * np.log(roots).sum(axis=1)
    log_means = special.digamma(posterior.alpha) - np.log(posterior.beta) - np.log(units_of(components))
    return np.broadcast_to(log_means, (K, D)).sum(axis=1)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_draws_have_the_moments_of_q(covariance, dtype):
    components, posterior = random_components(covariance, seed=2)
    drawn = draw(components, as_tensors(posterior), [NUM_DRAWS], dtype)
    locs, precisions = locs_of(drawn), precisions_of(drawn)
    away, log_determinants = locs - posterior.locs, np.linalg.slogdet(precisions)[1]
    if covariance in MATRIX_SHAPES:
        np.testing.assert_allclose(log_determinants, 2.0 * drawn.log_determinants, rtol=1e-4, atol=1e-4)
        loc_covariances = posterior.loc_cholesky @ np.swapaxes(posterior.loc_cholesky, 1, 2)
    else:
        loc_covariances = posterior.scales[:, :, None] ** 2 * np.eye(D)
    expected_log = mean_log_determinants(components, posterior)
    for values, expected in (
        (precisions, mean_precision_matrices(components, posterior)[: precisions.shape[1]]),
        (log_determinants, expected_log),
        (locs, posterior.locs),
        (away[..., :, None] * away[..., None, :], loc_covariances),
        (away * (log_determinants - expected_log)[..., None], 0.0),  # independent
    ):
        errors = values.std(axis=0) / np.sqrt(NUM_DRAWS)
        assert (np.abs(values.mean(axis=0) - expected) <= 5 * errors + 1e-12).all()


def test_drawn_precision_matrices_have_the_variances_of_the_wishart():
    """Var(Lambda_ij) = nu (W_ij^2 + W_ii W_jj): Bartlett's off-diagonal counts here."""
    components, posterior = random_components("full", seed=3)
    precisions = precisions_of(draw(components, as_tensors(posterior), [NUM_DRAWS]))
    scales = mean_precision_matrices(components, posterior) / posterior.degrees[:, None, None]
    diagonals = np.diagonal(scales, axis1=1, axis2=2)
    expected = posterior.degrees[:, None, None] * (scales**2 + diagonals[:, :, None] * diagonals[:, None, :])
    squares = (precisions - precisions.mean(axis=0)) ** 2
    assert (np.abs(squares.mean(axis=0) - expected) < 5 * squares.std(axis=0) / np.sqrt(NUM_DRAWS)).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_mean_slopes_of_draws_are_those_of_the_moments_of_q(dtype):
    """E[mu] = locs, E[(mu - locs)^2] = scales^2, E[tau] = alpha / beta, and their derivatives."""
    locs, scales, alpha, beta = 0.7, 0.4, 3.0, 5.0
    values = (locs, scales, alpha, beta)
    q = IndependentPosterior(*(tf.fill([NUM_DRAWS, 1], tf.constant(value, tf.float64)) for value in values))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(q)
        drawn = draw(diagonal(NUM_DRAWS, 1), q, [1], dtype)
        mu = tf.cast(drawn.base + drawn.offset, tf.float64)
        square = tf.square(mu - locs)
        tau = tf.cast(tf.exp(drawn.log_precisions), tf.float64)
    np.testing.assert_allclose(tape.gradient(mu, q.locs), 1.0, rtol=1e-6)
    for target, source, expected in (
        (square, q.scales, 2 * scales),
        (tau, q.alpha, 1 / beta),
        (tau, q.beta, -alpha / beta**2),
    ):
        slopes = tape.gradient(target, source).numpy()
        assert abs(slopes.mean() - expected) < 5 * slopes.std() / np.sqrt(NUM_DRAWS)


def test_mean_slopes_of_drawn_log_determinants_are_those_of_the_wishart():
    """E[log det Lambda] = sum_i digamma((nu - i) / 2) + D log 2 - 2 log det C: slopes in nu and in C."""
    components, posterior = random_components("full", num_components=1, seed=5)
    q = as_tensors(posterior)
    with tf.GradientTape() as tape:
        tape.watch(q)
        drawn = draw(components, q, [NUM_DRAWS])
        mean = 2.0 * tf.reduce_mean(drawn.log_determinants)
    slopes = tape.gradient(mean, q)
    expected = 0.5 * special.polygamma(1, (posterior.degrees - np.arange(D)) / 2).sum()
    assert float(slopes.degrees[0]) == pytest.approx(expected, rel=0.03)
    diagonal_slopes = np.diagonal(slopes.scale_cholesky[0])
    np.testing.assert_allclose(diagonal_slopes, -2.0 / np.diagonal(posterior.scale_cholesky[0]), rtol=1e-12)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("sample_shape", [[7], [5, 1]], ids=str)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_draws_have_the_leading_axes_asked_for(covariance, sample_shape, dtype):
    components, posterior = random_components(covariance)
    drawn = draw(components, as_tensors(posterior), sample_shape, dtype)
    assert drawn.offset.shape == (*sample_shape, K, D)
    assert np.broadcast_shapes(drawn.base.shape, drawn.offset.shape) == drawn.offset.shape
    assert drawn.base.dtype == drawn.offset.dtype == tf.float32
    if covariance in MATRIX_SHAPES:
        assert drawn.whiteners.shape == (*sample_shape, components.num_precisions, D, D)
        assert drawn.whiteners.dtype == dtype
    else:
        assert drawn.log_precisions.shape == (*sample_shape, K, D) and drawn.log_precisions.dtype == tf.float32


# Densities


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_drawn_densities_equal_those_of_scipy_at_the_same_parameters(covariance):
    components, posterior = random_components(covariance)
    drawn = draw(components, as_tensors(posterior), [4, 1])
    actual = form_of(components).log_density(tf.constant(ROWS), drawn)
    assert actual.shape == (4, 12, K) and actual.dtype == tf.float32
    for s in range(4):
        expected = scipy_log_densities(ROWS, locs_of(drawn)[s, 0], precisions_of(drawn)[s, 0])
        np.testing.assert_allclose(actual[s], expected, rtol=2e-5, atol=2e-5)  # float32 draws and distances


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_draws_per_row_and_the_same_draws_shared_give_the_same_density(covariance):
    components, posterior = random_components(covariance)
    shared = draw(components, as_tensors(posterior), [2, 1])
    log_density = form_of(components).log_density
    density = log_density(tf.constant(ROWS), shared)
    for s in range(2):
        repeated = type(shared)(shared.base, *(tf.repeat(value[s], len(ROWS), axis=0) for value in shared[1:]))
        per_row = log_density(tf.constant(ROWS), repeated)
        assert per_row.shape == (len(ROWS), K)
        np.testing.assert_allclose(per_row, density[s], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_draws_of_narrow_components_keep_a_ten_thousandth_of_a_nat(width):
    generator = np.random.default_rng(3)
    locs = generator.uniform(-0.5, 0.5, (4, 16))
    precisions, owner = generator.uniform(0.5, 2.0, (4, 16)) / width**2, generator.integers(4, size=64)
    q = IndependentPosterior(*map(tf.constant, (locs, 0.1 * width + 0 * locs, 50 + 0 * locs, 50 / precisions)))
    drawn = draw(diagonal(4, 16), q, [1, 1])
    locs, precisions = locs_of(drawn)[0, 0], precisions_of(drawn)[0, 0]
    sds = np.diagonal(precisions, axis1=1, axis2=2) ** -0.5
    rows = (locs[owner] + generator.normal(size=(64, 16)) * sds[owner]).astype(np.float32)
    expected = scipy_log_densities(rows, locs, precisions)[np.arange(64), owner]
    density = independent.log_density(tf.constant(rows), drawn).numpy()[0, np.arange(64), owner]
    assert np.abs(density - expected).max() < 1e-4  # 1e-3 without the pair of float32 locations


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_locations_far_from_zero_keep_their_float64_digits(covariance):
    components, posterior = random_components(covariance)
    locs = np.broadcast_to([1 / 3, 1e5 + 1 / 3, -7e8 - 1 / 7, 0.0], (K, D))
    small = (
        {"scales": 1e-12 * np.ones((K, D))}
        if covariance == "diag"
        else {"loc_cholesky": 1e-12 * np.eye(D) * np.ones((K, D, D))}
    )
    drawn = draw(components, as_tensors(posterior._replace(locs=locs, **small)), [1])
    np.testing.assert_allclose(locs_of(drawn)[0], locs, rtol=1e-14, atol=1e-11)


def test_a_number_is_the_sum_of_its_two_parts_and_its_slope_goes_through_the_second():
    values = tf.constant([1 / 3, 1e8 + 1 / 3, -1e-20, 0.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(values)
        high, low = high_and_low(values)
        total = tf.cast(high, tf.float64) + tf.cast(low, tf.float64)
    np.testing.assert_allclose(total, values, rtol=1e-14)
    np.testing.assert_array_equal(tape.gradient(total, values), np.ones(4))


# Far away


@pytest.mark.parametrize("far", [1e10, -1e19, 3e38])
@pytest.mark.parametrize("width", [1.0, 1e-6])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_far_rows_have_a_finite_density_and_gradient_and_leave_their_neighbours(covariance, width, far):
    rows = tf.constant([[0.1, 0.2, 0.3, 0.4], [far, -far, far, 0.0], [far, far, -far, -far]], tf.float32)
    components, posterior = random_components(covariance)
    factor = width if covariance in MATRIX_SHAPES else width**2  # the last number is C, or beta
    q = as_tensors(type(posterior)(*posterior[:3], posterior[3] * factor))
    log_density = form_of(components).log_density
    with tf.GradientTape() as tape:
        tape.watch(q)
        drawn = draw(components, q, [3], tf.float32)
        density = log_density(rows, drawn)
        total = tf.reduce_sum(tf.reduce_logsumexp(density, axis=-1))
    assert np.isfinite(density).all() and density.numpy()[1:].max() < -1e7
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(total, q))
    near = type(drawn)(drawn.base, *(value[:1] for value in drawn[1:]))
    np.testing.assert_allclose(log_density(rows[:1], near), density[:1], rtol=1e-6)


def test_small_shapes_keep_draws_density_and_gradient_finite():
    ones = tf.ones((3, 2), tf.float64)
    q = IndependentPosterior(0 * ones, ones, 1e-3 * ones, 1e-3 * ones)
    with tf.GradientTape() as tape:
        tape.watch(q)
        drawn = draw(diagonal(3, 2), q, [2000], tf.float32)
        density = independent.log_density(tf.ones((2000, 2)), drawn)
    assert isinstance(drawn, IndependentDraws)
    assert np.isfinite(drawn.log_precisions).all() and np.isfinite(density).all()
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(density, q))
