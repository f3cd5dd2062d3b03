"""Which starts are worth going on from: several times as many as asked for take a few sweeps, and the best go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.restarts import Stage
from tfgmm.fit.staged import StagedStarts, best_first

# Sweeps that candidates are told apart by
_MAX_SWEEPS = 8
# Columns from which matrices take so long that no more starts are drawn than go on
_MANY_FEATURES = 40
# Starts drawn for each that goes on where components have more sums than there are rows: many optima; and up
# to how many features of all rows: wine, K = 3, is at its best then with 20 seeds of 20, not with 9
_MANY_LOOKS, _FEW_FEATURES_OF_ROWS = 12, 2**15
# Nats per row: a candidate that gains less is at its optimum already
_TOLERANCE = 1e-3
# Rows that candidates are made and told apart with
_FEWEST_ROWS, _ROWS_PER_COMPONENT = 2_000, 50


class Candidates(NamedTuple):
    """Starts of which the best go on.

    starts: Numbers behind q at each.
    stage: The few sweeps that tell them apart.
    num_kept: How many go on.
    """

    starts: Sequence[Values]
    stage: Stage
    num_kept: int


def candidates(
    q: VariationalPosterior,
    stage: Stage,
    spread: np.ndarray,
    start: Any,
    seed: int,
    num_kept: int,
    *,
    is_thorough: bool = True,
) -> Candidates:
    """Draws starts among the rows of a stage.

    Args:
        q: Untouched posterior, with priors and centre from the data.
        stage: The stage that the starts go on to.
        spread: (D,) widths that count as equal.
        start: As in `fit_mixture`, one K.
        seed: Seed of the choices.
        num_kept: How many starts go on; of locations there is one.
        is_thorough: Whether many are drawn where that takes little time.
    """
    is_drawn = isinstance(start, str)
    num_kept = num_kept if is_drawn else 1  # equal locations lead to equal optima
    per_start = _candidates_per_start(q, stage.rows, is_thorough) if is_drawn else 1
    seeds = [(seed + number) % 2**63 for number in range(per_start * num_kept)]
    first = few_sweeps(q, stage, seed)
    starts = q.start_values(first.rows.as_copies(_most(q.num_components), seed), spread, start, seeds)
    return Candidates(starts, first, num_kept)


def few_sweeps(q: VariationalPosterior, stage: Stage, seed: int) -> Stage:
    """Makes the stage that tells candidates apart: a few sweeps over some of the rows of the stage that follows."""
    rows = _few(stage.rows, q.num_components, seed)
    return dataclasses.replace(
        stage, rows=rows, max_sweeps=_MAX_SWEEPS, tolerance=_TOLERANCE, patience=1, num_starts=None
    )


def screened(q: VariationalPosterior, several: Sequence[Candidates]) -> list[list[Values]]:
    """Takes all candidates through their few sweeps, side by side, and lists the best of each group, best first."""
    chosen: list[list[Values]] = [list(one.starts[: one.num_kept]) for one in several]
    with_choice = [number for number, one in enumerate(several) if len(one.starts) > one.num_kept]
    groups = [StagedStarts(several[number].starts, [several[number].stage]) for number in with_choice]
    if groups:
        for number, restarts in zip(with_choice, best_first(q, groups)):
            chosen[number] = [restart.values for restart in restarts[: several[number].num_kept]]
    return chosen


def _candidates_per_start(q: VariationalPosterior, rows: CachedRows, is_thorough: bool) -> int:
    """Says how many starts are drawn for each that goes on: three where they find more than two do, as measured."""
    is_costly = q.form == "correlated" and q.num_features > _MANY_FEATURES
    if q.num_components == 1 or is_costly:  # all starts are the same; or a sweep of them takes long
        return 1
    if not 3 <= q.num_components < 10:
        return 2
    is_crowded = q.covariance == "full" and q.num_components * rows.num_columns > rows.num_data
    is_small = len(rows) * rows.num_columns <= _FEW_FEATURES_OF_ROWS
    return _MANY_LOOKS if is_thorough and is_crowded and is_small else 3


def _few(rows: CachedRows, num_components: int, seed: int) -> CachedRows:
    """Chooses rows that stand for the others; all of them where they are few, with the features that they have."""
    most = _most(num_components)
    return rows if rows.num_copies <= most else rows.sampled(most, seed)


def _most(num_components: int) -> int:
    return max(_FEWEST_ROWS, _ROWS_PER_COMPONENT * num_components)
