"""The pictures of whole mixtures, checked on the numbers inside the artists, which SciPy and plain loops give."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Ellipse
from pictures import assert_nothing_is_cut_off, bars_of, mass_of, mesh_of, small_print
from scipy.stats import chi2, multivariate_normal, norm

import tfgmm
from tfgmm import Draws, plot
from tfgmm.plot.colours import LINE_STYLES, MARKERS

pytestmark = pytest.mark.usefixtures("no_figures_left")

NAMES = ("width", "height", "depth")
WEIGHTS = np.array([0.5, 0.3, 0.2])
LOCS = np.array([[0.0, 0.0, 0.0], [6.0, 1.0, -3.0], [-4.0, 5.0, 2.0]])


def covariances():
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(3, 3, 3)) * 0.6 + 0.5 * np.eye(3)
    return factors @ factors.swapaxes(-1, -2) + 0.1 * np.eye(3)


COVARIANCES = covariances()
ONE = Draws(
    WEIGHTS[None, None],
    LOCS[None, None],
    np.sqrt(np.diagonal(COVARIANCES, axis1=1, axis2=2))[None, None],
    NAMES,
    COVARIANCES[None, None],
)
ROWS = np.concatenate(
    [
        multivariate_normal(LOCS[k], COVARIANCES[k]).rvs(100, random_state=np.random.default_rng(k)).reshape(-1, 3)
        for k in range(3)
    ]
)


def many(num_draws=40, num_chains=2):
    """Posterior draws of two components of one column, as a sampler gives them."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([30.0, 20.0], (num_chains, num_draws))
    locs = np.array([[0.0], [5.0]]) + 0.2 * rng.normal(size=(num_chains, num_draws, 2, 1))
    return Draws(weights, locs, np.exp(0.1 * rng.normal(size=locs.shape)), ("length",))


def ellipses_of(ax):
    return [patch for patch in ax.patches if isinstance(patch, Ellipse)]


@pytest.mark.parametrize(("columns", "mass"), [(None, 0.95), ((0, 2), 0.5), (("depth", "height"), 0.9)])
def test_the_axes_of_an_ellipse_are_eigenvalues_times_the_chi_square_quantile(columns, mass):
    ax = plot.components(ONE, columns=columns, mass=mass)
    pair = [NAMES.index(c) if isinstance(c, str) else c for c in columns or (0, 1)]
    for k, ellipse in enumerate(ellipses_of(ax)):
        part = COVARIANCES[k][np.ix_(pair, pair)]
        short, long = 2 * np.sqrt(np.linalg.eigvalsh(part) * chi2.ppf(mass, 2))
        np.testing.assert_allclose([ellipse.width, ellipse.height], [long, short])
        np.testing.assert_allclose(ellipse.center, LOCS[k, pair])
        along = np.array([np.cos(np.radians(ellipse.angle)), np.sin(np.radians(ellipse.angle))])
        assert along @ part @ along == pytest.approx(np.linalg.eigvalsh(part)[-1])  # the long axis
        assert ellipse.get_edgecolor()[:3] == to_rgb(plot.component_colours(3)[k])
    assert len({str(ellipse.get_linestyle()) for ellipse in ellipses_of(ax)}) == 3  # told apart in grey
    assert (ax.get_xlabel(), ax.get_ylabel()) == (NAMES[pair[0]], NAMES[pair[1]])
    assert f"{100 * mass:g} %" in small_print(ax) and {"0", "1", "2"} <= {text.get_text() for text in ax.texts}
    assert_nothing_is_cut_off(ax.figure)


def test_an_ellipse_holds_its_share_of_the_rows_of_its_component():
    [first, *_] = ellipses_of(plot.components(ONE, mass=0.8))
    rows = multivariate_normal(LOCS[0, :2], COVARIANCES[0, :2, :2]).rvs(4_000, random_state=np.random.default_rng(0))
    path = first.get_path().transformed(first.get_patch_transform())
    share = path.contains_points(rows).mean()
    assert abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 4_000)  # standard errors


