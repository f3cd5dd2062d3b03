"""How a mixture is trained: Keras's `fit` and `evaluate`, by sweeps or by gradients."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

from tfgmm.common.checks import check_count
from tfgmm.common.forks import check_not_forked
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends
from tfgmm.data.survey import Survey, survey_rows
from tfgmm.mixture.odd_data import warn_of_pulls
from tfgmm.model.batched_training import BatchedTraining, num_rows_of
from tfgmm.model.batches import ordered_batches
from tfgmm.model.keras_arguments import refuse_strategy
from tfgmm.model.opened_rows import Carried, Columns, Validation, open_carried, open_training
from tfgmm.model.training_errors import plain_errors, refuse_labels


class KerasTraining(BatchedTraining):
    """A model with Keras's `fit` and `evaluate`, for rows of any kind."""

    def fit(
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        *,
        noise: Any = None,
        missing: str = "refuse",
    ) -> Any:
        """Trains the model on rows.

        A model that has not changed since it was made starts at the groups nearest to k-means++ centres, unless
        `initialize` chose otherwise; a trained or loaded one continues from where it is. With `trainable = False`
        nothing moves.

        Args:
            x: (N, D) array, nested list, pandas or polars frame, path of a CSV, Parquet or Arrow file, or a
                tf.data dataset of (B, D) batches, or of these and their weights. Infinite values are refused; for NaN
                see `missing`.
            batch_size: Rows per step; default all rows when they are few, else about 64 K. In exact sweeps over rows
                in memory, without `steps_per_epoch`, the default is larger, and the size only decides how often
                callbacks are called.
            validation_data: Further rows, of any kind that `x` may be, or (rows, None, sample_weight) as in Keras,
                or (rows, None, sample_weight, noise); logged as `val_loss` and so on, scaled by the training N so
                that they compare.
            validation_split: Share of the rows, from the end, held out for validation (not for datasets).
            shuffle: Whether the rows have a new order every epoch, a pure function of (seed, epoch).
            y, class_weight: Refused, since a mixture has none.
            sample_weight: How often each row counts: (N,) numbers of 0 or more, or for tables and files the name of
                their column, which is then none of the D columns. N is their sum.
            steps_per_epoch: As in `keras.Model.fit`; an epoch of a dataset, and an exact sweep, end where the data end.
            epochs, verbose, callbacks, initial_epoch: As in `keras.Model.fit`.
            validation_steps, validation_batch_size, validation_freq: As in `keras.Model.fit`.
            noise: Measurement noise: standard deviations (N, D), covariances (N, D, D), data units, or for tables and
                files {column: column of its standard deviation}. Infinite noise makes a value a gap.
            missing: "refuse" to refuse NaN; "integrate" for values that are missing at random: they are integrated
                out, and rows without any value left out.

        Returns:
            The Keras `History`; its logs are means over the rows of each epoch, as often as each counts.

        Logs:
            loss: -elbo / N, nats per row.
            elbo: log_likelihood - kl, whole data, nats; it goes up.
            log_likelihood: Expected log likelihood of the whole data, nats.
            kl: KL(q || prior), nats.
            With an optimizer the elbo is an estimate of the marginal bound from the draws of each step. In closed form
            it is the augmented bound, exact, of the posterior that the epoch began with (`evaluate` computes that of
            the last one). To stop on it, use EarlyStopping("val_loss"), or EarlyStopping("elbo", mode="max"): Keras
            cannot guess that it rises.

        Raises:
            ValueError, TypeError: The data is bad (see `tfgmm.data.readers.read_rows`), or N is unknown.
            UserWarning: The priors decide where a component is, or what all look like.
            FloatingPointError: The loss became NaN or infinite; the model stays as after its last good step.
        """
        refuse_labels(y=y, class_weight=class_weight)
        self._check_compiled("fit")
        steps_per_epoch = None if steps_per_epoch is None else check_count("steps_per_epoch", steps_per_epoch)
        epochs = check_count("epochs", epochs, least=0)
        self._warn_if_frozen()
        held_out = Validation(validation_data, validation_split, validation_steps)
        carried = Carried(sample_weight, noise, missing)
        source, validation = open_training(x, self._columns, carried, held_out, batch_size, steps_per_epoch)
        survey = survey_rows(source, self.compile_settings.num_data, self.seed)
        num_rows = self._adopt(survey, source)
        size = self.checked_batch_size(batch_size, source, num_rows, steps_per_epoch)
        held = self._validation_batches(validation, validation_batch_size, batch_size, num_rows, validation_steps)
        others = {"validation_data": held, "initial_epoch": initial_epoch, "verbose": verbose, "callbacks": callbacks}
        others |= {"validation_steps": validation_steps, "validation_freq": validation_freq}
        batches = self.batches_of(source, size, steps_per_epoch, shuffle, initial_epoch)
        history = self.train_on(batches, epochs=epochs, **others)
        self._warn_of_pulls()
        return history

    def evaluate(
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        *,
        noise: Any = None,
        missing: str = "refuse",
        **kwargs: Any,
    ) -> Any:
        """Computes the figures that `fit` logs, for other rows, scaled by the N of training (saved with the model).

        With an optimizer the draws are from a fixed seed; in closed form there are none.

        Args:
            x: Rows, as in `fit`.
            sample_weight, noise, missing: As in `fit`. The other arguments are those of `keras.Model.evaluate`.

        Returns:
            [loss, elbo, log_likelihood, kl], or a dict of them with `return_dict=True`.
        """
        passed_on = {"verbose": verbose, "steps": steps, "callbacks": callbacks}
        if kwargs:  # `fit` evaluates its validation rows, which are batches of our own already
            return super().evaluate(x, return_dict=return_dict, **passed_on, **kwargs)
        refuse_labels(y=y)
        self._check_compiled("evaluate")
        if not self.num_data:
            raise ValueError(
                "`num_data`, the number of rows trained on, must be known: it scales the KL term. "
                "Received: a model that was never fitted. Call fit first, or compile(..., num_data=...)."
            )
        source = open_carried(x, "x", self._columns, Carried(sample_weight, noise, missing))
        check_ends(source, steps, "Pass steps=..., or remove .repeat().")
        if source.num_data is not None:
            batch_size = self.checked_batch_size(batch_size, source, source.num_data, steps)
        batches = ordered_batches(source, self.centre, batch_size)
        with plain_errors():
            logs = super().evaluate(batches, return_dict=True, **passed_on)
        return logs if return_dict else self._in_order(logs)

    def train_on_batch(
        self,
        x: Any,
        y: None = None,
        sample_weight: Any = None,
        class_weight: None = None,
        return_dict: bool = False,
        *,
        noise: Any = None,
        missing: str = "refuse",
    ) -> Any:
        """Takes one gradient step on the rows `x`, (B, D), and returns its logs; arguments as in `fit`.

        N is that of an earlier `fit`, or of `compile(..., num_data=...)`.
        """
        refuse_labels(class_weight=class_weight)
        if self.compiled and self.is_closed_form:
            raise ValueError(
                "`train_on_batch` needs an optimizer: closed-form training moves after a sweep over all rows. "
                "Received: a model compiled without one. Use fit, or compile(keras.optimizers.Adam(1e-2))."
            )
        self._warn_if_frozen()
        carried = Carried(sample_weight, noise, missing)
        return self._on_batch(super().train_on_batch, "train_on_batch", x, y, carried, return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: None = None,
        sample_weight: Any = None,
        return_dict: bool = False,
        *,
        noise: Any = None,
        missing: str = "refuse",
    ) -> Any:
        """Computes the logs of the rows `x`, (B, D), without training; arguments as in `fit`, see `evaluate`."""
        carried = Carried(sample_weight, noise, missing)
        return self._on_batch(super().test_on_batch, "test_on_batch", x, y, carried, return_dict)

    @property
    def _columns(self) -> Columns:
        return Columns(self.num_features, self.column_names)

    def _adopt(self, survey: Survey, source: RowSource) -> float:
        """Takes from a survey what training begins with; returns how many rows it is of."""
        summary, num_data = survey.summary, self.compile_settings.num_data
        if self.is_frozen:  # nothing moves, the centre included
            if not self.num_data:
                self.data_summary = summary
                self.stored_num_data.assign(summary.num_data if num_data is None else num_data)
            return num_rows_of(summary)
        if summary.column_names is None and self.column_names:  # rows without names go by position: these are theirs
            summary = dataclasses.replace(summary, column_names=self.column_names)
        # Running updates take the rows of a stream part by part, in as many calls
        is_part = self.is_closed_form and self.closed_form.runs_in(0) and summary.num_data < (num_data or 0)
        if num_data is not None and abs(num_data - summary.num_data) > 0.01 * num_data and not is_part:
            warnings.warn(
                f"num_data={num_data} was given to compile, but the data has {summary.num_data} rows. The KL term is "
                f"scaled by {num_data}; leave num_data out to have the rows counted.",
                stacklevel=3,
            )
        untouched = self.is_untouched
        self.adapt_to(summary, num_data)
        if source.missing == "integrate" and not source.has_known_length:  # the survey has not seen all rows
            self.observe_gaps(range(self.num_features))
        if untouched:
            self.start_from(survey)
        return num_rows_of(summary)

    def _validation_batches(
        self, source: RowSource | None, own_size: Any, batch_size: int | None, num_rows: float, steps: int | None
    ) -> Any:
        if source is None:
            return None
        batch_size = batch_size if own_size is None else check_count("validation_batch_size", own_size)
        return ordered_batches(source, self.centre, self.checked_batch_size(batch_size, source, num_rows, steps))

    def _warn_of_pulls(self) -> None:
        if self.data_summary and not self.is_frozen:
            warn_of_pulls(self.plug_in(), self.data_summary, self.priors, self.num_data, stacklevel=4)

    def _warn_if_frozen(self) -> None:
        if self.compiled and self.is_frozen:
            warnings.warn(
                "there is nothing to train: model.trainable is False, and no number of the model moves. "
                "To train it, set model.trainable = True and compile again.",
                stacklevel=3,
            )

    def _in_order(self, logs: dict[str, Any]) -> list[Any]:
        names = dict.fromkeys([*self.metrics_names, *logs])  # a subclass's step may log more than its metrics
        return [logs[name] for name in names if name in logs]

    def _check_compiled(self, method: str) -> None:
        check_not_forked(f"`{method}`")
        if not self.compiled:
            raise ValueError(
                f"The model must be compiled before `{method}`. Received: a model that was not. "
                "Call model.compile(keras.optimizers.Adam(1e-2)) first."
            )
        refuse_strategy(method, self)

    def _on_batch(self, method: Any, name: str, x: Any, y: None, carried: Carried, return_dict: bool) -> Any:
        refuse_labels(y=y)
        self._check_compiled(name)
        source = open_carried(x, "x", self._columns, carried)
        if not source.is_in_memory:
            raise ValueError(f"`x` must be rows in memory for `{name}`. Received: a dataset. Use fit or evaluate.")
        if not self.num_data:
            raise ValueError(
                f"`num_data`, the size of the whole data, must be known for `{name}`: it scales the KL term. "
                "Received: None. Call fit first, or compile(..., num_data=...)."
            )
        batch = next(iter(ordered_batches(source, self.centre, source.num_data)))
        with plain_errors():
            logs = method(batch, return_dict=True)
        return logs if return_dict else self._in_order(logs)
