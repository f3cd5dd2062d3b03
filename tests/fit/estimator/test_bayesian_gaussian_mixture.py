"""The estimator against `fit_mixture`, repeated rows, and rows one by one."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tfgmm
import tfgmm.sklearn
from tfgmm.data.sources import open_source
from tfgmm.data.survey import survey_rows
from tfgmm.fit.estimator.arguments import numbers_of

GENERATOR = np.random.default_rng(5)
ROWS = GENERATOR.normal(np.repeat([[-3.0, 0.0], [3.0, 1.0]], [50, 40], axis=0), [0.8, 1.2])
WEIGHTS = GENERATOR.integers(0, 4, 90)
GAPS = np.where(GENERATOR.random((90, 1)) < [0.2, 0.0], np.nan, ROWS)
NOISE = GENERATOR.uniform(0.1, 1.0, (90, 2))


def fitted(rows=ROWS, number=2, **options):
    beside = {name: options.pop(name) for name in ("sample_weight", "noise") if name in options}
    return tfgmm.BayesianGaussianMixture(number, **{"n_init": 2} | options).fit(rows, **beside)


@pytest.fixture(scope="module")
def plain():
    """A fit to the rows, to read only."""
    return fitted()


def same(one, other):
    """Compares fits: their bounds, and all numbers behind their posteriors."""
    assert one.elbo == other.elbo and one.column_names == other.column_names
    parts = one.variational.public()
    for name, values in other.variational.public().items():
        np.testing.assert_array_equal(values, parts[name])


def test_both_names_make_the_same_fit(plain):
    assert dir(tfgmm.sklearn) == ["BayesianGaussianMixture", "GaussianMixture"]
    assert tfgmm.sklearn.BayesianGaussianMixture is tfgmm.BayesianGaussianMixture
    other = tfgmm.sklearn.GaussianMixture(2, n_init=2).fit(ROWS)
    same(other.result_, plain.result_)
    assert other.get_params() == plain.get_params() and isinstance(other, tfgmm.BayesianGaussianMixture)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"random_state": np.int64(4), "n_init": 3}, {"seed": 4, "restarts": 3}),
        (
            {"covariance_type": "tied_diag", "tol": 1e-3, "max_iter": 30},
            {"covariance": "tied_diag", "tolerance": 1e-3, "max_sweeps": 30},
        ),
        ({"tol": 0}, {"tolerance": 1e-15}),
        (
            {"weight_concentration_prior_type": "dirichlet_process", "init_params": "k-means++"},
            {"weights": "stick_breaking", "start": "k-means++"},
        ),
        (
            {"init_params": "random_from_data", "priors": tfgmm.Priors(loc_scale=9.0)},
            {"start": "random", "priors": tfgmm.Priors(loc_scale=9.0)},
        ),
        ({"means_init": [[-1.0, 0.0], [1.0, 0.0]]}, {"start": [[-1.0, 0.0], [1.0, 0.0]]}),
        ({"sample_weight": WEIGHTS, "noise": NOISE}, {"sample_weight": WEIGHTS, "noise": NOISE}),
    ],
)
def test_results_are_those_of_fit_mixture(ours, theirs):
    same(fitted(**ours).result_, tfgmm.fit_mixture(ROWS, 2, **{"covariance": "full", "restarts": 2} | theirs))


@pytest.mark.filterwarnings("ignore:.* values are missing", "ignore:.* have few different values")
@pytest.mark.parametrize(
    "rows", [GAPS, ROWS.astype(np.float32), pd.DataFrame(ROWS, columns=["one", "two"]), np.round(ROWS).astype(int)]
)
def test_rows_of_other_kinds_are_taken_as_fit_mixture_takes_them(rows):
    ours = fitted(rows, covariance_type="diag")
    same(ours.result_, tfgmm.fit_mixture(rows, 2, restarts=2))
    np.testing.assert_array_equal(ours.predict(rows), ours.result_.assign(rows))
    np.testing.assert_allclose(ours.score_samples(rows), ours.result_.log_prob(rows), rtol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(rows), ours.result_.responsibilities(rows), atol=1e-6)


@pytest.mark.filterwarnings("ignore:standard deviations may be 30 % or more too small")
def test_criteria_and_posterior_are_handed_on(plain):
    ours = fitted(criteria_at="mode", posterior="laplace")
    assert (ours.result_.criteria_at, ours.result_.exact.record.method) == ("mode", "laplace")
    assert ours.result_.log_likelihood > plain.result_.log_likelihood


@pytest.mark.parametrize(
    ("kind", "name"), [("distribution", "weight_concentration"), ("process", "stick_concentration")]
)
def test_concentration_takes_the_place_of_that_in_the_priors(kind, name):
    options = {"weight_concentration_prior_type": f"dirichlet_{kind}", "weight_concentration_prior": 5.0}
    assert getattr(fitted(**options).result_.priors, name) == 5.0
    given = fitted(**options, priors=tfgmm.Priors(loc_scale=9.0)).result_.priors
    assert getattr(given, name) == 5.0 and given.loc_scale == 9.0


def test_a_larger_concentration_makes_weights_more_alike():
    shares = [fitted(ROWS[:60], weight_concentration_prior=value).weights_.max() for value in (1e-3, 1e3)]
    assert shares[0] > shares[1] + 0.1 and shares[1] == pytest.approx(0.5, abs=0.05)


def test_kmeans_starts_from_its_groups():
    from sklearn.cluster import KMeans

    labels = KMeans(2, n_init=1, random_state=3).fit(ROWS).labels_
    ours = fitted(init_params="kmeans", random_state=3)
    same(ours.result_, tfgmm.fit_mixture(ROWS, 2, covariance="full", start=labels, seed=3))
    assert len(ours.result_.restarts) == 1
    weighted = fitted(init_params="kmeans", sample_weight=WEIGHTS + 1)
    assert weighted.result_.num_data == WEIGHTS.sum() + 90


def test_random_states_are_scikit_learns():
    seeds = [fitted(random_state=state, n_init=1).result_.seed for state in (7, np.random.RandomState(7), None, None)]
    assert seeds[:2] == [7, int(np.random.RandomState(7).randint(2**31 - 1))] and seeds[2] != seeds[3]


def test_several_numbers_and_shapes_leave_a_selection(plain):
    ours = fitted(number=range(1, 3), covariance_type=["diag", "tied_diag"], n_init=1)
    chosen = tfgmm.fit_mixture(ROWS, range(1, 3), covariance=["diag", "tied_diag"], restarts=1)
    for name in chosen.table.dtype.names:
        np.testing.assert_array_equal(ours.selection_.table[name], chosen.table[name])
    same(ours.result_, chosen.best)
    assert (ours.n_components_, ours.covariance_type_) == (chosen.num_components, chosen.covariance)
    assert plain.selection_ is None


@pytest.mark.parametrize(("rows", "most"), [(ROWS, 10), (ROWS[::15], 6), (np.repeat(ROWS[:3], 9, axis=0), 3)])
def test_auto_is_up_to_ten_components_but_no_more_than_distinct_rows(rows, most):
    assert numbers_of("auto", survey_rows(open_source(rows, "X", None), None, 0)) == tuple(range(1, most + 1))


@pytest.mark.slow
def test_auto_compares_them():
    ours = fitted(number="auto", covariance_type="spherical", n_init=1)
    assert ours.selection_.table["num_components"].tolist() == list(range(1, 11))
    assert ours.n_components_ == 2


def test_weights_are_repeated_rows():
    ours, repeated = fitted(sample_weight=WEIGHTS, n_init=1), fitted(np.repeat(ROWS, WEIGHTS, axis=0), n_init=1)
    assert ours.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-9)
    score, plain = ours.score(ROWS, sample_weight=WEIGHTS), ours.score_samples(np.repeat(ROWS, WEIGHTS, axis=0))
    assert score == pytest.approx(plain.mean(), rel=1e-9)
    assert ours.bic(ROWS, WEIGHTS) == pytest.approx(-2 * plain.sum() + 11 * math.log(WEIGHTS.sum()), rel=1e-9)
    assert ours.aic(ROWS, WEIGHTS) == pytest.approx(ours.result_.aic, rel=1e-9)


def test_scores_count_the_noise_of_the_rows():
    ours = fitted(covariance_type="diag", noise=NOISE)
    variances = ours.covariances_[:, None, :] + np.square(NOISE)
    of_columns = stats.norm.logpdf(ROWS, ours.means_[:, None, :], np.sqrt(variances))
    joints = np.log(ours.weights_)[:, None] + of_columns.sum(axis=2)
    densities = np.logaddexp(*joints)
    np.testing.assert_allclose(ours.score_samples(ROWS, noise=NOISE), densities, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(ROWS, noise=NOISE), np.exp(joints - densities).T, atol=1e-5)
    np.testing.assert_array_equal(ours.predict(ROWS, noise=NOISE), joints.argmax(axis=0))
    assert ours.score(ROWS, noise=NOISE) == pytest.approx(densities.mean(), abs=1e-6)
    assert ours.aic(ROWS, noise=NOISE) == pytest.approx(ours.result_.aic, abs=1e-3)
    predicted = tfgmm.BayesianGaussianMixture(2, covariance_type="diag", n_init=2).fit_predict(ROWS, noise=NOISE)
    np.testing.assert_array_equal(predicted, joints.argmax(axis=0))


@pytest.mark.filterwarnings("ignore:1 row without any value is left out")
def test_rows_without_any_value_are_scored_and_left_out_of_means():
    rows = np.vstack([ROWS, [np.nan, np.nan]])
    ours = fitted(rows)
    assert ours.predict(rows)[-1] == -1 and np.isnan(ours.score_samples(rows)[-1])
    np.testing.assert_allclose(ours.predict_proba(rows)[-1], ours.weights_)
    assert ours.score(rows) == pytest.approx(ours.score(ROWS)) and ours.bic(rows) == pytest.approx(ours.result_.bic)
    with pytest.raises(ValueError, match="`X` must have a row with a value. Received: none"):
        ours.score(rows[-1:])


def test_memberships_have_all_digits_and_are_columns_of_the_next_step(plain):
    ours = plain
    memberships = ours.predict_proba(ROWS)
    assert memberships.dtype == np.float64 and memberships.min() < 1e-12
    np.testing.assert_allclose(memberships.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(ours.transform(ROWS), memberships)
    np.testing.assert_array_equal(tfgmm.BayesianGaussianMixture(2, n_init=2).fit_transform(ROWS), memberships)
    assert ours.get_feature_names_out().tolist() == ["bayesiangaussianmixture0", "bayesiangaussianmixture1"]


def test_samples_come_component_by_component():
    ours = fitted()
    rows, labels = ours.sample(20_000)
    assert rows.shape == (20_000, 2) and labels.dtype == np.int64 and (np.diff(labels) >= 0).all()
    np.testing.assert_allclose(np.bincount(labels) / 20_000, ours.weights_, atol=0.02)
    for k in range(2):
        np.testing.assert_allclose(rows[labels == k].mean(axis=0), ours.means_[k], atol=0.05)
        np.testing.assert_allclose(np.cov(rows[labels == k].T), ours.covariances_[k], atol=0.05)
    np.testing.assert_array_equal(ours.sample(20_000)[0], rows)  # as scikit-learn's: the seed is a number
    ours.set_params(random_state=np.random.RandomState(0))
    assert not np.array_equal(ours.sample()[0], ours.sample()[0])


def test_outliers_are_those_of_the_fit(plain):
    np.testing.assert_array_equal(plain.outlier(GAPS), plain.result_.outlier(GAPS))


def test_without_tolerance_sweeps_go_on_until_nothing_is_gained():
    """A third component for two clusters, which takes many sweeps; how many of them restarts make is not counted."""
    options = {"number": 3, "n_init": 1, "max_iter": 5000}
    thorough, by_default, cut_short = fitted(tol=0.0, **options), fitted(**options), fitted(tol=1e-3, **options)
    assert thorough.converged_
    assert thorough.lower_bound_ > by_default.lower_bound_ + 1e-8 > cut_short.lower_bound_ + 1e-5


def test_pickles_answer_the_same():
    ours = fitted(pd.DataFrame(ROWS, columns=["one", "two"]))
    again = pickle.loads(pickle.dumps(ours))
    same(again.result_, ours.result_)
    assert again.get_params() == ours.get_params() and again.feature_names_in_.tolist() == ["one", "two"]