def test_components_on_a_density_keep_its_frame_and_are_drawn_at_the_average_of_draws():
    two = Draws(
        np.array([[[0.5, 0.5], [0.3, 0.7]]]),
        np.array([[[[0.0, 0.0], [5.0, 5.0]], [[1.0, 2.0], [5.0, 5.0]]]]),
        np.array([[[[1.0, 1.0], [1.0, 2.0]], [[3.0, 1.0], [1.0, 2.0]]]]),
    )
    ax = plot.density(norm_2d, limits=((-4, 4), (-3, 3)), num_points=10, column_names=("a", "b"))
    assert plot.components(two, ax=ax) is ax
    assert ax.get_xlim() == (-4, 4) and ax.get_xlabel() == "a" and ax.get_title() == "Mixture density"
    first = ellipses_of(ax)[0]
    assert first.center == (0.5, 1.0)
    np.testing.assert_allclose(sorted([first.width, first.height]), 2 * np.sqrt(chi2.ppf(0.95, 2) * np.array([1, 5])))
    assert plot.components(two, column_names=("c", "d"), ax=ax).get_xlabel() == "c"


def norm_2d(x):
    return multivariate_normal(np.zeros(2), np.eye(2)).logpdf(x)


def test_components_that_weigh_nothing_are_left_out_and_counted():
    empty = Draws(np.array([[[0.999, 0.001]]]), np.array([[[[0.0, 0.0], [1e6, 0.0]]]]), np.ones((1, 1, 2, 2)))
    ax = plot.components(empty)
    assert len(ellipses_of(ax)) == 1 and np.ptp(ax.get_xlim()) < 100 and "1 of weight below 0.01" in small_print(ax)
    assert len(ellipses_of(plot.components(empty, min_weight=0.0))) == 2


def test_the_band_of_a_column_is_that_of_the_densities_of_all_draws_one_by_one():
    draws = many()
    ax = plot.column_density(draws, interval=0.8, column_name="length (m)")
    total, *parts = ax.lines
    x, y = total.get_data()
    picked = slice(None, None, 37)
    expected = []
    for weights, locs, scales in zip(
        draws.weights.reshape(-1, 2), draws.locs.reshape(-1, 2), draws.scales.reshape(-1, 2)
    ):
        expected.append([w * norm.pdf(x[picked], m, s) for w, m, s in zip(weights, locs, scales)])
    expected = np.array(expected)  # (S, K, G)
    np.testing.assert_allclose(y[picked], expected.sum(axis=1).mean(axis=0), rtol=1e-9)
    for k, part in enumerate(parts):
        np.testing.assert_allclose(part.get_ydata()[picked], expected[:, k].mean(axis=0), rtol=1e-9)
        assert to_hex(part.get_color()) == plot.component_colours(2)[k]
    outline = ax.collections[0].get_paths()[0].vertices
    low, high = np.quantile(expected.sum(axis=1), [0.1, 0.9], axis=0)
    for place, bottom, top in zip(x[picked], low, high):
        heights = outline[outline[:, 0] == place, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [bottom, top], rtol=1e-9)
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=2e-3)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length (m)", "density, per m")
    assert "80 % band" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert parts[0].get_linestyle() != parts[1].get_linestyle()
    assert_nothing_is_cut_off(ax.figure)


def test_a_column_of_many_is_the_marginal_of_the_mixture():
    ax = plot.column_density(ONE, ROWS, column="height")
    x, y = ax.lines[0].get_data()
    expected = sum(WEIGHTS[k] * norm.pdf(x, LOCS[k, 1], np.sqrt(COVARIANCES[k, 1, 1])) for k in range(3))
    np.testing.assert_allclose(y, expected, rtol=1e-9)
    assert len(ax.collections) == 1  # the bars: of one draw there is no band
    edges, heights = bars_of(ax)
    assert heights @ np.diff(edges) == pytest.approx(1.0) and edges[0] == pytest.approx(ROWS[:, 1].min())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("height", "density")
    without_rows = plot.column_density(ONE, column=2).lines[0].get_xdata()[-1]
    assert without_rows == pytest.approx((LOCS[:, 2] + 4 * np.sqrt(COVARIANCES[:, 2, 2])).max())


def test_a_column_without_rows_is_framed_by_its_components_and_one_of_constant_rows_is_drawn():
    x = plot.column_density(many(1, 1)).lines[0].get_xdata()
    assert -8 < x[0] < -2 and 7 < x[-1] < 13
    assert np.isfinite(plot.column_density(many(), np.zeros(5)).get_ylim()).all()


