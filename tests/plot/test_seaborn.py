"""Pictures beside seaborn: its densities, bars and grids, its palettes and themes."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Ellipse
from pictures import assert_nothing_is_cut_off, bars_of, contour_levels, small_print
from scipy.stats import gaussian_kde, norm

from tfgmm import Draws, plot
from tfgmm.plot.colours import INK
from tfgmm.plot.kinds import KINDS, Pictured, plain_style

pytestmark = pytest.mark.usefixtures("no_figures_left", "plain_settings")

RNG = np.random.default_rng(0)
LOCS = np.array([[0.0, 0.0], [6.0, 1.0], [3.0, 4.0]])
ONE = Draws(np.array([[[0.5, 0.3, 0.2]]]), LOCS[None, None], np.ones((1, 1, 3, 2)), ("width", "height"))
ROWS = RNG.normal(size=(90, 2)) + LOCS[np.arange(90) % 3]
FRAME = pd.DataFrame(ROWS, columns=["width", "height"]).assign(kind=np.repeat(["a", "b"], 45))
VALUES = RNG.normal(size=(1, 60, 3))
SOME = Draws(np.full((1, 60, 3), 1 / 3), VALUES[..., None], np.ones((1, 60, 3, 1)), ("width",))

OWN = plot.component_colours(8)
PALETTE = ["#112233", "#445566", "#778899"]


@pytest.fixture(name="plain_settings")
def fixture_plain_settings():
    with mpl.rc_context():
        yield


def hex_of(artists, look):
    return [to_hex(look(artist)) for artist in artists]


def colour_of(line):
    return line.get_color()


COLOURED = {
    "components": lambda **o: hex_of(plot.components(ONE, **o).patches, Ellipse.get_edgecolor),
    "column_density": lambda **o: hex_of(plot.column_density(ONE, **o).lines[1:], colour_of),
    "pairs": lambda **o: hex_of(plot.pairs(ONE, num_points=4, **o)[1, 0].patches, Ellipse.get_edgecolor),
    "responsibilities": lambda **o: hex_of(
        plot.responsibilities(ROWS, np.eye(3)[np.arange(90) % 3], **o).collections, lambda c: c.get_edgecolor()[0]
    ),
    "means": lambda **o: hex_of(plot.means(LOCS, np.ones((3, 2)), **o).patches, Ellipse.get_edgecolor),
    "agreement": lambda **o: hex_of(plot.agreement(VALUES, VALUES, label="x", **o).lines, colour_of),
    "trace": lambda **o: hex_of(plot.trace(VALUES, label="x", **o).lines, colour_of),
    "weighted_components": lambda **o: hex_of(
        plot.weighted_components([0.5, 0.3, 0.2], [0.0, 3.0, 6.0], 1.0, **o).lines[:3], colour_of
    ),
    "assignments": lambda **o: hex_of(plot.assignments([0, 1, 2], [0, 1, 2], **o).lines, colour_of),
    "assignment_probabilities": lambda **o: hex_of(
        plot.assignment_probabilities([0, 1, 2], np.eye(3), **o).lines, colour_of
    ),
}


@pytest.mark.parametrize("name", COLOURED)
def test_components_have_the_palette_given_the_palette_set_or_our_own(name):
    drawn = COLOURED[name]
    before = dict(mpl.rcParams)
    assert drawn() == OWN[:3]
    assert drawn(palette=PALETTE) == PALETTE
    assert dict(mpl.rcParams) == before
    sns.set_palette("Set2")
    assert drawn() == sns.color_palette("Set2").as_hex()[:3]
    assert drawn(palette="tfgmm") == OWN[:3]


def test_a_number_has_the_colour_of_its_component_in_the_palette():
    ax = plot.parameter_posterior(SOME, "locs[2, width]", palette=PALETTE)
    pale = 0.65 * np.array(to_rgb(PALETTE[2])) + 0.35
    np.testing.assert_allclose(ax.collections[0].get_facecolor()[0, :3], pale, atol=1 / 255)


def test_more_components_than_colours_get_darker_and_lighter_ones():
    colours = plot.component_colours(9, PALETTE)
    assert colours[:3] == PALETTE and len(set(colours)) == 9
    brightness = [sum(to_rgb(colour)) for colour in colours[::3]]
    assert brightness[1] < brightness[0] < brightness[2]
    sns.set_theme()
    assert plot.component_colours(2) == sns.color_palette("deep").as_hex()[:2]


@pytest.mark.parametrize("palette", ["no such", ["red", "nor this"], 3.5])
def test_a_palette_that_is_none_is_refused_before_a_figure_opens(palette):
    for draw in (lambda: plot.components(ONE, palette=palette), lambda: plot.component_colours(2, palette)):
        with pytest.raises(ValueError, match="`palette` must be a palette that seaborn knows. Received: .* Pass "):
            draw()
    assert not plt.get_fignums()


def test_letters_lines_backgrounds_and_sizes_are_those_of_the_theme():
    plain = plot.column_density(ONE, ROWS)
    sns.set_theme("talk", style="dark", rc={"axes.facecolor": "black", "text.color": "white"})
    ax = plot.column_density(ONE, ROWS)
    assert [to_hex(line.get_color()) for line in (plain.lines[0], ax.lines[0])] == [INK, "#ffffff"]
    assert ax.lines[1].get_linewidth() == pytest.approx(mpl.rcParams["lines.linewidth"]) != 1.5
    halo = ax.texts[0].get_path_effects()[0]._gc["foreground"]
    assert to_hex(halo) == "#000000"
    scale = mpl.rcParams["font.size"] / 10
    np.testing.assert_allclose(ax.figure.get_size_inches(), scale * plain.figure.get_size_inches())
    assert_nothing_is_cut_off(ax.figure)
    bar = plot.posterior(VALUES[0, :, 0], label="x").collections[0].get_facecolor()[0, :3]
    np.testing.assert_allclose(bar, 0.65 * np.array(to_rgb(plot.component_colours(1)[0])), atol=1 / 255)


def test_files_and_reports_have_our_own_colours_whatever_is_set():
    sns.set_theme("poster", style="darkgrid", palette="Set1")
    pictured = Pictured(None, lambda: ONE, None, ("width", "height"))
    with plain_style():
        ax = KINDS["column"].draw(pictured, [0]).axes[0]
    assert hex_of(ax.lines[1:], colour_of) == OWN[:3]
    assert to_hex(ax.get_facecolor()) == "#ffffff" and ax.xaxis.label.get_size() == 10


def test_lines_of_two_numbers_hold_shares_of_their_density_with_heavy_tails_too():
    draws = RNG.standard_t(3, size=(1_000, 2))
    ax = plot.posterior_joint(draws, labels=("a", "b"))
    outlines = [found for found in ax.collections if not found.filled][0].get_paths()
    of_density = gaussian_kde(draws.T).resample(20_000, seed=1).T
    inside = [path.contains_points(of_density).mean() for path in outlines]
    # Beyond the cells is 1 % of the density; three standard errors are 0.01
    np.testing.assert_allclose(inside, [0.9, 0.5], atol=0.02)
    bands = [found for found in ax.collections if found.filled][0]
    assert len(bands.levels) == 10 and contour_levels(ax) == [bands.levels[4], bands.levels[0]]


def test_far_single_draws_do_not_shrink_the_picture_of_two_numbers():
    draws = np.vstack([RNG.normal(size=(3_000, 2)), [[500.0, -500.0]]])
    ax = plot.posterior_joint(draws, labels=("a", "b"))
    assert max(np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())) < 200
    assert "cross: mean" in small_print(ax)


def test_bars_are_those_of_numpy_by_weight():
    weights = RNG.uniform(0.5, 2.0, 90)
    edges, heights = bars_of(plot.column_density(ONE, ROWS, column="height", sample_weight=weights))
    expected, expected_edges = np.histogram(ROWS[:, 1], len(heights), weights=weights, density=True)
    np.testing.assert_allclose(edges, expected_edges)
    np.testing.assert_allclose(heights, expected)


def test_the_densities_of_two_sets_of_draws_are_kernel_densities_of_unit_area():
    draws = np.random.default_rng(0).normal(size=(1, 3_000, 1))  # the same whatever ran before
    [line] = plot.agreement(draws, draws + 1.0, label="x").lines
    x, y = line.get_data()
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(y, norm.pdf(x), atol=0.03)


# --- Grids


def test_pairs_are_drawn_on_a_pair_grid_of_ones_own():
    for corner in (False, True):
        grid = sns.PairGrid(FRAME[["width", "height"]], corner=corner)
        panels = plot.pairs(ONE, ROWS, num_points=5, ax=grid)
        assert panels.shape == (2, 2) and panels[1, 0] is grid.axes[1, 0] and len(plt.get_fignums()) == 1
        assert len([patch for patch in panels[1, 0].patches if isinstance(patch, Ellipse)]) == 3
        assert panels[1, 1] is not grid.axes[1, 1] and len(panels[1, 1].lines) == 4
        # Densities have a y axis of their own; that of the line stays in units of its column
        assert grid.axes[1, 1].get_ylim() == panels[1, 0].get_ylim() != panels[1, 1].get_ylim()
        key = panels[0, 1].get_legend() if panels[0, 1] is not None else grid.figure.legends[0]
        assert "2 columns, 90 rows" in key.get_title().get_text()
        plt.close("all")


def test_pairs_of_their_own_share_axes():
    panels = plot.pairs(ONE, ROWS, num_points=5)
    panels[1, 0].set_xlim(-50, 50)
    assert panels[0, 0].get_xlim() == (-50, 50)


def test_pair_grids_of_other_sizes_are_refused():
    grid = sns.PairGrid(FRAME[["width"]])
    with pytest.raises(ValueError, match=r"`ax` must be a seaborn.PairGrid or .* Received: PairGrid, shape \(1, 1\)"):
        plot.pairs(ONE, ax=grid)


def test_pictures_are_drawn_in_the_panels_of_a_facet_grid():
    grid = sns.FacetGrid(FRAME, col="kind")
    grid.map_dataframe(plot.column_density, draws=ONE, rows=["width", "height"], column="height")
    for ax, (_, part) in zip(grid.axes.flat, FRAME.groupby("kind"), strict=True):
        edges, heights = bars_of(ax)
        expected, expected_edges = np.histogram(part["height"], len(heights), density=True)
        np.testing.assert_allclose(heights, expected)
        np.testing.assert_allclose(edges, expected_edges)
    assert [ax.get_title() for ax in grid.axes.flat] == ["kind = a", "kind = b"]
    low, high = grid.axes[0, 0].get_xlim()
    assert low < ROWS[:, 1].min() and high > ROWS[:, 1].max()  # the panels share it: neither cuts the other's rows
    assert grid.axes[0, 0].get_ylabel() == "density" and len(plt.get_fignums()) == 1


def test_facets_give_their_colour_and_name_to_pictures_that_have_one():
    grid = sns.FacetGrid(FRAME, hue="kind", palette=PALETTE[:2])
    grid.map_dataframe(plot.posterior, values="width")
    ax = grid.axes[0, 0]
    pale = [0.65 * np.array(to_rgb(colour)) + 0.35 for colour in PALETTE[:2]]
    drawn = [area.get_facecolor()[0, :3] for area in ax.collections]
    np.testing.assert_allclose(drawn, pale, atol=1 / 255)
    assert ax.get_xlabel() == "b"  # the label of the last
    plain = sns.FacetGrid(FRAME).map_dataframe(plot.posterior, "width", label="width (m)")
    assert bars_of(plain.axes[0, 0])[0][0] == pytest.approx(FRAME["width"].min())


def test_what_is_drawn_of_a_facet_has_the_names_of_its_columns_where_no_other_are_given():
    def drawn(draw, **names):
        ax = sns.FacetGrid(FRAME).map_dataframe(draw, **names).axes[0, 0]
        return ax.get_xlabel(), ax.get_ylabel()

    assert drawn(plot.posterior, values="width") == ("width", "density")
    assert drawn(plot.posterior, values="width", label="width (m)") == ("width (m)", "density")
    both = ["height", "width"]
    assert drawn(plot.posterior_joint, values=both) == ("height", "width")
    assert drawn(plot.posterior_joint, values=both, labels=["a", "b"]) == ("a", "b")
    by_place = sns.FacetGrid(FRAME).map_dataframe(plot.posterior, "width").axes[0, 0]
    assert by_place.get_xlabel() == "width"


def test_columns_of_a_facet_are_found_by_name():
    grid = sns.FacetGrid(FRAME).map_dataframe(plot.column_density, ONE, rows=["height", "width"], column="height")
    expected = plot.column_density(ONE, ROWS, column="height")
    for found, wanted in zip(bars_of(grid.axes[0, 0]), bars_of(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_columns_that_the_frame_of_a_facet_lacks_are_named():
    with pytest.raises(
        ValueError, match=r"`values` must name columns of `data`. Received: 'depth'. Pass some of \['width'"
    ):
        sns.FacetGrid(FRAME).map_dataframe(plot.posterior, values="depth", label="x")


# --- Palettes without an end


@pytest.mark.parametrize("palette", ["viridis", "rocket", "husl", "ch:s=-.2,r=.6", "coolwarm"])
@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_palette_without_an_end_is_spread_over_the_components(palette, number):
    assert plot.component_colours(number, palette) == sns.color_palette(palette, number).as_hex()


def test_pictures_spread_a_palette_without_an_end_over_their_components():
    for name, drawn in COLOURED.items():
        assert drawn(palette="viridis") == sns.color_palette("viridis", 3).as_hex(), name
    ax = plot.parameter_posterior(SOME, "locs[1, width]", palette="viridis")
    pale = 0.65 * np.array(sns.color_palette("viridis", 3)[1]) + 0.35
    np.testing.assert_allclose(ax.collections[0].get_facecolor()[0, :3], pale, atol=1 / 255)
    plt.close("all")


def test_a_palette_with_an_end_and_one_that_is_set_are_taken_in_their_order():
    assert plot.component_colours(2, "Set2") == sns.color_palette("Set2").as_hex()[:2]
    sns.set_palette("viridis", 5)
    assert plot.component_colours(2) == sns.color_palette("viridis", 5).as_hex()[:2]


# --- Backgrounds, names of tables, memberships in facets


@pytest.mark.parametrize(
    ("background", "marks"), [("#000000", "#ffffff"), ("#eaeaf2", INK), ("#fdf6e3", INK), ("#ffffff", INK)]
)
def test_densities_begin_at_the_background_and_marks_on_them_stand_out(background, marks):
    with mpl.rc_context({"axes.facecolor": background}):
        drawn = [plot.density(lambda points: -np.square(points).sum(axis=1), ROWS, num_points=5)]
        drawn.append(plot.pairs(ONE, ROWS, num_points=5)[1, 0])
        drawn.append(plot.joint_histogram(ROWS, labels=("a", "b")))
    for ax in drawn:
        mesh = ax.collections[0]
        ground, peak = (np.array(to_rgb(mesh.cmap(level))) for level in (0.0, 1.0))
        np.testing.assert_allclose(ground, to_rgb(background), atol=0.03)
        assert (
            to_hex(ax.collections[-1].get_edgecolor()[0]) == marks
            or to_hex(ax.collections[-1].get_facecolor()[0]) == marks
        )
        brightness = [np.dot(mesh.cmap(level)[:3], [0.2126, 0.7152, 0.0722]) for level in np.linspace(0, 1, 9)]
        steps = np.diff(brightness) * (1 if background == "#000000" else -1)
        assert (steps > 0).all() and np.abs(np.array(to_rgb(marks)) - peak).max() > 0.4


def test_the_names_of_a_table_are_those_of_the_axes_where_no_others_are_given():
    frame = FRAME[["width", "height"]]
    shares = np.eye(3)[np.arange(90) % 3]
    drawn = [
        plot.density(lambda points: -np.square(points).sum(axis=1), frame, num_points=3),
        plot.responsibilities(frame, shares),
        plot.responsibilities(frame.assign(other=0.0), shares, columns=("width", 1)),
    ]
    assert {(ax.get_xlabel(), ax.get_ylabel()) for ax in drawn} == {("width", "height")}
    assert plot.responsibilities(frame, shares, columns=("height", "width")).get_xlabel() == "height"
    assert plot.responsibilities(frame, shares, column_names=("a", "b")).get_xlabel() == "a"
    unnamed = pd.DataFrame(ROWS)
    assert plot.responsibilities(unnamed, shares).get_xlabel() == "column 0"
    ax = plot.density(lambda points: -np.square(points).sum(axis=1), unnamed, num_points=3)
    assert plot.components(ONE, ax=ax).get_xlabel() == "column 0"
    with pytest.raises(
        ValueError, match="`columns` must be .* from 0 to 1, or two of 'width', 'height'. Received: .'a'"
    ):
        plot.responsibilities(frame, shares, columns=("a", 1))


@pytest.mark.parametrize(
    "draw",
    [
        lambda values, **o: plot.assignments(values, np.zeros(90), **o),
        lambda values, **o: plot.assignment_probabilities(values, np.ones((90, 1)), **o),
        lambda values, **o: plot.weighted_components([1.0], [0.0], [1.0], values, **o),
        lambda values, **o: plot.density_with_band(values, [0.0, 1.0], [1.0, 1.0], [0.9, 0.9], [1.1, 1.1], **o),
        lambda values, **o: plot.predictive_check(values, ROWS[:, 0], **o),
    ],
)
def test_a_series_has_its_name_where_no_other_is_given(draw):
    found = [draw(FRAME["width"]), draw(ROWS[:, 0]), draw(FRAME["width"], column_name="width (m)")]
    assert [ax.get_xlabel() for ax in found] == ["width", "data value", "width (m)"]
    assert draw(FRAME["width"].rename(3)).get_xlabel() == "data value"


def test_memberships_of_a_facet_are_those_of_its_rows():
    shares = RNG.dirichlet(np.ones(3), 90)
    names = ["p0", "p1", "p2"]
    frame = pd.concat([FRAME, pd.DataFrame(shares, columns=names)], axis=1).assign(most=shares.argmax(axis=1))
    grid = sns.FacetGrid(frame, col="kind")
    grid.map_dataframe(plot.assignments, x="width", components="most", num_components=3)
    for ax, half in zip(grid.axes.flat, (slice(0, 45), slice(45, 90)), strict=True):
        for k in range(3):
            np.testing.assert_array_equal(ax.lines[k].get_xdata(), ROWS[half, 0][shares[half].argmax(axis=1) == k])
    assert grid.axes[0, 0].get_xlabel() == "width"
    grid = sns.FacetGrid(frame, col="kind")
    grid.map_dataframe(plot.assignment_probabilities, x="width", probabilities=names)
    np.testing.assert_array_equal(grid.axes[0, 1].lines[2].get_ydata(), shares[45:, 2])
    grid = sns.FacetGrid(frame, col="kind")
    grid.map_dataframe(plot.responsibilities, rows=["height", "width"], probabilities=names)
    grid.add_legend()
    assert sorted(text.get_text() for text in grid.legend.get_texts()) == [f"component {k}" for k in range(3)]
    ax = grid.axes[0, 1]
    assert (ax.get_xlabel(), grid.axes[0, 0].get_ylabel()) == ("height", "width")
    shown = np.concatenate([marks.get_offsets() for marks in ax.collections])
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(ROWS[45:, ::-1], axis=0))
    with pytest.raises(ValueError, match="`probabilities` must name columns of `data`. Received: .*'p9'"):
        grid.map_dataframe(plot.responsibilities, rows=["height", "width"], probabilities=["p0", "p9"])
