"""Restarts, and rows beside predicted rows: checked on the numbers inside the artists."""

from __future__ import annotations

import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import assert_nothing_is_cut_off, bars_of, small_print
from scipy.stats import binom, norm

from tfgmm import Draws, plot

pytestmark = pytest.mark.usefixtures("no_figures_left")

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=400)
SETS = 2.0 * RNG.normal(size=(300, 400))
STANDARD = Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 2)), np.array([1.0, 3.0]).reshape(1, 1, 1, 2), ("a", "b"))


def texts_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_restarts_are_measured_from_the_best_of_all():
    paths = [[-120.0, -101.0, -100.0], [-130.0, -110.5, -110.0], [-140.0, -120.0, -100.05, -100.02]]
    ax = plot.restarts(paths)
    drawn = {tuple(line.get_ydata().round(6)) for line in ax.lines if len(line.get_xdata()) > 1}
    assert drawn == {(20.0, 1.0, 0.001), (30.0, 10.5, 10.0), (40.0, 20.0, 0.05, 0.02)}
    assert ax.get_yscale() == "log" and ax.get_ylim()[0] == 0.001
    assert "best bound -100.0 nats; 2 different optima" in small_print(ax)
    assert sorted(texts_of(ax)) == ["1 ended below it", "2 reached the best"]
    [end] = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert (end.get_xdata()[0], end.get_ydata()[0]) == (3, 10.0)
    assert ax.lines[0].get_linestyle() != ax.lines[-1].get_linestyle()  # told apart in grey
    assert_nothing_is_cut_off(ax.figure)


def test_restarts_of_a_fit_are_taken_as_they_are():
    fits = [types.SimpleNamespace(elbos=np.array([-5.0, -3.0])), types.SimpleNamespace(elbos=np.array([-4.0, -3.0]))]
    _, ax = plt.subplots()
    assert plot.restarts(fits, ax=ax) is ax
    assert ax.get_title() == "2 restarts" and "1 optimum" in small_print(ax)


def test_a_triangle_stands_where_components_moved():
    path, moves = np.array([-9.0, -8.0, -4.0, -3.0]), [types.SimpleNamespace(sweep=2)]
    ax = plot.restarts([types.SimpleNamespace(elbos=path, moves=moves), types.SimpleNamespace(elbos=path - 1.0)])
    [mark] = [line for line in ax.lines if line.get_marker() == "^"]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([2], [5.0])
    assert sorted(texts_of(ax)) == ["1 ended below it", "1 reached the best", "components moved"]
    assert "components moved" not in texts_of(plot.restarts([path]))


def test_the_band_is_the_quantiles_of_the_bars_of_each_set():
    ax = plot.predictive_check(ROWS, SETS, column_name="length (m)")
    band, middle, real = (patch.get_data() for patch in ax.patches)
    edges = real.edges
    np.testing.assert_array_equal(band.edges, edges)
    counts = np.array([[((one >= a) & (one < b)).sum() for a, b in zip(edges[:-1], edges[1:])] for one in SETS])
    heights = counts / (400 * np.diff(edges))
    np.testing.assert_allclose(band.baseline, np.quantile(heights, 0.05, axis=0))
    np.testing.assert_allclose(band.values, np.quantile(heights, 0.95, axis=0))
    np.testing.assert_allclose(middle.values, np.median(heights, axis=0))
    assert np.sum(real.values * np.diff(edges)) == pytest.approx(1.0)
    assert texts_of(ax) == ["90 % of 300 predicted sets", "their median", "400 rows"]
    assert ax.get_xlabel() == "length (m)"
    assert_nothing_is_cut_off(ax.figure)