def test_pairs_are_marginals_in_closed_form():
    panels = plot.pairs(ONE, ROWS, num_points=150)
    assert panels.shape == (3, 3) and len(plt.get_fignums()) == 1
    for line in range(3):
        x, y = panels[line, line].lines[0].get_data()
        scales = np.sqrt(COVARIANCES[:, line, line])
        np.testing.assert_allclose(y, norm.pdf(x[:, None], LOCS[:, line], scales) @ WEIGHTS, rtol=1e-9)
        for column in range(line):
            ax = panels[line, column]
            corners = np.asarray(mesh_of(ax).get_coordinates())
            pair = [column, line]
            for i, j in ((3, 70), (75, 75), (120, 20)):
                middle = (corners[i, j] + corners[i + 1, j + 1]) / 2
                expected = sum(
                    WEIGHTS[k] * multivariate_normal(LOCS[k, pair], COVARIANCES[k][np.ix_(pair, pair)]).pdf(middle)
                    for k in range(3)
                )
                assert mesh_of(ax).get_array()[i, j] == pytest.approx(expected, rel=1e-9)
            assert mass_of(ax) == pytest.approx(1.0, abs=0.05)
            np.testing.assert_array_equal(ax.collections[-1].get_offsets(), ROWS[:, pair])
            assert len(ellipses_of(ax)) == 3
    named = [ax for ax in panels[0, 0].figure.axes if ax.get_xlabel() and ax.xaxis.label.get_visible()]
    assert [ax.get_xlabel() for ax in named] == list(NAMES)
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["", "height", "depth"]
    assert not panels[0, 2].axison and panels[2, 0].axison
    key = panels[0, 2].get_legend()
    assert "3 columns, 300 rows" in key.get_title().get_text()
    assert [text.get_text() for text in key.get_texts()][0] == "component 0, weight 50 %"
    assert_nothing_is_cut_off(panels[0, 0].figure)


def test_pairs_of_many_columns_show_the_first_five_or_those_chosen_and_say_so():
    wide = Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 12)), np.ones((1, 1, 1, 12)), tuple("abcdefghijkl"))
    rows = np.random.default_rng(0).normal(size=(3_000, 12))
    panels = plot.pairs(wide, rows, columns=("c", 11), num_points=8)
    assert panels.shape == (2, 2) and panels[1, 0].get_xlabel() == "c" and panels[1, 0].get_ylabel() == "l"
    title = panels[0, 1].get_legend().get_title().get_text()
    assert "2 of 12 columns, 3,000 rows" in title and "1,000 dots" in title
    assert mesh_of(panels[1, 0]).get_array().shape == (8, 8)
    assert len(panels[1, 0].collections[-1].get_offsets()) == 1_000
    plt.close("all")
    first = plot.pairs(wide, num_points=2, column_names=[f"{name} (m)" for name in "abcdefghijkl"])
    assert first.shape == (5, 5) and first[4, 3].get_xlabel() == "d (m)"


def test_pairs_leave_light_components_without_an_ellipse_and_draw_on_axes_of_ones_own():
    light = Draws(np.array([[[0.995, 0.005]]]), np.array([[[[0.0, 0.0], [900.0, 0.0]]]]), np.ones((1, 1, 2, 2)))
    _, given = plt.subplots(2, 2)
    panels = plot.pairs(light, ax=given, num_points=4)
    assert all(found is ax for found, ax in zip(panels.flat, given.flat)) and len(plt.get_fignums()) == 1
    assert len(ellipses_of(panels[1, 0])) == 1 and panels[1, 0].get_xlim()[1] < 10
    assert len(ellipses_of(plot.pairs(light, min_weight=0.0, num_points=4)[1, 0])) == 2


def test_pairs_average_densities_over_draws():
    locs = np.array([[[[0.0, 0.0]], [[3.0, 0.0]]]])
    panels = plot.pairs(Draws(np.ones((1, 2, 1)), locs, np.ones_like(locs)), num_points=9)
    corners = np.asarray(mesh_of(panels[1, 0]).get_coordinates())
    middle = (corners[4, 2] + corners[5, 3]) / 2
    expected = np.mean([norm.pdf(middle[0], m) * norm.pdf(middle[1]) for m in (0.0, 3.0)])
    assert mesh_of(panels[1, 0]).get_array()[4, 2] == pytest.approx(expected)


