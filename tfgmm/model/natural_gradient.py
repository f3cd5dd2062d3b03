"""Closed-form training: natural-gradient steps on the augmented bound, from all rows or from a batch at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_count
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.model import bounds
from tfgmm.scoring import devices

Tensor = Any
Values = Sequence[Tensor]


@dataclasses.dataclass(frozen=True)
class StepSizes:
    """Running updates: q moves after every batch, by steps that shrink; then exact sweeps finish.

    After batch t the statistics of the whole data are taken to be S <- (1 - rho_t) S + rho_t N / B S_batch with
    rho_t = (t + delay)^-exponent, and rho = 1 for the first.

    Args:
        num_epochs: epochs of running updates; None for all. The epochs after them are exact sweeps.
        delay: slows the first steps down, at least 0. With a start taken from a sample, about n_sample / B.
        exponent: above 0.5 and at most 1 (the condition of Robbins and Monro 1951); 1, with delay 0, averages all
            batches equally.

    Raises:
        ValueError: a value out of its range.

    Source: Hoffman, Blei, Wang and Paisley 2013, "Stochastic variational inference", equation 26.

    Example:

    >>> model = tfgmm.GaussianMixtureModel(3, 2)
    >>> model.compile(step_sizes=tfgmm.StepSizes(num_epochs=1))
    """

    num_epochs: int | None = None
    delay: float = 1.0
    exponent: float = 0.6

    def __post_init__(self) -> None:
        if self.num_epochs is not None:
            check_count("num_epochs", self.num_epochs, least=0)
        if not (math.isfinite(self.delay) and self.delay >= 0):
            raise ValueError(f"`delay` must be finite and at least 0. Received: {self.delay}. Try 1.0.")
        if not 0.5 < self.exponent <= 1:
            raise ValueError(f"`exponent` must be above 0.5 and at most 1. Received: {self.exponent}. Try 0.6.")

    def step_size(self, num_steps: int) -> float:
        """Returns rho after `num_steps` steps before this one."""
        return 1.0 if num_steps == 0 else float((num_steps + 1 + self.delay) ** -self.exponent)


class Place(NamedTuple):
    """Where a sweep begins.

    values: the numbers behind q; see `TrainedPosterior`.
    coefficients: those of a local step from there; see `NaturalGradient.coefficients`.
    """

    values: Values
    coefficients: Sequence[Tensor]


def place_of(places: Place, index: int) -> Place:
    """Returns a copy of one of several places, which have a leading axis: the others can be forgotten."""
    values, coefficients = ([np.array(value[index]) for value in given] for given in places)
    return Place(values, coefficients)


class GlobalStep(NamedTuple):
    """Where a global step leads, for R posteriors at a time: NumPy arrays with a leading axis (R,), float64.

    target: the place after the step of length 1.
    longer: the place after a step of the length asked for.
    kl: KL(q || prior) before the step, nats.
    float32_error: bound on the error of log densities of q at `target`, with products in float32, nats.
    statistics: those that the step was asked for with, components in the order of target.
    """

    target: Place
    longer: Place
    kl: np.ndarray
    float32_error: np.ndarray
    statistics: Statistics


class NaturalGradient:
    """The two halves of a step: sums over rows, by NumPy or on a GPU, and the move of q that they ask for, compiled.

    Both are functions of `values`, the numbers behind q: those of the components, then those of the weights. The
    model's own variables are not touched, so restarts share one trace.

    Args:
        weights: a class of `tfgmm.families.weights`.
        components: a class of `tfgmm.families`.
        run_eagerly: run as plain Python, for debugging.
    """

    def __init__(self, weights: Any, components: Any, *, run_eagerly: bool = False) -> None:
        self.weights = weights
        self.components = components
        self.run_eagerly = run_eagerly
        self._functions: dict[Any, Any] = {}

    def _call(self, name: Any, function: Any, signature: Callable[[], Sequence[Any]], *arguments: Any) -> Any:
        """Returns what `function` gives; compiled at the first call, when alone `signature` is asked."""
        if self.run_eagerly:
            return function(*arguments)
        if name not in self._functions:
            # One concrete function: no look-up per call, and no warning of TensorFlow's after five models
            graph = tf.function(function, autograph=False).get_concrete_function(*signature())
            self._functions[name] = graph
        return self._functions[name](*arguments)

    def values(self) -> Values:
        """Returns the numbers behind q as the variables have them."""
        return [*self.components.values(), *self.weights.values()]

    def assign(self, values: Values) -> None:
        """Returns nothing; sets the variables."""
        self.components.assign_values(values[: len(self.components.variable_names)])
        self.weights.assign_values(values[len(self.components.variable_names) :])

    def values_of(self, of_weights: Any, of_components: Any) -> Values:
        """Returns the numbers behind given posteriors; leading axes are kept."""
        return [*self.components.values_of(of_components), *self.weights.values_of(of_weights)]

    def posteriors_of(self, values: Values) -> tuple[Any, Any]:
        """Returns q of the weights and q of the components that `values` stand for."""
        of_components = values[: len(self.components.variable_names)]
        return self.weights.posterior_of(values[len(of_components) :]), self.components.posterior_of(of_components)

    def coefficients(self, values: Values) -> tuple[Tensor, Tensor]:
        """Returns (D + P, K) and (K,) float64: what a local step from `values` multiplies the features of rows with.

        Leading axes of the values are kept.
        Not compiled: a fit asks a few times only, where it begins and ends; in between `global_step` gives them along.
        """
        return bounds.expected_coefficients(self.weights, self.components, self.posteriors_of(values))

    def sums(self, coefficients: Sequence[Tensor], block: RowBlock) -> RowSums:
        """Sums the expected statistics of centred rows and their log likelihoods, nats, float64.

        The path that every row takes in every sweep. The log likelihoods are the likelihood part of L_A with the
        coefficients of a local step, and log densities with those of a density.

        Args:
            coefficients: As `coefficients` or `mixture.parameters.coefficients_of` gives them.
            block: (B, D) float32 rows, measured from the centre; B may be anything. No tensor of a graph being traced.
        """
        return devices.sums(self.components.form, coefficients, block)

    def log_likelihoods(self, coefficients: Sequence[Tensor], block: RowBlock) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints of rows under R mixtures, (2, R), nats.

        Args: As `sums`, the coefficients with a leading axis (R,).
        """
        return devices.log_likelihoods(self.components.form, coefficients, block)

    def global_step(
        self,
        values: Values,
        statistics: Statistics,
        centre: Tensor,
        lengths: Sequence[float] = (1.0,),
        largest: np.ndarray | None = None,
    ) -> GlobalStep:
        """Returns the steps that statistics of the whole data ask for, from the q they were taken with.

        R of them in one call: what a step of few numbers costs is its operations, not their sizes.

        Args:
            values: the numbers behind q, each with a leading axis (R,).
            statistics: scaled to N rows, with a leading axis (R,).
            centre: (D,) float64, data units.
            lengths: (R,), of `longer`, in the numbers behind q.
            largest: (D,) largest distance of a row from the centre per column, data units; for `float32_error`.
        """

        def move(
            values: Values, statistics: Statistics, centre: Tensor, lengths: Tensor, largest: Tensor
        ) -> GlobalStep:
            of_weights, of_components = self.posteriors_of(values)
            kl = bounds.kl_to_prior(self.weights, self.components, centre, (of_weights, of_components))
            order = self.weights.best_order(statistics.counts)
            if order is not None:
                statistics, of_components = _reordered(statistics, order), _reordered(of_components, order)
            updated = self.components.update(of_components, statistics, centre)
            base = self.values_of(of_weights, of_components)
            target = self.values_of(self.weights.update(statistics.counts), updated)
            both = [
                tf.concat([end, start + _with_axes(lengths, start) * (end - start)], axis=0)
                for start, end in zip(base, target)
            ]
            places = zip(*(tf.split(value, 2, axis=0) for value in (*both, *self.coefficients(both))))
            errors = self.components.float32_error(self.components.means(updated), largest)
            # A component without rows has a wide density, and nobody hears of its errors; what is NaN stays NaN
            error = tf.reduce_max(tf.where(statistics.counts <= 1e-3, tf.zeros_like(errors), errors), axis=-1)
            target, longer = (Place(place[:-2], place[-2:]) for place in places)
            return GlobalStep(target, longer, kl, error, statistics)

        def signature() -> list[Any]:
            column = tf.TensorSpec(centre.shape, tf.float64)
            return [_specs(values, 1), Statistics(*_specs(statistics, 1)), column, _specs([np.ones(1)], 1)[0], column]

        largest = np.zeros(centre.shape[0]) if largest is None else largest
        numbers = (tf.constant(value, tf.float64) for value in (lengths, largest))
        values, sums = ([tf.convert_to_tensor(value) for value in given] for given in (values, statistics))
        found = self._call("global_step", move, signature, values, Statistics(*sums), centre, *numbers)
        return tf.nest.map_structure(np.asarray, found)


def is_in_range_of_float32(largest: np.ndarray) -> bool:
    """Returns whether squares of rows within +-largest (D,) stay in the range of float32."""
    return bool(np.max(largest) < 1e15 and np.min(largest[largest > 0], initial=1.0) > 1e-15)


def _specs(values: Sequence[Any], num_leading: int = 0) -> list[tf.TensorSpec]:
    """Returns what float64 tensors like the values are, their leading axes of any length."""
    return [tf.TensorSpec((None,) * num_leading + tuple(value.shape[num_leading:]), tf.float64) for value in values]


def _with_axes(lengths: Tensor, values: Tensor) -> Tensor:
    """Returns lengths (R,) that multiply values (R, ...)."""
    return tf.reshape(lengths, [-1] + [1] * (len(values.shape) - 1))


def _reordered(record: Any, order: Tensor) -> Any:
    """Returns the fields (R, K, ...) of a record with components in another order; what all of them share stays."""
    return type(record)(
        *(value if value.shape[1] == 1 else tf.gather(value, order, axis=1, batch_dims=1) for value in record)
    )
