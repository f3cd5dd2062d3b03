"""Stick-breaking weights: KL and moments of independent Betas, draws, and the order that the prior favours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from assigned import assign
from random_posteriors import D, random_components, random_weights
from reference_formulas import log_probability_of_assignment
from scipy import special, stats
from tfgmm.families.log_gamma import log_gamma_draws
from tfgmm.model.natural_gradient import NaturalGradient

import tfgmm
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior, stacked
from tfgmm.families.weights import WEIGHTS, StickBreakingWeights, StickPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics
from tfgmm.scoring.graph.densities import GRAPH_FORMS

tfd = tfp.distributions
TYPES = [tf.float32, tf.float64]
NUM_DRAWS = 20_000
STICKS = [
    np.array([[2.0, 3.0]]),
    np.array([[0.4, 7.0], [30.0, 0.9], [5.0, 5.0]]),
    np.array([[2e4, 5e4], [1.0, 3e4], [200.0, 1.0]]),
]


def weights_of(num_components, gamma=1.0):
    return StickBreakingWeights(num_components, Priors(stick_concentration=gamma))


def posterior_of(sticks):
    return StickPosterior(tf.constant(sticks, tf.float64))


def weights_from_breaks(breaks):
    """Returns (n, K) from breaks (n, K - 1), one after the other."""
    rest, weights = np.ones(len(breaks)), []
    for taken in breaks.T:
        weights.append(rest * taken)
        rest = rest * (1 - taken)
    return np.stack([*weights, rest], axis=1)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.5])
@pytest.mark.parametrize("sticks", STICKS[:2])
def test_kl_equals_that_of_betas_in_tensorflow_probability(sticks, gamma):
    q, prior = tfd.Beta(sticks[:, 0], sticks[:, 1]), tfd.Beta(np.float64(1.0), np.float64(gamma))
    kl = weights_of(len(sticks) + 1, gamma).kl(posterior_of(sticks))
    assert kl.dtype == tf.float64
    assert float(kl) == pytest.approx(float(tf.reduce_sum(tfd.kl_divergence(q, prior))), rel=1e-12)


def test_kl_survives_counts_of_millions():
    """Terms near 1e8 cancel to about 9: the KL of a narrow Beta is known from its normal limit, -log sd terms."""
    taken, left = 3e6, 7e6
    mean = taken / (taken + left)
    sd = np.sqrt(mean * (1 - mean) / (taken + left))
    # entropy of a normal of that sd; the prior Beta(1, 1) has density 1. The next term is of order 1 / counts
    expected = -0.5 * np.log(2 * np.pi * np.e * sd**2)
    assert float(weights_of(2).kl(posterior_of([[taken, left]]))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sticks", STICKS)
def test_means_of_the_weights_and_of_their_logarithms_are_those_of_independent_betas(sticks):
    mean = sticks[:, 0] / sticks.sum(axis=1)
    logs = special.digamma(sticks) - special.digamma(sticks.sum(axis=1, keepdims=True))
    expected_log = [logs[k, 0] + sum(logs[j, 1] for j in range(k)) for k in range(len(sticks))]
    expected_log.append(sum(logs[:, 1]))
    weights = weights_of(len(sticks) + 1)
    means = np.exp(weights.log_mean(posterior_of(sticks)))
    np.testing.assert_allclose(means, weights_from_breaks(mean[None])[0], rtol=1e-12)
    np.testing.assert_allclose(weights.expected_log(posterior_of(sticks)), expected_log, rtol=1e-12)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("sticks", STICKS)
def test_drawn_weights_have_the_moments_of_products_of_betas(sticks, dtype):
    """E[theta_k] and E[theta_k^2] are products of moments of independent Betas."""
    weights, q = weights_of(len(sticks) + 1), posterior_of(sticks)
    [log_gammas] = log_gamma_draws([weights.gamma_shapes(q)], [NUM_DRAWS], (5, 6), dtype)
    log_weights = weights.log_draws(log_gammas)
    assert log_weights.shape == (NUM_DRAWS, len(sticks) + 1) and log_weights.dtype == dtype
    draws = np.exp(log_weights.numpy().astype(np.float64))
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, atol=20 * np.finfo(dtype.as_numpy_dtype).eps)
    for power in (1, 2):
        taken = np.array([stats.beta(*stick).moment(power) for stick in sticks])
        left = np.array([stats.beta(*stick[::-1]).moment(power) for stick in sticks])
        expected = np.append(taken, 1.0) * np.cumprod(np.append(1.0, left))
        values = draws**power
        errors = values.std(axis=0) / np.sqrt(NUM_DRAWS)
        # float32 draws carry 1e-6 of their value
        rounding = 1e-5 * expected if dtype == tf.float32 else 0.0
        assert (np.abs(values.mean(axis=0) - expected) < 5 * errors + rounding).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_tiny_shapes_give_no_zero_weight_and_a_finite_gradient(dtype):
    weights, lines = weights_of(4), tf.fill([2000, 3, 2], tf.constant(1e-3, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(lines)
        [log_gammas] = log_gamma_draws([weights.gamma_shapes(StickPosterior(lines))], [1], (5, 6), dtype)
        log_weights = weights.log_draws(log_gammas)
        target = tf.reduce_logsumexp(log_weights - tf.cast(tf.range(4), dtype), axis=-1)
    slopes = tape.gradient(target, lines).numpy()
    assert np.isfinite(log_weights).all() and log_weights.numpy().min() < -100
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


def test_update_adds_the_counts_taken_and_those_left():
    sticks = weights_of(4, 1.5).update(tf.constant([5.0, 2.0, 0.5, 7.0], tf.float64)).sticks
    np.testing.assert_allclose(sticks, [[6.0, 11.0], [3.0, 9.0], [1.5, 8.5]], rtol=1e-15)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.0])
def test_starts_are_the_prior_or_equal_shares_of_the_rows(gamma):
    weights = weights_of(3, gamma)
    np.testing.assert_array_equal(weights.random_start(np.random.default_rng(0)).sticks, [[1.0, gamma]] * 2)
    assert float(weights.kl(weights.random_start(np.random.default_rng(0)))) == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(weights.update(np.full(3, 10.0)).sticks, [[11.0, gamma + 20.0], [11.0, gamma + 10.0]])


def test_one_component_has_no_sticks_and_weight_one():
    weights, q = weights_of(1), posterior_of(np.zeros((0, 2)))
    assert float(weights.kl(q)) == 0.0
    assert weights.log_mean(q).numpy().tolist() == weights.expected_log(q).numpy().tolist() == [0.0]
    assert weights.log_draws(tf.zeros((5, 0, 2))).numpy().tolist() == [[0.0]] * 5
    assert weights.update(tf.constant([9.0], tf.float64)).sticks.shape == (0, 2)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_assigned_posteriors_come_back_differentiable_and_public(kind):
    weights, q = random_weights(kind)
    weights.create_variables(
        lambda name, value: tf.Variable(value, name=name),
        weights.update(np.full(weights.num_components, 10.0 / weights.num_components)),
    )
    assign(weights, q)
    [value], [name] = weights.posterior(), weights.public(q)
    np.testing.assert_allclose(value, q[0], rtol=1e-14)
    assert name == {"dirichlet": "counts", "stick_breaking": "sticks"}[kind]
    np.testing.assert_array_equal(weights.public(q)[name], q[0])
    with tf.GradientTape() as tape:
        kl = weights.kl(weights.posterior())
    assert (np.abs(tape.gradient(kl, weights.variables[0])) > 1e-6).all()
    assert type(weights) is WEIGHTS[kind]


# Order


@pytest.mark.parametrize("gamma", [0.2, 0.7, 1.0])
def test_the_best_order_is_the_best_of_all_24_and_sorts(gamma):
    """The bound with the best q(v) differs between orders by log p(z) alone."""
    generator = np.random.default_rng(4)
    for case in range(20):
        counts = generator.gamma(0.6, 20.0, 4) if case else np.array([0.0, 3.0, 0.0, 9.0])
        order = weights_of(4, gamma).best_order(tf.constant(counts)).numpy()
        assert sorted(order) == [0, 1, 2, 3]
        # under gamma = 1 the last break is uniform: the last two may stand either way
        sorted_first = 4 if gamma < 1 else 2
        np.testing.assert_array_equal(counts[order][:sorted_first], np.sort(counts)[::-1][:sorted_first])
        values = {
            permutation: log_probability_of_assignment(list(counts[list(permutation)]), "stick_breaking", gamma)
            for permutation in itertools.permutations(range(4))
        }
        assert values[tuple(order.tolist())] >= max(values.values()) - 1e-10


def test_the_order_stays_where_nothing_would_be_gained():
    weights = weights_of(3)
    assert weights.best_order(tf.constant([4.0, 4.0, 4.0], tf.float64)).numpy().tolist() == [0, 1, 2]
    assert weights.best_order(tf.constant([9.0, 4.0, 4.0], tf.float64)).numpy().tolist() == [0, 1, 2]
    assert weights_of(3, 1.01).best_order(tf.constant([1.0, 4.0, 9.0], tf.float64)) is None
    assert WEIGHTS["dirichlet"](3, Priors()).best_order(tf.constant([1.0, 4.0, 9.0], tf.float64)) is None


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_step_that_reorders_is_the_step_of_components_that_stood_in_order(covariance):
    """Old precisions move with the counts: the new locations need them."""
    components, of_components = random_components(covariance)
    weights, of_weights = random_weights("stick_breaking")
    posterior = VariationalPosterior(weights, components)
    counts, order = np.array([2.0, 40.0, 11.0]), [1, 2, 0]
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(3, 30, D)) + 5.0
    features = np.stack(
        [np.concatenate(GRAPH_FORMS[components.form].features(tf.constant(part)), axis=1).mean(axis=0) for part in rows]
    )
    first, second = np.split(counts[:, None] * features, [D], axis=1)
    statistics = Statistics(*map(tf.constant, (counts, first, second)))
    in_order = Statistics(*(tf.gather(value, order) for value in statistics))
    moved = type(of_components)(*(value if len(value) == 1 else value[order] for value in of_components))
    centre = tf.zeros(D, tf.float64)
    values = stacked([posterior.values_of(Factors(of_weights, q)) for q in (of_components, moved)])
    both = Statistics(*(tf.stack(two) for two in zip(statistics, in_order)))
    step = NaturalGradient(posterior, run_eagerly=True).global_step(values, both, centre)
    for value, expected in step.target.values.flat:
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_sweeps_put_the_largest_component_first_with_all_that_belongs_to_it(covariance):
    """Started in the wrong order: locations and precisions move with the counts, and the bound does not fall."""
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(-5, 0.5, (20, 2)), generator.normal(5, [1.0, 2.0], (80, 2))])
    priors = Priors(loc_scale=5.0, precision_shape=1.0, precision_rate=0.5, stick_concentration=0.5)
    model = tfgmm.GaussianMixtureModel(3, 2, covariance, "stick_breaking", priors, seed=0)
    model.compile()
    model.initialize(rows, start=[[0.0, 60.0], [-5.0, -5.0], [5.0, 5.0]])
    history = model.fit(rows, epochs=12, verbose=0).history["elbo"]
    assert np.diff(history).min() > -1e-9 * abs(history[-1]) and history[-1] > history[0]
    sticks = model.sticks.numpy()
    np.testing.assert_allclose(sticks, [[81.0, 20.5], [21.0, 0.5]], atol=0.2)
    np.testing.assert_allclose(model.locs[:2], [[5.0, 5.0], [-5.0, -5.0]], atol=0.7)
    assert model.assign(rows).tolist() == [1] * 20 + [0] * 80
    if covariance == "diag":
        variances = (model.beta / model.alpha).numpy()[:2]
        np.testing.assert_allclose(variances, [[1.0, 4.0], [0.3, 0.3]], rtol=0.5)
