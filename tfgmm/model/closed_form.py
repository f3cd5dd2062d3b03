"""Closed-form training batch by batch: what `fit` runs when the model was compiled without an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.families.natural_gradient import Place, moved, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.features import columns_of_products, num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.statistics import Statistics, added, scaled
from tfgmm.model.step_sizes import StepSizes
from tfgmm.scoring import devices


class StatisticsStore:
    """The statistics that running updates continue from: estimates for the whole data, saved with the model.

    Exact sweeps need none: each begins with no rows, and adds up its own sums.

    Args:
        add_stored: (name, shape, dtype) -> a variable of the model that is not trained.
        posterior: What the statistics move.
    """

    def __init__(self, add_stored: Callable[..., Any], posterior: VariationalPosterior) -> None:
        num_components, num_features = posterior.num_components, posterior.num_features
        products = num_products(FORMS[posterior.form].write_products, num_features)
        shapes = {"counts": (), "first": (num_features,), "second": (products,)}
        self.sums = [add_stored(f"sums_{name}", (num_components, *shape), "float64") for name, shape in shapes.items()]
        self.num_rows = add_stored("sums_num_rows", (), "float64")
        self.num_steps = add_stored("sums_num_steps", (), "int64")

    def read(self) -> Statistics:
        """Reads the statistics as they stand."""
        return Statistics(*(variable.numpy() for variable in self.sums))

    def read_for(self, num_rows: float) -> Statistics:
        """Reads the statistics as those of data of `num_rows` rows."""
        stored = float(self.num_rows)
        return scaled(self.read(), num_rows / stored if stored else 1.0)

    def shift(self, step: np.ndarray) -> None:
        """Measures the same rows from a centre that is `step`, (D,) data units, lower than before."""
        if not float(self.num_rows):
            return
        before = self.read()
        first, (one, other) = before.first, columns_of_products(before.second.shape[1], len(step))
        second = before.second + first[:, one] * step[other] + first[:, other] * step[one]
        second += before.counts[:, None] * (step[one] * step[other])
        self.write(Statistics(before.counts, first + before.counts[:, None] * step, second), float(self.num_rows))

    def write(self, statistics: Statistics, num_rows: float) -> None:
        """Stores `statistics`, which are of `num_rows` rows."""
        for variable, value in zip(self.sums, statistics):
            variable.assign(value)
        self.num_rows.assign(num_rows)

    def clear(self) -> None:
        """Forgets all statistics."""
        if not float(self.num_rows):  # nothing to forget, except after running updates
            return
        self.write(Statistics(*(np.zeros(variable.shape) for variable in self.sums)), 0.0)
        self.num_steps.assign(0)


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

    def step(self, rows: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Adds the statistics of centred rows (B, D), and moves q when it is time.

        Returns the log likelihood part of L_A of the rows, the KL, and whether that KL corrects earlier ones. Within a
        sweep of several batches it is the KL of the sweep before, until the last batch brings its own.
        """
        self._num_steps += 1
        if self._is_running or self._seen_batches == 0:
            self._coefficients = self.coefficients()
        sums, log_likelihood, _ = devices.sums(self.variational.form, self._coefficients, RowBlock(rows))
        num_rows = float(rows.shape[0])
        if self._is_running:
            self._run(sums, num_rows)
            return log_likelihood, self._kl, False
        so_far = added(self._sums, sums)
        self._sums, self._num_rows, self._seen_batches = so_far, self._num_rows + num_rows, self._seen_batches + 1
        is_last = self._seen_batches == self._num_batches
        if is_last:
            self._move(scaled(so_far, self._num_data / self._num_rows))
            self._begin_sweep()
        return log_likelihood, self._kl, is_last and self._num_batches != 1

    def finish(self) -> Any:
        """Ends a sweep where the data end before its last batch; returns the KL that corrects earlier ones, or None."""
        if self._is_running or self._sums is None:
            return None
        self._move(scaled(self._sums, self._num_data / self._num_rows))
        self._begin_sweep()
        return self._kl

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Computes the coefficients of a local step from the variables as they stand, if the last step did not."""
        values = self.variational.values()
        if self._known is None or not all(map(np.array_equal, values.flat, self._known.values.flat)):
            self._known = place_at(self.variational, values)
        return self._known.coefficients

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
        self._kl, self._known = step.kl, step.target
        return step.statistics
