"""What a training call is made of: running logs, the compiled loop of steps, errors in plain words."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.data.blocks import RowBlock
from tfgmm.model.batches import NOT_FINITE, file_error_of
from tfgmm.model.gradient_norms import GradientNorms, WatchedStep
from tfgmm.model.keras3 import keras
from tfgmm.model.natural_gradient import StepSizes

Tensor = Any

LOSS_NOT_FINITE = "the loss or its gradient is not finite"


class CompileSettings(NamedTuple):
    """What `compile` was given beside the optimizer; saved with the model."""

    num_data: int | None
    steps_per_execution: int | str
    run_eagerly: bool
    step_sizes: StepSizes | None


class RunningBound(keras.metrics.Metric):
    """Row-weighted means of the bound's two parts over an epoch, as the four figures that are logged.

    One variable and one addition per step: with steps of a millisecond, a Keras `Mean` per figure shows.

    Args:
        num_data: returns N, float64. (Not the variable itself: Keras resets every variable a metric holds.)
    """

    def __init__(self, num_data: Callable[[], Tensor]) -> None:
        super().__init__(name="bound", dtype="float64")
        self._num_data = num_data
        self._sums = self.add_variable(shape=(3,), initializer="zeros", dtype="float64", name="sums")

    def update_state(self, log_likelihood: Tensor, kl: Tensor, num_rows: Tensor) -> None:
        """Returns nothing; takes in the log likelihood of a batch of `num_rows` rows and the KL of its step, nats."""
        num_rows = tf.cast(num_rows, tf.float64)
        self._sums.assign_add(tf.stack([tf.cast(log_likelihood, tf.float64), kl * num_rows, num_rows]))

    def set_kl(self, kl: Tensor) -> None:
        """Returns nothing; makes `kl`, nats, the KL of all rows so far."""
        total, _, num_rows = tf.unstack(tf.convert_to_tensor(self._sums))
        self._sums.assign(tf.stack([total, kl * num_rows, num_rows]))

    def result(self) -> dict[str, Tensor]:
        """Returns loss, elbo, log_likelihood and kl, scalars float64, as means over the rows so far."""
        total, kl, num_rows = tf.unstack(tf.convert_to_tensor(self._sums))
        num_data = self._num_data()
        log_likelihood, kl = num_data * total / num_rows, kl / num_rows
        elbo = log_likelihood - kl
        return {"loss": -elbo / num_data, "elbo": elbo, "log_likelihood": log_likelihood, "kl": kl}


def compiled(steps: Callable[[Any], Any], step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns `steps` on an iterator as a graph; on a plain generator, as of `train_on_batch`, one `step`."""
    of_iterator, of_batch = tf.function(steps), tf.function(step)
    return lambda source: of_iterator(source) if isinstance(source, tf.data.Iterator) else of_batch(next(source))


