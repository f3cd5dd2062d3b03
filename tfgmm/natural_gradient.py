"""Closed-form training: sweeps of natural-gradient steps of length 1 on the augmented bound."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgmm import bounds

Tensor = Any


class ExactSweeps:
    """Takes in the statistics of one batch after another, and moves q when the whole data has been seen.

    Within a sweep q stands still, so the batches may be of any size and in any order: the result is the same. The
    augmented bound never falls from sweep to sweep (Bishop 2006, section 10.2). A sweep over fewer or more rows
    than N stands for N: its statistics are scaled (Hoffman, Blei, Wang and Paisley 2013, section 2.4).

    Args:
        weights: a class of `tfgmm.weights`, with its variables.
        components: a class of `tfgmm.components`, with its variables.
    """

    def __init__(self, weights: Any, components: Any) -> None:
        self._weights = weights
        self._components = components
        self._sums = tf.nest.map_structure(
            lambda zeros: tf.Variable(zeros, trainable=False), components.no_statistics()
        )
        self._num_batches = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._seen_batches = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._seen_rows = tf.Variable(0.0, trainable=False, dtype=tf.float64)

    def begin(self, num_batches: int) -> None:
        """Returns nothing; starts afresh with sweeps of `num_batches` batches."""
        self._num_batches.assign(num_batches)
        self._clear()

    def step(self, rows: Tensor, centre: Tensor, num_data: Tensor) -> Tensor:
        """Returns the augmented log likelihoods, (B,), of centred rows (B, D); ends the sweep with the last batch.

        Args:
            rows: (B, D) float32, measured from `centre`.
            centre: (D,) float64, data units.
            num_data: N, float64.
        """
        log_likelihoods, responsibilities = bounds.local_step(self._weights, self._components, rows)
        posterior = self._components.posterior()
        added = self._components.statistics(rows, responsibilities, posterior)
        sums = [total.assign_add(value) for total, value in zip(self._sums, added)]
        share = num_data / self._seen_rows.assign_add(tf.cast(tf.shape(rows)[0], tf.float64))
        whole = type(added)(*(share * total for total in sums))
        is_last = tf.equal(self._seen_batches.assign_add(1), self._num_batches)
        tf.cond(is_last, lambda: self._finish(posterior, whole, centre), lambda: None)
        return log_likelihoods

    def _finish(self, posterior: Any, statistics: Any, centre: Tensor) -> None:
        components = self._components.update(posterior, statistics, centre)
        weights = self._weights.update(statistics.counts)
        self._components.assign(components)
        self._weights.assign(weights)
        self._clear()

    def _clear(self) -> None:
        self._seen_batches.assign(0)
        self._seen_rows.assign(0.0)
        for total in self._sums:
            total.assign(tf.zeros_like(total))
