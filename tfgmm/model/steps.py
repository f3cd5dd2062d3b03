"""The functions that Keras's `fit` and `evaluate` call: some steps on the batches of an iterator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.model.closed_form import ClosedFormTraining
from tfgmm.model.keras3 import keras
from tfgmm.model.running_bound import RunningBound
from tfgmm.model.training_errors import LOSS_NOT_FINITE

Logs = dict[str, Tensor]


def gradient_steps(
    step: Callable[[Any], Logs], logs: Callable[[], Logs] | None, num_steps: int, *, run_eagerly: bool
) -> Callable[[Any], Logs]:
    """Makes the function that takes steps of an optimizer, compiled.

    Keras's own function nests three graphs and wraps every batch in an optional, which takes half of the time of a
    short step. Here the number of steps divides the epoch, so that no call runs into its end.

    Args:
        step: One step on a batch.
        logs: Function that returns the running logs; None for those of the last step, which makes a larger graph.
        num_steps: Number of steps per call.
        run_eagerly: Whether to run as plain Python, for debugging.
    """

    one = step if run_eagerly else tf.function(step)  # called from two places, traced once

    def steps(iterator: Any) -> Logs:
        if num_steps == 1:
            return step(next(iterator))  # raises at the end of the data, as Keras expects
        if logs is None:
            of_last = one(next(iterator))
            for _ in tf.range(num_steps - 1):
                of_last = one(next(iterator))
            return of_last
        for _ in tf.range(num_steps):
            step(next(iterator))
        return logs()

    return _by_source(steps, step) if run_eagerly else _by_source(tf.function(steps), tf.function(step))


def _by_source(of_iterator: Callable[[Any], Any], of_batch: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Takes steps from an iterator, and one step from a plain generator, such as `train_on_batch` makes."""
    return lambda source: of_iterator(source) if isinstance(source, tf.data.Iterator) else of_batch(next(source))


def closed_form_steps(
    training: ClosedFormTraining, bound: RunningBound, logs: Callable[[], Logs], num_steps: int
) -> Callable[[Any], Logs]:
    """Makes the function that takes in batches in closed form.

    Nothing is traced here: NumPy adds up the rows and takes the steps.

    Args:
        training: Training that takes in the batches.
        bound: Running bound to update.
        logs: Function that returns the running logs.
        num_steps: Number of batches per call.
    """

    def steps(iterator: Any) -> Logs:
        for _ in range(num_steps):
            rows = next(iterator, None)
            if rows is None:  # a sweep ends where the data end, also before its last step
                kl = training.finish()
                if kl is not None:
                    bound.set_kl(kl)
                raise StopIteration
            of_batch = training.step(rows)
            bound.update_state(of_batch.log_likelihood, of_batch.kl, of_batch.num_rows)
            if of_batch.is_correction:
                bound.set_kl(of_batch.kl)
        return logs()

    return steps


def closed_form_evaluation(
    training: ClosedFormTraining, bound: RunningBound, logs: Callable[[], Logs], num_steps: int
) -> Callable[[Any], Logs]:
    """Makes the function that evaluates batches in closed form: the first half of a sweep.

    Args: As `closed_form_steps`.
    """
    q = training.variational

    def evaluate(iterator: Any) -> Logs:
        for step in range(num_steps):
            # The end of the data raises, as Keras expects, unless this call had rows: steps are grouped for training
            batch = next(iterator) if step == 0 else next(iterator, None)
            if batch is None:
                break
            rows = keras.utils.unpack_x_y_sample_weight(batch)[0]  # `test_on_batch` gives (x, None, None)
            log_likelihood, num_rows = training.log_likelihood(rows)
            bound.update_state(log_likelihood, q.kl(), num_rows)
        return logs()

    return evaluate


def only_if_finite(gradients: list[Tensor | None], loss: Tensor, step: Tensor) -> list[Tensor | None]:
    """Passes the gradients on; stops the run, before any variable moves, if they or the loss are not finite.

    Args:
        gradients: Gradients of the loss; None for variables that it does not depend on.
        loss: Loss of the step, scalar.
        step: Number of the step, for the message.
    """
    total = loss + tf.add_n([tf.cast(tf.reduce_sum(found), loss.dtype) for found in gradients if found is not None])
    # In the range of float32: a loss of 1e67 is finite in float64, but it has diverged all the same.
    is_finite = tf.math.is_finite(tf.cast(total, tf.float32))
    check = tf.debugging.Assert(is_finite, [f"{LOSS_NOT_FINITE} at step", step])
    with tf.control_dependencies([] if check is None else [check]):
        return [None if gradient is None else tf.identity(gradient) for gradient in gradients]


def steps_per_call(num_batches: int | None, most: int) -> int:
    """Chooses how many steps a call takes: at most `most`, and as many as divide the epoch.

    An endless dataset does not end with the epoch: a call that reached beyond it would take steps of the next.

    Example:

    >>> steps_per_call(12, 5), steps_per_call(None, 5)
    (4, 1)
    """
    if num_batches is None:
        return 1
    return max(size for size in range(1, min(most, num_batches) + 1) if num_batches % size == 0)
