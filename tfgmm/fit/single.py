"""A fit with one number of components: restarts on a sample, the best of them over all rows, polishing if asked."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.words import counted
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends
from tfgmm.data.streamed import StreamedRows
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import Survey
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.callbacks import FitStep, FitWatcher, StopOnPlateau
from tfgmm.fit.options import FitOptions
from tfgmm.fit.plateau import PATIENCE
from tfgmm.fit.restarts import Restart, Stage, StagedStarts, best_first
from tfgmm.fit.result import FitResult
from tfgmm.mixture.odd_data import warn_of_odd_data
from tfgmm.mixture.priors import Priors
from tfgmm.model.batches import default_batch_size, ordered_batches
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.model.keras3 import keras

# Nats per row: a gain below it counts as none. A looser one once stopped 5.5 nats below the top, on a plateau.
_TOLERANCE = 1e-7
# After restarts that converged on a sample, what the other rows may still bring.
_TOLERANCE_AFTER_SAMPLE = 1e-5
# On a sample all restarts go on until gains fall below the first, and the best few until below the second.
_TOLERANCES_ON_SAMPLE, _NUM_CONTENDERS = (1e-3, 1e-4), 3
# The learning rate of polishing begins here: small beside the logarithms it moves, which are at their optimum already.
_POLISH_RATE = 5e-3


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
        callbacks: Keras callbacks.
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


def prepared_model(task: FitTask, num_components: int) -> GaussianMixtureModel:
    """Makes a model with the priors, the centre and the number of rows, compiled, its posterior untouched."""
    options, num_features = task.options, task.source.num_features
    model = GaussianMixtureModel(
        num_components, num_features, options.covariance, options.weights, task.priors, options.seed
    )
    model.compile()
    model.adapt_to(task.survey.summary)
    odd = task.survey.sample, task.survey.summary, model.priors, num_components, options.covariance
    warn_of_odd_data(*odd, stacklevel=5)  # the line that calls `fit_mixture`
    return model


def fit_prepared(task: FitTask, model: GaussianMixtureModel) -> FitResult:
    """Fits a prepared model: restarts on the sample, sweeps of the best over all rows, polishing if asked."""
    options = task.options
    validation = _opened_validation(task, model)
    restarts = ascend_from_starts(task, model)
    _check_finite(restarts[0].elbo, "after the restarts")
    model.posterior.assign(restarts[0].values)
    plateau = StopOnPlateau(
        options.tolerance or (_TOLERANCE_AFTER_SAMPLE if task.is_sample else _TOLERANCE),
        patience=1 if task.is_sample else PATIENCE,
    )
    batches = model.batches_of(task.source, options.batch_size)
    history = model.train_on(
        batches,
        epochs=options.max_sweeps,
        callbacks=[plateau, *(task.callbacks or ())],
        validation_data=_batches_for_validation(model, validation),
        verbose=0,
    ).history
    was_stopped = model.stop_training  # polishing forgets it
    if options.polish_steps:
        _polish(model, task.source, options.polish_steps)
    figures = model.bound_and_log_likelihoods(batches)
    _check_finite(figures[0], "after the sweeps over all rows")
    if not plateau.converged and not was_stopped:
        warnings.warn(
            f"the bound was still rising by more than {plateau.tolerance:.1g} nats per row after "
            f"{counted(options.max_sweeps, 'sweep')}. Raise max_sweeps, or tolerance.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return FitResult(model, *figures, history, tuple(restarts), plateau.converged)


def ascend_from_starts(task: FitTask, model: GaussianMixtureModel) -> list[Restart]:
    """Takes all starts to their optima on the sample, best first; the model stays as it is, but for its N."""
    options = task.options
    restarts = options.restarts if isinstance(options.start, str) else 1  # equal locations lead to equal optima
    seeds = [(model.seed + number) % 2**63 for number in range(restarts)]
    spread = np.array(task.survey.summary.spread)
    starts = model.posterior.start_values(task.survey.sample, spread, options.start, seeds)
    stages = stages_of(model, task.survey, options)

    def tell(number: int, count: int) -> None:
        task.tell("start", number, count, model.num_components)

    return best_first(model.natural_gradient, [StagedStarts(starts, stages)], tell)[0]


def stages_of(model: GaussianMixtureModel, survey: Survey, options: FitOptions) -> list[Stage]:
    """Lists the stages of restarts: all rows where they are few; else a sample, first coarsely, then more finely."""
    num_data = survey.summary.num_data
    rows = centre_rows(survey.sample, model.centre, name="data")
    last = Stage(
        rows=CachedRows(model.posterior.form, rows, num_data),
        centre=tf.convert_to_tensor(model.posterior.centre),
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


def _opened_validation(task: FitTask, model: GaussianMixtureModel) -> RowSource | None:
    validation = model.open_validation(task.options.validation_data, task.source)
    if validation is not None:
        check_ends(validation, None, "Use .take(n), or remove .repeat().")
    return validation


def _batches_for_validation(model: GaussianMixtureModel, validation: RowSource | None) -> tf.data.Dataset | None:
    if validation is None:
        return None
    batch_size = default_batch_size(model.num_data, model.num_components, model.num_features)
    return ordered_batches(validation, model.centre, batch_size)


def _polish(model: GaussianMixtureModel, source: RowSource, num_steps: int) -> None:
    """Follows gradients of the marginal bound for `num_steps` steps, from where the model stands."""
    if isinstance(source, StreamedRows):
        source = source.repeated()  # as many steps as asked for, whatever its length
    rate = keras.optimizers.schedules.CosineDecay(_POLISH_RATE, num_steps)
    model.compile(keras.optimizers.Adam(rate))
    model.train_on(model.batches_of(source, steps_per_epoch=num_steps), epochs=1, verbose=0)


def _check_finite(elbo: float, when: str) -> None:
    if not math.isfinite(elbo):
        raise FloatingPointError(
            f"The bound must stay finite. Received: {elbo} {when}. Drop rows that are far from all others, or state "
            "priors=tfgmm.Priors(...) that are less vague."
        )