def test_draws_give_as_many_predicted_rows_as_the_data_has():
    rows = np.stack([ROWS, 3 * ROWS], axis=1)
    ax = plot.predictive_check(rows, STANDARD, column="b", num_sets=400, seed=1)
    band, _, real = (patch.get_data() for patch in ax.patches)
    share = np.diff(norm.cdf(real.edges, 0, 3.0))
    for level, found in ((0.05, band.baseline), (0.95, band.values)):
        counts = np.round(found * np.diff(real.edges) * 400, 6)
        # A quantile of 400 sets is that of the counts, give or take the noise of its own
        low, high = (binom.ppf(np.clip(level + change, 0.001, 0.999), 400, share) for change in (-0.045, 0.045))
        assert ((counts >= low) & (counts <= high)).all()
    assert ax.get_xlabel() == "b" and texts_of(ax)[0] == "90 % of 400 predicted sets"
    again, other = (
        plot.predictive_check(rows, STANDARD, column=1, num_sets=400, seed=seed).patches[0].get_data().values
        for seed in (1, 2)
    )
    assert (again == band.values).all() and (other != band.values).any()
    one = plot.predictive_check(rows[:, 1], STANDARD, column="b", num_sets=400, seed=1)
    np.testing.assert_array_equal(one.patches[0].get_data().values, band.values)


@pytest.mark.parametrize(
    ("statistic", "name", "function"),
    [(0.5, "median", np.median), (1, "largest value", np.max), (0.05, "5 % quantile", None), (np.std, "std", np.std)],
)
def test_a_statistic_of_the_data_stands_among_those_of_the_predicted_sets(statistic, name, function):
    ax = plot.predictive_statistic(ROWS, SETS, statistic, column_name="length (m)")
    value_of = function or (lambda rows: np.quantile(rows, 0.05))
    observed, replicated = value_of(ROWS), [value_of(one) for one in SETS]
    assert ax.lines[0].get_xdata()[0] == pytest.approx(observed)
    edges, heights = bars_of(ax)
    assert heights.sum() == 300 and edges[0] == pytest.approx(min(replicated))
    share = sum(value > observed for value in replicated) / 300
    said = small_print(ax)
    expected = "more than 99.67 %" if share == 1 else "less than 0.33 %" if share == 0 else f"{100 * share:.0f} %"
    assert said == f"larger in {expected} of predicted sets"
    assert ax.get_xlabel() == f"{name} of length (m)" and ax.get_title() == f"Predicted {name}"
    assert_nothing_is_cut_off(ax.figure)


def test_equal_statistics_count_by_half_and_have_a_name():
    ax = plot.predictive_statistic(ROWS, SETS[:10], len, name="length of the file")
    assert small_print(ax) == "larger in 50 % of predicted sets" and "length of the file" in ax.get_title()


def test_a_statistic_of_draws_takes_their_column():
    ax = plot.predictive_statistic(np.stack([ROWS, 9 * ROWS], axis=1), STANDARD, np.std, column="b", num_sets=50)
    assert ax.lines[0].get_xdata()[0] == pytest.approx(np.std(9 * ROWS))
    assert small_print(ax) == "larger in less than 2 % of predicted sets" and bars_of(ax)[1].sum() == 50
    seeds = [bars_of(plot.predictive_statistic(ROWS, STANDARD, column=0, num_sets=9, seed=s))[0][0] for s in (1, 2)]
    assert seeds[0] != seeds[1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plot.restarts([]), ValueError, "`restarts` must not be empty"),
        (lambda: plot.restarts([[1.0, np.nan]]), ValueError, r"`restarts\[0\]` must hold finite numbers"),
        (lambda: plot.predictive_check(ROWS, STANDARD, column="c"), ValueError, "`column` .*'a', 'b'. Received: 'c'"),
        (lambda: plot.predictive_check(SETS, STANDARD), ValueError, r"`rows` must have shape \(N, 2\)"),
        (lambda: plot.predictive_check(ROWS, STANDARD, num_sets=1), ValueError, "`num_sets` .* at least 2"),
        (lambda: plot.predictive_check(ROWS, STANDARD, seed=-1), ValueError, "`seed` must be"),
        (lambda: plot.predictive_statistic(ROWS, SETS[0]), ValueError, "`predicted` must be at least two sets"),
        (lambda: plot.predictive_statistic(ROWS, SETS, 50), ValueError, "`statistic` must be a quantile from 0 to 1"),
        (lambda: plot.predictive_statistic(ROWS, SETS, "mean"), TypeError, "`statistic` must be a quantile or a"),
        (lambda: plot.predictive_statistic(ROWS, SETS, np.sort), ValueError, "`statistic` must give one finite number"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
    assert not plt.get_fignums()
