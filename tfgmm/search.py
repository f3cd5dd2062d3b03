"""Restarts: exact sweeps from several starts over the same rows, with lengthened steps, each to its own optimum."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.components import Statistics
from tfgmm.held_rows import HeldRows
from tfgmm.natural_gradient import GlobalStep, NaturalGradient, Place, Values, is_in_range_of_float32, place_of, scaled

Tensor = Any

# Steps grow by this factor while the bound rises, and start again at 1 when it falls.
_GROWTH, _LONGEST = 1.3, 8.0
PATIENCE = 2
# Products in float32 may err by so much per row, nats, while the bound gains more than so much per row.
_ERROR_OF_SEARCH, _GAIN_OF_SEARCH = 10.0, 1e-4
# Multiplications in a sweep of all that climb at a time: what a step costs beside them is not felt with more.
_PRODUCTS_AT_A_TIME = 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Restart:
    """One start and where its sweeps ended.

    Args:
        elbo: the augmented bound at the end, nats, of N rows, as the rows that all restarts saw tell it.
        elbos: the bound of every sweep, float64.
        converged: whether the bound had stopped rising; False also for a start that was given up below the best.
        weights: mean weights at the end, (K,) float64.
        locs: mean locations at the end, (K, D) float64, data units.
        values: the numbers behind q at the end; see `TrainedPosterior`.
    """

    elbo: float
    elbos: np.ndarray
    converged: bool
    weights: np.ndarray
    locs: np.ndarray
    values: Any = dataclasses.field(repr=False)

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
        num_data: N that the rows stand for.
        max_sweeps: at the most.
        tolerance: a gain below it counts as none, nats per row.
        patience: gains below the tolerance that must follow each other: one alone can be a step that was cut short.
        num_climbers: only so many, the best from the hill before, climb; the others are given up. None for all.
    """

    rows: HeldRows
    centre: Tensor
    num_data: int
    max_sweeps: int
    tolerance: float
    patience: int = PATIENCE
    num_climbers: int | None = None

    @functools.cached_property
    def largest(self) -> np.ndarray:
        """The largest distance of a row from the centre per column, (D,) float64."""
        return np.abs(self.rows.values).max(axis=0).astype(np.float64)


