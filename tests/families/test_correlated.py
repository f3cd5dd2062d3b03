"""Every covariance shape: densities, corrections and draws against SciPy and known moments."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_moments import assert_moments_of_q, assert_variances_of_the_wishart
from log_densities import product, scipy_log_densities
from random_posteriors import (
    D,
    K,
    draw_parameters,
    mean_precision_matrices,
    normal_log_densities,
    random_components,
)

from tfgmm.families.correlated import cholesky
from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS, num_parameters, parameter_shapes

ROWS = np.random.default_rng(9).normal(0, 2, (12, D)).astype(np.float32)
NUM_DRAWS = 20_000


def draw(components, posterior, sample_shape, seed=3):
    generator = np.random.default_rng(seed)
    log_gammas = log_gamma_draws(components.gamma_shapes(posterior), sample_shape, generator)
    return components.draws(posterior, log_gammas, generator)


# Densities at known parameters


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_plug_in_density_equals_that_of_scipy(covariance, seed):
    components, posterior = random_components(covariance, seed=seed)
    covariances = np.linalg.inv(mean_precision_matrices(components, posterior))
    actual = product(components.form, ROWS, components.means(posterior))
    np.testing.assert_allclose(actual, scipy_log_densities(ROWS, posterior.locs, covariances), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_corrections_turn_the_plug_in_density_into_the_mean_over_q(covariance):
    """Draws of NumPy and SciPy; the difference is the same for every row, and shows best where the component is."""
    components, posterior = random_components(covariance)
    corrections = components.corrections(posterior, components.means(posterior))
    assert corrections.shape == (K,) and (corrections < 0).all()
    locs, precisions = draw_parameters(components, posterior, NUM_DRAWS, np.random.default_rng(1))
    means = components.means(posterior)
    for away, precision in ((0.0, 0.015), (ROWS[0].astype(np.float64), 0.2)):
        rows = posterior.locs + away
        plug_in = np.diagonal(product(components.form, rows, means))
        values = normal_log_densities(rows, locs, precisions)
        errors = values.std(axis=0) / np.sqrt(NUM_DRAWS)
        assert (errors < precision * np.abs(corrections)).all()  # or nothing would be seen
        assert (np.abs(values.mean(axis=0) - plug_in - corrections) < 5 * errors).all()


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_product_in_float32_errs_within_its_bound_which_is_not_far_above(covariance, width):
    """16 columns of range 1; the references read the same float32 rows. The float64 product keeps 1e-4 nats."""
    components, posterior = random_components(covariance, 4, 16)
    generator = np.random.default_rng(5)
    owner, locs = generator.integers(4, size=200), generator.uniform(-0.5, 0.5, (4, 16))
    parameters = components.means(posterior)
    parameters["locs"] = locs
    for name, power in (("precisions", 2), ("whiteners", 1)):
        if name in parameters:
            parameters[name] = parameters[name] / np.abs(parameters[name]).max() / width**power
    _, covariances = FORMS[components.form].covariances(parameters)
    if covariances is None:
        covariances = FORMS[components.form].covariances(parameters)[0][..., None] ** 2 * np.eye(16)
    noise = np.einsum("kij,nj->nki", np.linalg.cholesky(covariances), generator.normal(size=(200, 16)))
    rows = (locs[owner] + noise[np.arange(200), owner]).astype(np.float32)
    whiteners = np.linalg.inv(np.linalg.cholesky(covariances))
    away = np.einsum("kij,nkj->nki", whiteners, rows[:, None].astype(np.float64) - locs)
    log_determinants = np.linalg.slogdet(whiteners)[1]
    expected = log_determinants - 0.5 * (np.sum(away**2, axis=-1) + 16 * np.log(2 * np.pi))
    own = np.arange(200), owner
    # what cancels, 2^-53 of 16 (1 / width)^2, and the rounding of an ill-conditioned inverse
    exact = np.abs(product(components.form, rows, parameters)[own] - expected[own]).max()
    assert exact < min(1e-4, 1e-12 / width**2 + 1e-9)
    errors = np.abs(product(components.form, rows, parameters, np.float32) - expected)
    bound = components.float32_error(parameters, np.abs(rows).max(axis=0).astype(np.float64))
    assert bound.shape == (4,)
    assert (errors.max(axis=0) <= bound).all()
    assert (errors.max(axis=0) >= 0.01 * bound).any()


# Draws


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_draws_have_the_moments_of_q(covariance):
    components, posterior = random_components(covariance, seed=2)
    drawn = draw(components, posterior, [NUM_DRAWS])
    assert all(value.dtype == np.float64 for value in drawn)
    log_determinants = getattr(drawn, "log_determinants", None)
    assert_moments_of_q(components, posterior, components.parameters_of(drawn), log_determinants)


def test_drawn_precision_matrices_have_the_variances_of_the_wishart():
    components, posterior = random_components("full", seed=3)
    whiteners = components.parameters_of(draw(components, posterior, [NUM_DRAWS]))["whiteners"]
    assert_variances_of_the_wishart(components, posterior, whiteners)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_drawn_densities_equal_those_of_scipy_at_the_same_parameters(covariance):
    components, posterior = random_components(covariance)
    parameters = components.parameters_of(draw(components, posterior, [4]))
    scales, covariances = FORMS[components.form].covariances(parameters)
    assert scales.shape == (4, K, D)
    if covariances is None:
        covariances = scales[..., None] ** 2 * np.eye(D)
    for s in range(4):
        expected = scipy_log_densities(ROWS, parameters["locs"][s], covariances[s])
        of_draw = {name: value[s] for name, value in parameters.items()}
        np.testing.assert_allclose(product(components.form, ROWS, of_draw), expected, rtol=1e-8, atol=1e-8)


# Parameters as others see them


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_covariances_and_public_parts_are_those_of_numpy(covariance):
    components, posterior = random_components(covariance)
    means = components.means(posterior)
    assert {name: value.shape for name, value in means.items()} == parameter_shapes(covariance, K, D)
    expected = np.linalg.inv(mean_precision_matrices(components, posterior))
    scales, covariances = FORMS[components.form].covariances(means)
    np.testing.assert_allclose(scales, np.sqrt(np.diagonal(expected, axis1=1, axis2=2)), rtol=1e-10)
    public = components.public(posterior)
    if covariances is not None:
        np.testing.assert_allclose(covariances, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(public["degrees"], posterior.degrees)
        loc_covariances = posterior.loc_cholesky @ np.swapaxes(posterior.loc_cholesky, 1, 2)
        np.testing.assert_allclose(public["loc_covariances"], loc_covariances, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(public["scales"] ** 2, np.diagonal(loc_covariances, axis1=1, axis2=2), rtol=1e-12)
        inverses = np.linalg.inv(public["inverse_scales"]) * posterior.degrees[:, None, None]
        means_of_public = np.broadcast_to(inverses, (K, D, D))
    else:
        np.testing.assert_array_equal(public["scales"], posterior.scales)
        np.testing.assert_array_equal(public["alpha"], posterior.alpha)
        means_of_public = np.broadcast_to(public["alpha"] / public["beta"], (K, D))[..., None] * np.eye(D)
    # the public parts alone, in data units, give the mean precisions
    np.testing.assert_allclose(means_of_public, np.linalg.inv(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("covariance", "of_precisions"),
    [("spherical", 3), ("diag", 12), ("tied_spherical", 1), ("tied_diag", 4), ("full", 30), ("tied", 10)],
)
def test_parameters_are_counted_as_by_hand(covariance, of_precisions):
    """3 components of 4 columns: 12 locations; a symmetric matrix has 10 numbers."""
    assert num_parameters(covariance, K, D) == K - 1 + 12 + of_precisions


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_numbers_behind_posteriors_give_them_back_and_the_table_finds_the_class(covariance):
    components, posterior = random_components(covariance)
    assert COMPONENTS[covariance] is type(components) and components.name == covariance
    for q in (components.random_start(np.random.default_rng(0)), posterior):
        values = components.values_of(q)
        assert len(values) == len(components.variable_names)
        for value, expected in zip(components.posterior_of(values), q):
            assert value.dtype == np.float64
            np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)


def test_of_several_matrices_only_those_that_are_not_positive_definite_have_no_cholesky_factor():
    generator = np.random.default_rng(0)
    roots = np.tril(generator.normal(size=(2, 3, 4, 4))) + 3.0 * np.eye(4)
    matrices = roots @ np.swapaxes(roots, -1, -2)
    np.testing.assert_allclose(cholesky(matrices), np.linalg.cholesky(matrices), rtol=1e-14)
    matrices[1, 2] = -np.eye(4)
    factors = cholesky(matrices)
    assert np.isnan(factors[1, 2]).all()
    np.testing.assert_allclose(np.delete(factors.reshape(6, 4, 4), 5, 0), roots.reshape(6, 4, 4)[:5], rtol=1e-9)
