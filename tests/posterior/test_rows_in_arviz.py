"""Rows of the fit in ArviZ: log likelihoods by plain loops, leave-one-out in closed form, simulated rows, bad input."""

from __future__ import annotations

import dataclasses
import math

import arviz
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

from tfgmm.posterior import row_arrays
from tfgmm.posterior.draws import Draws

# Of ArviZ 0.23 with matplotlib 3.11 and pandas 3.1
of_others = pytest.mark.filterwarnings(
    "ignore:Passing a dict or None as alias_mapping:DeprecationWarning",
    "ignore:The inplace keyword in DataFrame.sort_values:DeprecationWarning:arviz",
)
NAMES = ("length", "width", "height")


def random_draws(covariance="diag", num_columns=3, num_chains=2, num_draws=6, num_components=3, seed=0, spread=3.0):
    """Returns draws whose numbers are random, far from 0."""
    generator = np.random.default_rng(seed)
    shape = (num_chains, num_draws, num_components, num_columns)
    weights, locs = generator.dirichlet(np.ones(num_components), shape[:2]), generator.normal(100.0, spread, shape)
    names = NAMES[:num_columns]
    if covariance == "diag":
        return Draws(weights, locs, generator.gamma(5.0, 0.2, shape), names)
    roots = generator.normal(size=(*shape, 2 * num_columns)) / math.sqrt(2 * num_columns)
    covariances = roots @ roots.swapaxes(-1, -2)
    return Draws(weights, locs, np.sqrt(np.einsum("...dd->...d", covariances)), names, covariances)


def random_rows(num_rows=15, num_columns=3, gaps=False, seed=1):
    generator = np.random.default_rng(seed)
    rows = generator.normal(100.0, 3.0, (num_rows, num_columns))
    if gaps:
        rows[1, 0] = rows[4, 1:] = rows[5, 1:] = rows[7, [0, 2]] = np.nan
    return rows


def plain_log_likelihoods(draws, rows, noise=None):
    """One row under one component of one draw after the other, by SciPy: (C, S, N)."""
    found = np.empty((*draws.weights.shape[:2], len(rows)))
    for c, s, n in np.ndindex(found.shape):
        shown, terms = np.flatnonzero(~np.isnan(rows[n])), []
        for k, weight in enumerate(draws.weights[c, s]):
            matrix = np.diag(draws.scales[c, s, k] ** 2) if draws.covariances is None else draws.covariances[c, s, k]
            if noise is not None:
                matrix = matrix + (np.diag(noise[n] ** 2) if noise.ndim == 2 else noise[n])
            of_shown = stats.multivariate_normal(draws.locs[c, s, k][shown], matrix[np.ix_(shown, shown)])
            terms.append((np.log(weight) if weight else -np.inf) + of_shown.logpdf(rows[n][shown]))
        found[c, s, n] = logsumexp(terms)
    return found


def noise_of_kind(kind, rows):
    generator = np.random.default_rng(3)
    if kind is None:
        return None
    if kind == "deviations":
        return generator.gamma(2.0, 0.5, rows.shape)
    roots = generator.normal(size=(*rows.shape, 2))  # covariances of rank 2
    return roots @ roots.swapaxes(-1, -2)


