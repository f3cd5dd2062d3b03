"""One labelling of draws: against all permutations, and what it leaves alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from exact_posteriors import problem

from tfgmm.families.exact.labels import Labels, is_symmetric, reordered
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.priors import Priors


def near_and_far(covariance, weights="dirichlet", num_components=3, size=0.15):
    """Returns coordinates, draws near the reference, and draws so far that components change places."""
    coordinates = problem(covariance, weights, num_components, 2).coordinates()
    generator = np.random.default_rng(4)
    phi = generator.standard_normal((200, coordinates.num_coordinates))
    return coordinates, coordinates.drawn(size * phi), coordinates.drawn(1.5 * phi[:60])


def features_of(coordinates, drawn):
    """Returns locations and logarithms of standard deviations, (S, K, 2 D), component by component."""
    mixtures, (num_components, num_columns) = coordinates.posterior.mixtures_of(drawn), (3, 2)
    num_components = drawn.log_weights.shape[1]
    found = np.zeros((len(drawn.log_weights), num_components, 2 * num_columns))
    for number, k in np.ndindex(found.shape[:2]):
        mixture: MixtureDensity = mixtures.part(number)
        found[number, k, :num_columns] = mixture.components["locs"][k]
        if "precisions" in mixture.components:
            covariance = np.diag(1.0 / mixture.components["precisions"][k])
        else:
            whiteners = mixture.components["whiteners"]
            root = whiteners[k if len(whiteners) > 1 else 0]
            covariance = np.linalg.inv(root.T @ root)
        found[number, k, num_columns:] = 0.5 * np.log(np.diag(covariance))
    return found


def costs_of(coordinates, near, drawn):
    """Returns the cost of each order of the components of each draw, by order."""
    features, low, high = (
        features_of(coordinates, drawn),
        *np.quantile(features_of(coordinates, near), (0.16, 0.84), axis=0),
    )
    spread = (high - low) / 2.0
    pivot = features_of(coordinates, coordinates.drawn(np.zeros((1, coordinates.num_coordinates))))[0]
    num_components = len(pivot)
    distances = ((features[:, :, None] - pivot) / spread) ** 2
    return {
        order: np.sum([distances[:, order[k], k].sum(axis=-1) for k in range(num_components)], axis=0)
        for order in itertools.permutations(range(num_components))
    }


@pytest.mark.parametrize("num_components", [2, 3, 4])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_orders_are_the_cheapest_of_all_permutations(covariance, num_components):
    coordinates, near, far = near_and_far(covariance, num_components=num_components)
    labels, costs = Labels(coordinates, near), costs_of(coordinates, near, far)
    orders = list(costs)
    expected = [orders[place] for place in np.argmin(list(costs.values()), axis=0)]
    found = labels.orders(far)
    np.testing.assert_array_equal(found, expected)
    own = tuple(range(num_components))
    np.testing.assert_array_equal(labels.are_own(far), [order == own for order in expected])
    assert not labels.are_own(far).all()
    assert labels.log_num_orders == pytest.approx(math.log(math.factorial(num_components)))


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_exactly_one_order_of_each_draw_is_own(covariance):
    coordinates, near, far = near_and_far(covariance)
    labels = Labels(coordinates, near)
    every = [reordered(far, np.tile(order, (60, 1))) for order in itertools.permutations(range(3))]
    np.testing.assert_array_equal(np.sum([labels.are_own(drawn) for drawn in every], axis=0), 1)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_random_relabelling_is_undone(covariance):
    """Of draws that have their own order to begin with; what all components share stays."""
    coordinates, near, _ = near_and_far(covariance, size=0.05)
    labels = Labels(coordinates, near)
    assert labels.are_own(near).mean() > 0.9
    own = reordered(near, labels.orders(near))
    assert labels.are_own(own).all()
    generator = np.random.default_rng(5)
    mixed = reordered(own, np.array([generator.permutation(3) for _ in range(200)]))
    assert not labels.are_own(mixed).all()
    again = reordered(mixed, labels.orders(mixed))
    for values, expected in zip([again.log_weights, *again.components], [own.log_weights, *own.components]):
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_a_relabelled_draw_says_the_same_of_rows_and_prior(covariance):
    given = problem(covariance, num_components=3)
    coordinates, target = given.coordinates(), given.target()
    drawn = coordinates.drawn(0.3 * np.random.default_rng(1).standard_normal((4, coordinates.num_coordinates)))
    mixed = reordered(drawn, np.tile([2, 0, 1], (4, 1)))
    np.testing.assert_array_equal(np.exp(mixed.log_weights[:, 0]), np.exp(drawn.log_weights[:, 2]))
    np.testing.assert_array_equal(mixed.components.locs[:, 1], drawn.components.locs[:, 0])
    np.testing.assert_allclose(target.log_likelihoods(mixed), target.log_likelihoods(drawn), rtol=1e-12)
    family, weights = given.q.components, given.q.weights
    of_both = [
        family.log_prior(one.components, given.q.centre) + weights.log_prior(one.log_weights) for one in (drawn, mixed)
    ]
    np.testing.assert_allclose(of_both[1], of_both[0], rtol=1e-12)


def test_a_prior_that_tells_orders_apart_has_no_number_of_equal_ones():
    coordinates, near, far = near_and_far("diag", "stick_breaking")
    labels = Labels(coordinates, near)
    assert not labels.is_symmetric and labels.log_num_orders == 0.0
    assert (labels.orders(far) != np.arange(3)).any()  # draws are put in one order all the same


def test_draws_beyond_all_numbers_keep_an_order():
    coordinates, near, _ = near_and_far("diag")
    labels = Labels(coordinates, near)
    phi = np.zeros((3, coordinates.num_coordinates))
    phi[0, -1], phi[1, -1], phi[2, coordinates.num_breaks] = 800.0, -800.0, np.nan
    with np.errstate(all="ignore"):
        drawn = coordinates.drawn(phi)
    np.testing.assert_array_equal(np.sort(labels.orders(drawn)), np.tile([0, 1, 2], (3, 1)))
    assert labels.are_own(drawn).shape == (3,)


def test_one_component_has_one_order():
    coordinates, near, far = near_and_far("full", num_components=1)
    labels = Labels(coordinates, near)
    assert labels.are_own(far).all() and labels.log_num_orders == 0.0
    assert labels.orders(far).shape == (60, 1)


def test_a_prior_is_symmetric_where_all_concentrations_are_equal():
    q = problem("diag", num_components=3).q
    assert is_symmetric(q)
    q.weights = WEIGHTS["dirichlet"](3, Priors(weight_concentration=(1.0, 1.0, 2.0)))
    assert not is_symmetric(q)
    assert not is_symmetric(problem("diag", "stick_breaking").q)
