"""Which restart a fit goes on from: of those whose bounds are near the best, the one with the largest evidence.

The bound of a mixture lies the farther below the evidence the more its components overlap, so that of two optima it
may prefer the one that is less probable, if its components stand apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfgmm.common.threads import one_thread_each
from tfgmm.data.summary import centre as centre_rows
from tfgmm.families import NearbyEvidence, can_be_ranked, evidence_near, mode_near
from tfgmm.fit.ranking import Ranking
from tfgmm.fit.restarts import Restart
from tfgmm.fit.single import Ascended, FitTask, Swept, prepared_fit, swept_fit
from tfgmm.fit.stages import stages_of
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.posterior.record import MEAN_FIELD

# Nats below the best bound that the price of overlap may make up for, and how many optima are ranked
_NEAR, _MOST_RANKED = 10.0, 4
# Nats by which the same optimum differs from itself, and for each row, as starts that are given up stop early
_SAME, _SAME_PER_ROW, _SAME_PER_ROW_OF_SAMPLES = 1e-3, 1e-5, 1e-4
# Share of a weight, and of the spread of a column, by which it differs
_ALIKE = 0.01


class _SampleOfRows:
    """The rows of a sample, each as often as it stands for rows of the whole."""

    def __init__(self, task: FitTask, swept: Swept) -> None:
        q, rows = swept.fit.variational, task.survey.rows
        weights = np.ones(len(rows.values)) if rows.weights is None else rows.weights
        block = rows._replace(
            values=centre_rows(rows.values, q.centre, name="data"),
            weights=weights * (task.survey.summary.num_data / weights.sum()),
        )
        self.gap_columns = task.gap_columns
        self._groups = RowGroups(q.form, block, task.gap_columns)

    def groups(self) -> list[RowGroups]:
        """Returns the rows, sorted."""
        return [self._groups]


def by_evidence(task: FitTask, swept: Swept) -> Swept:
    """Goes on from the restart with the largest evidence near it, where an exact posterior was asked for.

    Of restarts that ended up to 10 nats below the best bound, at most four that ended at different optima are ranked:
    each climbs to the mode of the exact posterior, and is weighed there by three stages of importance sampling
    (Laplace's approximation where these cost too much; nothing is ranked where that costs too much as well). Of a
    sample each row counts as often as it stands for rows. Another than the best by bound must be ahead by twice the
    Monte-Carlo error.

    Args:
        task: What is fitted to.
        swept: The fit from the restart with the best bound.
    """
    num_rows = len(task.survey.rows.values)
    if task.options.posterior == MEAN_FIELD or not can_be_ranked(swept.fit.variational, num_rows):
        return swept
    optima = different_optima(task, swept.restarts)
    if len(optima) < 2:
        return swept
    with one_thread_each():  # products are small, and threads would wait for each other
        ranking = _ranked(task, swept, optima, num_rows)
    if len(ranking.places) < 2:
        return swept
    if ranking.place == 0:
        return swept._replace(ranking=ranking)
    fit = prepared_fit(task, swept.fit.num_components)
    rows = stages_of(fit.variational, task.survey, task.options, task.gap_columns)[-1].rows
    other = swept_fit(task, fit, Ascended([swept.restarts[ranking.place]], [], rows))
    return other._replace(restarts=swept.restarts, ranking=ranking)


def different_optima(task: FitTask, restarts: Sequence[Restart]) -> list[int]:
    """Lists the places of restarts with bounds near the best that ended at different optima, four at most."""
    found: list[int] = []
    for place, restart in enumerate(restarts):
        is_near = restart.elbo >= restarts[0].elbo - _NEAR
        if is_near and not any(_are_same(task, restart, restarts[other]) for other in found):
            found.append(place)
    return found[:_MOST_RANKED]


def _are_same(task: FitTask, one: Restart, other: Restart) -> bool:
    """Tells whether two restarts ended at one optimum, in whatever order their components stand."""
    per_row = _SAME_PER_ROW_OF_SAMPLES if task.is_sample else _SAME_PER_ROW
    if abs(one.elbo - other.elbo) > max(_SAME, per_row * task.survey.summary.num_data):
        return False
    spread = np.array(task.survey.summary.spread)
    weights = np.sort(one.weights) - np.sort(other.weights)
    steps = np.sort(one.locs, axis=0) - np.sort(other.locs, axis=0)
    return bool((np.abs(weights) < _ALIKE).all() and (np.abs(steps) < _ALIKE * spread).all())


def _ranked(task: FitTask, swept: Swept, optima: Sequence[int], num_rows: int) -> Ranking:
    """Estimates the evidence near optima; of two that climb to the same mode the first is kept."""
    q, seed = swept.fit.variational, task.options.seed
    rows = _SampleOfRows(task, swept) if task.is_sample else swept.batches
    places: list[int] = []
    laplace: list[float] = []
    found: list[NearbyEvidence] = []
    for number, place in enumerate(optima, 1):
        task.tell("posterior: restarts", number, len(optima), q.num_components)
        posterior = q.at(swept.restarts[place].values)
        mode = mode_near(posterior, rows)
        if mode is None or any(abs(mode.log_evidence - other) < _SAME for other in laplace):
            continue
        places.append(place)
        laplace.append(mode.log_evidence)
        found.append(evidence_near(posterior, rows, mode, num_rows, seed))
    return Ranking.of(places, [one.log_evidence for one in found], [one.error for one in found])
