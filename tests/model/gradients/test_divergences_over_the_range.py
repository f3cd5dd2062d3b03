"""KL divergences against 60 digits: TensorFlow Probability's over the package's whole range, and those of every q."""

from __future__ import annotations

import exact_divergences
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from random_posteriors import D, K, random_components, random_priors, random_weights
from reference_formulas import kl_dirichlet, kl_gamma, kl_normal, kl_wishart

from tfgmm.families import wishart
from tfgmm.families.functions import NUMPY
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior
from tfgmm.families.weights import WEIGHTS
from tfgmm.model.gradients import divergences
from tfgmm.model.gradients.functions import TENSORFLOW

tfd = tfp.distributions
CENTRE = np.array([0.4, -1.0, 2.0, 0.1])
# Of the natural size; float64 has 1e-16, and digammas and logarithms of Gammas are a little off where they are small
TOLERANCE = 1e-11
SHAPES = (1e-9, 1e-6, 1e-3, 0.1, 1.0, 1.4616321449683623, 2.0, 30.0, 1e3, 1e5, 1e8, 1e12)
SCALES = (1e-15, 1e-6, 1.0, 3.0, 1e6, 1e15)


def as_tensors(values):
    return type(values)(*(tf.constant(value, tf.float64) for value in values))


def check(kl, q, expected, factors):
    """Checks KLs and their slopes in the tensors `q`, times `factors`, against an exact divergence for each."""
    with tf.GradientTape() as tape:
        tape.watch(q)
        values = kl(*q)
    assert values.dtype == tf.float64
    slopes = [slope * factor for slope, factor in zip(tape.gradient(values, q), factors)]
    assert max(exact_divergences.errors(values, [each.kl for each in expected])) < TOLERANCE
    for index, slope in enumerate(slopes):
        assert max(exact_divergences.errors(slope, [each.slopes[index] for each in expected])) < TOLERANCE


def columns(numbers):
    return [tf.constant(column, tf.float64) for column in np.array(numbers).T]


# TensorFlow Probability's divergences over the whole range: where one of these fails, ours must come back


def test_normals_of_tensorflow_probability_are_right_over_the_whole_range():
    grid = [(loc, scale, prior) for loc in (0.0, 1e-3, 1e6, -1e15) for scale in SCALES for prior in SCALES]
    expected = [exact_divergences.normal(*numbers) for numbers in grid]
    loc, scale, prior = columns(grid)
    check(
        lambda loc, scale: tfd.kl_divergence(tfd.Normal(loc, scale), tfd.Normal(np.float64(0.0), prior)),
        [loc, scale],
        expected,
        [scale, scale],
    )


def test_gammas_of_tensorflow_probability_are_right_over_the_whole_range():
    generator = np.random.default_rng(0)
    grid = [(shape, generator.choice(SCALES), prior, generator.choice(SCALES)) for shape in SHAPES for prior in SHAPES]
    grid += [(shape, 2.0, shape, 2.0) for shape in SHAPES]
    expected = [exact_divergences.gamma(*numbers) for numbers in grid]
    shape, rate, *prior = columns(grid)
    check(
        lambda shape, rate: tfd.kl_divergence(tfd.Gamma(shape, rate), tfd.Gamma(*prior)),
        [shape, rate],
        expected,
        [shape, rate],
    )


def test_betas_of_tensorflow_probability_are_right_over_the_whole_range():
    pairs = [(taken, left) for taken in SHAPES for left in SHAPES]
    gammas = np.resize([1e-3, 0.7, 1.0, 20.0, 1e3], len(pairs))
    expected = [exact_divergences.dirichlet(pair, (1.0, gamma)) for pair, gamma in zip(pairs, gammas)]
    q = columns(pairs)
    check(lambda *q: tfd.kl_divergence(tfd.Beta(*q), tfd.Beta(np.float64(1.0), gammas)), q, expected, q)


@pytest.mark.parametrize("num_components", [2, 16])
def test_dirichlets_of_tensorflow_probability_are_right_over_the_whole_range(num_components):
    generator = np.random.default_rng(1)
    counts = generator.choice(SHAPES, (60, num_components))
    prior = np.repeat(generator.choice([1e-6, 0.01, 1.0, 1e3, 1e9], (60, 1)), num_components, axis=1)
    counts[:5] = prior[:5]
    expected = [exact_divergences.dirichlet(*pair) for pair in zip(counts, prior)]
    q = list(columns(counts))
    check(lambda *q: tfd.kl_divergence(tfd.Dirichlet(tf.stack(q, axis=-1)), tfd.Dirichlet(prior)), q, expected, q)


