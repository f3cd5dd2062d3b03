"""The pictures of means, losses and posterior draws, checked on the numbers inside the artists."""

from __future__ import annotations

import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from pictures import LIMITS, NORMAL, assert_nothing_is_cut_off, bars_of, contour_levels, rows_of, small_print
from scipy.stats import chi2, gaussian_kde

from tfgmm import plot

pytestmark = pytest.mark.usefixtures("no_figures_left")


def test_means_ellipses_hold_95_percent_of_a_normal_location():
    locs, scales = np.array([[0.0, 1.0], [4.0, 3.0]]), np.array([[0.1, 0.3], [0.2, 0.05]])
    _, ax = plt.subplots()
    plot.means(locs, scales, ax=ax)
    ellipses = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    radius = np.sqrt(chi2.ppf(0.95, 2))
    for ellipse, loc, scale in zip(ellipses, locs, scales, strict=True):
        np.testing.assert_allclose([ellipse.width, ellipse.height], 2 * radius * scale)
        np.testing.assert_allclose(ellipse.center, loc)
    assert [ellipse.get_edgecolor()[:3] for ellipse in ellipses] == [to_rgb(c) for c in plot.component_colours(2)]
    assert {"0", "1"} <= {text.get_text() for text in ax.texts}


def test_means_alone_come_with_one_magnified_panel_per_component_at_one_scale():
    ax = plot.means([[0.0, 1.0], [9.0, 3.0], [5.0, 5.0]], [[0.1, 0.3], [0.2, 0.05], [0.1, 0.1]])
    panels = ax.figure.axes[1:]
    assert ax.figure.axes[0] is ax and len(panels) == 3
    widths = [np.ptp(panel.get_xlim()) for panel in panels]
    np.testing.assert_allclose(widths, widths[0])
    for panel in panels:
        box = panel.patches[0].get_extents().transformed(panel.transAxes.inverted())
        assert box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1
    assert widths[0] < np.ptp(ax.get_xlim())


@pytest.mark.parametrize("num_components, below, left", [(1, [0], [0]), (2, [0, 1], [0]), (4, [1, 2, 3], [0, 3])])
def test_magnified_panels_are_named_at_the_outer_edges(num_components, below, left):
    locs = np.random.default_rng(0).normal(size=(num_components, 2))
    names = ("eruptions (minutes)", "waiting until the next eruption (minutes)")
    ax = plot.means(locs, np.full_like(locs, 0.1), column_names=names)
    panels = ax.figure.axes[1:]
    x_names = [panel.get_xlabel().replace("\n", " ") for panel in panels]
    y_names = [panel.get_ylabel().replace("\n", " ") for panel in panels]
    assert x_names == [names[0] if k in below else "" for k in range(num_components)]
    assert y_names == [names[1] if k in left else "" for k in range(num_components)]
    assert_nothing_is_cut_off(ax.figure)


def test_means_on_a_density_keep_its_frame_its_names_and_what_it_says():
    ax = plot.density(NORMAL.logpdf, limits=LIMITS, num_points=20, column_names=("a", "b"))
    plot.means([[1.0, 50.0], [90.0, 90.0]], [[0.1, 0.3]] * 2, ax=ax)
    assert (ax.get_xlim(), ax.get_ylim()) == LIMITS
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("Mixture density", "a", "b")
    assert "50 %" in small_print(ax) and "true to scale" in small_print(ax)
    assert all(patch.get_path_effects() for patch in ax.patches)
    plot.means([[1.0, 50.0]], [[0.1, 0.3]], column_names=("c", "d"), ax=ax)
    assert ax.get_xlabel() == "c"


def test_loss_lines_are_the_history_from_epoch_one():
    ax = plot.loss({"loss": [3.0, 2.0, 1.5], "val_loss": [3.1, 2.2, 1.9]})
    training, validation = ax.lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), [3.0, 2.0, 1.5])
    np.testing.assert_array_equal(validation.get_ydata(), [3.1, 2.2, 1.9])
    assert training.get_color() != validation.get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]


def test_loss_takes_a_keras_history_that_resumed():
    history = types.SimpleNamespace(history={"loss": [2.0, 1.0]}, epoch=[10, 11])
    np.testing.assert_array_equal(plot.loss(history).lines[0].get_xdata(), [11, 12])


