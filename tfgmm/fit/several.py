"""Fits of several covariance shapes and numbers of components, with the same held-out rows for all."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tfgmm.fit import cross_validation
from tfgmm.fit.callbacks import EndOfChoice
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.fit.single import Ascended, FitTask, ascend_from_starts, fit_ascended, prepared_fit
from tfgmm.mixture.odd_data import names_of_doubtful_columns
from tfgmm.mixture.registry import WEIGHT_PRIORS
from tfgmm.scoring.scores import score_data


def fit_several(tasks: Sequence[FitTask], numbers: Sequence[int]) -> Selection:
    """Fits each shape with each number of components, and scores the same held-out rows with each fit."""
    survey, has_rows = tasks[0].survey, tasks[0].validation is not None
    folds = cross_validation.folds_of(survey, tasks[0].options.seed)
    description = folds.description
    results: list[FitResult] = []
    densities: list[np.ndarray] = []
    asked = list(itertools.product(tasks, numbers))
    try:
        for place, (of_shape, num_components) in enumerate(asked, 1):
            task = dataclasses.replace(of_shape, place=(place, len(asked)))
            fit = prepared_fit(task, num_components)
            ascended = ascend_from_starts(task, fit, None if has_rows else folds)
            results.append(fit_ascended(task, fit, ascended))
            densities.append(_held_out_log_densities(task, results[-1], folds, ascended))
    except EndOfChoice:
        if not results:
            raise
    if has_rows:
        description = f"validation_data, {len(densities[0]):,} rows"
    doubtful = names_of_doubtful_columns(survey.sample, survey.summary)
    selection = Selection(tuple(results), np.stack(densities), description, doubtful_columns=doubtful)
    [of_best] = (task for task in tasks if task.covariance == selection.covariance)
    return _with_occupied(dataclasses.replace(of_best, place=(len(asked), len(asked))), selection)


def _held_out_log_densities(
    task: FitTask, result: FitResult, folds: cross_validation.Folds, ascended: Ascended
) -> np.ndarray:
    """Computes the log densities of the rows to validate on, or of each row of the folds under the fit without it."""
    if task.validation is not None:
        return score_data(result.plug_in(), task.validation, "log_density", result.column_names)
    of_folds = folds, ascended.without_folds
    return cross_validation.held_out_log_densities(result.variational, task.survey, *of_folds)


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
