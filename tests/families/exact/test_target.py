"""The exact log posterior against SciPy and a loop over rows, its gradient against differences, and its rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_posteriors import KINDS, BlocksOfRows, plain_log_posterior, problem, slopes

from tfgmm.data.blocks import RowBlock
from tfgmm.families.exact.target import Target
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS

PRIORS = {"fixed": False, "learned": True}


def points(num_coordinates, size=0.4, count=2, seed=3):
    return size * np.random.default_rng(seed).standard_normal((count, num_coordinates))


@pytest.mark.parametrize("num_components", [1, 2, 3])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(("covariance", "weights"), [*itertools.product(COMPONENTS, WEIGHTS)])
def test_the_log_density_is_that_of_scipy(covariance, weights, prior, num_components):
    """Likelihood row by row, priors by their densities in data units, volumes by differences."""
    given = problem(covariance, weights, num_components, is_learned=PRIORS[prior])
    coordinates = given.coordinates()
    phi = points(coordinates.num_coordinates)
    expected = [plain_log_posterior(given, coordinates, point) for point in phi]
    np.testing.assert_allclose(given.target().log_density(coordinates, phi), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_log_density_counts_weights_gaps_noise_and_what_rows_vary_by(covariance, kind):
    given = problem(covariance, "dirichlet", 2, 3, kind)
    coordinates = given.coordinates()
    phi = points(coordinates.num_coordinates)
    expected = [plain_log_posterior(given, coordinates, point) for point in phi]
    np.testing.assert_allclose(given.target().log_density(coordinates, phi), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("covariance", "weights"), [*itertools.product(COMPONENTS, WEIGHTS)])
def test_the_gradient_is_that_of_differences(covariance, weights, kind):
    given = problem(covariance, weights, 2, 3, kind, is_learned=weights == "stick_breaking")
    coordinates, target = given.coordinates(), given.target()
    (phi,) = points(coordinates.num_coordinates, count=1)
    log_densities, gradients = target.log_density_and_gradient(coordinates, phi[None])
    assert log_densities[0] == pytest.approx(target.log_density(coordinates, phi[None])[0], rel=1e-13)
    expected = slopes(lambda at: target.log_density(coordinates, at), phi)
    np.testing.assert_allclose(gradients[0], expected, rtol=1e-7, atol=1e-7)
