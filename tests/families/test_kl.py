"""Every covariance shape: KLs of independent libraries, and updates that no step around them improves."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from random_posteriors import D, K, random_components, random_priors, random_weights
from reference_formulas import kl_wishart

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.statistics import Statistics
from tfgmm.scoring.graph.densities import GRAPH_FORMS

tfd = tfp.distributions
CENTRE = np.array([0.4, -1.0, 2.0, 0.1])
MATRIX_SHAPES = ("full", "tied")


def as_tensors(posterior):
    return type(posterior)(*(tf.constant(value, tf.float64) for value in posterior))


# KL


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_of_the_locations_equals_that_of_tensorflow_probability(covariance, seed):
    components, posterior = random_components(covariance, seed=seed)
    priors = random_priors(covariance, seed=seed)
    if covariance in MATRIX_SHAPES:
        q = tfd.MultivariateNormalTriL(posterior.locs, posterior.loc_cholesky)
        prior = tfd.MultivariateNormalTriL(priors.loc_mean - CENTRE, np.linalg.cholesky(priors.loc_covariance))
    else:
        q = tfd.Normal(posterior.locs, posterior.scales)
        prior = tfd.Normal(priors.loc_mean - CENTRE, np.array(priors.loc_scale))
    kl = components.kl_locs(as_tensors(posterior), tf.constant(CENTRE))
    assert kl.dtype == tf.float64
    assert float(kl) == pytest.approx(float(tf.reduce_sum(tfd.kl_divergence(q, prior))), rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_of_the_precisions_equals_that_of_tensorflow_probability_or_of_wisharts(covariance, seed):
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
        prior = tfd.Gamma(np.array(priors.precision_shape), np.array(priors.precision_rate))
        expected = float(tf.reduce_sum(tfd.kl_divergence(tfd.Gamma(posterior.alpha, posterior.beta), prior)))
    kl = components.kl_precisions(as_tensors(posterior))
    assert kl.dtype == tf.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_is_the_sum_of_both_parts_and_zero_with_no_slope_at_the_prior(covariance):
    components, posterior = random_components(covariance)
    q = as_tensors(posterior)
    both = components.kl_locs(q, CENTRE) + components.kl_precisions(q)
    assert float(components.kl(q, CENTRE)) == pytest.approx(float(both), rel=1e-14)
    nothing = Statistics(*(tf.zeros(shape, tf.float64) for shape in ((K,), (K, D), (K, num_products(components)))))
    at_prior = components.update(q, nothing, tf.constant(CENTRE))
    values = components.values_of(at_prior)
    with tf.GradientTape() as tape:
        tape.watch(values)
        kl = components.kl(components.posterior_of(values), tf.constant(CENTRE))
    assert float(kl) == pytest.approx(0.0, abs=1e-12)
    for gradient in tape.gradient(kl, values):
        np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


# Updates


def num_products(components):
    return sum(piece.shape[1] for piece in GRAPH_FORMS[components.form].features(tf.zeros((0, D)))) - D


def statistics_of(components, generator):
    """Returns the statistics of 60 rows under random responsibilities; the last component has next to none."""
    rows = generator.normal(size=(60, D)) @ generator.normal(size=(D, D))
    shares = generator.dirichlet([0.7] * (K - 1) + [0.02], len(rows))
    sums = shares.T @ np.concatenate(GRAPH_FORMS[components.form].features(tf.constant(rows)), axis=1)
    return Statistics(*map(tf.constant, (shares.sum(axis=0), sums[:, :D], sums[:, D:])))


def bound(components, posterior, statistics):
    """Returns what the components contribute to the augmented bound at fixed responsibilities, nats."""
    coefficients, constants = GRAPH_FORMS[components.form].coefficients(components.means(posterior))
    sums = tf.concat([statistics.first, statistics.second], axis=1)
    expected = tf.reduce_sum(sums * tf.transpose(coefficients))
    expected += tf.reduce_sum(statistics.counts * (constants + components.corrections(posterior)))
    return float(expected - components.kl(posterior, tf.constant(CENTRE)))


def perturbed(values, size, generator):
    """Returns the numbers moved at random; what stands above a diagonal is not used, and may move too."""
    return [value + size * generator.normal(size=value.shape) for value in values]


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_no_step_around_an_update_improves_the_bound(covariance):
    """Coordinate ascent: first locations under the old precisions, then precisions under the new locations."""
    generator = np.random.default_rng(11)
    components, posterior = random_components(covariance)
    old, statistics = as_tensors(posterior), statistics_of(components, generator)
    new = components.update(old, statistics, tf.constant(CENTRE))
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
    counts = tf.constant([30.0, 0.01, 9.5], tf.float64)

    def bound_of(q):
        return float(tf.reduce_sum(counts * weights.expected_log(q)) - weights.kl(q))

    best = weights.update(counts)
    values = weights.values_of(best)
    for size in np.geomspace(1e-3, 1.0, 20):
        assert bound_of(weights.posterior_of(perturbed(values, size, generator))) < bound_of(best)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_component_without_rows_returns_to_the_prior(covariance):
    components, posterior = random_components(covariance)
    priors, generator = random_priors(covariance), np.random.default_rng(3)
    statistics = statistics_of(components, generator)
    statistics = Statistics(*(tf.concat([value[:-1], 0.0 * value[-1:]], axis=0) for value in statistics))
    new = components.update(as_tensors(posterior), statistics, tf.constant(CENTRE))
    np.testing.assert_allclose(new.locs[-1], np.array(priors.loc_mean) - CENTRE, rtol=1e-12)
    if isinstance(new, CorrelatedPosterior):
        root = new.loc_cholesky[-1].numpy()
        np.testing.assert_allclose(root @ root.T, priors.loc_covariance, rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_allclose(new.scales[-1], priors.loc_scale, rtol=1e-12)
