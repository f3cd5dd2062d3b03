"""The shortest way from rows to a fitted mixture: priors and starts from the data, restarts, sweeps to the optimum."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfgmm import data as door
from tfgmm import search
from tfgmm.callbacks import StopOnPlateau
from tfgmm.checks import check_choice, check_count, check_seed
from tfgmm.components import COMPONENTS
from tfgmm.fit_summary import summary_of
from tfgmm.initialize import warn_of_odd_data
from tfgmm.keras3 import keras
from tfgmm.model import GaussianMixtureModel
from tfgmm.priors import Priors
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
class FitResult:
    """A fitted mixture and how it was found. `print(result)` shows it.

    Args:
        model: the fitted `GaussianMixtureModel`.
        elbo: the augmented bound of the fitted posterior on all rows, nats.
        log_likelihood: of all rows at the posterior means, nats.
        history: the logs of each sweep over all rows, as Keras gives them: loss, elbo, log_likelihood, kl, val_...
        restarts: all of them, best first: the local optima that the data has.
        converged: whether the bound had stopped rising.
    """

    model: GaussianMixtureModel
    elbo: float
    log_likelihood: float
    history: Mapping[str, Sequence[float]]
    restarts: tuple[search.Restart, ...]
    converged: bool

    @property
    def num_data(self) -> int:
        """N."""
        return self.model.num_data

    @property
    def num_parameters(self) -> int:
        """The free numbers of the mixture: weights, locations, precisions."""
        return self.model.num_components - 1 + self.model.components.num_parameters()

    @property
    def aic(self) -> float:
        """Akaike's criterion at the posterior means, -2 log likelihood + 2 parameters; smaller is better."""
        return -2.0 * self.log_likelihood + 2.0 * self.num_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion at the posterior means, -2 log likelihood + log N parameters; smaller is better."""
        return -2.0 * self.log_likelihood + math.log(self.num_data) * self.num_parameters

    @property
    def num_occupied(self) -> int:
        """Components that at least one row is expected in."""
        return num_occupied(self.model)

    def summary(self) -> str:
        """Returns the fit as text: sizes, criteria, and weight, means and standard deviations with 95 % intervals."""
        return summary_of(self)

    def __str__(self) -> str:
        return self.summary()


def num_occupied(model: GaussianMixtureModel) -> int:
    """Returns the number of components that at least one row is expected in."""
    counts = model.mixture_weights.expected_counts(model.mixture_weights.posterior())
    return int(np.sum(counts >= 1.0 - 1e-9))


def fit_mixture(
    data: Any,
    num_components: int,
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
) -> FitResult:
    """Returns the best of several closed-form fits of a Bayesian Gaussian mixture, and the others beside it.

    One pass over the data takes a summary and a sample of 20,000 rows; restarts climb to their optima on the sample;
    the best by bound goes on with exact sweeps over all rows. The augmented bound never falls in them.

    Args:
        data: (N, D) rows of any kind that `GaussianMixtureModel.fit` takes: arrays, frames, paths of CSV, Parquet or
            Arrow files or folders, which may be larger than memory, or a tf.data dataset of known length.
        num_components: K.
        covariance, weights, seed: as in `GaussianMixtureModel`.
        priors: `tfgmm.Priors` in data units, or "auto": `Priors.from_data`, which needs no units.
        restarts: starts to try, at least 1.
        batch_size: rows handed over at a time in sweeps over all rows; default about 64 K. It changes memory and
            speed, not the result.
        max_sweeps: at most so many per restart (per tolerance, on a sample), and over all rows.
        tolerance: nats per row; sweeps end after gains below it. Default 1e-7; over all rows after restarts on a
            sample 1e-5.
        validation_data: further rows, whose figures stand in `history` as val_loss and so on.
        callbacks: Keras callbacks of the sweeps over all rows.
        polish_steps: steps of Adam on the tighter marginal bound afterwards, with shrinking learning rate. For few
            rows: see `GaussianMixtureModel.compile`.
        start: "k-means++", "random" (rows), or locations (K, D), data units; then restarts are not needed.

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
    num_components, restarts = check_count("num_components", num_components), check_count("restarts", restarts)
    max_sweeps, polish_steps = check_count("max_sweeps", max_sweeps), check_count("polish_steps", polish_steps, 0)
    _check_tolerance(tolerance)
    check_choice("covariance", covariance, COMPONENTS)
    check_choice("weights", weights, WEIGHTS)
    batch_size = None if batch_size is None else check_count("batch_size", batch_size)
    source = door.open_source(data, "data", None)
    _check_length(source)
    survey = door.survey(source, "data", None, check_seed(seed))
    _check_rows(survey.summary.num_data, num_components)
    if priors == "auto":
        priors = Priors.from_data(survey.summary, covariance, sample=survey.sample)
    model = GaussianMixtureModel(num_components, door.num_columns(source), covariance, weights, priors, seed)
    model.compile()
    model.adapt_to(survey.summary)
    validation = model.open_validation(validation_data, source)
    if validation is not None:
        door.check_ends(validation, "validation_data", None, "Use .take(n), or remove .repeat().")
    warn_of_odd_data(survey.sample, survey.summary, model.priors, num_components, covariance, stacklevel=4)
    found = climb_from_starts(model, survey, start, restarts, max_sweeps, tolerance)
    _check_finite(found[0].elbo, "after the restarts")
    model.natural_gradient.assign(found[0].values)
    is_sample = len(survey.sample) < survey.summary.num_data
    plateau = StopOnPlateau(
        tolerance or (_TOLERANCE_AFTER_SAMPLE if is_sample else _TOLERANCE),
        patience=1 if is_sample else search.PATIENCE,
    )
    batches = model.batches_of(source, batch_size)
    history = model.train_on(
        batches,
        epochs=max_sweeps,
        callbacks=[plateau, *(callbacks or ())],
        validation_data=_batches_for_validation(model, validation),
        verbose=0,
    ).history
    was_stopped = model.stop_training  # polishing forgets it
    if polish_steps:
        _polish(model, source, polish_steps)
    elbo, log_likelihood = model.bound_and_log_likelihood(batches)
    _check_finite(elbo, "after the sweeps over all rows")
    if not plateau.converged and not was_stopped:
        warnings.warn(
            f"the bound was still rising by more than {plateau.tolerance:.1g} nats per row after {max_sweeps} sweeps. "
            "Raise max_sweeps, or tolerance.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return FitResult(model, elbo, log_likelihood, history, tuple(found), plateau.converged)


def climb_from_starts(
    model: GaussianMixtureModel,
    survey: door.Survey,
    start: Any,
    restarts: int,
    max_sweeps: int,
    tolerance: float | None,
) -> list[search.Restart]:
    """Returns the restarts on the sample, best first; the model stays as it is, but for its number of rows."""
    if not isinstance(start, str):
        restarts = 1  # from the same locations all would be the same
    seeds = [(model.seed + number) % 2**63 for number in range(restarts)]
    starts = model.start_values(survey, start, seeds)
    return search.best_first(model.natural_gradient, starts, _hills(model, survey, max_sweeps, tolerance))


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
