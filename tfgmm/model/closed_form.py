"""Closed-form training batch by batch: what `fit` runs when the model was compiled without an optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.natural_gradient import Place, moved, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.statistics import Statistics, added, scaled
from tfgmm.model.row_elements import block_of, total_weight
from tfgmm.model.statistics_store import StatisticsStore
from tfgmm.model.step_sizes import StepSizes
from tfgmm.scoring import devices


class BatchStep(NamedTuple):
    """What a batch brought.

    log_likelihood: The likelihood part of L_A of its rows, as often as each counts, nats.
    kl: KL of the posterior that the batch was seen with; see `ClosedFormTraining.step`.
    num_rows: Its number of rows, the sum of their weights.
    is_correction: Whether the KL corrects that of all batches before.
    """

    log_likelihood: Any
    kl: Any
    num_rows: float
    is_correction: bool


class ClosedFormTraining:
    """Adds up the statistics of batches, and moves q after each batch, or once the whole data has been seen.

    Within an exact sweep q does not move, so the batches may be of any size and in any order: the result is the same.
    The augmented bound never falls from sweep to sweep (Bishop 2006, section 10.2). A sweep over fewer or more rows
    than N stands for N: its statistics are scaled (Hoffman, Blei, Wang and Paisley 2013, section 2.4).

    Args:
        variational: The posterior, in the model's variables.
        store: Statistics of running updates.
        step_sizes: Step sizes of running updates, or None for exact sweeps only.
    """

    _sums: Statistics | None  # of the current sweep so far, and the number of its rows
    _num_rows: float
    _seen_batches: int
    _kl: Any  # before the last step
    _known: Place | None = None  # where the last step led, or the last place that was computed
    _known_columns: tuple[int, ...] = ()  # with gaps, there

    def __init__(self, variational: VariationalPosterior, store: StatisticsStore, step_sizes: StepSizes | None) -> None:
        self.variational = variational
        self._store = store
        self._step_sizes = step_sizes
        self._num_batches: int | None = None
        self._is_running = False
        self._num_steps = 0
        self._begin_sweep()

    # --- What tools ask of an optimizer, which `fit` puts this in place of -----------------------------------------

    name = "closed_form"
    built = True

    @property
    def iterations(self) -> Tensor:
        """The number of batches that were added, scalar int64."""
        return tf.constant(self._num_steps, tf.int64)

    def get_config(self) -> dict[str, Any]:
        """Returns the settings: the name alone."""
        return {"name": self.name}

    # --- Training ----------------------------------------------------------------------------------------------------

    def begin(self, num_batches: int | None, num_data: float) -> None:
        """Begins sweeps of `num_batches` batches over data of N = `num_data` rows, measured from the centre of q.

        Args:
            num_batches: Number of batches of an epoch; None, unknown: `finish` ends a sweep.
            num_data: N.
        """
        self._num_batches, self._num_data = num_batches, num_data
        self._centre = self.variational.centre
        self._kl = self.variational.kl(centre=self._centre)

    def begin_epoch(self, epoch: int) -> None:
        """Chooses running updates or an exact sweep for the epoch, counted from 0."""
        self._is_running = self.runs_in(epoch)
        if not self._is_running:
            self._store.clear()  # of the running updates before
        self._begin_sweep()

    def runs_in(self, epoch: int) -> bool:
        """Tells whether q moves after every batch of the epoch."""
        sizes = self._step_sizes
        return sizes is not None and (sizes.num_epochs is None or epoch < sizes.num_epochs)

    @property
    def has_sweeps(self) -> bool:
        """Whether some epoch is an exact sweep."""
        return self._step_sizes is None or self._step_sizes.num_epochs is not None

    def step(self, rows: Any) -> BatchStep:
        """Adds the statistics of a batch of centred rows, an element of a pipeline, and moves q when it is time.

        Within a sweep of several batches the KL is that of the sweep before, until the last batch brings its own.
        """
        self._num_steps += 1
        if self._is_running or self._seen_batches == 0:
            self._coefficients = self.coefficients()
        block = block_of(rows)
        num_rows = total_weight(block)
        if not num_rows:  # no row of the batch says anything
            return self._passed_over()
        q = self.variational
        sums, log_likelihood, _ = devices.sums(q.form, self._coefficients, block, q.gap_columns)
        if self._is_running:
            self._run(sums, num_rows)
            return BatchStep(log_likelihood, self._kl, num_rows, False)
        self._sums, self._num_rows = added(self._sums, sums), self._num_rows + num_rows
        return self._end_of_batch(log_likelihood, num_rows)

    def _passed_over(self) -> BatchStep:
        if self._is_running:
            return BatchStep(0.0, self._kl, 0.0, False)
        return self._end_of_batch(0.0, 0.0)

    def _end_of_batch(self, log_likelihood: Any, num_rows: float) -> BatchStep:
        """Counts a batch of a sweep, and moves q after the last."""
        self._seen_batches += 1
        is_last = self._seen_batches == self._num_batches
        if is_last:
            self.finish()
            self._begin_sweep()
        return BatchStep(log_likelihood, self._kl, num_rows, is_last and self._num_batches != 1)

    def log_likelihood(self, rows: Any) -> tuple[Any, float]:
        """Computes the likelihood part of L_A of a batch, nats, and the number of its rows, the sum of weights."""
        block = block_of(rows)
        num_rows = total_weight(block)
        if not num_rows:
            return 0.0, 0.0
        q = self.variational.at(self.variational.values())
        # Not those of training: any value of other rows may be missing, and then counts for nothing too
        q.observe_gaps(range(q.num_features) if isinstance(rows, dict) and "seen" in rows else ())
        of_one = [value[None] for value in self._coefficients_of(q)]
        (log_likelihood,), _ = devices.log_likelihoods(q.form, of_one, block, q.gap_columns)
        return log_likelihood, num_rows

    def finish(self) -> Any:
        """Ends a sweep where the data end before its last batch; returns the KL that corrects earlier ones, or None."""
        if self._is_running or self._sums is None:
            return None
        self._move(scaled(self._sums, self._num_data / self._num_rows))
        self._begin_sweep()
        return self._kl

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Computes the coefficients of a local step from the variables as they stand, if the last step did not."""
        return self._coefficients_of(self.variational)

    def _coefficients_of(self, q: VariationalPosterior) -> tuple[np.ndarray, np.ndarray]:
        values, known = q.values(), self._known
        is_known = known is not None and q.gap_columns == self._known_columns
        if known is None or not (is_known and all(map(np.array_equal, values.flat, known.values.flat))):
            known = self._known = place_at(q, values)
            self._known_columns = q.gap_columns
        return known.coefficients

    def _begin_sweep(self) -> None:
        """Forgets the rows of the sweep before, which may have been broken off."""
        self._sums, self._num_rows, self._seen_batches = None, 0.0, 0

    def _run(self, sums: Statistics, num_rows: float) -> None:
        size = self._step_sizes.step_size(int(self._store.num_steps)) if self._step_sizes else 1.0
        of_batch = scaled(sums, self._num_data / num_rows)
        statistics = added(scaled(self._store.read_for(self._num_data), 1.0 - size), scaled(of_batch, size))
        self._store.write(self._move(statistics), self._num_data)
        self._store.num_steps.assign_add(1)

    def _move(self, statistics: Statistics) -> Statistics:
        """Moves q, and returns the statistics in the order that the components have after the step."""
        step = moved(self.variational, self.variational.values(), statistics, self._centre)
        self.variational.assign(step.target.values)
        self._kl, self._known, self._known_columns = step.kl, step.target, self.variational.gap_columns
        return step.statistics
