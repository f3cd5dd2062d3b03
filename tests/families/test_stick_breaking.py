"""Stick-breaking weights: KL and moments of independent Betas, draws, and the order that the prior favours."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from drawn_moments import STICKS, assert_moments_of_sticks
from log_densities import features_of
from plain_mixtures import PlainMixture, sweeps
from random_posteriors import D, random_components, random_weights
from reference_formulas import kl_dirichlet, log_probability_of_assignment
from scipy import special

from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.natural_gradient import global_step
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior, stacked
from tfgmm.families.weights import WEIGHTS, StickBreakingWeights, StickPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics

NUM_DRAWS = 20_000


def weights_of(num_components, gamma=1.0):
    return StickBreakingWeights(num_components, Priors(stick_concentration=gamma))


def weights_from_breaks(breaks):
    """Returns (n, K) from breaks (n, K - 1), one after the other."""
    rest, weights = np.ones(len(breaks)), []
    for taken in breaks.T:
        weights.append(rest * taken)
        rest = rest * (1 - taken)
    return np.stack([*weights, rest], axis=1)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.5])
@pytest.mark.parametrize("sticks", STICKS[:2])
def test_kl_equals_that_of_betas_from_its_definition(sticks, gamma):
    expected = sum(kl_dirichlet(stick, np.array([1.0, gamma])) for stick in sticks)
    kl = weights_of(len(sticks) + 1, gamma).kl(StickPosterior(sticks))
    assert kl.dtype == np.float64
    assert float(kl) == pytest.approx(expected, rel=1e-12)


def test_kl_survives_counts_of_millions():
    """Terms near 1e8 cancel to about 9: the KL of a narrow Beta is known from its normal limit, -log sd terms."""
    taken, left = 3e6, 7e6
    mean = taken / (taken + left)
    sd = np.sqrt(mean * (1 - mean) / (taken + left))
    # entropy of a normal of that sd; the prior Beta(1, 1) has density 1. The next term is of order 1 / counts
    expected = -0.5 * np.log(2 * np.pi * np.e * sd**2)
    assert float(weights_of(2).kl(StickPosterior(np.array([[taken, left]])))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sticks", STICKS)
def test_means_of_the_weights_and_of_their_logarithms_are_those_of_independent_betas(sticks):
    mean = sticks[:, 0] / sticks.sum(axis=1)
    logs = special.digamma(sticks) - special.digamma(sticks.sum(axis=1, keepdims=True))
    expected_log = [logs[k, 0] + sum(logs[j, 1] for j in range(k)) for k in range(len(sticks))]
    expected_log.append(sum(logs[:, 1]))
    weights = weights_of(len(sticks) + 1)
    means = np.exp(weights.log_mean(StickPosterior(sticks)))
    np.testing.assert_allclose(means, weights_from_breaks(mean[None])[0], rtol=1e-12)
    np.testing.assert_allclose(weights.expected_log(StickPosterior(sticks)), expected_log, rtol=1e-12)


@pytest.mark.parametrize("sticks", STICKS)
def test_drawn_weights_have_the_moments_of_products_of_betas(sticks):
    weights, q = weights_of(len(sticks) + 1), StickPosterior(sticks)
    log_gammas = log_gamma_draws(weights.gamma_shapes(q), [NUM_DRAWS], np.random.default_rng(5))
    log_weights = weights.log_draws(log_gammas)
    assert log_weights.shape == (NUM_DRAWS, len(sticks) + 1) and log_weights.dtype == np.float64
    assert_moments_of_sticks(log_weights, sticks)


def test_tiny_shapes_give_no_zero_weight():
    weights, q = weights_of(4), StickPosterior(np.full((3, 2), 1e-3))
    log_weights = weights.log_draws(log_gamma_draws(weights.gamma_shapes(q), [2000], np.random.default_rng(5)))
    assert np.isfinite(log_weights).all() and log_weights.min() < -100


def test_draws_of_many_components_take_no_square_of_their_number():
    weights, log_gammas = weights_of(1_000), np.random.default_rng(0).normal(size=(50, 999, 2))
    tracemalloc.start()
    log_weights = weights.log_draws(log_gammas)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(np.exp(log_weights).sum(axis=1), 1.0, rtol=1e-12)
    assert peak < 50e6  # (50, 999, 1000) numbers are 400 MB; two triangles of (999, 1000) 16 MB


def test_update_adds_the_counts_taken_and_those_left():
    sticks = weights_of(4, 1.5).update(np.array([5.0, 2.0, 0.5, 7.0])).sticks
    np.testing.assert_allclose(sticks, [[6.0, 11.0], [3.0, 9.0], [1.5, 8.5]], rtol=1e-15)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.0])
def test_starts_are_the_prior_or_equal_shares_of_the_rows(gamma):
    weights = weights_of(3, gamma)
    np.testing.assert_array_equal(weights.random_start(np.random.default_rng(0)).sticks, [[1.0, gamma]] * 2)
    assert float(weights.kl(weights.random_start(np.random.default_rng(0)))) == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(weights.update(np.full(3, 10.0)).sticks, [[11.0, gamma + 20.0], [11.0, gamma + 10.0]])


def test_one_component_has_no_sticks_and_weight_one():
    weights, q = weights_of(1), StickPosterior(np.zeros((0, 2)))
    assert float(weights.kl(q)) == 0.0
    assert weights.log_mean(q).tolist() == weights.expected_log(q).tolist() == [0.0]
    assert weights.log_draws(np.zeros((5, 0, 2))).tolist() == [[0.0]] * 5
    assert weights.update(np.array([9.0])).sticks.shape == (0, 2)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_numbers_behind_posteriors_give_them_back_and_they_are_public(kind):
    weights, q = random_weights(kind)
    [value], [name] = weights.posterior_of(weights.values_of(q)), weights.public(q)
    np.testing.assert_allclose(value, q[0], rtol=1e-14)
    assert name == {"dirichlet": "counts", "stick_breaking": "sticks"}[kind]
    np.testing.assert_array_equal(weights.public(q)[name], q[0])
    assert type(weights) is WEIGHTS[kind]


@pytest.mark.parametrize("kind", WEIGHTS)
def test_figures_of_several_posteriors_are_those_of_each(kind):
    pairs = [random_weights(kind, seed=seed) for seed in range(3)]
    weights, posteriors = pairs[0][0], [q for _, q in pairs]
    together = type(posteriors[0])(*map(np.stack, zip(*posteriors)))
    for function in (weights.kl, weights.log_mean, weights.expected_log):
        np.testing.assert_allclose(function(together), [function(q) for q in posteriors], rtol=1e-13)
    counts = np.array([[9.0, 4.0, 5.0], [1.0, 0.0, 2.0]])
    [several] = weights.update(counts)
    np.testing.assert_array_equal(several, [weights.update(line)[0] for line in counts])


# Order


@pytest.mark.parametrize("gamma", [0.2, 0.7, 1.0])
def test_the_best_order_is_the_best_of_all_24_and_sorts(gamma):
    """The bound with the best q(v) differs between orders by log p(z) alone."""
    generator = np.random.default_rng(4)
    for case in range(20):
        counts = generator.gamma(0.6, 20.0, 4) if case else np.array([0.0, 3.0, 0.0, 9.0])
        order = weights_of(4, gamma).best_order(counts)
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
    assert weights.best_order(np.array([4.0, 4.0, 4.0])).tolist() == [0, 1, 2]
    assert weights.best_order(np.array([9.0, 4.0, 4.0])).tolist() == [0, 1, 2]
    assert weights_of(3, 1.01).best_order(np.array([1.0, 4.0, 9.0])) is None
    assert WEIGHTS["dirichlet"](3, Priors()).best_order(np.array([1.0, 4.0, 9.0])) is None


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_step_that_reorders_is_the_step_of_components_that_stood_in_order(covariance):
    """Old precisions move with the counts: the new locations need them."""
    components, of_components = random_components(covariance)
    weights, of_weights = random_weights("stick_breaking")
    posterior = VariationalPosterior(weights, components)
    counts, order = np.array([2.0, 40.0, 11.0]), [1, 2, 0]
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(3, 30, D)) + 5.0
    features = np.stack([features_of(components.form, part).mean(axis=0) for part in rows])
    first, second = np.split(counts[:, None] * features, [D], axis=1)
    statistics = Statistics(counts, first, second)
    in_order = Statistics(*(value[order] for value in statistics))
    moved = type(of_components)(*(value if len(value) == 1 else value[order] for value in of_components))
    values = stacked([posterior.values_of(Factors(of_weights, q)) for q in (of_components, moved)])
    both = Statistics(*(np.stack(two) for two in zip(statistics, in_order)))
    step = global_step(posterior, values, both, np.zeros(D))
    for value, expected in step.target.values.flat:
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_sweeps_put_the_largest_component_first_with_all_that_belongs_to_it(covariance):
    """Started in the wrong order: locations and precisions move with the counts, and the bound does not fall."""
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(-5, 0.5, (20, 2)), generator.normal(5, [1.0, 2.0], (80, 2))])
    priors = Priors(loc_scale=5.0, precision_shape=1.0, precision_rate=0.5, stick_concentration=0.5)
    q = VariationalPosterior.of(covariance, "stick_breaking", 3, 2, priors)
    q.assign_centre(rows.mean(axis=0))
    q.assign(q.values_of(q.random_start(0)))
    [start] = q.start_values(rows, rows.std(axis=0), [[0.0, 60.0], [-5.0, -5.0], [5.0, 5.0]], [0])
    q.assign(start)
    history = sweeps(q, rows, 12)
    assert np.diff(history).min() > -1e-9 * abs(history[-1]) and history[-1] > history[0]
    found = PlainMixture(q, priors)
    np.testing.assert_allclose(found.sticks, [[81.0, 20.5], [21.0, 0.5]], atol=0.2)
    np.testing.assert_allclose(found.locs[:2], [[5.0, 5.0], [-5.0, -5.0]], atol=0.7)
    assert found.assign(rows).tolist() == [1] * 20 + [0] * 80
    if covariance == "diag":
        variances = (found.beta / found.alpha)[:2]
        np.testing.assert_allclose(variances, [[1.0, 4.0], [0.3, 0.3]], rtol=0.5)
