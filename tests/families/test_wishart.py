"""The Wishart distribution in NumPy: densities of SciPy, the divergence of a textbook."""

from __future__ import annotations

import numpy as np
import pytest
from random_posteriors import spd
from reference_formulas import expected_log_det_wishart, kl_wishart
from scipy import stats

from tfgmm.families import wishart

DEGREES = np.array([3.2, 4.0, 50.0])


def inverse_scales():
    return spd(np.random.default_rng(2), 3, 4, 4)


def test_log_normalisers_are_those_of_the_densities_of_scipy():
    matrix, matrices = spd(np.random.default_rng(3), 4, 4), inverse_scales()
    actual = wishart.log_normalisers(DEGREES + 1.0, np.linalg.cholesky(matrices))
    for nu, inverse, normaliser in zip(DEGREES + 1.0, matrices, actual):
        log_density = 0.5 * (nu - 5.0) * np.linalg.slogdet(matrix)[1] - 0.5 * np.trace(inverse @ matrix) - normaliser
        assert log_density == pytest.approx(stats.wishart(nu, np.linalg.inv(inverse)).logpdf(matrix), rel=1e-10)


def test_expected_log_determinants_and_divergences_are_those_of_the_textbook():
    matrices, prior = inverse_scales(), spd(np.random.default_rng(4), 4, 4)
    roots = np.linalg.cholesky(matrices)
    expected = [expected_log_det_wishart(*pair) for pair in zip(DEGREES, matrices)]
    np.testing.assert_allclose(wishart.expected_log_determinants(DEGREES, roots), expected, rtol=1e-12)
    divergence = sum(kl_wishart(nu, inverse, 3.5, prior) for nu, inverse in zip(DEGREES, matrices))
    actual = wishart.kl_to_prior(DEGREES, roots, 3.5, np.linalg.cholesky(prior))
    assert actual == pytest.approx(divergence, rel=1e-12)


def test_several_posteriors_side_by_side_have_a_divergence_each():
    roots, prior = np.linalg.cholesky(inverse_scales()), np.eye(4)
    together = wishart.kl_to_prior(np.stack([DEGREES, 2 * DEGREES]), np.stack([roots, roots]), 3.5, prior)
    each = [wishart.kl_to_prior(degrees, roots, 3.5, prior) for degrees in (DEGREES, 2 * DEGREES)]
    np.testing.assert_allclose(together, each, rtol=1e-14)


def test_bartletts_shapes_fall_by_one_half_from_column_to_column():
    np.testing.assert_allclose(wishart.bartlett_shapes(np.array([7.0]), 3), [[3.5, 3.0, 2.5]])
