"""Gaps are filled for starts alone: by the nearest row, as widely as other values, the same way each time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tfgmm.common.remembered import Remembered
from tfgmm.common.threads import _THREADS
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture import filled as filling
from tfgmm.mixture.filled import with_gaps_filled
from tfgmm.mixture.partitions import start_groups
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.starts import distinct_rows, start_locs


def with_gaps(rows, share, seed=0):
    gaps = np.random.default_rng(seed).random(rows.shape) < share
    gaps[gaps.all(axis=1), 0] = False
    return np.where(gaps, np.nan, rows)


def clusters(num_rows=600, num_features=4, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=num_rows)
    return labels, 8.0 * np.eye(3, num_features)[labels] + generator.normal(size=(num_rows, num_features))


def plain_fill(rows, spread):
    """Takes values from the nearest row, one gap at a time."""
    complete = rows.copy()
    for row, column in np.argwhere(np.isnan(rows)):
        best = np.inf
        for donor in np.flatnonzero(~np.isnan(rows[:, column])):
            known, shared = ~np.isnan(rows[row]), ~np.isnan(rows[row]) & ~np.isnan(rows[donor])
            distance = (((rows[row] - rows[donor]) / spread)[shared] ** 2).sum() + 2.0 * (known & ~shared).sum()
            if distance < best:
                best, complete[row, column] = distance, rows[donor, column]
    return complete


def test_gaps_are_those_of_the_nearest_row():
    rows, spread = with_gaps(clusters(120)[1], 0.3), np.array([1.0, 2.0, 0.5, 1.0])
    np.testing.assert_array_equal(with_gaps_filled(rows, spread), plain_fill(rows, spread))


def test_rows_without_gaps_are_handed_back():
    rows = clusters()[1]
    assert with_gaps_filled(rows, np.ones(4)) is rows


def test_column_without_any_value_is_at_the_centre():
    rows = np.array([[1.0, np.nan], [2.0, np.nan]])
    np.testing.assert_array_equal(with_gaps_filled(rows, np.ones(2)), [[1.0, 0.0], [2.0, 0.0]])


def test_some_rows_of_many_lend_their_values(monkeypatch):
    monkeypatch.setattr(filling, "_MOST_DONORS", 30)
    monkeypatch.setattr(filling, "_PAIRS_AT_A_TIME", 200)
    rows = with_gaps(clusters()[1], 0.2)
    complete = with_gaps_filled(rows, np.ones(4))
    is_gap = np.isnan(rows)
    np.testing.assert_array_equal(complete[~is_gap], rows[~is_gap])
    assert all(len(np.unique(complete[is_gap[:, column], column])) <= 30 for column in range(4))
    np.testing.assert_array_equal(complete[is_gap], filling._computed_values(rows, np.ones(4)))


def test_the_same_rows_are_filled_once(monkeypatch):
    """Every number of components of a choice, and every fold, asks for them again."""
    asked, computed = [], filling._computed_values

    def counting(rows, spread):
        asked.append(len(rows))
        return computed(rows, spread)

    monkeypatch.setattr(filling, "_lent", Remembered(counting, most=2))
    rows, other = (with_gaps(clusters(120)[1], share) for share in (0.2, 0.3))
    first = with_gaps_filled(rows, np.ones(4))
    again = with_gaps_filled(rows.copy(), np.ones(4))
    assert asked == [120]
    np.testing.assert_array_equal(again, first)
    again[:] = 0.0  # the caller's own, and what is remembered stays
    np.testing.assert_array_equal(with_gaps_filled(rows, np.ones(4)), first)
    assert (with_gaps_filled(rows, np.array([9.0, 1.0, 1.0, 0.1])) != first).any()
    with_gaps_filled(other, np.ones(4))
    assert len(asked) == 3


def test_one_thread_fills(monkeypatch):
    """Products of a few rows are not worth a second one, which rounds otherwise."""
    held, plain = [], filling._distances

    def watched(*arguments):
        held.append(max(library.num_threads for library in _THREADS.libraries.lib_controllers))
        return plain(*arguments)

    monkeypatch.setattr(filling, "_distances", watched)
    filling._computed_values(with_gaps(clusters(120)[1], 0.2), np.ones(4))
    assert held and set(held) == {1}


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_what_is_filled_in_varies_as_much_as_what_was_there(share):
    """As the mean of neighbours would not."""
    generator = np.random.default_rng(2)
    rows = generator.multivariate_normal(np.zeros(3), 0.7 + 0.3 * np.eye(3), 3_000)
    gappy = with_gaps(rows, share)
    complete = with_gaps_filled(gappy, np.ones(3))
    np.testing.assert_allclose(complete[np.isnan(gappy)].std(), 1.0, atol=0.06)
    np.testing.assert_allclose(np.corrcoef(complete.T), np.corrcoef(rows.T), atol=0.07)


def test_rows_that_are_equally_near_lend_values_in_turn():
    """A column of one value says nothing of the other: what is filled in is spread like what is there."""
    generator = np.random.default_rng(3)
    rows = np.column_stack([np.ones(2_000), generator.normal(size=2_000)])
    rows[::2, 1] = np.nan
    np.testing.assert_allclose(with_gaps_filled(rows, np.ones(2))[::2, 1].std(), 1.0, atol=0.05)


@pytest.mark.parametrize("start", ["auto", "k-means++", "random"])
def test_groups_of_rows_with_gaps(start):
    labels, rows = clusters()
    gappy, spread = with_gaps(rows, 0.15), rows.std(axis=0)
    seeds = range(3)
    groups = start_groups(start, gappy, 3, np.zeros(4), spread, seeds)
    expected = start_groups(start, with_gaps_filled(gappy, spread), 3, np.zeros(4), spread, seeds)
    for found, value in zip(groups, expected):
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, value)
    if start == "auto":  # the second is Ward's: as wide as those of the complete rows
        nearest = ((with_gaps_filled(gappy, spread)[:, None] - groups.locs[1]) ** 2).sum(axis=2).argmin(axis=1)
        assert adjusted_rand_score(labels, nearest) > 0.8
        whole = start_groups(start, rows, 3, np.zeros(4), spread, seeds)
        np.testing.assert_allclose(np.sort(groups.locs[1], axis=0), np.sort(whole.locs[1], axis=0), atol=0.7)
        assert 0.9 < groups.variances[1].mean() / whole.variances[1].mean() < 1.6


def test_given_locations_stay_what_they_are():
    _, rows = clusters()
    locs = 8.0 * np.eye(3, 4)
    groups = start_groups(locs, with_gaps(rows, 0.2), 3, np.full(4, 0.5), rows.std(axis=0), [0, 1])
    np.testing.assert_array_equal(groups.locs, np.broadcast_to(locs - 0.5, (2, 3, 4)))
    assert groups.counts.sum() == 2 * len(rows) and np.isfinite(groups.variances).all()


@pytest.mark.parametrize("start", ["k-means++", "random"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_locations_among_rows_with_gaps(start, dtype):
    rows = with_gaps(clusters()[1], 0.3).astype(dtype)
    locs = start_locs(start, rows, 3, np.zeros(4), 0)
    assert locs.shape == (3, 4) and np.isfinite(locs).all()
    spread = np.nanstd(rows.astype(np.float64), axis=0)
    np.testing.assert_array_equal(
        locs, start_locs(start, with_gaps_filled(rows.astype(np.float64), spread), 3, np.zeros(4), 0)
    )


@pytest.mark.parametrize("covariance", ["diag", "full", "tied_spherical"])
def test_posteriors_start_from_rows_with_gaps(covariance):
    rows = with_gaps(clusters()[1], 0.3)
    q = VariationalPosterior.of(covariance, "dirichlet", 3, 4, Priors())
    q.assign(q.values_of(q.random_start(0)))
    for start in ("auto", 8.0 * np.eye(3, 4)):
        values = q.start_values(rows, np.nanstd(rows, axis=0), start, [0, 1])
        assert all(np.isfinite(value).all() for one in values for value in one.flat)


def test_gaps_are_alike_whatever_their_bits():
    rows = np.array([[1.0, np.nan], [1.0, -np.nan], [1.0, 2.0], [0.0, 2.0], [-0.0, 2.0]])
    np.testing.assert_array_equal(distinct_rows(rows), [[1.0, np.nan], [1.0, 2.0], [0.0, 2.0]])
