"""The posterior of a whole mixture: its numbers by name, its parts put together, its centre."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components, random_weights

from tfgmm.families.variational import COMPONENTS, Factors, Values, VariationalPosterior, stacked
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.priors import Priors

CENTRE = np.array([3.0, -1.0, 0.5, 1e4])
SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]


def posterior_and_factors(covariance: str = "diag", weights: str = "dirichlet") -> tuple[VariationalPosterior, Factors]:
    """Returns a posterior with variables at random factors and a centre that is not 0."""
    (of_components, components), (of_weights, q) = random_components(covariance), random_weights(weights)
    posterior, factors = VariationalPosterior(of_weights, of_components), Factors(q, components)
    posterior.create_variables(
        lambda name, start: tf.Variable(start, name=name), lambda name, shape, dtype: tf.Variable(CENTRE), factors
    )
    return posterior, factors


def assert_close(values: Any, expected: Any, **tolerance: float) -> None:
    for value, wanted in zip(tf.nest.flatten(values), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(value, wanted, **tolerance)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_variables_stand_for_the_factors_that_they_were_made_at(covariance: str, weights: str) -> None:
    posterior, factors = posterior_and_factors(covariance, weights)
    assert_close(posterior.factors(), factors, rtol=1e-12)
    assert_close(posterior.factors_of(posterior.values_of(factors)), factors, rtol=1e-12)
    names = [
        variable.name.removesuffix(":0") for variable in (*posterior.components.variables, *posterior.weights.variables)
    ]
    assert names == [*posterior.components.variable_names, *posterior.weights.variable_names]
    assert len(posterior.values().flat) == len(names)
    assert (posterior.covariance, posterior.num_components, posterior.num_features) == (covariance, 3, 4)


def test_numbers_have_names_and_keep_them() -> None:
    posterior, factors = posterior_and_factors("full", "stick_breaking")
    values = posterior.values_of(factors)
    assert (len(values.components), len(values.weights)) == (4, 1)
    moved = values.map(lambda value, other: value + other, values)
    posterior.assign(moved)
    assert_close(posterior.values(), tf.nest.map_structure(lambda value: 2.0 * value, values), rtol=1e-15)
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
    locs, kl, plug_in = posterior.public()["locs"].numpy(), float(posterior.kl()), posterior.plug_in()
    posterior.move_centre(CENTRE - 7.0)
    np.testing.assert_array_equal(posterior.centre, CENTRE - 7.0)
    np.testing.assert_allclose(posterior.public()["locs"], locs, rtol=0, atol=1e-11)
    assert float(posterior.kl()) == pytest.approx(kl, rel=1e-9)
    np.testing.assert_allclose(
        posterior.plug_in().components["locs"], plug_in.components["locs"] + 7.0, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_the_divergence_is_that_of_both_parts_from_the_centre_asked_for(covariance: str, weights: str) -> None:
    posterior, factors = posterior_and_factors(covariance, weights)
    for centre in (CENTRE, np.zeros(4)):
        parts = posterior.weights.kl(factors.weights), posterior.components.kl(factors.components, centre)
        assert float(posterior.kl(factors, centre)) == pytest.approx(float(sum(parts)), rel=1e-12)
    assert float(posterior.kl()) == pytest.approx(float(posterior.kl(factors, CENTRE)), rel=1e-12)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_draws_scatter_about_the_plug_in_mixture(covariance: str, weights: str) -> None:
    posterior, _ = posterior_and_factors(covariance, weights)
    mixtures = posterior.mixtures_of(posterior.draw([4_000], tf.constant([1, 0], tf.int64), tf.float64))
    plug_in = posterior.plug_in()
    shares = np.exp(mixtures.log_weights)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    away = shares.mean(axis=0) - np.exp(plug_in.log_weights)
    assert (np.abs(away) < 5 * shares.std(axis=0) / 4_000**0.5).all()
    locs = mixtures.components["locs"]
    away = locs.mean(axis=0) - plug_in.components["locs"]
    assert (np.abs(away) < 5 * locs.std(axis=0) / 4_000**0.5).all()
    np.testing.assert_array_equal(mixtures.centre, CENTRE)


def test_the_ratio_of_draws_averages_to_the_divergence() -> None:
    posterior, _ = posterior_and_factors("full", "stick_breaking")
    drawn = posterior.draw([4_000], tf.constant([2, 0], tf.int64), tf.float64)
    ratios = posterior.log_ratios(drawn).numpy()
    assert abs(ratios.mean() - float(posterior.kl())) < 4 * ratios.std() / 4_000**0.5


def test_starts_differ_by_seed_and_leave_the_weights_as_they_are() -> None:
    posterior, factors = posterior_and_factors()
    sample = CENTRE + np.random.default_rng(0).normal(size=(50, 4))
    one, other, again = posterior.start_values(sample, np.ones(4), "random", [0, 1, 0])
    np.testing.assert_array_equal(one.components[0], again.components[0])
    assert not np.array_equal(one.components[0], other.components[0])
    for values in (one, other):
        assert_close(values.weights, posterior.values_of(factors).weights, rtol=1e-12)
        locs = values.components[0].numpy() + CENTRE
        assert all(np.isclose(sample, loc, rtol=0, atol=1e-9).all(axis=1).any() for loc in locs)


def test_a_random_start_is_a_function_of_the_seed() -> None:
    posterior = VariationalPosterior.of("tied", "dirichlet", 2, 3, Priors())
    assert_close(posterior.random_start(5), posterior.random_start(5), rtol=0)
    assert not np.array_equal(posterior.random_start(5).components.locs, posterior.random_start(6).components.locs)
