"""Marginals, conditionals, intervals and predictive densities of known mixtures, against SciPy and plain loops."""

import itertools

import numpy as np
import pandas as pd
import pytest
from known_mixtures import CENTRE, NAMES, D, K, Mixture, S, rows_near
from scipy import special, stats

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.scoring.queries import column_mask

SUBSETS = [[0], [2, 3], [0, 1, 3], [3, 1], [0, 1, 2, 3]]


@pytest.fixture(scope="module", params=list(COMPONENTS))
def mixture(request):
    return Mixture(request.param)


# --- Some columns


@pytest.mark.parametrize("columns", SUBSETS)
def test_marginal_density_is_that_of_scipy(mixture, columns):
    rows = rows_near(mixture)
    expected = special.logsumexp(mixture.log_joint(rows, sorted(columns)), axis=1)
    rows[:, [d for d in range(D) if d not in columns]] = np.nan  # is not looked at
    found = mixture.marginal_log_prob(rows, columns)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_marginal_of_all_columns_is_the_joint_and_of_none_is_1(mixture):
    rows = rows_near(mixture)
    np.testing.assert_allclose(mixture.marginal_log_prob(rows, NAMES), mixture.log_prob(rows), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(mixture.marginal_log_prob(rows, []), 0.0, atol=1e-6)
    assert mixture.marginal_log_prob(rows[:0], [1]).shape == (0,)


@pytest.mark.parametrize("given", [[0], [1, 3], [0, 1, 2]])
def test_conditional_mixture_is_that_of_the_textbook(mixture, given):
    """Bishop 2006, 2.81 and 2.82, column by column with numpy.linalg.solve."""
    rows, others = rows_near(mixture), [d for d in range(D) if d not in given]
    found = mixture.conditional(rows, [NAMES[d] for d in given])
    log_joint = mixture.log_joint(rows, given)
    weights = np.exp(log_joint - special.logsumexp(log_joint, axis=1, keepdims=True))
    np.testing.assert_allclose(found.weights, weights, atol=2e-6)
    locs, covariances = mixture.plug_in().components["locs"] + mixture.plug_in().centre, mixture.covariances()
    means, left = np.empty((len(rows), K, D)), np.zeros((K, D, D))
    for k in range(K):
        within, across = covariances[k][np.ix_(given, given)], covariances[k][np.ix_(others, given)]
        means[:, k, given] = rows[:, given]
        means[:, k, others] = locs[k, others] + (rows[:, given] - locs[k, given]) @ np.linalg.solve(within, across.T)
        left[k][np.ix_(others, others)] = covariances[k][np.ix_(others, others)] - across @ np.linalg.solve(
            within, across.T
        )
    away = found.means - mixture.plug_in().centre, means - mixture.plug_in().centre
    np.testing.assert_allclose(*away, atol=3e-6)
    np.testing.assert_allclose(found.scales, np.sqrt(np.diagonal(left, axis1=1, axis2=2)), atol=1e-9)
    assert (found.covariances is None) == ("precisions" in mixture.plug_in().components)
    if found.covariances is not None:
        np.testing.assert_allclose(found.covariances, left, atol=1e-9)
    expectation = (weights[:, :, None] * means).sum(axis=1)
    np.testing.assert_allclose(found.expectation - CENTRE, expectation - CENTRE, atol=2e-5)
    joint = special.logsumexp(mixture.log_joint(rows, list(range(D))), axis=1)
    np.testing.assert_allclose(found.log_prob + mixture.marginal_log_prob(rows, given), joint, rtol=1e-5, atol=1e-5)


def test_conditional_densities_and_marginals_integrate_to_one(mixture):
    grid = np.linspace(-40, 40, 8001)
    rows = np.tile(rows_near(mixture, 1), (len(grid), 1))
    rows[:, 1] = grid + CENTRE[1]
    conditional = np.exp(mixture.conditional(rows, [0, 2, 3]).log_prob.astype(float))
    marginal = np.exp(mixture.marginal_log_prob(rows, ["b"]).astype(float))
    assert np.trapezoid(conditional, grid) == pytest.approx(1.0, abs=1e-5)
    assert np.trapezoid(marginal, grid) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", ["plug_in", "predictive"])
def test_both_densities_integrate_to_one_over_all_columns(kind):
    """Four columns are too many for a grid: a mean of ratios over rows from SciPy's Normals of twice the covariance."""
    mixture = Mixture("full", centre=np.zeros(D))
    wide = [
        stats.multivariate_normal(loc, 2.0 * covariance)
        for loc, covariance in zip(mixture.plug_in().components["locs"], mixture.covariances())
    ]
    rows = np.concatenate([normal.rvs(20_000, random_state=k) for k, normal in enumerate(wide)])
    ratios = np.exp(mixture.log_prob(rows, kind)) / np.mean([normal.pdf(rows) for normal in wide], axis=0)
    error = ratios.std() / np.sqrt(len(rows))
    assert error < 0.01 and abs(ratios.mean() - 1.0) < 5 * error


def test_what_is_unknown_is_nan_in_its_own_row_only():
    mixture = Mixture("full")
    rows = rows_near(mixture)
    clean = mixture.conditional(rows, [0, 1])
    rows[2, 0], rows[4, 3] = np.inf, np.nan
    found = mixture.conditional(rows, [0, 1])
    good = np.arange(len(rows)) != 2
    for name in ("weights", "means", "expectation"):
        assert np.isnan(getattr(found, name)[2]).all()
        np.testing.assert_array_equal(getattr(found, name)[good], getattr(clean, name)[good])
    assert np.isnan(found.log_prob).tolist() == [row in (2, 4) for row in range(len(rows))]
    assert np.isnan(mixture.marginal_log_prob(rows, [0])).tolist() == [row == 2 for row in range(len(rows))]


def test_a_finite_value_beyond_float32_is_refused_where_it_is_looked_at():
    mixture = Mixture("diag")
    rows = rows_near(mixture)
    rows[3, 2] = 1e300
    assert np.isfinite(mixture.marginal_log_prob(rows, [0, 1])).all()
    with pytest.raises(ValueError, match="float32"):
        mixture.marginal_log_prob(rows, [2])


@pytest.mark.parametrize(
    "columns",
    [["e"], [4], [-1], [0, 0], ["a", 0], "a", 0, [True, False], [None], [0.0]],
    ids=[str(i) for i in range(10)],
)
def test_columns_that_are_not_there_are_refused(columns):
    mixture = Mixture("diag")
    with pytest.raises(ValueError, match=r"`columns` must be a list of names \(a, b, c, d\) or numbers from 0 to 3"):
        mixture.marginal_log_prob(rows_near(mixture), columns)
    with pytest.raises(ValueError, match=r"`given` must be a list of names"):
        mixture.conditional(rows_near(mixture), columns)


def test_without_names_columns_have_numbers_only():
    assert column_mask("columns", np.array([2, 0]), 3, None).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="must be a list of numbers from 0 to 2, each once. Received: 'a'"):
        column_mask("columns", ["a"], 3, None)


