"""Smoothed importance weights: ArviZ's, and what is done where there is no tail to smooth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tfgmm.posterior.smoothing import effective_sample_size, smoothed_log_weights


def ratios_of(kind, num_draws, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(num_draws)
    return {
        "wider target": lambda: stats.norm.logpdf(z, 0, 3) - stats.norm.logpdf(z),
        "narrower target": lambda: stats.norm.logpdf(z, 0, 0.5) - stats.norm.logpdf(z) - 1e4,
        "bounded": lambda: -np.abs(z),
        "Pareto": lambda: np.log(rng.pareto(1.5, num_draws)),
        "nearly equal": lambda: 0.01 * z,
        "spread wide": lambda: 300.0 * z,
        "zero for some": lambda: np.where(z > 0.3, -np.inf, 2.0 * z),
        "zero for most": lambda: np.where(z < 1.5, -np.inf, z),
        "rounded": lambda: np.round(z, 1),
    }[kind]()


KINDS = "wider target,narrower target,bounded,Pareto,nearly equal,spread wide,zero for some,zero for most,rounded"


@pytest.mark.parametrize("num_draws", [100, 1_000, 7_777])
@pytest.mark.parametrize("kind", KINDS.split(","))
def test_weights_and_k_are_those_of_arviz(kind, num_draws):
    import arviz

    ratios = ratios_of(kind, num_draws)
    given = ratios.copy()
    log_weights, k_hat = smoothed_log_weights(ratios)
    np.testing.assert_array_equal(ratios, given)
    with np.errstate(over="ignore"):
        expected, k_of_arviz = arviz.psislw(ratios)
    assert k_hat == pytest.approx(float(k_of_arviz), abs=1e-8)
    # Equal ratios come in no order: as many get each weight
    np.testing.assert_allclose(np.sort(log_weights), np.sort(expected), atol=1e-8)
    if kind != "rounded":
        np.testing.assert_allclose(log_weights, expected, atol=1e-8)
    assert np.exp(log_weights).sum() == pytest.approx(1.0, abs=1e-12)


def test_only_the_tail_is_smoothed_and_nothing_passes_the_largest_ratio():
    ratios = ratios_of("Pareto", 10_000)
    log_weights, _ = smoothed_log_weights(ratios)
    moved = log_weights - log_weights[np.argmin(ratios)] - (ratios - ratios.min())
    is_tail = np.argsort(np.argsort(ratios)) >= 10_000 - 300
    assert np.abs(moved[~is_tail]).max() < 1e-12 and (np.abs(moved[is_tail]) > 1e-12).mean() > 0.9
    assert np.ptp(log_weights) <= np.ptp(ratios) + 1e-12


def test_smoothing_steadies_the_mean_weight():
    """Ratios of Pareto shape 0.6, whose raw mean has an infinite variance."""
    rng = np.random.default_rng(0)
    raw, smooth = [], []
    for _ in range(200):
        ratios = np.log(1.0 + rng.pareto(1 / 0.6, 400))
        log_weights, _ = smoothed_log_weights(ratios)
        raw.append(np.exp(ratios).mean())
        # The body keeps its place beside the mean
        smooth.append(np.exp(ratios.min() - log_weights.min()) / len(ratios))
    assert np.std(smooth) < 0.8 * np.std(raw)
    assert np.mean(smooth) == pytest.approx(1 / 0.4, rel=0.1)


def test_few_ratios_are_normalised_alone():
    ratios = ratios_of("Pareto", 99)
    log_weights, k_hat = smoothed_log_weights(ratios)
    assert np.isnan(k_hat)
    np.testing.assert_allclose(log_weights, ratios - np.log(np.exp(ratios).sum()), atol=1e-12)


def test_equal_ratios_have_no_tail():
    log_weights, k_hat = smoothed_log_weights(-57.2 + 1e-6 * np.arange(400) / 400)
    assert k_hat == 0.0
    np.testing.assert_allclose(log_weights, -np.log(400), atol=1e-6)
    log_weights, k_hat = smoothed_log_weights(np.where(np.arange(400) < 100, -np.inf, -57.2))
    assert k_hat == 0.0 and (log_weights[:100] == -np.inf).all()
    np.testing.assert_allclose(log_weights[100:], -np.log(300))


@pytest.mark.parametrize("num_heavy", [1, 4])
def test_weight_on_a_few_draws_alone_is_no_tail(num_heavy):
    ratios = np.full(400, -np.inf)
    ratios[:num_heavy] = np.arange(num_heavy, 0, -1)
    log_weights, k_hat = smoothed_log_weights(ratios)
    assert k_hat == np.inf
    expected = np.exp(ratios) / np.exp(ratios).sum()
    np.testing.assert_allclose(np.exp(log_weights), expected, atol=1e-12)


def test_effective_draws():
    assert effective_sample_size(np.full(50, -np.log(50))) == pytest.approx(50)
    assert effective_sample_size(np.where(np.arange(50) == 7, 0.0, -np.inf)) == pytest.approx(1)
    weights = np.random.default_rng(0).dirichlet(np.ones(30))
    assert effective_sample_size(np.log(weights)) == pytest.approx(1 / sum(weight**2 for weight in weights))


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        (np.zeros((2, 200)), r"one row of numbers, \(S,\). Received: shape \(2, 200\)"),
        (np.zeros(0), r"Received: shape \(0,\)"),
        (np.array([0.0, np.nan]), "numbers or -inf. Received: NaN"),
        (np.array([0.0, np.inf]), "numbers or -inf. Received: NaN or"),
        (np.full(200, -np.inf), "for one draw at least. Received: 200 that are -inf"),
    ],
)
def test_ratios_that_cannot_be_weights_are_refused(ratios, said):
    with pytest.raises(ValueError, match=said):
        smoothed_log_weights(ratios)
