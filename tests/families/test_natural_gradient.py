"""Steps of several posteriors at once are the steps of each; longer ones go on; what is not finite is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from log_densities import features_of
from plain_mixtures import sweeps
from random_posteriors import D, K, random_components, random_weights

from tfgmm.families.natural_gradient import (
    Place,
    Spot,
    gathered,
    global_step,
    is_in_range_of_float32,
    moved,
    place_at,
    place_of,
)
from tfgmm.families.variational import COMPONENTS, Factors, Values, VariationalPosterior, stacked
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.statistics import Statistics

CENTRE = np.array([0.3, -2.0, 0.0, 5.0])
SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]
R = 3


def family_and_values(covariance: str, weights: str) -> tuple[VariationalPosterior, Values]:
    """Returns a family, without numbers, and the numbers behind R posteriors of it, (R, ...)."""
    components, weight_family = random_components(covariance)[0], random_weights(weights)[0]
    q = VariationalPosterior(weight_family, components)
    each = [
        Factors(random_weights(weights, seed=seed)[1], random_components(covariance, seed=seed)[1]) for seed in range(R)
    ]
    return q, stacked([q.values_of(factors) for factors in each])


def statistics_of(form: str, seed: int) -> Statistics:
    """Returns the statistics of 200 rows under random memberships, a component of another size in each."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(200, D)) + 2.0 * generator.normal(size=D)
    shares = generator.dirichlet([0.3, 1.0, 3.0], len(rows))
    sums = shares.T @ features_of(form, rows)
    return Statistics(shares.sum(axis=0), sums[:, :D], sums[:, D:])


def several(form: str) -> Statistics:
    return Statistics(*map(np.stack, zip(*(statistics_of(form, seed) for seed in range(R)))))


def part(record: Any, index: int) -> Any:
    """Returns one of the R, which keeps its leading axis."""
    return type(record)(*(value[index : index + 1] for value in record))


def assert_same_place(found: Place, expected: Place) -> None:
    pairs = zip((*found.values.flat, *found.coefficients), (*expected.values.flat, *expected.coefficients))
    for value, wanted in pairs:
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_steps_of_all_at_once_are_the_steps_of_one_at_a_time(covariance: str, weights: str) -> None:
    q, values = family_and_values(covariance, weights)
    statistics, largest, lengths = several(q.form), np.full(D, 9.0), np.array([1.5, 1.0, 3.0])
    together = global_step(q, values, statistics, CENTRE, lengths, largest)
    assert together.kl.shape == together.float32_error.shape == (R,)
    for index in range(R):
        alone = values.map(lambda value, index=index: value[index : index + 1])
        step = global_step(q, alone, part(statistics, index), CENTRE, lengths[index : index + 1], largest)
        assert_same_place(place_of(together.target, index), place_of(step.target, 0))
        assert_same_place(place_of(together.longer, index), place_of(step.longer, 0))
        np.testing.assert_allclose(together.kl[index], step.kl[0], rtol=1e-12)
        np.testing.assert_allclose(together.float32_error[index], step.float32_error[0], rtol=1e-12)
        for value, expected in zip(together.statistics, step.statistics):
            np.testing.assert_array_equal(value[index], expected[0])


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_a_step_is_the_update_of_both_families_with_its_place_and_the_kl_before(covariance: str, weights: str) -> None:
    q, values = family_and_values(covariance, weights)
    statistics = several(q.form)
    step = global_step(q, values, statistics, CENTRE)
    np.testing.assert_allclose(step.kl, q.kl(q.factors_of(values), CENTRE), rtol=1e-13)
    for index in range(R):
        of_weights, of_components = q.factors_of(values.map(lambda value, index=index: value[index]))
        order = q.weights.best_order(statistics.counts[index])
        order = np.arange(K) if order is None else order
        counts, first, second = (value[index][order] for value in statistics)
        of_components = type(of_components)(*(v if len(v) == 1 else v[order] for v in of_components))
        updated = q.components.update(of_components, Statistics(counts, first, second), CENTRE)
        expected = place_at(q, q.values_of(Factors(q.weights.update(counts), updated)))
        assert_same_place(place_of(step.target, index), expected)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_without_lengths_there_is_no_longer_step_and_the_others_are_the_same(weights: str) -> None:
    q, values = family_and_values("full", weights)
    statistics = several(q.form)
    plain, long = (global_step(q, values, statistics, CENTRE, lengths) for lengths in (None, [2.0] * R))
    assert_same_place(plain.longer, plain.target)
    assert_same_place(plain.target, long.target)
    np.testing.assert_array_equal(plain.kl, long.kl)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_longer_steps_go_on_in_the_numbers_behind_q(covariance: str, weights: str) -> None:
    """From where the components stand in the order of the step."""
    q, values = family_and_values(covariance, weights)
    statistics, lengths = several(q.form), np.array([0.0, 1.0, 2.5])
    step = global_step(q, values, statistics, CENTRE, lengths)
    start = global_step(q, values, statistics, CENTRE, [0.0] * R).longer.values  # only reordered
    for begin, end, found in zip(start.flat, step.target.values.flat, step.longer.values.flat):
        sizes = lengths.reshape(-1, *[1] * (begin.ndim - 1))
        np.testing.assert_allclose(found, begin + sizes * (end - begin), rtol=1e-12, atol=1e-12)
    if weights == "dirichlet":
        for begin, value in zip(start.flat, values.flat):
            np.testing.assert_allclose(np.tril(begin) if begin.ndim == 4 else begin, value, rtol=1e-12, atol=1e-12)
    assert_same_place(step.longer, place_at(q, step.longer.values))


