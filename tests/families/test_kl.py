"""Every covariance shape: KLs from their definitions, and updates that no step around them improves."""

from __future__ import annotations

import numpy as np
import pytest
from log_densities import features_of
from random_posteriors import D, K, random_components, random_priors, random_weights
from reference_formulas import kl_gamma, kl_normal, kl_wishart

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.parameters import coefficients_from
from tfgmm.mixture.statistics import Statistics

CENTRE = np.array([0.4, -1.0, 2.0, 0.1])
MATRIX_SHAPES = ("full", "tied")


# KL


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_of_the_locations_equals_that_from_its_definition(covariance, seed):
    components, posterior = random_components(covariance, seed=seed)
    priors = random_priors(covariance, seed=seed)
    if covariance in MATRIX_SHAPES:
        covariances = posterior.loc_cholesky @ np.swapaxes(posterior.loc_cholesky, 1, 2)
        prior = priors.loc_mean - CENTRE, np.array(priors.loc_covariance)
    else:
        covariances = posterior.scales[:, :, None] ** 2 * np.eye(D)
        prior = priors.loc_mean - CENTRE, np.diag(np.square(priors.loc_scale))
    expected = sum(kl_normal(*q, *prior) for q in zip(posterior.locs, covariances))
    kl = components.kl_locs(posterior, CENTRE)
    assert kl.dtype == np.float64
    assert float(kl) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_of_the_precisions_equals_that_from_its_definition(covariance, seed):
    """A shared precision counts once."""
    components, posterior = random_components(covariance, seed=seed)
    priors = random_priors(covariance, seed=seed)
    if covariance in MATRIX_SHAPES:
        assert len(posterior.degrees) == (1 if covariance == "tied" else K)
        inverses = posterior.scale_cholesky @ np.swapaxes(posterior.scale_cholesky, 1, 2)
        prior = priors.degrees, np.array(priors.inverse_scale)
        expected = sum(kl_wishart(nu, inverse, *prior) for nu, inverse in zip(posterior.degrees, inverses))
    else:
        sizes = {"spherical": K, "diag": K * D, "tied_spherical": 1, "tied_diag": D}
        assert posterior.alpha.size == sizes[covariance]
        prior = (
            np.broadcast_to(value, posterior.alpha.shape) for value in (priors.precision_shape, priors.precision_rate)
        )
        expected = sum(kl_gamma(*four) for four in zip(*(values.ravel() for values in (*posterior[2:], *prior))))
    kl = components.kl_precisions(posterior)
    assert kl.dtype == np.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_is_the_sum_of_both_parts_and_zero_at_the_prior(covariance):
    components, q = random_components(covariance)
    both = components.kl_locs(q, CENTRE) + components.kl_precisions(q)
    assert float(components.kl(q, CENTRE)) == pytest.approx(float(both), rel=1e-14)
    nothing = Statistics(*(np.zeros(shape) for shape in ((K,), (K, D), (K, num_products(components)))))
    at_prior = components.posterior_of(components.values_of(components.update(q, nothing, CENTRE)))
    assert float(components.kl(at_prior, CENTRE)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kls_of_several_posteriors_are_those_of_each(covariance):
    pairs = [random_components(covariance, seed=seed) for seed in range(3)]
    components, posteriors = pairs[0][0], [posterior for _, posterior in pairs]
    together = components.kl(type(posteriors[0])(*map(np.stack, zip(*posteriors))), CENTRE)
    assert together.shape == (3,)
    np.testing.assert_allclose(together, [components.kl(q, CENTRE) for q in posteriors], rtol=1e-13)


# Updates


def num_products(components):
    return features_of(components.form, np.zeros((0, D))).shape[1] - D


def statistics_of(components, generator):
    """Returns the statistics of 60 rows under random responsibilities; the last component has next to none."""
    rows = generator.normal(size=(60, D)) @ generator.normal(size=(D, D))
    shares = generator.dirichlet([0.7] * (K - 1) + [0.02], len(rows))
    sums = shares.T @ features_of(components.form, rows)
    return Statistics(shares.sum(axis=0), sums[:, :D], sums[:, D:])


def bound(components, posterior, statistics):
    """Returns what the components contribute to the augmented bound at fixed responsibilities, nats."""
    corrections = components.corrections(posterior, components.means(posterior))
    coefficients, constants = coefficients_from(components.form, corrections, components.means(posterior))
    sums = np.concatenate([statistics.first, statistics.second], axis=1)
    expected = np.sum(sums * coefficients.T) + np.sum(statistics.counts * constants)
    return float(expected - components.kl(posterior, CENTRE))


def perturbed(values, size, generator):
    """Returns the numbers moved at random; what stands above a diagonal is not used, and may move too."""
    return [value + size * generator.normal(size=value.shape) for value in values]


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_no_step_around_an_update_improves_the_bound(covariance):
    """Coordinate ascent: first locations under the old precisions, then precisions under the new locations."""
    generator = np.random.default_rng(11)
    components, old = random_components(covariance)
    statistics = statistics_of(components, generator)
    new = components.update(old, statistics, CENTRE)
    halfway = type(old)(*new[:2], *old[2:])
    best = [bound(components, q, statistics) for q in (old, halfway, new)]
    assert best[0] < best[1] < best[2]
    # the first two numbers belong to the locations, the last two to the precisions
    for q, of_locs, top in ((halfway, True, best[1]), (new, False, best[2])):
        values = components.values_of(q)
        for size in np.geomspace(1e-3, 1.0, 20):
            moved = perturbed(values, size, generator)
            moved = [*moved[:2], *values[2:]] if of_locs else [*values[:2], *moved[2:]]
            assert bound(components, components.posterior_of(moved), statistics) < top


@pytest.mark.parametrize("kind", WEIGHTS)
def test_no_step_around_an_update_of_the_weights_improves_the_bound(kind):
    generator = np.random.default_rng(12)
    weights, _ = random_weights(kind)
    counts = np.array([30.0, 0.01, 9.5])

    def bound_of(q):
        return float(np.sum(counts * weights.expected_log(q)) - weights.kl(q))

    best = weights.update(counts)
    values = weights.values_of(best)
    for size in np.geomspace(1e-3, 1.0, 20):
        assert bound_of(weights.posterior_of(perturbed(values, size, generator))) < bound_of(best)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_component_without_rows_returns_to_the_prior(covariance):
    components, posterior = random_components(covariance)
    priors, generator = random_priors(covariance), np.random.default_rng(3)
    statistics = statistics_of(components, generator)
    statistics = Statistics(*(np.concatenate([value[:-1], 0.0 * value[-1:]]) for value in statistics))
    new = components.update(posterior, statistics, CENTRE)
    np.testing.assert_allclose(new.locs[-1], np.array(priors.loc_mean) - CENTRE, rtol=1e-12)
    if isinstance(new, CorrelatedPosterior):
        root = new.loc_cholesky[-1]
        np.testing.assert_allclose(root @ root.T, priors.loc_covariance, rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_allclose(new.scales[-1], priors.loc_scale, rtol=1e-12)
