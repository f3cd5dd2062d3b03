"""How a model trains on rows that are opened: batch after batch, by Keras's own loop."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

from tfgmm.common.checks import check_count
from tfgmm.data.row_source import RowSource
from tfgmm.data.summary import DataSummary
from tfgmm.families import sweep_batch_size
from tfgmm.model.batches import (
    Batches,
    default_batch_size,
    has_gaps,
    num_batches_of,
    ordered_batches,
    training_batches,
)
from tfgmm.model.compiled_model import CompiledModel
from tfgmm.model.feed import Feed, shown_to_keras
from tfgmm.model.running_bound import StoreBound
from tfgmm.model.steps import steps_per_call
from tfgmm.model.training_errors import (
    errors_reported,
    plain_errors,
    refuse_learning_rates,
    with_first,
)

# Rows per call of the compiled training function: with fewer, Python's share of the time is noticeable; with more,
# callbacks and the progress bar wait too long.
_ROWS_PER_EXECUTION = 65_536


def num_rows_of(summary: DataSummary) -> float:
    """Reads how many rows a summary is of, whatever they weigh."""
    return summary.num_rows or summary.num_data


class BatchedTraining(CompiledModel):
    """A model that trains on batches of opened rows."""

    def batches_of(
        self,
        source: RowSource,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
    ) -> Batches:
        """Makes the batches that training takes from opened data, for a model that has adopted its survey."""
        # The order of rows changes nothing within an exact sweep, and reading in order is faster
        shuffle = shuffle and not (self.is_closed_form and not self.closed_form.runs_in(0))
        order: dict[str, Any] = {"seed": self.seed, "shuffle": shuffle, "initial_epoch": initial_epoch}
        summary: Any = self.data_summary  # of the survey
        batch_size = self.checked_batch_size(batch_size, source, num_rows_of(summary), steps_per_epoch)
        steps_per_epoch = self._steps_within(steps_per_epoch, source, batch_size)
        return training_batches(source, self.centre, batch_size, steps_per_epoch=steps_per_epoch, **order)

    def _steps_within(self, steps: int | None, source: RowSource, batch_size: int) -> int | None:
        """Ends an epoch where the data end: a dataset's, and a sweep, in which rows seen twice would count twice."""
        length = num_batches_of(source, batch_size)
        is_sweep = self.is_closed_form and self.closed_form.has_sweeps
        if steps is None or length is None or steps <= length or not (is_sweep or source.has_own_batches):
            return steps
        warnings.warn(
            f"steps_per_epoch={steps} is more than the {length} batches that `{source.name}` has: every epoch "
            "ends where the data end. Leave steps_per_epoch out to see all rows once.",
            stacklevel=4,
        )
        return length

    def train_on(self, batches: Batches, *, epochs: int, callbacks: Any = None, **passed_on: Any) -> Any:
        """Trains on batches of centred rows, and returns the Keras `History`; arguments as in `fit`."""
        self._set_steps_per_execution(batches)
        if self.is_closed_form:
            refuse_learning_rates(callbacks)
            self._begin_closed_form(batches)
        initial_epoch = passed_on.get("initial_epoch", 0)
        self.feed = Feed(batches.dataset, initial_epoch, batches.from_epoch)
        optimizer, self.optimizer = self.optimizer, self.closed_form if self.is_closed_form else self.optimizer
        try:
            with errors_reported(callbacks), plain_errors():
                return super().fit(
                    shown_to_keras(*batches[:3], epochs - initial_epoch),
                    epochs=epochs,
                    callbacks=with_first(StoreBound(), callbacks),
                    shuffle=False,
                    steps_per_epoch=batches.steps_per_epoch,
                    **passed_on,
                )
        finally:
            self.optimizer, self.feed = optimizer, None

    def batches_to_validate(self, source: RowSource) -> tf.data.Dataset:
        """Makes the batches of opened rows to validate on."""
        summary: Any = self.data_summary
        batch_size = default_batch_size(num_rows_of(summary), self.num_components, self.num_features)
        return ordered_batches(source, self.centre, batch_size)

    def checked_batch_size(self, batch_size: int | None, source: RowSource, num_rows: float, steps: int | None) -> int:
        """Checks B, or chooses it: a number of steps must mean as many rows in closed form as with an optimizer."""
        if batch_size is not None:
            return check_count("batch_size", batch_size)
        sweeps_only = self.is_closed_form and not self.closed_form.runs_in(0)
        if sweeps_only and steps is None and source.is_in_memory:
            return sweep_batch_size(num_rows, self.num_components, self.num_features)
        return default_batch_size(num_rows, self.num_components, self._numbers_per_component(source))

    def _numbers_per_component(self, source: RowSource) -> int:
        """Counts the numbers of a row and component that a step holds: D, or D^2 where each pair has a matrix."""
        is_partial = source.noise_axes > 0 or has_gaps(source)
        has_matrices = self.variational.form == "correlated" or source.noise_axes == 2
        return self.num_features ** (2 if is_partial and has_matrices and not self.is_closed_form else 1)

    def _begin_closed_form(self, batches: Batches) -> None:
        variables = self.variational.trained.variables.flat
        num_moving = sum(variable.trainable for variable in variables)
        if 0 < num_moving < len(variables):
            raise ValueError(
                "`trainable` must be the same for all variables in closed form, which moves them together. "
                f"Received: True for {num_moving} of {len(variables)}. Set model.trainable, or choose an optimizer."
            )
        self.closed_form.begin(batches.num_batches, float(self.stored_num_data))

    def _set_steps_per_execution(self, batches: Batches) -> None:
        """Groups steps into calls of the compiled function, as many as divide the epoch and stay responsive."""
        setting = self.compile_settings.steps_per_execution
        if setting == "auto":
            most = 1 if batches.batch_size is None else max(1, _ROWS_PER_EXECUTION // batches.batch_size)
        else:
            most = int(setting)
        num_steps = steps_per_call(batches.num_batches, most)
        if num_steps != self.steps_per_execution:
            self.steps_per_execution = num_steps
            self.train_function = self.test_function = None
