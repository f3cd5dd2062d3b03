"""A fit with one number of components: restarts on a sample, the best of them over all rows, polishing if asked."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.words import beside, counted
from tfgmm.data.row_source import RowSource
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import Survey
from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit import keras_model
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.callbacks import FitStep, FitWatcher, StopOnPlateau, SweepCallback
from tfgmm.fit.cross_validation import NUM_STARTS, Folds, candidates_of_folds
from tfgmm.fit.labels import check_labels, is_labels, start_at_labels
from tfgmm.fit.moves.over_all_rows import better_over_all_rows
from tfgmm.fit.moves.when import move_rule
from tfgmm.fit.occupied import occupied_widths
from tfgmm.fit.options import FitOptions
from tfgmm.fit.plateau import PATIENCE
from tfgmm.fit.ranking import Ranking
from tfgmm.fit.restarts import Restart, Stage
from tfgmm.fit.result import FitResult
from tfgmm.fit.screening import Candidates, candidates, screened
from tfgmm.fit.staged import StagedStarts, best_first
from tfgmm.fit.sweep_batches import Batches, CachedBatch, batches_over
from tfgmm.fit.sweeps import RunningFit, bound_and_log_likelihoods, sweep
from tfgmm.mixture.hidden_values import shares_hidden
from tfgmm.mixture.priors import Priors

# Nats per row: a gain below it counts as none. A looser one once stopped 5.5 nats below the top, on a plateau.
_TOLERANCE = 1e-7
# All restarts go on until gains fall below this; the best few then until below the one above.
_COARSE_TOLERANCE = 1e-5
# So few are at their optimum before a second stage is worth while.
_FEW_COMPONENTS = 2
# After restarts that converged on a sample, what the other rows may still bring.
_TOLERANCE_AFTER_SAMPLE = 1e-5
# On a sample all restarts go on until gains fall below the first, and the best few until below the second.
_TOLERANCES_ON_SAMPLE, _NUM_CONTENDERS = (1e-3, 1e-4), 3


class ConvergenceWarning(UserWarning):
    """The bound was still rising when the last sweep allowed was done."""


@dataclasses.dataclass(frozen=True, eq=False)
class FitTask:
    """What fits of one covariance shape share, whatever their number of components.

    Args:
        source: The opened data.
        survey: Summary and sample of them.
        priors: Priors in data units, also where the options ask for "auto".
        options: The options of `fit_mixture`, with one covariance shape.
        callbacks: Callbacks of ours, and of Keras's.
        validation: Rows to validate on, opened; or None.
        place: (m, M): This is the m-th of M fits that are compared, counted from 1.
        gap_columns: Columns in which some rows, also of those to validate on, have no value.
    """

    source: RowSource
    survey: Survey
    priors: Priors
    options: FitOptions
    callbacks: Sequence[Any]
    validation: RowSource | None
    place: tuple[int, int] = (1, 1)
    gap_columns: tuple[int, ...] = ()

    @property
    def covariance(self) -> str:
        """The covariance shape."""
        [shape] = self.options.shapes(self.source.num_features)
        return shape

    @property
    def is_sample(self) -> bool:
        """Whether the survey's sample has fewer rows than the data."""
        return self.survey.is_sample

    @property
    def tolerance(self) -> float:
        """Nats per row: a gain of a sweep over all rows below it counts as none."""
        return self.options.tolerance or (_TOLERANCE_AFTER_SAMPLE if self.is_sample else _TOLERANCE)

    def num_restarts(self, num_components: int) -> int:
        """Says how many starts are tried with K components."""
        return self.options.num_restarts(num_components, self.is_sample)

    def tell(self, kind: str, number: int, count: int, num_components: int) -> None:
        """Calls `on_step` of the callbacks that watch the fit, before a step."""
        step = FitStep(kind, number, count, num_components, self.place, self.covariance)
        for callback in self.callbacks or ():
            if isinstance(callback, FitWatcher):
                callback.on_step(step)


def check_suits(task: FitTask, num_components: int) -> None:
    """Checks that the priors suit the covariance shape and the sizes.

    Raises:
        ValueError: They do not.
    """
    _posterior(task, num_components)


def _posterior(task: FitTask, num_components: int) -> VariationalPosterior:
    sizes = num_components, task.source.num_features
    task.priors.check_sizes(*sizes)
    return VariationalPosterior.of(task.covariance, task.options.weights, *sizes, task.priors)


