"""Fits to rows with gaps and measurement noise: what is not seen is integrated out, and said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from rows_one_by_one import plain_sums
from scipy import special, stats

import tfgmm
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.registry import COVARIANCES

RNG = np.random.default_rng(11)
ROWS = np.concatenate(
    [
        RNG.multivariate_normal([-2.0, 0.0, 1.0], [[1.0, 0.5, 0.0], [0.5, 0.8, 0.2], [0.0, 0.2, 0.6]], 90),
        RNG.multivariate_normal([2.0, 1.5, -1.0], [[0.6, -0.2, 0.1], [-0.2, 0.9, 0.0], [0.1, 0.0, 1.1]], 70),
    ]
)
GAPPY = np.where(RNG.random(ROWS.shape) < 0.15, np.nan, ROWS)
GAPPY[np.isnan(GAPPY).all(axis=1)] = ROWS[np.isnan(GAPPY).all(axis=1)]
TOLD = "ignore:.*integrated out, as missing at random"

pytestmark = pytest.mark.filterwarnings(TOLD)


@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_bounds_never_fall_and_components_are_found(covariance: str, weights: str) -> None:
    result = tfgmm.fit_mixture(GAPPY, 2, covariance=covariance, weights=weights, restarts=2, seed=3)
    elbos = np.array(result.history["elbo"])
    assert (np.diff(elbos) > -1e-9 * abs(elbos[-1])).all()
    for restart in result.restarts:
        assert (np.diff(restart.elbos) > -1e-9 * abs(restart.elbo)).all()
    order = np.argsort(result.locs[:, 0])
    np.testing.assert_allclose(result.locs[order], [[-2.0, 0.0, 1.0], [2.0, 1.5, -1.0]], atol=0.45)


def test_what_is_missing_is_said() -> None:
    with pytest.warns(UserWarning, match=rf"{np.isnan(GAPPY).sum()} of 480 values are missing, in .* of 160 rows"):
        result = tfgmm.fit_mixture(GAPPY, 1, restarts=1)
    assert "values are missing" in result.summary() and "integrated out" in result.summary()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "missing" not in tfgmm.fit_mixture(ROWS, 1, restarts=1).summary()


def test_gaps_are_refused_on_request_and_infinite_values_always() -> None:
    with pytest.raises(ValueError, match="`data` must hold finite numbers"):
        tfgmm.fit_mixture(GAPPY, 2, missing="refuse")
    with pytest.raises(ValueError, match="`data` must hold finite numbers"):
        tfgmm.fit_mixture(np.where(np.isnan(GAPPY), np.inf, GAPPY), 2)
    with pytest.raises(ValueError, match="`missing` must be"):
        tfgmm.fit_mixture(GAPPY, 2, missing="drop")


def test_rows_without_any_value_are_left_out() -> None:
    with_empty = np.insert(GAPPY, [3, 50], np.nan, axis=0)
    with pytest.warns(UserWarning, match="2 rows without any value are left out"):
        result = tfgmm.fit_mixture(with_empty, 2, covariance="full", restarts=2)
    without = tfgmm.fit_mixture(GAPPY, 2, covariance="full", restarts=2)
    assert result.elbo == without.elbo and result.num_data == 160


@pytest.mark.parametrize("covariance", ["diag", "full", "tied_spherical"])
def test_gaps_in_weighted_rows_are_those_of_repeated_rows(covariance: str) -> None:
    weights = RNG.choice([1.0, 2.0, 4.0], len(GAPPY))
    repeated = np.repeat(GAPPY, weights.astype(int), axis=0)
    one = tfgmm.fit_mixture(GAPPY, [1, 2], covariance=covariance, sample_weight=weights, restarts=2)
    other = tfgmm.fit_mixture(repeated, [1, 2], covariance=covariance, restarts=2)
    for name in ("elbo", "held_out", "held_out_error", "bic", "icl"):
        np.testing.assert_allclose(one.table[name], other.table[name], rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_infinite_noise_is_a_gap_and_no_noise_is_none(covariance: str) -> None:
    arguments = {"covariance": covariance, "restarts": 2, "seed": 1}
    infinite = np.where(np.isnan(GAPPY), np.inf, 0.0)
    noisy = tfgmm.fit_mixture(ROWS, 2, noise=infinite, **arguments)
    gappy = tfgmm.fit_mixture(GAPPY, 2, **arguments)
    np.testing.assert_allclose(noisy.elbo, gappy.elbo, rtol=1e-10)
    np.testing.assert_allclose(noisy.locs, gappy.locs, rtol=1e-9)


@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
def test_noise_is_taken_off(covariance: str) -> None:
    generator = np.random.default_rng(8)
    clean = np.concatenate([generator.normal(-3.0, 0.5, (600, 2)), generator.normal(3.0, 0.8, (600, 2))])
    sds = generator.uniform(0.2, 1.5, clean.shape)
    rows = clean + sds * generator.standard_normal(clean.shape)
    fits = [
        tfgmm.fit_mixture(data, 2, covariance=covariance, noise=noise, restarts=2)
        for data, noise in ((clean, None), (rows, sds), (rows, None))
    ]
    of_clean, taken_off, ignored = (fit.mean_parameters().scales[0, 0] for fit in fits)
    assert np.abs(taken_off / of_clean - 1.0).max() < 0.12
    assert (ignored / of_clean - 1.0).min() > 0.2
    of_each = np.stack([np.diag(row**2) for row in sds])
    by_matrix = tfgmm.fit_mixture(rows, 2, covariance=covariance, noise=of_each, restarts=2)
    np.testing.assert_allclose(by_matrix.elbo, fits[1].elbo, rtol=1e-10)
    assert "measurement noise" in fits[1].summary()


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_all_three_together_with_criteria_at_the_mode(covariance: str) -> None:
    weights, noise = RNG.choice([1.0, 2.0], len(GAPPY)), RNG.uniform(0.1, 0.5, GAPPY.shape)
    arguments = {"sample_weight": weights, "noise": noise, "restarts": 2}
    selection = tfgmm.fit_mixture(GAPPY, [1, 2], covariance=covariance, criteria_at="mode", **arguments)
    assert selection.num_components == 2 and selection.best.num_data == weights.sum()
    at_mean = tfgmm.fit_mixture(GAPPY, 2, covariance=covariance, **arguments)
    assert selection.best.log_likelihood > at_mean.log_likelihood - 1e-6
    occupied = at_mean.occupied_posterior(GAPPY, 10, sample_weight=weights, noise=noise)
    assert occupied[2] == 1.0
    drawn = at_mean.draws(4, seed=0, data=GAPPY, sample_weight=weights, noise=noise)
    log_likelihoods = drawn.sample_stats["log_importance_ratio"][0]
    log_likelihoods = log_likelihoods + at_mean.variational.log_ratios(at_mean.variational.draw(4, 0))
    expected = [weights @ _log_densities(drawn, number, GAPPY, noise) for number in range(4)]
    np.testing.assert_allclose(log_likelihoods, expected, rtol=1e-6, atol=1e-5)
    with pytest.raises(ValueError, match="fingerprint"):  # as many rows, of other weights
        at_mean.draws(4, seed=0, data=GAPPY, sample_weight=weights[::-1], noise=noise)


def _log_densities(draws: tfgmm.Draws, number: int, rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Computes the log density of rows with gaps and noise under one draw, row by row, by scipy."""
    covariances = [np.diag(sds**2) for sds in draws.scales[0, number]]
    if draws.covariances is not None:
        covariances = draws.covariances[0, number]
    found = []
    for row, sds in zip(rows, noise):
        seen = np.flatnonzero(~np.isnan(row))
        joints = [
            np.log(weight)
            + stats.multivariate_normal.logpdf(
                row[seen], loc[seen], covariance[np.ix_(seen, seen)] + np.diag(sds[seen] ** 2)
            )
            for weight, loc, covariance in zip(draws.weights[0, number], draws.locs[0, number], covariances)
        ]
        found.append(special.logsumexp(joints))
    return np.array(found)


