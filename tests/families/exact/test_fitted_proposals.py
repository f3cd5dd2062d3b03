"""Clouds fitted to weighted draws against moments worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.families.exact.fitted_proposals import (
    broad_variance,
    cleaned_covariance,
    covariance,
    degrees_of,
    drawn_in,
    effective_size,
    first_mixture,
    fitted_mixture,
)


def covariance_of(cloud) -> np.ndarray:
    return cloud.root @ cloud.root.T


def test_the_first_mixture_is_the_one_of_the_design_at_five_coordinates():
    mixture = first_mixture(5)
    assert mixture.weights.tolist() == [0.7, 0.3]
    assert [(cloud.root, cloud.degrees) for cloud in mixture.clouds] == [(1.0, 5.0), (2.0, 5.0)]


def test_clouds_of_many_coordinates_have_lighter_tails():
    assert [degrees_of(size) for size in (1, 5, 30)] == [5.0, 5.0, 30.0]
    assert [round(broad_variance(size, 4.0), 3) for size in (1, 15, 100, 10_000)] == [4.0, 2.0, 1.2, 1.02]


def test_draws_of_one_normal_give_clouds_of_its_covariance():
    points = np.random.default_rng(0).normal(size=(40_000, 2)) * [1.0, 3.0] + [2.0, 0.0]
    mixture = fitted_mixture(points, np.full(40_000, 1 / 40_000), np.random.default_rng(1))
    broad = mixture.clouds[-1]
    np.testing.assert_allclose(broad.mean, [2.0, 0.0], atol=0.05)
    np.testing.assert_allclose(covariance_of(broad), np.diag([2.0, 18.0]), atol=0.3)
    assert mixture.weights.sum() == pytest.approx(1.0)
    assert len(mixture.clouds) == 5


def test_groups_far_apart_get_a_cloud_each():
    points = np.random.default_rng(2).normal(size=(9_000, 2))
    points[:3_000] += [30.0, 0.0]
    points[3_000:5_000] -= [0.0, 30.0]
    mixture = fitted_mixture(points, np.full(9_000, 1 / 9_000), np.random.default_rng(3))
    for centre, share in (([30.0, 0.0], 3 / 9), ([0.0, -30.0], 2 / 9), ([0.0, 0.0], 4 / 9)):
        near = [np.linalg.norm(cloud.mean - centre) < 5.0 for cloud in mixture.clouds[:-1]]
        # One of the three may be cut in two, since there are four groups
        assert np.sum(mixture.weights[:-1][near]) == pytest.approx(0.8 * share)


def test_few_draws_get_one_group_near_the_identity():
    points = np.random.default_rng(4).normal(size=(60, 50))
    mixture = fitted_mixture(points, np.full(60, 1 / 60), np.random.default_rng(5))
    assert len(mixture.clouds) == 2
    np.testing.assert_allclose(mixture.clouds[-1].mean, np.zeros(50), atol=0.1)
    assert np.linalg.cond(covariance_of(mixture.clouds[-1])) < 2.0


def test_draws_without_weight_change_nothing():
    points = np.random.default_rng(6).normal(size=(1_000, 2))
    alone = fitted_mixture(points, np.full(1_000, 1e-3), np.random.default_rng(7))
    weights = np.append(np.full(1_000, 1e-3), np.zeros(500))
    more = fitted_mixture(np.concatenate([points, np.full((500, 2), 1e6)]), weights, np.random.default_rng(7))
    np.testing.assert_allclose(more.clouds[-1].root, alone.clouds[-1].root, atol=1e-12)


def test_one_draw_with_all_the_weight_is_survived():
    points = np.random.default_rng(8).normal(size=(50, 3))
    mixture = fitted_mixture(points, np.eye(50)[7], np.random.default_rng(9))
    assert np.isfinite(mixture.log_density(points)).all()


def test_covariance_and_size_are_those_of_repeated_rows():
    points, counts = np.random.default_rng(10).normal(size=(4, 3)), np.array([1, 2, 3, 4])
    expected = np.cov(np.repeat(points, counts, axis=0).T, ddof=0)
    np.testing.assert_allclose(covariance(points, counts / 10, counts @ points / 10), expected)
    assert effective_size(counts / 10) == pytest.approx(100 / 30)


def test_a_mean_is_drawn_in_by_the_rule_of_james_and_stein():
    mean, spread = np.array([3.0, 0.0, 0.0, 0.0]), np.diag([9.0, 1.0, 1.0, 1.0])
    # Squared distance 1: factor 1 - 4 / (16 * 1)
    np.testing.assert_allclose(drawn_in(mean, np.zeros(4), spread, 16.0), 0.75 * mean)
    assert drawn_in(mean, np.zeros(4), spread, 3.0).tolist() == [0.0] * 4
    assert drawn_in(mean, mean, spread, 3.0).tolist() == mean.tolist()


def test_the_noise_of_an_identity_is_cleaned_away():
    generator = np.random.default_rng(11)
    points = generator.normal(size=(400, 100))
    np.testing.assert_allclose(cleaned_covariance(points.T @ points / 400, 0.25), np.eye(100), atol=0.1)


def test_a_wide_and_a_narrow_direction_keep_their_variances():
    scales = np.ones(100)
    scales[:2] = [6.0, 0.04]
    points = np.random.default_rng(12).normal(size=(2_000, 100)) * np.sqrt(scales)
    raw = points.T @ points / 2_000
    values = np.linalg.eigvalsh(cleaned_covariance(raw, 0.05))
    assert values[-1] == pytest.approx(6.0, rel=0.1)
    assert values[0] == pytest.approx(0.04, rel=0.1)
    # Noise beyond the edge of what an identity gives comes from a few directions at most
    assert np.isclose(values, 1.0).sum() >= 95
