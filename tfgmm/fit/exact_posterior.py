"""The exact posterior of one fit, or of each fit of a choice, where it was asked for."""

from __future__ import annotations

import dataclasses

from tfgmm.families import (
    CHAINS_LEFT_OUT,
    SweepBatches,
    drawn_from_rows,
    mean_field_draws,
    warn_of,
)
from tfgmm.fit.callbacks import EndOfChoice
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.fit.single import FitTask
from tfgmm.posterior.record import MEAN_FIELD, STOPPED

# Numbers in the draws of all fits of a choice: 128 MB
_MOST_NUMBERS, _FEWEST_DRAWS = 2**24, 200


def with_exact_posterior(task: FitTask, result: FitResult) -> FitResult:
    """Adds draws from the exact posterior to a fit, where they were asked for, and warns where they are not good."""
    result = carrying(task, result)
    if result.exact is not None:
        warn_of(result.exact.record, stacklevel=5)
    return result


def carrying(task: FitTask, result: FitResult, walks: bool = True) -> FitResult:
    """Adds draws from the exact posterior to a fit, where they were asked for; warns of nothing.

    Ctrl-C and `EndOfChoice` end it, and what there is stays: see `was_stopped`.

    Args:
        task: What was fitted to.
        result: The fit.
        walks: Whether "auto" may go on to Markov chains.
    """
    options = task.options
    if options.posterior == MEAN_FIELD:
        return result

    def tell(what: str, number: int, count: int) -> None:
        try:
            task.tell(f"posterior: {what}", number, count, result.num_components)
        except EndOfChoice as end:  # what there is stays, as with Ctrl-C
            raise KeyboardInterrupt from end

    rows = SweepBatches(task.source, result.variational, options.batch_size, task.gap_columns)
    try:
        exact = drawn_from_rows(result, rows, options.posterior, options.seed, tell, walks=walks)
    except KeyboardInterrupt:
        exact = mean_field_draws(result.variational, options.posterior, options.seed, STOPPED)
    most = max(_FEWEST_DRAWS, _MOST_NUMBERS // (exact.num_numbers * task.place[1]))
    return dataclasses.replace(result, exact=exact.limited(most))


def was_stopped(result: FitResult) -> bool:
    """Tells whether the exact posterior of a fit was stopped before it was done."""
    return result.exact is not None and result.exact.record.note == STOPPED


def with_chains(task: FitTask, selection: Selection, is_ended: bool) -> Selection:
    """Draws for the recommended fit as for a single one, chains included; warns where its draws are not good.

    Chains take far longer than importance sampling, and give no evidence: so the other fits go without.

    Args:
        task: What was fitted to.
        selection: The choice.
        is_ended: Whether it was ended early, so that nothing more is drawn.
    """
    place, best = selection.best_place, selection.best
    if best.exact is None:
        return selection
    if best.exact.record.note == CHAINS_LEFT_OUT and not is_ended:
        best = carrying(task, best)
        results = [*selection.results[:place], best, *selection.results[place + 1 :]]
        selection = dataclasses.replace(selection, results=tuple(results))
    if best.exact is not None:
        warn_of(best.exact.record, stacklevel=5)
    return selection
