"""The picture of a choice of the number of components, checked on the numbers inside the artists."""

from __future__ import annotations

import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import assert_nothing_is_cut_off, small_print

import tfgmm
from tfgmm import plot

pytestmark = pytest.mark.usefixtures("no_figures_left")


def selection_of(elbos, criteria, held, num_data=40):
    fits = [
        types.SimpleNamespace(
            num_components=k,
            num_occupied=k,
            elbo=elbo,
            bic=bic,
            icl=bic + 1.0 * k,
            aic=bic,
            log_likelihood=elbo,
            num_data=num_data,
            weight_prior="stick_breaking",
            covariance="diag",
            num_features=1,
            converged=True,
            exact=None,
        )
        for k, (elbo, bic) in enumerate(zip(elbos, criteria, strict=True), start=1)
    ]
    return tfgmm.Selection(tuple(fits), np.asarray(held, np.float64), "some rows")


HELD = np.random.default_rng(0).normal([[-9.0], [-2.0], [-2.1]], 1.0, (3, 10))
CHOICE = selection_of([-200.0, -90.0, -91.0], [400.0, 180.0, 190.0], HELD)


def lines_of(ax):
    return {
        container.get_label(): container.lines[0].get_ydata() for container in ax.containers if container.get_label()
    }


def test_every_criterion_is_drawn_in_nats_from_its_best():
    lines = lines_of(plot.num_components(CHOICE))
    np.testing.assert_allclose(lines["evidence"], [-110.0, 0.0, -1.0])
    np.testing.assert_allclose(lines["BIC / 2"], [-110.0, 0.0, -5.0])
    np.testing.assert_allclose(lines["ICL / 2"], [-109.5, 0.0, -5.5])
    means = HELD.mean(axis=1)
    np.testing.assert_allclose(lines["held-out density"], 40 * (means - means.max()))


def test_bars_are_one_paired_standard_error_of_all_rows():
    ax = plot.num_components(CHOICE)
    [bars] = [container for container in ax.containers if container.has_yerr]
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in bars.lines[2][0].get_segments()]
    best = int(HELD.mean(axis=1).argmax())
    gaps = HELD[best] - HELD
    np.testing.assert_allclose(lengths, 40 * gaps.std(axis=1, ddof=1) / np.sqrt(10), atol=1e-12)


def test_the_recommended_number_stands_in_a_band_and_far_ones_are_named():
    ax = plot.num_components(CHOICE)
    [band] = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (pytest.approx(1.6), pytest.approx(2.4))
    assert "recommended, 2; 90 % of the evidence: 2, 3" in small_print(ax) and "below this frame: 1" in small_print(ax)
    low, high = ax.get_ylim()
    assert -110 < low < -5.5 and high > 0
    assert_nothing_is_cut_off(ax.figure)


def test_without_held_out_rows_there_are_no_bars():
    ax = plot.num_components(selection_of([-8.0, -5.0], [12.0, 9.0], np.zeros((2, 0))))
    assert set(lines_of(ax)) == {"evidence", "BIC / 2", "ICL / 2"} and "bars" not in small_print(ax)
    assert "below" not in small_print(ax)


def test_it_draws_where_it_is_told_in_lines_that_differ_without_colour():
    _, axes = plt.subplots(1, 2, layout="constrained")
    assert plot.num_components(CHOICE, ax=axes[1]) is axes[1] and not axes[0].lines
    marks = [(container.lines[0].get_linestyle(), container.lines[0].get_marker()) for container in axes[1].containers]
    assert len(set(marks)) == len(marks) == 4


def test_something_else_is_refused():
    with pytest.raises(TypeError, match="`selection` must be a tfgmm.Selection. Received: list. Pass what fit_mixture"):
        plot.num_components([1, 2, 3])


# --- Several shapes


def shapes_of(evidence, icl_best=0):
    """A choice with a line of evidence by number for each shape, and BIC at the best of it."""
    fits = [
        types.SimpleNamespace(
            num_components=k,
            num_occupied=k,
            covariance=shape,
            elbo=value,
            bic=-2.0 * value,
            icl=0.0 if (shape, k) == icl_best else 9.0,
            aic=-2.0 * value,
            log_likelihood=value,
            num_data=40,
            num_features=2,
            weight_prior="stick_breaking",
            converged=True,
            exact=None,
        )
        for shape, values in evidence.items()
        for k, value in enumerate(values, start=1)
    ]
    return tfgmm.Selection(tuple(fits), np.zeros((len(fits), 0)), "some rows")


SHAPES = shapes_of(
    {"spherical": [-900.0, -800.0, -850.0], "tied": [-300.0, -91.0, -90.0], "full": [-200.0, -95.0, -99.0]}, ("full", 2)
)


def test_every_shape_is_a_line_of_its_own_colour_style_and_mark():
    ax = plot.num_components(SHAPES)
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["spherical", "tied", "full"]
    np.testing.assert_allclose(lines["tied"].get_ydata(), [-210.0, -1.0, 0.0])
    np.testing.assert_array_equal(lines["full"].get_xdata(), [1, 2, 3])
    for look in ("get_color", "get_linestyle", "get_marker"):
        assert len({str(getattr(line, look)()) for line in lines.values()}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert_nothing_is_cut_off(ax.figure)


def test_fits_of_the_criteria_are_ringed_and_named_and_poor_shapes_too():
    ax = plot.num_components(SHAPES)
    rings = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert [(float(ring.get_xdata()[0]), float(ring.get_ydata()[0])) for ring in rings] == [(3.0, 0.0), (2.0, -5.0)]
    assert "A, tied with 3: recommended, BIC" in small_print(ax)
    assert "B, full with 2: ICL (groups)" in small_print(ax)
    assert "below this frame: spherical" in small_print(ax)
    low, high = ax.get_ylim()
    assert -300 < low < -9 and high > 0


def test_one_number_shows_all_shapes():
    one = shapes_of({"spherical": [-900.0], "full": [-200.0]}, ("full", 1))
    ax = plot.num_components(one)
    assert ax.get_ylim()[0] < -700 and "below" not in small_print(ax)
    _, axes = plt.subplots(1, 2, layout="constrained")
    assert plot.num_components(one, ax=axes[1]) is axes[1] and not axes[0].lines