def test_imputed_rows_are_the_expectation_with_given_columns_as_they_are(mixture):
    rows = rows_near(mixture, 40)
    rows[:, 0] = np.arange(40) * 1234567.0 + 0.1  # float32 cannot hold it
    rows[3, 2] = np.nan
    found, whole = mixture.impute(rows, ["a", "c"]), mixture.conditional(rows, [0, 2])
    np.testing.assert_array_equal(found, whole.expectation)
    good = np.delete(np.arange(40), 3)
    np.testing.assert_array_equal(found[good][:, [0, 2]], rows[good][:, [0, 2]])
    np.testing.assert_array_equal(whole.means[good][:, :, 2], np.repeat(rows[good][:, 2:3], K, axis=1))
    assert np.isnan(found[3]).all()


def test_a_frame_need_not_have_what_is_not_given():
    mixture = Mixture("full")
    rows = rows_near(mixture)
    frame = pd.DataFrame(rows, columns=NAMES)
    for columns in (["c", "a"], pd.Index(["c", "a"]), pd.Series(["c", "a"]), (name for name in ("c", "a"))):
        found = mixture.marginal_log_prob(frame[["c", "a"]], columns)
        np.testing.assert_array_equal(found, mixture.marginal_log_prob(rows, [0, 2]))
    np.testing.assert_array_equal(mixture.impute(frame[["d"]], ["d"]), mixture.impute(rows, [3]))
    with pytest.raises(ValueError, match="'a'"):
        mixture.marginal_log_prob(frame[["c"]], ["c", "a"])


