"""How a Keras model of a posterior is compiled, and one step of its training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfgmm.common.checks import check_count
from tfgmm.common.shapes import Tensor
from tfgmm.model.closed_form import ClosedFormTraining
from tfgmm.model.feed import Feed
from tfgmm.model.gradient_norms import GradientNorms, WatchedStep
from tfgmm.model.gradients.row_tensors import RowTensors, row_tensors
from tfgmm.model.keras3 import keras
from tfgmm.model.keras_arguments import is_loss, refuse_compile_arguments, refuse_strategy
from tfgmm.model.own_methods import STEPS, check_own_methods, guarded
from tfgmm.model.posterior_model import PosteriorModel
from tfgmm.model.running_bound import LOGS
from tfgmm.model.step_sizes import StepSizes
from tfgmm.model.steps import closed_form_evaluation, closed_form_steps, gradient_steps, only_if_finite
from tfgmm.model.training_errors import check_num_data, check_optimizer, check_step_sizes


class CompileSettings(NamedTuple):
    """Arguments of `compile` other than the optimizer; saved with the model."""

    num_data: float | None
    steps_per_execution: int | str
    run_eagerly: bool
    step_sizes: StepSizes | None


class CompiledModel(PosteriorModel):
    """A model with Keras's `compile`, and the steps that `fit` and `evaluate` take."""

    closed_form: ClosedFormTraining  # of a model that was compiled without an optimizer
    compile_settings: CompileSettings
    gradient_norms: GradientNorms | None = None  # set by `watched_gradients`; otherwise the step is compiled without
    watched_step: WatchedStep | None = None  # the step compiled with them, kept for the next fit
    feed: Feed | None = None  # the batches of a `fit` that runs
    moving: tuple[str, ...] = ()  # the variables that the training function moves
    _is_of_keras: Callable[[Any], bool] = staticmethod(lambda metric: False)  # among its metrics
    # Keras's own attributes, which it leaves untyped
    optimizer: Any
    steps_per_execution: int  # set from `compile` or chosen by `fit`
    train_function: Any
    test_function: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in STEPS:
            if name in cls.__dict__:
                setattr(cls, name, guarded(cls.__dict__[name]))

    # --- How it is trained ---------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = None,
        num_data: float | None = None,
        *,
        step_sizes: StepSizes | None = None,
        steps_per_execution: int | str = "auto",
        run_eagerly: bool = False,
        **others: Any,
    ) -> None:
        """Chooses how `fit` will train.

        Args:
            optimizer: None, the default, to train in closed form: each epoch is one exact sweep of natural-gradient
                steps on the augmented bound, which never falls; there is no learning rate and no noise. A Keras
                optimizer, or its name, to follow gradients of the marginal bound L_M through draws from q: a tighter
                bound, but with more than about 5,000 rows per component the gradient's noise is large beside its
                signal.
            num_data: Number of rows in the whole data set, N, with weights their sum, which scales the KL term.
                Arrays, frames, files and datasets of known length are counted; a stream of unknown length needs it
                here.
            step_sizes: `tfgmm.StepSizes` for closed form: q then moves after every batch instead of every epoch, by
                steps that shrink. For streams, and for data too large to sweep often. Exact sweeps may follow.
            steps_per_execution: Training steps per call of the compiled function; "auto" chooses by batch size.
            run_eagerly: Whether to run the step as plain Python, for debugging.
            others: Keras's `loss`, `metrics`, `jit_compile` and so on: refused, since a mixture has none.

        Raises:
            ValueError: The optimizer is unknown, its learning rate is not positive, or `num_data` is below 1; there is
                a distribution strategy.
            TypeError: An argument of Keras's, or a method of a subclass, would do nothing here.

        Example:

        >>> model = tfgmm.GaussianMixtureModel(3, 2)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        """
        refuse_compile_arguments({"loss": num_data} if is_loss(num_data) else others)
        refuse_strategy("compile", self)
        check_own_methods(self, CompiledModel, is_closed_form=optimizer is None)
        optimizer = None if optimizer is None else check_optimizer(optimizer)
        check_step_sizes(step_sizes, optimizer)
        if steps_per_execution != "auto":
            steps_per_execution = check_count("steps_per_execution", steps_per_execution)
        if num_data is not None:
            num_data = check_num_data(num_data)
        before = super().metrics
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=1 if steps_per_execution == "auto" else steps_per_execution,
            jit_compile=False,  # XLA has no kernel for Gamma draws
        )
        of_keras = [one for one in super().metrics if not _is_among(one, before)]  # for a loss that is none of ours
        self._is_of_keras = lambda metric: _is_among(metric, of_keras)
        if optimizer is None:
            self.closed_form = ClosedFormTraining(self.variational, self.statistics, step_sizes)
        elif self.trainable_variables:  # with the slots built now, the training step is traced once
            optimizer.build(self.trainable_variables)
        if num_data is not None:
            self.stored_num_data.assign(num_data)
        self.compile_settings = CompileSettings(num_data, steps_per_execution, run_eagerly, step_sizes)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, as saved in a .keras file."""
        if not self.compiled:
            return {}
        optimizer = None if self.is_closed_form else keras.saving.serialize_keras_object(self.optimizer)
        settings = self.compile_settings._asdict()
        step_sizes = settings["step_sizes"]
        return {"optimizer": optimizer, **settings, "step_sizes": step_sizes and dataclasses.asdict(step_sizes)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says."""
        optimizer = config["optimizer"] and keras.saving.deserialize_keras_object(config["optimizer"])
        step_sizes = config["step_sizes"] and StepSizes(**config["step_sizes"])
        self.compile(**{**config, "optimizer": optimizer, "step_sizes": step_sizes})

    # --- Steps ---------------------------------------------------------------------------------------------------

    @property
    def is_closed_form(self) -> bool:
        """Whether the model was compiled without an optimizer. (While it is fitted, `optimizer` counts its steps.)"""
        return not isinstance(self.optimizer, keras.optimizers.Optimizer)

    @property
    def is_frozen(self) -> bool:
        """Whether nothing can be trained, because `trainable` is False."""
        return not self.trainable_variables

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the function that Keras calls to train: `steps_per_execution` steps."""
        moving = tuple(variable.path for variable in self.trainable_variables)
        if self.train_function is not None and not force and moving == self.moving:
            return self.train_function
        self.moving = moving
        logs, num_steps = self.get_metrics_result, self.steps_per_execution
        if not self.is_closed_form:
            # A step of a subclass may log more than the bound
            shared_logs = logs if type(self).train_step is CompiledModel.train_step else None
            steps = gradient_steps(self.train_step, shared_logs, num_steps, run_eagerly=self.run_eagerly)
        else:
            make = closed_form_evaluation if self.is_frozen else closed_form_steps
            steps = make(self.closed_form, self.running_bound, logs, num_steps)
        self.train_function = functools.partial(self._fed, steps)
        return self.train_function

    def _fed(self, steps: Callable[[Any], Any], source: Any) -> Any:
        """Takes steps on the batches of `feed` in place of those that Keras has; on `source` outside of `fit`."""
        feed = self.feed if isinstance(source, tf.data.Iterator) else None
        return steps(source) if feed is None else feed.into(steps)

    def make_test_function(self, force: bool = False) -> Any:
        """Makes the function that Keras calls to evaluate."""
        if not self.is_closed_form:
            return super().make_test_function(force)
        of_logs = self.get_metrics_result, self.steps_per_execution
        self.test_function = closed_form_evaluation(self.closed_form, self.running_bound, *of_logs)
        return self.test_function

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Takes one step of the optimizer on rows measured from the centre, (B, D), and returns the running logs.

        A subclass may do more in a step of its own, before or after `super().train_step(data)`. One that follows other
        gradients gets the parts of the bound from `bound_terms(rows, next_seed())`, and logs what it returns.
        """
        rows = row_tensors(keras.utils.unpack_x_y_sample_weight(data)[0])
        variables = self.trainable_variables
        if not variables:
            return self.test_step(data)
        with tf.GradientTape() as tape:
            with tf.control_dependencies([rows.values]):  # where the data has ended, no step must be counted
                seed = self.next_seed()
            log_likelihoods, kl = self.bound_terms(rows, seed)
            num_data = tf.cast(self.stored_num_data, kl.dtype)
            loss = kl / num_data - tf.cast(_mean(log_likelihoods, rows), kl.dtype)
        gradients = only_if_finite(tape.gradient(loss, variables), loss, tf.convert_to_tensor(self.step))
        if self.gradient_norms is not None:
            self.gradient_norms.update(gradients)
        with tf.control_dependencies([gradient for gradient in gradients if gradient is not None]):
            # An optimizer that scales losses up divides what it is given by that scale
            scaled = [None if gradient is None else self.optimizer.scale_loss(gradient) for gradient in gradients]
            self.optimizer.apply_gradients(zip(scaled, variables))
        return self._track(log_likelihoods, kl, rows)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Evaluates centred rows (B, D), with draws from a fixed seed so that epochs compare.

        Returns the running logs.
        """
        rows = row_tensors(keras.utils.unpack_x_y_sample_weight(data)[0])
        return self._track(*self.bound_terms(rows, self.validation_seed), rows)

    @property
    def metrics_names(self) -> list[str]:
        """Names of the figures that `evaluate` returns, in their order."""
        return list(dict.fromkeys([*LOGS, *(one.name for one in self.metrics if one is not self.running_bound)]))

    @property
    def metrics(self) -> list[Any]:
        """What Keras resets at each epoch: the running mean behind the logs, and the metrics that a subclass has."""
        own = [one for one in super().metrics if one is not self.running_bound and not self._is_of_keras(one)]
        return [self.running_bound, *own]

    def reset_metrics(self) -> None:
        """Sets all metrics to where an epoch begins."""
        super().reset_metrics()
        if not _is_among(self.running_bound, self.metrics):  # where a subclass names its own alone
            self.running_bound.reset_state()

    def get_metrics_result(self) -> dict[str, Tensor]:
        """Computes the logs so far: loss, elbo, log_likelihood and kl, and those of the metrics that a subclass has.

        In closed form the four alone: no step of a subclass is called there, which could update its metrics.
        """
        logs = dict(self.running_bound.result())
        for metric in () if self.is_closed_form else self.metrics:
            if metric is not self.running_bound:
                result = metric.result()
                logs |= result if isinstance(result, dict) else {metric.name: result}
        return logs

    def _track(self, log_likelihoods: Tensor, kl: Tensor, rows: RowTensors) -> dict[str, Tensor]:
        self.running_bound.update_state(rows.weighted_sum(log_likelihoods), kl, rows.total_weight())
        return self.get_metrics_result()


def _is_among(one: Any, others: list[Any]) -> bool:
    return any(one is other for other in others)


def _mean(log_likelihoods: Tensor, rows: RowTensors) -> Tensor:
    """Averages over rows, as often as each counts; 0 where none does, as in a batch whose rows all have weight 0."""
    if rows.weights is None:
        return tf.reduce_mean(log_likelihoods)
    return tf.math.divide_no_nan(rows.weighted_sum(log_likelihoods), rows.total_weight())
