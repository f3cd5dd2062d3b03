"""Rows that are asked about are those of the fit, or a warning says how they differ."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

import tfgmm
from tfgmm.posterior.fitted_rows import FittedRows

ROWS = np.random.default_rng(0).normal([[-2.0, 10.0]] * 16 + [[2.0, 30.0]] * 14)
NOISE = np.random.default_rng(1).gamma(2.0, 0.1, ROWS.shape)
COUNTS = np.random.default_rng(2).integers(0, 3, len(ROWS))


@pytest.fixture(scope="module")
def result():
    return tfgmm.fit_mixture(ROWS, 2, restarts=1)


def draws_of(rows, **carried):
    return tfgmm.fit_mixture(rows, 2, restarts=1, **carried).draws(10, seed=0)


def asked(draws, rows, **options):
    """Returns the likelihoods, having made sure that nothing is said: warnings are errors here."""
    return draws.to_arviz(rows, predictive=0, **options).log_likelihood["rows"]


# --- The rows of the fit, in whatever way they come


@pytest.mark.parametrize("posterior", ["mean_field", "importance"])
def test_rows_of_the_fit_are_known_by_draws_of_every_kind(result, posterior):
    draws = result.draws(10, seed=0, data=ROWS, posterior=posterior)
    assert draws.fitted_rows == FittedRows(30, result.data_summary.fingerprint)
    asked(draws, ROWS)


def test_rows_of_the_fit_are_known_in_another_order_type_and_file(tmp_path):
    names = ["b", "a"]
    draws = draws_of(pd.DataFrame(ROWS, columns=names))
    frame = pd.DataFrame(ROWS[::-1], columns=names)[["a", "b"]]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for rows in (ROWS, ROWS.tolist(), frame, tmp_path / "rows.csv"):
        asked(draws, rows)


@pytest.mark.filterwarnings("ignore:1 row without any value is left out", "ignore:1 of .* values is missing")
def test_one_column_with_gaps_and_rows_without_a_value():
    values = ROWS[:, 0].copy()
    values[3] = np.nan
    asked(draws_of(values[:, None], missing="integrate"), values)
    rows = ROWS.copy()
    rows[3], rows[5, 1] = np.nan, np.nan
    asked(draws_of(rows, missing="integrate"), rows)


@pytest.mark.parametrize("kind", ["deviations", "covariances", "columns"])
def test_rows_with_their_noise_are_those_of_the_fit(kind):
    rows, noise = ROWS, NOISE
    if kind == "covariances":
        noise = NOISE[:, :, None] ** 2 * np.eye(2)
    if kind == "columns":
        rows = pd.DataFrame(np.hstack([ROWS, NOISE]), columns=["a", "b", "error_a", "error_b"])
        noise = {"a": "error_a", "b": "error_b"}
    draws = draws_of(rows, noise=noise)
    assert draws.fitted_rows.has_noise
    asked(draws, rows, noise=noise)


def test_rows_of_whole_weights_are_those_of_the_fit_when_they_are_repeated():
    draws = draws_of(ROWS, sample_weight=COUNTS)
    assert draws.fitted_rows.has_weights
    asked(draws, np.repeat(ROWS, COUNTS, axis=0))


def test_parts_of_an_estimator_are_rows_of_one_fit():
    estimator = tfgmm.BayesianGaussianMixture(2, n_init=1)
    for part in (ROWS[::2], ROWS[1::2]):
        estimator.partial_fit(part)
    asked(estimator.result_.draws(10, seed=0), ROWS)


# --- Others


OTHERS = {
    "fewer": (ROWS[:20], {}, r"not those of the fit, 30 rows \(received: 20 rows\)"),
    "other values": (ROWS * 10, {}, r"not those of the fit, 30 rows \(received: as many with other values\)"),
    "rows with noise": (ROWS, {"noise": NOISE}, r"not those of the fit, 30 rows \(received: 30 rows with noise\)"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_rows_are_told_and_scored_all_the_same(result, name):
    rows, options, words = OTHERS[name]
    draws = result.draws(10, seed=0)
    with pytest.warns(UserWarning, match=words + ". `arviz.loo`.* log of their mean density") as caught:
        found = asked(draws, rows, **options)
    assert len(caught) == 1 and caught[0].filename == __file__
    unknown = dataclasses.replace(draws, fitted_rows=None)
    np.testing.assert_array_equal(found, asked(unknown, rows, **options))


def test_noise_of_the_fit_that_is_not_passed_is_told():
    draws = draws_of(ROWS, noise=NOISE)
    words = "`rows` come without measurement noise, and the fit had 30 rows with noise: .* Pass noise=, as the fit"
    with pytest.warns(UserWarning, match=words):
        asked(draws, ROWS)
    with pytest.warns(UserWarning, match=r"30 rows with noise \(received: as many with other values\)"):
        asked(draws, ROWS, noise=2 * NOISE)


@pytest.mark.filterwarnings("ignore:weights are not whole numbers")
def test_weights_of_the_fit_are_told():
    for weights in (COUNTS, COUNTS + 0.5):
        used = int((weights > 0).sum())
        words = rf"`rows` count once each, and the fit had {used} rows with weights \(received: 30 rows\). Repeat them"
        with pytest.warns(UserWarning, match=words):
            asked(draws_of(ROWS, sample_weight=weights), ROWS)


def test_weights_are_refused_with_what_to_do(result):
    draws = result.draws(10, seed=0)
    words = "`sample_weight` must be left out: .* Received: weights, ndarray. Repeat them .* np.repeat"
    for rows in (ROWS, None):
        with pytest.raises(TypeError, match=words):
            draws.to_arviz(rows, sample_weight=COUNTS)


# --- Whatever is done with draws


def test_draws_know_the_rows_after_all_that_is_done_with_them(result, tmp_path):
    draws = result.draws(10, seed=0)
    order = np.broadcast_to([1, 0], draws.weights.shape)
    aligned = tfgmm.align(draws)
    draws.to_arviz().to_netcdf(str(tmp_path / "draws.nc"))
    read = tfgmm.Draws.from_arviz(tmp_path / "draws.nc")
    for same in (draws.permuted(order), draws.thinned(2), aligned, aligned.permuted(order), read):
        assert same.fitted_rows == draws.fitted_rows
        with pytest.warns(UserWarning, match="not those of the fit"):
            asked(same, ROWS[:20])
        asked(same, ROWS)
    noisy = FittedRows(3, "00ff", has_noise=True, has_weights=True)
    data = dataclasses.replace(draws, fitted_rows=noisy).to_arviz()
    assert tfgmm.Draws.from_arviz(data).fitted_rows == noisy


@pytest.mark.parametrize("text", ["{", "[]", '{"num_rows": 3}', '{"num_rows": "3", "fingerprint": "a"}', 3])
def test_odd_text_in_arviz_is_named(result, text):
    data = result.draws(10, seed=0).to_arviz()
    data.posterior.attrs["fitted_rows"] = text
    with pytest.raises(ValueError, match=r"`data.posterior.attrs\['fitted_rows'\]` must be what Draws.to"):
        tfgmm.Draws.from_arviz(data)


# --- The fault that a user met


def test_leaving_out_what_was_measured_with_noise_needs_that_noise():
    noise = np.full_like(ROWS, 1.0)
    draws = tfgmm.fit_mixture(ROWS, 2, restarts=1, noise=noise).draws(200, seed=0, data=ROWS, noise=noise)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`rows` come without measurement noise")
        without = asked(draws, ROWS)
    assert float(asked(draws, ROWS, noise=noise).mean()) > float(without.mean()) + 0.1
