"""The estimator among scikit-learn's tools: its own checks, pipelines, searches, metadata, frames and files."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import polars
import pytest
import skops.io
from sklearn import config_context
from sklearn.base import clone
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import tfgmm
from tfgmm.sklearn import BayesianGaussianMixture, GaussianMixture

GENERATOR = np.random.default_rng(8)
ROWS = GENERATOR.normal(np.repeat([[-3.0, 0.0], [3.0, 1.0]], [50, 40], axis=0), [0.8, 1.2])[GENERATOR.permutation(90)]
FRAME = pd.DataFrame(ROWS * [1.0, 100.0], columns=["first", "second"])
NAMED = pd.DataFrame(ROWS, columns=["first", "second"])
CLASS = "tfgmm.fit.estimator.bayesian_gaussian_mixture.BayesianGaussianMixture"
KINDS = pytest.mark.parametrize("kind", [BayesianGaussianMixture, GaussianMixture])

# The rows of scikit-learn's checks are as odd as they can be, and said to be
odd_rows = pytest.mark.filterwarnings("ignore::UserWarning")


@odd_rows
@parametrize_with_checks([tfgmm.BayesianGaussianMixture()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@odd_rows
@parametrize_with_checks(
    [
        GaussianMixture(),
        tfgmm.BayesianGaussianMixture(2, covariance_type="diag", missing="refuse"),
        tfgmm.BayesianGaussianMixture(2, weight_concentration_prior_type="dirichlet_process"),
        tfgmm.BayesianGaussianMixture([1, 2], covariance_type=["tied_diag", "spherical"], n_init=2),
    ],
    expected_failed_checks=lambda estimator: (
        {}
        if estimator.missing == "refuse" or estimator.n_components == 1
        else {"check_sample_weight_equivalence_on_dense_data": "rows in another order start elsewhere"}
    ),
)
def test_scikit_learns_checks_of_other_arguments(estimator, check):
    check(estimator)


@KINDS
@pytest.mark.parametrize(("missing", "allow_nan"), [("integrate", True), ("refuse", False)])
def test_tags(kind, missing, allow_nan):
    tags = get_tags(kind(missing=missing))
    assert tags.estimator_type == "density_estimator" and tags.transformer_tags is not None
    assert tags.input_tags.allow_nan is allow_nan and not tags.target_tags.required and not tags.non_deterministic


@KINDS
def test_a_pipeline_scores_as_its_last_step_and_names_it_after_the_class(kind):
    pipeline = make_pipeline(StandardScaler(), kind(n_init=1)).set_params(
        **{f"{kind.__name__.lower()}__n_components": 2}
    )
    scaled = StandardScaler().fit_transform(FRAME)
    last = tfgmm.BayesianGaussianMixture(2, n_init=1).fit(scaled)
    assert pipeline.fit(FRAME).score(FRAME) == pytest.approx(last.score(scaled), rel=1e-12)
    np.testing.assert_array_equal(pipeline.predict_proba(FRAME), last.predict_proba(scaled))
    np.testing.assert_array_equal(pipeline.fit_predict(FRAME), last.predict(scaled))
    names = [f"{kind.__name__.lower()}{number}" for number in range(2)]
    assert pipeline.get_feature_names_out().tolist() == names
    pipeline[-1].set_output(transform="pandas")
    frame = pipeline.transform(FRAME)
    assert list(frame) == names and frame.index.equals(FRAME.index)
    np.testing.assert_array_equal(frame, pipeline.predict_proba(FRAME))
    np.testing.assert_array_equal(last.set_output(transform="polars").transform(scaled).to_numpy(), frame)


def test_searches_find_what_a_loop_over_folds_finds():
    grid = [{"n_components": [1]}, {"n_components": [2], "covariance_type": ["tied_spherical"]}]
    folds = KFold(2)
    search = GridSearchCV(tfgmm.BayesianGaussianMixture(n_init=1), grid, cv=folds).fit(ROWS)
    for place, options in enumerate(search.cv_results_["params"]):
        shape = options.get("covariance_type", "full")
        scores = [
            tfgmm.fit_mixture(ROWS[kept], options["n_components"], covariance=shape, restarts=1)
            .log_prob(ROWS[held])
            .mean()
            for kept, held in folds.split(ROWS)
        ]
        assert search.cv_results_["mean_test_score"][place] == pytest.approx(np.mean(scores), rel=1e-5)
    assert search.best_params_["n_components"] == 2
    assert search.cv_results_["mean_test_score"][1] > search.cv_results_["mean_test_score"][0]


def test_weights_and_noise_are_routed():
    weights, noise = GENERATOR.integers(1, 4, 90), GENERATOR.uniform(0.1, 0.5, (90, 2))
    with config_context(enable_metadata_routing=True):
        asks = {"sample_weight": True, "noise": True}
        estimator = tfgmm.BayesianGaussianMixture(n_init=1).set_fit_request(**asks).set_score_request(**asks)
        search = GridSearchCV(Pipeline([("mixture", estimator)]), {"mixture__n_components": [2]}, cv=KFold(2))
        search.fit(ROWS, sample_weight=weights, noise=noise)
    expected = []
    for kept, held in KFold(2).split(ROWS):
        fit = tfgmm.fit_mixture(
            ROWS[kept], 2, covariance="full", restarts=1, sample_weight=weights[kept], noise=noise[kept]
        )
        expected.append(np.average(fit.log_prob(ROWS[held], noise=noise[held]), weights=weights[held]))
    assert search.best_score_ == pytest.approx(np.mean(expected), rel=1e-5)
    assert search.best_estimator_[-1].result_.num_data == weights.sum()


def test_importance_of_columns_is_how_much_density_they_carry():
    rows = np.column_stack([ROWS, GENERATOR.normal(size=90)])  # a column that has nothing to do with the others
    fitted = tfgmm.BayesianGaussianMixture(2, covariance_type="tied", n_init=1).fit(rows)
    importance = permutation_importance(fitted, rows, None, n_repeats=5, random_state=0).importances_mean
    assert importance[0] > 0.05 > abs(importance[2])


@KINDS
def test_clones_are_unfitted_with_the_same_arguments(kind):
    options = {"n_components": range(1, 3), "priors": tfgmm.Priors(), "covariance_type": ["full", "diag"], "tol": 1e-4}
    copy = clone(kind(**options))
    assert type(copy) is kind
    assert {name: copy.get_params()[name] for name in options} == options
    fitted = kind(2, tol=1e-4, n_init=1).fit(ROWS)
    assert not hasattr(clone(fitted), "result_")
    assert repr(fitted) == f"{kind.__name__}(n_components=2, n_init=1, tol=0.0001)"
    again = pickle.loads(pickle.dumps(fitted))
    assert type(again) is kind and again.lower_bound_ == fitted.lower_bound_


@pytest.mark.filterwarnings("ignore:standard deviations may be")
@pytest.mark.parametrize(
    ("options", "trusted"),
    [
        ({}, [CLASS]),
        ({"n_components": [1, 2], "covariance_type": "diag"}, [CLASS]),
        ({"posterior": "laplace"}, [CLASS]),
        ({"covariance_type": "spherical", "weight_concentration_prior_type": "dirichlet_process"}, [CLASS]),
        ({"priors": tfgmm.Priors(loc_scale=9.0)}, [CLASS, "tfgmm.mixture.priors.Priors"]),
    ],
)
def test_skops_trusts_the_estimator_alone(options, trusted):
    fitted = tfgmm.BayesianGaussianMixture(**{"n_components": 2, "n_init": 1} | options).fit(NAMED)
    file = skops.io.dumps(fitted)
    assert skops.io.get_untrusted_types(data=file) == trusted
    again = skops.io.loads(file, trusted=trusted)
    np.testing.assert_array_equal(again.score_samples(NAMED[:9]), fitted.score_samples(NAMED[:9]))
    pd.testing.assert_frame_equal(again.intervals(), fitted.intervals())
    assert str(again.result_) == str(fitted.result_) and again.get_params() == fitted.get_params()
    assert again.feature_names_in_.tolist() == ["first", "second"]


def test_skops_trusts_the_other_name_by_that_name():
    fitted = GaussianMixture(2, n_init=1).fit(NAMED)
    file, other = skops.io.dumps(fitted), CLASS.replace(".Bayesian", ".")
    assert skops.io.get_untrusted_types(data=file) == [other]
    again = skops.io.loads(file, trusted=[other])
    assert type(again) is GaussianMixture and again.lower_bound_ == fitted.lower_bound_


def test_warnings_of_odd_rows_can_be_silenced_by_name():
    given = GaussianMixture(n_init=1), ROWS.round()
    with pytest.warns(tfgmm.OddDataWarning):
        cross_val_score(*given, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tfgmm.OddDataWarning)
        cross_val_score(*given, cv=2)


def test_frames_of_other_kinds_are_rows():
    plain = tfgmm.BayesianGaussianMixture(2, n_init=1).fit(NAMED)
    gaps = NAMED.assign(first=NAMED["first"].mask(NAMED["first"] > 2.0)).convert_dtypes(dtype_backend="numpy_nullable")
    with pytest.warns(UserWarning, match="values are missing"):
        nullable = tfgmm.BayesianGaussianMixture(2, n_init=1).fit(gaps)
    with pytest.warns(UserWarning, match="values are missing"):
        expected = tfgmm.fit_mixture(gaps, 2, covariance="full", restarts=1)
    assert nullable.lower_bound_ == expected.elbo / 90
    for rows in (polars.from_pandas(NAMED), NAMED.convert_dtypes(dtype_backend="pyarrow")):
        other = tfgmm.BayesianGaussianMixture(2, n_init=1).fit(rows)
        assert other.lower_bound_ == plain.lower_bound_ and other.result_.column_names == ("first", "second")
    assert tfgmm.BayesianGaussianMixture(2, n_init=1).fit(ROWS.tolist()).lower_bound_ == plain.lower_bound_


def test_neither_it_nor_scores_of_rows_with_gaps_load_tensorflow():
    script = """
