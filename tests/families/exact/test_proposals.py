"""Clouds and mixtures of them against SciPy's distributions, quadrature and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from tfgmm.families.exact.proposals import Cloud, CloudMixture, drawn_from, log_average, shared_out

MEAN = np.array([0.5, -1.0, 2.0])
ROOT = np.array([[1.0, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.3, 0.2, 2.0]])
POINTS = np.random.default_rng(1).normal(scale=3.0, size=(20, 3))


@pytest.mark.parametrize("degrees", [1.0, 5.0, 40.0])
def test_a_cloud_has_the_density_of_a_multivariate_t(degrees):
    expected = stats.multivariate_t(MEAN, ROOT @ ROOT.T, df=degrees).logpdf(POINTS)
    np.testing.assert_allclose(Cloud(MEAN, ROOT, degrees).log_density(POINTS), expected, rtol=1e-12)


def test_a_cloud_of_infinite_degrees_is_normal():
    expected = stats.multivariate_normal(MEAN, ROOT @ ROOT.T).logpdf(POINTS)
    np.testing.assert_allclose(Cloud(MEAN, ROOT, math.inf).log_density(POINTS), expected, rtol=1e-12)


@pytest.mark.parametrize("degrees", [5.0, math.inf])
def test_one_number_is_a_multiple_of_the_identity(degrees):
    one, matrix = Cloud(MEAN, 2.0, degrees), Cloud(MEAN, 2.0 * np.eye(3), degrees)
    np.testing.assert_allclose(one.log_density(POINTS), matrix.log_density(POINTS), rtol=1e-12)
    drawn = [cloud.draw(5, np.random.default_rng(0)) for cloud in (one, matrix)]
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-12)


@pytest.mark.parametrize("degrees", [6.0, math.inf])
def test_draws_of_a_cloud_have_its_marginals(degrees):
    drawn = Cloud(MEAN, ROOT, degrees).draw(20_000, np.random.default_rng(2))
    direction = np.array([0.3, -0.5, 0.8])
    scale = np.linalg.norm(ROOT.T @ direction)
    expected = stats.t(degrees, direction @ MEAN, scale) if degrees < math.inf else stats.norm(direction @ MEAN, scale)
    assert stats.kstest(drawn @ direction, expected.cdf).pvalue > 0.01


def test_coordinates_of_a_cloud_share_one_radius():
    """Independent t coordinates would have no correlation of squares."""
    drawn = Cloud(np.zeros(2), 1.0, 5.0).draw(20_000, np.random.default_rng(3))
    assert stats.spearmanr(*np.square(drawn).T).statistic > 0.1


def test_the_density_of_a_mixture_adds_its_clouds_up():
    clouds = [Cloud(MEAN, ROOT, 5.0), Cloud(-MEAN, 1.5, math.inf)]
    expected = 0.3 * stats.multivariate_t(MEAN, ROOT @ ROOT.T, df=5.0).pdf(POINTS)
    expected += 0.7 * stats.multivariate_normal(-MEAN, 2.25 * np.eye(3)).pdf(POINTS)
    found = CloudMixture(np.array([0.3, 0.7]), clouds).log_density(POINTS)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-11)


def test_the_density_of_a_mixture_has_integral_one():
    mixture = CloudMixture(np.array([0.4, 0.6]), [Cloud(np.array([1.0]), 0.5, 5.0), Cloud(np.array([-2.0]), 2.0, 7.0)])
    total, _ = integrate.quad(lambda x: float(np.exp(mixture.log_density(np.array([[x]])))[0]), -np.inf, np.inf)
    assert abs(total - 1.0) < 1e-7


def test_a_mixture_draws_from_each_cloud_its_share():
    far = [Cloud(np.full(2, centre), 1.0, math.inf) for centre in (0.0, 100.0, 200.0)]
    drawn = CloudMixture(np.array([0.25, 0.25, 0.5]), far).draw(400, np.random.default_rng(4))
    assert np.bincount(np.round(drawn[:, 0] / 100.0).astype(int)).tolist() == [100, 100, 200]


def test_parts_without_a_draw_are_left_out():
    drawn = drawn_from([Cloud(np.zeros(2), 1.0, 5.0)] * 3, np.array([0.5, 0.0, 0.5]), 1, np.random.default_rng(0))
    assert drawn.shape == (1, 2)


def test_shares_are_rounded_without_bias():
    shares, generator = np.array([0.13, 0.48, 0.0, 0.39]), np.random.default_rng(5)
    counts = np.array([shared_out(7, shares, generator) for _ in range(4_000)])
    assert (counts.sum(axis=1) == 7).all()
    assert (np.abs(counts - 7 * shares) < 1.0).all()
    np.testing.assert_allclose(counts.mean(axis=0), 7 * shares, atol=0.03)


def test_log_average_leaves_out_what_has_no_share():
    values = np.array([[0.0, -np.inf, 1e4, -np.inf], [1.0, 2.0, -1e4, -np.inf], [np.inf, 9.0, 9.0, 9.0]])
    found = log_average(values, np.array([0.5, 0.5, 0.0]))
    np.testing.assert_allclose(found, [np.log(0.5 + 0.5 * np.e), 2.0 - np.log(2), 1e4 - np.log(2), -np.inf])
