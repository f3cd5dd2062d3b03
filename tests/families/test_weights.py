"""Dirichlet weights: the KL of an independent library, draws that never reach zero, gradients that are right."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from assigned import assign
from scipy import special
from tfgmm.families.log_gamma import log_gamma_draws

from tfgmm.families.weights import WEIGHTS, DirichletPosterior, DirichletWeights
from tfgmm.mixture.priors import Priors

TYPES = [tf.float32, tf.float64]


def posterior_of(counts):
    return DirichletPosterior(tf.constant(counts, tf.float64))


def kl_of(counts, prior):
    return float(DirichletWeights(len(counts), Priors(weight_concentration=prior)).kl(posterior_of(counts)))


def log_draws_of(counts, num_draws, dtype, summed=lambda log_weights: log_weights):
    """Returns log weights (n, K), one draw per line, and the slopes of `summed` of each in its own counts, (n, K)."""
    weights = DirichletWeights(len(counts), Priors())
    lines = tf.constant(np.tile(counts, (num_draws, 1)), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(lines)
        [log_gammas] = log_gamma_draws([weights.gamma_shapes(DirichletPosterior(lines))], [1], (5, 6), dtype)
        log_weights = weights.log_draws(log_gammas)[0]
        target = summed(log_weights)
    return log_weights.numpy(), tape.gradient(target, lines).numpy()


def with_variables(counts):
    weights = DirichletWeights(len(counts), Priors())
    weights.create_variables(
        lambda name, start: tf.Variable(start, name=name), DirichletPosterior(np.array(counts, np.float64))
    )
    return weights


def decimal_log_gamma_and_digamma(x):
    """Returns both to about 40 digits: Stirling's series after shifting the argument above 60."""
    x, log_shift, digamma_shift = Decimal(float(x)), Decimal(0), Decimal(0)
    while x < 60:
        log_shift, digamma_shift, x = log_shift + x.ln(), digamma_shift + 1 / x, x + 1
    half_log_two_pi = (2 * Decimal("3.14159265358979323846264338327950288419716939937511")).ln() / 2
    log_gamma = (x - Decimal("0.5")) * x.ln() - x + half_log_two_pi
    digamma = x.ln() - 1 / (2 * x)
    for n, (top, bottom) in enumerate([(1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6)], start=1):
        bernoulli = Decimal(top) / Decimal(bottom)
        log_gamma += bernoulli / (2 * n * (2 * n - 1) * x ** (2 * n - 1))
        digamma -= bernoulli / (2 * n * x ** (2 * n))
    return log_gamma - log_shift, digamma - digamma_shift


def decimal_kl(counts, prior):
    with localcontext() as context:
        context.prec = 45
        log_gamma = [decimal_log_gamma_and_digamma(c)[0] for c in (*counts, sum(counts), *prior, sum(prior))]
        digamma = [decimal_log_gamma_and_digamma(c)[1] for c in (*counts, sum(counts))]
        size = len(counts)
        kl = log_gamma[size] - sum(log_gamma[:size]) - log_gamma[-1] + sum(log_gamma[size + 1 : -1])
        for c, p, expected in zip(counts, prior, digamma):
            kl += (Decimal(float(c)) - Decimal(float(p))) * (expected - digamma[-1])
        return float(kl)


@pytest.mark.parametrize(
    ("counts", "prior"),
    [
        ([3.0, 4.0], 2.0),
        ([0.05, 1.0, 300.0], 1.0),
        ([5.0, 2.0, 9.0, 0.7], (0.5, 1.0, 2.0, 3.0)),
        ([0.01] * 20, 0.3),
    ],
)
def test_kl_equals_that_of_tensorflow_probability(counts, prior):
    dirichlet = tfp.distributions.Dirichlet
    prior_counts = np.broadcast_to(np.float64(prior), (len(counts),))
    expected = tfp.distributions.kl_divergence(dirichlet(np.array(counts)), dirichlet(prior_counts)).numpy()
    assert kl_of(counts, prior) == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_one_component_has_weight_one_and_no_kl():
    assert kl_of([7.5], 2.0) == pytest.approx(0.0, abs=1e-14)
    assert log_draws_of([7.5], 10, tf.float32)[0].tolist() == [[0.0]] * 10


@pytest.mark.parametrize("counts", [[1e7, 2.3e7, 9.7e6], [1e7] * 3, [3e9, 2.0, 2.0]])
def test_kl_survives_counts_of_millions(counts):
    """The terms are near 1e8 and cancel to about 15: float32 gives -2 here, float64 keeps 7 digits and more."""
    expected = decimal_kl(counts, [2.0] * 3)
    assert kl_of(counts, 2.0) == pytest.approx(expected, rel=1e-6)
    assert expected > 10