import sys, tfgmm, tfgmm.sklearn
dir(tfgmm.sklearn)
assert "sklearn" not in sys.modules and "numpy" not in sys.modules
import numpy as np
rows = np.random.default_rng(0).normal(np.repeat([[-2.0], [2.0]], 30, axis=0))
fitted = tfgmm.sklearn.GaussianMixture([1, 2], n_init=1, verbose=1).fit(rows)
fitted.__class__(2, n_init=1).partial_fit(rows).partial_fit(rows[:1])
fitted.predict(rows), fitted.score(rows), fitted.sample(3), fitted.intervals(), fitted.outlier(rows), fitted.bic(rows)
fit, pairs = tfgmm.fit_mixture(np.random.default_rng(0).normal(size=(40, 2)), 1, restarts=1), [[0.1, np.nan]]
fit.log_prob(pairs, noise=[[0.1, 0.0]]), fit.outlier(pairs), fit.impute(pairs), fit.impute(pairs, num_draws=2)
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("rows", [dask.array.ones((6, 2)), dask.dataframe.from_pandas(NAMED, npartitions=2)])
def test_rows_in_parts_are_refused_before_scikit_learn_collects_them(rows):
    words = (
        "`X` must be rows in memory or in files here. Received: a Dask .*, whose rows stay where they are. tfgmm.fit"
    )
    with pytest.raises(TypeError, match=words):
        tfgmm.BayesianGaussianMixture(2).fit(rows)
    fitted = tfgmm.BayesianGaussianMixture(1, n_init=1).fit(NAMED)
    for ask in (fitted.predict, fitted.score_samples, fitted.partial_fit):
        with pytest.raises(TypeError, match=words):
            ask(rows)
    with pytest.raises(TypeError, match="`sample_weight` must be .*Received: a Dask Array"):
        tfgmm.BayesianGaussianMixture(2).fit(NAMED, sample_weight=dask.array.ones(90))
    with pytest.raises(TypeError, match="`noise` must be .*Received: a Dask Array"):
        tfgmm.BayesianGaussianMixture(2).fit(NAMED, noise=dask.array.ones((90, 2)))
