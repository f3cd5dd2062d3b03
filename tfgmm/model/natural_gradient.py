"""Closed-form training: natural-gradient steps on the augmented bound, from all rows or from a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import Factors, Values, VariationalPosterior
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.scoring import devices


class Place(NamedTuple):
    """Where a sweep begins.

    values: The numbers behind q.
    coefficients: Coefficients of a local step from there; see `NaturalGradient.coefficients`.
    """

    values: Values
    coefficients: tuple[Tensor, Tensor]


def place_of(places: Place, index: int) -> Place:
    """Copies one of several places, which have a leading axis, so that the others can be freed."""
    linear, constants = places.coefficients
    values = places.values.map(lambda value: np.array(value[index]))
    return Place(values, (np.array(linear[index]), np.array(constants[index])))


class GlobalStep(NamedTuple):
    """Where a global step leads, for R posteriors at a time: NumPy arrays with a leading axis (R,), float64.

    target: The place after the step of length 1.
    longer: The place after a step of the requested length.
    kl: KL(q || prior) before the step, nats.
    float32_error: A bound on the error of log densities of q at `target`, with products in float32, nats.
    statistics: The statistics that the step was taken with, components in the order of `target`.
    """

    target: Place
    longer: Place
    kl: np.ndarray
    float32_error: np.ndarray
    statistics: Statistics


class NaturalGradient:
    """The two halves of a step: sums over rows, by NumPy or on a GPU, and the move of q that follows, compiled.

    Both are functions of `Values`. The variables of the posterior are not touched, so restarts share one trace.

    Args:
        posterior: What the values are the numbers of.
        run_eagerly: Whether to run as plain Python, for debugging.
    """

    def __init__(self, posterior: VariationalPosterior, *, run_eagerly: bool = False) -> None:
        self.posterior = posterior
        self.run_eagerly = run_eagerly
        self._functions: dict[str, Any] = {}

    def _call(
        self, name: str, function: Callable[..., Any], signature: Callable[[], Sequence[Any]], *arguments: Any
    ) -> Any:
        """Calls `function`, which is compiled at the first call; only then is `signature` called."""
        if self.run_eagerly:
            return function(*arguments)
        if name not in self._functions:
            # One concrete function: no look-up per call, and no warning of TensorFlow's after five models
            graph = tf.function(function, autograph=False).get_concrete_function(*signature())
            self._functions[name] = graph
        return self._functions[name](*arguments)

    def coefficients(self, values: Values) -> tuple[Tensor, Tensor]:
        """Computes (D + P, K) and (K,) float64: what a local step from `values` multiplies the features of rows with.

        Leading axes of the values stay. This is not compiled: a fit calls it a few times only, where it begins and
        ends; in between `global_step` returns the coefficients too.
        """
        return self.posterior.expected_coefficients(self.posterior.factors_of(values))

    def sums(self, coefficients: Sequence[Tensor], block: RowBlock) -> RowSums:
        """Sums the expected statistics of centred rows and their log likelihoods, nats, float64.

        The path that every row takes in every sweep. The log likelihoods are the likelihood part of L_A with the
        coefficients of a local step, and log densities with those of a density.

        Args:
            coefficients: As `coefficients` or `mixture.parameters.coefficients_of` gives them.
            block: (B, D) float32 rows, measured from the centre, for any B; not a tensor of a graph being traced.
        """
        return devices.sums(self.posterior.form, coefficients, block)

    def log_likelihoods(self, coefficients: Sequence[Tensor], block: RowBlock) -> np.ndarray:
        """Sums logsumexp_k and max_k of the log joints of rows under R mixtures, (2, R), nats.

        Args: As `sums`, the coefficients with a leading axis (R,).
        """
        return devices.log_likelihoods(self.posterior.form, coefficients, block)

    def global_step(
        self,
        values: Values,
        statistics: Statistics,
        centre: Tensor,
        lengths: Sequence[float] = (1.0,),
        largest: np.ndarray | None = None,
    ) -> GlobalStep:
        """Takes the steps that follow from statistics of the whole data, from the q that they were taken with.

        R steps in one call: the time of a small step depends on the number of operations, not on their sizes.

        Args:
            values: Numbers behind q, each with a leading axis (R,).
            statistics: Statistics scaled to N rows, with a leading axis (R,).
            centre: (D,) float64, data units.
            lengths: (R,) lengths of the steps to `longer`, in the numbers behind q.
            largest: (D,) largest distance of a row from the centre per column, data units; for `float32_error`.
        """

        def signature() -> list[Any]:
            column, leading = tf.TensorSpec(centre.shape, tf.float64), tf.TensorSpec((None,), tf.float64)
            return [values.map(_spec), Statistics(*map(_spec, statistics)), column, leading, column]

        largest = np.zeros(centre.shape[0]) if largest is None else largest
        numbers = (tf.constant(value, tf.float64) for value in (lengths, largest))
        values, statistics = values.map(tf.convert_to_tensor), Statistics(*map(tf.convert_to_tensor, statistics))
        step = self._call("global_step", self._move, signature, values, statistics, centre, *numbers)
        return tf.nest.map_structure(np.asarray, step)

    def _move(
        self, values: Values, statistics: Statistics, centre: Tensor, lengths: Tensor, largest: Tensor
    ) -> GlobalStep:
        """Takes the steps of `global_step`, as operations."""
        q, weights, components = self.posterior, self.posterior.weights, self.posterior.components
        of_weights, of_components = factors = q.factors_of(values)
        kl = q.kl(factors, centre)
        order = weights.best_order(statistics.counts)
        if order is not None:
            statistics, of_components = _reordered(statistics, order), _reordered(of_components, order)
        updated: Any = components.update(of_components, statistics, centre)
        base = q.values_of(Factors(of_weights, of_components))
        best = q.values_of(Factors(weights.update(statistics.counts), updated))
        both = base.map(lambda start, end: tf.concat([end, _beyond(start, end, lengths)], axis=0), best)
        errors = components.float32_error(components.means(updated), largest)
        # A component without rows has a wide density, so its errors do not matter; what is NaN stays NaN
        error = tf.reduce_max(tf.where(statistics.counts <= 1e-3, tf.zeros_like(errors), errors), axis=-1)
        target, longer = _halves(Place(both, self.coefficients(both)))
        return GlobalStep(target, longer, kl, error, statistics)


def is_in_range_of_float32(largest: np.ndarray) -> bool:
    """Tells whether squares of rows within +-largest (D,) stay in the range of float32."""
    return bool(np.max(largest) < 1e15 and np.min(largest[largest > 0], initial=1.0) > 1e-15)


def _spec(values: Tensor) -> tf.TensorSpec:
    """Describes float64 tensors like these, with a leading axis of any length."""
    return tf.TensorSpec((None, *values.shape[1:]), tf.float64)


def _beyond(start: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
    """Goes from `start` (R, ...) towards `end` and beyond, steps of `lengths` (R,)."""
    return start + tf.reshape(lengths, [-1] + [1] * (len(start.shape) - 1)) * (end - start)


def _halves(places: Place) -> list[Place]:
    """Splits 2 R places into the first R and the others."""
    pairs = zip(*(tf.split(value, 2, axis=0) for value in tf.nest.flatten(places)))
    return [tf.nest.pack_sequence_as(places, half) for half in pairs]


def _reordered(record: Any, order: Tensor) -> Any:
    """Puts the components of the fields (R, K, ...) of a record in another order; what all components share stays."""
    return type(record)(
        *(value if value.shape[1] == 1 else tf.gather(value, order, axis=1, batch_dims=1) for value in record)
    )
