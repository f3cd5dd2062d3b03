"""Fits to weighted rows: whole weights are repeated rows, rows of weight 0 are no rows, in everything that is told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import special, stats

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.data.survey import survey_rows
from tfgmm.fit.cross_validation import folds_of
from tfgmm.fit.selection import means_and_errors
from tfgmm.mixture.registry import COVARIANCES

RNG = np.random.default_rng(5)
ROWS = np.concatenate([RNG.normal([-2.0, 0.0], [1.0, 0.6], (40, 2)), RNG.normal([2.0, 1.0], [0.7, 1.1], (35, 2))])
WEIGHTS = RNG.choice([1.0, 2.0, 3.0, 5.0], len(ROWS))
REPEATED = np.repeat(ROWS, WEIGHTS.astype(int), axis=0)
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def _close(one: tfgmm.FitResult, other: tfgmm.FitResult) -> None:
    assert one.num_data == other.num_data
    for name in ("elbo", "log_likelihood", "complete_log_likelihood", "bic", "icl", "aic"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), err_msg=name, **EXACT)
    parts, others = one.variational.public(), other.variational.public()
    for name, value in parts.items():
        np.testing.assert_allclose(value, others[name], err_msg=name, **EXACT)
    np.testing.assert_allclose([r.elbo for r in one.restarts], [r.elbo for r in other.restarts], **EXACT)
    assert one.data_summary.fingerprint == other.data_summary.fingerprint
    np.testing.assert_allclose(one.data_summary.mean, other.data_summary.mean, rtol=1e-12)
    np.testing.assert_allclose(one.data_summary.spread, other.data_summary.spread, rtol=1e-12)
    for name, values in one.history.items():
        np.testing.assert_allclose(values, other.history[name], err_msg=name, **EXACT)


@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_whole_weights_are_repeated_rows(covariance: str, weights: str) -> None:
    arguments = {"covariance": covariance, "weights": weights, "restarts": 3, "seed": 4}
    weighted = tfgmm.fit_mixture(ROWS, 3, sample_weight=WEIGHTS, **arguments)
    _close(weighted, tfgmm.fit_mixture(REPEATED, 3, **arguments))
    plain = tfgmm.fit_mixture(ROWS, 3, **arguments)
    assert abs(plain.elbo - weighted.elbo) > 1.0, "weights change the fit"


@pytest.mark.parametrize("start", ["k-means++", "random", [[-2.0, 0.0], [2.0, 1.0]]])
@pytest.mark.parametrize("criteria_at", ["mean", "mode"])
def test_whole_weights_are_repeated_rows_for_every_start_and_criterion(start: object, criteria_at: str) -> None:
    arguments = {"start": start, "criteria_at": criteria_at, "restarts": 2, "covariance": "full"}
    weighted = tfgmm.fit_mixture(ROWS, 2, sample_weight=WEIGHTS, **arguments)
    _close(weighted, tfgmm.fit_mixture(REPEATED, 2, **arguments))


def test_rows_of_weight_0_are_no_rows() -> None:
    weights = np.where(np.arange(len(ROWS)) % 4 == 0, 0.0, WEIGHTS)
    some = ROWS.copy()
    some[weights == 0] = 1e6  # nothing of them is looked at
    weighted = tfgmm.fit_mixture(some, 2, sample_weight=weights, seed=1)
    _close(weighted, tfgmm.fit_mixture(ROWS[weights > 0], 2, sample_weight=weights[weights > 0], seed=1))
    assert weighted.data_summary.num_weightless == int((weights == 0).sum())


def test_fixed_priors_and_labels_as_starts() -> None:
    priors = tfgmm.Priors(loc_scale=3.0)
    labels = (ROWS[:, 0] > 0).astype(int)
    arguments = {"priors": priors, "covariance": "tied"}
    weighted = tfgmm.fit_mixture(ROWS, 2, sample_weight=WEIGHTS, start=labels, **arguments)
    repeated = tfgmm.fit_mixture(REPEATED, 2, start=np.repeat(labels, WEIGHTS.astype(int)), **arguments)
    _close(weighted, repeated)


def test_choices_with_weights_are_those_of_repeated_rows() -> None:
    arguments = {"covariance": ["diag", "tied"], "restarts": 2, "seed": 2}
    weighted = tfgmm.fit_mixture(ROWS, [1, 2, 3], sample_weight=WEIGHTS, **arguments)
    repeated = tfgmm.fit_mixture(REPEATED, [1, 2, 3], **arguments)
    for name in weighted.table.dtype.names:
        if name != "covariance":
            np.testing.assert_allclose(weighted.table[name], repeated.table[name], rtol=1e-10, atol=1e-10, err_msg=name)
    assert weighted.num_held_out == repeated.num_held_out == len(REPEATED)
    assert str(weighted) == str(repeated)


def test_occupied_components_of_weighted_rows_are_those_of_repeated_ones() -> None:
    arguments = {"weights": "stick_breaking", "restarts": 2}
    weighted = tfgmm.fit_mixture(ROWS, 4, sample_weight=WEIGHTS, **arguments)
    repeated = tfgmm.fit_mixture(REPEATED, 4, **arguments)
    np.testing.assert_allclose(
        weighted.occupied_posterior(ROWS, 50, sample_weight=WEIGHTS), repeated.occupied_posterior(REPEATED, 50)
    )
    with pytest.raises(ValueError, match="`data` must be the rows that the model was fitted to"):
        weighted.occupied_posterior(ROWS, 50)


def test_importance_ratios_of_weighted_rows_are_those_of_repeated_ones() -> None:
    weighted = tfgmm.fit_mixture(ROWS, 2, sample_weight=WEIGHTS, restarts=2)
    repeated = tfgmm.fit_mixture(REPEATED, 2, restarts=2)
    one = weighted.draws(20, seed=0, data=ROWS, sample_weight=WEIGHTS).sample_stats["log_importance_ratio"]
    other = repeated.draws(20, seed=0, data=REPEATED).sample_stats["log_importance_ratio"]
    np.testing.assert_allclose(one, other, rtol=1e-10)


def test_weights_that_are_not_whole_scale_what_rows_tell() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # BIC of weights that are no counts
        half = tfgmm.fit_mixture(ROWS, 2, sample_weight=np.full(len(ROWS), 0.5), restarts=2)
    whole = tfgmm.fit_mixture(ROWS, 2, restarts=2)
    assert half.num_data == 0.5 * whole.num_data
    assert (half.scales > whole.scales).all(), "half as many rows tell less"
    np.testing.assert_allclose(half.log_likelihood, 0.5 * whole.log_likelihood, rtol=0.02)


def test_a_keras_model_keeps_a_sum_of_weights_that_is_not_whole() -> None:
    weights = np.linspace(0.5, 1.54, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # BIC of weights that are no counts
        result = tfgmm.fit_mixture(ROWS[:60], 2, sample_weight=weights, restarts=1)
    np.testing.assert_allclose([result.num_data, result.model.num_data], 61.2, rtol=1e-12)
    assert result.model.data_summary == result.data_summary
    given = {"data": ROWS[:60], "sample_weight": weights}
    of_model, of_result = (one.draws(3, seed=1, **given) for one in (result.model, result))
    ratios = of_model.sample_stats["log_importance_ratio"]
    np.testing.assert_allclose(ratios, of_result.sample_stats["log_importance_ratio"], rtol=1e-10)
    log_likelihoods = ratios[0] + result.variational.log_ratios(result.variational.draw(3, 1))
    expected = [weights @ _log_density(of_model, number, ROWS[:60]) for number in range(3)]
    np.testing.assert_allclose(log_likelihoods, expected, rtol=1e-6, atol=1e-5)
    with pytest.raises(ValueError, match="fingerprint"):  # as many rows, of other weights
        result.model.draws(3, seed=1, data=ROWS[:60], sample_weight=weights[::-1])


def _log_density(draws: tfgmm.Draws, number: int, rows: np.ndarray) -> np.ndarray:
    """Computes the log density of rows under one draw of independent columns, by scipy."""
    locs, scales = draws.locs[0, number], draws.scales[0, number]
    each = stats.norm.logpdf(rows[:, None], locs, scales).sum(axis=2)
    return special.logsumexp(each + np.log(draws.weights[0, number]), axis=1)


def test_folds_deal_copies_as_they_deal_rows() -> None:
    weighted = folds_of(survey_rows(Rows(ROWS, weights=WEIGHTS), None, 0), 7)
    repeated = folds_of(survey_rows(Rows(REPEATED), None, 0), 7)
    owners = np.repeat(np.arange(len(ROWS)), WEIGHTS.astype(int))
    for fold in range(5):
        rows, counts = weighted.entries(weighted.numbers == fold)
        expected = np.bincount(owners[repeated.numbers == fold], minlength=len(ROWS))
        np.testing.assert_array_equal(np.bincount(rows, counts, len(ROWS)), expected)


def test_means_and_errors_of_weighted_values() -> None:
    values, counts = RNG.normal(size=(2, 6)), np.array([1.0, 2.0, 1.0, 4.0, 1.0, 3.0])
    repeated = np.repeat(values, counts.astype(int), axis=1)
    means, errors = means_and_errors(values, counts)
    np.testing.assert_allclose(means, repeated.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(errors, repeated.std(axis=1, ddof=1) / np.sqrt(12), rtol=1e-12)


def test_validation_rows_have_weights_too() -> None:
    weighted = tfgmm.fit_mixture(ROWS, [1, 2], validation_data=(ROWS, None, WEIGHTS), restarts=2)
    repeated = tfgmm.fit_mixture(ROWS, [1, 2], validation_data=REPEATED, restarts=2)
    np.testing.assert_allclose(weighted.table["held_out"], repeated.table["held_out"], rtol=1e-10)
    np.testing.assert_allclose(weighted.table["held_out_error"], repeated.table["held_out_error"], rtol=1e-10)
