"""The slow reference against draws from its own posterior, and what holds on any problem: ascent, agreement, units."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference_formulas as formulas
import reference_problems as problems
from reference_mixture import (
    COVARIANCES,
    WEIGHTS,
    Mixture,
    Priors,
    column_scales,
    floored_correlations,
)
from scipy import stats
from scipy.special import logsumexp

WISHART = (5.5, np.array([[2.0, 0.4], [0.4, 1.5]]))
OTHER_WISHART = (3.7, np.array([[1.0, -0.2], [-0.2, 0.8]]))

each_covariance = pytest.mark.parametrize("covariance", COVARIANCES)
each_weights = pytest.mark.parametrize("weights", WEIGHTS)
near = pytest.approx


def random_covariance(generator, dim):
    root = generator.normal(size=(dim, dim))
    return root @ root.T + 0.2 * np.eye(dim)


def random_problem(generator, dim):
    """Returns rows in a few clumps, and priors that have nothing to do with them."""
    num_rows = int(generator.integers(1, 30))
    rows = generator.normal(0, 3, (3, dim))[generator.integers(3, size=num_rows)] + generator.normal(
        size=(num_rows, dim)
    )
    priors = Priors(
        loc_mean=generator.normal(size=dim),
        loc_scale=generator.gamma(2.0, 1.0, dim),
        precision_shape=generator.gamma(1.0, 2.0, 1),
        precision_rate=generator.gamma(1.0, 2.0, 1),
        loc_covariance=random_covariance(generator, dim),
        degrees=dim - 1 + generator.gamma(2.0),
        inverse_scale=random_covariance(generator, dim),
        weight_concentration=generator.gamma(2.0, 0.5),
        gamma=generator.gamma(2.0, 0.5),
    )
    return rows, priors


def draws_of_weights(mixture, num_draws, generator):
    if mixture.weights == "dirichlet":
        return generator.dirichlet(mixture.counts, num_draws)
    sticks = generator.beta(*mixture.sticks.T, (num_draws, mixture.K - 1))
    rest = np.cumprod(1 - sticks, axis=1)
    return np.column_stack([sticks, np.ones(num_draws)]) * np.column_stack([np.ones(num_draws), rest])


def draws_of_precision(mixture, k, num_draws, generator):
    """Returns draws (S, D, D) of component k's precision matrix, by SciPy's Wishart or NumPy's Gamma."""
    j = 0 if mixture.tied else k
    if mixture.is_matrix:
        scale = np.linalg.inv(mixture.inverse_scales[j])
        return (
            stats.wishart(mixture.degrees[j], scale).rvs(num_draws, generator).reshape(num_draws, mixture.D, mixture.D)
        )
    draws = generator.gamma(mixture.alpha[j], 1 / mixture.beta[j], (num_draws, mixture.alpha.shape[1]))
    unit = mixture.priors.unit if mixture.is_spherical else 1.0
    return np.eye(mixture.D) * np.broadcast_to(draws / np.square(unit), (num_draws, mixture.D))[:, None, :]


def assert_mean(values, expected):
    """Five standard errors: one honest check in two million fails."""
    standard_error = np.std(values, ddof=1) / len(values) ** 0.5
    assert abs(np.mean(values) - expected) < 5 * standard_error


# Draws from the posterior


@each_weights
@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_marginal_bound_at_the_best_augmented_bound_is_the_documented_one(covariance, weights):
    mixture, generator, num_draws = problems.p1_best(covariance, weights), np.random.default_rng(4), 100_000
    locs = generator.normal(mixture.locs, np.sqrt([mixture.loc_covariance(k)[0] for k in range(2)]), (num_draws, 2, 1))
    precisions = draws_of_precision(mixture, 0, num_draws, generator)
    if covariance == "diag":
        precisions = np.concatenate([precisions, draws_of_precision(mixture, 1, num_draws, generator)], axis=1)
    log_weights = np.log(draws_of_weights(mixture, num_draws, generator))[..., None]
    log_densities = stats.norm.logpdf(problems.P1_ROWS[:, 0], locs, precisions**-0.5)
    values = np.sum(logsumexp(log_weights + log_densities, axis=1), axis=1)
    kl = mixture.kl_locs() + mixture.kl_precisions() + mixture.kl_weights()
    log_evidence, augmented, documented = problems.P1_NUMBERS[weights, covariance == "tied"]
    # the documented figure is an average of draws too, given as +-0.006: a standard error, a million draws say
    assert np.mean(values) - kl == near(documented, abs=0.006 + 5 * np.std(values) / num_draws**0.5)
    assert augmented < np.mean(values) - kl < log_evidence


def test_kl_of_wisharts_is_the_mean_log_ratio_of_draws():
    q, p = (stats.wishart(degrees, np.linalg.inv(matrix)) for degrees, matrix in (WISHART, OTHER_WISHART))
    draws = np.moveaxis(q.rvs(20_000, np.random.default_rng(5)), 0, -1)
    assert_mean(q.logpdf(draws) - p.logpdf(draws), formulas.kl_wishart(*WISHART, *OTHER_WISHART))


@each_weights
@each_covariance
def test_rho_and_mean_weights_are_means_over_draws_of_the_posterior(covariance, weights):
    generator, num_draws, row = np.random.default_rng(6), 4_000, np.array([1.0, 2.0])
    priors = dataclasses.replace(problems.P2_PRIORS, unit=np.array([0.5, 2.0]))
    mixture = Mixture(covariance, weights, priors, 3)
    mixture.global_step(problems.P2_ROWS, generator.dirichlet(np.ones(3), len(problems.P2_ROWS)))
    drawn_weights = draws_of_weights(mixture, num_draws, generator)
    for k in range(3):
        locs = generator.multivariate_normal(mixture.locs[k], mixture.loc_covariance(k), num_draws)
        precisions = draws_of_precision(mixture, k, num_draws, generator)
        distances = np.einsum("sd,sde,se->s", row - locs, precisions, row - locs)
        log_densities = 0.5 * (np.linalg.slogdet(precisions)[1] - 2 * formulas.LOG_TWO_PI - distances)
        assert_mean(np.log(drawn_weights[:, k]) + log_densities, mixture.rho(row[None])[0, k])
        assert_mean(drawn_weights[:, k], mixture.mean_weights()[k])
        assert_mean(np.log(drawn_weights[:, k]), mixture.expected_log_weights()[k])


