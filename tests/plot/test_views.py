"""Limits of Axes that are in use, and scales that densities are not drawn on."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from pictures import LIMITS, NORMAL

from tfgmm import Draws, plot

pytestmark = pytest.mark.usefixtures("no_figures_left")

RNG = np.random.default_rng(0)
LOW, HIGH = RNG.normal(0.0, 0.1, 60), RNG.normal(9.0, 1.0, 40)
FRAME = pd.DataFrame({"width": np.concatenate([LOW, HIGH]), "kind": ["low"] * 60 + ["high"] * 40})
TWO = Draws(np.array([[[0.6, 0.4]]]), np.array([[[[0.0], [9.0]]]]), np.array([[[[0.1], [1.0]]]]), ("width",))
SHARES = np.array([[0.9, 0.1]])

# What draws one column of values
OF_VALUES = {
    "column_density": lambda values, ax: plot.column_density(TWO, values, ax=ax),
    "predictive_check": lambda values, ax: plot.predictive_check(values, TWO, num_sets=5, ax=ax),
    "one predicted set": lambda values, ax: plot.predictive_check(values, values + 0.1, ax=ax),
    "predictive_statistic": lambda values, ax: plot.predictive_statistic(values, values + np.eye(2)[:, :1], 0.5, ax=ax),
    "posterior": lambda values, ax: plot.posterior(values, label="x", ax=ax),
    "agreement": lambda values, ax: plot.agreement(*2 * [values[None, :, None]], label="x", ax=ax),
    "density_with_band": lambda values, ax: plot.density_with_band(
        values, np.sort(values), *(height * np.ones(len(values)) for height in (1, 0.5, 2)), ax=ax
    ),
    "weighted_components": lambda values, ax: plot.weighted_components([1.0], [values.mean()], values.std(), ax=ax),
    "assignments": lambda values, ax: plot.assignments(values, np.zeros(len(values)), ax=ax),
    "assignment_probabilities": lambda values, ax: plot.assignment_probabilities(
        values, np.repeat(SHARES, len(values), axis=0), ax=ax
    ),
    "responsibilities": lambda values, ax: plot.responsibilities(
        np.stack([values, values], axis=1), np.repeat(SHARES, len(values), axis=0), ax=ax
    ),
}


def limits_of(ax):
    return np.array([ax.get_xlim(), ax.get_ylim()])


def assert_within(inner, outer):
    assert (outer[:, 0] <= inner[:, 0] + 1e-9).all() and (outer[:, 1] >= inner[:, 1] - 1e-9).all()


@pytest.mark.parametrize("name", OF_VALUES)
@pytest.mark.parametrize("order", [(LOW, HIGH), (HIGH, LOW)])
def test_two_pictures_on_one_axes_are_both_in_view(name, order):
    alone = [limits_of(OF_VALUES[name](values, None)) for values in order]
    _, ax = plt.subplots()
    # Limits that an earlier picture has set do not follow what is drawn
    plot.column_density(TWO, order[0], ax=ax)
    before = limits_of(ax)
    for values in order:
        OF_VALUES[name](values, ax)
    assert_within(before, limits_of(ax))
    tolerance = 0.06 * np.ptp(alone, axis=2, keepdims=True)  # a margin more or less
    for limits, slack in zip(alone, tolerance, strict=True):
        assert_within(limits + slack * [1, -1], limits_of(ax))


@pytest.mark.parametrize("kinds", [("low", "high"), ("high", "low")])
@pytest.mark.parametrize("draw", [plot.predictive_check, plot.column_density])
def test_no_panel_of_a_facet_grid_is_cut_off(kinds, draw):
    grid = sns.FacetGrid(FRAME, col="kind", col_order=kinds)
    named = {"predicted": TWO, "num_sets": 5} if draw is plot.predictive_check else {"draws": TWO}
    grid.map_dataframe(draw, rows="width", **named)
    ax = grid.axes[0, 0]
    assert ax.get_xlim()[0] < LOW.min() and ax.get_xlim()[1] > HIGH.max()
    tallest = np.histogram(LOW, int(np.sqrt(60)) + (draw is plot.column_density) * 3, density=True)[0].max()
    assert ax.get_ylim()[1] > tallest


def test_limits_widen_beside_what_others_have_drawn_and_an_axis_stays_turned():
    _, ax = plt.subplots()
    sns.scatterplot(x=[-50.0, 3.0], y=[20.0, 90.0], ax=ax)
    ax.invert_yaxis()
    before = limits_of(ax)
    plot.density(NORMAL.logpdf, limits=LIMITS, num_points=4, ax=ax)
    np.testing.assert_array_equal(limits_of(ax)[0], before[0])
    assert ax.get_ylim() == (before[1, 0], 16.5) and before[1, 0] > 90
    plot.density(NORMAL.logpdf, limits=((-2.0, 14.0), (5.0, 75.0)), num_points=4, ax=ax)
    assert ax.get_xlim() == (before[0, 0], 14.0) and ax.get_ylim() == (before[1, 0], 5.0)


def test_pairs_keep_in_view_what_a_grid_shows():
    both = np.stack([LOW, LOW], axis=1)
    draws = Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    grid = sns.PairGrid(pd.DataFrame(np.stack([FRAME["width"]] * 2, axis=1), columns=["a", "b"]))
    grid.map_offdiag(sns.scatterplot)
    plot.pairs(draws, both, num_points=4, ax=grid)
    assert grid.axes[1, 0].get_xlim()[1] > HIGH.max() and grid.axes[1, 0].get_ylim()[1] > HIGH.max()


ON_SCALES = {
    **{name: OF_VALUES[name] for name in list(OF_VALUES)[:3] + list(OF_VALUES)[4:8]},
    "density": lambda values, ax: plot.density(NORMAL.logpdf, limits=LIMITS, num_points=4, ax=ax),
    "components": lambda values, ax: plot.components(Draws(*(np.ones((1, 1, 1, 2)[:n]) for n in (3, 4, 4))), ax=ax),
    "means": lambda values, ax: plot.means([[0.0, 1.0]], [[0.1, 0.1]], ax=ax),
    "posterior_joint": lambda values, ax: plot.posterior_joint(RNG.normal(size=(9, 2)), labels=("x", "y"), ax=ax),
    "joint_histogram": lambda values, ax: plot.joint_histogram(RNG.normal(size=(9, 2)), labels=("x", "y"), ax=ax),
}


@pytest.mark.parametrize("name", ON_SCALES)
def test_densities_are_not_drawn_on_other_scales(name):
    for axis, scales in (("x", "x log, y linear"), ("y", "x linear, y log")):
        _, ax = plt.subplots()
        getattr(ax, f"set_{axis}scale")("log")
        with pytest.raises(ValueError, match=f"`ax` must have linear scales: .* Received: {scales}. Set the scale aft"):
            ON_SCALES[name](HIGH, ax)
        assert not ax.has_data()


def test_pairs_are_not_drawn_on_other_scales():
    _, panels = plt.subplots(2, 2)
    panels[1, 0].set_yscale("log")
    with pytest.raises(ValueError, match="`ax` must have linear scales"):
        plot.pairs(Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 2)), np.ones((1, 1, 1, 2))), ax=panels)


def test_rows_and_a_scale_set_afterwards_may_be_logarithmic():
    _, ax = plt.subplots()
    ax.set_xscale("log")
    OF_VALUES["responsibilities"](HIGH, ax)
    ax = plot.column_density(TWO, HIGH)
    ax.set_xscale("log")
    ax.figure.canvas.draw()
