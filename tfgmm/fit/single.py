"""A fit with one number of components: restarts on a sample, the best of them over all rows, polishing if asked."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit import keras_model
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.callbacks import FitStep, FitWatcher, StopOnPlateau, SweepCallback
from tfgmm.fit.options import FitOptions
from tfgmm.fit.plateau import PATIENCE
from tfgmm.fit.restarts import Restart, Stage, StagedStarts, best_first
from tfgmm.fit.result import FitResult
from tfgmm.fit.sweep_batches import Batches, CachedBatch, SweepBatches, validation_batches
from tfgmm.fit.sweeps import RunningFit, bound_and_log_likelihoods, sweep
from tfgmm.mixture.odd_data import warn_of_odd_data
from tfgmm.mixture.priors import Priors

# Nats per row: a gain below it counts as none. A looser one once stopped 5.5 nats below the top, on a plateau.
_TOLERANCE = 1e-7
# After restarts that converged on a sample, what the other rows may still bring.
_TOLERANCE_AFTER_SAMPLE = 1e-5
# On a sample all restarts go on until gains fall below the first, and the best few until below the second.
_TOLERANCES_ON_SAMPLE, _NUM_CONTENDERS = (1e-3, 1e-4), 3


class ConvergenceWarning(UserWarning):
    """The bound was still rising when the last sweep allowed was done."""


@dataclasses.dataclass(frozen=True, eq=False)
class FitTask:
    """What fits with any number of components share.

    Args:
        source: The opened data.
        survey: Summary and sample of them.
        priors: Priors in data units, also where the options ask for "auto".
        options: The options of `fit_mixture`.
        callbacks: Callbacks of ours, and of Keras's.
        place: (m, M): this is the m-th of M numbers of components, counted from 1.
    """

    source: RowSource
    survey: Survey
    priors: Priors
    options: FitOptions
    callbacks: Sequence[Any]
    place: tuple[int, int] = (1, 1)

    @property
    def is_sample(self) -> bool:
        """Whether the survey's sample has fewer rows than the data."""
        return len(self.survey.sample) < self.survey.summary.num_data

    def tell(self, kind: str, number: int, count: int, num_components: int) -> None:
        """Calls `on_step` of the callbacks that watch the fit, before a step."""
        step = FitStep(kind, number, count, num_components, self.place)
        for callback in self.callbacks or ():
            if isinstance(callback, FitWatcher):
                callback.on_step(step)


def prepared_fit(task: FitTask, num_components: int) -> RunningFit:
    """Makes a fit with the priors, the centre and the number of rows, its posterior untouched."""
    options, summary = task.options, task.survey.summary
    task.priors.check_sizes(num_components, task.source.num_features)
    sizes = num_components, task.source.num_features
    q = VariationalPosterior.of(options.covariance, options.weights, *sizes, task.priors)
    q.assign(q.values_of(q.random_start(options.seed)))
    q.move_centre(summary.centre)
    odd = task.survey.sample, summary, task.priors, num_components, options.covariance
    warn_of_odd_data(*odd, stacklevel=6)  # the line that calls `fit_mixture`
    return RunningFit(q, task.priors, options.seed, summary)


def fit_prepared(task: FitTask, fit: RunningFit) -> FitResult:
    """Fits a prepared fit: restarts on the sample, sweeps of the best over all rows, polishing if asked."""
    options = task.options
    validation = _opened_validation(task)
    stages = stages_of(fit.variational, task.survey, options)
    restarts = ascend_from_starts(task, fit, stages)
    _check_finite(restarts[0].elbo, "after the restarts")
    fit.variational.assign(restarts[0].values)
    plateau = StopOnPlateau(
        options.tolerance or (_TOLERANCE_AFTER_SAMPLE if task.is_sample else _TOLERANCE),
        patience=1 if task.is_sample else PATIENCE,
    )
    batches = _batches(task, fit, stages[-1].rows)
    history = _swept(task, fit, batches, plateau, validation)
    if options.polish_steps:
        keras_model.polish(fit, task.source, options.polish_steps)
    figures = bound_and_log_likelihoods(fit.variational, batches)
    _check_finite(figures[0], "after the sweeps over all rows")
    if not plateau.converged and not fit.stop_training:
        warnings.warn(
            f"the bound was still rising by more than {plateau.tolerance:.1g} nats per row after "
            f"{counted(options.max_sweeps, 'sweep')}. Raise max_sweeps, or tolerance.",
            ConvergenceWarning,
            stacklevel=5,
        )
    mixture = fit.variational, fit.priors, fit.seed, fit.data_summary
    return FitResult(*mixture, *figures, history, tuple(restarts), plateau.converged, fit.model)