def prepared_fit(task: FitTask, num_components: int) -> RunningFit:
    """Makes a fit with the priors, the centre and the number of rows, its posterior untouched."""
    options, summary = task.options, task.survey.summary
    q = _posterior(task, num_components)
    q.assign(q.values_of(q.random_start(options.seed)))
    q.move_centre(summary.centre)
    q.observe_gaps(task.gap_columns)
    return RunningFit(q, task.priors, options.seed, summary)


class Ascended(NamedTuple):
    """Where the starts of a fit ended on the sample, and those of the fits without each fold beside them, best first.

    restarts: Of the fit.
    without_folds: Of the fit without each fold; empty where nothing is held out.
    rows: The sample.
    """

    restarts: Sequence[Restart]
    without_folds: Sequence[Sequence[Restart]]
    rows: CachedRows


class Swept(NamedTuple):
    """A fit after its sweeps over all rows, before anything is said of it.

    fit: Its q stands where the sweeps ended.
    batches: All rows.
    figures: Its bound, and both log likelihoods at its means, nats.
    history: Logs of the sweeps by name.
    restarts: All restarts, best first.
    converged: Whether the bound had stopped rising.
    taken: The restart that the fit goes on from.
    ranking: How restarts rank by their evidence; None where the best bound decided.
    """

    fit: RunningFit
    batches: Batches
    figures: tuple[float, float, float]
    history: dict[str, list[float]]
    restarts: tuple[Restart, ...]
    converged: bool
    taken: Restart
    ranking: Ranking | None = None

    @property
    def elbo(self) -> float:
        """Its bound, nats."""
        return self.figures[0]


def swept_fit(task: FitTask, fit: RunningFit, ascended: Ascended) -> Swept:
    """Sweeps over all rows from the best restart; warns of nothing, so that several may be compared.

    Raises:
        FloatingPointError: The bound became NaN or infinite.
    """
    restarts = ascended.restarts
    _check_finite(restarts[0].elbo, "after the restarts")
    batches = batches_of(task, fit.variational, ascended.rows)
    if task.is_sample:
        restarts = better_over_all_rows(fit.variational, batches, restarts)
    fit.variational.assign(restarts[0].values)
    plateau = StopOnPlateau(task.tolerance, patience=1 if task.is_sample else PATIENCE)
    history = _swept(task, fit, batches, plateau)
    return Swept(fit, batches, _figures(fit, batches), history, tuple(restarts), plateau.converged, restarts[0])


def _figures(fit: RunningFit, batches: Batches) -> tuple[float, float, float]:
    figures = bound_and_log_likelihoods(fit.variational, batches)
    fit.note_bound(figures[0])
    _check_finite(figures[0], "after the sweeps over all rows")
    return figures


def finished(task: FitTask, swept: Swept) -> FitResult:
    """Polishes a fit, if asked, and warns where its bound was still rising."""
    fit, figures = swept.fit, swept.figures
    if task.options.polish_steps:
        keras_model.polish(fit, task.source, task.options.polish_steps)
        figures = _figures(fit, swept.batches)
    if not swept.converged and not fit.stop_training:
        category = task.options.convergence_warning or ConvergenceWarning
        warnings.warn(_not_converged(task, swept.history["elbo"], figures[0]), category, stacklevel=5)
    mixture, ended = (fit.variational, fit.priors, fit.seed, fit.data_summary), (swept.history, swept.restarts)
    has_noise, rows = task.survey.noise is not None, task.survey.rows
    hidden = shares_hidden(occupied_widths(fit.variational), rows) if has_noise else ()
    sums = fit.sums if fit.model is None else None
    beside: Any = {"hidden_by_noise": hidden, "ranking": swept.ranking, "sums": sums}
    beside["moves"] = swept.taken.moves
    return FitResult(*mixture, *figures, *ended, swept.converged, fit.model, **beside)


