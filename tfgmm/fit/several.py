"""Fits of several covariance shapes and numbers of components, with the same held-out rows for all."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from tfgmm.data.row_source import RowSource
from tfgmm.data.survey import Survey
from tfgmm.fit import cross_validation
from tfgmm.fit.callbacks import EndOfChoice
from tfgmm.fit.evidence_of_restarts import by_evidence
from tfgmm.fit.exact_posterior import carrying, was_stopped, with_chains
from tfgmm.fit.maxima import at_maxima
from tfgmm.fit.occupied import occupied_widths
from tfgmm.fit.restarts import Restart
from tfgmm.fit.result import FitResult
from tfgmm.fit.retries import Retried, folds_retried, retried
from tfgmm.fit.selection import Selection
from tfgmm.fit.single import Ascended, FitTask, ascend_from_starts, finished, prepared_fit, swept_fit
from tfgmm.mixture.odd_data import doubts_of_columns
from tfgmm.mixture.registry import WEIGHT_PRIORS
from tfgmm.scoring.devices import block_scorer


class _Fitted(NamedTuple):
    """A fit of a choice.

    result: The fit.
    again: What came of further attempts.
    without_folds: Where the fits without each fold ended, best first.
    held_out: Log densities of the held-out rows, nats.
    """

    result: FitResult
    again: Retried
    without_folds: Sequence[Sequence[Restart]]
    held_out: np.ndarray


def fit_several(tasks: Sequence[FitTask], numbers: Sequence[int]) -> Selection:
    """Fits each shape with each number of components, and scores the same held-out rows with each fit."""
    survey, has_rows = tasks[0].survey, tasks[0].validation is not None
    folds = cross_validation.folds_of(survey, tasks[0].options.seed)
    fits: list[_Fitted] = []
    is_ended = False
    asked = list(itertools.product(tasks, numbers))
    try:
        for place, (of_shape, num_components) in enumerate(asked, 1):
            task = dataclasses.replace(of_shape, place=(place, len(asked)))
            fit = prepared_fit(task, num_components)
            ascended = ascend_from_starts(task, fit, None if has_rows else folds)
            smaller = [one for one in fits if one.result.covariance == task.covariance]
            again = retried(task, swept_fit(task, fit, ascended), [one.result for one in smaller])
            without_folds = _without_folds(task, again, folds, ascended, smaller)
            result = finished(task, by_evidence(task, again.swept))
            held_out = _held_out_log_densities(task, result, folds, without_folds)
            result = carrying(task, result, walks=False)
            fits.append(_Fitted(result, again, without_folds, held_out))
            if is_ended := again.is_ended or was_stopped(result):
                break
    except EndOfChoice:
        is_ended = True
        if not fits:
            raise
    results = [one.result for one in fits]
    if tasks[0].options.criteria_at == "mode":
        results = at_maxima(tasks, results)
    rows = f"validation_data, {len(fits[0].held_out):,} rows" if has_rows else folds.description
    weights = _weights_of(tasks[0]) if has_rows else folds.held_out_weights
    selection = _with_column_doubts(_selection_of(fits, results, rows, weights), survey)
    [of_best] = (task for task in tasks if task.covariance == selection.covariance)
    task = dataclasses.replace(of_best, place=(len(asked), len(asked)))
    return _with_occupied(task, with_chains(task, selection, is_ended))


def _selection_of(
    fits: Sequence[_Fitted], results: Sequence[FitResult], held_out_rows: str, weights: np.ndarray | None
) -> Selection:
    """Joins the fits of a choice, with criteria where they were asked for."""
    return Selection(
        tuple(results),
        np.stack([one.held_out for one in fits]),
        held_out_rows,
        below_nested=tuple(one.again.below_nested for one in fits),
        known_evidence=tuple(one.again.known_evidence for one in fits),
        held_out_weights=weights,
    )


def _without_folds(
    task: FitTask, again: Retried, folds: cross_validation.Folds, ascended: Ascended, smaller: Sequence[_Fitted]
) -> Sequence[Sequence[Restart]]:
    """Lists where the fits without each fold ended; where the fit to all rows was tried again, these are too."""
    if not again.is_better or again.known is None or not ascended.without_folds:
        return ascended.without_folds
    [of_smaller] = (one for one in smaller if one.result is again.known.smaller)
    q = again.swept.fit.variational
    return folds_retried(
        task, q, of_smaller.result.variational, folds, of_smaller.without_folds, ascended.without_folds
    )


def _held_out_log_densities(
    task: FitTask, result: FitResult, folds: cross_validation.Folds, without_folds: Sequence[Sequence[Restart]]
) -> np.ndarray:
    """Computes the log densities of the rows to validate on, or of each row of the folds under the fit without it."""
    if task.validation is not None:
        scorer = block_scorer(result.plug_in())
        blocks = (scorer.scores(block, ["log_density"]) for block in task.validation.blocks())
        return np.concatenate([scores.by_name["log_density"] for scores in blocks])
    return cross_validation.held_out_log_densities(result.variational, task.survey, folds, without_folds)


def _weights_of(task: FitTask) -> np.ndarray | None:
    """Reads the weights of the rows to validate on."""
    validation = cast("RowSource", task.validation)
    if not validation.has_weights:
        return None
    return np.concatenate([cast("np.ndarray", block.weights) for block in validation.blocks()])


def _with_column_doubts(selection: Selection, survey: Survey) -> Selection:
    """Adds what in the columns speaks against calling the recommended fit certain."""
    widths = occupied_widths(selection.best.variational)
    doubts = doubts_of_columns(survey.sample, survey.summary, selection.covariance, widths, survey.weights)
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
    rows = task.survey.rows
    occupied = largest.occupied_posterior(
        rows.values, seed=task.options.seed, sample_weight=rows.weights, noise=rows.noise
    )
    return dataclasses.replace(selection, occupied_posterior=occupied)
