"""A Keras model of a variational posterior: its variables, its start and its bound."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_columns
from tfgmm.common.forks import check_not_forked
from tfgmm.common.shapes import Tensor
from tfgmm.data.sampling import SAMPLE_ROWS
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey
from tfgmm.families.variational import Factors
from tfgmm.mixture.odd_data import warn_of_odd_data
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.virtual_copies import copies
from tfgmm.model.gradients.row_tensors import RowTensors, row_tensors
from tfgmm.model.keras3 import keras
from tfgmm.model.own_methods import refuse_inside_step
from tfgmm.model.running_bound import NO_BOUND, RunningBound
from tfgmm.model.statistics_store import StatisticsStore
from tfgmm.model.variables import KerasPosterior
from tfgmm.scoring.graph.chunks import log_joints
from tfgmm.scoring.graph.densities import GRAPH_FORMS


class _Variables(list[Any]):
    """Variables, told apart by what they are: Keras's HDF5 writer asks "in", which would compare their numbers."""

    def __contains__(self, variable: object) -> bool:
        return any(one is variable for one in self)


class PosteriorModel(keras.Model):
    """A Keras model that has a `KerasPosterior`: it holds all saved state of a mixture.

    Args:
        variational: The posterior, without variables yet.
        priors: The priors that it was made with.
        seed: Seed of the start and of every draw.
        num_draws: None for one draw of the parameters per row, or the number of draws that a batch shares.
    """

    variational: KerasPosterior
    is_inside_step: bool = False  # of a subclass

    def __init__(self, variational: KerasPosterior, priors: Priors, seed: int, num_draws: int | None) -> None:
        check_not_forked("a Keras model")
        super().__init__(autocast=False, dtype="float32")
        # XLA has no kernel for Gamma draws, nor for NumPy's part of a divergence: a model that holds this one must know
        self.supports_jit = False
        self.variational = variational
        self.num_components, self.num_features = variational.num_components, variational.num_features
        self.priors, self.seed, self.num_draws = priors, seed, num_draws
        self.data_summary: DataSummary | None = None
        start = variational.values_of(variational.random_start(seed))
        variational.create_variables(self._add_trained, self._add_stored, start)
        self.stored_centre = variational.centre_variable
        self.stored_num_data = self._add_stored("num_data", (), "float64")
        self.stored_elbo = self._add_stored("elbo", (), "float64", NO_BOUND)
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

    @property
    def weights(self) -> list[Any]:
        """All variables, the trained ones first."""
        return _Variables(super().weights)

    # --- What is known about the data -------------------------------------------------------------------------------

    @property
    def centre(self) -> np.ndarray:
        """(D,) float64, data units: what rows are measured from before they become float32."""
        return self.variational.centre

    @property
    def num_data(self) -> float:
        """N of training, 0 before; saved with the model. With weights their sum, an int where it is whole."""
        num_data = float(self.stored_num_data.numpy())
        return int(num_data) if num_data.is_integer() else num_data

    @property
    def elbo(self) -> float | None:
        """The whole-data bound at the end of the last `fit`, nats; None before."""
        elbo = float(self.stored_elbo)
        return elbo if math.isfinite(elbo) and elbo != NO_BOUND else None

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

    def adapt_to(self, summary: DataSummary, num_data: float | None = None) -> None:
        """Takes N, the names, the gaps and the centre of the columns from `summary`. No parameter moves."""
        self.data_summary = summary
        self.stored_num_data.assign(summary.num_data if num_data is None else num_data)
        self.observe_gaps(summary.gap_columns)
        before, after = self.centre, np.array(summary.centre)
        if np.array_equal(before, after):
            return  # a move by zero would still round the locations
        self.variational.move_centre(summary.centre)
        self.statistics.shift(before - after)

    def observe_gaps(self, columns: Iterable[int]) -> None:
        """Takes in which columns have gaps, beside those that running updates go on from. No parameter moves."""
        self.variational.observe_gaps(sorted({*columns, *self.statistics.gap_columns}))
        self.statistics.observe_gaps()

    def start_from(self, survey: Survey, start: Any = "k-means++") -> None:
        """Starts the components at groups of the rows of `survey`."""
        summary, covariance = survey.summary, self.variational.covariance
        of_model = self.priors, self.num_components, covariance
        warn_of_odd_data(survey.sample, summary, *of_model, weights=survey.weights, noise=survey.noise)
        rows = survey.sample - self.variational.centre
        if survey.weights is not None:  # as often as each counts
            rows = rows[copies(survey.weights, SAMPLE_ROWS, self.seed)]
        [values] = self.variational.start_values(rows, np.array(summary.spread), start, [self.seed])
        self.variational.assign(values)
        self.statistics.clear()  # of the posterior before
        self.stored_elbo.assign(NO_BOUND)

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
        refuse_inside_step(self)
        check_columns("x", x, self.num_features)
        rows = tf.cast(tf.cast(x, tf.float64) - self.stored_centre, tf.float32)
        log_likelihoods, kl = self.bound_terms(rows, self.next_seed()) if sampling else self._terms_at_means(rows)
        return log_likelihoods, tf.cast(tf.minimum(kl, tf.float32.max), tf.float32)

    def compute_output_spec(self, x: Any, sampling: bool = True) -> tuple[Any, Any]:
        """Says what shapes `call` returns, for models of Keras's functional API; arguments as there."""
        check_columns("x", tf.TensorSpec(x.shape), self.num_features)
        return keras.KerasTensor((x.shape[0],), "float32"), keras.KerasTensor((), "float32")

    def bound_terms(self, rows: Tensor | RowTensors, seed: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log likelihoods (B,) float32 of centred rows (B, D) under draws from `seed`, and the KL, float64."""
        per_row, rows = self.num_draws is None, row_tensors(rows)
        sample_shape = tf.shape(rows.values)[:1] if per_row else [self.num_draws, 1]
        # Draws that a batch shares are few, so they can be float64
        trained = self.variational.trained
        factors = trained.factors()  # once for both terms: a short step spends its time on small operations
        drawn = trained.draw(sample_shape, seed, tf.float32 if per_row else tf.float64, factors)
        kl = tf.ensure_shape(trained.kl(factors), ())  # not known where a step is traced, and asked for by metrics
        return trained.log_likelihoods(rows, drawn), kl

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