SHARES = np.array([[1.0, 0.0], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])
POINTS = np.array([[0.0, 1.0, 5.0], [1.0, 1.0, 6.0], [2.0, 1.0, 7.0], [3.0, 1.0, 8.0]])


def test_rows_have_the_colour_of_their_component_faded_by_uncertainty():
    ax = plot.responsibilities(POINTS, SHARES, columns=(0, 2), column_names=("a (m)", "b"))
    first, second = ax.collections
    np.testing.assert_array_equal(first.get_offsets(), POINTS[:3, [0, 2]])  # the surest first, the unsure on top
    np.testing.assert_array_equal(second.get_offsets(), POINTS[3:, [0, 2]])
    blue = np.array(to_rgb(plot.component_colours(1)[0]))
    for face, sureness in zip(first.get_facecolors(), (1.0, 0.2, 0.0)):
        share = 0.95 * (1 - sureness)
        np.testing.assert_allclose(face[:3], (1 - share) * blue + share, atol=1 / 255)
    np.testing.assert_allclose(first.get_edgecolors()[0, :3], blue)
    paths = [collection.get_paths()[0].vertices.shape for collection in ax.collections]
    assert paths[0] != paths[1]  # marks of different forms
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a (m)", "b") and "4 rows" in small_print(ax)
    assert plot.responsibilities(POINTS, SHARES).get_ylabel() == "column 1"
    assert_nothing_is_cut_off(ax.figure)


def test_responsibilities_show_at_most_5000_rows_and_one_component_is_always_sure():
    ax = plot.responsibilities(np.random.default_rng(0).normal(size=(6_000, 2)), np.ones((6_000, 1)))
    assert len(ax.collections[0].get_offsets()) == 5_000 and "5,000 of 6,000 rows" in small_print(ax)
    assert to_hex(ax.collections[0].get_facecolors()[0]) == plot.component_colours(1)[0]


def test_any_number_of_the_mixture_has_a_posterior_in_the_colour_of_its_component():
    draws = many()
    names, values = draws.numbers()
    for index, name in enumerate(names):
        ax = plot.parameter_posterior(draws, name)
        assert ax.lines[0].get_xdata()[0] == pytest.approx(values[..., index].mean())
    ax = plot.parameter_posterior(draws, "scales[1, length]", interval=0.5)
    assert ax.get_xlabel() == "standard deviation of length, component 1"
    np.testing.assert_allclose(ax.lines[1].get_xdata()[0], np.quantile(draws.scales[..., 1, 0], 0.25))
    same = plot.posterior(draws.scales[..., 1, 0].ravel(), label="x", colour=plot.component_colours(2)[1])
    np.testing.assert_array_equal(ax.collections[0].get_facecolor(), same.collections[0].get_facecolor())
    assert plot.parameter_posterior(draws, "weights[0]", label="share").get_xlabel() == "share"
    assert plot.parameter_posterior(draws, "weights[0]").get_xlabel() == "weight, component 0"


def test_covariances_are_named_in_words():
    generator = np.random.default_rng(0)
    covariances = np.eye(3) * generator.uniform(1, 2, size=(1, 9, 1, 1, 1)) + 0.1 * generator.uniform(
        size=(1, 9, 1, 1, 1)
    )
    scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    draws = Draws(np.ones((1, 9, 1)), np.zeros((1, 9, 1, 3)), scales, covariances=covariances)
    assert "covariances[0, 2, 1]" in draws.numbers()[0]
    ax = plot.parameter_posterior(draws, "covariances[0, 2, 1]")
    assert ax.get_xlabel() == "covariance of column 2 and 1, component 0"


