"""The stages that restarts go through: how finely, how many of them, and whether components move between."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.moves.when import move_rule
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import Stage

# Nats per row: a gain below it counts as none. A looser one once stopped 5.5 nats below the top, on a plateau.
TOLERANCE = 1e-7
# All restarts go on until gains fall below this; the best few then until below the one above.
_COARSE_TOLERANCE = 1e-5
# So few are at their optimum before a second stage is worth while.
_FEW_COMPONENTS = 2
# On a sample all restarts go on until gains fall below the first, and the best few until below the second.
_TOLERANCES_ON_SAMPLE, _NUM_CONTENDERS = (1e-3, 1e-4), 3


def stages_of(
    q: VariationalPosterior, survey: Survey, options: FitOptions, gap_columns: Sequence[int] = ()
) -> list[Stage]:
    """Lists the stages of restarts, on all rows where they are few, else on a sample: coarsely, then more finely."""
    rows = survey.rows._replace(values=centre_rows(survey.sample, q.centre, name="data"))
    last = Stage(
        rows=CachedRows(q.form, rows, survey.summary.num_data, gap_columns),
        centre=q.centre,
        largest=np.fmax.reduce(np.abs(rows.values), axis=0, initial=0.0).astype(np.float64),
        max_sweeps=options.max_sweeps,
        tolerance=options.tolerance or TOLERANCE,
        is_sample=survey.is_sample,
    )
    moves = move_rule(q, survey, options)
    if not survey.is_sample and q.num_components <= _FEW_COMPONENTS and moves is None:
        return [last]
    if not survey.is_sample:
        first = dataclasses.replace(last, tolerance=max(_COARSE_TOLERANCE, options.tolerance or 0.0))
        return [first, dataclasses.replace(last, num_starts=_NUM_CONTENDERS, moves=moves)]
    # The sweeps over all rows go on from here, so the last gains on the sample are left to them
    coarse, fine = (max(least, options.tolerance or 0.0) for least in _TOLERANCES_ON_SAMPLE)
    stage = dataclasses.replace(last, tolerance=coarse, patience=1)
    return [stage, dataclasses.replace(stage, tolerance=fine, num_starts=_NUM_CONTENDERS, moves=moves)]
