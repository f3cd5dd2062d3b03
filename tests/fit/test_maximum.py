"""BIC and AIC at the maximum of the likelihood: as scikit-learn has them, and where there is no maximum."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

import tfgmm
from tfgmm.fit import maxima
from tfgmm.mixture.registry import COVARIANCES, mixtures_of
from tfgmm.scoring.scores import score_data

GENERATOR = np.random.default_rng(8)
# Two clusters that touch and lean; sixteenths, which float32 holds once a centre of such steps is taken away
LEANING = np.array([[1.0, 0.6], [0.0, 0.7]])
ROWS = np.concatenate([GENERATOR.normal(size=(70, 2)) @ LEANING, GENERATOR.normal((3.0, 1.0), 0.6, (50, 2))])
ROWS = np.round(16.0 * ROWS) / 16.0
OF_SCIKIT_LEARN = {"full": "full", "tied": "tied", "diag": "diag", "spherical": "spherical"}


def at_mode(covariance, num_components=2, rows=ROWS, **options):
    return tfgmm.fit_mixture(rows, num_components, covariance=covariance, restarts=2, criteria_at="mode", **options)


def peer_of(result, rows=ROWS):
    """EM by scikit-learn from where our fit stands, with no floor and until nothing moves."""
    mixture = result.plug_in()
    kind = OF_SCIKIT_LEARN[result.covariance]
    precisions = mixture.components[mixture.form.precision_name]
    if kind in ("full", "tied"):
        precisions = np.swapaxes(precisions, -1, -2) @ precisions
    starts = {"full": precisions, "tied": precisions[0], "diag": precisions, "spherical": precisions[:, 0]}
    return GaussianMixture(
        result.num_components,
        covariance_type=kind,
        weights_init=np.exp(mixture.log_weights),
        means_init=result.locs,
        precisions_init=starts[kind],
        reg_covar=0.0,
        tol=1e-13,
        max_iter=5_000,
    ).fit(rows)


@pytest.mark.parametrize("covariance", OF_SCIKIT_LEARN)
def test_bic_and_aic_at_the_mode_are_those_of_scikit_learn(covariance):
    result = at_mode(covariance)
    # The centre of our rows is no multiple of a sixteenth: scikit-learn gets the rows that ours were rounded to
    rows = (ROWS - result.variational.centre).astype(np.float32).astype(np.float64) + result.variational.centre
    peer = peer_of(result, rows)
    assert result.bic == pytest.approx(peer.bic(rows), abs=1e-6)
    assert result.aic == pytest.approx(peer.aic(rows), abs=1e-6)
    joints = peer._estimate_weighted_log_prob(rows)
    expected = -2 * joints.max(axis=1).sum() + np.log(len(rows)) * result.num_parameters
    assert result.icl == pytest.approx(expected, abs=0.01)  # which has a slope where the likelihood has its maximum


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_mode_is_above_the_means_and_everything_else_stays(covariance):
    mean = tfgmm.fit_mixture(ROWS, 2, covariance=covariance, restarts=2)
    mode = at_mode(covariance)
    assert mean.log_likelihood + 1e-4 < mode.log_likelihood < mean.log_likelihood + 5.0
    assert mode.elbo == mean.elbo and (mode.locs == mean.locs).all()
    assert mean.log_likelihood == pytest.approx(float(score_data(mean.plug_in(), ROWS, "log_density").sum()), abs=1e-3)


def test_one_component_has_its_maximum_at_the_moments_of_the_rows():
    widths = np.array([2.0, 0.5])
    priors = tfgmm.Priors(column_scale=tuple(widths), loc_scale=9.0, precision_shape=0.01, precision_rate=0.01)
    result = at_mode("spherical", 1, priors=priors)
    in_units = (ROWS - ROWS.mean(axis=0)) / widths
    variance = np.square(in_units).mean()
    expected = -0.5 * 120 * (2 * np.log(2 * np.pi * variance) + 2.0) - 120 * np.log(widths).sum()
    assert result.log_likelihood == pytest.approx(expected, abs=1e-4)


def test_batches_and_files_have_the_same_maximum():
    whole, in_parts = at_mode("full"), at_mode("full", batch_size=32)
    assert in_parts.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-6)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_a_width_that_the_floor_decides_is_named(covariance):
    rows = np.concatenate([ROWS, 7.0 + 1e-5 * GENERATOR.normal(size=(30, 2))])  # thirty that are nearly alike
    floors = 1e-7 * np.square(tfgmm.fit_mixture(rows, 1).data_summary.spread)
    told = f"in columns 0 (variance {floors[0]:.3g}) and 1 (variance {floors[1]:.3g}). The floor decides the width"
    head = f"covariance='{covariance}' with 3 components: at the maximum of the likelihood 1 is as narrow"
    with pytest.warns(UserWarning, match=f"{re.escape(head)}.*{re.escape(told)}"):
        result = at_mode(covariance, 3, rows)
    assert np.isfinite(result.bic)
    tfgmm.fit_mixture(rows, 3, covariance=covariance, restarts=2)  # at the means nothing is said


def test_all_that_is_shown_says_where_the_criteria_are_taken():
    chosen = tfgmm.fit_mixture(ROWS, [1, 2], restarts=1, criteria_at="mode")
    assert "likelihood, BIC, ICL and AIC at the maximum of the likelihood" in str(chosen)
    assert "log likelihood, AIC and BIC at the maximum of the likelihood" in chosen.best.summary()
    means = tfgmm.fit_mixture(ROWS, [1, 2], restarts=1)
    assert "at the posterior means" in str(means) and "maximum of the likelihood" not in str(means)
    assert (chosen.table["bic"] < means.table["bic"]).all() and (chosen.table["elbo"] == means.table["elbo"]).all()


def test_a_third_place_is_refused():
    with pytest.raises(ValueError, match="`criteria_at` must be .*'mean', 'mode'.*'median'"):
        tfgmm.fit_mixture(ROWS, 2, criteria_at="median")


def test_old_faithful_has_the_figures_that_mclust_publishes():
    """Model EEE with 3 components, R's faithful: log likelihood -1126.326, BIC -2314.316, to be turned."""
    result = tfgmm.fit_mixture("training/data/old_faithful.csv", 3, covariance="tied", restarts=2, criteria_at="mode")
    # mclust stops a hundredth of a nat below the maximum
    assert -1126.326 < result.log_likelihood < -1126.31
    assert result.bic == pytest.approx(2314.316, abs=0.03)