# --- Log likelihoods


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("kind", [None, "deviations", "covariances"])
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_log_likelihoods_are_those_of_a_plain_loop(covariance, kind, gaps):
    draws, rows = random_draws(covariance), random_rows(gaps=gaps)
    noise = noise_of_kind(kind, rows)
    found = draws.to_arviz(rows, noise=noise).log_likelihood["rows"]
    assert found.dims == ("chain", "draw", "row")
    np.testing.assert_allclose(found, plain_log_likelihoods(draws, rows, noise), rtol=0, atol=2e-5)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_one_column_and_components_of_weight_0(covariance):
    draws, rows = random_draws(covariance, num_columns=1), random_rows(num_columns=1)
    weights = draws.weights.copy()
    weights[0, :3] = [0.0, 0.25, 0.75]
    draws = dataclasses.replace(draws, weights=weights)
    for noise in (None, np.full_like(rows, 0.5)):
        found = draws.to_arviz(rows, noise=noise).log_likelihood["rows"]
        np.testing.assert_allclose(found, plain_log_likelihoods(draws, rows, noise), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", [list, np.asarray, pd.Series])
def test_one_column_needs_no_second_axis(kind):
    draws, rows = random_draws(num_columns=1), random_rows(num_columns=1)
    noise = np.linspace(0.0, 1.0, 15)
    for options, second in (({}, {}), ({"noise": noise[:, None]}, {"noise": kind(noise)})):
        expected = draws.to_arviz(rows, **options).log_likelihood["rows"]
        found = draws.to_arviz(kind(rows[:, 0]), **second).log_likelihood["rows"]
        np.testing.assert_array_equal(found, expected)


def test_more_draws_than_are_worked_on_together(monkeypatch):
    draws, rows = random_draws(num_draws=50), random_rows()
    whole = draws.to_arviz(rows).log_likelihood["rows"]
    monkeypatch.setattr("tfgmm.posterior.row_likelihoods._COMPONENTS", 21)  # seven draws, and two left at the end
    np.testing.assert_allclose(draws.to_arviz(rows).log_likelihood["rows"], whole, rtol=1e-12)


def test_the_order_of_components_does_not_matter():
    draws, rows = random_draws("full", num_draws=50, spread=0.5), random_rows(gaps=True)
    orders = np.random.default_rng(4).permuted(np.broadcast_to(np.arange(3), draws.weights.shape), axis=-1)
    one, other = (found.to_arviz(rows) for found in (draws, draws.permuted(orders)))
    np.testing.assert_allclose(one.log_likelihood["rows"], other.log_likelihood["rows"], rtol=0, atol=1e-9)


# --- What ArviZ makes of them


def conjugate_draws(rows, num_draws, seed=0):
    """Returns exact draws of one normal with prior 1 / variance ~ Gamma(2, 2), mean ~ Normal(0, variance)."""
    generator, size = np.random.default_rng(seed), len(rows)
    shape, rate, loc = posterior_of(rows)
    variances = 1.0 / generator.gamma(shape, 1.0 / rate, (2, num_draws))
    locs = loc + np.sqrt(variances / (size + 1.0)) * generator.standard_normal(variances.shape)
    return Draws(np.ones((2, num_draws, 1)), locs[..., None, None], np.sqrt(variances)[..., None, None])


def posterior_of(rows):
    loc = rows.sum() / (len(rows) + 1.0)
    rate = 2.0 + 0.5 * (np.square(rows).sum() - (len(rows) + 1.0) * loc**2)
    return 2.0 + 0.5 * len(rows), rate, loc


def without_each(rows):
    """Returns the density of a row under the posterior of the others, for each of the rows."""
    found = []
    for left in range(len(rows)):
        shape, rate, loc = posterior_of(np.delete(rows, left))
        found.append(stats.t(2.0 * shape, loc, math.sqrt(rate / shape * (1.0 + 1.0 / len(rows)))))
    return found


def test_leaving_one_out_is_what_the_closed_form_says():
    rows = stats.norm(1.0, 2.0).ppf((np.arange(40) + 0.5) / 40)
    expected = [density.logpdf(row) for row, density in zip(rows, without_each(rows))]
    data = conjugate_draws(rows, 4_000).to_arviz(rows[:, None], predictive=0)
    found = arviz.loo(data, pointwise=True)
    np.testing.assert_allclose(found.loo_i, expected, rtol=0, atol=0.03)
    assert found.elpd_loo == pytest.approx(sum(expected), abs=0.05)
    assert arviz.waic(data).elpd_waic == pytest.approx(sum(expected), abs=0.05)


def test_places_among_simulated_rows_are_what_the_closed_form_says():
    rows = stats.norm(1.0, 2.0).ppf((np.arange(40) + 0.5) / 40)
    data = conjugate_draws(rows, 2_000).to_arviz(rows, predictive=4_000)  # a set from every draw
    found = arviz.loo_pit(data.isel(feature=0), y="rows")
    expected = [density.cdf(row) for row, density in zip(rows, without_each(rows))]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.04)


@of_others
def test_models_are_compared_and_the_better_one_is_first():
    generator = np.random.default_rng(6)
    rows = np.concatenate([generator.normal(-3.0, 1.0, 30), generator.normal(3.0, 1.0, 30)])
    one = conjugate_draws(rows, 500)
    two = Draws(
        np.full((2, 500, 2), 0.5),
        np.array([-3.0, 3.0])[:, None] + generator.normal(0.0, 0.2, (2, 500, 2, 1)),
        np.exp(generator.normal(0.0, 0.1, (2, 500, 2, 1))),
    )
    table = arviz.compare({"one": one.to_arviz(rows[:, None]), "two": two.to_arviz(rows[:, None])})
    assert list(table.index) == ["two", "one"] and table["elpd_diff"]["one"] > 20