def test_a_value_beyond_float32_is_named_by_its_own_column():
    rows = rows_near(Mixture("diag"))
    rows[1, 2] = 1e39
    with pytest.raises(ValueError, match="row 1, column 'c'|column c|column 2"):
        Mixture("diag").marginal_log_prob(rows, [2])


# --- Intervals


def bands_by_loops(mixture, rows, level):
    log_densities, shares = [], []
    for s in range(S):
        joint = mixture.log_joint(rows, list(range(D)), mixture.parameters(s), mixture.drawn_weights[s])
        log_densities.append(special.logsumexp(joint, axis=1))
        shares.append(np.exp(joint - log_densities[-1][:, None]))
    ends = (1 - level) / 2, (1 + level) / 2
    return [
        np.quantile(values, end, axis=0, method="weibull")
        for values, end in itertools.product([log_densities, shares], ends)
    ]


@pytest.mark.parametrize("level", [0.9, 0.5, 63 / 65])
def test_interval_holds_the_quantiles_over_draws(mixture, level):
    rows = rows_near(mixture, 7)
    found = mixture.interval(rows, level)
    for values, expected in zip(found, bands_by_loops(mixture, rows, level)):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected, rtol=2e-5, atol=2e-5)


def test_interval_marks_rows_that_are_not_finite_and_grows_with_its_level():
    mixture = Mixture("full")
    rows = rows_near(mixture)
    rows[1, 1] = np.inf
    narrow, wide = mixture.interval(rows, 0.5), mixture.interval(rows, 0.9)
    assert all(np.isnan(values[1]).all() and np.isfinite(np.delete(values, 1, axis=0)).all() for values in wide)
    good = np.delete(np.arange(len(rows)), 1)
    assert (wide.log_prob_low[good] < narrow.log_prob_low[good]).all()
    assert (wide.log_prob_high[good] > narrow.log_prob_high[good]).all()
    assert mixture.interval(rows[:0]).responsibilities_low.shape == (0, K)
    for values, same in zip(mixture.interval(rows, np.float32(0.5)), narrow):
        np.testing.assert_array_equal(values, same)


@pytest.mark.parametrize("level", [0.0, 1.0, 0.97, -0.5, "0.9", None, True, float("nan")])
def test_a_level_that_64_draws_cannot_tell_is_refused(level):
    mixture = Mixture("diag")
    with pytest.raises(ValueError, match="`level` must be above 0 and at most 0.969. Received: "):
        mixture.interval(rows_near(mixture), level)


@pytest.mark.slow
def test_intervals_of_well_separated_mixtures_cover_the_true_density(capsys):
    """200 data sets of 400 rows: the 90 % interval holds the true log density at fixed points in 85 to 95 % of them."""
    weights, locs, scales = np.array([0.3, 0.5, 0.2]), np.array([-6.0, 0.0, 7.0]), np.array([0.8, 1.0, 1.2])
    points = (locs[:, None] + scales[:, None] * np.array([-1.5, -0.5, 0.0, 1.0])).ravel()
    truth = np.log((weights * stats.norm(locs, scales).pdf(points[:, None])).sum(axis=1))
    covered = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        chosen = generator.choice(3, size=400, p=weights)
        rows = generator.normal(locs[chosen], scales[chosen])[:, None]
        band = tfgmm.fit_mixture(rows, 3, restarts=1, seed=seed).interval(points[:, None])
        covered.append((band.log_prob_low < truth) & (truth < band.log_prob_high))
    with capsys.disabled():
        print("\ncoverage of 90 % intervals at each point:", np.mean(covered, axis=0), "in all:", np.mean(covered))
    assert 0.85 < np.mean(covered) < 0.95
    assert ((np.mean(covered, axis=0) > 0.80) & (np.mean(covered, axis=0) < 0.98)).all()
