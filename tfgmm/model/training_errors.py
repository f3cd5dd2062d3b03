"""Errors of training in plain words, and checks of what training is called with."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.model.keras3 import keras
from tfgmm.model.row_elements import BAD_WEIGHTS, INFINITE, NOT_FINITE
from tfgmm.model.step_sizes import StepSizes

LOSS_NOT_FINITE = "the loss or its gradient is not finite"

# What pipelines stop at, and what to do
_OF_BATCHES = {
    NOT_FINITE: "Drop or fill those rows",
    INFINITE: "Drop those rows",
    BAD_WEIGHTS: "Write 0 for rows that do not count",
}


def refuse_learning_rates(callbacks: Any) -> None:
    """Checks that no callback changes a learning rate, which closed-form training does not have.

    Raises:
        ValueError: One does.
    """
    kinds = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]:
        if isinstance(callback, kinds):
            raise ValueError(
                f"`callbacks` must not change a learning rate: closed-form training has none. "
                f"Received: {type(callback).__name__}. Leave it out, or compile with an optimizer."
            )


def with_first(callback: Any, callbacks: Any) -> Any:
    """Puts `callback` before the others in Keras's `callbacks` argument, of any kind it may have."""
    # The list of an earlier fit has one already
    others = [other for other in _listed(callbacks) if type(other) is not type(callback)]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callback.set_model(callbacks.model)
        callbacks.callbacks = [callback, *others]
        return callbacks
    return [callback, *others]


def _listed(callbacks: Any) -> list[Any]:
    """Lists the callbacks in Keras's `callbacks` argument, of any kind that it may have."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return keras.tree.flatten(callbacks) if callbacks else []


@contextlib.contextmanager
def errors_reported(callbacks: Any) -> Iterator[None]:
    """Calls `on_train_error(error)` of the callbacks that have it when the block fails.

    Keras has no such call.

    Args:
        callbacks: Keras's argument, of any kind that it may have.
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
    """Turns the failures that we raise inside graphs into Python's own errors, without TensorFlow's long messages."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        of_file = file_error_of(error)
        if of_file is not None:
            raise of_file from None
        for words, fix in _OF_BATCHES.items():
            if words in error.message:
                raise ValueError(f"{words}. {fix}; the model stands as after the last good step.") from None
        if LOSS_NOT_FINITE in error.message:
            step = re.search(r"at step\D*(\d+)", error.message)
            where = f" at step {step[1]}" if step else ""
            raise FloatingPointError(
                f"{LOSS_NOT_FINITE}{where}. The model stands as after the last good step. "
                "Lower the learning rate, or look for columns of very different size."
            ) from None
        raise


def file_error_of(error: tf.errors.OpError) -> ValueError | None:
    """Recovers the error that stopped the reading of files from the one that TensorFlow made of it; None for others.

    Example:

    >>> file_error_of(tf.errors.InvalidArgumentError(None, None, "ValueError: `x` must be a CSV file.\\nTraceback"))
    ValueError('`x` must be a CSV file.')
    """
    message = re.search(r"ValueError: (`\w+` must .*)", error.message)
    return ValueError(message[1]) if message else None


def check_optimizer(optimizer: Any) -> Any:
    """Checks an optimizer and its learning rate, and makes it if it is a name; returns the Keras optimizer.

    Raises:
        ValueError: The optimizer is unknown, or its learning rate is not positive and finite.
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


def check_num_data(num_data: Any) -> float:
    """Checks N, a number of rows or a sum of weights, and returns it, an int where it is whole.

    Raises:
        ValueError: It is not a finite number of at least 1.
    """
    is_number = isinstance(num_data, (int, float, np.integer, np.floating)) and not isinstance(num_data, bool)
    if not is_number or not 1 <= num_data < math.inf:
        raise ValueError(
            "`num_data` must be a finite number of at least 1: the number of rows, or the sum of their weights. "
            f"Received: {num_data!r}. Pass it, or leave it out to have the rows counted."
        )
    return int(num_data) if float(num_data).is_integer() else float(num_data)


def refuse_labels(**arguments: Any) -> None:
    """Checks that all arguments are None: a mixture has no labels.

    Raises:
        TypeError: One is not None.
    """
    for name, value in arguments.items():
        if value is not None:
            raise TypeError(
                f"`{name}` must be left out: a mixture is fitted to rows, and has no labels. "
                f"Received: {type(value).__name__}. To say how often rows count, pass sample_weight=..."
            )


def check_step_sizes(step_sizes: Any, optimizer: Any) -> None:
    """Checks that `step_sizes` come with closed-form training only.

    Raises:
        TypeError: They are not a `StepSizes`.
        ValueError: There is an optimizer too.
    """
    if step_sizes is not None and not isinstance(step_sizes, StepSizes):
        raise TypeError(
            f"`step_sizes` must be a tfgmm.StepSizes. Received: {step_sizes!r}. Pass tfgmm.StepSizes(num_epochs=1)."
        )
    if optimizer is not None and step_sizes is not None:
        raise ValueError(
            f"`step_sizes` must be left out with an optimizer, which has its own. Received: {step_sizes}. "
            "Leave one of the two out."
        )
