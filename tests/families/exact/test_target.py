"""The exact log posterior against SciPy and a loop over rows, its gradient against differences, and its rows."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from exact_posteriors import KINDS, plain_log_posterior, problem, slopes

from tfgmm.data.readers import read_rows
from tfgmm.families.exact import target as module
from tfgmm.families.exact.target import Target
from tfgmm.families.row_batches import SweepBatches
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
    np.testing.assert_allclose(given.target().log_density(coordinates, phi), expected, rtol=0, atol=1e-7)


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


# --- Rows of any kind ---------------------------------------------------------------------------------------------


def value_and_gradient(given, gap_columns=(), batch_size=None, **data):
    """Returns the log density of two points and its gradients, given rows read as a fit reads them."""
    coordinates = given.coordinates()
    rows = read_rows(data.pop("rows"), **data)
    target = Target(given.q, SweepBatches(rows, given.q, batch_size, gap_columns))
    return target.log_density_and_gradient(coordinates, points(coordinates.num_coordinates))


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_whole_weights_are_repeated_rows_and_zeros_are_none(covariance):
    given = problem(covariance, num_features=3)
    rows, counts = given.block.values + given.q.centre, np.arange(14) % 4
    once = value_and_gradient(given, rows=rows, sample_weight=counts)
    repeated = value_and_gradient(given, rows=np.repeat(rows, counts, axis=0))
    without = value_and_gradient(given, rows=rows[counts > 0], sample_weight=counts[counts > 0])
    unweighted = value_and_gradient(given, rows=rows)
    for found, expected, same, other in zip(once, repeated, without, unweighted):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
        np.testing.assert_array_equal(found, same)
        assert not np.allclose(found, other, rtol=1e-2)


@pytest.mark.parametrize("covariance", ["spherical", "tied_diag", "full", "tied"])
def test_batches_of_any_size_give_the_same(covariance):
    given = problem(covariance, num_features=3, kind="all")
    block, weights = given.block, given.block.weights
    rows, gaps = block.values + given.q.centre, given.q.gap_columns
    read = {"rows": rows, "sample_weight": weights, "noise": block.noise, "missing": "integrate"}
    whole, pieces = (value_and_gradient(given, gaps, size, **read) for size in (None, 5))
    coordinates = given.coordinates()
    expected = given.target().log_density_and_gradient(coordinates, points(coordinates.num_coordinates))
    for one, other, wanted in zip(whole, pieces, expected):
        np.testing.assert_allclose(one, wanted, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(other, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_many_points_are_taken_in_parts(covariance, monkeypatch):
    monkeypatch.setattr(module, "_AT_A_TIME", 3)
    given = problem(covariance)
    coordinates, target = given.coordinates(), given.target()
    phi = points(coordinates.num_coordinates, count=7)
    phi[4] = 20.0  # too far away
    log_densities, gradients = target.log_density_and_gradient(coordinates, phi)
    one_by_one = [target.log_density_and_gradient(coordinates, point[None]) for point in phi]
    np.testing.assert_allclose(log_densities, [value for (value,), _ in one_by_one], rtol=1e-13)
    np.testing.assert_allclose(gradients, [slope for _, (slope,) in one_by_one], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(target.log_density(coordinates, phi), log_densities, rtol=1e-13)
    assert np.flatnonzero(np.isneginf(log_densities)).tolist() == [4] and not gradients[4].any()


@pytest.mark.parametrize(("num_rows", "size"), [(10, 64), (2_500, 52), (16_384, 8), (10**6, 8), (10**5, 8)])
def test_parts_are_the_smaller_the_more_rows_there_are(num_rows, size):
    """Two components: 2 x size x rows of a chunk are at most 2^18 numbers."""
    groups = SimpleNamespace(block=SimpleNamespace(values=np.empty((num_rows, 1))))
    parts = module._parts(SimpleNamespace(log_weights=np.zeros((100, 2))), groups)
    assert parts[0] == slice(0, size)
    assert [number for part in parts for number in range(100)[part]] == list(range(100))


def test_sums_over_no_rows_are_an_error():
    given = problem("diag")
    target = Target(given.q, SimpleNamespace(gap_columns=(), groups=lambda: iter(())))
    with pytest.raises(ValueError, match="`data` must have rows. Received: none. Pass those"):
        target.sums(given.coordinates().drawn(points(given.coordinates().num_coordinates)))


def test_points_whose_density_is_no_number_have_none():
    given = problem("full")
    coordinates = given.coordinates()
    phi = np.zeros((2, coordinates.num_coordinates))
    phi[1, 1] = 1e200  # a location whose square overflows
    log_densities, gradients = given.target().log_density_and_gradient(coordinates, phi)
    assert np.isfinite(log_densities[0]) and log_densities[1] == -np.inf
    assert not gradients[1].any()
    assert given.target().log_density(coordinates, phi)[1] == -np.inf
