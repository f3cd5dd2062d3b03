"""Further attempts at a fit that is stuck below a smaller one with empty components."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.callbacks import EndOfChoice
from tfgmm.fit.cross_validation import NUM_STARTS, Folds, stages_of_fold
from tfgmm.fit.nesting import (
    Known,
    Smaller,
    as_restart,
    known_from,
    nats_below,
    plain_rows,
    split_starts,
    with_empty,
)
from tfgmm.fit.occupied import num_occupied
from tfgmm.fit.restarts import Restart, in_order_of_bounds
from tfgmm.fit.result import FitResult
from tfgmm.fit.screening import Candidates, few_sweeps, screened
from tfgmm.fit.single import Ascended, FitTask, Swept, ascend_from_starts, prepared_fit, stages_of, swept_fit
from tfgmm.fit.staged import StagedStarts, best_first

# So many times the starts that were asked for; and nats below what is known that are worth a search in any case
_MORE_RESTARTS, _FAR_BELOW = 3, 5.0
# Components of a smaller fit that are divided, the largest
_MOST_DIVIDED = 8


class Retried(NamedTuple):
    """The best of several attempts at a fit.

    swept: The best, with the restarts of all.
    known: What smaller fits promise; None where there is no smaller one.
    below_nested: How far it stays below that, nats; 0 where it does not.
    is_better: Whether an attempt led to another optimum, better than the first fit.
    is_ended: Whether a callback has ended the choice in an attempt.
    """

    swept: Swept
    known: Known | None = None
    below_nested: float = 0.0
    is_better: bool = False
    is_ended: bool = False

    @property
    def known_evidence(self) -> float:
        """The log evidence that smaller fits show there to be, nats, with all equal modes counted."""
        return -np.inf if self.known is None else self.known.log_evidence


def retried(task: FitTask, first: Swept, smaller: Sequence[FitResult]) -> Retried:
    """Tries a fit again as long as it is stuck: from a smaller one, from more starts, from one with empty components.

    Args:
        task: What is fitted to.
        first: The fit.
        smaller: Fits of its shape with fewer components.
    """
    known = known_from(smaller, first.fit.variational)
    if known is None:
        return Retried(first)
    best, is_ended = first, False
    try:
        for is_needed, start in (
            (_needs_another_look, _from_smaller),
            (_needs_another_look, _from_more_starts),
            (_is_below_bound, _from_empty),
        ):
            if is_needed(task, best, known):
                best = _better(best, _attempt(start, task, known, first.fit.num_components))
    except EndOfChoice:
        is_ended = True
    return Retried(best, known, _stuck_by(task, best, known), _below(task, first, best.elbo) > 0.0, is_ended)


def _below(task: FitTask, swept: Swept, possible: float) -> float:
    return nats_below(swept.elbo, possible, task.tolerance * task.survey.summary.num_data)


def _is_below_bound(task: FitTask, swept: Swept, known: Known) -> bool:
    return _below(task, swept, known.nested.elbo) > 0.0


def _needs_another_look(task: FitTask, swept: Swept, known: Known) -> bool:
    """Tells whether a fit is stuck, or lies so far below what is known that something better is worth a search."""
    is_far = _below(task, swept, known.evidence_at_least) > _FAR_BELOW
    return is_far or _stuck_by(task, swept, known) > 0.0


def _stuck_by(task: FitTask, swept: Swept, known: Known) -> float:
    """Computes how far a fit lies below what is known, nats; 0 where empty components of its own explain that."""
    q = swept.fit.variational
    is_explained = num_occupied(q) < q.num_components and not _is_below_bound(task, swept, known)
    return 0.0 if is_explained else _below(task, swept, known.evidence_at_least)


def _better(one: Swept, other: Swept | None) -> Swept:
    """Takes the better fit, with the restarts of both."""
    if other is None:
        return one
    restarts = in_order_of_bounds([*one.restarts, *other.restarts])
    return (other if other.elbo > one.elbo else one)._replace(restarts=tuple(restarts))


_Start = Callable[[FitTask, Known, int], tuple[FitTask, Ascended]]


def _attempt(start: _Start, task: FitTask, known: Known, num_components: int) -> Swept | None:
    """Sweeps from other starts; None where the bound becomes infinite on the way: the fit that there is stays."""
    task, ascended = start(task, known, num_components)
    try:
        return swept_fit(task, prepared_fit(task, num_components), ascended)
    except FloatingPointError:
        return None


def _from_smaller(task: FitTask, known: Known, num_components: int) -> tuple[FitTask, Ascended]:
    return task, ascend_from_smaller(task, known, num_components)


def _from_more_starts(task: FitTask, known: Known, num_components: int) -> tuple[FitTask, Ascended]:
    del known
    options, restarts = task.options, _MORE_RESTARTS * task.num_restarts(num_components)
    seed = (options.seed + restarts) % 2**63  # whose starts were not drawn before
    more = dataclasses.replace(task, options=dataclasses.replace(options, restarts=restarts, seed=seed))
    return more, ascend_from_starts(more, prepared_fit(more, num_components))


def _from_empty(task: FitTask, known: Known, num_components: int) -> tuple[FitTask, Ascended]:
    q = prepared_fit(task, num_components).variational
    last = stages_of(q, task.survey, task.options, task.gap_columns)[-1]
    return task, Ascended([as_restart(known.nested, q)], [], last.rows)


def ascend_from_smaller(task: FitTask, known: Known, num_components: int) -> Ascended:
    """Takes a smaller fit to an optimum with more components: with empty ones, and with some of its own divided."""
    num_restarts, fit = task.num_restarts(num_components), prepared_fit(task, num_components)
    q, spread = fit.variational, np.array(task.survey.summary.spread)
    stages = stages_of(q, task.survey, task.options, task.gap_columns)
    sample = plain_rows(task.survey.rows, q.centre, spread)
    divided = split_starts(known.smaller.variational, q, sample, spread, max(_MOST_DIVIDED, num_restarts))
    [kept] = screened(q, [Candidates(divided, few_sweeps(q, stages[-1], fit.seed), num_restarts)])
    starts = StagedStarts([known.nested.values, *kept], stages)
    [restarts] = best_first(q, [starts], lambda number, count: task.tell("start", number, count, num_components))
    return Ascended(restarts, [], stages[-1].rows)


def folds_retried(
    task: FitTask,
    larger: VariationalPosterior,
    smaller: VariationalPosterior,
    folds: Folds,
    of_smaller: Sequence[Sequence[Restart]],
    of_larger: Sequence[Sequence[Restart]],
) -> list[list[Restart]]:
    """Takes a smaller fit without each fold to more components; lists these with the larger ones, best first.

    A fit to all rows that was found in this way would be held out by fits that are stuck otherwise.

    Args:
        task: What is fitted to.
        larger, smaller: Posteriors of the fits to all rows.
        folds: The folds of the sample.
        of_smaller, of_larger: Where the starts of each fold ended, best first.
    """
    survey, groups = task.survey, []
    stage, spread = stages_of(larger, survey, task.options, task.gap_columns)[-1], np.array(survey.summary.spread)
    for fold, (best, *_) in enumerate(of_smaller):
        rows = folds.block(survey.rows, folds.numbers != fold)
        sample, num_rows = (
            plain_rows(rows, larger.centre, spread),
            len(rows.values) if rows.weights is None else rows.weights.sum(),
        )
        without = Smaller(smaller.at(best.values), best.elbo, float(num_rows))
        starts = [with_empty(without, larger).values, *split_starts(without.q, larger, sample, spread, NUM_STARTS)]
        groups.append(StagedStarts(starts, stages_of_fold(stage, folds, fold)))
    again = best_first(larger, groups) if groups else []
    return [in_order_of_bounds([*one, *other]) for one, other in zip(of_larger, again)]