def roots(generator, num_features, spread, within):
    """Returns roots of two covariances, columns 10^+-spread in size, the second within 10^+-within of the first."""
    units = 10 ** generator.uniform(-spread, spread, num_features)
    found = []
    for factor in (1.0, 10 ** generator.uniform(-within, within, num_features)):
        noise = generator.normal(size=(num_features, 2 * num_features))
        correlations = np.linalg.cholesky(np.atleast_2d(np.corrcoef(noise)))
        found.append((units * factor)[:, None] * correlations)
    return found


@pytest.mark.parametrize("spread,within", [(0, 1), (15, 1), (0, 7)])
@pytest.mark.parametrize("num_features", [1, 3, 16])
def test_correlated_normals_of_tensorflow_probability_are_right_over_the_whole_range(num_features, spread, within):
    prior, root = roots(np.random.default_rng(num_features), num_features, spread, within)
    away = prior @ np.linspace(-3.0, 100.0, num_features)
    expected = exact_divergences.correlated_normal(away, root, prior)
    variable = tf.constant(root)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        q = tfd.MultivariateNormalTriL(tf.constant(away), variable)
        kl = tfd.kl_divergence(q, tfd.MultivariateNormalTriL(tf.zeros(num_features, tf.float64), prior))
    assert max(exact_divergences.errors(kl, [expected.kl])) < TOLERANCE
    assert max(exact_divergences.errors(slopes_by_rows(tape.gradient(kl, variable), root), expected.slopes)) < TOLERANCE


def slopes_by_rows(slopes, root):
    slopes = slopes.numpy() * np.linalg.norm(root, axis=1, keepdims=True)
    assert not np.triu(slopes, 1).any()
    return slopes[np.tril_indices(len(root))]


@pytest.mark.parametrize("spread,within", [(0, 1), (15, 1), (0, 7)])
@pytest.mark.parametrize("num_features", [1, 3, 16])
def test_our_wisharts_are_right_over_the_whole_range(num_features, spread, within):
    """From just above D - 1 degrees to 1e12; one formula for arrays and for tensors."""
    fewest = num_features - 1.0
    prior_root, inverse_root = roots(np.random.default_rng(num_features), num_features, spread, within)
    for degrees, prior_degrees in ((fewest + 1e-6, fewest + 1.0), (fewest + 3.0, fewest + 1e-6), (1e12, fewest + 2.5)):
        root = inverse_root * np.sqrt(degrees / prior_degrees)
        expected = exact_divergences.wishart(degrees, root, prior_degrees, prior_root)
        q = tf.constant([degrees], tf.float64), tf.constant(root[None])
        with tf.GradientTape() as tape:
            tape.watch(q)
            kl = wishart.kl_to_prior(*q, prior_degrees, prior_root, TENSORFLOW)
        in_degrees, in_root = tape.gradient(kl, q)
        slopes = [in_degrees.numpy() * (degrees - fewest), slopes_by_rows(in_root[0], root)]
        assert max(exact_divergences.errors(kl, [expected.kl])) < TOLERANCE
        assert max(exact_divergences.errors(np.concatenate(slopes), expected.slopes)) < 10 * TOLERANCE
        of_numpy = wishart.kl_to_prior(np.array([degrees]), root[None], prior_degrees, prior_root, NUMPY)
        assert max(exact_divergences.errors(of_numpy, [expected.kl])) < TOLERANCE


def test_tensorflow_probability_still_has_no_divergence_of_wisharts():
    """The day it has one, it is to be measured, and ours may go."""
    distribution = tfd.WishartTriL(np.float64(3.0), np.eye(2))
    with pytest.raises(NotImplementedError):
        tfd.kl_divergence(distribution, distribution)


# The divergence of a whole q


