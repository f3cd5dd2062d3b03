"""The pictures of steps, of mixtures of one column and of chains, checked on the numbers inside the artists."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from pictures import assert_nothing_is_cut_off, small_print
from scipy.stats import norm

from tfgmm import plot

pytestmark = pytest.mark.usefixtures("no_figures_left")

ROWS = np.array([0.0, 1.0, 10.0, 11.0, 12.0])


def lines_of(ax):
    return {line.get_label(): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in ax.lines}


def test_convergence_has_every_loss_on_a_logarithmic_axis():
    ax = plot.convergence([30.0, 20.0, 17.4])
    [(steps, losses)] = lines_of(ax).values()
    assert steps.tolist() == [1, 2, 3] and losses.tolist() == [30.0, 20.0, 17.4]
    assert ax.get_yscale() == "log" and small_print(ax) == ""
    assert_nothing_is_cut_off(ax.figure)


def test_losses_without_a_logarithm_are_on_an_even_axis_that_says_so():
    ax = plot.convergence([3.0, -1.0])
    assert ax.get_yscale() == "linear" and "not positive" in small_print(ax)
    assert_nothing_is_cut_off(ax.figure)


def test_gradient_norms_have_a_line_each_and_no_zero():
    ax = plot.gradient_norms({"locs": [2.0, 0.0, 0.5], "scale": [1.0, 0.1, 0.01]})
    lines = lines_of(ax)
    np.testing.assert_array_equal(lines["locs"][1], [2.0, np.nan, 0.5])
    np.testing.assert_array_equal(lines["scale"][1], [1.0, 0.1, 0.01])
    assert ax.get_yscale() == "log"
    assert len({line.get_linestyle() for line in ax.lines}) == 2  # told apart in grey


def test_weighted_components_and_their_sum_are_densities():
    weights, locs, scales = [0.375, 0.625], [0.5, 11.0], [0.65, 0.02]
    ax = plot.weighted_components(weights, locs, scales, ROWS, column_name="length (m)")
    lines = lines_of(ax)
    for k in range(2):
        x, y = lines[f"component {k}"]
        np.testing.assert_allclose(y, weights[k] * norm.pdf(x, locs[k], scales[k]), atol=1e-12)
        assert np.trapezoid(y, x) == pytest.approx(weights[k], abs=1e-3)  # a narrow peak is not missed
    assert np.trapezoid(*lines["sum"][::-1]) == pytest.approx(1.0, abs=2e-3)
    assert lines["5 rows"][0].tolist() == ROWS.tolist()
    assert ax.get_xlabel() == "length (m)"
    assert [to_hex(line.get_color()) for line in ax.lines[:2]] == plot.component_colours(2)
    assert_nothing_is_cut_off(ax.figure)


def test_one_scale_for_all_components_is_enough():
    both = [plot.weighted_components([0.5, 0.5], [0.0, 3.0], scales) for scales in (0.7, [0.7, 0.7])]
    for one, other in zip(*(lines_of(ax).values() for ax in both), strict=True):
        np.testing.assert_array_equal(one, other)


def test_assignments_are_marks_in_the_colour_of_their_component():
    ax = plot.assignments([1.0, 2.0, 3.0], [2, 0, 2], num_components=3, title="Most probable component")
    for k, (line, x) in enumerate(zip(ax.lines, ([2.0], [], [1.0, 3.0]), strict=True)):
        assert line.get_xdata().tolist() == x and set(line.get_ydata()) <= {k}
        assert to_hex(line.get_color()) == plot.component_colours(3)[k]
    assert ax.get_title() == "Most probable component"


def test_probabilities_have_a_series_per_component():
    shares = np.array([[0.9, 0.1], [0.2, 0.8]])
    ax = plot.assignment_probabilities([0.0, 10.0], shares, locs=[0.5, 11.0])
    lines = lines_of(ax)
    np.testing.assert_array_equal(lines["component 0, mean 0.5"][1], shares[:, 0])
    np.testing.assert_array_equal(lines["component 1, mean 11"][1], shares[:, 1])
    assert len({line.get_marker() for line in ax.lines}) == 2


def test_traces_follow_each_other_chain_by_chain():
    values = np.random.default_rng(0).normal(size=(2, 5, 3))
    ax = plot.trace(values, label="location (m)")
    series = [line for line in ax.lines if len(line.get_xdata()) == 5]
    np.testing.assert_array_equal(series[0].get_ydata(), values[0, :, 0])
    np.testing.assert_array_equal(series[-1].get_ydata(), values[1, :, 2])
    assert series[-1].get_xdata().tolist() == [5, 6, 7, 8, 9]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["component 0", "component 1", "component 2"]
    assert plot.trace(values[:1], label="a").get_xlabel() == "draw"


def test_joint_histograms_count_all_draws():
    draws = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 3.0]
    ax = plot.joint_histogram(draws, labels=("a", "b"), num_bins=7)
    counts = ax.collections[0].get_array()
    assert counts.shape == (7, 7) and counts.sum() == 500
    expected, _, _ = np.histogram2d(*draws.T, bins=7)
    np.testing.assert_array_equal(counts, expected.T)
    assert_nothing_is_cut_off(ax.figure)


def test_axes_of_ones_own_are_drawn_on():
    _, axes = plt.subplots(2, 4, layout="constrained")
    flat = axes.ravel()
    drawn = [
        plot.convergence([1.0], ax=flat[0]),
        plot.gradient_norms({"a": [1.0]}, ax=flat[1]),
        plot.weighted_components([1.0], [0.0], 1.0, ax=flat[2]),
        plot.assignments([1.0], [0], ax=flat[3]),
        plot.assignment_probabilities([1.0], [[1.0]], ax=flat[4]),
        plot.trace(np.zeros((1, 2, 1)), label="a", ax=flat[5]),
        plot.joint_histogram([[0.0, 1.0], [1.0, 0.0]], labels=("a", "b"), ax=flat[6]),
    ]
    assert all(found is given for found, given in zip(drawn, flat))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plot.convergence([]), ValueError, "`losses` must not be empty"),
        (lambda: plot.convergence([1.0, np.nan]), ValueError, "`losses` must hold finite numbers"),
        (lambda: plot.gradient_norms([1.0]), TypeError, "`norms` must be a mapping"),
        (lambda: plot.gradient_norms({}), ValueError, "`norms` must not be empty"),
        (lambda: plot.gradient_norms({"a": [-1.0]}), ValueError, "`norms` must not be negative"),
        (lambda: plot.weighted_components([1.0], [0.0], 0.0), ValueError, "`scales` must be positive"),
        (lambda: plot.weighted_components([1.0], [0.0, 1.0], 1.0), ValueError, r"`weights` must have shape \(2,\)"),
        (lambda: plot.weighted_components([1.0], [0.0], [1.0, 2.0]), ValueError, r"`scales` must have shape \(1,\)"),
        (lambda: plot.assignments([1.0, 2.0], [0]), ValueError, r"`components` must have shape \(2,\)"),
        (lambda: plot.assignments([1.0], [-1]), ValueError, "`components` must be whole numbers from 0 to 0"),
        (lambda: plot.assignments([1.0], [2], num_components=2), ValueError, "from 0 to 1. Received: 2"),
        (lambda: plot.assignment_probabilities([1.0], [[1.0], [0.0]]), ValueError, r"`probabilities` must have shape"),
        (lambda: plot.trace(np.zeros((5, 2)), label="a"), ValueError, r"`values` must have shape \(C, S, K\)"),
        (lambda: plot.joint_histogram(np.zeros((5, 3)), labels=("a", "b")), ValueError, r"`values` must have shape"),
        (lambda: plot.joint_histogram(np.zeros((5, 2)), labels=("a", "b"), num_bins=1), ValueError, "`num_bins`"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
    assert not plt.get_fignums()
