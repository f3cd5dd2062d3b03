"""The share of what rows say of means that noise hides: counted row by row, and said where it is much."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.hidden_by_noise import sentences_on_hidden, shares_hidden

RNG = np.random.default_rng(0)
WIDTHS = np.array([[1.0, 3.0], [2.0, 0.5]])
ROWS = np.where(RNG.random((30, 2)) < 0.2, np.nan, RNG.normal(size=(30, 2)))
NOISE = RNG.uniform(0.0, 2.0, (30, 2)) * ~np.isnan(ROWS)
WEIGHTS = RNG.uniform(0.5, 2.0, 30)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("are_matrices", [False, True])
def test_shares_are_averages_over_rows_with_a_value(weights, are_matrices):
    given = np.stack([np.diag(row**2) for row in NOISE]) if are_matrices else NOISE
    found = shares_hidden(WIDTHS, RowBlock(ROWS, weights, given))
    for column, variance in enumerate((1.0, 0.25)):  # of the narrowest component
        hidden = total = 0.0
        for number in range(30):
            if not np.isnan(ROWS[number, column]):
                weight = 1.0 if weights is None else weights[number]
                without, precision = 1.0 / variance, 1.0 / (variance + NOISE[number, column] ** 2)
                hidden, total = hidden + weight * (1.0 - precision / without), total + weight
        assert found[column] == pytest.approx(hidden / total, rel=1e-12)


def test_a_few_rows_with_huge_noise_hide_little():
    noise = np.where(np.arange(100)[:, None] < 5, 1e30, 0.0)
    assert shares_hidden(np.ones((1, 1)), RowBlock(np.zeros((100, 1)), None, noise)) == (0.05,)
    assert shares_hidden(np.ones((1, 1)), RowBlock(np.zeros((100, 1)))) == ()


def test_much_is_said_with_columns_and_shares():
    assert sentences_on_hidden((), None) == sentences_on_hidden((0.25, 0.0), ("a", "b")) == []
    [one] = sentences_on_hidden((0.26, 0.1), ("a", "b"))
    assert one.startswith("noise hides much of what rows say of means in column 'a' (26 %): intervals are too narrow")
    [both] = sentences_on_hidden((0.9, 0.5), None)
    assert "in columns 0 (90 %) and 1 (50 %): " in both
    [many] = sentences_on_hidden((0.5,) * 8, None)
    assert "5 (50 %) and 2 more: " in many