def test_the_decimal_reference_agrees_with_tensorflow_probability_where_nothing_cancels():
    assert decimal_kl([3.0, 4.5], [2.0, 2.0]) == pytest.approx(kl_of([3.0, 4.5], 2.0), rel=1e-13)


def test_kl_to_itself_is_zero_and_its_gradient_too():
    counts = tf.Variable([2.0, 0.3, 50.0], dtype=tf.float64)
    weights = DirichletWeights(3, Priors(weight_concentration=(2.0, 0.3, 50.0)))
    with tf.GradientTape() as tape:
        kl = weights.kl(DirichletPosterior(counts))
    assert float(kl) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(tape.gradient(kl, counts), 0.0, atol=1e-12)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("counts", [[2.0, 2.0], [0.05, 1.0, 10.0], [1e4, 3e4, 20.0]])
def test_drawn_weights_have_the_mean_and_variance_of_the_dirichlet(counts, dtype):
    draws = np.exp(log_draws_of(counts, 20_000, dtype)[0].astype(np.float64))
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, atol=20 * np.finfo(dtype.as_numpy_dtype).eps)
    expected = np.array(counts) / np.sum(counts)
    assert (np.abs(draws.mean(axis=0) - expected) < 5 * draws.std(axis=0) / np.sqrt(20_000)).all()
    squares = (draws - expected) ** 2
    variance = expected * (1 - expected) / (1 + np.sum(counts))
    assert (np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(20_000)).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("counts", [[0.5, 3.0], [4.0, 30.0, 0.2], [2e4, 1e4]])
def test_mean_gradient_of_log_weights_is_that_of_their_mean(counts, dtype):
    """E[log theta_0] = digamma(c_0) - digamma(sum c), so its slopes in c are known."""
    _, slopes = log_draws_of(counts, 20_000, dtype, lambda log_weights: log_weights[:, 0])
    expected = -special.polygamma(1, np.sum(counts)) * np.ones(len(counts))
    expected[0] += special.polygamma(1, counts[0])
    errors = slopes.std(axis=0) / np.sqrt(20_000)
    rounding = 1e-5 / np.min(counts) if dtype == tf.float32 else 0.0
    assert (np.abs(slopes.mean(axis=0) - expected) < 5 * errors + rounding * np.abs(expected)).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("concentration", [0.05, 0.01, 1e-4])
def test_small_concentrations_give_no_zero_weight_and_a_finite_gradient(concentration, dtype):
    tilt = tf.cast(tf.linspace(0.0, 5.0, 20), dtype)
    for summed in (lambda logs: logs[:, 0], lambda logs: tf.reduce_logsumexp(logs - tilt, axis=-1)):
        log_weights, slopes = log_draws_of([concentration] * 20, 5_000, dtype, summed)
        assert np.isfinite(log_weights).all() and log_weights.min() < -100
        assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


def test_log_mean_is_the_logarithm_of_the_normalised_counts():
    counts = [0.5, 3.0, 1e6]
    log_mean = DirichletWeights(3, Priors()).log_mean(posterior_of(counts))
    np.testing.assert_allclose(log_mean, np.log(np.array(counts) / np.sum(counts)), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("prior", [2.0, (0.5, 1.0, 7.0)])
def test_an_untouched_model_starts_at_the_prior(prior):
    weights = DirichletWeights(3, Priors(weight_concentration=prior))
    start = weights.random_start(np.random.default_rng(0))
    np.testing.assert_array_equal(start.counts, np.broadcast_to(prior, (3,)))
    assert float(weights.kl(posterior_of(start.counts))) == pytest.approx(0.0, abs=1e-13)


def test_assign_sets_what_posterior_returns_in_float64():
    weights = with_variables([1.0, 2.0])
    np.testing.assert_allclose(weights.posterior().counts, [1.0, 2.0], rtol=1e-15)
    assign(weights, DirichletPosterior(np.array([1e-3, 123456789.0])))
    assert weights.posterior().counts.dtype == tf.float64
    np.testing.assert_allclose(weights.posterior().counts, [1e-3, 123456789.0], rtol=1e-14)


def test_the_posterior_is_differentiable_in_its_variable():
    weights = with_variables([3.0, 5.0])
    with tf.GradientTape() as tape:
        kl = weights.kl(weights.posterior())
    assert (np.abs(tape.gradient(kl, weights.variables[0])) > 1e-3).all()


def test_the_table_finds_the_class_by_name():
    assert WEIGHTS["dirichlet"] is DirichletWeights
