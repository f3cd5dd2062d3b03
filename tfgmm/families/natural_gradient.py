"""Closed-form training: natural-gradient steps on the augmented bound, from all rows or from a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.families.variational import Factors, Values, VariationalPosterior
from tfgmm.mixture.statistics import Statistics


class Place(NamedTuple):
    """Where a sweep begins.

    values: The numbers behind q.
    coefficients: Coefficients of a local step from there; see `place_at`.
    """

    values: Values
    coefficients: tuple[np.ndarray, np.ndarray]


def place_of(places: Place, index: int) -> Place:
    """Picks one of several places, which have a leading axis."""
    return _map(places, lambda value: value[index])


class Spot(NamedTuple):
    """One of several places, which have a leading axis."""

    places: Place
    number: int

    def picked(self) -> Place:
        """Copies the place, so that the others can be freed."""
        return _map(self.places, lambda value: np.array(value[self.number]))


def gathered(spots: Sequence[Spot]) -> Place:
    """Puts places side by side, with a leading axis; nothing is copied where they stand so already."""
    sources: dict[int, tuple[Place, list[int], list[int]]] = {}
    for position, (places, number) in enumerate(spots):
        _, numbers, positions = sources.setdefault(id(places), (places, [], []))
        numbers.append(number)
        positions.append(position)
    (first, numbers, _), *others = sources.values()
    if not others:
        is_all = numbers == list(range(len(first.coefficients[1])))
        return first if is_all else _map(first, lambda value: value[numbers])
    parts = [_map(places, lambda value, chosen=chosen: value[chosen]) for places, chosen, _ in sources.values()]
    order = np.argsort(np.concatenate([positions for *_, positions in sources.values()]))
    return _map(parts[0], lambda *values: np.concatenate(values)[order], *parts[1:])


def _map(places: Place, function: Callable[..., np.ndarray], *others: Place) -> Place:
    linear, constants = (function(*both) for both in zip(*(place.coefficients for place in (places, *others))))
    return Place(places.values.map(function, *(other.values for other in others)), (linear, constants))


def place_at(q: VariationalPosterior, values: Values) -> Place:
    """Makes the place at these numbers: (D + P, K) and (K,) float64 are what the features of rows are multiplied with.

    Leading axes of the values stay.
    """
    with np.errstate(all="ignore"):  # the caller says that a bound is not finite
        return Place(values, q.expected_coefficients(q.factors_of(values)))


def place_again(q: VariationalPosterior, values: Values) -> Place:
    """Makes the place that a step of length 1 led to, to the last bit, from the numbers behind q there."""
    return place_of(place_at(q, values.map(_with_axis)), 0)


class GlobalStep(NamedTuple):
    """Where a global step leads, for R posteriors at a time: arrays with a leading axis (R,), float64.

    target: The place after the step of length 1.
    longer: The place after a step of the requested length; the same where none was asked for.
    kl: KL(q || prior) before the step, nats.
    float32_error: A bound on the error of log densities of q at `target`, with products in float32, nats.
    statistics: The statistics that the step was taken with, components in the order of `target`.
    """

    target: Place
    longer: Place
    kl: np.ndarray
    float32_error: np.ndarray
    statistics: Statistics


def global_step(
    q: VariationalPosterior,
    values: Values,
    statistics: Statistics,
    centre: np.ndarray,
    lengths: Sequence[float] | None = None,
    largest: np.ndarray | None = None,
) -> GlobalStep:
    """Takes the steps that follow from statistics of the whole data, from the q that they were taken with.

    R steps in one call: the time of a small step depends on the number of operations, not on their sizes.

    Args:
        q: The family; where it stands does not matter.
        values: Numbers behind q, each with a leading axis (R,).
        statistics: Statistics scaled to N rows, with a leading axis (R,).
        centre: (D,) float64, data units.
        lengths: (R,) lengths of the steps to `longer`, in the numbers behind q; None for no such step.
        largest: (D,) largest distance of a row from the centre per column, data units; for `float32_error`.
    """
    with np.errstate(all="ignore"):  # the caller says that a bound is not finite
        of_weights, of_components = factors = q.factors_of(values)
        kl = q.kl(factors, centre)
        order = q.weights.best_order(statistics.counts)
        if order is not None:
            statistics, of_components = _reordered(statistics, order), _reordered(of_components, order)
        updated: Any = q.components.update(of_components, statistics, centre, q.gap_columns)
        best = q.values_of(Factors(q.weights.update(statistics.counts), updated))
        base = values if order is None else q.values_of(Factors(of_weights, of_components))
        target, longer = _places(q, base, best, lengths)
        error = _float32_error(q, updated, statistics.counts, largest)
    return GlobalStep(target, longer, kl, error, statistics)


def _places(
    q: VariationalPosterior, base: Values, best: Values, lengths: Sequence[float] | None
) -> tuple[Place, Place]:
    """Makes the places after steps of length 1, and of `lengths` where there are some, with one call for all."""
    if lengths is None:
        target = place_at(q, best)
        return target, target
    steps = np.asarray(lengths)
    both = place_at(q, base.map(lambda start, end: np.concatenate([end, _beyond(start, end, steps)]), best))
    size = len(steps)
    return _map(both, lambda value: value[:size]), _map(both, lambda value: value[size:])


def _beyond(start: np.ndarray, end: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Goes from `start` (R, ...) towards `end` and beyond, steps of `lengths` (R,)."""
    return start + lengths.reshape(-1, *[1] * (start.ndim - 1)) * (end - start)


