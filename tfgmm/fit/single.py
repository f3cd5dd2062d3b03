"""A fit with one number of components: restarts on a sample, the best of them over all rows, polishing if asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit import keras_model
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.callbacks import StopOnPlateau, SweepCallback
from tfgmm.fit.checkpoint.identity import step_name
from tfgmm.fit.checkpoint.kept_sweeps import KeptSweeps
from tfgmm.fit.convergence import ConvergenceWarning, check_finite_bound, not_converged
from tfgmm.fit.cross_validation import NUM_STARTS, Folds, candidates_of_folds
from tfgmm.fit.labels import check_labels, is_labels, start_at_labels
from tfgmm.fit.moves.over_all_rows import from_place, places_over_all_rows
from tfgmm.fit.occupied import occupied_widths
from tfgmm.fit.plateau import PATIENCE
from tfgmm.fit.ranking import Ranking
from tfgmm.fit.restarts import Restart, Stage
from tfgmm.fit.result import FitResult
from tfgmm.fit.screening import Candidates, candidates, screened
from tfgmm.fit.staged import StagedStarts, best_first
from tfgmm.fit.stages import stages_of
from tfgmm.fit.sweep_batches import Batches, CachedBatch, batches_over
from tfgmm.fit.sweeps import RunningFit, bound_and_log_likelihoods, sweep
from tfgmm.fit.task import FitTask as FitTask
from tfgmm.mixture.hidden_values import shares_hidden


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
    num_earlier: How many of the sweeps were taken from a checkpoint.
    """

    fit: RunningFit
    batches: Batches
    figures: tuple[float, float, float]
    history: dict[str, list[float]]
    restarts: tuple[Restart, ...]
    converged: bool
    taken: Restart
    ranking: Ranking | None = None
    num_earlier: int = 0

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
    check_finite_bound(restarts[0].elbo, "after the restarts")
    batches = batches_of(task, fit.variational, ascended.rows)
    if not task.is_sample:
        return _swept_from(task, fit, batches, restarts, restarts[0])
    ends = [value for restart in restarts for value in restart.values.flat]
    name, num_data = step_name("over all rows", fit.covariance, fit.num_components, *ends), fit.num_data
    first, *other = task.journal.remembered(
        name, lambda: places_over_all_rows(fit.variational, batches, restarts, num_data)
    )
    best = _swept_from(task, fit, batches, from_place(restarts, first), restarts[first])
    for place in other:
        again = prepared_fit(task, fit.num_components)
        rival = _swept_from(task, again, batches, from_place(restarts, place), restarts[place])
        best = rival if rival.elbo > best.elbo else best
    return best


def _swept_from(task: FitTask, fit: RunningFit, batches: Batches, restarts: Sequence[Restart], taken: Restart) -> Swept:
    """Sweeps over all rows from one of the restarts."""
    fit.variational.assign(taken.values)
    plateau = StopOnPlateau(task.tolerance, patience=1 if task.is_sample else PATIENCE)
    kept = KeptSweeps(task.journal, _name_of_step("sweeps", fit.variational))
    history = _swept(task, fit, batches, plateau, kept)
    after = _figures(task, fit, batches), history, tuple(restarts), plateau.converged, taken
    return Swept(fit, batches, *after, num_earlier=kept.num_earlier)


def _name_of_step(kind: str, q: VariationalPosterior) -> str:
    """Names a step that begins where q stands."""
    return step_name(kind, q.covariance, q.num_components, *q.values().flat)


def _figures(task: FitTask, fit: RunningFit, batches: Batches) -> tuple[float, float, float]:
    name = _name_of_step("figures", fit.variational)
    figures = task.journal.remembered(name, lambda: bound_and_log_likelihoods(fit.variational, batches))
    fit.note_bound(figures[0])
    check_finite_bound(figures[0], "after the sweeps over all rows")
    return figures


def finished(task: FitTask, swept: Swept) -> FitResult:
    """Polishes a fit, if asked, and warns where its bound was still rising."""
    fit, figures = swept.fit, swept.figures
    if task.options.polish_steps:
        keras_model.polish(fit, task.source, task.options.polish_steps)
        figures = _figures(task, fit, swept.batches)
    if not swept.converged and not fit.stop_training:
        category = task.options.convergence_warning or ConvergenceWarning
        words = not_converged(
            task.options, task.tolerance, task.survey.summary.num_data, [*swept.history["elbo"], figures[0]]
        )
        warnings.warn(words, category, stacklevel=5)
    mixture, ended = (fit.variational, fit.priors, fit.seed, fit.data_summary), (swept.history, swept.restarts)
    has_noise, rows = task.survey.noise is not None, task.survey.rows
    hidden = shares_hidden(occupied_widths(fit.variational), rows) if has_noise else ()
    sums = fit.sums if fit.model is None else None
    beside: Any = {"hidden_by_noise": hidden, "ranking": swept.ranking, "sums": sums}
    beside |= {"moves": swept.taken.moves, "num_earlier_sweeps": swept.num_earlier}
    return FitResult(*mixture, *figures, *ended, swept.converged, fit.model, **beside)


def _swept(
    task: FitTask, fit: RunningFit, batches: Batches, plateau: StopOnPlateau, kept: KeptSweeps
) -> dict[str, list[float]]:
    """Sweeps over all rows; by Keras where a callback is one of Keras's, which wants a Keras model to look at."""
    callbacks, options = [plateau, *(task.callbacks or ())], task.options
    if all(isinstance(callback, SweepCallback) for callback in callbacks):
        validation, q = task.validation, fit.variational
        held_out = None if validation is None else batches_over(validation, q, task.gap_columns)
        return sweep(fit, batches, callbacks, options.max_sweeps, held_out, kept)
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
    options, q = task.options, fit.variational
    stages = stages_of(q, task.survey, options, task.gap_columns)
    num_restarts = task.num_restarts(q.num_components)
    which = str((options.seed, num_restarts, folds is not None))
    *without_folds, restarts = task.journal.remembered(
        step_name("restarts", q.covariance, q.num_components, which),
        lambda: _ascended(task, fit, folds, stages),
        lambda: task.tell("start", num_restarts, num_restarts, q.num_components),
    )
    return Ascended(restarts, without_folds, stages[-1].rows)


def _ascended(task: FitTask, fit: RunningFit, folds: Folds | None, stages: Sequence[Stage]) -> list[list[Restart]]:
    """Lists where the starts of the fit without each fold ended, and then those of the fit, best first."""
    options, q, spread = task.options, fit.variational, np.array(task.survey.summary.spread)
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

    return best_first(q, [*groups, StagedStarts(starts, stages)], tell)


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
