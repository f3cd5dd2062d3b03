"""Coordinates of the exact posterior: what they stand for, other references, and a prior that integrates to 1."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_posteriors import coordinates_of, log_jacobian, precision_matrices, problem, slopes, whiteners_of
from scipy import integrate

from tfgmm.families.exact.coordinates import FARTHEST, differences
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS


def points(num_coordinates, size=0.4, count=5, seed=5):
    return size * np.random.default_rng(seed).standard_normal((count, num_coordinates))


def parts_of(q, phi):
    """Takes apart phi, (P,), one number after the other: v, delta (K, D), and t and T_ab of all that are shared."""
    numbers, (num_components, num_columns) = iter(phi), q.components.shape
    breaks = [next(numbers) for _ in range(num_components - 1)]
    deltas = np.array([[next(numbers) for _ in range(num_columns)] for _ in range(num_components)])
    is_correlated = q.form == "correlated"
    num_matrices = q.components.num_precisions if is_correlated else q.components.precision_axes[0]
    width = num_columns if is_correlated else q.components.precision_axes[1]
    logarithms = np.array([[next(numbers) for _ in range(width)] for _ in range(num_matrices)])
    factors = np.zeros((num_matrices, num_columns, num_columns))
    for matrix in range(num_matrices):
        for column in range(num_columns):
            factors[matrix, column, column] = np.exp(logarithms[matrix, column % width])
        for row, column in itertools.combinations(range(num_columns), 2) if is_correlated else ():
            factors[matrix, row, column] = next(numbers)
    assert next(numbers, None) is None
    return np.array(breaks), deltas, [factors[k % num_matrices] for k in range(num_components)]


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_coordinates_stand_for_the_parameters_of_the_design(covariance):
    """Lambda = U' T' T U, mu = mu^ + (T U)^-1 delta, and weights in proportion to theta^ exp(B v)."""
    q = problem(covariance, num_components=3, num_features=3).q
    coordinates = problem(covariance, num_components=3, num_features=3).coordinates()
    phi = points(coordinates.num_coordinates, count=2)
    drawn, means = coordinates.drawn(phi), coordinates.drawn(np.zeros_like(phi))
    basis = coordinates.basis
    np.testing.assert_allclose(basis.T @ np.column_stack([basis, np.ones(3)]), np.eye(3)[:2], atol=1e-15)
    for number, point in enumerate(phi):
        breaks, deltas, factors = parts_of(q, point)
        weights = np.exp(means.log_weights[0] + basis @ breaks)
        np.testing.assert_allclose(np.exp(drawn.log_weights[number]), weights / weights.sum(), rtol=1e-12)
        precisions = precision_matrices(q, drawn, number)
        for k, root in enumerate(whiteners_of(q, means)):
            turned = factors[k] @ root
            np.testing.assert_allclose(precisions[k], turned.T @ turned, rtol=1e-10, atol=1e-12)
            step = drawn.components.locs[number, k] - means.components.locs[0, k]
            np.testing.assert_allclose(turned @ step, deltas[k], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_reference_is_where_q_has_its_means(covariance):
    given = problem(covariance, num_components=3)
    mixture = given.q.plug_in()
    means = given.coordinates().drawn(np.zeros((1, given.coordinates().num_coordinates)))
    np.testing.assert_allclose(means.log_weights[0], mixture.log_weights, rtol=1e-12)
    np.testing.assert_allclose(means.components.locs[0], mixture.components["locs"], rtol=1e-12)
    if given.q.form == "independent":
        expected = mixture.components["precisions"][..., None] * np.eye(2)
    else:
        roots = mixture.components["whiteners"]
        expected = np.broadcast_to(np.swapaxes(roots, 1, 2) @ roots, (3, 2, 2))
    np.testing.assert_allclose(precision_matrices(given.q, means), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("prior", ["fixed", "learned"])
@pytest.mark.parametrize(("covariance", "weights"), [*itertools.product(COMPONENTS, WEIGHTS)])
def test_another_reference_changes_the_density_by_a_constant(covariance, weights, prior):
    """Which is the volume of a unit there; of correlated columns a power of the factors between the references."""
    given = problem(covariance, weights, 3, 3, is_learned=prior == "learned")
    coordinates, target = given.coordinates(), given.target()
    far = points(coordinates.num_coordinates, count=1, seed=9)[0]
    moved = coordinates.rebased(far)
    new = points(coordinates.num_coordinates)
    drawn = moved.drawn(new)
    old = np.array([coordinates_of(given.q, coordinates, drawn, number) for number in range(len(new))])
    again = coordinates.drawn(old)
    np.testing.assert_allclose(again.components.locs, drawn.components.locs, rtol=1e-9, atol=1e-9)
    differences = target.log_density(coordinates, old) - target.log_density(moved, new)
    np.testing.assert_allclose(differences, differences[0], rtol=0, atol=1e-8)
    between = 0.0
    if given.q.form == "correlated":
        size, num_matrices = 3, given.q.components.num_precisions
        for factor in parts_of(given.q, far)[2][:num_matrices]:
            between -= sum(column * np.log(factor[column, column]) for column in range(size))
    assert differences[0] == pytest.approx(between, abs=1e-8)
    at_new = moved.log_volume(np.zeros_like(far))
    assert coordinates.log_volume(far) - at_new == pytest.approx(
        -volume_between(given, coordinates, moved, far), abs=1e-7
    )


def volume_between(given, coordinates, moved, far):
    """Returns log |d phi / d phi'| at the moved reference, by differences of the parameters of both."""
    return log_jacobian(given, moved, np.zeros_like(far)) - log_jacobian(given, coordinates, far)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_gradient_and_the_information_of_the_prior_are_those_of_differences(covariance):
    for weights, is_learned in itertools.product(WEIGHTS, (False, True)):
        coordinates = problem(covariance, weights, 3, 2, is_learned=is_learned).coordinates()

        def density(phi, coordinates=coordinates):
            return coordinates.log_prior(phi, coordinates.drawn(phi))

        def gradient(phi, coordinates=coordinates):
            return coordinates.prior_gradient(phi, coordinates.drawn(phi))

        (phi,) = points(coordinates.num_coordinates, count=1)
        np.testing.assert_allclose(gradient(phi[None])[0], slopes(density, phi), rtol=1e-8, atol=1e-8)
        expected = -slopes(gradient, np.zeros_like(phi))
        np.testing.assert_allclose(coordinates.prior_information(), expected, rtol=1e-6, atol=1e-6)