class TrainingSteps(keras.Model):
    """One step of training and of evaluation, compiled: what Keras's `fit` and `evaluate` call.

    A subclass provides `bound_terms(rows, seed)`, `kl()`, `next_seed()`, `validation_seed`, `running_bound`,
    `natural_gradient`, `closed_form` and the variables `stored_num_data` and `step`.
    """

    # Keras's own attributes, which it leaves untyped
    steps_per_execution: int  # set from `compile` or chosen by `fit`
    natural_gradient: Any
    gradient_norms: GradientNorms | None = None  # set by `watched_gradients`; the step is compiled without them else
    watched_step: WatchedStep | None = None  # the step compiled with them, kept for the next fit
    train_function: Any
    test_function: Any

    def make_train_function(self, force: bool = False) -> Any:
        """Returns the function that Keras calls to train: `steps_per_execution` steps.

        Keras's own nests three graphs and wraps every batch in an optional, half of a short step's time. Here the
        steps divide the epoch, so that none can run into its end. In closed form there is nothing to trace here: sums
        are NumPy's, and what is compiled is compiled already, for all that the model does.
        """
        if self.train_function is not None and not force:
            return self.train_function
        num_steps = self.steps_per_execution

        def train_steps(iterator: Any) -> Any:
            if num_steps == 1:
                return self.train_step(next(iterator))  # raises at the end of the data, as Keras expects
            for _ in tf.range(num_steps):
                self.train_step(next(iterator))
            return self.get_metrics_result()

        def closed_form_steps(iterator: Any) -> Any:
            for _ in range(num_steps):
                self._closed_form_step(next(iterator))
            return self.get_metrics_result()

        if self.optimizer is None:
            self.train_function = closed_form_steps
        else:
            self.train_function = train_steps if self.run_eagerly else compiled(train_steps, self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Returns the function that Keras calls to evaluate; in closed form the first half of a sweep."""
        if self.optimizer is not None:
            return super().make_test_function(force)

        def log_likelihoods(iterator: Any) -> Any:
            for step in range(self.steps_per_execution):
                # The end of the data raises, as Keras expects, unless rows have come: steps are grouped for training
                batch = next(iterator) if step == 0 else next(iterator, None)
                if batch is None:
                    break
                rows = keras.utils.unpack_x_y_sample_weight(batch)[0]  # `test_on_batch` gives (x, None, None)
                of_one = [np.asarray(value)[None] for value in self.closed_form.coefficients()]
                (log_likelihood,), _ = self.natural_gradient.log_likelihoods(of_one, RowBlock(rows))
                self.running_bound.update_state(log_likelihood, self.kl(), tf.shape(rows)[0])
            return self.get_metrics_result()

        self.test_function = log_likelihoods
        return log_likelihoods

    def _closed_form_step(self, rows: Tensor) -> None:
        log_likelihood, kl, is_correction = self.closed_form.step(rows)
        self.running_bound.update_state(log_likelihood, kl, tf.shape(rows)[0])
        if is_correction:
            self.running_bound.set_kl(kl)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Returns the running logs after one step of the optimizer on centred rows (B, D)."""
        rows = keras.utils.unpack_x_y_sample_weight(data)[0]
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            with tf.control_dependencies([rows]):  # a batch that never comes must not use up a step
                seed = self.next_seed()
            log_likelihoods, kl = self.bound_terms(rows, seed)
            num_data = tf.cast(self.stored_num_data, kl.dtype)
            loss = kl / num_data - tf.cast(tf.reduce_mean(log_likelihoods), kl.dtype)
        gradients = self._only_if_finite(loss, tape.gradient(loss, variables))
        if self.gradient_norms is not None:
            self.gradient_norms.update(gradients)
        with tf.control_dependencies(gradients):
            self.optimizer.apply_gradients(zip(gradients, variables))
        return self._track(log_likelihoods, kl)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Returns the running logs of centred rows (B, D), with draws from a fixed seed, so that epochs compare."""
        rows = keras.utils.unpack_x_y_sample_weight(data)[0]
        return self._track(*self.bound_terms(rows, self.validation_seed))

    @property
    def metrics(self) -> list[Any]:
        """The running mean behind the logs, reset by Keras at each epoch."""
        return [self.running_bound]

    def _track(self, log_likelihoods: Tensor, kl: Tensor) -> dict[str, Tensor]:
        total = tf.reduce_sum(tf.cast(log_likelihoods, tf.float64))
        self.running_bound.update_state(total, kl, tf.size(log_likelihoods))
        return self.get_metrics_result()

    def _only_if_finite(self, loss: Tensor, gradients: list[Tensor]) -> list[Tensor]:
        """Returns the gradients; stops the run, before any variable moves, if they or the loss are not finite."""
        total = loss + tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])
        message = f"{LOSS_NOT_FINITE} at step"
        # Held to the range of float32: a loss of 1e67 is finite in float64 and has diverged all the same.
        is_finite = tf.math.is_finite(tf.cast(total, tf.float32))
        check = tf.debugging.Assert(is_finite, [message, tf.convert_to_tensor(self.step)])
        with tf.control_dependencies([] if check is None else [check]):
            return [tf.identity(gradient) for gradient in gradients]


class StoreBound(keras.callbacks.Callback):
    """Keeps the bound of the epoch with the weights, before any other callback saves or restores them."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Returns nothing; tells closed-form training which epoch begins."""
        if self.model.optimizer is None:
            self.model.closed_form.begin_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Returns nothing; stores the bound."""
        self.model.stored_elbo.assign(logs["elbo"])


def refuse_learning_rates(callbacks: Any) -> None:
    """Returns nothing when no callback wants a learning rate, which closed-form training has not.

    Raises:
        ValueError: one does.
    """
    kinds = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    for callback in given:
        if isinstance(callback, kinds):
            raise ValueError(
                f"`callbacks` must not change a learning rate: closed-form training has none. "
                f"Received: {type(callback).__name__}. Leave it out, or compile with an optimizer."
            )


def with_first(callback: Any, callbacks: Any) -> Any:
    """Returns Keras's `callbacks` argument, of any kind it may have, with `callback` before the others."""
    others = [other for other in _listed(callbacks) if type(other) is not type(callback)]  # a list of an earlier fit
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callback.set_model(callbacks.model)
        callbacks.callbacks = [callback, *others]
        return callbacks
    return [callback, *others]


def _listed(callbacks: Any) -> list[Any]:
    """Returns Keras's `callbacks` argument, of any kind it may have, as a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return keras.tree.flatten(callbacks) if callbacks else []


@contextlib.contextmanager
def errors_told(callbacks: Any) -> Iterator[None]:
    """Calls `on_train_error(error)` of the callbacks that have such a method when the block fails: Keras calls none.

    Args:
        callbacks: Keras's argument, of any kind it may have.
    """
    try:
        yield
    except BaseException as error:
        for callback in _listed(callbacks):
            if hasattr(callback, "on_train_error"):
                callback.on_train_error(error)
        raise


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turns the two failures we raise inside graphs into Python's own, without TensorFlow's stack in the way."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        of_file = file_error_of(error)
        if of_file is not None:
            raise of_file from None
        if NOT_FINITE in error.message:
            raise ValueError(
                f"{NOT_FINITE}. Drop or fill those rows; the model stands as after the last good step."
            ) from None
        if LOSS_NOT_FINITE in error.message:
            step = re.search(r"at step\D*(\d+)", error.message)
            where = f" at step {step[1]}" if step else ""
            raise FloatingPointError(
                f"{LOSS_NOT_FINITE}{where}. The model stands as after the last good step. "
                "Lower the learning rate, or look for columns of very different size."
            ) from None
        raise


def check_optimizer(optimizer: Any) -> Any:
    """Returns the Keras optimizer that `optimizer` is or names, with a learning rate that can be.

    Raises:
        ValueError: an unknown optimizer, or a learning rate that is not positive and finite.
    """
    try:
        optimizer = keras.optimizers.get(optimizer)
    except ValueError as error:
        raise ValueError(
            f"`optimizer` must be a Keras optimizer or its name. Received: {optimizer!r}. "
            "Pass one, e.g. keras.optimizers.Adam(1e-2)."
        ) from error
    learning_rate = float(np.asarray(optimizer.learning_rate))
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"`learning_rate` must be positive and finite. Received: {learning_rate}. Try 1e-2, or 1e-3.")
    return optimizer


def refuse_labels(**arguments: Any) -> None:
    """Returns nothing when all arguments are None.

    Raises:
        TypeError: one is not; a mixture has no labels or weights.
    """
    for name, value in arguments.items():
        if value is not None:
            raise TypeError(
                f"`{name}` must be left out: a mixture is fitted to rows alone. "
                f"Received: {type(value).__name__}. Rows with weights are not supported yet."
            )