def test_labels_start_rows_with_gaps() -> None:
    labels = (ROWS[:, 0] > 0).astype(int)
    for covariance in ("diag", "full"):
        result = tfgmm.fit_mixture(GAPPY, 2, covariance=covariance, start=labels)
        assert result.converged and len(result.restarts) == 1
        groups = [np.nanmean(GAPPY[labels == group], axis=0) for group in (0, 1)]
        np.testing.assert_allclose(result.locs, groups, atol=0.25)
        turned = tfgmm.fit_mixture(GAPPY, 2, covariance=covariance, start=1 - labels)
        np.testing.assert_allclose(turned.locs, groups[::-1], atol=0.25)
    with pytest.raises(ValueError, match="`start` must be a name or locations where rows are left out"):
        tfgmm.fit_mixture(GAPPY, 2, start=labels, sample_weight=np.where(np.arange(len(labels)) < 2, 0.0, 1.0))


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_validation_rows_may_have_gaps_in_other_columns(covariance: str) -> None:
    validation = ROWS[:40].copy()
    validation[::3, 1] = np.nan
    some = ROWS.copy()
    some[::4, 0] = np.nan
    result = tfgmm.fit_mixture(some, 2, covariance=covariance, validation_data=validation, restarts=2)
    q = result.variational
    centred = RowBlock((validation - q.centre).astype(np.float32))
    expected = len(ROWS) / len(validation) * plain_sums(q, centred).log_likelihood - q.kl()
    np.testing.assert_allclose(result.history["val_elbo"][-1], expected, rtol=1e-9)
