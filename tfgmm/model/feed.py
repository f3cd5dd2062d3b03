"""The batches that a fit takes, pass after pass, beside what Keras is shown of them.

Keras counts steps; the batches themselves come from one iterator for the whole fit. Tools that wrap `keras.Model.fit`
read the dataset that Keras is handed, so that one must end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# What Keras is handed of an endless dataset: as many epochs as stay below, so that it rarely begins anew
_MOST_SHOWN_BATCHES, _MOST_SHOWN_ROWS = 1_024, 2**20


class Feed:
    """Gives a fit its batches in their order, and says where an epoch ends before its number of steps.

    Args:
        dataset: (B, D) batches: endless, or of a length that nobody knows; then a pass begins anew where one has ended.
        first_epoch: The epoch that they begin with.
        from_epoch: Makes those that begin with another epoch: a callback may restore a model on the way to it. None
            where all epochs are alike.
    """

    def __init__(
        self,
        dataset: tf.data.Dataset,
        first_epoch: int = 0,
        from_epoch: Callable[[int], tf.data.Dataset] | None = None,
    ) -> None:
        self._dataset = dataset
        self._first_epoch, self._from_epoch = first_epoch, from_epoch
        self._batches: Any = None
        self._has_begun = False

    def begin_epoch(self, epoch: int = 0) -> None:
        """Says that the next batch is the first of this epoch."""
        self._has_begun = False
        if self._batches is None and self._from_epoch is not None and epoch != self._first_epoch:
            self._dataset, self._first_epoch = self._from_epoch(epoch), epoch

    def into(self, steps: Callable[[Any], Any]) -> Any:
        """Gives the batches to `steps`, which takes some of them, and returns what it returns.

        Raises:
            StopIteration: The data end within the epoch.
            ValueError: There are none at all.
        """
        if self._batches is not None:
            try:
                return self._taken(steps)
            except (StopIteration, tf.errors.OutOfRangeError):
                self._batches = None
                if self._has_begun:
                    raise StopIteration from None
        self._batches = iter(self._dataset)
        try:
            return self._taken(steps)
        except (StopIteration, tf.errors.OutOfRangeError):
            raise ValueError(
                "`x` must be a dataset that can be read once per epoch. Received: one that has no batches left. "
                "Make it from a function that begins anew, as tf.data.Dataset.from_generator(function, ...) does."
            ) from None

    def _taken(self, steps: Callable[[Any], Any]) -> Any:
        logs = steps(self._batches)
        self._has_begun = True
        return logs


def shown_to_keras(
    dataset: tf.data.Dataset, steps_per_epoch: int | None, batch_size: int | None, epochs: int
) -> tf.data.Dataset:
    """Cuts an endless dataset to whole epochs: what Keras counts its steps by.

    Args:
        dataset: Batches, endless or not.
        steps_per_epoch: Steps of an epoch; None for a dataset of unknown length.
        batch_size: B, where it is known.
        epochs: Number of epochs of the fit.
    """
    is_unknown = int(dataset.cardinality()) == int(tf.data.UNKNOWN_CARDINALITY)
    if steps_per_epoch is None or is_unknown:
        return dataset
    rows = _MOST_SHOWN_ROWS // (steps_per_epoch * (batch_size or 1))
    length = steps_per_epoch * max(1, min(epochs, _MOST_SHOWN_BATCHES // steps_per_epoch, rows))
    return dataset.take(length).apply(tf.data.experimental.assert_cardinality(length))
