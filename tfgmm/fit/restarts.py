"""Restarts: exact sweeps from several starts over the same rows, with lengthened steps, each to its own optimum."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.threads import one_thread_each
from tfgmm.families.natural_gradient import (
    GlobalStep,
    Place,
    Spot,
    gathered,
    global_step,
    is_in_range_of_float32,
    place_at,
)
from tfgmm.families.variational import Values, VariationalPosterior, stacked
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.plateau import PATIENCE, Plateau
from tfgmm.mixture.statistics import RowSums, Statistics

# Steps grow by this factor while the bound rises, and start again at 1 when it falls.
_GROWTH, _LONGEST = 1.3, 8.0
# Products may be float32 while their error, nats per row, is below the first, and the gain per row above the second.
_FLOAT32_ERROR, _FLOAT32_GAIN = 10.0, 1e-4
# Features of all rows below which float32 saves less time than telling starts apart by type costs
_FEW_FEATURES = 2**16
# Sweeps after which a start may be given up, and how much faster than its last gain it is thought to rise at most
_FEW_SWEEPS, _FASTER = 4, 2.0


class Move(NamedTuple):
    """Components that went, and as many that were divided in two, one half in the place of each; see `fit.moves`.

    Numbers of components are those before the move.

    deleted: Components that went.
    divided: Components that were divided instead.
    gain: What the bound gained until the sweeps after the move were done, nats.
    sweep: How many of the sweeps of its restart came before.
    """

    deleted: tuple[int, ...]
    divided: tuple[int, ...]
    gain: float
    sweep: int = 0


class MoveRule(NamedTuple):
    """Which starts try moves before a stage.

    num_starts: How many of the best.
    seed: Seed of the rows that components are divided with.
    most_failures: Moves in turn that are taken back before a start has no more.
    """

    num_starts: int
    seed: int
    most_failures: int = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Restart:
    """One start and where its sweeps ended.

    Args:
        elbo: Augmented bound at the end, nats, for N rows, estimated from the rows that all restarts share.
        elbos: Bound of every sweep, float64; after a move from where it is above that before.
        converged: Whether the bound had stopped rising; False also for a start that was given up below the best.
        weights: Mean weights at the end, (K,) float64.
        locs: Mean locations at the end, (K, D) float64, data units.
        values: Numbers behind q at the end; see `families.base.Family`.
        moves: Moves between components on the way.
        number: Number of the start that it began at, from 0.
    """

    elbo: float
    elbos: np.ndarray
    converged: bool
    weights: np.ndarray
    locs: np.ndarray
    values: Values = dataclasses.field(repr=False)
    moves: tuple[Move, ...] = ()
    number: int = 0

    @property
    def num_sweeps(self) -> int:
        """The number of sweeps taken."""
        return len(self.elbos)


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """A stage of restarts: the rows that are swept, which starts take part, and when each of them stops.

    Args:
        rows: N rows, measured from the centre.
        centre: (D,) float64, data units.
        largest: (D,) float64; no row is farther from the centre than that.
        max_sweeps: Largest number of sweeps.
        tolerance: A gain below it counts as none, nats per row.
        patience: Gains below the tolerance that must follow each other: one alone can be a step that was cut short.
        num_starts: How many of the best starts of the stage before take part; the others are given up. None for all.
        moves: Which of them try moves between components first; None for none.
        goal: Bound, nats: a start whose gains have become too small to reach it is given up.
        is_sample: Whether the rows are a sample, so that gains on them need not be gains on all rows.
    """

    rows: CachedRows
    centre: np.ndarray
    largest: np.ndarray
    max_sweeps: int
    tolerance: float
    patience: int = PATIENCE
    num_starts: int | None = None
    moves: MoveRule | None = None
    goal: float = -math.inf
    is_sample: bool = False

    @functools.cached_property
    def is_for_float32(self) -> bool:
        """Whether products in float32 are worth while, and squares of the rows stay in its range."""
        is_large = len(self.rows) * self.rows.num_columns >= _FEW_FEATURES
        return is_large and is_in_range_of_float32(self.largest)


def in_order_of_bounds(restarts: Sequence[Restart]) -> list[Restart]:
    """Sorts restarts, best bound first; those without a finite one stand last."""
    return sorted(restarts, key=lambda restart: -restart.elbo if np.isfinite(restart.elbo) else np.inf)


def ascend(
    q: VariationalPosterior,
    starts: Sequence[tuple[Values, Stage]],
    tell: Callable[[int], None] = lambda num_done: None,
) -> list[Restart]:
    """Sweeps over the rows of its stage from each start until the bound stops rising.

    Each step goes on beyond the closed-form optimum, q + length (q_new - q) in the numbers behind q, as long as the
    bound rises (over-relaxation, Salakhutdinov and Roweis 2003); a fall is taken back to the step of length 1, which
    never falls. A half to a third of the sweeps. All starts take their sweeps side by side, each with a length and an
    end of its own.

    Args:
        q: Family of the posteriors.
        starts: Numbers behind q at each start, with its stage.
        tell: Called before each sweep and at the end with the number of starts that are done.
    """
    values = stacked([values for values, _ in starts])
    places = place_at(q, values)
    ascents = [_Ascent(Spot(places, number), stage) for number, (_, stage) in enumerate(starts)]
    with one_thread_each():  # held once: sums hold it for themselves otherwise, every time
        while going := [ascent for ascent in ascents if not ascent.is_done]:
            tell(len(ascents) - len(going))
            _sweep(q, going)
        tell(len(ascents))
        _rank_exactly(ascents)
    return _restarts(q, ascents)


class _Bound(NamedTuple):
    """Where the last bound was computed, the KL there, and the type of the products."""

    place: Spot
    kl: float
    dtype: type[np.floating]


class _Ascent:
    """One start whose bound is still rising.

    Args:
        place: The start.
        stage: The rows that are swept, and when to stop.
    """

    def __init__(self, place: Spot, stage: Stage) -> None:
        self.place = self.plain = place  # of the sweep to come, and after the last step of length 1
        self.dtype: type[np.floating] = np.float64  # of the products of the sweep to come
        self.length, self.num_sweeps, self.is_converged, self.is_hopeless = 1.0, 0, False, False
        self.elbos: list[float] = []
        self.last = _Bound(place, np.nan, self.dtype)
        self.stage = stage
        self._plateau = Plateau(stage.tolerance, stage.patience, stage.rows.num_data)

    @property
    def is_done(self) -> bool:
        """Whether it has converged, or taken all sweeps allowed, or its bound is not finite or stays below its goal."""
        is_lost = self.is_hopeless or (bool(self.elbos) and not np.isfinite(self.elbos[-1]))
        return self.is_converged or is_lost or self.num_sweeps == self.stage.max_sweeps

    @property
    def _num_left(self) -> int:
        return self.stage.max_sweeps - self.num_sweeps

    @property
    def next_length(self) -> float:
        """The length of the step that is tried next."""
        return min(_GROWTH * self.length, _LONGEST)

    def take(self, elbo: float, step: GlobalStep, number: int) -> None:
        """Moves to where a sweep leads that gave the bound `elbo` at `place`: to entry `number` of `step`."""
        float32_error, stage = float(step.float32_error[number]), self.stage
        if self.dtype == np.float32 and not float32_error < _FLOAT32_ERROR:
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
        self.is_converged = self._plateau.is_reached(elbo)
        self.is_hopeless = self.num_sweeps > _FEW_SWEEPS and elbo + _FASTER * gain * self._num_left < stage.goal
        self.length = self.next_length
        self.place, self.plain = Spot(step.longer, number), Spot(step.target, number)
        self.dtype = _type_of_products(float32_error, gain, stage)


def _sweep(q: VariationalPosterior, ascents: Sequence[_Ascent]) -> None:
    """Takes a sweep and a step for each ascent."""
    ascents, places, sums = _sums(ascents, [(ascent.place, ascent.dtype) for ascent in ascents])
    stage, lengths = ascents[0].stage, [ascent.next_length for ascent in ascents]
    largest = stage.largest if stage.is_for_float32 else None
    step = global_step(q, places.values, sums.statistics, stage.centre, lengths, largest)
    elbos = (sums.log_likelihood - step.kl).tolist()
    for number, ascent in enumerate(ascents):
        ascent.take(elbos[number], step, number)


def _sums(
    ascents: Sequence[_Ascent], wanted: Sequence[tuple[Spot, type[np.floating]]]
) -> tuple[list[_Ascent], Place, RowSums]:
    """Sums over N rows at each place by products of its type; gives ascents and places in the order of the sums.

    Those on the same rows, by the same type, share their products.
    """
    groups: dict[Any, list[int]] = {}
    for number, (ascent, (_, dtype)) in enumerate(zip(ascents, wanted)):
        groups.setdefault((id(ascent.stage.rows), dtype), []).append(number)
    order = [number for members in groups.values() for number in members]
    places, sums, start = gathered([wanted[number][0] for number in order]), [], 0
    for (_, dtype), members in groups.items():
        of_group = slice(start, start := start + len(members))
        sums.append(ascents[members[0]].stage.rows.sums([value[of_group] for value in places.coefficients], dtype))
    return [ascents[number] for number in order], places, sums[0] if len(sums) == 1 else _concatenated(sums)


def _concatenated(sums: Sequence[RowSums]) -> RowSums:
    statistics, *totals = zip(*sums)
    return RowSums(Statistics(*map(np.concatenate, zip(*statistics))), *map(np.concatenate, totals))


def _rank_exactly(ascents: Sequence[_Ascent]) -> None:
    """Computes in float64 the last bounds that float32 products gave: restarts are ranked by them."""
    rough = [ascent for ascent in ascents if ascent.last.dtype == np.float32]
    if rough:
        in_order, _, sums = _sums(rough, [(ascent.last.place, np.float64) for ascent in rough])
        for ascent, log_likelihood in zip(in_order, sums.log_likelihood):
            ascent.elbos[-1] = float(log_likelihood) - ascent.last.kl


def _restarts(q: VariationalPosterior, ascents: Sequence[_Ascent]) -> list[Restart]:
    of_weights, of_components = q.factors_of(gathered([ascent.plain for ascent in ascents]).values)
    weights, locs = np.exp(q.weights.log_mean(of_weights)), of_components.locs
    return [
        Restart(
            elbo=ascent.elbos[-1],
            elbos=np.array(ascent.elbos),
            converged=ascent.is_converged,
            weights=weights[number],
            locs=locs[number] + ascent.stage.centre,
            values=ascent.plain.picked().values,
        )
        for number, ascent in enumerate(ascents)
    ]


def _type_of_products(float32_error: float, gain: float, stage: Stage) -> type[np.floating]:
    """Chooses float32 far from the optimum, where it is exact enough; near it, its rounding would look like a fall."""
    is_far = gain > _FLOAT32_GAIN * stage.rows.num_data
    is_fine = float32_error < _FLOAT32_ERROR and stage.is_for_float32
    return np.float32 if is_far and is_fine else np.float64
