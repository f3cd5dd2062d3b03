"""The pictures, checked on the numbers inside the artists rather than on pixels."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
import types

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from scipy.stats import chi2, multivariate_normal

from tfgmm import plot
from tfgmm.plot.colours import DENSITY_COLORMAP
from tfgmm.plot.frames import padded_limits, shown_number
from tfgmm.plot.grids import Grid, cell_edges, density_grid, mass_levels

MODULES = ("colours", "frames", "grids", "densities", "locations", "histories", "posteriors")
NORMAL = multivariate_normal([1.0, 50.0], [[0.25, 1.0], [1.0, 16.0]])
LIMITS = ((-2.0, 4.0), (25.0, 75.0))


@pytest.fixture(autouse=True)
def _no_figures_left():
    plt.close("all")
    settings = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings


def rows_of(num_rows, seed=0):
    return NORMAL.rvs(num_rows, random_state=np.random.default_rng(seed))


def mesh_of(ax):
    return ax.collections[0]


def mass_of(ax):
    mesh = mesh_of(ax)
    corners = np.asarray(mesh.get_coordinates())
    areas = np.outer(np.diff(corners[:, 0, 1]), np.diff(corners[0, :, 0]))
    return float((mesh.get_array() * areas).sum())


def small_print(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def contour_levels(ax):
    return [float(c.levels[0]) for c in ax.collections if hasattr(c, "levels") and len(c.levels) == 1]


DRAWN = {
    "density": lambda ax: plot.density(NORMAL.logpdf, limits=LIMITS, num_points=20, ax=ax),
    "means": lambda ax: plot.means([[0.0, 1.0], [2.0, 3.0]], [[0.1, 0.1], [0.2, 0.1]], ax=ax),
    "loss": lambda ax: plot.loss({"loss": [3.0, 2.0]}, ax=ax),
    "posterior": lambda ax: plot.posterior(np.arange(9.0), label="x", ax=ax),
    "posterior_joint": lambda ax: plot.posterior_joint(rows_of(50), labels=("x", "y"), ax=ax),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_axes_given_come_back_and_no_figure_is_opened(name):
    _, ax = plt.subplots()
    assert DRAWN[name](ax) is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("name", DRAWN)
def test_without_axes_one_figure_is_opened_and_everything_is_named(name):
    ax = DRAWN[name](None)
    assert len(plt.get_fignums()) == 1
    assert ax.get_title() and ax.get_xlabel() and ax.get_ylabel()


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_of_a_new_figure_is_cut_off(name):
    assert_nothing_is_cut_off(DRAWN[name](None).figure)


def test_a_tall_narrow_density_of_many_rows_with_means_is_not_cut_off():
    rows = rows_of(20_000) * [5.0, 1.0]
    ax = plot.density(NORMAL.logpdf, rows, num_points=20)
    plot.means([[5.0, 50.0]], [[0.1, 0.1]], ax=ax)
    assert ax.get_aspect() == 1.0
    assert_nothing_is_cut_off(ax.figure)


def assert_nothing_is_cut_off(figure):
    figure.canvas.draw()
    captions = [text.get_window_extent() for ax in figure.axes for text in ax.texts]
    boxes = [box.transformed(figure.dpi_scale_trans.inverted()) for box in captions] + [figure.get_tightbbox()]
    width, height = figure.get_size_inches()
    for box in boxes:
        assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


@pytest.mark.parametrize("num_rows", [0, 272, 20_000])
def test_density_image_integrates_to_one(num_rows):
    rows = rows_of(num_rows) if num_rows else None
    ax = plot.density(NORMAL.logpdf, rows, limits=LIMITS)
    assert mass_of(ax) == pytest.approx(1.0, abs=2e-3)


def test_density_image_holds_the_density_at_the_middle_of_each_cell():
    ax = plot.density(NORMAL.logpdf, limits=LIMITS, num_points=10)
    corners = np.asarray(mesh_of(ax).get_coordinates())
    middle = (corners[3, 7] + corners[4, 8]) / 2
    assert mesh_of(ax).get_array()[3, 7] == pytest.approx(np.exp(NORMAL.logpdf(middle)))


def test_density_finds_a_cluster_narrower_than_an_even_cell():
    rng = np.random.default_rng(0)
    wide, tight = multivariate_normal([0, 0], np.eye(2)), multivariate_normal([20.0, 20.03], 1e-4 * np.eye(2))
    rows = np.concatenate([wide.rvs(500, random_state=rng), tight.rvs(500, random_state=rng)])

    def log_prob(x):
        return np.logaddexp(wide.logpdf(x), tight.logpdf(x)) - np.log(2)

    ax = plot.density(log_prob, rows)
    assert mesh_of(ax).get_array().max() > 0.9 * np.exp(log_prob(np.array([20.0, 20.03])))
    assert mass_of(ax) == pytest.approx(1.0, abs=0.02)


def test_contour_levels_of_a_normal_density_are_its_known_ones():
    ax = plot.density(NORMAL.logpdf, limits=LIMITS, num_points=300)
    peak = np.exp(NORMAL.logpdf(NORMAL.mean))
    # The region with mass p is {-2 log(density / peak) <= -2 log(1 - p)}, hence density = peak * (1 - p).
    np.testing.assert_allclose(contour_levels(ax), peak * np.array([0.5, 0.1]), rtol=0.02)


def test_mass_levels_hold_the_asked_share_of_a_skewed_density():
    edges = np.linspace(0, 30, 301)
    middle = (edges[:-1] + edges[1:]) / 2
    grid = Grid(edges, np.array([0.0, 1.0]), np.exp(-middle)[None])
    np.testing.assert_allclose(mass_levels(grid, [0.5, 0.9]), [0.5, 0.1], rtol=0.06)  # exp: level = 1 - mass
    assert (mass_levels(grid._replace(values=0 * grid.values), [0.5]) == 0).all()


def test_density_limits_default_to_the_rows_with_a_margin():
    rows = rows_of(100)
    ax = plot.density(NORMAL.logpdf, rows, num_points=10)
    span = np.ptp(rows[:, 0])
    np.testing.assert_allclose(ax.get_xlim(), [rows[:, 0].min() - 0.08 * span, rows[:, 0].max() + 0.08 * span])
    assert plot.density(NORMAL.logpdf, rows, limits=LIMITS, num_points=10).get_xlim() == LIMITS[0]


def test_density_shows_at_most_5000_rows_and_says_so():
    few = plot.density(NORMAL.logpdf, rows_of(272), num_points=10)
    many = plot.density(NORMAL.logpdf, rows_of(50_000), num_points=10)
    again = plot.density(NORMAL.logpdf, rows_of(50_000), num_points=10)
    assert len(few.collections[-1].get_offsets()) == 272
    assert len(many.collections[-1].get_offsets()) == 5_000
    np.testing.assert_array_equal(many.collections[-1].get_offsets(), again.collections[-1].get_offsets())
    assert "272 rows" in small_print(few) and "5,000 of 50,000 rows" in small_print(many)
    assert many.collections[-1].get_rasterized() and mesh_of(many).get_rasterized()
    assert many.collections[-1].get_sizes()[0] < few.collections[-1].get_sizes()[0]


def test_density_aspect_is_equal_only_for_comparable_ranges():
    assert plot.density(NORMAL.logpdf, limits=LIMITS, num_points=5).get_aspect() == "auto"
    assert plot.density(NORMAL.logpdf, limits=((0, 2), (49, 52)), num_points=5).get_aspect() == 1.0


def test_density_names_and_number_of_points_matter():
    ax = plot.density(NORMAL.logpdf, limits=LIMITS, num_points=7, column_names=("a (m)", "b"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a (m)", "b")
    assert mesh_of(ax).get_array().shape == (7, 7)
    assert mesh_of(ax).colorbar.ax.get_ylabel() == "density, per m × unit of b"


def test_density_survives_a_frame_without_any_probability():
    ax = plot.density(lambda x: np.full(len(x), -np.inf), limits=((0, 1), (0, 1)), num_points=5)
    assert mesh_of(ax).get_array().max() == 0 and contour_levels(ax) == []


def test_density_calls_log_prob_in_batches_of_a_bounded_size():
    sizes = []

    def log_prob(x):
        sizes.append(x.shape)
        return np.zeros(len(x))

    grid = density_grid(log_prob, np.linspace(0, 1, 151), np.linspace(0, 1, 201))
    assert max(size[0] for size in sizes) <= 10_000 and sum(size[0] for size in sizes) == 30_000
    assert grid.values.shape == (200, 150)
    assert grid.masses.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("values", [None, np.array([0.5, 0.5, 0.5]), np.array([-1.0, 2.0]), np.arange(10) / 10])
def test_cell_edges_rise_from_low_to_high(values):
    edges = cell_edges(0.0, 1.0, 50, values)
    assert edges.shape == (51,) and edges[0] == 0 and edges[-1] == 1 and (np.diff(edges) > 0).all()


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
    x, y = next(patch for patch in ax.patches if len(patch.get_xy()) > 5).get_xy().T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


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
    assert [p.get_facecolor() for p in ax.patches] != [p.get_facecolor() for p in default.patches]


def test_posterior_copes_with_long_tails_and_few_values():
    assert histogram_area(plot.posterior(np.r_[np.zeros(99), 1e6], label="x")) == pytest.approx(1.0)
    assert plot.posterior([1.0, 2.0], label="x").get_xlabel() == "x"


def test_joint_posterior_lines_hold_50_and_90_percent_of_the_draws():
    draws = rows_of(20_000)
    ax = plot.posterior_joint(draws, labels=("a", "b"))
    density = plot.posteriors.gaussian_kde(draws.T)(draws[:2_000].T)
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


def test_component_colours_stay_the_same_and_differ():
    colours = plot.component_colours(24)
    assert len(set(colours)) == 24 and plot.component_colours(3) == colours[:3]
    assert len(plot.component_colours(100)) == 100


def lightness(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_density_colormap_darkens_in_equal_steps():
    steps = -np.diff(lightness(DENSITY_COLORMAP(np.linspace(0, 1, 13))[:, :3]))
    assert (steps > 0).all() and steps.max() / steps.min() < 1.6


def test_component_colours_stand_out_from_white():
    assert all(lightness(np.array(to_rgb(colour))) < 75 for colour in plot.component_colours(8))


def test_numbers_get_the_digits_their_spread_supports():
    assert shown_number(80.00213, 0.003) == "80.0021"
    assert shown_number(1.5, 20.0) == "2"
    assert float(shown_number(1.23456e-9, 1e-11)) == pytest.approx(1.23e-9, rel=0.01)
    assert padded_limits(np.array([[5.0, 0.0]]), 0.1).tolist() == [[4.5, 5.5], [-0.1, 0.1]]


DENSITY = {"limits": ((0, 1), (0, 1)), "num_points": 5}
GOOD = ([[0.0, 0.0]], [[1.0, 1.0]])
BAD = {
    "not callable": (lambda: plot.density(3, **DENSITY), TypeError, "log_prob"),
    "no limits": (lambda: plot.density(NORMAL.logpdf), ValueError, "limits"),
    "reversed": (lambda: plot.density(NORMAL.logpdf, limits=((1, 0), (0, 1))), ValueError, "limits"),
    "limits shape": (lambda: plot.density(NORMAL.logpdf, limits=(0, 1)), ValueError, "limits"),
    "rows shape": (lambda: plot.density(NORMAL.logpdf, np.zeros((4, 3))), ValueError, "rows"),
    "rows empty": (lambda: plot.density(NORMAL.logpdf, np.zeros((0, 2))), ValueError, "rows"),
    "rows nan": (lambda: plot.density(NORMAL.logpdf, [[0.0, np.nan]]), ValueError, "rows"),
    "num_points": (lambda: plot.density(NORMAL.logpdf, limits=LIMITS, num_points=1), ValueError, "num_points"),
    "names": (lambda: plot.density(NORMAL.logpdf, limits=LIMITS, column_names="xy"), ValueError, "column_names"),
    "output shape": (lambda: plot.density(lambda x: x, **DENSITY), ValueError, "log_prob(points)"),
    "output nan": (lambda: plot.density(lambda x: x[:, 0] * np.nan, **DENSITY), ValueError, "log_prob"),
    "locs": (lambda: plot.means([[0.0]], [[1.0]]), ValueError, "locs"),
    "locs text": (lambda: plot.means([["a", "b"]], GOOD[1]), ValueError, "locs"),
    "scales shape": (lambda: plot.means(GOOD[0], [[1.0, 1.0]] * 2), ValueError, "scales"),
    "scales zero": (lambda: plot.means(GOOD[0], [[1.0, 0.0]]), ValueError, "scales"),
    "history type": (lambda: plot.loss([1.0, 2.0]), TypeError, "history"),
    "history entry": (lambda: plot.loss({"elbo": [1.0]}), ValueError, "history"),
    "history empty": (lambda: plot.loss({"loss": []}), ValueError, 'history["loss"]'),
    "history nan": (lambda: plot.loss({"loss": [1.0, np.nan]}), ValueError, 'history["loss"]'),
    "validation": (lambda: plot.loss({"loss": [2, 1], "val_loss": [1]}), ValueError, 'history["val_loss"]'),
    "burn_in": (lambda: plot.loss({"loss": [2, 1]}, burn_in=2), ValueError, "burn_in"),
    "draws empty": (lambda: plot.posterior([], label="x"), ValueError, "values"),
    "draws equal": (lambda: plot.posterior([1.0, 1.0], label="x"), ValueError, "values"),
    "draws infinite": (lambda: plot.posterior([1.0, np.inf], label="x"), ValueError, "values"),
    "interval": (lambda: plot.posterior([1.0, 2.0], label="x", interval=90), ValueError, "interval"),
    "joint shape": (lambda: plot.posterior_joint([1.0, 2.0], labels=("a", "b")), ValueError, "values"),
    "joint line": (lambda: plot.posterior_joint([[0, 0], [1, 1], [2, 2]], labels=("a", "b")), ValueError, "values"),
    "joint labels": (lambda: plot.posterior_joint(rows_of(9), labels=("a",)), ValueError, "labels"),
    "colours": (lambda: plot.component_colours(0), ValueError, "num_components"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_shown_and_explained_before_a_figure_opens(case):
    call, kind, name = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    what, received = str(caught.value).split("Received: ")
    assert what.startswith(f"`{name}` must")
    assert received.rstrip().count(". ") >= 1 and received.rstrip().endswith(".")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    outcome = doctest.testmod(importlib.import_module(f"tfgmm.plot.{name}"))
    assert outcome.failed == 0
    assert outcome.attempted > 0 or name in ("frames", "grids")


def test_pictures_need_neither_tensorflow_nor_a_chosen_backend():
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams._get('backend'); import tfgmm.plot; "
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; "
        "assert matplotlib.rcParams._get('backend') == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
