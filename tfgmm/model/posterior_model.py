"""A Keras model of a variational posterior: its variables, its start, its bound, and one step of training."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_columns, check_count
from tfgmm.common.forks import check_not_forked
from tfgmm.common.shapes import Tensor
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey
from tfgmm.families.variational import Factors
from tfgmm.mixture.odd_data import warn_of_odd_data
from tfgmm.mixture.priors import Priors
from tfgmm.model.closed_form import ClosedFormTraining, StatisticsStore
from tfgmm.model.gradient_norms import GradientNorms, WatchedStep
from tfgmm.model.keras3 import keras
from tfgmm.model.running_bound import RunningBound
from tfgmm.model.step_sizes import StepSizes
from tfgmm.model.steps import closed_form_evaluation, closed_form_steps, gradient_steps, only_if_finite
from tfgmm.model.training_errors import check_optimizer, check_step_sizes
from tfgmm.model.variables import KerasPosterior
from tfgmm.scoring.graph.chunks import log_joints
from tfgmm.scoring.graph.densities import GRAPH_FORMS


class CompileSettings(NamedTuple):
    """Arguments of `compile` other than the optimizer; saved with the model."""

    num_data: int | None
    steps_per_execution: int | str
    run_eagerly: bool
    step_sizes: StepSizes | None


class PosteriorModel(keras.Model):
    """A Keras model that has a `KerasPosterior`: it holds all saved state of a mixture.

    Args:
        variational: The posterior, without variables yet.
        priors: The priors that it was made with.
        seed: Seed of the start and of every draw.
        num_draws: None for one draw of the parameters per row, or the number of draws that a batch shares.
    """

    variational: KerasPosterior
    closed_form: ClosedFormTraining  # of a model that was compiled without an optimizer
    compile_settings: CompileSettings
    gradient_norms: GradientNorms | None = None  # set by `watched_gradients`; otherwise the step is compiled without
    watched_step: WatchedStep | None = None  # the step compiled with them, kept for the next fit
    # Keras's own attributes, which it leaves untyped
    steps_per_execution: int  # set from `compile` or chosen by `fit`
    train_function: Any
    test_function: Any

    def __init__(self, variational: KerasPosterior, priors: Priors, seed: int, num_draws: int | None) -> None:
        check_not_forked("a Keras model")
        super().__init__(autocast=False, dtype="float32")
        self.supports_jit = False  # XLA has no kernel for Gamma draws: another model that holds this one must know
        self.variational = variational
        self.num_components, self.num_features = variational.num_components, variational.num_features
        self.priors, self.seed, self.num_draws = priors, seed, num_draws
        self.data_summary: DataSummary | None = None
        start = variational.values_of(variational.random_start(seed))
        variational.create_variables(self._add_trained, self._add_stored, start)
        self.stored_centre = variational.centre_variable
        self.stored_num_data = self._add_stored("num_data", (), "float64")
        self.stored_elbo = self._add_stored("elbo", (), "float64", math.nan)
        self.step = self._add_stored("step", (), "int64")
        self.statistics = StatisticsStore(self._add_stored, variational)
        self.running_bound = RunningBound(lambda: tf.convert_to_tensor(self.stored_num_data))
        self.validation_seed = tf.constant([seed, -1], tf.int64)
        self.built = True

    def _add_trained(self, name: str, start: np.ndarray) -> Any:
        values = np.array(start, np.float64)
        variable = self.add_weight(
            name=name, shape=values.shape, dtype="float64", initializer=lambda shape, dtype: tf.constant(values, dtype)
        )
        # tf.train.Checkpoint saves attributes of the model, and would silently leave out those of the posterior
        setattr(self, f"stored_{name}", variable)
        return variable

    def _add_stored(self, name: str, shape: tuple[int, ...], dtype: str, value: float = 0.0) -> Any:
        initializer = keras.initializers.Constant(value)
        return self.add_weight(name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False)

    # --- What is known about the data -------------------------------------------------------------------------------

    @property
    def centre(self) -> np.ndarray:
        """(D,) float64, data units: what rows are measured from before they become float32."""
        return self.variational.centre

    @property
    def num_data(self) -> int:
        """N of training, 0 before; saved with the model."""
        return int(self.stored_num_data)

    @property
    def elbo(self) -> float | None:
        """The whole-data bound at the end of the last `fit`, nats; None before."""
        elbo = float(self.stored_elbo)
        return elbo if math.isfinite(elbo) else None

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Names of the training columns; None when they had none, or before training."""
        return self.data_summary.column_names if self.data_summary and self.num_data else None

    # --- The start -----------------------------------------------------------------------------------------------

    @property
    def is_untouched(self) -> bool:
        """True while every posterior variable is as the constructor made it."""
        start = self.variational.values_of(self.variational.random_start(self.seed))
        return all(map(np.array_equal, self.variational.values().flat, start.flat))

    def adapt_to(self, summary: DataSummary, num_data: int | None = None) -> None:
        """Takes N, the column names and the centre from `summary`. No parameter moves."""
        self.data_summary = summary
        self.stored_num_data.assign(summary.num_data if num_data is None else num_data)
        if np.array_equal(self.centre, summary.centre):
            return  # a move by zero would still round the locations
        self.variational.move_centre(summary.centre)
        self.statistics.clear()  # the sums were measured from another centre

    def start_from(self, survey: Survey, start: Any = "k-means++") -> None:
        """Starts the components at groups of the rows of `survey`."""
        summary, covariance = survey.summary, self.variational.covariance
        warn_of_odd_data(survey.sample, summary, self.priors, self.num_components, covariance)
        rows = survey.sample - self.variational.centre
        [values] = self.variational.start_values(rows, np.array(summary.spread), start, [self.seed])
        self.variational.assign(values)
        self.statistics.clear()  # of the posterior before
        self.stored_elbo.assign(math.nan)

    # --- The bound -----------------------------------------------------------------------------------------------

    def call(self, x: Tensor, sampling: bool = True) -> tuple[Tensor, Tensor]:
        """Computes the log likelihood of each row and KL(q || prior).

        With N the size of the whole data, `kl / N - mean(log_likelihoods)` is the loss: minus the marginal
        bound L_M per row. (For `sampling=False` it is not a bound.)

        Args:
            x: (B, D) rows, any float type, data units; float64 is centred before it is rounded to float32.
                Columns are known by their position here: Keras passes on their values alone.
            sampling: Whether to draw the parameters from q, anew in every call; False takes their posterior means.

        Returns:
            Log likelihoods, (B,) float32, and the KL, scalar float32; nats.

        Raises:
            ValueError: `x` does not have D columns.
        """
        check_not_forked("a call of the model")
        check_columns("x", x, self.num_features)
        rows = tf.cast(tf.cast(x, tf.float64) - self.stored_centre, tf.float32)
        log_likelihoods, kl = self.bound_terms(rows, self.next_seed()) if sampling else self._terms_at_means(rows)
        return log_likelihoods, tf.cast(tf.minimum(kl, tf.float32.max), tf.float32)

    def bound_terms(self, rows: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log likelihoods (B,) float32 of centred rows (B, D) under draws from `seed`, and the KL, float64."""
        per_row = self.num_draws is None
        sample_shape = tf.shape(rows)[:1] if per_row else [self.num_draws, 1]
        # Draws that a batch shares are few, so they can be float64
        trained = self.variational.trained
        factors = trained.factors()  # once for both terms: a short step spends its time on small operations
        drawn = trained.draw(sample_shape, seed, tf.float32 if per_row else tf.float64, factors)
        return trained.log_likelihoods(rows, drawn), trained.kl(factors)

    def _terms_at_means(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        trained = self.variational.trained
        factors = trained.factors()
        features = GRAPH_FORMS[self.variational.form].features(tf.cast(rows, tf.float64))
        log_joint = log_joints(features, *trained.mean_coefficients(factors))
        return tf.cast(tf.reduce_logsumexp(log_joint, axis=-1), tf.float32), trained.kl(factors)

    def kl(self, factors: Factors | None = None) -> Tensor:
        """Computes KL(q || prior) in nats, scalar float64."""
        return self.variational.trained.kl(factors)

    def next_seed(self) -> Tensor:
        """Takes the next seed, (seed, step), (2,) int64, and counts the step: draws are a pure function of the two."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(self.step)])
        self.step.assign_add(1)
        return seed

    # --- How it is trained ---------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = None,
        num_data: int | None = None,
        *,
        step_sizes: StepSizes | None = None,
        steps_per_execution: int | str = "auto",
        run_eagerly: bool = False,
    ) -> None:
        """Chooses how `fit` will train.

        Args:
            optimizer: None, the default, to train in closed form: each epoch is one exact sweep of natural-gradient
                steps on the augmented bound, which never falls; there is no learning rate and no noise. A Keras
                optimizer, or its name, to follow gradients of the marginal bound L_M through draws from q: a tighter
                bound, but with more than about 5,000 rows per component the gradient's noise is large beside its
                signal.
            num_data: Number of rows in the whole data set, N, which scales the KL term. Arrays, frames, files and
                datasets of known length are counted; a stream of unknown length needs it here.
            step_sizes: `tfgmm.StepSizes` for closed form: q then moves after every batch instead of every epoch, by
                steps that shrink. For streams, and for data too large to sweep often. Exact sweeps may follow.
            steps_per_execution: Training steps per call of the compiled function; "auto" chooses by batch size.
            run_eagerly: Whether to run the step as plain Python, for debugging.

        Raises:
            ValueError: The optimizer is unknown, its learning rate is not positive, or `num_data` is below 1.

        Example:

        >>> model = tfgmm.GaussianMixtureModel(3, 2)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        """
        optimizer = None if optimizer is None else check_optimizer(optimizer)
        check_step_sizes(step_sizes, optimizer)
        if steps_per_execution != "auto":
            steps_per_execution = check_count("steps_per_execution", steps_per_execution)
        if num_data is not None:
            num_data = check_count("num_data", num_data)
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=1 if steps_per_execution == "auto" else steps_per_execution,
            jit_compile=False,  # XLA has no kernel for Gamma draws
        )
        if optimizer is None:
            self.closed_form = ClosedFormTraining(self.variational, self.statistics, step_sizes)
        else:  # with the slots built now, the training step is traced once
            optimizer.build(self.trainable_variables)
        if num_data is not None:
            self.stored_num_data.assign(num_data)
        self.compile_settings = CompileSettings(num_data, steps_per_execution, run_eagerly, step_sizes)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, as saved in a .keras file."""
        if not self.compiled:
            return {}
        optimizer = None if self.optimizer is None else keras.saving.serialize_keras_object(self.optimizer)
        settings = self.compile_settings._asdict()
        step_sizes = settings["step_sizes"]
        return {"optimizer": optimizer, **settings, "step_sizes": step_sizes and dataclasses.asdict(step_sizes)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says."""
        optimizer = config["optimizer"] and keras.saving.deserialize_keras_object(config["optimizer"])
        step_sizes = config["step_sizes"] and StepSizes(**config["step_sizes"])
        self.compile(**{**config, "optimizer": optimizer, "step_sizes": step_sizes})

    # --- Steps ---------------------------------------------------------------------------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the function that Keras calls to train: `steps_per_execution` steps."""
        if self.train_function is not None and not force:
            return self.train_function
        logs, num_steps = self.get_metrics_result, self.steps_per_execution
        if self.optimizer is None:
            self.train_function = closed_form_steps(self.closed_form, self.running_bound, logs, num_steps)
        else:
            self.train_function = gradient_steps(self.train_step, logs, num_steps, run_eagerly=self.run_eagerly)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Makes the function that Keras calls to evaluate."""
        if self.optimizer is not None:
            return super().make_test_function(force)
        of_logs = self.get_metrics_result, self.steps_per_execution
        self.test_function = closed_form_evaluation(self.closed_form, self.running_bound, *of_logs)
        return self.test_function

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Takes one step of the optimizer on centred rows (B, D), and returns the running logs."""
        rows = keras.utils.unpack_x_y_sample_weight(data)[0]
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            with tf.control_dependencies([rows]):  # where the data has ended, no step must be counted
                seed = self.next_seed()
            log_likelihoods, kl = self.bound_terms(rows, seed)
            num_data = tf.cast(self.stored_num_data, kl.dtype)
            loss = kl / num_data - tf.cast(tf.reduce_mean(log_likelihoods), kl.dtype)
        gradients = only_if_finite(tape.gradient(loss, variables), loss, tf.convert_to_tensor(self.step))
        if self.gradient_norms is not None:
            self.gradient_norms.update(gradients)
        with tf.control_dependencies(gradients):
            self.optimizer.apply_gradients(zip(gradients, variables))
        return self._track(log_likelihoods, kl)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """Evaluates centred rows (B, D), with draws from a fixed seed so that epochs compare.

        Returns the running logs.
        """
        rows = keras.utils.unpack_x_y_sample_weight(data)[0]
        return self._track(*self.bound_terms(rows, self.validation_seed))

    @property
    def metrics(self) -> list[Any]:
        """The running mean behind the logs, reset by Keras at each epoch."""
        return [self.running_bound]

    def _track(self, log_likelihoods: Tensor, kl: Tensor) -> dict[str, Tensor]:
        total = tf.reduce_sum(tf.cast(log_likelihoods, tf.float64))
        self.running_bound.update_state(total, kl, tf.size(log_likelihoods))
        return self.get_metrics_result()
