"""Six groups of rows, and a start that sweeps do not lead out of: one component has two groups, one group has two."""

from __future__ import annotations

import dataclasses

import numpy as np

import tfgmm
from tfgmm.data.blocks import RowBlock
from tfgmm.data.readers import Rows
from tfgmm.data.survey import survey_rows
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.labels import start_at_labels
from tfgmm.fit.moves.divisions import FilledRows
from tfgmm.fit.moves.swaps import prospect_at
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import ascend
from tfgmm.fit.stages import stages_of

PLACES = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0], [20.0, 5.0]])
GROUPS = np.arange(600) % 6
ROWS = PLACES[GROUPS] + 0.5 * np.random.default_rng(3).standard_normal((600, 2))
# One component has the first two groups, and the fifth group has two components
STUCK = np.where(GROUPS == 1, 0, np.where((GROUPS == 4) & (ROWS[:, 0] > 10.0), 1, GROUPS))


def posterior_and_stage(covariance="diag", weights="dirichlet", block=None, num_components=6, gap_columns=()):
    """Returns an untouched posterior, and a stage that has the rows."""
    survey = survey_rows(Rows(ROWS), None, 0)
    priors = tfgmm.Priors.from_data(survey.summary, covariance, sample=survey.sample)
    q = VariationalPosterior.of(covariance, weights, num_components, 2, priors)
    q.assign(q.values_of(q.random_start(0)))
    q.move_centre(survey.summary.centre)
    q.observe_gaps(gap_columns)
    *_, stage = stages_of(q, survey, FitOptions(tolerance=1e-6))
    if block is not None:
        rows = CachedRows(q.form, RowBlock((block - q.centre).astype(np.float32)), None, gap_columns)
        stage = dataclasses.replace(stage, rows=rows)
    return q, stage


def somewhere(q, stage, seed=0):
    """Returns numbers behind q after a few sweeps from random rows: components overlap."""
    [start] = q.start_values(stage.rows.values.astype(np.float64), np.ones(2), "random", [seed])
    return ascend(q, [(start, dataclasses.replace(stage, max_sweeps=4))])[0].values


def stuck_prospect():
    """Returns a posterior, the stage, where the stuck start ends, and what is known of its components."""
    q, stage = posterior_and_stage()
    start = start_at_labels(q, Rows(ROWS), STUCK, np.array(survey_rows(Rows(ROWS), None, 0).summary.spread))
    end = ascend(q, [(start, stage)])[0]
    prospect = prospect_at(q, end.values, stage, FilledRows.of(stage.rows.block), 0)
    return q, stage, end, prospect