def kl_of_components_by_hand(covariance, posterior, priors):
    if covariance in ("full", "tied"):
        of_locs = [
            kl_normal(loc, root @ root.T, priors.loc_mean - CENTRE, np.array(priors.loc_covariance))
            for loc, root in zip(posterior.locs, posterior.loc_cholesky)
        ]
        prior = priors.degrees, np.array(priors.inverse_scale)
        of_precisions = [kl_wishart(nu, c @ c.T, *prior) for nu, c in zip(posterior.degrees, posterior.scale_cholesky)]
        return sum(of_locs) + sum(of_precisions)
    prior = np.diag(np.square(priors.loc_scale))
    of_locs = [
        kl_normal(loc, np.diag(scale**2), priors.loc_mean - CENTRE, prior)
        for loc, scale in zip(posterior.locs, posterior.scales)
    ]
    alpha, beta, a0, b0 = np.broadcast_arrays(
        posterior.alpha, posterior.beta, priors.precision_shape, priors.precision_rate
    )
    own = posterior.alpha.shape  # what is shared counts once
    assert alpha.shape == own or posterior.alpha.shape[1] == 1
    rows = zip(*(np.ravel(value[: own[0], : own[1]]) for value in (alpha, beta, a0, b0)))
    return sum(of_locs) + sum(kl_gamma(*numbers) for numbers in rows)


def kl_of_weights_by_hand(kind, posterior, priors):
    if kind == "dirichlet":
        return kl_dirichlet(posterior.counts, np.full(len(posterior.counts), priors.weight_concentration))
    return sum(kl_dirichlet(pair, np.array([1.0, priors.stick_concentration])) for pair in posterior.sticks)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_kl_of_every_q_is_the_sum_of_the_textbooks_formulas(covariance, weights):
    components, of_components = random_components(covariance)
    family, of_weights = random_weights(weights)
    q = VariationalPosterior(family, components)
    kl = divergences.kl(q, Factors(as_tensors(of_weights), as_tensors(of_components)), tf.constant(CENTRE))
    expected = kl_of_components_by_hand(covariance, of_components, random_priors(covariance))
    expected += kl_of_weights_by_hand(weights, of_weights, random_priors("diag"))
    assert kl.shape == () and kl.dtype == tf.float64
    assert float(kl) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_one_component_has_weight_one_and_no_divergence_of_weights(covariance, weights):
    components, of_components = random_components(covariance, num_components=1)
    family, of_weights = random_weights(weights, num_components=1)
    factors = Factors(as_tensors(of_weights), as_tensors(of_components))
    with tf.GradientTape() as tape:
        tape.watch(factors.weights)
        kl = divergences.kl(VariationalPosterior(family, components), factors, tf.constant(CENTRE))
    expected = kl_of_components_by_hand(covariance, of_components, random_priors(covariance))
    assert float(kl) == pytest.approx(expected, rel=1e-12)
    [slopes] = tape.gradient(kl, factors.weights)
    np.testing.assert_array_equal(slopes, 0.0)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", ["diag", "full", "tied_spherical"])
def test_at_the_prior_the_divergence_is_zero_with_no_slope(covariance, weights):
    components, of_components = random_components(covariance)
    family, _ = random_weights(weights)
    priors = random_priors("diag")
    locs = np.broadcast_to(np.asarray(random_priors(covariance).loc_mean) - CENTRE, (K, D))
    if covariance == "full":
        prior = [
            np.broadcast_to(value, (K, D, D))
            for value in (components.prior_loc_cholesky, components.prior_scale_cholesky)
        ]
        at_prior = type(of_components)(locs, prior[0], np.full(K, components.prior_degrees), prior[1])
    else:
        own = [
            np.broadcast_to(value, components.precision_axes)
            for value in (components.precision_shape, components.precision_rate)
        ]
        at_prior = type(of_components)(locs, np.broadcast_to(components.loc_scale, (K, D)), *own)
    if weights == "dirichlet":
        of_weights = np.full(K, priors.weight_concentration)
    else:
        of_weights = np.array([[1.0, priors.stick_concentration]] * (K - 1))
    factors = Factors((tf.constant(of_weights),), as_tensors(at_prior))
    factors = factors._replace(weights=type(random_weights(weights)[1])(*factors.weights))
    with tf.GradientTape() as tape:
        tape.watch(factors)
        kl = divergences.kl(VariationalPosterior(family, components), factors, tf.constant(CENTRE))
    assert float(kl) == pytest.approx(0.0, abs=1e-12)
    for slopes in tf.nest.flatten(tape.gradient(kl, factors)):
        np.testing.assert_allclose(slopes, 0.0, atol=1e-12)
