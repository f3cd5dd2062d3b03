"""Fits in parts by the estimator: the running mixture behind it, scikit-learn's habits, and what is refused."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import learning_curve
from sklearn.pipeline import make_pipeline

import tfgmm
from tfgmm.fit.options import FitOptions
from tfgmm.fit.running import RunningMixture

GENERATOR = np.random.default_rng(6)
ROWS = GENERATOR.normal(np.repeat([[-2.0, 0.0], [2.0, 1.0]], [50, 40], axis=0), [0.8, 1.2])[GENERATOR.permutation(90)]
PARTS = np.split(ROWS, [50, 70])
TABLE = pd.DataFrame(ROWS, columns=["one", "two"])


def in_parts(parts=PARTS, number=2, **options):
    mixture = tfgmm.BayesianGaussianMixture(number, **{"n_init": 2} | options)
    for part in parts:
        mixture.partial_fit(part)
    return mixture


def same(one, other):
    assert one.result_.elbo == other.result_.elbo and one.result_.history == other.result_.history
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("factor", [1.0, 0.98])
def test_it_is_the_running_mixture(factor):
    options = FitOptions(covariance="tied", restarts=2, seed=3, weights="stick_breaking")
    running = RunningMixture(2, options, factor)
    for part in PARTS:
        running.update(part)
    given = {"covariance_type": "tied", "random_state": 3, "weight_concentration_prior_type": "dirichlet_process"}
    mixture = in_parts(forgetting_factor=factor, **given)
    assert mixture.result_.elbo == running.result().elbo and mixture.selection_ is None
    np.testing.assert_array_equal(mixture.means_, running.result().locs)
    assert mixture.n_iter_ == 3 and not mixture.converged_
    np.testing.assert_allclose(mixture.lower_bound_, mixture.result_.elbo / mixture.result_.num_data)


def test_the_first_part_is_fitted_as_by_fit():
    mixture = in_parts(PARTS[:1])
    fitted = tfgmm.BayesianGaussianMixture(2, n_init=2).fit(PARTS[0])
    np.testing.assert_allclose(mixture.means_, fitted.means_, rtol=1e-12)
    assert mixture.lower_bound_ == pytest.approx(fitted.lower_bound_, rel=1e-10) and mixture.converged_


def test_parts_end_near_the_fit_of_all_rows():
    rows = np.random.default_rng(0).normal([[-2.0, 0.0], [2.0, 1.0], [0.0, 3.0]] * 1_000)
    mixture = in_parts(np.split(rows, 10), 3)
    assert mixture.score(rows) == pytest.approx(tfgmm.BayesianGaussianMixture(3).fit(rows).score(rows), abs=0.002)


def test_forgetting_changes_the_fit_and_may_change_between_parts():
    plain, forgetful = in_parts(), in_parts(forgetting_factor=0.95)
    assert plain.result_.num_data == 90 and forgetful.result_.num_data == pytest.approx(20.0, abs=0.2)
    assert np.abs(plain.means_ - forgetful.means_).max() > 0.01
    mixed = in_parts(PARTS[:2]).set_params(forgetting_factor=0.5).partial_fit(PARTS[2])
    assert mixed.result_.num_data == pytest.approx(2.0, abs=1e-3)


def test_weights_are_repeated_rows():
    weights, weighted, repeated = GENERATOR.integers(0, 4, 90), in_parts([]), in_parts([])
    for part, counts in zip(PARTS, np.split(weights, [50, 70])):
        weighted.partial_fit(part, sample_weight=counts)
        repeated.partial_fit(np.repeat(part, counts, axis=0))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-6)
    assert weighted.result_.num_data == weights.sum()
    with config_context(enable_metadata_routing=True):
        assert tfgmm.BayesianGaussianMixture().set_partial_fit_request(sample_weight=True)


@pytest.mark.filterwarnings("ignore:.* values are missing")
def test_gaps_are_integrated_or_refused():
    later = np.where(np.arange(20)[:, None] < [5, 0], np.nan, PARTS[1])
    mixture = in_parts([PARTS[0], later])
    assert mixture.result_.data_summary.gaps == (5, 0)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        in_parts([PARTS[0], later], missing="refuse")


@pytest.mark.parametrize("number", [1, 2])
def test_streams_go_on_from_files_and_copies(number):
    whole, begun = in_parts(), in_parts(PARTS[:number])
    file = skops.io.dumps(begun)
    [trusted] = skops.io.get_untrusted_types(data=file)
    assert trusted.endswith("BayesianGaussianMixture")
    for other in (pickle.loads(pickle.dumps(begun)), copy.deepcopy(begun), skops.io.loads(file, [trusted]), begun):
        for part in PARTS[number:]:
            other.partial_fit(part)
        same(other, whole)


def test_names_of_columns_must_stay():
    mixture = in_parts([TABLE[:50], TABLE[50:70]])
    assert mixture.feature_names_in_.tolist() == ["one", "two"] == list(mixture.result_.column_names)
    np.testing.assert_array_equal(mixture.means_, in_parts(PARTS[:2]).means_)
    for table in (TABLE[["two", "one"]], TABLE.rename(columns={"one": "three"})):
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            mixture.partial_fit(table)
    with pytest.raises(ValueError, match="X has 1 features, but BayesianGaussianMixture is expecting 2"):
        in_parts([*PARTS, ROWS[:, :1]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        mixture.partial_fit(ROWS[:1])


def test_first_parts_need_a_row_for_each_component_and_later_ones_one():
    with pytest.raises(ValueError, match="`n_components` must be at most the number of rows. Received: n_components=5"):
        in_parts([ROWS[:4]], 5)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        in_parts([ROWS[:1]], 1)
    assert in_parts([PARTS[0], *ROWS[:3, None]], 5).result_.num_data == 53


def test_fit_starts_anew():
    same(in_parts().fit(PARTS[0]), tfgmm.BayesianGaussianMixture(2, n_init=2).fit(PARTS[0]))
    assert not hasattr(clone(in_parts()), "result_")


@pytest.mark.filterwarnings("ignore:.* values are missing")
@pytest.mark.parametrize("shape", ["full", "spherical"])
def test_parts_may_follow_a_fit(shape):
    rows = np.where(np.arange(90)[:, None] < [5, 0], np.nan, ROWS) if shape == "spherical" else ROWS
    parts = np.split(rows, [50, 70])
    mixture = tfgmm.BayesianGaussianMixture(2, covariance_type=shape, n_init=2).fit(parts[0])
    np.testing.assert_allclose(mixture.result_.sums.counts.sum(), 50)
    for part in parts[1:]:
        mixture.partial_fit(part)
    whole = in_parts(parts, covariance_type=shape)
    np.testing.assert_allclose(mixture.means_, whole.means_, rtol=1e-3, atol=1e-3)
    one, other = mixture.result_.data_summary, whole.result_.data_summary
    assert (one.fingerprint, one.num_data, one.gaps, one.minimum) == (
        (other.fingerprint, other.num_data, other.gaps, other.minimum)
    )
    np.testing.assert_allclose([one.mean, one.scale], [other.mean, other.scale], rtol=1e-10)
    assert mixture.result_.elbo == pytest.approx(whole.result_.elbo, rel=1e-4)
    assert mixture._stream["rows"] is None


def test_weights_of_a_fit_are_gone_on_from():
    weights = GENERATOR.integers(0, 4, 50)
    mixture = tfgmm.BayesianGaussianMixture(2).fit(PARTS[0], sample_weight=weights).partial_fit(PARTS[1])
    repeated = tfgmm.BayesianGaussianMixture(2).fit(np.repeat(PARTS[0], weights, axis=0)).partial_fit(PARTS[1])
    np.testing.assert_allclose(mixture.means_, repeated.means_, rtol=1e-6)
    assert mixture.result_.num_data == weights.sum() + 20
    assert mixture.result_.data_summary.num_rows == (weights > 0).sum() + 20


def test_the_first_part_chooses_among_several():
    mixture = in_parts(PARTS, [1, 2, 3], covariance_type=["diag", "spherical"])
    chosen = tfgmm.BayesianGaussianMixture([1, 2, 3], covariance_type=["diag", "spherical"], n_init=2).fit(PARTS[0])
    assert (mixture.n_components_, mixture.covariance_type_) == (chosen.n_components_, chosen.covariance_type_)
    assert str(mixture.selection_) == str(chosen.selection_)
    assert mixture.result_.num_data == 90
    assert in_parts([ROWS[:4], ROWS[4:]], "auto", covariance_type="spherical", n_init=1).n_components_ <= 4
    again = pickle.loads(pickle.dumps(mixture))
    same(again.partial_fit(ROWS), mixture.partial_fit(ROWS))


def test_kmeans_begins_the_first_fit():
    mixture = in_parts(PARTS[:1], init_params="kmeans")
    assert len(mixture.result_.restarts) == 1
    assert len(in_parts([*PARTS, *[ROWS] * 3], init_params="kmeans").result_.restarts) == 3
    same(mixture.partial_fit(PARTS[1]), in_parts(PARTS[:2], init_params="kmeans"))


@pytest.mark.parametrize(
    ("changed", "received"),
    [
        ({"n_components": 3}, "(3, 'full', 'dirichlet')"),
        ({"covariance_type": "diag"}, "(2, 'diag', 'dirichlet')"),
        ({"weight_concentration_prior_type": "dirichlet_process"}, "(2, 'full', 'stick_breaking')"),
    ],
)
def test_the_mixture_must_stay_the_same(changed, received):
    mixture = in_parts(PARTS[:1]).set_params(**changed)
    with pytest.raises(ValueError) as raised:
        mixture.partial_fit(PARTS[1])
    wanted = "`n_components`, `covariance_type` and `weight_concentration_prior_type` must be those of the parts before"
    assert str(raised.value).startswith(f"{wanted}: (2, 'full', 'dirichlet'). Received: {received}. Begin a new stream")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"posterior": "auto"}, "`posterior` must be 'mean_field' where rows come in parts. Received: 'auto'"),
        ({"criteria_at": "mode"}, "`criteria_at` must be 'mean' where rows come in parts. Received: 'mode'"),
        ({"forgetting_factor": 1.5}, "`forgetting_factor` must be above 0 and at most 1. Received: 1.5."),
        ({"missing": "drop"}, "`missing` must be one of"),
        (
            {"means_init": [[0.0, 1.0]]},
            "`means_init` must have the shape (2, 2)",
        ),
        ({"n_init": 0}, "`n_init` must be"),
    ],
)
def test_bad_arguments_are_refused(options, error):
    with pytest.raises(ValueError) as raised:
        in_parts(PARTS[:1], **options)
    assert str(raised.value).startswith(error)


def test_parts_that_are_refused_change_nothing():
    mixture, whole = in_parts(PARTS[:2]), in_parts()
    for bad in (np.full((3, 2), np.inf), np.full((3, 2), 1e300), ROWS[:0], ROWS[:, :1]):
        with pytest.raises(ValueError):
            mixture.partial_fit(bad)
    with pytest.raises(ValueError, match="`sample_weight` must have the shape"):
        mixture.partial_fit(ROWS, sample_weight=np.ones(3))
    same(mixture.partial_fit(PARTS[2]), whole)


def test_one_seed_is_drawn_for_a_stream():
    mixture = in_parts(PARTS[:1], random_state=None)
    seed = mixture.result_.seed
    assert mixture.partial_fit(PARTS[1]).result_.seed == seed != in_parts(random_state=None).result_.seed


def test_means_begin_the_first_fit():
    given = np.array([[2.0, 1.0], [-2.0, 0.0]])
    for means in (given, given[::-1]):
        np.testing.assert_allclose(in_parts(means_init=means).means_, means, atol=0.6)


def test_warnings_name_the_line_that_calls():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfgmm.BayesianGaussianMixture(2).partial_fit(np.where(np.arange(90)[:, None] < [9, 0], np.nan, ROWS))
    assert {warning.filename for warning in caught} == {__file__}


def test_scikit_learn_teaches_in_parts():
    given = {"train_sizes": [20, 40, 60], "cv": 2, "shuffle": False}
    mixture = tfgmm.BayesianGaussianMixture(2, n_init=1)
    _, _, scores = learning_curve(mixture, np.tile(ROWS, (2, 1)), None, exploit_incremental_learning=True, **given)
    assert scores.shape == (3, 2) and (scores > -6.0).all()
    assert not hasattr(make_pipeline(mixture), "partial_fit")  # pipelines have none
