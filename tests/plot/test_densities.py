"""The picture of a density, checked on the numbers inside the artists rather than on pixels."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import LIMITS, NORMAL, assert_nothing_is_cut_off, contour_levels, mass_of, mesh_of, rows_of, small_print
from scipy.stats import multivariate_normal

from tfgmm import plot
from tfgmm.plot.grids import Grid, cell_edges, density_grid, mass_levels

pytestmark = pytest.mark.usefixtures("no_figures_left")


def test_a_tall_narrow_density_of_many_rows_with_means_is_not_cut_off():
    rows = rows_of(20_000) * [5.0, 1.0]
    ax = plot.density(NORMAL.logpdf, rows, num_points=20)
    plot.means([[5.0, 50.0]], [[0.1, 0.1]], ax=ax)
    assert ax.get_aspect() == 1.0
    assert_nothing_is_cut_off(ax.figure)


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


@pytest.mark.parametrize(
    "names, unit",
    [
        (("a (minutes)", "b (minutes)"), "minutes²"),
        (("a (°C)", "b (°C)"), "°C²"),
        (("a (m/s)", "b (m/s)"), "(m/s)²"),
        (("a (m)", "b (s)"), "m × s"),
        (("a", "b"), "unit of a × unit of b"),
    ],
)
def test_density_is_per_square_of_a_unit_that_both_columns_have(names, unit):
    ax = plot.density(NORMAL.logpdf, limits=LIMITS, num_points=5, column_names=names)
    assert mesh_of(ax).colorbar.ax.get_ylabel() == f"density, per {unit}"


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


def test_regions_of_a_mixture_hold_their_share_of_rows_drawn_from_it():
    wide, tight = (
        multivariate_normal([0, 0], [[1.0, 0.4], [0.4, 2.0]]),
        multivariate_normal([5.0, 1.0], 0.2 * np.eye(2)),
    )

    def log_prob(x):
        return np.logaddexp(np.log(0.7) + wide.logpdf(x), np.log(0.3) + tight.logpdf(x))

    rng = np.random.default_rng(0)
    from_wide = rng.uniform(size=20_000) < 0.7
    rows = np.where(from_wide[:, None], wide.rvs(20_000, rng), tight.rvs(20_000, rng))
    ax = plot.density(log_prob, limits=((-7, 9), (-8, 8)), num_points=300)
    shares = [(np.exp(log_prob(rows)) > level).mean() for level in contour_levels(ax)]
    for share, mass in zip(shares, (0.5, 0.9)):
        assert abs(share - mass) < 4 * np.sqrt(mass * (1 - mass) / 20_000)  # standard errors
