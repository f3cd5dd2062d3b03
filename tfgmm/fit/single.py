"""A fit with one number of components: restarts on a sample, the best of them over all rows, polishing if asked."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.data import sources as door
from tfgmm.data.summary import centre as centre_rows
from tfgmm.fit import restarts as search
from tfgmm.fit.cached_rows import HeldRows
from tfgmm.fit.callbacks import FitStep, FitWatcher, StopOnPlateau
from tfgmm.fit.result import FitResult
from tfgmm.fit.summary import counted
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.starts import warn_of_odd_data
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.model.keras3 import keras

# Nats per row: a gain below it counts as none. A looser one once stopped 5.5 nats below the top, on a plateau.
_TOLERANCE = 1e-7
# After restarts that converged on a sample, what the other rows may still bring.
_TOLERANCE_AFTER_SAMPLE = 1e-5
# On a sample all restarts climb to gains of the first, and the best few to the second.
_TOLERANCES_ON_SAMPLE, _NUM_CONTENDERS = (1e-3, 1e-4), 3
# The learning rate of polishing begins here: small beside the logarithms it moves, which are at their optimum already.
_POLISH_RATE = 5e-3


class ConvergenceWarning(UserWarning):
    """The bound was still rising when the last sweep allowed was done."""


@dataclasses.dataclass(frozen=True, eq=False)
class FitTask:
    """What fits with any number of components share: opened data, and the arguments of `fit_mixture`, checked."""

    source: door.Source
    survey: door.Survey
    priors: Priors
    covariance: str
    weights: str
    restarts: int
    seed: int
    batch_size: int | None
    max_sweeps: int
    tolerance: float | None
    validation_data: Any
    callbacks: Sequence[Any]
    polish_steps: int
    start: Any
    place: tuple[int, int] = (1, 1)

    def tell(self, kind: str, number: int, count: int, num_components: int) -> None:
        """Returns nothing; tells the callbacks that want to know what is about to be done."""
        step = FitStep(kind, number, count, num_components, self.place)
        for callback in self.callbacks or ():
            if isinstance(callback, FitWatcher):
                callback.on_step(step)


def prepared_model(task: FitTask, num_components: int) -> GaussianMixtureModel:
    """Returns a model with the priors, the centre and the number of rows, compiled, its posterior untouched."""
    num_features = door.num_columns(task.source)
    model = GaussianMixtureModel(num_components, num_features, task.covariance, task.weights, task.priors, task.seed)
    model.compile()
    model.adapt_to(task.survey.summary)
    odd = task.survey.sample, task.survey.summary, model.priors, num_components, task.covariance
    warn_of_odd_data(*odd, stacklevel=6)  # the line that calls `fit_mixture`
    return model


def fitted(task: FitTask, model: GaussianMixtureModel) -> FitResult:
    """Returns the fit that restarts on the sample and sweeps over all rows lead to."""
    validation = model.open_validation(task.validation_data, task.source)
    if validation is not None:
        door.check_ends(validation, "validation_data", None, "Use .take(n), or remove .repeat().")
    found = climb_from_starts(task, model)
    _check_finite(found[0].elbo, "after the restarts")
    model.posterior.assign(found[0].values)
    is_sample = len(task.survey.sample) < task.survey.summary.num_data
    plateau = StopOnPlateau(
        task.tolerance or (_TOLERANCE_AFTER_SAMPLE if is_sample else _TOLERANCE),
        patience=1 if is_sample else search.PATIENCE,
    )
    batches = model.batches_of(task.source, task.batch_size)
    history = model.train_on(
        batches,
        epochs=task.max_sweeps,
        callbacks=[plateau, *(task.callbacks or ())],
        validation_data=_batches_for_validation(model, validation),
        verbose=0,
    ).history
    was_stopped = model.stop_training  # polishing forgets it
    if task.polish_steps:
        _polish(model, task.source, task.polish_steps)
    figures = model.bound_and_log_likelihoods(batches)
    _check_finite(figures[0], "after the sweeps over all rows")
    if not plateau.converged and not was_stopped:
        warnings.warn(
            f"the bound was still rising by more than {plateau.tolerance:.1g} nats per row after "
            f"{counted(task.max_sweeps, 'sweep')}. Raise max_sweeps, or tolerance.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return FitResult(model, *figures, history, tuple(found), plateau.converged)


def climb_from_starts(task: FitTask, model: GaussianMixtureModel) -> list[search.Restart]:
    """Returns the restarts on the sample, best first; the model stays as it is, but for its number of rows."""
    restarts = task.restarts if isinstance(task.start, str) else 1  # from the same locations all would be the same
    seeds = [(model.seed + number) % 2**63 for number in range(restarts)]
    spread = np.array(task.survey.summary.spread)
    starts = model.posterior.start_values(task.survey.sample, spread, task.start, seeds)
    hills = hills_of(model, task.survey, task.max_sweeps, task.tolerance)

    def tell(number: int, count: int) -> None:
        task.tell("start", number, count, model.num_components)

    return search.best_first(model.natural_gradient, [search.Search(starts, hills)], tell)[0]


def hills_of(
    model: GaussianMixtureModel, survey: door.Survey, max_sweeps: int, tolerance: float | None
) -> list[search.Hill]:
    """Returns what restarts climb: all rows where they are few; else a sample, first coarsely, then to its top."""
    num_data = survey.summary.num_data
    rows = centre_rows(survey.sample, model.centre, name="data")
    top = search.Hill(
        rows=HeldRows(model.posterior.form, rows, num_data),
        centre=tf.convert_to_tensor(model.posterior.centre),
        largest=np.abs(rows).max(axis=0).astype(np.float64),
        max_sweeps=max_sweeps,
        tolerance=tolerance or _TOLERANCE,
    )
    if len(rows) == num_data:
        return [top]
    # The sweeps over all rows go on from here, so the last gains on the sample are left to them
    coarse, fine = (max(least, tolerance or 0.0) for least in _TOLERANCES_ON_SAMPLE)
    hill = dataclasses.replace(top, tolerance=coarse, patience=1)
    return [hill, dataclasses.replace(hill, tolerance=fine, num_climbers=_NUM_CONTENDERS)]


def _batches_for_validation(model: GaussianMixtureModel, validation: door.Source | None) -> tf.data.Dataset | None:
    if validation is None:
        return None
    batch_size = door.default_batch_size(model.num_data, model.num_components, model.num_features)
    return door.ordered_batches(validation, model.centre, batch_size, name="validation_data")


def _polish(model: GaussianMixtureModel, source: door.Source, num_steps: int) -> None:
    """Returns nothing; follows gradients of the marginal bound for `num_steps` steps, from where the model stands."""
    if isinstance(source, tf.data.Dataset):
        source = source.repeat()  # as many steps as asked for, whatever its length
    rate = keras.optimizers.schedules.CosineDecay(_POLISH_RATE, num_steps)
    model.compile(keras.optimizers.Adam(rate))
    model.train_on(model.batches_of(source, steps_per_epoch=num_steps), epochs=1, verbose=0)


def _check_finite(elbo: float, when: str) -> None:
    if not math.isfinite(elbo):
        raise FloatingPointError(
            f"The bound must stay finite. Received: {elbo} {when}. Drop rows that are far from all others, or state "
            "priors=tfgmm.Priors(...) that are less vague."
        )
