"""Copies of weighted rows are the rows repeated, and any choice among them is the choice among repeated rows."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.data.summary import DataSummary
from tfgmm.mixture.virtual_copies import are_counts, are_whole, copies, every_nth, with_counts

GENERATOR = np.random.default_rng(0)
WHOLE = GENERATOR.integers(1, 9, 300).astype(np.float64)
SHARES = GENERATOR.gamma(0.7, size=300)


def test_whole_weights_repeat_rows():
    found = copies(WHOLE, most=10_000, seed=3)
    assert found.tolist() == [row for row, weight in enumerate(WHOLE) for _ in range(int(weight))]
    np.testing.assert_array_equal(copies(WHOLE, int(WHOLE.sum()), seed=3), found)


@pytest.mark.parametrize("most", [1, 10, 700])
def test_a_choice_among_copies_is_the_choice_among_repeated_rows(most):
    repeated = np.repeat(np.arange(300), WHOLE.astype(int))
    for seed in (0, 8):
        expected = repeated[np.random.default_rng(seed).choice(len(repeated), most, replace=False)]
        np.testing.assert_array_equal(copies(WHOLE, most, seed), expected)
    assert most == 1 or (copies(WHOLE, most, 0) != copies(WHOLE, most, 8)).any()


def test_copies_of_more_rows_than_memory_holds_are_chosen():
    found = copies(np.array([1e12, 3e12]), 4_000, seed=0)
    assert len(found) == 4_000
    np.testing.assert_allclose((found == 1).mean(), 0.75, atol=0.03)


@pytest.mark.parametrize("factor", [0.1, 1.0, 2.5, 40.0])
def test_other_weights_are_shares_at_equal_steps(factor):
    weights, most = factor * SHARES, 5_000
    found = copies(weights, most, seed=1)
    assert len(found) == min(most, max(300, int(np.ceil(weights.sum()))))
    assert (np.diff(found) >= 0).all()
    expected = len(found) * weights / weights.sum()
    assert (np.abs(np.bincount(found, minlength=300) - expected) < 1.0).all()  # which no independent draws achieve
    np.testing.assert_array_equal(found, copies(weights, most, seed=1))
    assert (found != copies(weights, most, seed=2)).any()


def test_whole_weights_are_told_from_others():
    assert are_whole(WHOLE) and not are_whole(SHARES)
    assert not are_whole(np.array([2.0**53, 1.0]))


def summary_of(num_rows, num_data):
    return DataSummary(num_data, 2, (0.0,) * 2, (1.0,) * 2, num_rows=num_rows)


def test_rows_that_count_several_times_are_no_more_rows():
    rows, total = GENERATOR.normal(size=(300, 2)), int(WHOLE.sum())
    for weights in (None, np.ones(300), SHARES):
        found, counts = with_counts(rows, weights, summary_of(300, 300 if weights is None else float(weights.sum())))
        assert found is rows and counts is None
    for factor in (1, 10**6):
        found, counts = with_counts(rows, factor * WHOLE, summary_of(300, factor * total))
        assert found is rows and counts.tolist() == (factor * WHOLE).tolist()
    assert with_counts(rows, SHARES, summary_of(9_000, 1_234.5)) == (rows, None)


def test_a_sample_of_weighted_rows_has_heavy_ones_repeated():
    """Light rows stand for others, which have other values: none of them is repeated."""
    rows, weights = GENERATOR.normal(size=(300, 2)), np.full(300, 12.3)
    weights[7] = 100 * 12.3
    found, counts = with_counts(rows, weights, summary_of(9_000, 4_908))
    assert len(found) == 300 and counts is None
    np.testing.assert_allclose((found == rows[7]).all(axis=1).sum(), 75, atol=1)
    assert len(np.unique(found, axis=0)) >= 224
    assert are_counts(weights, summary_of(9_000, 4_908)) and not are_counts(weights, summary_of(300, 4_908))


@pytest.mark.parametrize("most", [3, 100, 299, 5_000])
def test_every_nth_row_is_that_of_the_repeated_rows(most):
    rows = GENERATOR.normal(size=(300, 2))
    repeated = np.repeat(rows, WHOLE.astype(int), axis=0)
    expected = repeated[:: max(1, len(repeated) // most)]
    np.testing.assert_array_equal(every_nth(rows, WHOLE, most), expected)
    np.testing.assert_array_equal(every_nth(repeated, None, most), expected)
    assert len(every_nth(rows[:0], WHOLE[:0], most)) == len(every_nth(rows[:0], None, most)) == 0