@of_others
def test_simulated_rows_are_drawn_beside_those_seen():
    draws, rows = random_draws(num_draws=40, spread=0.3), random_rows(gaps=True)
    axes = arviz.plot_ppc(draws.to_arviz(rows, predictive=10), flatten=["row"])
    assert [ax.get_xlabel().splitlines() for ax in axes.ravel()] == [["rows", name] for name in NAMES]
    assert min(len(ax.lines) for ax in axes.ravel()) >= 12  # ten sets, what was seen, and the mean
    [ax] = np.ravel(arviz.plot_ppc(random_draws(num_columns=1, num_draws=40).to_arviz(random_rows(num_columns=1))))
    assert ax.get_xlabel().startswith("rows")
    plt.close("all")


# --- Simulated rows


def test_groups_have_named_coordinates_and_rows_without_a_value_are_left_out():
    draws, rows = random_draws(), random_rows(gaps=True)
    rows[3] = np.nan
    data = draws.to_arviz(pd.DataFrame(rows, columns=NAMES)[["height", "length", "width"]], predictive=4)
    kept = np.delete(rows, 3, axis=0)
    np.testing.assert_array_equal(data.observed_data["rows"], kept)
    assert data.observed_data["rows"].dims == ("row", "feature")
    assert data.posterior_predictive["rows"].dims == ("chain", "draw", "row", "feature")
    assert data.posterior_predictive["draw"].values.tolist() == [0, 3]
    for group in (data.log_likelihood, data.observed_data, data.posterior_predictive):
        assert group["row"].values.tolist() == [0, 1, 2, *range(4, 15)]
    assert data.observed_data["feature"].values.tolist() == list(NAMES)
    simulated = data.posterior_predictive["rows"]
    np.testing.assert_array_equal(np.isnan(simulated), np.broadcast_to(np.isnan(kept), simulated.shape))
    np.testing.assert_allclose(data.log_likelihood["rows"], plain_log_likelihoods(draws, kept), atol=2e-5)


def test_rows_of_files_come_with_the_columns_of_their_noise(tmp_path):
    draws, rows = random_draws(), random_rows(gaps=True)
    noise = np.zeros_like(rows)
    noise[:, 1] = 0.7
    expected = draws.to_arviz(rows, noise=noise)
    frame = pd.DataFrame(rows, columns=NAMES).assign(error=0.7)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for source in (frame, tmp_path / "rows.csv"):
        found = draws.to_arviz(source, noise={"width": "error"})
        np.testing.assert_allclose(found.log_likelihood["rows"], expected.log_likelihood["rows"], rtol=1e-12)
        np.testing.assert_allclose(found.observed_data["rows"], rows, rtol=1e-12)


def test_infinite_noise_is_a_gap():
    draws, rows = random_draws(), random_rows()
    noise = np.zeros_like(rows)
    noise[2, 1] = np.inf
    data = draws.to_arviz(rows, noise=noise)
    rows[2, 1] = np.nan
    np.testing.assert_array_equal(data.observed_data["rows"], rows)
    np.testing.assert_array_equal(data.log_likelihood["rows"], draws.to_arviz(rows).log_likelihood["rows"])


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("kind", [None, "deviations", "covariances"])
def test_simulated_rows_have_the_moments_of_their_draws(covariance, kind):
    """Many rows with the same noise: each set has the mean and covariance of its draw, plus that of the noise."""
    draws, rows = random_draws(covariance, num_draws=3), np.full((20_000, 3), 100.0)
    noise = noise_of_kind(kind, rows[:1])
    extra = np.zeros((3, 3)) if noise is None else np.diag(noise[0] ** 2) if noise.ndim == 2 else noise[0]
    whole = None if noise is None else np.broadcast_to(noise, (20_000, *noise.shape[1:]))
    data = draws.to_arviz(rows, noise=whole, predictive=4)
    chosen = data.posterior_predictive["draw"].values
    for c, place in np.ndindex(2, 2):
        found, s = data.posterior_predictive["rows"].values[c, place], chosen[place]
        weights, locs = draws.weights[c, s], draws.locs[c, s]
        within = draws.covariances[c, s] if covariance == "full" else draws.scales[c, s][:, None] ** 2 * np.eye(3)
        mean = weights @ locs
        expected = np.einsum("k,kde->de", weights, within) + (weights * (locs - mean).T) @ (locs - mean) + extra
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=5 * np.sqrt(expected.max() / 20_000))
        np.testing.assert_allclose(np.cov(found.T), expected, atol=0.05 * expected.max())


