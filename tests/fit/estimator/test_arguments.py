"""What the estimator refuses and warns of: in scikit-learn's words where it checks, else in three parts of ours."""

from __future__ import annotations

import inspect
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import exceptions, mixture

import tfgmm
import tfgmm.sklearn

GENERATOR = np.random.default_rng(11)
ROWS = GENERATOR.normal(np.repeat([[-2.0, 0.0], [2.0, 1.0]], 30, axis=0))
ONES = np.ones(60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "`n_components` must be a whole number of at least 1. Received: 0. "),
        ({"n_components": 2.0}, "`n_components` must be a whole number of at least 1. Received: 2.0. Pass an int."),
        ({"n_components": "two"}, "`n_components` must be a whole number, several, or \"auto\". Received: 'two'. Try"),
        ({"n_components": []}, "`n_components` must name at least one number. Received: none. Try range(1, 11)."),
        ({"n_components": [1, -1]}, "`n_components` must be a whole number of at least 1. Received: -1. "),
        (
            {"n_components": 61},
            "`n_components` must be at most the number of rows. Received: n_components=61 for 60 rows.",
        ),
        ({"covariance_type": "round"}, "`covariance_type` must be one of 'spherical', .*. Received: 'round'. Choose"),
        ({"covariance_type": []}, '`covariance_type` must name at least one shape. Received: none. Try "auto".'),
        ({"tol": -1.0}, "`tol` must be positive and finite. Received: -1.0. Leave it out"),
        ({"tol": False}, "`tol` must be positive and finite. Received: False. Leave it out"),
        ({"forgetting_factor": 0}, "`forgetting_factor` must be above 0 and at most 1. Received: 0. Leave it out to"),
        ({"max_iter": 0}, "`max_iter` must be a whole number of at least 1. Received: 0. "),
        ({"n_init": 0}, "`n_init` must be a whole number of at least 1. Received: 0. "),
        (
            {"init_params": "random"},
            "`init_params` must be one of .*. Received: 'random', .*. Try init_params=\"random_from",
        ),
        ({"init_params": "best"}, "`init_params` must be one of 'auto', .*. Received: 'best'. Choose one of them."),
        ({"means_init": [[0.0, 1.0]]}, "`means_init` must have the shape (2, 2): .*. Received: shape (1, 2). Give one"),
        (
            {"means_init": [[0.0, np.nan]] * 2},
            "`means_init` must be finite numbers (K, D). Received: NaN .*. Give",
        ),
        (
            {"means_init": "here"},
            "`means_init` must be finite numbers (K, D). Received: an array of dtype <U4.",
        ),
        (
            {"means_init": ROWS[:2], "n_components": [1, 2]},
            "`means_init` must suit all numbers of components .*. Received: an array with n_components=[1, 2], .*. Try",
        ),
        (
            {"init_params": "kmeans", "n_components": "auto"},
            "`init_params` must suit all numbers .*. Received: 'kmeans' with n_components='auto', .*. Try",
        ),
        (
            {"means_init": ROWS[:2], "covariance_type": "auto"},
            "`means_init` must suit all .* shapes that are compared. ",
        ),
        (
            {"weight_concentration_prior_type": "dirichlet"},
            "`weight_concentration_prior_type` must be one of 'd",
        ),
        (
            {"weight_concentration_prior": 0},
            "`weight_concentration_prior` must be a positive number. Received: 0. ",
        ),
        (
            {"weight_concentration_prior": True},
            "`weight_concentration_prior` must be a positive number. Received: True",
        ),
        ({"priors": 3}, "`priors` must be a tfgmm.Priors. Received: int. Use"),
        (
            {"random_state": -1},
            "`random_state` must be a whole number from 0 to 2**63 - 1. Received: -1.",
        ),
        ({"random_state": "a"}, "'a' cannot be used to seed"),
        ({"verbose": -1}, "`verbose` must be a whole number of at least 0. Received: -1. "),
        ({"missing": "drop"}, "`missing` must be one of 'refuse', 'integrate'. Received: 'drop'. Choose"),
        ({"posterior": "exact"}, "`posterior` must be one of .*. Received: 'exact'. Choose"),
        ({"criteria_at": "top"}, "`criteria_at` must be one of 'mean', 'mode'. Received: 'top'. Choose"),
        ({"moves": "yes"}, "`moves` must be True, False or \"auto\". Received: 'yes'. Leave it out"),
        (
            {"warm_start": True, "n_components": [1, 2]},
            "`warm_start` must be False where several .*. Received: True with n_components=[1, 2], .*. Leave it out",
        ),
    ],
)
def test_arguments_are_refused_by_their_names(options, message):
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises((ValueError, TypeError), match=pattern):
        tfgmm.BayesianGaussianMixture(**{"n_components": 2} | options).fit(ROWS)


