"""Errors of training in plain words, and checks of what training is called with."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.model.batches import NOT_FINITE, file_error_of
from tfgmm.model.keras3 import keras
from tfgmm.model.step_sizes import StepSizes

LOSS_NOT_FINITE = "the loss or its gradient is not finite"


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


def refuse_labels(**arguments: Any) -> None:
    """Checks that all arguments are None: a mixture has no labels or weights.

    Raises:
        TypeError: One is not None.
    """
    for name, value in arguments.items():
        if value is not None:
            raise TypeError(
                f"`{name}` must be left out: a mixture is fitted to rows alone. "
                f"Received: {type(value).__name__}. Rows with weights are not supported yet."
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