def test_the_error_in_float32_is_that_of_components_with_rows_and_0_where_nobody_asks() -> None:
    q, values = family_and_values("diag", "dirichlet")
    statistics, largest = several(q.form), np.full(D, 50.0)
    assert not global_step(q, values, statistics, CENTRE).float32_error.any()
    statistics.counts[0] = [0.0, 5e-4, 20.0]
    step = global_step(q, values, statistics, CENTRE, largest=largest)
    updated = q.factors_of(step.target.values).components
    errors = q.components.float32_error(q.components.means(updated), largest)
    np.testing.assert_allclose(step.float32_error, [errors[0, 2], *errors[1:].max(axis=1)], rtol=1e-12)
    statistics.second[2, 1, 0] = np.nan
    step = global_step(q, values, statistics, CENTRE, largest=largest)
    assert np.isfinite(step.float32_error).tolist() == [True, True, False]


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_what_is_not_finite_in_one_posterior_leaves_the_others_alone(covariance: str) -> None:
    q, values = family_and_values(covariance, "dirichlet")
    statistics = several(q.form)
    good = global_step(q, values, statistics, CENTRE)
    statistics.first[1, 0, 0] = np.inf
    spoilt = global_step(q, values, statistics, CENTRE)
    for index in (0, 2):
        assert_same_place(place_of(spoilt.target, index), place_of(good.target, index))
    assert not np.isfinite(place_of(spoilt.target, 1).values.flat[0]).all()


def test_one_step_is_that_of_several_and_stops_where_it_is_not_finite() -> None:
    q, values = family_and_values("full", "stick_breaking")
    statistics = several(q.form)
    together = global_step(q, values, statistics, CENTRE)
    alone = [Statistics(*(value[index] for value in statistics)) for index in range(R)]
    for index, own in enumerate(alone):
        of_one = values.map(lambda value, index=index: value[index])
        step = moved(q, of_one, own, CENTRE)
        assert_same_place(step.target, place_of(together.target, index))
        assert step.kl == pytest.approx(together.kl[index], rel=1e-12)
        np.testing.assert_array_equal(step.statistics.counts, together.statistics.counts[index])
    alone[0].first[0, 0] = np.inf
    with pytest.raises(FloatingPointError, match=r"must stay finite\. Received: .* stands as after the last good step"):
        moved(q, values.map(lambda value: value[0]), alone[0], CENTRE)


def same_place(found: Place, expected: Place) -> bool:
    pairs = zip((*found.values.flat, *found.coefficients), (*expected.values.flat, *expected.coefficients))
    return all(np.array_equal(value, wanted) for value, wanted in pairs)


@pytest.mark.parametrize("covariance", ["diag", "tied"])
@pytest.mark.parametrize(
    "picks",
    [
        [("a", 2)],
        [("a", 0), ("a", 1)],
        [("a", 2), ("a", 0), ("a", 1)],
        [("a", 1), ("a", 1)],
        [("a", 1), ("b", 0)],
        [("b", 2), ("a", 0), ("c", 1), ("b", 0), ("a", 2), ("c", 1), ("b", 1)],
    ],
    ids=lambda picks: "".join(f"{source}{number}" for source, number in picks),
)
def test_places_of_several_sources_stand_side_by_side_in_the_order_asked_for(
    covariance: str, picks: list[tuple[str, int]]
) -> None:
    q, values = family_and_values(covariance, "stick_breaking")
    sources = {name: place_at(q, values.map(lambda value, by=by: value + by)) for by, name in enumerate("abc")}
    spots = [Spot(sources[name], number) for name, number in picks]
    together = gathered(spots)
    for position, (spot, (name, number)) in enumerate(zip(spots, picks)):
        assert same_place(place_of(together, position), place_of(sources[name], number))
        assert same_place(spot.picked(), place_of(sources[name], number))


def test_all_places_of_one_source_are_gathered_without_a_copy_and_a_picked_one_is_a_copy() -> None:
    q, values = family_and_values("diag", "dirichlet")
    source = place_at(q, values)
    spots = [Spot(source, number) for number in range(R)]
    assert gathered(spots) is source
    picked = spots[1].picked()
    assert not any(np.shares_memory(value, own) for value, own in zip(picked.values.flat, source.values.flat))
    assert not same_place(place_of(source, 0), place_of(source, 1))  # or the tests above say nothing


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_the_bound_never_falls_from_sweep_to_sweep(covariance: str, weights: str) -> None:
    generator = np.random.default_rng(1)
    rows = np.concatenate([generator.normal(-3, 1, (70, D)), generator.normal(3, [1, 2, 1, 0.5], (50, D))])
    components, weight_family = random_components(covariance)[0], random_weights(weights)[0]
    q = VariationalPosterior(weight_family, components, centre=rows.mean(axis=0))
    q.assign(q.values_of(q.random_start(0)))
    q.assign(q.start_values(rows - q.centre, rows.std(axis=0), "k-means++", [3])[0])
    bounds = np.array(sweeps(q, rows, 30))
    assert np.diff(bounds).min() > -1e-9 * abs(bounds[-1]) and bounds[-1] > bounds[0] + 10.0


@pytest.mark.parametrize(
    ("largest", "expected"),
    [([1.0, 1e14], True), ([1.0, 1e16], False), ([1.0, 1e-16], False), ([1e-14, 0.0], True), ([0.0, 0.0], True)],
)
def test_squares_of_rows_must_stay_in_the_range_of_float32(largest: list[float], expected: bool) -> None:
    assert is_in_range_of_float32(np.array(largest)) is expected
