"""Exact sweeps over all rows: each moves q to the optimum given the memberships before, and the bound never falls."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm.common.threads import one_thread_each
from tfgmm.data.summary import DataSummary
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.natural_gradient import Place, bound_figures, moved, place_again, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.callbacks import SweepCallback
from tfgmm.fit.checkpoint.kept_sweeps import NOT_KEPT, KeptSweeps, SoFar, restore_states, states_of
from tfgmm.fit.sweep_batches import Batches, Logs
from tfgmm.mixture.integrands import with_integrals
from tfgmm.mixture.parameters import coefficients_of
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics, added, scaled


class RunningFit(FittedMixture):
    """A fit while it runs, as callbacks see it.

    Args:
        variational: q, which the sweeps move.
        priors: Priors, data units.
        seed: Seed of the starts.
        data_summary: Summary of the rows.

    Attributes:
        elbo: Bound of the last sweep, nats; None before the first.
        stop_training: Set by a callback to make this sweep the last.
        sums: Statistics of all rows that the last sweep moved q by; None before the first, and where Keras swept.
        model: The Keras model that callbacks of Keras's watched, or that was polished; None where there was none.
    """

    def __init__(self, variational: VariationalPosterior, priors: Priors, seed: int, data_summary: DataSummary) -> None:
        self.variational = variational
        self.priors, self.seed, self.data_summary = priors, seed, data_summary
        self.elbo: float | None = None
        self.sums: Statistics | None = None
        self.stop_training = False
        self.model: Any = None

    def note_bound(self, elbo: float) -> None:
        """Takes in a bound, nats, here and in the Keras model where there is one."""
        self.elbo = elbo
        if self.model is not None:
            self.model.stored_elbo.assign(elbo)


def sweep(
    fit: RunningFit,
    batches: Batches,
    callbacks: Sequence[SweepCallback],
    max_sweeps: int,
    validation: Batches | None = None,
    kept: KeptSweeps = NOT_KEPT,
) -> dict[str, list[float]]:
    """Sweeps over all rows from where q stands until a callback stops it; returns the logs by name, a number per sweep.

    Sweeps that an earlier run has taken are not taken again; callbacks hear of the others only.

    Args:
        fit: The fit; its q moves.
        batches: The rows.
        callbacks: Called as Keras would call them.
        max_sweeps: Largest number of sweeps.
        validation: Rows to validate on.
        kept: The sweeps as a checkpoint has them; it gets each further one.

    Raises:
        FloatingPointError: The bound became NaN or infinite; q stands as after the last good sweep.
    """
    params = {"epochs": max_sweeps, "steps": batches.num_batches, "verbose": 0}
    with one_thread_each(), _told(callbacks, fit, params):  # K-sized steps too are the same on any number of cores
        place, history, is_ended = _begun(fit, callbacks, kept)
        for number in range(kept.num_earlier, kept.num_earlier if is_ended else max_sweeps):
            for callback in callbacks:
                callback.on_epoch_begin(number)
            place, logs = _one_sweep(fit, place, batches, callbacks)
            logs |= _validation_logs(fit, place, validation, callbacks)
            for name in sorted(logs):  # as Keras orders them
                history.setdefault(name, []).append(float(logs[name]))
            for callback in callbacks:
                callback.on_epoch_end(number, logs)
            _keep(fit, history, callbacks, kept)
            if fit.stop_training:
                break
    return history


def _begun(
    fit: RunningFit, callbacks: Sequence[SweepCallback], kept: KeptSweeps
) -> tuple[Place, dict[str, list[float]], bool]:
    """Goes to where the sweeps of an earlier run ended, or begins; returns the place, the logs, and if that is all."""
    q, so_far = fit.variational, kept.so_far()
    if so_far is None:
        return place_at(q, q.values()), {}, False
    q.assign(so_far.values)
    fit.sums = so_far.sums
    fit.note_bound(so_far.history["elbo"][-1])
    restore_states(callbacks, so_far.states)
    fit.stop_training = fit.stop_training or so_far.is_ended
    return place_again(q, so_far.values), dict(so_far.history), fit.stop_training


def _keep(
    fit: RunningFit, history: dict[str, list[float]], callbacks: Sequence[SweepCallback], kept: KeptSweeps
) -> None:
    """Keeps where the fit stands after a sweep; one that ends for now is not ended."""
    if kept.is_kept:
        is_ended = fit.stop_training and not any(callback.ends_for_now for callback in callbacks)
        kept.keep(SoFar(fit.variational.values(), fit.sums, history, states_of(callbacks), is_ended))


@contextlib.contextmanager
def _told(callbacks: Sequence[SweepCallback], fit: RunningFit, params: dict[str, Any]) -> Iterator[None]:
    """Tells callbacks that training begins and ends, or which error ended it, where they ask for that."""
    fit.stop_training = False
    for callback in callbacks:
        callback.set_model(fit)
        callback.set_params(params)
        callback.on_train_begin()
    try:
        yield
    except BaseException as error:
        for callback in callbacks:
            if hasattr(callback, "on_train_error"):
                callback.on_train_error(error)
        raise
    for callback in callbacks:
        callback.on_train_end()


def _one_sweep(
    fit: RunningFit, place: Place, batches: Batches, callbacks: Sequence[SweepCallback]
) -> tuple[Place, Logs]:
    """Takes one sweep from a place, moves q, and returns where it is then, with the logs of where it was."""
    q, num_data = fit.variational, fit.num_data
    # A sweep of one batch has the KL from the step
    kl = float(q.kl(q.factors_of(place.values))) if batches.num_batches > 1 else math.nan
    statistics, log_likelihood, weight, logs = None, 0.0, 0.0, Logs()
    sums_of_batches = batches.sums(place.coefficients)
    for number in range(batches.num_batches):
        for callback in callbacks:
            callback.on_train_batch_begin(number)
        sums, more = next(sums_of_batches)
        statistics = added(statistics, sums.statistics)
        log_likelihood, weight = log_likelihood + float(sums.log_likelihood), weight + more
        if number + 1 == batches.num_batches:
            step = moved(q, place.values, scaled(statistics, num_data / weight), q.centre)
            place, kl, fit.sums = step.target, step.kl, step.statistics
            q.assign(place.values)
        if weight:  # the first batch may have lost all its rows, of weight 0 or without any value
            logs = bound_figures(num_data * log_likelihood / weight, kl, num_data)
        for callback in callbacks:
            callback.on_train_batch_end(number, logs)
    fit.note_bound(logs["elbo"])
    return place, dict(logs)


def _validation_logs(
    fit: RunningFit, place: Place, validation: Batches | None, callbacks: Sequence[SweepCallback]
) -> Logs:
    """Computes the same figures for rows to validate on, scaled to the N of training, at the place."""
    if validation is None:
        return {}
    for callback in callbacks:
        callback.on_test_begin()
    totals, weight = validation.log_likelihoods([value[None] for value in place.coefficients])
    kl = float(fit.variational.kl(fit.variational.factors_of(place.values)))
    logs = bound_figures(fit.num_data * float(totals[0, 0]) / weight, kl, fit.num_data)
    for callback in callbacks:
        callback.on_test_end(logs)
    return {f"val_{name}": value for name, value in logs.items()}


def bound_and_log_likelihoods(q: VariationalPosterior, batches: Batches) -> tuple[float, float, float]:
    """Computes the augmented bound of q as it stands and two log likelihoods at its means, nats, in one pass.

    The first log likelihood is that of the rows, the second that of the rows together with the most probable
    component of each.
    """
    of_bound = place_at(q, q.values()).coefficients
    of_mixture = coefficients_of(q.plug_in())
    if q.gap_columns:
        of_mixture = with_integrals(of_mixture, q.num_features, q.gap_columns)
    of_both = [np.stack(pair) for pair in zip(of_bound, of_mixture)]
    (expected, log_likelihood), (_, with_components) = batches.log_likelihoods(of_both)[0]
    elbo = float(expected) - float(q.kl())
    return elbo, float(log_likelihood), float(with_components)