def _not_converged(task: FitTask, bounds: Sequence[float], last: float) -> str:
    """Says how much the bound gained in the last sweep that was allowed."""
    if task.options.polish_steps and len(bounds) > 1:  # which moved the last bound too
        last, bounds = bounds[-1], bounds[:-1]
    gain = (last - bounds[-1]) / task.survey.summary.num_data
    sweeps, names = counted(task.options.max_sweeps, "sweep"), map(task.options.name_of, ("max_sweeps", "tolerance"))
    fix = "Raise {}, or {}.".format(*names)
    if gain < task.tolerance:
        so_little = f"it gained less than {task.tolerance:.1g} nats per row, and {PATIENCE} in a row must"
        return f"after {sweeps} the bound has stopped rising by the last sweep alone: {so_little}. {fix}"
    return f"the bound was still rising by {beside(gain, task.tolerance, 2)} nats per row after {sweeps}. {fix}"


def _swept(task: FitTask, fit: RunningFit, batches: Batches, plateau: StopOnPlateau) -> dict[str, list[float]]:
    """Sweeps over all rows; by Keras where a callback is one of Keras's, which wants a Keras model to look at."""
    callbacks, options = [plateau, *(task.callbacks or ())], task.options
    if all(isinstance(callback, SweepCallback) for callback in callbacks):
        validation, q = task.validation, fit.variational
        held_out = None if validation is None else batches_over(validation, q, task.gap_columns)
        return sweep(fit, batches, callbacks, options.max_sweeps, held_out)
    return keras_model.sweep(fit, task.source, options, callbacks, task.validation)


def batches_of(task: FitTask, q: VariationalPosterior, sample: CachedRows) -> Batches:
    """Makes the batches of all rows; where the restarts have seen them all, their features are at hand."""
    batch_size = task.options.batch_size
    if task.source.is_in_memory and not task.is_sample and (batch_size is None or batch_size >= len(sample)):
        return CachedBatch(sample)
    return batches_over(task.source, q, task.gap_columns, batch_size)


def ascend_from_starts(task: FitTask, fit: RunningFit, folds: Folds | None = None) -> Ascended:
    """Takes all starts to their optima on the sample, with those of the fits without each fold beside them.

    The fit stays as it is.

    Args:
        task: What is fitted to.
        fit: Prepared fit.
        folds: Folds of the sample to hold out; None for none.
    """
    options, q, survey = task.options, fit.variational, task.survey
    stages, spread = stages_of(q, survey, options, task.gap_columns), np.array(survey.summary.spread)
    own = _candidates(task, fit, stages[-1])
    of_folds = [] if folds is None else candidates_of_folds(q, fit.seed, spread, folds, stages[-1], options.start)
    *of_folds_kept, starts = screened(q, [*(fold.candidates for fold in of_folds), own])
    groups = [StagedStarts(kept, fold.stages) for fold, kept in zip(of_folds, of_folds_kept)]
    num_folds, num_beside = len(groups), sum(len(group.starts) for group in groups)

    def tell(number: int, count: int) -> None:
        of_own = number - num_beside
        if of_own > 0:
            task.tell("start", of_own, count - num_beside, q.num_components)
        elif (number - 1) % NUM_STARTS == 0:
            task.tell("held out", (number - 1) // NUM_STARTS + 1, num_folds, q.num_components)

    *without_folds, restarts = best_first(q, [*groups, StagedStarts(starts, stages)], tell)
    return Ascended(restarts, without_folds, stages[-1].rows)


def _candidates(task: FitTask, fit: RunningFit, stage: Stage) -> Candidates:
    options, q, spread = task.options, fit.variational, np.array(task.survey.summary.spread)
    if isinstance(options.start, VariationalPosterior):
        return Candidates([values_from(options.start, q.centre)], stage, 1)
    if is_labels(options.start):
        labels = check_labels(options.start, task.survey.summary, q.num_components)
        return Candidates([start_at_labels(q, task.source, labels, spread)], stage, 1)
    return candidates(q, stage, spread, options.start, fit.seed, task.num_restarts(q.num_components))


def values_from(start: VariationalPosterior, centre: np.ndarray) -> Values:
    """Reads the numbers behind an earlier posterior, its locations measured from another centre, (D,) data units."""
    values = start.values()
    locs = values.components[0] + start.centre - centre
    return values._replace(components=(locs, *values.components[1:]))


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
        tolerance=options.tolerance or _TOLERANCE,
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


def _check_finite(elbo: float, when: str) -> None:
    if not math.isfinite(elbo):
        raise FloatingPointError(
            f"The bound must stay finite. Received: {elbo} {when}. Drop rows that are far from all others, or state "
            "priors=tfgmm.Priors(...) that are less vague."
        )