def test_number_and_seed_of_simulated_sets():
    draws, rows = random_draws(num_draws=200), random_rows()
    sizes = {asked: draws.to_arviz(rows, predictive=asked) for asked in (None, 0, 3, 10_000)}
    assert sizes[None].posterior_predictive.sizes["draw"] == 50  # of each chain
    assert not hasattr(sizes[0], "posterior_predictive") and hasattr(sizes[0], "log_likelihood")
    assert sizes[3].posterior_predictive["draw"].values.tolist() == [0, 100]
    assert sizes[10_000].posterior_predictive.sizes["draw"] == 200  # all
    one, same, other = (draws.to_arviz(rows, seed=seed).posterior_predictive["rows"].values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_large_sets_are_fewer(monkeypatch):
    draws, rows = random_draws(num_draws=40), random_rows()
    monkeypatch.setattr(row_arrays, "LARGEST", 45 * 30)
    assert draws.to_arviz(rows).posterior_predictive.sizes["draw"] == 15
    with pytest.raises(ValueError, match=r"`predictive` must be 30 at most for 45 values: .* Received: 31. A hundred"):
        draws.to_arviz(rows, predictive=31)


# --- There and back, and fewer draws


def test_draws_come_back_from_data_with_rows_and_from_its_file(tmp_path):
    draws, rows = random_draws("full"), random_rows(gaps=True)
    data = draws.to_arviz(rows)
    data.to_netcdf(str(tmp_path / "draws.nc"))
    for source in (data, tmp_path / "draws.nc"):
        found = Draws.from_arviz(source)
        np.testing.assert_array_equal(found.locs, draws.locs)
        np.testing.assert_array_equal(found.covariances, draws.covariances)
        assert found.column_names == NAMES
    read = arviz.from_netcdf(str(tmp_path / "draws.nc"))
    np.testing.assert_array_equal(read.log_likelihood["rows"], data.log_likelihood["rows"])


# --- Bad input


@pytest.mark.parametrize(
    ("rows", "options", "error", "words"),
    [
        (np.zeros((4, 2)), {}, ValueError, r"`rows` must have shape \(N, 3\)"),
        (np.zeros((0, 3)), {}, ValueError, "`rows` must hold at least one row. Received: none. Pass the rows"),
        (
            np.full((4, 3), np.nan),
            {},
            ValueError,
            "`rows` must have rows with a value .* only 4 rows without any value",
        ),
        (np.array([[0, 0, 0], [0, np.inf, 0]]), {}, ValueError, "1 infinite value, the first in row 1, column 'width'"),
        (np.array([[0, 0, 1e300]]), {}, ValueError, "within 3.4e38 .* column 'height'"),
        ((np.zeros((4, 3)), None, np.ones(4)), {}, TypeError, "`rows` must be rows alone: .* weights. Repeat them"),
        ([["a", "b", "c"]], {}, TypeError, "`rows`"),
        (np.zeros((4, 3)), {"noise": np.full((4, 3), -1.0)}, ValueError, "`noise` must be standard deviations of 0"),
        (np.zeros((4, 3)), {"predictive": -1}, ValueError, "`predictive` must be a whole number of at least 0"),
        (np.zeros((4, 3)), {"predictive": 2.5}, ValueError, "`predictive` must be a whole number"),
        (np.zeros((4, 3)), {"seed": -1}, ValueError, "`seed` must be a whole number"),
        (None, {"predictive": 3}, ValueError, "`predictive` must be left out without rows. Received: no rows. Pass"),
        (None, {"noise": np.zeros((4, 3))}, ValueError, "`noise` must be left out without rows"),
    ],
)
def test_rows_that_cannot_be_are_named(rows, options, error, words):
    with pytest.raises(error, match=words):
        random_draws().to_arviz(rows, **options)


def test_columns_of_other_names_are_refused():
    with pytest.raises(ValueError, match="'depth'"):
        random_draws().to_arviz(pd.DataFrame(random_rows(), columns=["length", "width", "depth"]))


def test_too_many_rows_are_refused_before_any_work(monkeypatch):
    draws = random_draws(num_draws=500)
    monkeypatch.setattr(row_arrays, "LARGEST", 10_000)
    words = r"`rows` must be 10 rows at most for 1,000 draws: .* 10,000 numbers .* Received: 11 rows. Thin the draws"
    with pytest.raises(ValueError, match=words):
        draws.to_arviz(random_rows(11))
    assert draws.thinned(10).to_arviz(random_rows(11), predictive=0).log_likelihood.sizes["row"] == 11


def test_draws_that_are_not_finite_have_no_log_likelihoods():
    draws = random_draws("full")
    draws.covariances[0, 0, 0, 0, 1] = np.nan
    with pytest.raises(ValueError, match="`draws` must be finite, and their scales positive"):
        draws.to_arviz(random_rows())
    none = Draws(np.ones((1, 0, 1)), np.ones((1, 0, 1, 3)), np.ones((1, 0, 1, 3)))
    with pytest.raises(ValueError, match="`draws` must hold at least one draw"):
        none.to_arviz(random_rows())
