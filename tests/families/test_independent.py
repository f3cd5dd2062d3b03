"""Diagonal components: KLs and densities of independent libraries, draws with q's moments, products that hold."""

from __future__ import annotations

import numpy as np
import pytest
from log_densities import loop_log_density, narrow_components, product
from reference_formulas import kl_gamma, kl_normal

from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.independent import DiagComponents, IndependentPosterior
from tfgmm.mixture.priors import Priors

K, D = 3, 2
PRIORS = Priors((0.5, -1.0), (2.0, 0.3), (1.5, 4.0), (0.8, 30.0))
NO_SHIFT = np.zeros(D)


def random_posterior(seed=0, num_components=K, num_features=D):
    generator = np.random.default_rng(seed)
    size = (num_components, num_features)
    return IndependentPosterior(generator.normal(size=size), *(generator.uniform(0.2, 9.0, size) for _ in range(3)))


def draw(posterior, sample_shape, seed=1):
    generator = np.random.default_rng(seed)
    components = DiagComponents(*posterior.locs.shape, Priors())
    log_gammas = log_gamma_draws(components.gamma_shapes(posterior), sample_shape, generator)
    return components.draws(posterior, log_gammas, generator)


# KL


@pytest.mark.parametrize("seed", range(3))
def test_kl_of_the_locations_equals_that_from_its_definition(seed):
    posterior = random_posterior(seed)
    expected = sum(
        kl_normal(loc, np.diag(scales**2), np.array(PRIORS.loc_mean), np.diag(np.square(PRIORS.loc_scale)))
        for loc, scales in zip(posterior.locs, posterior.scales)
    )
    kl = DiagComponents(K, D, PRIORS).kl_locs(posterior, NO_SHIFT)
    assert kl.dtype == np.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_kl_of_the_precisions_equals_that_from_its_definition(seed):
    posterior = random_posterior(seed)
    prior = list(zip(PRIORS.precision_shape, PRIORS.precision_rate))
    expected = sum(kl_gamma(posterior.alpha[k, d], posterior.beta[k, d], *prior[d]) for k in range(K) for d in range(D))
    kl = DiagComponents(K, D, PRIORS).kl_precisions(posterior)
    assert kl.dtype == np.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


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
    assert float(components.kl(moved, centre)) == pytest.approx(expected, rel=1e-12)
    assert float(moved_prior.kl(moved, NO_SHIFT)) == pytest.approx(expected, rel=1e-12)
    assert abs(float(components.kl(moved, NO_SHIFT)) - expected) > 1.0  # the centre matters


# Density


@pytest.mark.parametrize("seed", range(3))
def test_log_density_equals_a_plain_loop_over_scipy(seed):
    posterior = random_posterior(seed)
    rows = np.random.default_rng(seed).normal(0, 3, (9, D)).astype(np.float32)
    parameters = DiagComponents(K, D, Priors()).means(posterior)
    expected = loop_log_density(rows, posterior.locs, np.log(posterior.alpha / posterior.beta))
    density = product(DiagComponents.form, rows, parameters)
    assert density.dtype == np.float64
    np.testing.assert_allclose(density, expected, rtol=1e-12, atol=1e-12)


# In float64 what cancels is 2^-53 of D (range / width)^2: 1e-7 of a nat at 1e-4, and 1e-4 nats are promised.
@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_product_of_narrow_components_keeps_a_ten_thousandth_of_a_nat(width):
    """The reference is scipy's on the same float32 rows."""
    generator, locs, precisions, owner = narrow_components(width)
    rows = (locs[owner] + generator.normal(size=(64, 16)) * precisions[owner] ** -0.5).astype(np.float32)
    expected = loop_log_density(rows, locs, np.log(precisions))[np.arange(64), owner]
    density = product(DiagComponents.form, rows, {"locs": locs, "precisions": precisions})[np.arange(64), owner]
    assert np.abs(density - expected).max() < min(1e-4, 1e-14 / width**2 + 1e-12)


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_product_in_float32_errs_within_its_bound_and_not_far_below(width):
    generator, locs, precisions, owner = narrow_components(width)
    rows = (locs[owner] + generator.normal(size=(64, 16)) * precisions[owner] ** -0.5).astype(np.float32)
    parameters = {"locs": locs, "precisions": precisions}
    expected = loop_log_density(rows, locs, np.log(precisions))
    errors = np.abs(product(DiagComponents.form, rows, parameters, np.float32) - expected).max(axis=0)
    bound = DiagComponents.float32_error(parameters, np.abs(rows).max(axis=0).astype(np.float64))
    assert bound.shape == (4,)
    assert (errors <= bound).all()
    assert (errors >= 0.01 * bound).any()


def test_a_far_row_leaves_its_neighbours_density_bit_for_bit():
    parameters = DiagComponents(K, D, Priors()).means(random_posterior())
    rows = np.array([[0.3, 0.1], [1e30, -1e30], [2.0, 1.0]], np.float32)
    together = product(DiagComponents.form, rows, parameters)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together[[0, 2]], product(DiagComponents.form, rows[[0, 2]], parameters))


# Draws


@pytest.mark.parametrize("sample_shape", [[7], [5, 1]], ids=str)
def test_draws_have_the_leading_axes_asked_for_and_are_float64(sample_shape):
    draws = draw(random_posterior(), sample_shape)
    assert draws.locs.shape == draws.log_precisions.shape == (*sample_shape, K, D)
    assert all(value.dtype == np.float64 for value in draws)


def test_small_shapes_keep_draws_finite():
    ones = np.ones((K, D))
    draws = draw(IndependentPosterior(0 * ones, ones, 1e-3 * ones, 1e-3 * ones), [2000])
    assert np.isfinite(draws.log_precisions).all() and draws.log_precisions.min() < -1e3


def test_locations_far_from_zero_keep_their_float64_digits():
    locs, scale = np.array([[1 / 3, 1e5 + 1 / 3]]), 1e-12
    drawn = draw(IndependentPosterior(locs, scale + 0 * locs, 5.0 + 0 * locs, 5.0 + 0 * locs), [1])
    np.testing.assert_allclose(drawn.locs[0], locs, rtol=1e-14, atol=6 * scale)
    parameters = DiagComponents.parameters_of(drawn)
    np.testing.assert_array_equal(parameters["locs"], drawn.locs)
    np.testing.assert_array_equal(parameters["precisions"], np.exp(drawn.log_precisions))
    assert parameters["locs"].dtype == parameters["precisions"].dtype == np.float64


# Parameters


def test_the_numbers_behind_a_posterior_give_it_back():
    components, posterior = DiagComponents(K, D, PRIORS), random_posterior(2)
    values = components.values_of(posterior)
    assert len(values) == len(components.variable_names)
    for value, expected in zip(components.posterior_of(values), posterior):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, expected, rtol=1e-14)
