"""The mixture as a Keras model: posterior variables, `call`, densities, saving."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_choice, check_columns, check_count, check_seed
from tfgmm.data.sources import open_source
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey, survey_rows
from tfgmm.families.log_gamma import log_gamma_draws
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture import starts as initialize
from tfgmm.mixture.odd_data import warn_of_odd_data
from tfgmm.mixture.priors import Priors
from tfgmm.model import bounds
from tfgmm.model.closed_form import StatisticsStore
from tfgmm.model.keras3 import keras
from tfgmm.model.natural_gradient import NaturalGradient
from tfgmm.model.parameters import MixtureParameters
from tfgmm.model.scoring import MixtureScores
from tfgmm.model.steps import RunningBound
from tfgmm.model.training import MixtureTrainer
from tfgmm.scoring.graph.chunks import log_joints
from tfgmm.scoring.graph.densities import GRAPH_FORMS

Tensor = Any


@keras.saving.register_keras_serializable(package="tfgmm")
class GaussianMixtureModel(MixtureParameters, MixtureScores, MixtureTrainer):
    """A Bayesian mixture of Gaussians whose posterior is fitted by variational inference.

        theta ~ Dirichlet(c0)    mu_kd ~ Normal(m0, s0)    tau_kd ~ Gamma(a0, rate b0)
        row | component k ~ Normal(mu_k, diag(1 / tau_k))

    with posterior q(mu) = Normal(locs, scales), q(tau) = Gamma(alpha, beta), q(theta) = Dirichlet(counts). For the
    covariances "full" and "tied", mu_k ~ Normal(m0, Cov0) and the precision matrices Lambda_k ~ Wishart(nu0, W0).

    Args:
        num_components: K, at least 1.
        num_features: D, the number of columns, at least 1.
        covariance: the shape of a component: "spherical" (one scale), "diag" (one per column), "full" (a matrix), or
            one such for all components: "tied_spherical", "tied_diag", "tied".
        weights: the prior family of the weights: "dirichlet", where K components are meant, or "stick_breaking",
            where K is a maximum and components that no row needs stay empty.
        priors: `tfgmm.Priors` in data units; default Normal(0, 1), Gamma(5, 5), Dirichlet(2). `Priors.from_data`
            gives weak ones that suit any units.
        seed: of the start and of every draw; default a random one. Same seed, same machine, same result.
        num_draws: None draws one set of parameters per row (Monte-Carlo noise averages out within a batch);
            a number S draws S sets shared by the batch: cheaper, and noisier per step.

    Attributes:
        locs, scales: (K, D) float64, data units. Mean and standard deviation of q(mu).
        alpha, beta: (K, D) float64, 1 long where a precision is shared. Shape and rate of q(tau); beta in squared
            data units.
        loc_covariances, degrees, inverse_scales: of "full" and "tied" instead: covariances of q(mu) (K, D, D); degrees
            nu (K,) and W^-1 (K, D, D), squared data units, of q(Lambda); 1 long for "tied".
        counts: (K,) float64. Concentrations of q(theta). sticks: (K - 1, 2) of "stick_breaking" instead.
        num_data: N of training, 0 before. column_names: of the training columns, or None.

    Raises:
        ValueError: a size below 1, an unknown covariance or weights, priors of the wrong length.

    Source: mean-field variational mixture, Bishop 2006 section 10.2, with independent Normal and Gamma priors;
    draws after Figurnov, Mohamed and Mnih 2018.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
    >>> model = tfgmm.GaussianMixtureModel(2, 2, seed=1)
    >>> model.compile(keras.optimizers.Adam(0.05))
    >>> history = model.fit(rows, epochs=200, verbose=0)
    >>> sorted(model.locs.numpy().round(0).tolist())
    [[-3.0, 0.0], [3.0, 1.0]]
    >>> bool(model.assign(rows[:1]) == model.assign(rows[1:2]))
    True
    """

    def __init__(
        self,
        num_components: int,
        num_features: int,
        covariance: str = "diag",
        weights: str = "dirichlet",
        priors: Priors | None = None,
        seed: int | None = None,
        *,
        num_draws: int | None = None,
    ) -> None:
        super().__init__(autocast=False, dtype="float32")
        self.num_components = check_count("num_components", num_components)
        self.num_features = check_count("num_features", num_features)
        self.num_draws = None if num_draws is None else check_count("num_draws", num_draws)
        self.covariance = check_choice("covariance", covariance, COMPONENTS)
        self.weight_prior = check_choice("weights", weights, WEIGHTS)
        self.priors = _check_priors(priors)
        self.priors.check_sizes(self.num_components, self.num_features)
        self.seed = random.randrange(2**31) if seed is None else check_seed(seed)
        self.data_summary: DataSummary | None = None
        self.mixture_weights = WEIGHTS[weights](self.num_components, self.priors)
        self.components = COMPONENTS[covariance](self.num_components, self.num_features, self.priors)
        self.natural_gradient = NaturalGradient(self.mixture_weights, self.components)
        self._create_variables()
        self.running_bound = RunningBound(lambda: tf.convert_to_tensor(self.stored_num_data))
        self.validation_seed = tf.constant([self.seed, -1], tf.int64)
        self.built = True

    def _create_variables(self) -> None:
        components, weights = self._first_start()
        self.components.create_variables(self._add_trained, components)
        self.mixture_weights.create_variables(self._add_trained, weights)
        self.stored_centre = self._add_stored("centre", (self.num_features,), "float64")
        self.stored_num_data = self._add_stored("num_data", (), "float64")
        self.stored_elbo = self._add_stored("elbo", (), "float64", math.nan)
        self.step = self._add_stored("step", (), "int64")
        self.statistics = StatisticsStore(self._add_stored, self.components)

    def _add_trained(self, name: str, start: np.ndarray) -> Any:
        values = np.array(start, np.float64)
        variable = self.add_weight(
            name=name, shape=values.shape, dtype="float64", initializer=lambda shape, dtype: tf.constant(values, dtype)
        )
        # tf.train.Checkpoint finds what is an attribute of the model, and would leave the posterior out without a word
        setattr(self, f"stored_{name}", variable)
        return variable

    def _add_stored(self, name: str, shape: tuple[int, ...], dtype: str, value: float = 0.0) -> Any:
        initializer = keras.initializers.Constant(value)
        return self.add_weight(name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False)

    def _first_start(self) -> tuple[Any, Any]:
        generator = np.random.default_rng(self.seed)
        return self.components.random_start(generator), self.mixture_weights.random_start(generator)

    # --- The start ---------------------------------------------------------------------------------------------

    @property
    def is_untouched(self) -> bool:
        """True while every posterior variable is as the constructor made it."""
        components, weights = self._first_start()
        start = self.natural_gradient.values_of(weights, components)
        return all(np.array_equal(variable, value) for variable, value in zip(self.natural_gradient.values(), start))

    # --- The bound -------------------------------------------------------------------------------------------

    def call(self, x: Tensor, sampling: bool = True) -> tuple[Tensor, Tensor]:
        """Returns the log likelihood of each row, (B,) float32, and KL(q || prior), scalar float32; nats.

        With N the size of the whole data, `kl / N - mean(log_likelihoods)` is the loss: minus the marginal
        bound L_M per row. (For `sampling=False` that sum is not a bound.)

        Args:
            x: (B, D) rows, any float type, data units; float64 is centred before it is rounded to float32.
                Columns count by position here: Keras hands over their values alone.
            sampling: draw the parameters from q, new draws every call; False takes their posterior means.

        Raises:
            ValueError: `x` has not D columns.
        """
        check_columns("x", x, self.num_features)
        rows = tf.cast(tf.cast(x, tf.float64) - self.stored_centre, tf.float32)
        log_likelihoods, kl = self.bound_terms(rows, self.next_seed()) if sampling else self._terms_at_means(rows)
        return log_likelihoods, tf.cast(tf.minimum(kl, tf.float32.max), tf.float32)

    def bound_terms(self, rows: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log likelihoods (B,) float32 of centred rows (B, D) under draws from `seed`, and the KL, float64."""
        per_row = self.num_draws is None
        sample_shape = tf.shape(rows)[:1] if per_row else [self.num_draws, 1]
        # Draws shared by the batch are few: let them be exact.
        posteriors = self.posteriors()  # once for both terms: small operations are what a short step consists of
        dtype = tf.float32 if per_row else tf.float64
        log_weights, draws = self.draw_parameters(sample_shape, seed, dtype, posteriors)
        log_likelihoods = bounds.marginal_log_likelihoods(
            self.components, rows, tf.cast(log_weights, tf.float32), draws
        )
        return log_likelihoods, self.kl(posteriors)

    def posteriors(self) -> tuple[Any, Any]:
        """Returns q of the weights and q of the components, as they stand."""
        return self.mixture_weights.posterior(), self.components.posterior()

    def draw_parameters(
        self, sample_shape: Tensor, seed: Tensor, dtype: tf.DType, posteriors: tuple[Any, Any] | None = None
    ) -> tuple[Tensor, Any]:
        """Returns log weights, sample_shape + (K,), and component parameters drawn from q."""
        weights, components = posteriors or self.posteriors()
        shapes = [self.mixture_weights.gamma_shapes(weights), self.components.gamma_shapes(components)]
        for_weights, for_components = log_gamma_draws(shapes, sample_shape, seed, dtype)
        return (
            self.mixture_weights.log_draws(for_weights),
            self.components.draws(components, for_components, seed),
        )

    def _terms_at_means(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        weights, components = posteriors = self.posteriors()
        form = GRAPH_FORMS[self.components.form]
        linear, constants = form.coefficients(self.components.means(components))
        constants += self.mixture_weights.log_mean(weights)
        log_joint = log_joints(form.features(tf.cast(rows, tf.float64)), linear, constants)
        return tf.cast(tf.reduce_logsumexp(log_joint, axis=-1), tf.float32), self.kl(posteriors)

    def kl(self, posteriors: tuple[Any, Any] | None = None) -> Tensor:
        """Returns KL(q || prior) in nats, scalar float64."""
        centre = tf.convert_to_tensor(self.stored_centre)
        return bounds.kl_to_prior(self.mixture_weights, self.components, centre, posteriors)

    def next_seed(self) -> Tensor:
        """Returns (seed, step), (2,) int64, and moves the step on: draws are a pure function of the two."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(self.step)])
        self.step.assign_add(1)
        return seed

    # --- Starting --------------------------------------------------------------------------------------------

    def initialize(self, x: Any, start: Any = "k-means++", num_data: int | None = None) -> GaussianMixtureModel:
        """Returns the model, its centre taken from the rows and its components started among them.

        `fit` does this by itself for an untouched model; call it before a training loop of your own.

        Args:
            x: rows, as in `fit`.
            start: "k-means++", "random" (rows), or locations (K, D), data units.
            num_data: N, where `x` is a stream of unknown length; default what `compile` was given.

        Example:

        >>> rows = np.array([[0.0], [0.2], [9.0], [9.2]])
        >>> model = tfgmm.GaussianMixtureModel(2, 1).initialize(rows, start=[[0.0], [9.0]])
        >>> model.locs.numpy().ravel().round(6).tolist()
        [0.0, 9.0]
        """
        source = open_source(x, "x", self.num_features)
        if num_data is None and self.compiled:
            num_data = self.compile_settings.num_data
        survey = survey_rows(source, num_data, self.seed)
        self.adapt_to(survey.summary, num_data)
        self.start_from(survey, start)
        return self

    def adapt_to(self, summary: DataSummary, num_data: int | None = None) -> None:
        """Returns nothing; takes N, the column names and the centre from `summary`. No parameter moves."""
        self.data_summary = summary
        self.stored_num_data.assign(summary.num_data if num_data is None else num_data)
        if np.array_equal(self.centre, summary.centre):
            return  # moving there and back would round the locations
        locs = self.locs
        self.stored_centre.assign(summary.centre)
        self.components.variables[0].assign(locs - self.stored_centre)
        self.statistics.clear()  # sums that were measured from elsewhere

    def start_from(self, survey: Survey, start: Any = "k-means++") -> None:
        """Returns nothing; starts the components among the rows of `survey`, each narrower than all of them."""
        summary = survey.summary
        warn_of_odd_data(survey.sample, summary, self.priors, self.num_components, self.covariance)
        self.natural_gradient.assign(self.start_values(survey, start, [self.seed])[0])
        self.statistics.clear()  # of the posterior before
        self.stored_elbo.assign(math.nan)

    def start_values(self, survey: Survey, start: Any, seeds: Sequence[int]) -> list[Any]:
        """Returns the numbers behind a start among the rows of `survey` per seed; the weights stay as they are."""
        spread, centre = np.array(survey.summary.spread), self.centre
        distinct = initialize.distinct_rows(survey.sample - centre)
        find = functools.partial(
            initialize.start_locs, start, distinct, self.num_components, centre, spread=spread, is_distinct=True
        )
        starts = [self.components.start_at(find(seed), spread) for seed in seeds]
        weights = self.mixture_weights.posterior()
        return [self.natural_gradient.values_of(weights, components) for components in starts]

    # --- Saving and showing ----------------------------------------------------------------------------------

    def export(self, filepath: Any, *, overwrite: bool = False) -> None:
        """Returns nothing; writes the folder that `tfgmm.export_model` describes."""
        from tfgmm.export.saved_model import export_model

        export_model(self, filepath, overwrite=overwrite)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments and the data summary, as plain JSON values."""
        return {
            "num_components": self.num_components,
            "num_features": self.num_features,
            "covariance": self.covariance,
            "weights": self.weight_prior,
            "priors": self.priors.to_dict(),
            "seed": self.seed,
            "num_draws": self.num_draws,
            "data_summary": self.data_summary.to_dict() if self.data_summary else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GaussianMixtureModel:
        """Returns the model that `get_config` describes, its variables not yet restored."""
        del custom_objects
        arguments = dict(config)
        summary = arguments.pop("data_summary", None)
        model = cls(**{**arguments, "priors": Priors.from_dict(arguments["priors"])})
        model.data_summary = DataSummary.from_dict(summary) if summary else None
        return model

    def __repr__(self) -> str:
        state = f"fitted to {self.num_data} rows" if self.num_data else "not fitted"
        return (
            f"<GaussianMixtureModel num_components={self.num_components}, num_features={self.num_features}, "
            f"covariance={self.covariance!r}, weights={self.weight_prior!r}, {state}>"
        )


def _check_priors(priors: Any) -> Priors:
    if priors is None:
        return Priors()
    if not isinstance(priors, Priors):
        raise TypeError(f"`priors` must be a tfgmm.Priors. Received: {type(priors).__name__}. Use tfgmm.Priors(...).")
    return priors
