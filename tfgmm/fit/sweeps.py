"""Exact sweeps over all rows: each moves q to the optimum given the memberships before, and the bound never falls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm.data.summary import DataSummary
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.natural_gradient import Place, check_step_finite, global_step, place_at, place_of
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.callbacks import SweepCallback
from tfgmm.fit.sweep_batches import Batches, Logs
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
        stop_training: Set by a callback to make this sweep the last.
        model: The Keras model that callbacks of Keras's watched, or that was polished; None where there was none.
    """

    def __init__(self, variational: VariationalPosterior, priors: Priors, seed: int, data_summary: DataSummary) -> None:
        self.variational = variational
        self.priors, self.seed, self.data_summary = priors, seed, data_summary
        self.stop_training = False
        self.model: Any = None


def sweep(
    fit: RunningFit,
    batches: Batches,
    callbacks: Sequence[SweepCallback],
    max_sweeps: int,
    validation: Batches | None = None,
) -> dict[str, list[float]]:
    """Sweeps over all rows from where q stands until a callback stops it; returns the logs by name, a number per sweep.

    Args:
        fit: The fit; its q moves.
        batches: The rows.
        callbacks: Called as Keras would call them.
        max_sweeps: Largest number of sweeps.
        validation: Rows to validate on.

    Raises:
        FloatingPointError: The bound became NaN or infinite; q stands as after the last good sweep.
    """
    history: dict[str, list[float]] = {}
    with _told(callbacks, fit, {"epochs": max_sweeps, "steps": batches.num_batches, "verbose": 0}):
        place = place_at(fit.variational, fit.variational.values())
        for number in range(max_sweeps):
            for callback in callbacks:
                callback.on_epoch_begin(number)
            place, logs = _one_sweep(fit, place, batches, callbacks)
            logs |= _validation_logs(fit, place, validation, callbacks)
            for name in sorted(logs):  # as Keras orders them
                history.setdefault(name, []).append(logs[name])
            for callback in callbacks:
                callback.on_epoch_end(number, logs)
            if fit.stop_training:
                break
    return history


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
    statistics, log_likelihood, num_rows = None, 0.0, 0
    for number, (sums, num_more) in enumerate(batches.sums(place.coefficients)):
        for callback in callbacks:
            callback.on_train_batch_begin(number)
        statistics = added(statistics, sums.statistics)
        log_likelihood, num_rows = log_likelihood + float(sums.log_likelihood), num_rows + num_more
        for callback in callbacks:
            callback.on_train_batch_end(number)
    if statistics is None:
        raise RuntimeError("a sweep had no rows")
    of_all = scaled(statistics, num_data / num_rows)
    step = global_step(q, place.values.map(_with_axis), Statistics(*map(_with_axis, of_all)), q.centre)
    target = place_of(step.target, 0)
    check_step_finite(step.kl[0], target)
    q.assign(target.values)
    return target, logs_of(log_likelihood / num_rows, float(step.kl[0]), num_data)


def logs_of(mean_log_likelihood: float, kl: float, num_data: int) -> Logs:
    """Writes the four figures that are logged, from the log likelihood per row and the KL, nats."""
    log_likelihood = num_data * mean_log_likelihood
    elbo = log_likelihood - kl
    return {"loss": -elbo / num_data, "elbo": elbo, "log_likelihood": log_likelihood, "kl": kl}


def _validation_logs(
    fit: RunningFit, place: Place, validation: Batches | None, callbacks: Sequence[SweepCallback]
) -> Logs:
    """Computes the same figures for rows to validate on, scaled to the N of training, at the place."""
    if validation is None:
        return {}
    for callback in callbacks:
        callback.on_test_begin()
    totals, num_rows = validation.log_likelihoods([value[None] for value in place.coefficients])
    kl = float(fit.variational.kl(fit.variational.factors_of(place.values)))
    logs = logs_of(float(totals[0, 0]) / num_rows, kl, fit.num_data)
    for callback in callbacks:
        callback.on_test_end(logs)
    return {f"val_{name}": value for name, value in logs.items()}


def bound_and_log_likelihoods(q: VariationalPosterior, batches: Batches) -> tuple[float, float, float]:
    """Computes the augmented bound of q as it stands and two log likelihoods at its means, nats, in one pass.

    The first log likelihood is that of the rows, the second that of the rows together with the most probable
    component of each.
    """
    of_bound = place_at(q, q.values()).coefficients
    of_both = [np.stack(pair) for pair in zip(of_bound, coefficients_of(q.plug_in()))]
    (expected, log_likelihood), (_, with_components) = batches.log_likelihoods(of_both)[0]
    elbo = float(expected) - float(q.kl())
    return elbo, float(log_likelihood), float(with_components)


def _with_axis(values: np.ndarray) -> np.ndarray:
    return np.asarray(values)[None]
