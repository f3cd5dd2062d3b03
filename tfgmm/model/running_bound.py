"""The bound as training logs it, and as it is saved with the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.natural_gradient import bound_figures
from tfgmm.model.keras3 import keras

LOGS = ("loss", "elbo", "log_likelihood", "kl")
# Stored for a bound that is not known: none is as low, and tf.debugging.enable_check_numerics stops at NaN
NO_BOUND = -(2.0**120)


class RunningBound(keras.metrics.Metric):
    """Means over rows of the bound's two parts over an epoch, as the four figures that are logged.

    One variable and one addition per step: in steps of a millisecond, a Keras `Mean` per figure would be noticeable.

    Args:
        num_data: Function that returns N, float64. (Not the variable: Keras resets every variable that a metric holds.)
    """

    def __init__(self, num_data: Callable[[], Tensor]) -> None:
        super().__init__(name="bound", dtype="float64")
        self._num_data = num_data
        self._sums = self.add_variable(shape=(3,), initializer="zeros", dtype="float64", name="sums")

    def update_state(self, log_likelihood: Tensor, kl: Tensor, num_rows: Tensor) -> None:
        """Adds the log likelihood of a batch and the KL of its step, nats.

        Args:
            log_likelihood: Of the rows together, as often as each counts.
            kl: KL of the step.
            num_rows: Number of rows, the sum of their weights.
        """
        num_rows = tf.cast(num_rows, tf.float64)
        self._sums.assign_add(tf.stack([tf.cast(log_likelihood, tf.float64), kl * num_rows, num_rows]))

    def set_kl(self, kl: Tensor) -> None:
        """Sets the KL of all rows so far to `kl`, nats."""
        total, _, num_rows = tf.unstack(tf.convert_to_tensor(self._sums))
        self._sums.assign(tf.stack([total, kl * num_rows, num_rows]))

    def result(self) -> dict[str, Tensor]:
        """Computes loss, elbo, log_likelihood and kl, scalars float64, as means over the rows so far."""
        total, kl, num_rows = tf.unstack(tf.convert_to_tensor(self._sums))
        num_data = self._num_data()
        return bound_figures(num_data * total / num_rows, kl / num_rows, num_data)


class StoreBound(keras.callbacks.Callback):
    """Stores the bound of the epoch with the weights, before any other callback saves or restores them."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Looks once how the model is trained: Keras makes a list of all its variables to tell."""
        self._is_trained = not self.model.is_frozen
        self._is_swept = self._is_trained and self.model.is_closed_form

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Tells the feed, and closed-form training, which epoch begins."""
        if self.model.feed is not None:
            self.model.feed.begin_epoch(epoch)
        if self._is_swept:
            self.model.closed_form.begin_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stores the bound of a model that is trained."""
        if self._is_trained:
            elbo = float(logs.get("elbo", NO_BOUND))  # a step of a subclass may log other figures
            self.model.stored_elbo.assign(elbo if math.isfinite(elbo) else NO_BOUND)
