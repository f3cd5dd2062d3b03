"""Norms of the gradients that a training step follows, taken from the step itself while a callback needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor


class GradientNorms:
    """Mean over training steps of the Euclidean norm of each variable's gradient.

    Args:
        variables: The trained variables, in the order of the gradients.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self._names = [variable.name for variable in variables]
        self._sums = tf.Variable(tf.zeros([len(self._names)], tf.float64))
        self._num_steps = tf.Variable(0.0, dtype=tf.float64)

    def update(self, gradients: Sequence[Tensor | None]) -> None:
        """Adds the gradients of a step. May be part of a graph."""
        norms = (0.0 if gradient is None else tf.norm(gradient) for gradient in gradients)
        self._sums.assign_add(tf.stack([tf.cast(norm, tf.float64) for norm in norms]))
        self._num_steps.assign_add(1.0)

    def reset(self) -> None:
        """Forgets all steps."""
        self._sums.assign(tf.zeros_like(self._sums))
        self._num_steps.assign(0.0)

    def result(self) -> dict[str, float]:
        """Computes the mean norm by the variable's name; NaN before the first step."""
        means = self._sums.numpy() / self._num_steps.numpy() if self._num_steps.numpy() else self._sums.numpy() * np.nan
        return dict(zip(self._names, means.tolist()))


class WatchedStep(NamedTuple):
    """The function that Keras calls to train, without and with gradient norms: each is traced once, when first used."""

    bare: Any
    watched: Any
    norms: GradientNorms


class Watchable(Protocol):
    """A Keras model whose training step feeds `gradient_norms` where it is not None."""

    gradient_norms: GradientNorms | None
    watched_step: WatchedStep | None
    train_function: Any
    trainable_variables: Any

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the function that Keras calls to train, anew if `force`."""


@contextlib.contextmanager
def watched_gradients(model: Watchable) -> Iterator[GradientNorms]:
    """Makes the training step of Keras record gradient norms too, while the block runs; yields them.

    A step of an earlier block is used again, unless the model was compiled anew or steps are grouped otherwise.
    """
    step = model.watched_step
    if step is None or step.bare is not model.train_function:
        bare, norms = model.train_function, GradientNorms(model.trainable_variables)
        step = model.watched_step = WatchedStep(bare, model.make_train_function(force=True), norms)
    model.gradient_norms, model.train_function = step.norms, step.watched
    try:
        yield step.norms
    finally:
        model.gradient_norms, model.train_function = None, step.bare