def test_loss_leaves_high_first_epochs_above_the_frame_and_says_so():
    epochs = np.arange(200)
    values = 3 + 500 * np.exp(-epochs) + 0.2 * np.exp(-epochs / 60)
    ax = plot.loss({"loss": values})
    assert ax.get_ylim()[1] < 4 and ax.get_ylim()[0] < values.min()
    num_above = int((values > ax.get_ylim()[1]).sum())
    assert 0 < num_above <= 20
    assert f"{num_above} epochs are above this frame (the first: 503" in small_print(ax)
    assert len(ax.lines[0].get_ydata()) == 200


def test_loss_burn_in_matters_and_a_calm_loss_needs_none():
    calm = np.linspace(3, 2, 40)
    assert plot.loss({"loss": calm}).get_ylim()[1] > 3 and small_print(plot.loss({"loss": calm})) == ""
    assert plot.loss({"loss": calm}, burn_in=20).get_ylim()[1] < 3
    assert plot.loss({"loss": [900.0, 2.0, 1.0] + [1.0] * 57}, burn_in=0).get_ylim()[1] > 900


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0], [0.0, 0.0]])
def test_loss_of_one_epoch_or_without_change_is_drawn(values):
    low, high = plot.loss({"loss": values}).get_ylim()
    assert low < values[0] < high


def histogram_area(ax):
    edges, heights = bars_of(ax)
    return float(np.diff(edges) @ heights)


def test_posterior_histogram_has_area_one_and_marks_mean_and_quantiles():
    draws = np.random.default_rng(0).gamma(3.0, size=2_000)
    ax = plot.posterior(draws, label="spread (m)")
    assert histogram_area(ax) == pytest.approx(1.0)
    marked = sorted(line.get_xdata()[0] for line in ax.lines)
    np.testing.assert_allclose(marked, sorted([draws.mean(), *np.quantile(draws, [0.05, 0.95])]))
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[0].startswith("mean: 3.") and legend[1].startswith("90 % interval: 0.")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("spread (m)", "density")


def test_posterior_interval_and_colour_matter():
    draws = np.random.default_rng(0).normal(size=500)
    ax = plot.posterior(draws, label="x", interval=0.5, colour="#d55e00")
    np.testing.assert_allclose(ax.lines[1].get_xdata()[0], np.quantile(draws, 0.25))
    default = plot.posterior(draws, label="x")
    assert ax.patches[0].get_facecolor() != default.patches[0].get_facecolor()
    assert (ax.collections[0].get_facecolor() != default.collections[0].get_facecolor()).any()


def test_posterior_copes_with_long_tails_and_few_values():
    assert histogram_area(plot.posterior(np.r_[np.zeros(99), 1e6], label="x")) == pytest.approx(1.0)
    assert plot.posterior([1.0, 2.0], label="x").get_xlabel() == "x"


def test_joint_posterior_lines_hold_50_and_90_percent_of_the_draws():
    draws = rows_of(20_000)
    ax = plot.posterior_joint(draws, labels=("a", "b"))
    density = gaussian_kde(draws.T)(draws[:2_000].T)
    shares = [(density > level).mean() for level in contour_levels(ax)]
    # The kernel widens a bandwidth of n^(-1/6) = 0.19 sd: shares come out a little high; 3 standard errors are 0.034.
    np.testing.assert_allclose(shares, [0.5, 0.9], atol=0.05)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")
    np.testing.assert_allclose(np.ravel(ax.lines[-1].get_data()), draws.mean(axis=0))


def test_joint_posterior_aspect_and_colour():
    draws = np.random.default_rng(0).normal(size=(300, 2))
    ax = plot.posterior_joint(draws, labels=("a", "b"))
    assert ax.get_aspect() == 1.0
    assert plot.posterior_joint(draws * [1, 50], labels=("a", "b")).get_aspect() == "auto"
    other = plot.posterior_joint(draws, labels=("a", "b"), colour="#d55e00")
    assert not np.array_equal(ax.collections[0].get_facecolor(), other.collections[0].get_facecolor())