def best_first(
    steps: NaturalGradient,
    starts: Sequence[Values],
    hills: Sequence[Hill],
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> list[Restart]:
    """Returns where each start leads over one hill after the other, best bound first.

    A start that is far below the best when its gains have become small does not overtake it: so the first hills may
    be climbed coarsely, and only the best starts need climb the last one. `tell` is called before the first hill and
    when a start has climbed it, with the number of those that have, plus one, up to their count, and with their count.
    """
    restarts = _sorted(_climbed(steps, starts, hills[0], tell))
    for hill in hills[1:]:
        climbers, given_up = restarts[: hill.num_climbers], restarts[len(restarts[: hill.num_climbers]) :]
        later = _climbed(steps, [restart.values for restart in climbers], hill)
        climbed = [_joined(*pair) for pair in zip(climbers, later)]
        restarts = _sorted([*climbed, *(dataclasses.replace(restart, converged=False) for restart in given_up)])
    return restarts


def _climbed(
    steps: NaturalGradient,
    starts: Sequence[Values],
    hill: Hill,
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> list[Restart]:
    """Returns where each start leads, so many at a time that their sweeps fill a processor for some milliseconds."""
    restarts: list[Restart] = []
    told = 0

    def tell_of(num_done: int) -> None:
        nonlocal told
        while told < min(len(restarts) + num_done + 1, len(starts)):
            told += 1
            tell(told, len(starts))

    size = max(1, _PRODUCTS_AT_A_TIME // (len(hill.rows) * hill.rows.num_columns * steps.weights.num_components))
    for first in range(0, len(starts), size):
        restarts += climb(steps, starts[first : first + size], hill, tell_of)
    return restarts


def _sorted(restarts: list[Restart]) -> list[Restart]:
    return sorted(restarts, key=lambda restart: -restart.elbo if np.isfinite(restart.elbo) else np.inf)


def _joined(first: Restart, later: Restart) -> Restart:
    return dataclasses.replace(later, elbos=np.concatenate([first.elbos, later.elbos]))


def climb(
    steps: NaturalGradient, starts: Sequence[Values], hill: Hill, tell: Callable[[int], None] = lambda num_done: None
) -> list[Restart]:
    """Returns where exact sweeps over the hill's rows lead from each start; `tell` hears how many have arrived.

    Each step goes on beyond the closed-form optimum, q + length (q_new - q) in the numbers behind q, as long as the
    bound rises (over-relaxation, Salakhutdinov and Roweis 2003); a fall is taken back to the step of length 1, which
    never falls. A half to a third of the sweeps. All starts take their sweeps side by side, each with a length and an
    end of its own.
    """
    values = [np.stack(several) for several in zip(*starts)]
    places = Place(values, steps.coefficients(values))
    climbs = [_Climb(place_of(places, number), hill) for number in range(len(starts))]
    while going := [climb for climb in climbs if not climb.is_done]:
        tell(len(climbs) - len(going))
        _sweep(steps, hill, going)
    tell(len(climbs))
    _rank_exactly(hill, climbs)
    return [_restart(steps, climb, hill.centre) for climb in climbs]


class _Bound(NamedTuple):
    """How a bound was found: from where, the KL there, and the type of the products."""

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
        self.last: _Bound | None = None
        self._num_flat = 0
        self._hill = hill

    @property
    def is_done(self) -> bool:
        """Whether it is at the top, or has taken all sweeps allowed."""
        return self.is_converged or self.num_sweeps == self._hill.max_sweeps

    @property
    def next_length(self) -> float:
        """The length of the step that is tried next."""
        return min(_GROWTH * self.length, _LONGEST)

    def take(self, elbo: float, step: GlobalStep, number: int) -> None:
        """Returns nothing; goes where a sweep that found `elbo` at `place` leads: to number `number` of `step`."""
        float32_error, hill = float(step.float32_error[number]), self._hill
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
        self._num_flat = self._num_flat + 1 if gain < hill.tolerance * hill.num_data else 0
        self.is_converged = self._num_flat == hill.patience
        self.length = self.next_length
        self.place, self.plain = place_of(step.longer, number), place_of(step.target, number)
        self.dtype = _type_of_products(float32_error, gain, hill)


def _sweep(steps: NaturalGradient, hill: Hill, climbs: Sequence[_Climb]) -> None:
    """Returns nothing; a sweep and a step for each climb."""
    share = hill.num_data / len(hill.rows)
    climbs = sorted(climbs, key=lambda climb: climb.dtype == np.float32)  # the products of a type are done together
    found = [
        hill.rows.sums(_stacked([climb.place.coefficients for climb in same]), dtype)
        for dtype in (np.float64, np.float32)
        if (same := [climb for climb in climbs if climb.dtype == dtype])
    ]
    statistics = scaled(Statistics(*map(np.concatenate, zip(*(sums.statistics for sums in found)))), share)
    log_likelihoods = share * np.concatenate([sums.log_likelihood for sums in found])
    values, lengths = _stacked([climb.place.values for climb in climbs]), [climb.next_length for climb in climbs]
    step = steps.global_step(values, statistics, hill.centre, lengths, hill.largest)
    for number, climb in enumerate(climbs):
        climb.take(float(log_likelihoods[number] - step.kl[number]), step, number)


def _rank_exactly(hill: Hill, climbs: Sequence[_Climb]) -> None:
    """Returns nothing; works out in float64 the last bounds that float32 products gave: restarts are ranked by them."""
    rough = [(climb, climb.last) for climb in climbs if climb.last and climb.last.dtype == np.float32]
    if rough:
        sums = hill.rows.sums(_stacked([last.place.coefficients for _, last in rough]), np.float64)
        for (climb, last), log_likelihood in zip(rough, sums.log_likelihood):
            climb.elbos[-1] = float(hill.num_data / len(hill.rows) * log_likelihood - last.kl)


def _stacked(records: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    return [np.stack(several) for several in zip(*records)]


def _restart(steps: NaturalGradient, climb: _Climb, centre: Tensor) -> Restart:
    of_weights, of_components = steps.posteriors_of(climb.plain.values)
    return Restart(
        elbo=climb.elbos[-1],
        elbos=np.array(climb.elbos),
        converged=climb.is_converged,
        weights=np.exp(steps.weights.log_mean(of_weights)),
        locs=(of_components.locs + centre).numpy(),
        values=climb.plain.values,
    )


def _type_of_products(float32_error: float, gain: float, hill: Hill) -> type[np.floating]:
    """Returns float32 far from the top, where it is exact enough; near it, its rounding would look like a fall."""
    is_far = gain > _GAIN_OF_SEARCH * hill.num_data
    is_fine = float32_error < _ERROR_OF_SEARCH and is_in_range_of_float32(hill.largest)
    return np.float32 if is_far and is_fine else np.float64
