"""Restarts: exact sweeps from several starts over the same rows, with lengthened steps, each to its own optimum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.natural_gradient import GlobalStep, NaturalGradient, Values, is_in_range_of_float32, scaled

Tensor = Any

# Steps grow by this factor while the bound rises, and start again at 1 when it falls.
_GROWTH, _LONGEST = 1.3, 8.0
PATIENCE = 2
# Products in float32 may err by so much per row, nats, while the bound gains more than so much per row.
_ERROR_OF_SEARCH, _GAIN_OF_SEARCH = 10.0, 1e-4
# For fewer rows a second compilation costs more than it saves.
_ROWS_FOR_FLOAT32 = 10_000


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
        rows: (n, D) float32 tensor, measured from the centre.
        centre: (D,) float64 tensor, data units.
        largest: (D,) largest distance of a row from the centre.
        num_data: N that the rows stand for.
        max_sweeps: at the most.
        tolerance: a gain below it counts as none, nats per row.
        patience: gains below the tolerance that must follow each other: one alone can be a step that was cut short.
        num_climbers: only so many, the best from the hill before, climb; the others are given up. None for all.
    """

    rows: Tensor
    centre: Tensor
    largest: np.ndarray
    num_data: int
    max_sweeps: int
    tolerance: float
    patience: int = PATIENCE
    num_climbers: int | None = None


def best_first(
    steps: NaturalGradient,
    starts: Sequence[Values],
    hills: Sequence[Hill],
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> list[Restart]:
    """Returns where each start leads over one hill after the other, best bound first.

    A start that is far below the best when its gains have become small does not overtake it: so the first hills may
    be climbed coarsely, and only the best starts need climb the last one. `tell` is called before each climbs the first
    hill, with its number, from 1, and their count.
    """
    restarts = []
    for number, values in enumerate(starts, 1):
        tell(number, len(starts))
        restarts.append(climb(steps, values, hills[0]))
    restarts = _sorted(restarts)
    for hill in hills[1:]:
        climbers, given_up = restarts[: hill.num_climbers], restarts[len(restarts[: hill.num_climbers]) :]
        climbed = [_joined(restart, climb(steps, restart.values, hill)) for restart in climbers]
        restarts = _sorted([*climbed, *(dataclasses.replace(restart, converged=False) for restart in given_up)])
    return restarts


def _sorted(restarts: list[Restart]) -> list[Restart]:
    return sorted(restarts, key=lambda restart: -restart.elbo if np.isfinite(restart.elbo) else np.inf)


def _joined(first: Restart, later: Restart) -> Restart:
    return dataclasses.replace(later, elbos=np.concatenate([first.elbos, later.elbos]))


def climb(steps: NaturalGradient, values: Values, hill: Hill) -> Restart:
    """Returns where exact sweeps over the hill's rows lead from `values`.

    Each step goes on beyond the closed-form optimum, q + length (q_new - q) in the numbers behind q, as long as the
    bound rises (over-relaxation, Salakhutdinov and Roweis 2003); a fall is taken back to the step of length 1, which
    never falls. A half to a third of the sweeps.
    """
    elbos: list[float] = []
    length, num_flat, plain, dtype = 1.0, 0, values, tf.float64
    last, dtype_of_last = values, dtype
    for _ in range(hill.max_sweeps):
        longer = min(_GROWTH * length, _LONGEST)
        step, elbo = _step(steps, values, hill, longer, dtype)
        if dtype == tf.float32 and not float(step.float32_error) < _ERROR_OF_SEARCH:
            # Sums in float32 made components too narrow for such sums, or no components at all
            dtype = tf.float64
            step, elbo = _step(steps, values, hill, longer, dtype)
        if elbos and not elbo > elbos[-1] and length > 1.0:  # also where it is not a number
            values, length = plain, 1.0
            continue
        gain = elbo - elbos[-1] if elbos else np.inf
        elbos.append(elbo)
        last, dtype_of_last = values, dtype
        num_flat = num_flat + 1 if gain < hill.tolerance * hill.num_data else 0
        values, plain, length = step.longer, step.target, longer
        if num_flat == hill.patience:
            break
        dtype = _type_of_products(float(step.float32_error), gain, hill)
    if dtype_of_last == tf.float32:  # restarts are ranked by it
        elbos[-1] = _step(steps, last, hill, 1.0, tf.float64)[1]
    weights, components = steps.posteriors_of(plain)
    return Restart(
        elbo=elbos[-1],
        elbos=np.array(elbos),
        converged=num_flat == hill.patience,
        weights=np.exp(steps.weights.log_mean(weights)),
        locs=(components.locs + hill.centre).numpy(),
        values=plain,
    )


def _step(
    steps: NaturalGradient, values: Values, hill: Hill, length: float, dtype: tf.DType
) -> tuple[GlobalStep, float]:
    """Returns the step that the hill's rows ask for, and the bound before it, nats."""
    share = hill.num_data / float(hill.rows.shape[0])
    sums, log_likelihood, _ = steps.sums(steps.coefficients(values), hill.rows, dtype)
    step = steps.global_step(values, scaled(sums, share), hill.centre, length, hill.largest)
    return step, share * float(log_likelihood) - float(step.kl)


def _type_of_products(float32_error: float, gain: float, hill: Hill) -> tf.DType:
    """Returns float32 far from the top, where it is exact enough; near it, its rounding would look like a fall."""
    is_worth_it = hill.rows.shape[0] >= _ROWS_FOR_FLOAT32 and gain > _GAIN_OF_SEARCH * hill.num_data
    is_fine = float32_error < _ERROR_OF_SEARCH and is_in_range_of_float32(hill.largest)
    return tf.float32 if is_worth_it and is_fine else tf.float64
