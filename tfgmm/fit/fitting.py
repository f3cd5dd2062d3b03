"""The shortest way from rows to a fitted mixture: priors and starts from the data, restarts, sweeps to the optimum."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np

from tfgmm.common.checks import check_choice, check_count, check_seed
from tfgmm.data.sources import RowSource, open_source
from tfgmm.data.survey import survey_rows
from tfgmm.families.weights import WEIGHTS
from tfgmm.fit import cross_validation
from tfgmm.fit.callbacks import EndOfChoice
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.fit.single import FitTask, fitted, hills_of, prepared_model
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.scoring.scores import score_data

Tensor = Any


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
        batch_size: rows handed over at a time in sweeps over all rows; default about 64 K, more of rows in memory. It
            changes memory and speed, not the result.
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
    check_choice("covariance", covariance, COVARIANCES)
    check_choice("weights", weights, WEIGHTS)
    batch_size = None if batch_size is None else check_count("batch_size", batch_size)
    if not isinstance(tried, int):
        _check_suits_all(start, priors)
    source = open_source(data, "data", None)
    _check_length(source)
    survey = survey_rows(source, None, check_seed(seed))
    _check_rows(survey.summary.num_data, tried if isinstance(tried, int) else max(tried))
    if priors == "auto":
        priors = Priors.from_data(survey.summary, covariance, sample=survey.sample)
    options = (restarts, seed, batch_size, max_sweeps, tolerance, validation_data, callbacks, polish_steps, start)
    task = FitTask(source, survey, priors, covariance, weights, *options)
    return _fit_one(task, tried) if isinstance(tried, int) else _fit_several(task, tried)


def _fit_one(task: FitTask, num_components: int) -> FitResult:
    return fitted(task, prepared_model(task, num_components))


def _fit_several(task: FitTask, tried: Sequence[int]) -> Selection:
    """Returns the fits with each number of components, and the densities of the same held-out rows under each."""
    folds = cross_validation.folds_of(task.survey, task.seed)
    words, is_given = folds.description, task.validation_data is not None
    results: list[FitResult] = []
    densities: list[np.ndarray] = []
    try:
        for number, num_components in enumerate(tried, 1):
            task = dataclasses.replace(task, place=(number, len(tried)))
            model = prepared_model(task, num_components)
            held = None if is_given else _held_out_by_folds(task, model, folds)
            results.append(fitted(task, model))
            densities.append(_held_out_rows_given(task, model) if held is None else held)
    except EndOfChoice:
        if not results:
            raise
    if is_given:
        words = f"validation_data, {len(densities[0]):,} rows"
    return _with_occupied(task, Selection(tuple(results), np.stack(densities), words))


def _held_out_by_folds(task: FitTask, model: GaussianMixtureModel, folds: cross_validation.Folds) -> np.ndarray:
    def tell(number: int, count: int) -> None:
        task.tell("held out", number, count, model.num_components)

    hill = hills_of(model, task.survey, task.max_sweeps, task.tolerance)[-1]
    return cross_validation.held_out_log_densities(model, task.survey, folds, hill, task.start, tell)


def _held_out_rows_given(task: FitTask, model: GaussianMixtureModel) -> np.ndarray:
    return score_data(model.plug_in(), task.validation_data, "log_density", model.column_names)


def _with_occupied(task: FitTask, selection: Selection) -> Selection:
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


def _check_length(source: RowSource) -> None:
    if not source.has_known_length:
        raise ValueError(
            "`data` must have a known length: a sweep ends with the last batch. Received: a dataset of unknown or "
            "endless length. Apply tf.data.experimental.assert_cardinality(num_batches), remove .repeat(), or train a "
            "GaussianMixtureModel with compile(num_data=..., step_sizes=tfgmm.StepSizes())."
        )


def _check_rows(num_data: int, num_components: int) -> None:
    if num_data < num_components:
        raise ValueError(
            f"`num_components` must be at most the number of rows. Received: num_components={num_components} for "
            f"{num_data} rows. Ask for fewer components."
        )