@pytest.mark.parametrize(
    ("rows", "beside", "message"),
    [
        (ROWS[0], {}, "Expected 2D array, got 1D array"),
        (ROWS[:1], {}, "Found array with 1 sample(s) (shape=(1, 2)) while a minimum of 2 is required"),
        (ROWS[:, :0], {}, "Found array with 0 feature(s)"),
        (np.where(ROWS > 2.0, np.inf, ROWS), {}, "Input X contains infinity"),
        (scipy.sparse.csr_array(ROWS), {}, "Sparse data was passed for X"),
        (ROWS + 1j, {}, "Complex data not supported"),
        (ROWS * 1e300, {}, "`X` must hold numbers within 3.4e38 .*. Received: .*. Use another unit"),
        (
            ROWS,
            {"sample_weight": ONES[:9]},
            "`sample_weight` must have the shape (60,), .*. Received: shape (9,).",
        ),
        (
            ROWS,
            {"sample_weight": 0.0 * ONES},
            "`sample_weight` must have a number above 0: .*. Received: zeros",
        ),
        (ROWS, {"sample_weight": -ONES}, "`sample_weight` must be weights of 0 or more, .*. Received: -1 in row 0"),
        (ROWS, {"sample_weight": np.nan * ONES}, "Input sample_weight contains NaN"),
        (ROWS, {"noise": {"a": "b"}}, "`noise` must be an array with a line for each row of X. Received: dict. Pass"),
        (
            ROWS,
            {"noise": ONES[:, None]},
            "`noise` must be standard deviations of shape (60, 2) .*. Received: shape (60",
        ),
        (ROWS, {"noise": ROWS[:9]}, "inconsistent numbers of samples: [60, 9]"),
        (ROWS, {"noise": -np.abs(ROWS)}, "`noise` must be standard deviations of 0 or more .*. Received: -"),
    ],
)
def test_rows_and_what_they_carry_are_refused(rows, beside, message):
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises((ValueError, TypeError), match=pattern):
        tfgmm.BayesianGaussianMixture(2, n_init=1).fit(rows, **beside)


def test_gaps_are_refused_where_they_are_to_be():
    strict = tfgmm.BayesianGaussianMixture(2, n_init=1, missing="refuse").fit(ROWS)
    for method in (strict.fit, strict.predict, strict.score):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            method(np.where(ROWS > 2.0, np.nan, ROWS))
    with pytest.raises(ValueError, match='`init_params` must not be "kmeans" for rows .*. Received: NaN. Try'):
        tfgmm.BayesianGaussianMixture(2, init_params="kmeans").fit(np.where(ROWS > 2.0, np.nan, ROWS))
    with pytest.raises(ValueError, match='`init_params` must not be "kmeans" .*. Received: 30 rows of weight 0. Try'):
        tfgmm.BayesianGaussianMixture(2, init_params="kmeans").fit(ROWS, sample_weight=np.repeat([0, 1], 30))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["reg_covar"], "Received: 'reg_covar'. Leave it out: the prior of the precisions keeps scales above 0, "),
        (
            ["weights_init", "precisions_init"],
            "Received: .*. Leave them out: means_init= starts from means, and .*row.",
        ),
        (["mean_prior", "mean_precision_prior"], "Leave them out: places of .* priors=tfgmm.Priors(loc_mean=, loc_"),
        (["covariance_prior", "degrees_of_freedom_prior"], "widths are learned, or stated by priors=tfgmm.Priors(deg"),
        (["verbose_interval", "n_clusters"], "out: verbose=1 shows a progress bar; help(tfgmm.BayesianGaussianMixtu"),
    ],
)
@pytest.mark.parametrize("kind", ["BayesianGaussianMixture", "GaussianMixture"])
def test_arguments_that_it_lacks_are_refused_with_what_to_do_instead(kind, others, message):
    pattern = f"`{kind}` must be made with arguments that it has. .*{message}"
    with pytest.raises(TypeError, match=re.escape(pattern).replace(r"\.\*", ".*")):
        getattr(tfgmm.sklearn, kind)(2, **dict.fromkeys(others))


