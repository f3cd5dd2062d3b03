"""The pictures of two answers side by side, checked on the numbers inside the artists."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from pictures import assert_nothing_is_cut_off, bars_of
from scipy.stats import norm

from tfgmm import plot

pytestmark = pytest.mark.usefixtures("no_figures_left")

RNG = np.random.default_rng(0)
WIDE = np.array([0.0, 5.0]) + 0.4 * RNG.standard_normal((2, 3_000, 2))
NARROW = np.array([0.0, 5.0]) + 0.2 * RNG.standard_normal((1, 4_000, 2))


def test_overlaid_posteriors_are_densities_of_their_draws():
    ax = plot.agreement(NARROW, WIDE, label="location (m)", names=("closed form", "NUTS"))
    for k, line in enumerate(ax.lines):
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.01)
        assert y.max() == pytest.approx(norm.pdf(0, 0, 0.2), rel=0.1)
        assert x[np.argmax(y)] == pytest.approx(5.0 * k, abs=0.15)
        assert to_hex(line.get_color()) == plot.component_colours(2)[k]
    peaks = [collection.get_paths()[0].vertices[:, 1].max() for collection in ax.collections]
    np.testing.assert_allclose(peaks, norm.pdf(0, 0, 0.4), rtol=0.1)
    assert ax.get_title() == "closed form beside NUTS" and ax.get_xlabel() == "location (m)"
    assert_nothing_is_cut_off(ax.figure)


def test_components_far_apart_can_be_measured_from_their_means():
    ax = plot.agreement(NARROW + 0.3, WIDE, label="location", centred=True)
    for line in ax.lines:
        x, y = line.get_data()
        assert x[np.argmax(y)] == pytest.approx(0.3, abs=0.15)
    assert ax.get_xlabel() == "location, from its mean by b"


def test_predicted_rows_have_the_bins_of_the_real_ones():
    rows, predicted = RNG.normal(size=2_000), 3.0 * RNG.normal(size=5_000)
    ax = plot.predictive_check(rows, predicted, column_name="length (m)")
    heights, edges, _ = ax.patches[-1].get_data()
    np.testing.assert_allclose(bars_of(ax)[0], edges)
    counts, _ = np.histogram(predicted, edges)
    np.testing.assert_allclose(heights * np.diff(edges) * len(predicted), counts)
    assert sum(heights * np.diff(edges)) < 0.9  # a third lies beyond the rows, and is not shared out
    assert_nothing_is_cut_off(ax.figure)


def test_the_band_lies_about_the_mean():
    x = np.linspace(-3, 3, 61)
    y = norm.pdf(x)
    ax = plot.density_with_band(RNG.normal(size=500), x, y, 0.8 * y, 1.3 * y)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), y)
    outline = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert outline.max() == pytest.approx(1.3 * y.max())
    assert_nothing_is_cut_off(ax.figure)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plot.agreement(WIDE[0], WIDE, label="a"), r"`values_a` must have shape \(C, S, K\)"),
        (lambda: plot.agreement(WIDE, WIDE[..., :1], label="a"), "as many components. Received: 2 and 1"),
        (lambda: plot.agreement(np.zeros((1, 9, 2)), WIDE, label="a"), "must vary"),
        (lambda: plot.agreement(WIDE, WIDE, label="a", names=("b",)), "`names` must be two strings"),
        (lambda: plot.predictive_check(np.ones(5), np.ones(5)), "`rows` must vary. Received: 5 rows equal to 1"),
        (lambda: plot.predictive_check(WIDE, np.ones(5)), r"`rows` must have shape \(N,\)"),
        (lambda: plot.density_with_band([0.0, 1.0], [0.0], [1.0, 2.0], [1.0], [1.0]), r"`mean` must have shape \(1,\)"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