def contains(larger, smaller):
    """Whether the mixtures of one line of the table are special cases of those of another."""
    tied, spherical, correlated = mixtures_of(larger["covariance"], larger["num_components"], 2)
    is_tied, is_spherical, is_correlated = mixtures_of(smaller["covariance"], smaller["num_components"], 2)
    return (
        smaller["num_components"] <= larger["num_components"]
        and (is_tied or not tied or smaller["num_components"] == 1)
        and (is_spherical or not spherical)
        and (correlated or not is_correlated)
    )


@pytest.fixture(scope="module")
def of_all_shapes():
    """Two groups: from the posterior means alone, a line is 10 nats below a special case."""
    generator = np.random.default_rng(3)
    rows = np.concatenate([generator.normal((0.0, 0.0), 1.0, (100, 2)), generator.normal((4.0, 1.0), 0.6, (100, 2))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some components close in on a few rows
        means = tfgmm.fit_mixture(rows, range(1, 4), covariance="auto", restarts=2)
        return means, tfgmm.fit_mixture(rows, range(1, 4), covariance="auto", restarts=2, criteria_at="mode")


def test_no_mixture_is_less_likely_than_its_special_cases(of_all_shapes):
    _, modes = of_all_shapes
    pairs = [(one, other) for one in modes.table for other in modes.table if contains(one, other)]
    assert len(pairs) > 100
    for one, other in pairs:
        assert one["log_likelihood"] >= other["log_likelihood"] - 1e-6


def test_more_components_are_no_less_likely():
    """EM from the posterior means alone ends 5 nats lower with 4 components than with 3."""
    generator = np.random.default_rng(13)
    rows = np.concatenate([generator.normal((0.0, 0.0), 1.0, (100, 2)), generator.normal((4.0, 1.0), 0.6, (100, 2))])
    found = tfgmm.fit_mixture(rows, [3, 4, 5], restarts=2, criteria_at="mode")
    assert (np.diff(found.table["log_likelihood"]) > 1.0).all()
    for result in found.results:
        assert result.complete_log_likelihood <= result.log_likelihood


def test_other_starts_change_nothing_but_the_likelihoods(of_all_shapes):
    means, modes = of_all_shapes
    assert (modes.table["elbo"] == means.table["elbo"]).all() and (modes.table["share"] == means.table["share"]).all()
    assert (modes.table["log_likelihood"] > means.table["log_likelihood"]).all()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_component_that_is_divided_or_without_weight_is_a_mixture_of_the_same_shape(covariance):
    result = tfgmm.fit_mixture(ROWS, 2, covariance=covariance, restarts=2)
    mixture, spread = result.plug_in(), np.array(result.data_summary.spread)
    expected = score_data(mixture, ROWS, "log_density")
    unlike = maxima._with_nobody(maxima.Maximum(mixture, 0.0, 0.0, np.zeros((2, 2), bool)), covariance, 4)
    assert unlike.at_floor.shape == (4, 2)
    np.testing.assert_allclose(score_data(unlike.mixture, ROWS, "log_density"), expected, atol=1e-12)
    for is_inside in (False, True):
        divided = maxima._divided(mixture, 0, spread, is_inside)
        assert len(divided.log_weights) == 3 and np.exp(divided.log_weights).sum() == pytest.approx(1.0)
        assert abs(score_data(divided, ROWS, "log_density") - expected).max() > 1e-3


@pytest.mark.parametrize("smaller", COVARIANCES)
@pytest.mark.parametrize("larger", COVARIANCES)
def test_a_special_case_has_the_same_density_in_the_larger_shape(smaller, larger):
    lines = [{"covariance": shape, "num_components": 2} for shape in (larger, smaller)]
    if not contains(*lines):
        return
    mixture = tfgmm.fit_mixture(ROWS, 2, covariance=smaller, restarts=1).plug_in()
    expected = score_data(mixture, ROWS, "log_density")
    taken = maxima.as_shape(mixture, larger)
    assert taken.covariance == larger
    np.testing.assert_allclose(score_data(taken, ROWS, "log_density"), expected, atol=1e-9)


def test_a_column_of_two_whole_numbers_is_said_to_be_at_the_floor_of_its_rounding():
    column = np.repeat([3.0, 4.0], [192, 8])
    rows = np.column_stack([GENERATOR.normal(size=200), column])
    told = re.escape("1 is as narrow as the floor allows in column 1 (variance 0.0833). The floor decides the width")
    for covariance in ("diag", "full"):  # the width of the values is 0.04, and of their rounding 1/12
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            at_mode(covariance, 1, rows)
        [floors] = [str(item.message) for item in caught if "floor" in str(item.message)]
        assert re.search(told, floors) and f"covariance={covariance!r} with 1 component:" in floors
        assert "no maximum" not in floors
