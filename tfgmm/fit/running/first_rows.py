"""Fits, from restarts, to the first rows of a stream."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from tfgmm.data.rows import Rows
from tfgmm.data.survey import survey_rows
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.fitting import task_of
from tfgmm.fit.options import AUTO, FitOptions
from tfgmm.fit.restarts import Move, Restart
from tfgmm.fit.result import FitResult
from tfgmm.fit.single import (
    FitTask,
    ascend_from_starts,
    prepared_fit,
    swept_fit,
    values_from,
)
from tfgmm.fit.staged import StagedStarts, best_first
from tfgmm.fit.stages import stages_of
from tfgmm.mixture.priors import Priors

# Nats: restarts that end this little above the fit so far are the same optimum, and it keeps its order of components
_SAME = 1e-2
# Number of the restart that goes on from the fit so far: those of new starts count from 0
_GOING_ON = -1


class FirstFit(NamedTuple):
    """A fit to the rows that were kept.

    q: Where it ended.
    priors: Its priors, data units.
    restarts: All restarts, the one that it went on from first.
    moves: Moves between components on the way.
    converged: Whether the bound had stopped rising.
    spread: (D,) widths of the columns that a few far rows cannot widen, data units.
    """

    q: VariationalPosterior
    priors: Priors
    restarts: tuple[Restart, ...]
    converged: bool
    spread: tuple[float, ...]
    moves: tuple[Move, ...] = ()

    @classmethod
    def of(cls, result: FitResult) -> FirstFit:
        """Takes over what `fit_mixture` found."""
        spread = result.data_summary.spread
        return cls(result.variational, result.priors, result.restarts, result.converged, spread, result.moves)


def fit_again(rows: Rows, num_components: int, options: FitOptions, before: VariationalPosterior) -> FirstFit:
    """Fits all rows so far, from restarts and from where the fit before stands, whichever ends higher.

    It warns of nothing: more rows follow.

    Args:
        rows: All rows so far.
        num_components: K.
        options: Options of the fit.
        before: Where the fit to the first of them stands.
    """
    survey = survey_rows(rows, None, options.seed)
    if not isinstance(options.start, str):  # it was for the rows of the first part
        options = dataclasses.replace(options, start=AUTO)
    task = task_of(before.covariance, rows, survey, options, (), None, survey.summary.gap_columns)
    fit = prepared_fit(task, num_components)
    ascended = ascend_from_starts(task, fit)
    restarts = _together(_from_before(task, fit.variational, before), list(ascended.restarts))
    swept = swept_fit(task, fit, ascended._replace(restarts=restarts))
    ended = swept.restarts, swept.converged, survey.summary.spread, swept.taken.moves
    return FirstFit(swept.fit.variational, task.priors, *ended)


def _from_before(task: FitTask, q: VariationalPosterior, before: VariationalPosterior) -> list[Restart]:
    """Goes on from the fit so far, its locations measured from the new centre; twice where it moves on a sample."""
    start = values_from(before, q.centre)
    stages = [
        dataclasses.replace(stage, num_starts=None)
        for stage in stages_of(q, task.survey, task.options, task.gap_columns)
    ]
    [restarts] = best_first(q, [StagedStarts([start], stages)])
    return [dataclasses.replace(restart, number=_GOING_ON) for restart in restarts]


def _together(going_on: list[Restart], restarts: list[Restart]) -> list[Restart]:
    """Lists restarts, best bound first; the one that goes on from the fit so far also where another is as good."""
    best = going_on[0].elbo
    is_best = np.isfinite(best) and not best < restarts[0].elbo - _SAME
    return [*going_on, *restarts] if is_best else [restarts[0], *going_on, *restarts[1:]]