def _float32_error(q: VariationalPosterior, updated: Any, counts: np.ndarray, largest: np.ndarray | None) -> np.ndarray:
    if largest is None:
        return np.zeros(len(counts))
    errors = q.components.float32_error(q.components.means(updated), largest)
    # A component without rows has a wide density, so its errors do not matter; what is NaN stays NaN
    return np.where(counts <= 1e-3, 0.0, errors).max(axis=-1)


def _reordered(record: Any, order: np.ndarray) -> Any:
    """Puts the components of the fields (R, K, ...) of a record in another order; what all components share stays."""

    def in_order(value: np.ndarray) -> np.ndarray:
        if value.shape[1] == 1:
            return value
        return np.take_along_axis(value, order.reshape(*order.shape, *[1] * (value.ndim - 2)), axis=1)

    return type(record)(*map(in_order, record))


def moved(q: VariationalPosterior, values: Values, statistics: Statistics, centre: np.ndarray) -> OneStep:
    """Takes the step of length 1 of one posterior, without leading axes; see `global_step`.

    Raises:
        FloatingPointError: The KL before it, or a number behind q after it, is not finite.
    """
    step = global_step(q, values.map(_with_axis), Statistics(*map(_with_axis, statistics)), centre)
    target, kl = place_of(step.target, 0), float(step.kl[0])
    if not all(np.isfinite(value).all() for value in (kl, *target.values.flat)):
        raise FloatingPointError(
            "The bound must stay finite. Received: NaN or infinity after a step; the posterior stands as after the "
            "last good step. Drop rows far from all others, or state priors=tfgmm.Priors(...) that are less vague."
        )
    return OneStep(target, kl, Statistics(*(value[0] for value in step.statistics)))


class OneStep(NamedTuple):
    """Where a step of length 1 leads, the KL before it, nats, and the statistics in the order of the target."""

    target: Place
    kl: float
    statistics: Statistics


def _with_axis(values: np.ndarray) -> np.ndarray:
    return np.asarray(values)[None]


def bound_figures(log_likelihood: Any, kl: Any, num_data: Any) -> dict[str, Any]:
    """Writes the four figures that are logged, from the log likelihood of N rows and the KL, nats; operators only."""
    elbo = log_likelihood - kl
    return {"loss": -elbo / num_data, "elbo": elbo, "log_likelihood": log_likelihood, "kl": kl}


def is_in_range_of_float32(largest: np.ndarray) -> bool:
    """Tells whether squares of rows within +-largest (D,) stay in the range of float32."""
    return bool(np.max(largest) < 1e15 and np.min(largest[largest > 0], initial=1.0) > 1e-15)
