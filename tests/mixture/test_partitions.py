"""Starts are groups of rows: where and as wide as plain loops say, in ways that see clusters of different kinds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster import hierarchy
from sklearn.metrics import adjusted_rand_score

from tfgmm.mixture import partitions
from tfgmm.mixture.partitions import Groups, far_groups_widened, pooled_over_groups, start_groups

SPREAD = np.array([2.0, 0.5])
GENERATOR = np.random.default_rng(0)
CLUSTERS = np.repeat([[-4.0, 0.0], [0.0, 1.0], [4.0, 0.0]], [30, 20, 10], axis=0) + 0.1 * GENERATOR.normal(size=(60, 2))


def groups_of(start, rows, num_groups, seeds=(0,), spread=SPREAD, centre=(0.0, 0.0)):
    return start_groups(start, rows, num_groups, np.array(centre), spread, seeds)


def labels_of(groups, rows):
    """Returns the group whose place is nearest, for groups that are far apart."""
    return ((rows[:, None] - groups.locs[0]) ** 2).sum(axis=2).argmin(axis=1)


def plain_groups(rows, labels, num_groups, spread):
    """Computes places and squared widths by a loop over groups and rows."""
    locs, sums, counts = np.zeros((num_groups, rows.shape[1])), np.zeros(num_groups), np.zeros(num_groups)
    for group in range(num_groups):
        inside = [row for row, label in zip(rows, labels) if label == group]
        locs[group], counts[group] = sum(inside) / len(inside), len(inside)
        sums[group] = sum(np.mean(((row - locs[group]) / spread) ** 2) for row in inside)
    of_all = sums.sum() / counts.sum()
    widths = (sums + 10.0 * of_all) / (counts + 10.0)  # as if ten rows more had the width of all
    return locs, widths[:, None] * spread**2, counts


@pytest.mark.parametrize("start", ["auto", "k-means++"])
def test_places_and_widths_are_those_of_the_rows_of_each_group(start):
    groups = groups_of(start, CLUSTERS, 3)
    expected = plain_groups(CLUSTERS, labels_of(groups, CLUSTERS), 3, SPREAD)
    for found, value in zip(groups, expected):
        np.testing.assert_allclose(found[0], value, rtol=1e-12)
    assert sorted(groups.counts[0]) == [10, 20, 30]


def test_the_second_way_of_auto_is_the_method_of_ward():
    several = groups_of("auto", CLUSTERS, 3, seeds=(5, 6))
    labels = hierarchy.fcluster(hierarchy.ward(CLUSTERS / SPREAD), 3, "maxclust") - 1
    locs, variances, counts = plain_groups(CLUSTERS, labels, 3, SPREAD)
    np.testing.assert_allclose(several.locs[1], locs, rtol=1e-12)
    np.testing.assert_allclose(several.variances[1], variances, rtol=1e-12)
    np.testing.assert_array_equal(several.counts[1], counts)


def test_balls_hold_a_dense_group_inside_a_wide_one():
    """In a fifth of the seeds at least: the ball holds the dense rows, and those alone."""
    generator = np.random.default_rng(1)
    angle = generator.uniform(0, 2 * np.pi, 300)
    ring = 10.0 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.2 * generator.normal(size=(300, 2))
    rows = np.concatenate([ring, 0.3 * generator.normal(size=(300, 2))])
    several = start_groups("auto", rows, 2, np.zeros(2), rows.std(axis=0), range(20))
    is_ball = (several.counts[:, 0] == 300) & (np.abs(several.locs[:, 0]) < 0.5).all(axis=1)
    assert 4 <= is_ball.sum() < 20
    narrow, wide = several.variances[is_ball, :, 0].mean(axis=0)
    assert narrow < 0.2 * wide


def test_more_rows_than_ward_can_look_at_go_to_the_nearest_of_its_groups(monkeypatch):
    monkeypatch.setattr(partitions, "_FEWEST_FOR_WARD", 20)
    monkeypatch.setattr(partitions, "_FOR_WARD", 1)
    several = groups_of("auto", CLUSTERS, 3, seeds=(5, 6))
    assert sorted(several.counts[1]) == [10, 20, 30]


@pytest.mark.parametrize("start", ["auto", "k-means++", "random"])
def test_seeds_decide_and_units_do_not(start):
    seeds = range(3, 9)
    one, again = groups_of(start, CLUSTERS, 4, seeds), groups_of(start, CLUSTERS, 4, seeds)
    other = groups_of(start, CLUSTERS, 4, range(20, 26))
    np.testing.assert_array_equal(one.locs, again.locs)
    assert (one.locs != other.locs).any()
    assert len({locs.tobytes() for locs in one.locs}) > 1  # the starts of a fit differ
    unit = np.array([1e-6, 1e9])
    scaled = groups_of(start, CLUSTERS * unit, 4, seeds, SPREAD * unit)
    np.testing.assert_allclose(scaled.locs, one.locs * unit, rtol=1e-9)
    np.testing.assert_allclose(scaled.variances, one.variances * unit**2, rtol=1e-9)


def test_the_ways_of_auto_differ():
    auto, near, random = (groups_of(start, CLUSTERS, 4, range(8)).locs for start in ("auto", "k-means++", "random"))
    assert all((auto != other).any() for other in (near, random)) and (near != random).any()


def test_locations_stay_where_they_are_and_take_the_width_of_the_rows_near_to_them():
    locs = np.array([[-3.5, 0.3], [0.5, 1.0], [4.4, 0.0]])
    groups = groups_of(locs + [10.0, 20.0], CLUSTERS, 3, seeds=(1, 2), centre=(10.0, 20.0))
    _, variances, counts = plain_groups(
        CLUSTERS, ((CLUSTERS[:, None] - locs) ** 2).sum(axis=2).argmin(axis=1), 3, SPREAD
    )
    for number in range(2):
        np.testing.assert_allclose(groups.locs[number], locs, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(groups.variances[number], variances, rtol=1e-12)
        np.testing.assert_array_equal(groups.counts[number], counts)


@pytest.mark.parametrize("num_groups", [1, 3, 5])
@pytest.mark.parametrize("start", ["auto", "k-means++", "random"])
def test_fewer_distinct_rows_than_groups_leave_groups_at_rows(start, num_groups):
    rows = np.repeat([[0.0, 1.0], [4.0, 5.0]], [9, 2], axis=0)
    groups = start_groups(start, rows, num_groups, np.zeros(2), np.ones(2), range(6))
    assert groups.locs.shape == (6, num_groups, 2)
    assert (groups.counts.sum(axis=1) == 11).all()
    assert np.isfinite(groups.locs).all() and (groups.variances > 0).all()


def test_one_far_row_widens_no_group_beyond_the_spread():
    rows = np.concatenate([CLUSTERS, [[1e8, 0.0]]])
    for start in ("auto", "random"):
        groups = start_groups(start, rows, 2, np.zeros(2), SPREAD, range(6))
        assert (groups.variances <= SPREAD**2).all()


def test_few_rows_that_are_very_far_away_have_a_group_about_the_centre():
    """Where the least that their location costs is more than a component as wide as they are far."""
    locs = np.array([[0.5, 1.0], [2000.0, 0.0], [0.0, 40.0], [50.0, 0.0]])  # 1000, 80 and 25 spreads away
    counts = np.array([50, 1, 500, 1])
    found = far_groups_widened(Groups(locs[None], np.ones((1, 4, 2)), counts[None]), SPREAD)
    is_far = [False, True, False, False]
    assert 1000**2 / 16 > np.log(1000) and 80**2 / 16 < 500 * np.log(80)
    np.testing.assert_array_equal(found.locs[0], np.where(np.array(is_far)[:, None], 0.0, locs))
    np.testing.assert_allclose(found.variances[0, 1], 1000**2 / 2 * SPREAD**2)  # as likely as a round one can make it
    np.testing.assert_array_equal(found.variances[0, [0, 2, 3]], 1.0)
    np.testing.assert_array_equal(found.counts, counts[None])


@pytest.mark.parametrize("start", ["auto", "k-means++", "random", CLUSTERS[:3]], ids=str)
def test_no_group_is_wider_than_all_rows_where_a_column_is_constant(start):
    rows = np.column_stack([CLUSTERS, np.zeros(60)])
    start = start if isinstance(start, str) else np.column_stack([start, np.zeros(3)])
    groups = start_groups(start, rows, 3, np.zeros(3), np.append(SPREAD, 1.0), range(3))
    np.testing.assert_allclose(groups.variances[..., 2], 1e-8 * SPREAD[1] ** 2)
    assert (groups.variances[..., :2] > 1e-4).all()


def test_ways_together_find_clusters_of_unequal_size_in_many_columns():
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(12), generator.integers(10, 80, 12))
    rows = generator.normal(0, 5, (12, 8))[labels] + generator.normal(size=(len(labels), 8))
    groups = start_groups("auto", rows, 12, np.zeros(8), rows.std(axis=0), range(16))
    found = [((rows[:, None] - locs) ** 2).sum(axis=2).argmin(axis=1) for locs in groups.locs]
    scores = [adjusted_rand_score(labels, one) for one in found]
    assert max(scores) > 0.99 and scores[0] > 0.9


@pytest.mark.parametrize("start", ["auto", "k-means++", "random"])
def test_a_constant_column_has_the_unit_of_the_narrowest_other(start):
    """Its spread, 1 by convention, has none: beside columns of 1e-6 a sphere would be a million times too wide."""
    with_constant = np.column_stack([1e-6 * CLUSTERS, np.zeros(60)])
    groups = groups_of(start, with_constant, 3, (0, 1), np.append(1e-6 * SPREAD, 1.0), (0.0, 0.0, 7.0))
    np.testing.assert_allclose(groups.variances[..., 2], 1e-8 * (1e-6 * SPREAD[1]) ** 2, rtol=1e-12)
    without = groups_of(start, 1e-6 * CLUSTERS, 3, (0, 1), 1e-6 * SPREAD)
    np.testing.assert_allclose(groups.locs[..., :2], without.locs, rtol=1e-12)
    np.testing.assert_array_equal(groups.locs[..., 2], 0.0)
    alike = start_groups(start, np.zeros((5, 2)), 2, np.zeros(2), np.ones(2), [0])
    assert np.isfinite(alike.variances).all() and (alike.variances > 0).all()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"`start` must be one of 'auto', 'k-means\+\+', 'random'"):
        groups_of("kmeans", CLUSTERS, 2)


def test_pooled_variances_are_averages_over_rows():
    variances, counts = np.array([[[1.0, 2.0], [5.0, 4.0]]]), np.array([[3, 1]])
    np.testing.assert_allclose(pooled_over_groups(variances, counts), [[[2.0, 2.5]]])
