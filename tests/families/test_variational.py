"""The posterior of a whole mixture: its numbers by name, its parts put together, its centre."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_posteriors import random_components, random_weights

from tfgmm.families.variational import COMPONENTS, Factors, Values, VariationalPosterior, stacked
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.parameters import coefficients_of
from tfgmm.mixture.partitions import start_groups
from tfgmm.mixture.priors import Priors

CENTRE = np.array([3.0, -1.0, 0.5, 1e4])
SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]


def posterior_and_factors(covariance: str = "diag", weights: str = "dirichlet") -> tuple[VariationalPosterior, Factors]:
    """Returns a posterior at random factors and with a centre that is not 0."""
    (of_components, components), (of_weights, q) = random_components(covariance), random_weights(weights)
    posterior, factors = VariationalPosterior(of_weights, of_components, centre=CENTRE), Factors(q, components)
    posterior.assign(posterior.values_of(factors))
    return posterior, factors


def flat(record: Any) -> list[Any]:
    """Returns the arrays of nested tuples, in their order."""
    return [part for entry in record for part in flat(entry)] if isinstance(record, list | tuple) else [record]


def assert_close(values: Any, expected: Any, **tolerance: float) -> None:
    for value, wanted in zip(flat(values), flat(expected), strict=True):
        np.testing.assert_allclose(value, wanted, **tolerance)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_numbers_stand_for_the_factors_that_they_were_made_from(covariance: str, weights: str) -> None:
    posterior, factors = posterior_and_factors(covariance, weights)
    assert_close(posterior.factors(), factors, rtol=1e-12)
    assert_close(posterior.factors_of(posterior.values_of(factors)), factors, rtol=1e-12)
    names = [*posterior.components.variable_names, *posterior.weights.variable_names]
    assert len(posterior.values().flat) == len(names) == len(set(names))
    assert (posterior.covariance, posterior.num_components, posterior.num_features) == (covariance, 3, 4)


def test_a_posterior_without_numbers_says_so() -> None:
    posterior = VariationalPosterior.of("diag", "dirichlet", 2, 3, Priors())
    with pytest.raises(RuntimeError, match="has no values yet: `assign` sets them"):
        posterior.factors()
    np.testing.assert_array_equal(posterior.centre, np.zeros(3))


def test_numbers_have_names_and_keep_them() -> None:
    posterior, factors = posterior_and_factors("full", "stick_breaking")
    values = posterior.values_of(factors)
    assert (len(values.components), len(values.weights)) == (4, 1)
    moved = values.map(lambda value, other: value + other, values)
    posterior.assign(moved)
    assert_close(posterior.values(), values.map(lambda value: 2.0 * value), rtol=1e-15)
    both = stacked([values, moved])
    assert isinstance(both, Values)
    for several, one, other in zip(both.flat, values.flat, moved.flat):
        assert several.shape == (2, *one.shape)
        np.testing.assert_array_equal(several[0], one)
        np.testing.assert_array_equal(several[1], other)
    assert_close([posterior.kl(posterior.factors_of(both))[0]], [posterior.kl(factors)], rtol=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_moving_the_centre_moves_no_location_and_with_it_no_divergence(covariance: str) -> None:
    posterior, _ = posterior_and_factors(covariance)
    locs, kl, plug_in = posterior.public()["locs"], float(posterior.kl()), posterior.plug_in()
    posterior.move_centre(CENTRE - 7.0)
    np.testing.assert_array_equal(posterior.centre, CENTRE - 7.0)
    np.testing.assert_allclose(posterior.public()["locs"], locs, rtol=0, atol=1e-11)
    assert float(posterior.kl()) == pytest.approx(kl, rel=1e-9)
    np.testing.assert_allclose(
        posterior.plug_in().components["locs"], plug_in.components["locs"] + 7.0, rtol=0, atol=1e-11
    )


def test_the_same_posterior_elsewhere_leaves_the_first_where_it_is() -> None:
    posterior, factors = posterior_and_factors("tied", "stick_breaking")
    before, centre = posterior.values(), np.zeros(4)
    other = posterior.at(posterior.values_of(factors), centre)
    centre += 1.0  # it has its own
    other.move_centre([1.0, 2.0, 3.0, 4.0])
    assert_close(posterior.values(), before, rtol=0)
    np.testing.assert_array_equal(posterior.centre, CENTRE)
    np.testing.assert_allclose(other.factors().components.locs, factors.components.locs - [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(posterior.at(before).centre, CENTRE)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_the_divergence_is_that_of_both_parts_from_the_centre_asked_for(covariance: str, weights: str) -> None:
    posterior, factors = posterior_and_factors(covariance, weights)
    for centre in (CENTRE, np.zeros(4)):
        parts = posterior.weights.kl(factors.weights), posterior.components.kl(factors.components, centre)
        assert float(posterior.kl(factors, centre)) == pytest.approx(float(sum(parts)), rel=1e-12)
    assert float(posterior.kl()) == pytest.approx(float(posterior.kl(factors, CENTRE)), rel=1e-12)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_expected_coefficients_are_those_of_the_means_with_both_corrections(covariance: str, weights: str) -> None:
    posterior, factors = posterior_and_factors(covariance, weights)
    linear, constants = posterior.expected_coefficients(factors)
    of_means = coefficients_of(posterior.plug_in(factors))
    np.testing.assert_array_equal(linear, of_means[0])
    jensen = posterior.weights.expected_log(factors.weights) - posterior.weights.log_mean(factors.weights)
    corrections = posterior.components.corrections(factors.components, posterior.components.means(factors.components))
    np.testing.assert_allclose(constants - of_means[1], jensen + corrections, rtol=1e-9)
    several = posterior.factors_of(stacked([posterior.values_of(factors)] * 2))
    for value, one in zip(posterior.expected_coefficients(several), (linear, constants)):
        np.testing.assert_allclose(value, np.stack([one, one]), rtol=1e-12)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_draws_scatter_about_the_plug_in_mixture(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    mixtures = posterior.mixtures_of(posterior.draw(4_000, 1))
    plug_in = posterior.plug_in()
    shares = np.exp(mixtures.log_weights)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    away = shares.mean(axis=0) - np.exp(plug_in.log_weights)
    assert (np.abs(away) < 5 * shares.std(axis=0) / 4_000**0.5).all()
    locs = mixtures.components["locs"]
    away = locs.mean(axis=0) - plug_in.components["locs"]
    assert (np.abs(away) < 5 * locs.std(axis=0) / 4_000**0.5).all()
    np.testing.assert_array_equal(mixtures.centre, CENTRE)


def test_draws_are_a_pure_function_of_the_seed() -> None:
    posterior, factors = posterior_and_factors("full", "stick_breaking")
    first, again, other = (posterior.draw(5, seed) for seed in (3, 3, 4))
    assert_close(first, again, rtol=0)
    assert_close(posterior.draw(5, 3, factors), first, rtol=1e-9)
    for seed in (4, None):
        assert not np.any(posterior.draw(5, seed).log_weights == first.log_weights)
    assert not np.any(other.components.locs == first.components.locs)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_the_ratio_of_draws_averages_to_the_divergence(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    ratios = posterior.log_ratios(posterior.draw(4_000, 2))
    assert ratios.shape == (4_000,)
    assert abs(ratios.mean() - float(posterior.kl())) < 4 * ratios.std() / 4_000**0.5


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_starts_differ_by_seed_and_leave_the_weights_as_they_are(covariance: str) -> None:
    posterior, factors = posterior_and_factors(covariance)
    centred, spread = np.random.default_rng(0).normal(size=(50, 4)), np.ones(4)
    one, other, again = posterior.start_values(centred, spread, "random", [0, 1, 0])
    np.testing.assert_array_equal(one.components[0], again.components[0])
    assert not np.array_equal(one.components[0], other.components[0])
    groups = start_groups("random", centred, 3, CENTRE, spread, [0, 1, 0])
    for number, values in enumerate((one, other)):
        assert_close(values.weights, posterior.values_of(factors).weights, rtol=1e-12)
        start = type(groups)(*(value[number : number + 1] for value in groups))
        expected = posterior.components.values_of(posterior.components.start_at(start))
        assert_close(list(values.components), [value[0] for value in expected], rtol=1e-12)
    # Locations are in data units, rows are measured from the centre
    [given] = posterior.start_values(centred, spread, CENTRE + np.eye(3, 4), [0])
    np.testing.assert_allclose(given.components[0], np.eye(3, 4), atol=1e-11)


def test_a_random_start_is_a_function_of_the_seed() -> None:
    posterior = VariationalPosterior.of("tied", "dirichlet", 2, 3, Priors())
    assert_close(posterior.random_start(5), posterior.random_start(5), rtol=0)
    assert not np.array_equal(posterior.random_start(5).components.locs, posterior.random_start(6).components.locs)