def test_a_component_has_the_same_colour_line_and_marker_everywhere():
    colours = plot.component_colours(3)
    column = plot.column_density(ONE).lines[1:]
    weighted = plot.weighted_components(WEIGHTS, LOCS[:, 0], 1.0).lines[:3]
    trace = plot.trace(np.random.default_rng(0).normal(size=(1, 9, 3)), label="a").lines[:3]
    agreement = plot.agreement(*np.random.default_rng(0).normal(size=(2, 1, 90, 3)), label="a").lines
    for lines in (column, weighted, trace, agreement):
        assert [to_hex(line.get_color()) for line in lines] == colours
    assert [line.get_linestyle() for line in column] == [line.get_linestyle() for line in weighted]
    assert [to_hex(ellipse.get_edgecolor()) for ellipse in ellipses_of(plot.components(ONE))] == colours
    assert len(set(map(str, LINE_STYLES))) == 8 and len(set(MARKERS)) == 8
    # Where lines cannot be told apart in grey, numbers stand at them
    for ax in (plot.trace(np.zeros((1, 2, 3)), label="a"), agreement[0].axes):
        assert {"0", "1", "2"} <= {text.get_text() for text in ax.texts}


def test_a_model_gives_the_parameters_that_it_scores_with(models):
    rows = np.random.default_rng(0).normal(size=(7, 3))
    for model in (*models, tfgmm.GaussianMixtureModel(2, 3, "tied", "stick_breaking", seed=0)):
        one = model.mean_parameters()
        assert one.weights.shape == (1, 1, 2) and one.weights.sum() == pytest.approx(1.0)
        matrices = (
            one.covariances[0, 0] if one.covariances is not None else one.scales[0, 0, :, :, None] ** 2 * np.eye(3)
        )
        parts = zip(one.weights[0, 0], one.locs[0, 0], matrices)
        expected = np.log(sum(w * multivariate_normal(m, c).pdf(rows) for w, m, c in parts))
        np.testing.assert_allclose(model.log_prob(rows), expected, rtol=1e-5)
    assert models[0].mean_parameters().column_names == NAMES


BAD = {
    "no draws": (lambda: plot.components(WEIGHTS), TypeError, "`draws` must be tfgmm.Draws. Received: ndarray"),
    "three columns": (lambda: plot.components(ONE, columns=(0, 1, 2)), ValueError, "`columns` must be two columns"),
    "twice": (lambda: plot.components(ONE, columns=(0, 0)), ValueError, "`columns` must name at least one .* once"),
    "unknown": (lambda: plot.components(ONE, columns=("x", 1)), ValueError, "`columns` .*'width', .*Received: 'x'"),
    "mass": (lambda: plot.components(ONE, mass=95), ValueError, "`mass` must be between 0 and 1. Received: 95"),
    "min_weight": (lambda: plot.components(ONE, min_weight=1), ValueError, "`min_weight` must be from 0 to below 1"),
    "names": (lambda: plot.components(ONE, column_names="ab"), ValueError, "`column_names` must be 3 strings"),
    "column": (lambda: plot.column_density(ONE, column=3), ValueError, "`column` must be a whole number from 0 to 2"),
    "interval": (lambda: plot.column_density(ONE, interval=90), ValueError, "`interval` must be between 0 and 1"),
    "rows": (lambda: plot.column_density(ONE, ROWS[:, :2]), ValueError, r"`rows` must have shape \(N, 3\)"),
    "gaps alone": (lambda: plot.pairs(ONE, np.nan * ROWS), ValueError, "`rows` must have some values. Received: 900"),
    "infinite": (lambda: plot.pairs(ONE, np.inf * ROWS), ValueError, "`rows` must hold no infinite number"),
    "one column": (lambda: plot.pairs(ONE, columns=[1]), ValueError, "`columns` must be at least two"),
    "axes": (lambda: plot.pairs(ONE, ax=3), ValueError, r"`ax` must be a seaborn.PairGrid or .* Axes, \(3, 3\)"),
    "points": (lambda: plot.pairs(ONE, num_points=1), ValueError, "`num_points` must be a whole number of at least 2"),
    "lengths": (lambda: plot.responsibilities(POINTS, SHARES[:2]), ValueError, r"must have shape \(4, K\)"),
    "sums": (lambda: plot.responsibilities(POINTS, 2 * SHARES), ValueError, "`probabilities` .*sum to 1"),
    "places": (lambda: plot.responsibilities(POINTS, SHARES, columns=(0, 3)), ValueError, "`columns` .* from 0 to 2"),
    "number": (lambda: plot.parameter_posterior(ONE, "mean"), ValueError, r"`name` must be .*weights\[0\].* 'mean'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named_before_a_figure_opens(case):
    call, error, words = BAD[case]
    with pytest.raises(error, match=words):
        call()
    assert not plt.get_fignums()
