"""The shortest way from rows to a fitted mixture: priors and starts from the data, restarts, sweeps to the optimum."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict, Unpack, overload

from tfgmm.data.files.stored import StoredRows
from tfgmm.data.row_source import RowSource
from tfgmm.data.row_words import sentences_on_gaps
from tfgmm.data.sources import open_source
from tfgmm.data.survey import Survey, survey_rows
from tfgmm.families.base import check_priors
from tfgmm.fit.callbacks import checked_callbacks
from tfgmm.fit.checkpoint.journal import check_before_work, journal_of
from tfgmm.fit.evidence_of_restarts import by_evidence
from tfgmm.fit.exact_posterior import with_exact_posterior
from tfgmm.fit.keras_model import check_can_train
from tfgmm.fit.maxima import at_maxima
from tfgmm.fit.opened import check_length, check_rows, opened_validation
from tfgmm.fit.options import FitOptions, check_covariance, check_num_components
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.fit.several import fit_several
from tfgmm.fit.shard_batches import released
from tfgmm.fit.shard_options import check_choice_suits_shards, check_suits_shards
from tfgmm.fit.single import (
    FitTask,
    ascend_from_starts,
    check_suits,
    finished,
    prepared_fit,
    swept_fit,
)
from tfgmm.fit.sweeps import RunningFit
from tfgmm.mixture.odd_data import OddDataWarning, oddities, spreads_that_differ, warn_of_pulls
from tfgmm.mixture.prior_reach import sentences_on_sticks
from tfgmm.mixture.priors import Priors
from tfgmm.posterior.record import MEAN_FIELD


class _Others(TypedDict, total=False):
    """The arguments that have the same type whatever comes back."""

    weights: str
    priors: Priors | Literal["auto"]
    restarts: int | Literal["auto"]
    seed: int
    batch_size: int | None
    max_sweeps: int
    tolerance: float | None
    validation_data: Any
    callbacks: Sequence[Any]
    polish_steps: int
    start: Any
    criteria_at: Literal["mean", "mode"]
    sample_weight: Any
    noise: Any
    missing: Literal["integrate", "refuse"]
    posterior: str
    moves: bool | Literal["auto"]
    checkpoint: Any


# "auto" is a str, and a str is an Iterable[str]: type checkers take the first of these that fits
@overload
def fit_mixture(
    data: Any, num_components: Iterable[int], *, covariance: str | Iterable[str] = ..., **others: Unpack[_Others]
) -> Selection: ...


@overload
def fit_mixture(
    data: Any, num_components: int, *, covariance: Literal["auto"], **others: Unpack[_Others]
) -> Selection: ...


@overload
def fit_mixture(data: Any, num_components: int, *, covariance: str = ..., **others: Unpack[_Others]) -> FitResult: ...


@overload
def fit_mixture(
    data: Any, num_components: int, *, covariance: Iterable[str], **others: Unpack[_Others]
) -> Selection: ...


def fit_mixture(
    data: Any,
    num_components: int | Iterable[int],
    *,
    covariance: str | Iterable[str] = "diag",
    weights: str = "dirichlet",
    priors: Priors | Literal["auto"] = "auto",
    restarts: int | Literal["auto"] = "auto",
    seed: int = 0,
    batch_size: int | None = None,
    max_sweeps: int = 200,
    tolerance: float | None = None,
    validation_data: Any = None,
    callbacks: Sequence[Any] = (),
    polish_steps: int = 0,
    start: Any = "auto",
    criteria_at: str = "mean",
    sample_weight: Any = None,
    noise: Any = None,
    missing: str = "integrate",
    posterior: str = MEAN_FIELD,
    moves: bool | Literal["auto"] = "auto",
    checkpoint: Any = None,
) -> FitResult | Selection:
    """Fits a Bayesian Gaussian mixture in closed form, from several starts, and returns the best fit.

    Several numbers of components, or several covariance shapes, give a `Selection`, with a fit for each shape and
    number. One pass over the data takes a summary and a sample of 20,000 rows; restarts go to their optima on the
    sample; the best by bound goes on with exact sweeps over all rows. The augmented bound never falls in them.

    Args:
        data: (N, D) rows of any kind that `GaussianMixtureModel.fit` takes: arrays, frames, paths or URLs of CSV,
            Parquet or Arrow files or folders, which may be larger than memory, or a tf.data dataset of known length; or
            a Dask DataFrame or Array, or a Spark DataFrame, whose rows stay where they are: see docs/clusters.md.
        num_components: K; or several of them, such as range(1, 11): then all are fitted, with the same priors and held
            out rows, and what comes back is a `Selection`, with a table of criteria and a recommendation.
        covariance: Shape of the components, as in `GaussianMixtureModel`; or a list of shapes, or "auto" for all (for
            one column, where some are the same, "diag" and "tied_diag"): then each is fitted with each number, and
            what comes back is a `Selection` too.
        weights, seed: As in `GaussianMixtureModel`.
        priors: `tfgmm.Priors` in data units, or "auto": `Priors.from_data` for each shape, which needs no units.
        restarts: Number of starts to try, at least 1. "auto": 8; of more than 20,000 rows 3 where components move.
        batch_size: Rows handed over at a time in sweeps over all rows; default about 64 K, more for rows in memory. It
            changes memory and speed, not the result.
        max_sweeps: Largest number of sweeps per restart, for the best three as many again, and over all rows.
        tolerance: Nats per row; sweeps end after gains below it. Default 1e-7; over all rows after restarts on a
            sample 1e-5.
        validation_data: Further rows, whose figures stand in `history` as val_loss and so on. With several fits they
            are the held-out rows; without them five-fold cross-validation holds out every row once (for more than
            20,000 rows: a fifth of the sample, once), with a few restarts per fold.
        callbacks: Keras callbacks of the sweeps over all rows, for each fit in turn; a `tfgmm.callbacks.FitWatcher` is
            also called at held-out fits and restarts, and can end a choice early.
        polish_steps: Steps of Adam on the tighter marginal bound afterwards, with shrinking learning rate. For few
            rows: see `GaussianMixtureModel.compile`.
        start: "auto", groups of rows found in several ways (nearest to seeds of k-means++ or to random rows, k-means,
            Ward's method, balls with all other rows around them); "k-means++" or "random", that way alone; or, for one
            fit, locations (K, D), data units, or the group of each row, (N,) whole numbers from 0, in an order that the
            rows keep from pass to pass; then restarts are not needed.
        criteria_at: Where AIC, BIC, ICL and the log likelihood are taken: "mean", at the posterior means; or "mode", at
            the maximum of the likelihood that EM finds from there, as R's mclust and scikit-learn have them; of several
            fits also from the likeliest special case, so that none is less likely than it. EM takes several times as
            many sweeps more. No variance gets below 1e-7 squared spreads, or the rounding of its column.
        sample_weight: How often each row counts, (N,) numbers of 0 or more, or the name of a column: 2 is the row
            twice, 0 is no row, and N is their sum. Weights that are no counts should have a sum that says how much the
            rows tell: see docs/tables.md.
        noise: Measurement noise of each row, data units: standard deviations (N, D); covariances (N, D, D); or, by
            column, the name of the column with its standard deviations, {"mag_g": "mag_g_err"}. Infinite: no value.
            What is fitted is the mixture of the values without their noise.
        missing: "integrate", a NaN or null is a value that is missing at random, and is integrated out, exactly for
            the shapes without correlations; or "refuse". Infinite values are always refused.
        posterior: What intervals, bands and draws come from. "mean_field", the fit itself: at once, and too narrow
            where components overlap. "auto", the exact posterior, with the memberships summed out, by the cheapest of
            "laplace", "importance" and "mcmc" that is good enough; or one of these by name. See
            `FitResult.with_posterior`. Restarts at different optima within 10 nats of the best bound are then ranked by
            their evidence. Of several fits each carries its own, and their evidence is compared where all have one that
            can be trusted; with "auto" only the recommended one goes as far as "mcmc". Progress is told to a
            `tfgmm.callbacks.FitWatcher`; Ctrl-C keeps the fit, and what there is.
        moves: Whether the best restarts try moves: components that the rows need least go, and those that fit worst are
            divided in two instead; a move is kept where the bound of the restart rises. "auto", where K is 5 or more
            and no start is given.
        checkpoint: Path of a file that keeps what is done, restarts and sweeps. Where it is there, the same call goes
            on from it, to the same bytes; other rows or options are refused. See docs/checkpoints.md.

    Raises:
        ValueError: Fewer rows than components, an argument out of its range, data that cannot be fitted.
        FloatingPointError: The bound became NaN or infinite.

    Warns:
        OddDataWarning: Missing values, constant columns, fewer distinct rows than components, a few rows far from all
            others, and, for "full" and "tied", no more rows than columns.
        ConvergenceWarning: The bound was still rising after `max_sweeps` sweeps.

    Source: Bishop 2006, section 10.2; restarts and stopping rules measured in docs.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
    >>> result = tfgmm.fit_mixture(rows, 2, seed=1)
    >>> result.converged, result.num_occupied, sorted(result.locs.round(0).tolist())
    (True, 2, [[-3.0, 0.0], [3.0, 1.0]])
    """
    numbers = check_num_components(num_components)
    options = FitOptions(
        covariance=check_covariance(covariance),
        weights=weights,
        priors=priors,
        restarts=restarts,
        seed=seed,
        batch_size=batch_size,
        max_sweeps=max_sweeps,
        tolerance=tolerance,
        validation_data=validation_data,
        polish_steps=polish_steps,
        start=start,
        criteria_at=criteria_at,
        posterior=posterior,
        moves=moves,
        checkpoint=checkpoint,
    )
    check_options(options, numbers)
    check_before_work(options, numbers)
    carried: Any = {"sample_weight": sample_weight, "noise": noise, "missing": missing}
    source = open_source(data, "data", None, may_be_shards=True, **carried)
    check_length(source)
    check_suits_shards(source, options, callbacks)
    with released(source):  # the survey has an engine keep rows
        return fit_opened(source, survey_rows(source, None, options.seed), numbers, options, callbacks)


def check_options(options: FitOptions, numbers: int | Sequence[int]) -> None:
    """Checks that options suit each other, before the rows are looked at."""
    if not isinstance(numbers, int):
        options.check_suits_any_number()
    if options.is_choice_of_shapes:
        options.check_suits_any_shape()
    if options.is_choice_of_shapes or not isinstance(numbers, int):
        check_choice_suits_shards(options)
    if options.priors != "auto":
        check_priors(options.priors)


def fit_opened(
    source: RowSource,
    survey: Survey,
    numbers: int | Sequence[int],
    options: FitOptions,
    callbacks: Sequence[Any] = (),
) -> FitResult | Selection:
    """Fits a mixture to rows that were opened and surveyed; see `fit_mixture`.

    Args:
        source: The rows, of known length.
        survey: Summary and sample of them, drawn with the seed of the options.
        numbers: K, or several in ascending order.
        options: Options of the fit.
        callbacks: As in `fit_mixture`.
    """
    most = numbers if isinstance(numbers, int) else max(numbers)
    check_rows(survey.summary, most, options.name_of("num_components"))
    callbacks = checked_callbacks(callbacks)
    check_can_train(options.polish_steps, callbacks)
    check_before_work(options, callbacks=callbacks)
    validation, gaps_there = opened_validation(source, options.validation_data)
    gaps = tuple(sorted({*survey.summary.gap_columns, *gaps_there}))
    if isinstance(source, StoredRows) and not gaps:
        source.take_as_checked()
    shapes = options.shapes(source.num_features)
    with released(source, validation):
        tasks = [task_of(shape, source, survey, options, callbacks, validation, gaps) for shape in shapes]
        if isinstance(numbers, int) and not options.is_choice_of_shapes:
            fit = prepared_fit(tasks[0], numbers)  # priors that do not suit it are refused before anything is warned of
            _warn_of_odd_data(tasks, most)
            with journal_of(options, numbers, source, survey, validation) as journal:
                result = _fit_one(dataclasses.replace(tasks[0], journal=journal), fit)
            warn_of_pulls(result.plug_in(), survey.summary, result.priors, survey.summary.num_data, stacklevel=4)
            return result
        for task in tasks:  # before the first of many fits
            check_suits(task, most)
        _warn_of_odd_data(tasks, most)
        with journal_of(options, numbers, source, survey, validation) as journal:
            tasks = [dataclasses.replace(task, journal=journal) for task in tasks]
            return fit_several(tasks, [numbers] if isinstance(numbers, int) else numbers)


def task_of(
    shape: str,
    source: RowSource,
    survey: Survey,
    options: FitOptions,
    callbacks: Sequence[Any],
    validation: RowSource | None,
    gap_columns: tuple[int, ...],
) -> FitTask:
    """Collects what the fits of one covariance shape share, with priors for that shape unless they are given.

    Args:
        shape: Covariance shape.
        source, survey, options, callbacks: As for `fit_opened`.
        validation: Rows to validate on, opened; or None.
        gap_columns: Columns in which some rows, also of those to validate on, have no value.
    """
    priors = options.priors_for(survey, shape)
    options = dataclasses.replace(options, covariance=shape)
    return FitTask(source, survey, priors, options, callbacks, validation, gap_columns=gap_columns)


def _warn_of_odd_data(tasks: Sequence[FitTask], num_components: int) -> None:
    """Warns of what is odd about the data, once for all fits; `num_components` is the largest."""
    sentences = dict.fromkeys(sentences_on_gaps(tasks[0].survey.summary))
    if tasks[0].options.weights == "stick_breaking":
        sentences |= dict.fromkeys(
            sentences_on_sticks(tasks[0].priors, num_components, tasks[0].survey.summary.num_data)
        )
    for task in tasks:
        survey, summary = task.survey, task.survey.summary
        of_task = task.priors, num_components, task.covariance
        odd = oddities(survey.sample, summary, *of_task, survey.weights, survey.noise)
        sentences |= dict.fromkeys(odd)
        if len(tasks) == 1:  # of several shapes the evidence leaves out the spherical ones by itself
            sentences |= dict.fromkeys(spreads_that_differ(summary, task.priors, task.covariance))
    for sentence in sentences:
        warnings.warn(f"{sentence}.", OddDataWarning, stacklevel=4)  # the line that calls `fit_mixture`


def _fit_one(task: FitTask, fit: RunningFit) -> FitResult:
    result = finished(task, by_evidence(task, swept_fit(task, fit, ascend_from_starts(task, fit))))
    result = at_maxima([task], [result])[0] if task.options.criteria_at == "mode" else result
    return with_exact_posterior(task, result)