def test_all_arguments_of_scikit_learns_mixtures_are_known_or_explained():
    known = {*inspect.signature(tfgmm.BayesianGaussianMixture).parameters}
    for theirs in (mixture.GaussianMixture, mixture.BayesianGaussianMixture):
        for name in theirs().get_params().keys() - known:
            with pytest.raises(TypeError, match=f"'{name}'. Leave it out: (?!help)"):
                tfgmm.BayesianGaussianMixture(**{name: None})


def test_rows_to_score_are_checked_as_rows_to_fit():
    frame = pd.DataFrame(ROWS, columns=["first", "second"])
    fitted = tfgmm.BayesianGaussianMixture(2, n_init=1).fit(frame)
    for method in (fitted.predict, fitted.predict_proba, fitted.transform, fitted.score, fitted.outlier, fitted.aic):
        with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
            method(frame[["second", "first"]])
        with pytest.raises(ValueError, match="`X` must hold numbers within 3.4e38"):
            method(frame * 1e300)
    nameless = tfgmm.BayesianGaussianMixture(2, n_init=1).fit(ROWS)
    for method in (nameless.predict, nameless.score_samples):
        with pytest.raises(ValueError, match="X has 1 features, but BayesianGaussianMixture is expecting 2 features"):
            method(ROWS[:, :1])
    with pytest.raises(ValueError, match=r"`sample_weight` must have the shape \(60,\)"):
        fitted.score(frame, sample_weight=[1.0])
    with pytest.raises(ValueError, match="`n_samples` must be a whole number of at least 1. Received: 0"):
        fitted.sample(0)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "score", "score_samples", "outlier"])
def test_questions_before_a_fit(method):
    with pytest.raises(exceptions.NotFittedError):
        getattr(tfgmm.BayesianGaussianMixture(), method)(ROWS)
    for other in ("sample", "intervals"):
        with pytest.raises(exceptions.NotFittedError):
            getattr(tfgmm.BayesianGaussianMixture(), other)()


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_warnings_are_of_both_kinds_in_our_words_and_at_the_callers_line(method):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(tfgmm.BayesianGaussianMixture(3, max_iter=2, n_init=2), method)(ROWS)
    [warning] = caught
    assert issubclass(warning.category, exceptions.ConvergenceWarning)
    assert issubclass(warning.category, tfgmm.ConvergenceWarning) and warning.filename == __file__
    assert re.fullmatch(r"the bound was still rising .* after 2 sweeps. Raise max_iter, or tol.", str(warning.message))


def test_odd_rows_are_warned_of_in_words_that_name_no_argument_of_fit_mixture():
    with pytest.warns(UserWarning) as caught:
        tfgmm.BayesianGaussianMixture(4, n_init=1).fit(np.repeat(ROWS[:3] @ np.ones((2, 9)), 2, axis=0))
    said = " ".join(str(warning.message) for warning in caught)
    assert {warning.category for warning in caught} == {tfgmm.OddDataWarning}
    assert "3 distinct rows for 4 components" in said and 'The shape "diag" needs fewer rows' in said
    assert not re.search("num_components|covariance=|restarts|max_sweeps", said)
    assert {warning.filename for warning in caught} == {__file__}


def test_a_progress_bar_is_shown_when_asked_for(capsys):
    tfgmm.BayesianGaussianMixture(2, n_init=1).fit(ROWS)
    assert capsys.readouterr().out == ""
    tfgmm.BayesianGaussianMixture(2, n_init=1, verbose=True).fit(ROWS)
    assert "fitting BayesianGaussianMixture" in capsys.readouterr().out
