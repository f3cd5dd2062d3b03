"""Fits of several covariance shapes and numbers of components, with the same held-out rows for all."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tfgmm.data.survey import Survey
from tfgmm.fit import cross_validation
from tfgmm.fit.callbacks import EndOfChoice
from tfgmm.fit.nesting import as_restart, best_nested, nats_below
from tfgmm.fit.occupied import occupied_widths
from tfgmm.fit.restarts import in_order_of_bounds
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.fit.single import (
    Ascended,
    FitTask,
    ascend_from_smaller,
    ascend_from_starts,
    fit_ascended,
    prepared_fit,
    stages_of,
)
from tfgmm.fit.sweeps import RunningFit
from tfgmm.mixture.odd_data import doubts_of_columns
from tfgmm.mixture.registry import WEIGHT_PRIORS
from tfgmm.scoring.scores import score_data

# So many times the starts that were asked for, where a fit stays so far below a smaller one, nats
_MORE_RESTARTS, _FAR_BELOW = 3, 5.0


def fit_several(tasks: Sequence[FitTask], numbers: Sequence[int]) -> Selection:
    """Fits each shape with each number of components, and scores the same held-out rows with each fit."""
    survey, has_rows = tasks[0].survey, tasks[0].validation is not None
    folds = cross_validation.folds_of(survey, tasks[0].options.seed)
    description = folds.description
    results: list[FitResult] = []
    below: list[float] = []
    densities: list[np.ndarray] = []
    asked = list(itertools.product(tasks, numbers))
    try:
        for place, (of_shape, num_components) in enumerate(asked, 1):
            task = dataclasses.replace(of_shape, place=(place, len(asked)))
            fit = prepared_fit(task, num_components)
            ascended = ascend_from_starts(task, fit, None if has_rows else folds)
            found = _Climb(task, fit_ascended(task, fit, ascended), results)
            for again in found.attempts():
                found.take(fit_ascended(task, *again))
            results.append(found.result)
            below.append(found.below)
            densities.append(_held_out_log_densities(task, results[-1], folds, ascended))
    except EndOfChoice:
        if not results:
            raise
    if has_rows:
        description = f"validation_data, {len(densities[0]):,} rows"
    selection = Selection(tuple(results), np.stack(densities), description, below_nested=tuple(below))
    selection = _with_column_doubts(selection, survey)
    [of_best] = (task for task in tasks if task.covariance == selection.covariance)
    return _with_occupied(dataclasses.replace(of_best, place=(len(asked), len(asked))), selection)


class _Climb:
    """A fit that is tried again as long as it is stuck below a smaller one with empty components.

    Args:
        task: What is fitted to.
        result: The fit.
        others: The fits before it.

    Attributes:
        result: The best so far.
    """

    def __init__(self, task: FitTask, result: FitResult, others: Sequence[FitResult]) -> None:
        self.result = result
        self._task = task
        smaller = [fit for fit in others if fit.covariance == task.covariance]
        self._best = best_nested(smaller, prepared_fit(task, result.num_components).variational)

    @property
    def below(self) -> float:
        """How far the fit lies below what is known to be possible, nats; 0 where it does not."""
        return 0.0 if self._best is None else self._below(self._best[1].elbo)

    @property
    def _behind(self) -> float:
        """How far the bound lies below what the smaller fit shows of the evidence, nats; 0 where it does not."""
        return 0.0 if self._best is None else self._below(self._best[1].elbo_but_for_priors)

    def _below(self, possible: float) -> float:
        return nats_below(self.result.elbo, possible, self._task.tolerance * self.result.num_data)

    def take(self, other: FitResult) -> None:
        """Takes another fit where it is better, and all restarts of both."""
        restarts = in_order_of_bounds([*self.result.restarts, *other.restarts])
        best = other if other.elbo > self.result.elbo else self.result
        self.result = dataclasses.replace(best, restarts=tuple(restarts))

    def attempts(self) -> Iterator[tuple[RunningFit, Ascended]]:
        """Yields starts from the smaller fit, more of the usual kinds, and the smaller fit with empty components.

        Each only where the one before it has not helped.
        """
        if self._best is None or not self._behind:
            return
        task, (smaller, nested), number = self._task, self._best, self.result.num_components
        fit = prepared_fit(task, number)
        yield fit, ascend_from_smaller(task, fit, smaller, nested)
        if self._behind > _FAR_BELOW:
            more = _with_more_restarts(task)
            fit = prepared_fit(more, number)
            yield fit, ascend_from_starts(more, fit)
        if self.below:
            fit = prepared_fit(task, number)
            rows = stages_of(fit.variational, task.survey, task.options)[-1].rows
            yield fit, Ascended([as_restart(nested, fit.variational)], [], rows)


def _with_more_restarts(task: FitTask) -> FitTask:
    options, restarts = task.options, _MORE_RESTARTS * task.options.restarts
    seed = (options.seed + restarts) % 2**63  # whose starts were not drawn before
    return dataclasses.replace(task, options=dataclasses.replace(options, restarts=restarts, seed=seed))


def _held_out_log_densities(
    task: FitTask, result: FitResult, folds: cross_validation.Folds, ascended: Ascended
) -> np.ndarray:
    """Computes the log densities of the rows to validate on, or of each row of the folds under the fit without it."""
    if task.validation is not None:
        return score_data(result.plug_in(), task.validation, "log_density", result.column_names)
    of_folds = folds, ascended.without_folds
    return cross_validation.held_out_log_densities(result.variational, task.survey, *of_folds)


def _with_column_doubts(selection: Selection, survey: Survey) -> Selection:
    """Adds what in the columns speaks against calling the recommended fit certain."""
    widths = occupied_widths(selection.best.variational)
    doubts = doubts_of_columns(survey.sample, survey.summary, selection.covariance, widths)
    return dataclasses.replace(selection, column_doubts=doubts)


def _with_occupied(task: FitTask, selection: Selection) -> Selection:
    """Adds the posterior of the number of occupied components, where sticks ask for it; `task` has the best shape."""
    if not WEIGHT_PRIORS[task.options.weights].is_maximum or task.is_sample:
        return selection
    largest = max(selection.of_shape(selection.covariance), key=lambda result: result.num_components)
    try:
        task.tell("occupied", 1, 1, largest.num_components)
    except EndOfChoice:
        return selection
    occupied = largest.occupied_posterior(task.survey.sample, seed=task.options.seed)
    return dataclasses.replace(selection, occupied_posterior=occupied)