# Properties of the bound


@each_weights
@each_covariance
def test_bound_never_falls_in_a_sweep(covariance, weights):
    generator = np.random.default_rng(7)
    for problem in range(12):
        rows, priors = random_problem(generator, dim=1 + problem % 3)
        mixture = problems.started(rows, covariance, weights, priors, 1 + problem % 4, generator)
        bounds = []
        for _ in range(15):
            bounds.append(mixture.elbo(rows))
            mixture.sweep(rows)
        assert np.all(np.diff(bounds) >= -1e-9 * np.abs(bounds[1:]))


@each_weights
@each_covariance
def test_bound_has_no_slope_where_the_sweeps_end(covariance, weights):
    mixture, rows, step = problems.p2_start(covariance, weights), problems.P2_ROWS, 1e-5
    mixture.fit(rows)
    for name in mixture.state_names():
        best = getattr(mixture, name).copy()
        for at in np.ndindex(*best.shape):
            both_ways = []
            for sign in (1, -1):
                moved = best.copy()
                moved[at] += sign * step
                moved = (moved + np.swapaxes(moved, -1, -2)) / 2 if moved.ndim == 3 else moved
                setattr(mixture, name, moved)
                both_ways.append(mixture.elbo(rows))
            # rounding of a bound near 40 is 1e-14 x 40 / 1e-5; one sweep after the start the largest is 0.2 to 2.4
            assert both_ways[0] - both_ways[1] == near(0, abs=1e-6 * 2 * step), (name, at)
        setattr(mixture, name, best)


@each_weights
@pytest.mark.parametrize("covariances", [("spherical", "diag", "full"), ("tied_spherical", "tied_diag", "tied")])
def test_shapes_agree_on_one_column(covariances, weights):
    rows, priors = random_problem(np.random.default_rng(8), dim=1)
    priors.loc_covariance = np.diag(priors.loc_scale**2)
    priors.degrees, priors.inverse_scale = 2 * priors.precision_shape[0], 2 * np.diag(priors.precision_rate)
    found = []
    for covariance in covariances:
        mixture = problems.started(rows, covariance, weights, priors, 3, np.random.default_rng(9))
        for _ in range(5):
            mixture.sweep(rows)
        kls = (mixture.kl_locs(), mixture.kl_precisions(), mixture.kl_weights())
        found.append([mixture.elbo(rows), mixture.plug_in_log_likelihood(rows), *kls, *np.ravel(mixture.rho(rows))])
    assert found[1] == near(found[0], rel=1e-10)
    assert found[2] == near(found[0], rel=1e-10)


@each_covariance
def test_fits_of_real_rows_do_not_depend_on_the_units_of_the_columns(covariance):
    rows, num_sweeps = problems.data("old_faithful"), 5
    standard = (rows - np.mean(rows, axis=0)) / column_scales(rows)
    bounds = []
    for table in (rows, standard):
        priors = problems.p3_priors(table, covariance)
        mixture = problems.started(table, covariance, "dirichlet", priors, 3, np.random.default_rng(10))
        for _ in range(num_sweeps):
            mixture.sweep(table)
        bounds.append(mixture.elbo(table))
    assert bounds[0] == near(bounds[1] - len(rows) * np.sum(np.log(column_scales(rows))), rel=1e-10)


def test_scales_and_correlations_of_degenerate_columns_are_finite_and_positive():
    constant, mostly_zero, outlier = np.full(20, 7.0), np.eye(20)[0], np.arange(20.0)
    outlier[0] = 1e8
    rows = np.column_stack([constant, mostly_zero, outlier])
    assert column_scales(rows)[0] == 1
    assert column_scales(rows)[1] == near(np.std(mostly_zero))
    assert column_scales(rows)[2] == near(3 * 9.5 / 1.349)
    # 0.1 x 3 / 20; the column of one and the outlier are perfectly correlated, so one eigenvalue was 0
    assert np.min(np.linalg.eigvalsh(floored_correlations(rows))) == near(0.015)


# One component, where parts of the posterior are known


def test_precision_of_one_component_with_a_known_mean_is_exact():
    priors = Priors(np.array([0.1]), np.array([1e-9]), np.array([1.5]), np.array([0.4]))
    mixture = Mixture("diag", "dirichlet", priors, 1)
    mixture.fit(problems.P1_ROWS)
    assert mixture.alpha == near(1.5 + 3 / 2)
    assert mixture.beta == near(0.4 + np.sum((problems.P1_ROWS - 0.1) ** 2) / 2)
    assert mixture.counts == near(1 + 3)


def test_location_of_one_component_with_a_known_precision_is_the_textbook_normal():
    priors = Priors(np.array([0.1]), np.array([1.5]), np.array([2e12]), np.array([1e12]))
    mixture = Mixture("diag", "stick_breaking", priors, 1)
    mixture.fit(problems.P1_ROWS)
    variance = 1 / (1 / 1.5**2 + 3 * 2)
    assert mixture.scales == near(variance**0.5)
    assert mixture.locs == near(variance * (0.1 / 1.5**2 + 2 * np.sum(problems.P1_ROWS)))
