"""Groups of weighted draws whose groups are known."""

from __future__ import annotations

import numpy as np

from tfgmm.families.exact.groups import grouped


def test_groups_far_apart_are_told_apart():
    truth = np.repeat([0, 1, 2], [50, 100, 150])
    points = np.random.default_rng(0).normal(size=(300, 4)) + 40.0 * truth[:, None]
    labels = grouped(points, np.full(300, 1 / 300), 3, np.random.default_rng(1))
    pairs = set(zip(truth.tolist(), labels.tolist(), strict=True))
    assert len(pairs) == len({label for _, label in pairs}) == 3


def test_a_group_without_weight_has_no_centre():
    points = np.concatenate([np.zeros((10, 1)), np.ones((10, 1)), np.full((10, 1), 90.0)])
    labels = grouped(points, np.repeat([0.05, 0.05, 0.0], 10), 2, np.random.default_rng(0))
    assert len(set(labels[:10])) == len(set(labels[10:20])) == 1
    assert labels[10] == labels[-1] != labels[0]


def test_one_group_and_equal_points_ask_for_nothing():
    assert grouped(np.ones((5, 2)), np.full(5, 0.2), 1, np.random.default_rng(0)).tolist() == [0] * 5
    assert len(set(grouped(np.ones((5, 2)), np.full(5, 0.2), 3, np.random.default_rng(0)))) == 1
