"""Pictures of rows with gaps and weights: gaps are left out panel by panel, weights are repeated rows."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import NORMAL, assert_nothing_is_cut_off, bars_of, small_print

from tfgmm import Draws, plot
from tfgmm.plot.kinds import KINDS, NOISE_NOTE, PREDICTED_NOTE, Pictured, plain_style

pytestmark = pytest.mark.usefixtures("no_figures_left")

LOCS = np.array([[0.0, 0.0, 0.0], [6.0, 1.0, -3.0]])
ONE = Draws(np.array([[[0.6, 0.4]]]), LOCS[None, None], np.ones((1, 1, 2, 3)), ("a", "b", "c"))
WHOLE = np.random.default_rng(0).normal(size=(60, 3)) + LOCS[np.arange(60) % 2]


def with_gaps() -> np.ndarray:
    """60 rows: 10 lack a, 8 others lack b, one lacks both; c is whole."""
    rows = WHOLE.copy()
    rows[:10, 0] = rows[10:18, 1] = np.nan
    rows[18, :2] = np.nan
    return rows


WEIGHTS = np.random.default_rng(1).integers(0, 4, 60)


def dots_of(ax: plt.Axes) -> np.ndarray:
    return np.asarray(next(marks for marks in ax.collections if len(marks.get_offsets()) > 1).get_offsets())


def test_each_panel_of_pairs_has_the_rows_with_its_columns() -> None:
    rows = with_gaps()
    panels = plot.pairs(ONE, rows, num_points=10)
    for line, column in ((1, 0), (2, 0), (2, 1)):
        pair = rows[:, [column, line]]
        np.testing.assert_array_equal(dots_of(panels[line, column]), [row for row in pair if not np.isnan(row).any()])
    for column in range(3):
        values = [value for value in rows[:, column] if value == value]
        heights, edges = np.histogram(values, 10, density=True)
        for found, expected in zip(bars_of(panels[column, column]), (edges, heights), strict=True):
            np.testing.assert_allclose(found, expected)
        margin = 0.08 * (max(values) - min(values))
        np.testing.assert_allclose(panels[2, column].get_xlim(), (min(values) - margin, max(values) + margin))
    key = panels[0, -1].get_legend().get_title().get_text()
    assert "3 columns, 60 rows\n(19 with gaps, where they have values)" in key
    assert "gaps" not in plot.pairs(ONE, WHOLE, num_points=10)[0, -1].get_legend().get_title().get_text()


def test_density_memberships_and_columns_count_rows_that_lack_a_value() -> None:
    rows = with_gaps()
    of_two = plot.density(lambda x: NORMAL.logpdf(x), rows[:, :2], num_points=5)
    assert len(dots_of(of_two)) == 41 and "41 rows (19 lack a value)" in small_print(of_two)
    np.testing.assert_allclose(of_two.get_xlim()[0], np.nanmin(rows[:, 0]) - 0.08 * np.ptp(rows[19:, 0]), rtol=0.2)
    shares = np.tile([0.9, 0.1], (60, 1))
    members = plot.responsibilities(rows, shares, columns=(0, 2))
    assert len(dots_of(members)) == 49 and "49 rows (11 lack a value); filled" in small_print(members)
    column = plot.column_density(ONE, rows, column="b")
    assert "51 rows (9 lack a value)" in [text.get_text() for text in column.get_legend().get_texts()]
    assert_nothing_is_cut_off(of_two.figure)


def test_one_column_pictures_leave_gaps_out() -> None:
    values = with_gaps()[:, 0]
    heights, edges = np.histogram(values[~np.isnan(values)], 7, density=True)
    for ax in (
        plot.predictive_check(values, np.zeros(50)),
        plot.density_with_band(values, [0.0, 1.0], [0.1, 0.1], [0.0, 0.0], [0.2, 0.2]),
    ):
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        assert "49 rows (11 lack a value)" in texts
        for found, expected in zip(bars_of(ax), (edges, heights), strict=True):
            np.testing.assert_allclose(found, expected)
    statistic = plot.predictive_statistic(values, np.random.default_rng(0).normal(size=(20, 49)))
    assert f"the data: {np.nanmedian(values):.2f}" in [text.get_text() for text in statistic.get_legend().get_texts()]
    marks = plot.weighted_components([1.0], [0.0], [1.0], values)
    assert "49 rows (11 lack a value)" in [text.get_text() for text in marks.get_legend().get_texts()]
    assigned = plot.assignments([0.0, np.nan, 1.0], [0, -1, 1])
    assert [line.get_xdata().tolist() for line in assigned.lines] == [[0.0], [1.0]]
    certain = plot.assignment_probabilities([0.0, np.nan], [[1.0, 0.0], [0.5, 0.5]])
    assert [line.get_xdata().tolist() for line in certain.lines] == [[0.0], [0.0]]


def test_weights_are_repeated_rows_in_bars() -> None:
    rows, repeated = with_gaps(), np.repeat(with_gaps(), WEIGHTS, axis=0)
    pictures = {
        "column": lambda x, w: plot.column_density(ONE, x, column=1, sample_weight=w),
        "pairs": lambda x, w: plot.pairs(ONE, x, num_points=5, sample_weight=w)[1, 1],
        "check": lambda x, w: plot.predictive_check(x[:, 1], np.zeros(9), sample_weight=w),
        "band": lambda x, w: plot.density_with_band(x[:, 1], [0, 1], [1, 1], [1, 1], [1, 1], sample_weight=w),
    }
    for name, draw in pictures.items():
        weighted, plain, once = bars_of(draw(rows, WEIGHTS)), bars_of(draw(repeated, None)), bars_of(draw(rows, None))
        np.testing.assert_allclose(weighted[0], plain[0], rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(weighted[1], plain[1], rtol=1e-12, err_msg=name)
        assert len(weighted[1]) != len(once[1]) or not np.allclose(weighted[1], once[1])
    of_draws = [
        plot.predictive_check(*pair, column=1, num_sets=3, sample_weight=w)
        for pair, w in (((rows, ONE), WEIGHTS), ((repeated, ONE), None))
    ]
    for patches in zip(*(ax.patches for ax in of_draws), strict=True):
        np.testing.assert_allclose(*(patch.get_data().values for patch in patches), rtol=1e-12)
    assert any("weighted" in text.get_text() for text in of_draws[0].get_legend().get_texts())


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(59), r"must have shape \(60,\)"),
        (np.full(60, -1.0), "must be finite and not negative. Received: -1"),
        (np.full(60, np.nan), "must be finite and not negative. Received: nan"),
        (np.zeros(60), "must be above 0 for some rows"),
        (["much"] * 60, "must be an array of numbers"),
    ],
)
def test_weights_that_are_none_are_refused(weights: object, words: str) -> None:
    with pytest.raises(ValueError, match=f"`sample_weight` {words}"):
        plot.column_density(ONE, WHOLE, sample_weight=weights)
    assert not plt.get_fignums()


def test_weights_need_rows() -> None:
    with pytest.raises(ValueError, match="`sample_weight` must be left out where there are no rows"):
        plot.pairs(ONE, sample_weight=WEIGHTS)


class Mixture:
    """What the pictures of a whole mixture ask for; it keeps what it was asked."""

    def __init__(self) -> None:
        self.noise: object = None

    def mean_parameters(self) -> Draws:
        return ONE

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        return -0.5 * np.square(x).sum(axis=1)

    def responsibilities(self, x: np.ndarray, noise: object = None) -> np.ndarray:
        self.noise = noise
        return np.tile([0.9, 0.1], (len(x), 1))


COLUMNS = {"density": [0, 1], "column": [0], "pairs": [0, 1, 2], "responsibilities": [0, 1], "check": [0]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_without_a_word_where_rows_have_gaps(kind: str) -> None:
    alone = WHOLE.copy()
    alone[:, 0], alone[::2, 1], alone[1::2, 2] = np.nan, np.nan, np.nan  # no value of a, and none of both b and c
    rows = (with_gaps(), with_gaps()[18:20]) if kind == "check" else (with_gaps(), alone, alone[:1])
    for some in rows:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pictured = Pictured(Mixture(), lambda: ONE, some, ("a", "b", "c"), weights=np.ones(len(some)))
            if kind == "check" and len(some) == 2:
                with pytest.raises(ValueError, match="`rows` must vary"):
                    KINDS[kind].draw(pictured, [0])
                continue
            figure = KINDS[kind].draw(pictured, COLUMNS[kind])
            figure.canvas.draw()
        assert all(np.isfinite(ax.get_xlim()).all() for ax in figure.axes)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_densities_say_that_noise_is_taken_off(kind: str) -> None:
    mixture, noise = Mixture(), np.full((60, 3), 0.1)
    for has_noise in (True, False):
        noisy = Pictured(
            mixture, lambda: ONE, WHOLE, ("a", "b", "c"), noise=noise if has_noise else None, has_noise=has_noise
        )
        with plain_style():
            figure = KINDS[kind].draw(noisy, COLUMNS[kind])
        title = figure._suptitle.get_text() if figure._suptitle else ""
        said = (PREDICTED_NOTE if kind == "check" else NOISE_NOTE) in title + small_print(figure.axes[0])
        assert said is (has_noise and kind != "responsibilities")
        if kind == "responsibilities":
            assert (mixture.noise is noise) is has_noise
        else:
            figure.draw_without_rendering()  # as saving does: equal units and small print settle in the second layout
            assert_nothing_is_cut_off(figure)
