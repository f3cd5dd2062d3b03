"""Starts that go through several stages: coarsely all of them, after moves between components more finely the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit.moves.over_all_rows import from_place
from tfgmm.fit.moves.rounds import moved
from tfgmm.fit.restarts import Restart, Stage, ascend, in_order_of_bounds

# Multiplications in a sweep of all starts at a time: with more, what a step costs beside them is not felt.
_PRODUCTS_AT_A_TIME = 2**31


class StagedStarts(NamedTuple):
    """Starts, and the stages that they go through, one after the other."""

    starts: Sequence[Values]
    stages: Sequence[Stage]


def best_first(
    q: VariationalPosterior,
    groups: Sequence[StagedStarts],
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> list[list[Restart]]:
    """Takes the starts of each group through its stages; lists per group where they ended, best bound first.

    A start that is far below the best when its gains have become small does not overtake it: so the first stages may
    be coarse, and only the best starts need take part in the last one.

    Args:
        q: Family of the posteriors.
        groups: Groups of starts, each with stages of its own; each stage goes on side by side with those of the others.
        tell: Called before the first stage and when a start has finished it, with the number of those that have, plus
            one, up to their count, and with their count.
    """
    results = [
        in_order_of_bounds([dataclasses.replace(restart, number=number) for number, restart in enumerate(restarts)])
        for restarts in _ascended_by_group(q, [(group.starts, group.stages[0]) for group in groups], tell)
    ]
    for number in range(1, max(len(group.stages) for group in groups)):
        going = [index for index, group in enumerate(groups) if number < len(group.stages)]
        stages = [groups[index].stages[number] for index in going]
        for index, restarts in zip(going, _after_moves(q, [results[index] for index in going], stages)):
            results[index] = restarts
        best = [_best(results[index], stage.num_starts) for index, stage in zip(going, stages)]
        starts = [[restart.values for restart in restarts] for restarts in best]
        for index, before, later in zip(going, best, _ascended_by_group(q, list(zip(starts, stages)))):
            results[index] = _after(results[index], before, later)
    return [
        restarts if group.stages[-1].is_sample else from_place(restarts, 0) for restarts, group in zip(results, groups)
    ]


def _best(restarts: Sequence[Restart], num_starts: int | None) -> list[Restart]:
    """Takes the best starts; one that moved, and stays as it was too, is one start."""
    numbers = list(dict.fromkeys(restart.number for restart in restarts))[:num_starts]
    return [restart for restart in restarts if restart.number in numbers]


def _after_moves(
    q: VariationalPosterior, groups: Sequence[list[Restart]], stages: Sequence[Stage]
) -> list[list[Restart]]:
    """Lets the best of each group try moves where its stage says so; all groups side by side.

    A restart that moved also stays as it was: which is better is known when both are at their optimum.
    """
    trying = [
        (restart, stage)
        for restarts, stage in zip(groups, stages)
        if stage.moves is not None and q.num_components > 1
        for restart in restarts[: stage.moves.num_starts]
        if np.isfinite(restart.elbo)
    ]
    if not trying:
        return list(groups)
    after = {id(restart): moved_on for (restart, _), moved_on in zip(trying, moved(q, trying))}
    return [
        in_order_of_bounds(
            [one for restart in restarts for one in _with_as_it_was(restart, after.get(id(restart), restart))]
        )
        for restarts, stage in zip(groups, stages)
    ]


def _with_as_it_was(restart: Restart, moved_on: Restart) -> list[Restart]:
    return [moved_on, restart] if len(moved_on.moves) > len(restart.moves) else [moved_on]


def _after(restarts: list[Restart], before_them: list[Restart], later: list[Restart]) -> list[Restart]:
    """Joins restarts with what some of them did in a later stage; the others are given up."""
    went_on = [
        dataclasses.replace(
            after, elbos=np.concatenate([before.elbos, after.elbos]), moves=before.moves, number=before.number
        )
        for before, after in zip(before_them, later)
    ]
    gone_on = {id(restart) for restart in before_them}
    given_up = [dataclasses.replace(restart, converged=False) for restart in restarts if id(restart) not in gone_on]
    return in_order_of_bounds([*went_on, *given_up])


def _ascended_by_group(
    q: VariationalPosterior,
    groups: Sequence[tuple[Sequence[Values], Stage]],
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> list[list[Restart]]:
    """Takes each start of each group through its stage, up to a number of them that fill a sweep, at a time."""
    starts = [(start, stage) for starts, stage in groups for start in starts]
    restarts: list[Restart] = []
    num_told = 0

    def tell_done(num_done: int) -> None:
        nonlocal num_told
        while num_told < min(len(restarts) + num_done + 1, len(starts)):
            num_told += 1
            tell(num_told, len(starts))

    num_rows = max(len(stage.rows) for _, stage in groups)
    products = num_rows * groups[0][1].rows.num_columns * q.num_components
    size = max(1, _PRODUCTS_AT_A_TIME // products)
    for first in range(0, len(starts), size):
        restarts += ascend(q, starts[first : first + size], tell_done)
    in_order = iter(restarts)
    return [[next(in_order) for _ in of_group] for of_group, _ in groups]
