"""Dirichlet weights: the KL from its definition and to many digits, draws that never reach zero."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from reference_formulas import kl_dirichlet

from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.weights import WEIGHTS, DirichletPosterior, DirichletWeights
from tfgmm.mixture.priors import Priors


def kl_of(counts, prior):
    weights = DirichletWeights(len(counts), Priors(weight_concentration=prior))
    return float(weights.kl(DirichletPosterior(np.array(counts))))


def log_draws_of(counts, num_draws):
    """Returns log weights (n, K)."""
    weights = DirichletWeights(len(counts), Priors())
    shapes = weights.gamma_shapes(DirichletPosterior(np.array(counts)))
    return weights.log_draws(log_gamma_draws(shapes, [num_draws], np.random.default_rng(5)))


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
def test_kl_equals_that_from_its_definition(counts, prior):
    expected = kl_dirichlet(np.array(counts), np.broadcast_to(np.float64(prior), (len(counts),)))
    assert kl_of(counts, prior) == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_one_component_has_weight_one_and_no_kl():
    assert kl_of([7.5], 2.0) == pytest.approx(0.0, abs=1e-14)
    assert log_draws_of([7.5], 10).tolist() == [[0.0]] * 10


@pytest.mark.parametrize("counts", [[1e7, 2.3e7, 9.7e6], [1e7] * 3, [3e9, 2.0, 2.0]])
def test_kl_survives_counts_of_millions(counts):
    """The terms are near 1e8 and cancel to about 15: float32 gives -2 here, float64 keeps 7 digits and more."""
    expected = decimal_kl(counts, [2.0] * 3)
    assert kl_of(counts, 2.0) == pytest.approx(expected, rel=1e-6)
    assert expected > 10


def test_the_decimal_reference_agrees_where_nothing_cancels():
    assert decimal_kl([3.0, 4.5], [2.0, 2.0]) == pytest.approx(kl_of([3.0, 4.5], 2.0), rel=1e-13)


def test_kl_to_itself_is_zero():
    assert kl_of([2.0, 0.3, 50.0], (2.0, 0.3, 50.0)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("counts", [[2.0, 2.0], [0.05, 1.0, 10.0], [1e4, 3e4, 20.0]])
def test_drawn_weights_have_the_mean_and_variance_of_the_dirichlet(counts):
    draws = np.exp(log_draws_of(counts, 20_000))
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, atol=20 * np.finfo(np.float64).eps)
    expected = np.array(counts) / np.sum(counts)
    assert (np.abs(draws.mean(axis=0) - expected) < 5 * draws.std(axis=0) / np.sqrt(20_000)).all()
    squares = (draws - expected) ** 2
    variance = expected * (1 - expected) / (1 + np.sum(counts))
    assert (np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(20_000)).all()


@pytest.mark.parametrize("concentration", [0.05, 0.01, 1e-4])
def test_small_concentrations_give_no_zero_weight(concentration):
    log_weights = log_draws_of([concentration] * 20, 5_000)
    assert np.isfinite(log_weights).all() and log_weights.min() < -100


def test_log_mean_is_the_logarithm_of_the_normalised_counts():
    counts = [0.5, 3.0, 1e6]
    log_mean = DirichletWeights(3, Priors()).log_mean(DirichletPosterior(np.array(counts)))
    np.testing.assert_allclose(log_mean, np.log(np.array(counts) / np.sum(counts)), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("prior", [2.0, (0.5, 1.0, 7.0)])
def test_an_untouched_model_starts_at_the_prior(prior):
    weights = DirichletWeights(3, Priors(weight_concentration=prior))
    start = weights.random_start(np.random.default_rng(0))
    np.testing.assert_array_equal(start.counts, np.broadcast_to(prior, (3,)))
    assert float(weights.kl(start)) == pytest.approx(0.0, abs=1e-13)


def test_the_numbers_behind_a_posterior_give_it_back():
    weights = DirichletWeights(2, Priors())
    for counts in (np.array([1.0, 2.0]), np.array([1e-3, 123456789.0])):
        values = weights.values_of(DirichletPosterior(counts))
        assert len(values) == len(weights.variable_names)
        found = weights.posterior_of(values).counts
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, counts, rtol=1e-14)


def test_the_table_finds_the_class_by_name():
    assert WEIGHTS["dirichlet"] is DirichletWeights