def test_differences_are_the_same_in_pieces():
    coordinates = problem("full", num_components=3).coordinates()

    def gradient(phi):
        return coordinates.prior_gradient(phi, coordinates.drawn(phi))

    found = [differences(gradient, coordinates.num_coordinates, 2e-5, at_a_time) for at_a_time in (4, 256)]
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[0], coordinates.prior_information(), rtol=1e-6, atol=1e-6)


# --- The prior integrates to 1 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_prior_of_two_weights_integrates_to_one(weights):
    """Over v alone: the rest of the density is what one component has."""
    coordinates = problem("diag", weights, 2, 1).coordinates()
    num_others = coordinates.num_coordinates - 1

    def density(v):
        phi = np.concatenate([np.reshape(v, (-1, 1)), np.zeros((np.size(v), num_others))], axis=1)
        drawn = coordinates.drawn(phi)
        family = coordinates.posterior.components
        of_components = family.log_prior(drawn.components, coordinates.posterior.centre)
        of_components = of_components + coordinates.point.log_volume(phi[:, 1:], drawn.components)
        return np.exp(coordinates.log_prior(phi, drawn) - of_components)

    v = np.linspace(-60.0, 60.0, 20_001)
    assert integrate.simpson(density(v), x=v) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("prior", ["fixed", "learned"])
@pytest.mark.parametrize("covariance", ["spherical", "tied_diag", "full", "tied"])
def test_the_prior_of_one_component_in_one_column_integrates_to_one(covariance, prior):
    """But for the floor, whose normaliser is left out: at a floor of 0 nothing is."""
    given = problem(covariance, "dirichlet", 1, 1, is_learned=prior == "learned")
    if prior == "learned":
        given.q.components.learned.floor = np.zeros_like(given.q.components.learned.floor)
    coordinates = given.coordinates()
    steps, logarithms = np.linspace(-25.0, 25.0, 601), np.linspace(-11.9, 11.9, 401)
    factors = np.exp(logarithms)  # delta is as wide as the root of the precision is large
    phi = np.stack([np.outer(factors, steps), np.repeat(logarithms[:, None], len(steps), axis=1)], axis=-1)
    density = np.exp(coordinates.log_prior(phi.reshape(-1, 2), coordinates.drawn(phi.reshape(-1, 2))))
    of_deltas = integrate.simpson(density.reshape(phi.shape[:2]) * factors[:, None], x=steps, axis=1)
    assert integrate.simpson(of_deltas, x=logarithms) == pytest.approx(1.0, abs=1e-4)


# --- What counts as too far ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_precisions_far_from_the_reference_count_as_impossible(covariance):
    given = problem(covariance)
    coordinates, target = given.coordinates(), given.target()
    size = coordinates.num_coordinates
    is_logarithm = np.zeros(size, bool)  # of the coordinates, those of which the volume is a linear function
    for place in range(size):
        step = np.zeros((2, size))
        step[0, place], step[1, place] = FARTHEST - 0.1, FARTHEST + 0.1
        near = coordinates.are_near(step)
        assert near[0]
        is_logarithm[place] = not near[1]
    num_logarithms = {"diag": 4, "tied_spherical": 1, "full": 4, "tied": 2}[covariance]
    assert is_logarithm.sum() == num_logarithms and is_logarithm[1 + 4 : 1 + 4 + num_logarithms].all()
    phi = np.zeros((3, size))
    phi[1, is_logarithm] = -13.0
    log_densities, gradients = target.log_density_and_gradient(coordinates, phi)
    assert np.isfinite(log_densities).tolist() == [True, False, True] and log_densities[1] == -np.inf
    assert not gradients[1].any() and gradients[0].any()
    np.testing.assert_array_equal(target.log_density(coordinates, phi)[1], -np.inf)
    assert target.log_density(coordinates, phi[1:2]).tolist() == [-np.inf]
