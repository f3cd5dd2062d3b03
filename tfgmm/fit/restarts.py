"""Restarts: exact sweeps from several starts over the same rows, with lengthened steps, each to its own optimum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.families.variational import Values, stacked
from tfgmm.fit.cached_rows import HeldRows
from tfgmm.mixture.statistics import RowSums
from tfgmm.model.natural_gradient import GlobalStep, NaturalGradient, Place, is_in_range_of_float32, place_of

Tensor = Any

# Steps grow by this factor while the bound rises, and start again at 1 when it falls.
_GROWTH, _LONGEST = 1.3, 8.0
PATIENCE = 2
# Products in float32 may err by so much per row, nats, while the bound gains more than so much per row.
_ERROR_OF_SEARCH, _GAIN_OF_SEARCH = 10.0, 1e-4
# Multiplications in a sweep of all that climb at a time: what a step costs beside them is not felt with more.
_PRODUCTS_AT_A_TIME = 2**31


@dataclasses.dataclass(frozen=True, eq=False)
class Restart:
    """One start and where its sweeps ended.

    Args:
        elbo: the augmented bound at the end, nats, of N rows, as the rows that all restarts saw tell it.
        elbos: the bound of every sweep, float64.
        converged: whether the bound had stopped rising; False also for a start that was given up below the best.
        weights: mean weights at the end, (K,) float64.
        locs: mean locations at the end, (K, D) float64, data units.
        values: Numbers behind q at the end.
    """

    elbo: float
    elbos: np.ndarray
    converged: bool
    weights: np.ndarray
    locs: np.ndarray
    values: Values = dataclasses.field(repr=False)

    @property
    def num_sweeps(self) -> int:
        """The number of sweeps taken."""
        return len(self.elbos)


@dataclasses.dataclass(frozen=True, eq=False)
class Hill:
    """The rows that restarts climb on, which of them, and when they stop.

    Args:
        rows: n of them, measured from the centre.
        centre: (D,) float64 tensor, data units.
        largest: (D,) float64, no row is farther from the centre than that.
        max_sweeps: at the most.
        tolerance: a gain below it counts as none, nats per row.
        patience: gains below the tolerance that must follow each other: one alone can be a step that was cut short.
        num_climbers: only so many, the best from the hill before, climb; the others are given up. None for all.
    """

    rows: HeldRows
    centre: Tensor
    largest: np.ndarray
    max_sweeps: int
    tolerance: float
    patience: int = PATIENCE
    num_climbers: int | None = None


class Search(NamedTuple):
    """Starts, and the hills that they climb, one after the other."""

    starts: Sequence[Values]
    hills: Sequence[Hill]


def best_first(
    steps: NaturalGradient, searches: Sequence[Search], tell: Callable[[int, int], None] = lambda number, count: None
) -> list[list[Restart]]:
    """Returns per search where each start leads over one hill after the other, best bound first.

    A start that is far below the best when its gains have become small does not overtake it: so the first hills may
    be climbed coarsely, and only the best starts need climb the last one.

    Args:
        searches: all with as many hills as the others.
        tell: is called before the first hills and when a start has climbed one, with the number of those that have,
            plus one, up to their count, and with their count.
    """
    climbed = _climbed_by_each(steps, [(search.starts, search.hills[0]) for search in searches], tell)
    found = [_sorted(restarts) for restarts in climbed]
    for hills in zip(*(search.hills[1:] for search in searches)):
        climbers = [restarts[: hill.num_climbers] for restarts, hill in zip(found, hills)]
        starts = [[restart.values for restart in best] for best in climbers]
        later = _climbed_by_each(steps, list(zip(starts, hills)))
        found = [_after(*of_one) for of_one in zip(found, later)]
    return found


def _after(restarts: list[Restart], later: list[Restart]) -> list[Restart]:
    """Returns restarts, best first, of which the best went on; the others are given up."""
    went_on = [
        dataclasses.replace(after, elbos=np.concatenate([before.elbos, after.elbos]))
        for before, after in zip(restarts, later)
    ]
    given_up = [dataclasses.replace(restart, converged=False) for restart in restarts[len(later) :]]
    return _sorted([*went_on, *given_up])


def _climbed_by_each(
    steps: NaturalGradient,
    groups: Sequence[tuple[Sequence[Values], Hill]],
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> list[list[Restart]]:
    """Returns where each start of each group leads, so many at a time that a sweep of all takes some milliseconds."""
    starts = [(start, hill) for starts, hill in groups for start in starts]
    restarts: list[Restart] = []
    told = 0

    def tell_of(num_done: int) -> None:
        nonlocal told
        while told < min(len(restarts) + num_done + 1, len(starts)):
            told += 1
            tell(told, len(starts))

    num_rows = max(len(hill.rows) for _, hill in groups)
    products = num_rows * groups[0][1].rows.num_columns * steps.posterior.num_components
    size = max(1, _PRODUCTS_AT_A_TIME // products)
    for first in range(0, len(starts), size):
        restarts += climb(steps, starts[first : first + size], tell_of)
    ends = iter(restarts)
    return [[next(ends) for _ in of_group] for of_group, _ in groups]


def _sorted(restarts: list[Restart]) -> list[Restart]:
    return sorted(restarts, key=lambda restart: -restart.elbo if np.isfinite(restart.elbo) else np.inf)


def climb(
    steps: NaturalGradient,
    starts: Sequence[tuple[Values, Hill]],
    tell: Callable[[int], None] = lambda num_done: None,
) -> list[Restart]:
    """Returns where exact sweeps over the rows of its hill lead each start; `tell` hears how many have arrived.

    Each step goes on beyond the closed-form optimum, q + length (q_new - q) in the numbers behind q, as long as the
    bound rises (over-relaxation, Salakhutdinov and Roweis 2003); a fall is taken back to the step of length 1, which
    never falls. A half to a third of the sweeps. All starts take their sweeps side by side, each with a length and an
    end of its own.
    """
    values = stacked([values for values, _ in starts])
    places = Place(values, steps.coefficients(values))
    climbs = [_Climb(place_of(places, number), hill) for number, (_, hill) in enumerate(starts)]
    while going := [climb for climb in climbs if not climb.is_done]:
        tell(len(climbs) - len(going))
        _sweep(steps, going)
    tell(len(climbs))
    _rank_exactly(climbs)
    return _restarts(steps, climbs)


class _Bound(NamedTuple):
    """How the last bound was found: from where, the KL there, and the type of the products."""

    place: Place
    kl: float
    dtype: type[np.floating]


class _Climb:
    """One start on its way up.

    Args:
        place: the start.
        hill: what it climbs.
    """

    def __init__(self, place: Place, hill: Hill) -> None:
        self.place = self.plain = place  # of the sweep to come, and after the last step of length 1
        self.dtype: type[np.floating] = np.float64  # of the products of the sweep to come
        self.length, self.num_sweeps, self.is_converged = 1.0, 0, False
        self.elbos: list[float] = []
        self.last = _Bound(place, np.nan, self.dtype)
        self._num_flat = 0
        self.hill = hill

    @property
    def is_done(self) -> bool:
        """Whether it is at the top, or has taken all sweeps allowed, or has fallen out of the finite numbers."""
        is_lost = bool(self.elbos) and not np.isfinite(self.elbos[-1])
        return self.is_converged or is_lost or self.num_sweeps == self.hill.max_sweeps

    @property
    def next_length(self) -> float:
        """The length of the step that is tried next."""
        return min(_GROWTH * self.length, _LONGEST)

    def take(self, elbo: float, step: GlobalStep, number: int) -> None:
        """Returns nothing; goes where a sweep that found `elbo` at `place` leads: to number `number` of `step`."""
        float32_error, hill = float(step.float32_error[number]), self.hill
        if self.dtype == np.float32 and not float32_error < _ERROR_OF_SEARCH:
            # Sums in float32 made components too narrow for such sums, or no components at all: the sweep is repeated
            self.dtype = np.float64
            return
        self.num_sweeps += 1
        if self.elbos and not elbo > self.elbos[-1] and self.length > 1.0:  # also where it is not a number
            self.place, self.length = self.plain, 1.0
            return
        gain = elbo - self.elbos[-1] if self.elbos else np.inf
        self.elbos.append(elbo)
        self.last = _Bound(self.place, float(step.kl[number]), self.dtype)
        self._num_flat = self._num_flat + 1 if gain < hill.tolerance * hill.rows.num_data else 0
        self.is_converged = self._num_flat == hill.patience
        self.length = self.next_length
        self.place, self.plain = place_of(step.longer, number), place_of(step.target, number)
        self.dtype = _type_of_products(float32_error, gain, hill)


def _sweep(steps: NaturalGradient, climbs: Sequence[_Climb]) -> None:
    """Returns nothing; a sweep and a step for each climb."""
    climbs, sums = _sums(climbs, [(climb.place, climb.dtype) for climb in climbs])
    values, lengths = stacked([climb.place.values for climb in climbs]), [climb.next_length for climb in climbs]
    hill = climbs[0].hill
    step = steps.global_step(values, sums.statistics, hill.centre, lengths, hill.largest)
    for number, climb in enumerate(climbs):
        climb.take(float(sums.log_likelihood[number]) - float(step.kl[number]), step, number)


def _sums(climbs: Sequence[_Climb], asked: Sequence[tuple[Place, type[np.floating]]]) -> tuple[list[_Climb], RowSums]:
    """Returns the climbs in the order of their sums, and sums of N rows from the places and by the types asked for.

    Those on the same rows, by the same type, share their products.
    """
    groups: dict[Any, list[tuple[_Climb, Place]]] = {}
    for climb, (place, dtype) in zip(climbs, asked):
        groups.setdefault((id(climb.hill.rows), dtype), []).append((climb, place))
    found = []
    for (_, dtype), members in groups.items():
        rows = members[0][0].hill.rows
        coefficients = [np.stack(several) for several in zip(*(place.coefficients for _, place in members))]
        found.append(rows.sums(coefficients, dtype))
    order = [climb for members in groups.values() for climb, _ in members]
    return order, tf.nest.map_structure(lambda *values: np.concatenate(values), *found)


def _rank_exactly(climbs: Sequence[_Climb]) -> None:
    """Returns nothing; works out in float64 the last bounds that float32 products gave: restarts are ranked by them."""
    rough = [climb for climb in climbs if climb.last.dtype == np.float32]
    if rough:
        in_order, sums = _sums(rough, [(climb.last.place, np.float64) for climb in rough])
        for climb, log_likelihood in zip(in_order, sums.log_likelihood):
            climb.elbos[-1] = float(log_likelihood) - climb.last.kl


def _restarts(steps: NaturalGradient, climbs: Sequence[_Climb]) -> list[Restart]:
    of_weights, of_components = steps.posterior.factors_of(stacked([climb.plain.values for climb in climbs]))
    weights, locs = np.exp(steps.posterior.weights.log_mean(of_weights)), of_components.locs.numpy()
    return [
        Restart(
            elbo=climb.elbos[-1],
            elbos=np.array(climb.elbos),
            converged=climb.is_converged,
            weights=weights[number],
            locs=locs[number] + climb.hill.centre.numpy(),
            values=climb.plain.values,
        )
        for number, climb in enumerate(climbs)
    ]


def _type_of_products(float32_error: float, gain: float, hill: Hill) -> type[np.floating]:
    """Returns float32 far from the top, where it is exact enough; near it, its rounding would look like a fall."""
    is_far = gain > _GAIN_OF_SEARCH * hill.rows.num_data
    is_fine = float32_error < _ERROR_OF_SEARCH and is_in_range_of_float32(hill.largest)
    return np.float32 if is_far and is_fine else np.float64
