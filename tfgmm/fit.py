"""The shortest way from rows to a fitted mixture: priors and starts from the data, restarts, sweeps to the optimum."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np
import tensorflow as tf

from tfgmm import data as door
from tfgmm import held_out, search
from tfgmm.callbacks import EndOfChoice, FitStep, FitWatcher, StopOnPlateau
from tfgmm.checks import check_choice, check_count, check_seed
from tfgmm.components import COMPONENTS
from tfgmm.density import score_data
from tfgmm.fit_result import FitResult
from tfgmm.initialize import warn_of_odd_data
from tfgmm.keras3 import keras
from tfgmm.model import GaussianMixtureModel
from tfgmm.priors import Priors
from tfgmm.selection import Selection
from tfgmm.summary import centre as centre_rows
from tfgmm.weights import WEIGHTS

Tensor = Any

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
class _Task:
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


@overload
def fit_mixture(
    data: Any,
    num_components: int,
    *,
    covariance: str = ...,
    weights: str = ...,
    priors: Priors | Literal["auto"] = ...,
    restarts: int = ...,
    seed: int = ...,
    batch_size: int | None = ...,
    max_sweeps: int = ...,
    tolerance: float | None = ...,
    validation_data: Any = ...,
    callbacks: Sequence[Any] = ...,
    polish_steps: int = ...,
    start: Any = ...,
) -> FitResult: ...


@overload
def fit_mixture(
    data: Any,
    num_components: Iterable[int],
    *,
    covariance: str = ...,
    weights: str = ...,
    priors: Priors | Literal["auto"] = ...,
    restarts: int = ...,
    seed: int = ...,
    batch_size: int | None = ...,
    max_sweeps: int = ...,
    tolerance: float | None = ...,
    validation_data: Any = ...,
    callbacks: Sequence[Any] = ...,
    polish_steps: int = ...,
    start: Any = ...,
) -> Selection: ...


def fit_mixture(
    data: Any,
    num_components: int | Iterable[int],
    *,
    covariance: str = "diag",
    weights: str = "dirichlet",
    priors: Priors | Literal["auto"] = "auto",
    restarts: int = 8,
    seed: int = 0,
    batch_size: int | None = None,
    max_sweeps: int = 200,
    tolerance: float | None = None,
    validation_data: Any = None,
    callbacks: Sequence[Any] = (),
    polish_steps: int = 0,
    start: Any = "k-means++",
) -> FitResult | Selection:
    """Returns the best of several closed-form fits of a Bayesian Gaussian mixture; a `Selection` for several K.

    One pass over the data takes a summary and a sample of 20,000 rows; restarts climb to their optima on the sample;
    the best by bound goes on with exact sweeps over all rows. The augmented bound never falls in them.

    Args:
        data: (N, D) rows of any kind that `GaussianMixtureModel.fit` takes: arrays, frames, paths of CSV, Parquet or
            Arrow files or folders, which may be larger than memory, or a tf.data dataset of known length.
        num_components: K; or several of them, such as range(1, 11): then all are fitted, with the same priors and held
            out rows, and what comes back is a `Selection`, with a table of criteria and a recommendation.
        covariance, weights, seed: as in `GaussianMixtureModel`.
        priors: `tfgmm.Priors` in data units, or "auto": `Priors.from_data`, which needs no units.
        restarts: starts to try, at least 1.
        batch_size: rows handed over at a time in sweeps over all rows; default about 64 K. It changes memory and
            speed, not the result.
        max_sweeps: at most so many per restart (per tolerance, on a sample), and over all rows.
        tolerance: nats per row; sweeps end after gains below it. Default 1e-7; over all rows after restarts on a
            sample 1e-5.
        validation_data: further rows, whose figures stand in `history` as val_loss and so on. With several K they are
            the held-out rows; without them five-fold cross-validation holds out every row once (of more than 20,000
            rows: a fifth of the sample, once), with a few restarts per fold.
        callbacks: Keras callbacks of the sweeps over all rows, of each K in turn; a `tfgmm.callbacks.FitWatcher` is
            told of held-out fits and restarts too, and can end a choice early.
        polish_steps: steps of Adam on the tighter marginal bound afterwards, with shrinking learning rate. For few
            rows: see `GaussianMixtureModel.compile`.
        start: "k-means++", "random" (rows), or, for one K, locations (K, D), data units; then restarts are not needed.

    Raises:
        ValueError: fewer rows than components, an argument out of its range, data that cannot be fitted.
        FloatingPointError: the bound became NaN or infinite.

    Warns:
        UserWarning: constant columns, fewer distinct rows than components, a few rows far from all others, and, for
            "full" and "tied", no more rows than columns.
        ConvergenceWarning: the bound was still rising after `max_sweeps` sweeps.

    Source: Bishop 2006, section 10.2; restarts and stopping rules measured in docs.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
    >>> result = tfgmm.fit_mixture(rows, 2, seed=1)
    >>> result.converged, result.num_occupied, sorted(result.model.locs.numpy().round(0).tolist())
    (True, 2, [[-3.0, 0.0], [3.0, 1.0]])
    """
    tried = _check_num_components(num_components)
    restarts, max_sweeps = check_count("restarts", restarts), check_count("max_sweeps", max_sweeps)
    polish_steps = check_count("polish_steps", polish_steps, 0)
    _check_tolerance(tolerance)
    check_choice("covariance", covariance, COMPONENTS)
    check_choice("weights", weights, WEIGHTS)
    batch_size = None if batch_size is None else check_count("batch_size", batch_size)
    if not isinstance(tried, int):
        _check_suits_all(start, priors)
    source = door.open_source(data, "data", None)
    _check_length(source)
    survey = door.survey(source, "data", None, check_seed(seed))
    _check_rows(survey.summary.num_data, tried if isinstance(tried, int) else max(tried))
    if priors == "auto":
        priors = Priors.from_data(survey.summary, covariance, sample=survey.sample)
    options = (restarts, seed, batch_size, max_sweeps, tolerance, validation_data, callbacks, polish_steps, start)
    task = _Task(source, survey, priors, covariance, weights, *options)
    return _fit_one(task, tried) if isinstance(tried, int) else _fit_several(task, tried)


def _fit_one(task: _Task, num_components: int) -> FitResult:
    return _fitted(task, _prepared(task, num_components))


def _fit_several(task: _Task, tried: Sequence[int]) -> Selection:
    """Returns the fits with each number of components, and the densities of the same held-out rows under each."""
    folds = held_out.folds_of(task.survey, task.seed)
    words, is_given = folds.description, task.validation_data is not None
    results: list[FitResult] = []
    densities: list[np.ndarray] = []
    try:
        for number, num_components in enumerate(tried, 1):
            task = dataclasses.replace(task, place=(number, len(tried)))
            model = _prepared(task, num_components)
            held = None if is_given else _held_out_by_folds(task, model, folds)
            results.append(_fitted(task, model))
            densities.append(_held_out_rows_given(task, model) if held is None else held)
    except EndOfChoice:
        if not results:
            raise
    if is_given:
        words = f"validation_data, {len(densities[0]):,} rows"
    return _with_occupied(task, Selection(tuple(results), np.stack(densities), words))


def _held_out_by_folds(task: _Task, model: GaussianMixtureModel, folds: held_out.Folds) -> np.ndarray:
    def tell(number: int, count: int) -> None:
        task.tell("held out", number, count, model.num_components)

    hill = _hills(model, task.survey, task.max_sweeps, task.tolerance)[-1]
    return held_out.held_out_log_densities(model, task.survey, folds, hill, task.start, tell)


def _held_out_rows_given(task: _Task, model: GaussianMixtureModel) -> np.ndarray:
    return score_data(model.plug_in(), task.validation_data, "log_density", model.column_names)


def _with_occupied(task: _Task, selection: Selection) -> Selection:
    """Returns the selection with the posterior of the number of occupied components, where sticks ask for it."""
    if task.weights != "stick_breaking" or len(task.survey.sample) < task.survey.summary.num_data:
        return selection
    largest = selection.results[-1]
    try:
        task.tell("occupied", 1, 1, largest.num_components)
    except EndOfChoice:
        return selection
    occupied = largest.occupied_posterior(task.survey.sample, seed=task.seed)
    return dataclasses.replace(selection, occupied_posterior=occupied)


def _prepared(task: _Task, num_components: int) -> GaussianMixtureModel:
    """Returns a model with the priors, the centre and the number of rows, compiled, its posterior untouched."""
    num_features = door.num_columns(task.source)
    model = GaussianMixtureModel(num_components, num_features, task.covariance, task.weights, task.priors, task.seed)
    model.compile()
    model.adapt_to(task.survey.summary)
    odd = task.survey.sample, task.survey.summary, model.priors, num_components, task.covariance
    warn_of_odd_data(*odd, stacklevel=6)  # the line that calls `fit_mixture`
    return model


def _fitted(task: _Task, model: GaussianMixtureModel) -> FitResult:
    """Returns the fit that restarts on the sample and sweeps over all rows lead to."""
    validation = model.open_validation(task.validation_data, task.source)
    if validation is not None:
        door.check_ends(validation, "validation_data", None, "Use .take(n), or remove .repeat().")
    found = climb_from_starts(task, model)
    _check_finite(found[0].elbo, "after the restarts")
    model.natural_gradient.assign(found[0].values)
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
            f"the bound was still rising by more than {plateau.tolerance:.1g} nats per row after {task.max_sweeps} "
            "sweeps. Raise max_sweeps, or tolerance.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return FitResult(model, *figures, history, tuple(found), plateau.converged)


def climb_from_starts(task: _Task, model: GaussianMixtureModel) -> list[search.Restart]:
    """Returns the restarts on the sample, best first; the model stays as it is, but for its number of rows."""
    restarts = task.restarts if isinstance(task.start, str) else 1  # from the same locations all would be the same
    seeds = [(model.seed + number) % 2**63 for number in range(restarts)]
    starts = model.start_values(task.survey, task.start, seeds)
    hills = _hills(model, task.survey, task.max_sweeps, task.tolerance)

    def tell(number: int, count: int) -> None:
        task.tell("start", number, count, model.num_components)

    return search.best_first(model.natural_gradient, starts, hills, tell)


def _hills(
    model: GaussianMixtureModel, survey: door.Survey, max_sweeps: int, tolerance: float | None
) -> list[search.Hill]:
    """Returns what restarts climb: all rows where they are few; else a sample, first coarsely, then to its top."""
    num_data = survey.summary.num_data
    rows = centre_rows(survey.sample, model.centre, name="data")
    top = search.Hill(
        rows=tf.constant(rows),
        centre=tf.convert_to_tensor(model.stored_centre),
        largest=np.abs(rows).max(axis=0).astype(np.float64),
        num_data=num_data,
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


def _check_num_components(num_components: Any) -> int | tuple[int, ...]:
    """Returns K, or several in ascending order."""
    if isinstance(num_components, (str, bytes)) or not isinstance(num_components, Iterable):
        return check_count("num_components", num_components)
    tried = tuple(sorted({check_count("num_components", number) for number in num_components}))
    if not tried:
        raise ValueError("`num_components` must name at least one number. Received: none. Try range(1, 11).")
    return tried


def _check_suits_all(start: Any, priors: Any) -> None:
    """Returns nothing when start and priors are of no number of components in particular."""
    if not isinstance(start, str):
        raise ValueError(
            '`start` must be "k-means++" or "random" with several numbers of components. Received: locations. '
            "Leave it out, or fit each number by itself."
        )
    concentration = getattr(priors, "weight_concentration", None)
    if isinstance(concentration, tuple):
        raise ValueError(
            "`priors.weight_concentration` must be one number with several numbers of components. "
            f"Received: {len(concentration)} numbers. Give one for all components."
        )


def _check_tolerance(tolerance: float | None) -> None:
    is_number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"`tolerance` must be positive and finite. Received: {tolerance!r}. Leave it out for 1e-7.")


def _check_length(source: door.Source) -> None:
    if isinstance(source, tf.data.Dataset) and int(source.cardinality()) < 0:
        raise ValueError(
            "`data` must have a known length: a sweep ends with the last batch. Received: a dataset of unknown or "
            "endless length. Apply tf.data.experimental.assert_cardinality(num_batches), remove .repeat(), or train a "
            "GaussianMixtureModel with compile(num_data=..., step_sizes=tfgmm.StepSizes())."
        )


def _check_finite(elbo: float, when: str) -> None:
    if not math.isfinite(elbo):
        raise FloatingPointError(
            f"The bound must stay finite. Received: {elbo} {when}. Drop rows that are far from all others, or state "
            "priors=tfgmm.Priors(...) that are less vague."
        )


def _check_rows(num_data: int, num_components: int) -> None:
    if num_data < num_components:
        raise ValueError(
            f"`num_components` must be at most the number of rows. Received: num_components={num_components} for "
            f"{num_data} rows. Ask for fewer components."
        )
