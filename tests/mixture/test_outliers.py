"""Outlier scores are tail probabilities: exact for one Gaussian, uniform for rows of the mixture, safe to load."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exports import FRAME, NAMES, ROWS, D, card_of, refused, write_card, write_parameters
from scipy import stats

import tfgmm
from tfgmm.mixture import outliers

NUM_SAMPLES = 100_000  # behind a table, as documented
# A Kolmogorov-Smirnov distance beyond 1.95 / sqrt(n) comes once in a thousand times
RARE = 1.95


DRAWN = ("drawn_log_weights", "drawn_locs", "drawn_precisions")


def mahalanobis_squares(folder: pathlib.Path, rows: np.ndarray) -> np.ndarray:
    """Returns the squared distances (N,) of rows from the one component of an export, from its numbers alone."""
    with np.load(folder / "parameters.npz", allow_pickle=False) as numbers:
        differences = rows - numbers["centre"] - numbers["locs"][0]
        if "precisions" in numbers:
            return (np.square(differences) * numbers["precisions"][0]).sum(axis=1)
        return np.square(differences @ numbers["whiteners"][0].T).sum(axis=1)


# --- What the numbers are


@pytest.mark.parametrize("covariance", ["diag", "full", "tied_spherical"])
@pytest.mark.parametrize("num_features", [1, 7, pytest.param(2, marks=pytest.mark.slow)])
def test_one_gaussian_has_the_tail_probability_of_chi_square(
    tmp_path: pathlib.Path, covariance: str, num_features: int
) -> None:
    rng = np.random.default_rng(num_features)
    training = rng.normal(3.0, 2.0, (200, num_features)) @ rng.normal(size=(num_features, num_features))
    priors = tfgmm.Priors.from_data(training, covariance)
    model = tfgmm.GaussianMixtureModel(1, num_features, covariance=covariance, priors=priors, seed=1)
    model.compile()
    model.fit(training, verbose=0)
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    scorer = tfgmm.load_scorer(folder)
    centre, rows = model.locs.numpy()[0], scorer.sample(3000, seed=5)
    rows = centre + (rows - centre) * rng.uniform(0.02, 1.6, (3000, 1))  # near the peak and far out too
    exact = stats.chi2.sf(mahalanobis_squares(folder, rows), num_features)
    assert exact.min() < 1e-3 and exact.max() > 0.9
    # five standard errors of a share of 100,000 samples; and what a straight line between two levels may be off
    allowed = 5.0 * np.sqrt(exact * (1.0 - exact) / NUM_SAMPLES) + 0.003 * exact + 2e-5
    assert (np.abs(scorer.outlier(rows) - exact) < allowed).all()


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_scores_of_rows_of_the_mixture_are_uniform(tmp_path: pathlib.Path, covariance: str) -> None:
    model = tfgmm.GaussianMixtureModel(4, 3, covariance=covariance, weights="stick_breaking", seed=2)
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    scorer = tfgmm.load_scorer(folder)
    rows = scorer.sample(50_000, seed=11).astype(np.float32)
    found = scorer.outlier(rows)
    served = tf.saved_model.load(str(folder)).signatures["outlier"](x=tf.constant(rows))["outlier"]
    np.testing.assert_allclose(served, found, atol=1e-6, rtol=0)
    distance = stats.kstest(found, "uniform").statistic
    assert distance < RARE / math.sqrt(50_000) + RARE / math.sqrt(NUM_SAMPLES)
    assert np.mean(found < 0.01) == pytest.approx(0.01, abs=5 * math.sqrt(0.01 / 50_000 + 0.01 / NUM_SAMPLES))


def test_score_rises_with_the_density_from_0_to_1(whole: pathlib.Path) -> None:
    scorer = tfgmm.load_scorer(whole)
    rows = ROWS.mean(axis=0) + np.linspace(-60.0, 60.0, 4001)[:, None] * np.array([0.3, -0.1, 0.2])
    order = np.argsort(scorer.log_prob(rows), kind="stable")
    found = scorer.outlier(rows)[order]
    assert (np.diff(found) >= 0.0).all() and found[0] == 0.0 and found.max() <= 1.0
    assert np.unique(found).size > 100


def test_far_rows_score_0_and_rows_that_are_not_finite_nan(whole: pathlib.Path) -> None:
    rows = np.array([[1e6, 0.0, 0.0], [np.nan, 0.0, 0.0], [0.0, np.inf, 0.0], [1e30, 1e30, -1e30]])
    scores = tfgmm.load_scorer(whole).outlier(rows)
    np.testing.assert_array_equal(scores[[0, 2, 3]], [0.0, np.nan, 0.0])
    assert 0.0 < scores[1] < 1.0, "a row with a gap is compared in the columns that it has"


@pytest.mark.slow
def test_scores_do_not_depend_on_units(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2)) * [1.0, 3.0]
    scores = []
    for name, unit in (("metres", 1.0), ("micrometres", 1e6)):
        fit = tfgmm.fit_mixture(rows * unit, 2, restarts=2, seed=0)
        scorer = tfgmm.load_scorer(tfgmm.export_model(fit.model, tmp_path / name))
        scores.append(scorer.outlier(rows * unit))
    np.testing.assert_allclose(*scores, atol=0.01)


def test_rows_at_an_offset_of_1e8_have_scores(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(1).normal(1e8, 1.0, (300, 2))
    model = tfgmm.fit_mixture(rows, 1, restarts=1).model
    scorer = tfgmm.load_scorer(tfgmm.export_model(model, tmp_path / "far"))
    assert stats.kstest(scorer.outlier(rows), "uniform").statistic < RARE / math.sqrt(300)


# --- The same from every side


def test_model_scorer_and_saved_model_agree(exported: Any) -> None:
    scorer = tfgmm.load_scorer(exported.folder)
    rows = np.concatenate([scorer.sample(5000, seed=3), ROWS * 9.0, [[np.inf, 0, 0], [0, 0, 1e9]]]).astype(np.float32)
    found = scorer.outlier(rows)
    assert found.dtype == np.float32 and found.shape == (len(rows),)
    served = tf.saved_model.load(str(exported.folder)).signatures["outlier"](x=tf.constant(rows))["outlier"]
    np.testing.assert_allclose(served, found, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(exported.model.outlier(rows), found)


def test_frames_and_no_rows_are_scored_too(whole: pathlib.Path) -> None:
    scorer = tfgmm.load_scorer(whole)
    np.testing.assert_array_equal(scorer.outlier(FRAME[["depth", "width", "height"]]), scorer.outlier(ROWS))
    none = scorer.outlier(np.zeros((0, D)))
    assert none.shape == (0,) and none.dtype == np.float32


def test_graph_and_numpy_read_a_table_alike_ties_and_all() -> None:
    from tfgmm.scoring.graph import scores as graph_scores

    table = np.array([[0.0, 0.25, 0.5, 0.75, 1.0], [-3.0, -1.0, -1.0, 0.0, 0.0]])
    values = np.array([-np.inf, -9.0, -3.0, -2.0, -1.0, -0.5, 0.0, 1.0, np.inf, np.nan])
    expected = [0.0, 0.0, 0.0, 0.125, 0.25, 0.625, 0.75, 1.0, 1.0, np.nan]
    np.testing.assert_array_equal(outliers.tail_probabilities(table, values), expected)
    np.testing.assert_array_equal(graph_scores.tail_probabilities(table, tf.constant(values)), expected)


@pytest.mark.parametrize("kind", ["model", "fit", "scorer"])
def test_nobody_can_write_to_the_table_that_is_kept(whole: pathlib.Path, model: Any, kind: str) -> None:
    fit = tfgmm.fit_mixture(ROWS, 2, restarts=1, seed=0)
    asked = {"model": model, "fit": fit, "scorer": tfgmm.load_scorer(whole)}[kind]
    before = asked.outlier(ROWS)
    with pytest.raises(ValueError, match="read-only"):
        asked.outlier_table()[:] = 0.0
    np.testing.assert_array_equal(asked.outlier(ROWS), before)
    assert before.any()


# --- The table in a folder


def table_in(folder: pathlib.Path) -> np.ndarray:
    with np.load(folder / "parameters.npz", allow_pickle=False) as numbers:
        return numbers["outlier_table"]


def test_table_is_declared_and_resolves_the_lower_tail(whole: pathlib.Path) -> None:
    levels, quantiles = table_in(whole)
    assert card_of(whole)["parameters"]["outlier_table"] == {"shape": [2, len(levels)], "dtype": "float64"}
    assert levels[0] == 0.0 and levels[1] == pytest.approx(1e-4) and levels[-1] == 1.0
    assert (np.diff(levels) > 0).all() and (np.diff(quantiles) > 0).all() and len(levels) < 200
    assert (levels[2:81] / levels[1:80] < 1.13).all()


def changed(table: np.ndarray, line: int, column: int, value: float) -> np.ndarray:
    found = table.copy()
    found[line, column] = value
    return found


BAD = {
    "NaN quantile": lambda table: changed(table, 1, 5, np.nan),
    "infinite quantile": lambda table: changed(table, 1, -1, np.inf),
    "quantiles that fall": lambda table: table[:, ::-1] * [[0.0], [1.0]] + table * [[1.0], [0.0]],
    "levels that fall": lambda table: changed(table, 0, 5, 0.9),
    "levels twice": lambda table: changed(table, 0, 5, table[0, 4]),
    "levels from elsewhere": lambda table: changed(table, 0, 0, -0.1),
    "levels beyond 1": lambda table: changed(table, 0, -1, 1.5),
    "another length": lambda table: table[:, :-1],
    "turned": lambda table: np.ascontiguousarray(table.T),
    "float32": lambda table: table.astype(np.float32),
    "missing": lambda table: None,
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_bad_table_is_refused(folder: pathlib.Path, change: Any) -> None:
    write_parameters(folder, outlier_table=change(table_in(folder)))
    refused(folder, "parameters.npz")


@pytest.mark.parametrize(
    "declared",
    [
        None,
        [],
        {"shape": [2, 1], "dtype": "float64"},
        {"shape": [2, 10**9], "dtype": "float64"},
        {"shape": [3, 109], "dtype": "float64"},
        {"shape": [2, True], "dtype": "float64"},
        {"shape": [2, 109, 1], "dtype": "float64"},
        {"shape": [2, 109], "dtype": "object"},
        {"shape": "2, 105"},
    ],
)
def test_bad_declaration_of_the_table_is_refused(folder: pathlib.Path, declared: Any) -> None:
    card = card_of(folder)
    card["parameters"]["outlier_table"] = declared
    write_card(folder, card)
    refused(folder, "model_card.json")


def test_older_folder_loads_and_outlier_says_that_it_has_no_table(folder: pathlib.Path, model: Any) -> None:
    make_older(folder, 1, "outlier_table", *DRAWN)
    scorer = tfgmm.load_scorer(folder)
    np.testing.assert_array_equal(scorer.log_prob(ROWS), model.log_prob(ROWS))
    assert scorer.column_names == NAMES
    with pytest.raises(ValueError, match=r"`outlier` must .* Received: one without, .* Export the model again: tfgmm"):
        scorer.outlier(ROWS)


def test_older_folder_without_draws_loads_and_says_what_needs_them(folder: pathlib.Path, model: Any) -> None:
    make_older(folder, 2, *DRAWN)
    scorer = tfgmm.load_scorer(folder)
    np.testing.assert_array_equal(scorer.outlier(ROWS), model.outlier(ROWS))
    np.testing.assert_array_equal(scorer.marginal_log_prob(ROWS, [1]), model.marginal_log_prob(ROWS, [1]))
    for question in (scorer.interval, lambda rows: scorer.log_prob(rows, "predictive")):
        with pytest.raises(ValueError, match=r"draws from the posterior. Received: one without, .* Export the model"):
            question(ROWS)


def make_older(folder: pathlib.Path, version: int, *without: str) -> None:
    """Turns an export into one of an earlier format, which lacked some arrays."""
    card = card_of(folder) | {"format_version": version}
    for name in without:
        del card["parameters"][name]
    write_card(folder, card)
    write_parameters(folder, **dict.fromkeys(without))


@pytest.mark.parametrize("declared", [None, {}, {"shape": [1, 2]}, {"shape": [5000, 2]}, {"shape": [64]}, "all"])
def test_bad_declaration_of_the_draws_is_refused(folder: pathlib.Path, declared: Any) -> None:
    card = card_of(folder)
    card["parameters"]["drawn_log_weights"] = declared
    write_card(folder, card)
    assert "drawn_log_weights" in refused(folder, "model_card.json")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_draws_that_are_no_mixture_are_refused(folder: pathlib.Path, value: float) -> None:
    with np.load(folder / "parameters.npz") as numbers:
        ratios = numbers["drawn_precisions"].copy()
    ratios[3, 1, 2] = value
    write_parameters(folder, drawn_precisions=ratios)
    assert "drawn_precisions" in refused(folder, "parameters.npz")