def _swept(
    task: FitTask, fit: RunningFit, batches: Batches, plateau: StopOnPlateau, validation: RowSource | None
) -> dict[str, list[float]]:
    """Sweeps over all rows; by Keras where a callback is one of Keras's, which wants a Keras model to look at."""
    callbacks, options = [plateau, *(task.callbacks or ())], task.options
    if all(isinstance(callback, SweepCallback) for callback in callbacks):
        held_out = validation_batches(validation, fit.variational)
        return sweep(fit, batches, callbacks, options.max_sweeps, held_out)
    return keras_model.sweep(fit, task.source, options, callbacks, validation)


def _batches(task: FitTask, fit: RunningFit, sample: CachedRows) -> Batches:
    """Makes the batches of all rows; where the restarts have seen them all, their features are at hand."""
    batch_size = task.options.batch_size
    if task.source.is_in_memory and not task.is_sample and (batch_size is None or batch_size >= len(sample)):
        return CachedBatch(sample, fit.variational)
    return SweepBatches(task.source, fit.variational, batch_size)


def ascend_from_starts(task: FitTask, fit: RunningFit, stages: Sequence[Stage]) -> list[Restart]:
    """Takes all starts to their optima on the sample, best first; the fit stays as it is."""
    options, q = task.options, fit.variational
    restarts = options.restarts if isinstance(options.start, str) else 1  # equal locations lead to equal optima
    seeds = [(fit.seed + number) % 2**63 for number in range(restarts)]
    starts = q.start_values(task.survey.sample, np.array(task.survey.summary.spread), options.start, seeds)

    def tell(number: int, count: int) -> None:
        task.tell("start", number, count, q.num_components)

    return best_first(q, [StagedStarts(starts, stages)], tell)[0]


def stages_of(q: VariationalPosterior, survey: Survey, options: FitOptions) -> list[Stage]:
    """Lists the stages of restarts: all rows where they are few; else a sample, first coarsely, then more finely."""
    num_data = survey.summary.num_data
    rows = centre_rows(survey.sample, q.centre, name="data")
    last = Stage(
        rows=CachedRows(q.form, rows, num_data),
        centre=q.centre,
        largest=np.abs(rows).max(axis=0).astype(np.float64),
        max_sweeps=options.max_sweeps,
        tolerance=options.tolerance or _TOLERANCE,
    )
    if len(rows) == num_data:
        return [last]
    # The sweeps over all rows go on from here, so the last gains on the sample are left to them
    coarse, fine = (max(least, options.tolerance or 0.0) for least in _TOLERANCES_ON_SAMPLE)
    stage = dataclasses.replace(last, tolerance=coarse, patience=1)
    return [stage, dataclasses.replace(stage, tolerance=fine, num_starts=_NUM_CONTENDERS)]


def _opened_validation(task: FitTask) -> RowSource | None:
    """Opens the rows to validate on, in the columns of the data; None for None."""
    if task.options.validation_data is None:
        return None
    names, num_features = task.source.column_names, task.source.num_features
    validation = open_source(task.options.validation_data, "validation_data", num_features, names)
    check_ends(validation, None, "Use .take(n), or remove .repeat().")
    return validation


def _check_finite(elbo: float, when: str) -> None:
    if not math.isfinite(elbo):
        raise FloatingPointError(
            f"The bound must stay finite. Received: {elbo} {when}. Drop rows that are far from all others, or state "
            "priors=tfgmm.Priors(...) that are less vague."
        )
