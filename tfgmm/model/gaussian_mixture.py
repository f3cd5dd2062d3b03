"""The mixture as a Keras model: its arguments, the parts of its posterior by name, starting and saving."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_choice, check_count, check_seed
from tfgmm.common.forks import check_not_forked
from tfgmm.common.shapes import Tensor
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import survey_rows
from tfgmm.families.base import check_priors
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.priors import Priors
from tfgmm.model.kept import Kept
from tfgmm.model.keras3 import keras
from tfgmm.model.keras_arguments import refuse_export_arguments
from tfgmm.model.opened_rows import Carried, Columns, open_carried
from tfgmm.model.scoring import KerasQueries
from tfgmm.model.stored_facts import StoredFacts
from tfgmm.model.variables import KerasPosterior

if TYPE_CHECKING:
    from tfgmm.model.distributions import PosteriorDistributions


@keras.saving.register_keras_serializable(package="tfgmm")
class GaussianMixtureModel(KerasQueries, StoredFacts):
    """A Bayesian mixture of Gaussians whose posterior is fitted by variational inference.

        theta ~ Dirichlet(c0)    mu_kd ~ Normal(m0, s0)    tau_kd ~ Gamma(a0, rate b0)
        row | component k ~ Normal(mu_k, diag(1 / tau_k))

    with posterior q(mu) = Normal(locs, scales), q(tau) = Gamma(alpha, beta), q(theta) = Dirichlet(counts). For the
    covariances "full" and "tied", mu_k ~ Normal(m0, Cov0) and the precision matrices Lambda_k ~ Wishart(nu0, W0).

    Args:
        num_components: Number of components, K, at least 1.
        num_features: Number of columns, D, at least 1.
        covariance: Shape of a component: "spherical" (one scale), "diag" (one per column), "full" (a matrix), or one
            of these for all components: "tied_spherical", "tied_diag", "tied".
        weights: Prior family of the weights: "dirichlet", where K is the number of components, or "stick_breaking",
            where K is a maximum and components that no row needs stay empty.
        priors: `tfgmm.Priors` in data units; default Normal(0, 1), Gamma(5, 5), Dirichlet(2). `Priors.from_data`
            makes weak ones that suit any units.
        seed: Seed of the start and of every draw; default a random one. Same seed, same machine, same result.
        num_draws: None to draw one set of parameters per row (Monte-Carlo noise averages out within a batch), or a
            number S to draw S sets that the batch shares: cheaper, and noisier per step.

    Attributes:
        locs, scales: (K, D) float64, data units. Mean and standard deviation of q(mu).
        alpha, beta: (K, D) float64, 1 long where a precision is shared. Shape and rate of q(tau); beta in squared
            data units.
        loc_covariances, degrees, inverse_scales: The same for "full" and "tied": covariances of q(mu) (K, D, D);
            degrees nu (K,) and W^-1 (K, D, D), squared data units, of q(Lambda); 1 long for "tied".
        counts: (K,) float64. Concentrations of q(theta).
        sticks: (K - 1, 2) float64. Shapes of q(v), with "stick_breaking" instead of `counts`.
        num_data: N of training, 0 before; with weights their sum.
        column_names: Names of the training columns, or None.

    Raises:
        ValueError: A size is below 1, the covariance or the weights are unknown, or priors have the wrong length.

    Source: Mean-field variational mixture, Bishop 2006 section 10.2, with independent Normal and Gamma priors;
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

    variational: KerasPosterior  # more than the questions need

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
        num_components = check_count("num_components", num_components)
        num_features = check_count("num_features", num_features)
        num_draws = None if num_draws is None else check_count("num_draws", num_draws)
        check_choice("covariance", covariance, COMPONENTS)
        check_choice("weights", weights, WEIGHTS)
        priors = Priors() if priors is None else check_priors(priors)
        priors.check_sizes(num_components, num_features)
        seed = random.randrange(2**31) if seed is None else check_seed(seed)
        components = COMPONENTS[covariance](num_components, num_features, priors)
        super().__init__(KerasPosterior(WEIGHTS[weights](num_components, priors), components), priors, seed, num_draws)
        self.covariance, self.weight_prior = covariance, weights
        self._kept_table = Kept()

    # --- The posterior ---------------------------------------------------------------------------------------------

    def _part(self, name: str) -> Tensor:
        return tf.convert_to_tensor(super()._part(name))

    def posterior(self) -> PosteriorDistributions:
        """Builds the factors of q as distributions of TensorFlow Probability, float64, data units.

        They are those of q as it stands, and do not follow the model when it is trained on.

        Returns:
            A record of `locs`, Normals or a MultivariateNormalTriL; `precisions`, Gammas or a WishartTriL; and
            `weights`, a Dirichlet or the Betas of the sticks.

        Example:

        >>> model = tfgmm.GaussianMixtureModel(3, 2)
        >>> q = model.posterior()
        >>> q.locs.mean().shape.as_list(), q.weights.mean().numpy().round(3).tolist()
        ([3, 2], [0.333, 0.333, 0.333])
        """
        check_not_forked("`posterior`")
        from tfgmm.model.distributions import posterior_distributions  # TensorFlow Probability takes 0.6 s to load

        return posterior_distributions(self)

    def distribution(self, kind: Literal["plug_in", "predictive"] = "plug_in", dtype: Any = "float32") -> Any:
        """Builds the density of rows as a distribution of TensorFlow Probability, for use inside other models.

        Args:
            kind: "plug_in", the mixture at the posterior means; or "predictive", averaged over 64 draws from q.
            dtype: Float type of rows and densities.

        Returns:
            A `tfd` distribution over rows (D,), data units; its `log_prob`, nats, is differentiable in the rows.

        Raises:
            ValueError: The kind is unknown.

        Example:

        >>> density = tfgmm.GaussianMixtureModel(3, 2).distribution()
        >>> density.log_prob([[0.0, 1.0]]).shape.as_list(), density.sample(5, seed=0).shape.as_list()
        ([1], [5, 2])
        """
        check_not_forked("`distribution`")
        from tfgmm.model.distributions import mixture_distribution  # as above

        check_choice("kind", kind, ("plug_in", "predictive"))
        return mixture_distribution(self.plug_in() if kind == "plug_in" else self.predictive(), dtype)

    @classmethod
    def of_fit(cls, fitted: FittedMixture, elbo: float | None = None) -> GaussianMixtureModel:
        """Makes the model of a fitted posterior, compiled for closed form.

        Args:
            fitted: The posterior, as it stands, with priors, the summary of its rows, and the draws that it carries.
            elbo: Its bound, nats; None where it is not known.
        """
        sizes = fitted.num_components, fitted.num_features
        model = cls(*sizes, fitted.covariance, fitted.weight_prior, fitted.priors, fitted.seed)
        model.compile()
        model.adapt_to(fitted.data_summary)
        model.observe_gaps(fitted.variational.gap_columns)
        model.variational.assign(fitted.variational.values())
        if elbo is not None:
            model.stored_elbo.assign(elbo)
        model.carry_draws_of(fitted)
        return model

    def outlier_table(self) -> np.ndarray:
        """Computes the quantiles that `outlier` is read from, (2, Q) float64, once for a posterior as it stands."""
        return self._kept_table.answer((self.centre, *self.variational.values().flat), super().outlier_table)

    # --- Starting ------------------------------------------------------------------------------------------------

    def initialize(
        self,
        x: Any,
        start: Any = "k-means++",
        num_data: float | None = None,
        *,
        sample_weight: Any = None,
        noise: Any = None,
        missing: str = "refuse",
    ) -> GaussianMixtureModel:
        """Takes the centre from the rows, and starts the components among them.

        `fit` does this by itself for an untouched model; call it before a training loop of your own.

        Args:
            x: Rows, as in `fit`.
            start: Groups of rows: those nearest to rows chosen by "k-means++" or at "random", or to locations (K, D),
                data units, where the components then stand.
            num_data: N, where `x` is a stream of unknown length; default the N that `compile` was called with.
            sample_weight, noise, missing: As in `fit`.

        Returns:
            The model itself.

        Example:

        >>> rows = np.array([[0.0], [0.2], [9.0], [9.2]])
        >>> model = tfgmm.GaussianMixtureModel(2, 1).initialize(rows, start=[[0.0], [9.0]])
        >>> model.locs.numpy().ravel().round(6).tolist()
        [0.0, 9.0]
        """
        source = open_carried(x, "x", Columns(self.num_features, None), Carried(sample_weight, noise, missing))
        if num_data is None and self.compiled:
            num_data = self.compile_settings.num_data
        survey = survey_rows(source, num_data, self.seed)
        self.adapt_to(survey.summary, num_data)
        self.start_from(survey, start)
        return self

    # --- Saving and showing ----------------------------------------------------------------------------------

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",  # Keras's name
        verbose: Any = None,
        input_signature: None = None,
        *,
        overwrite: bool = False,
        column_units: Sequence[str] | None = None,
        saved_model: bool = True,
    ) -> pathlib.Path:
        """Writes the folder that `tfgmm.export_model` describes.

        Args:
            filepath: Path of the folder.
            format: "tf_saved_model", the only one; `tfgmm.export_onnx` and `tfgmm.export_litert` write the others.
            verbose: Accepted so that code for Keras runs, and ignored.
            input_signature: Refused: rows are (B, D) float32.
            overwrite: Whether to replace a folder that is there.
            column_units: D units of the columns.
            saved_model: Whether to write the SavedModel too.

        Returns:
            The path of the folder.

        Raises:
            ValueError: Another format, or an input signature.
        """
        refuse_export_arguments(format, input_signature)
        from tfgmm.export.saved_model import export_model

        return export_model(self, filepath, overwrite=overwrite, column_units=column_units, saved_model=saved_model)

    @property
    def serving_default(self) -> Any:
        """Gives `tf.saved_model.save(model)` its signature: that of an export by this name, which has nine more."""

        def serve(x: Tensor) -> dict[str, Tensor]:
            from tfgmm.export.saved_model import served_mixture

            with tf.init_scope():
                module = served_mixture(self)
            return module.serving_default(x)

        spec = tf.TensorSpec((None, self.num_features), tf.float32, name="x")
        return tf.function(serve, input_signature=[spec], autograph=False)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments and the data summary, as plain JSON values."""
        gaps = {"gap_columns": list(self.variational.gap_columns)} if self.statistics.seen is not None else {}
        return {
            "num_components": self.num_components,
            "num_features": self.num_features,
            "covariance": self.covariance,
            "weights": self.weight_prior,
            "priors": self.priors.to_dict(),
            "seed": self.seed,
            "num_draws": self.num_draws,
            "data_summary": self.data_summary.to_dict() if self.data_summary else None,
            **gaps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GaussianMixtureModel:
        """Makes the model that `get_config` describes; its variables are not restored yet."""
        del custom_objects
        arguments = dict(config)
        summary, gap_columns = arguments.pop("data_summary", None), arguments.pop("gap_columns", ())
        model = cls(**{**arguments, "priors": Priors.from_dict(arguments["priors"])})
        model.observe_gaps(gap_columns)
        model.data_summary = DataSummary.from_dict(summary) if summary else None
        return model

    def __repr__(self) -> str:
        state = f"fitted to {self._words_of_rows()}" if self.num_data else "not fitted"
        return (
            f"<GaussianMixtureModel num_components={self.num_components}, num_features={self.num_features}, "
            f"covariance={self.covariance!r}, weights={self.weight_prior!r}, {state}>"
        )

    def _words_of_rows(self) -> str:
        summary = self.data_summary
        if summary is None or summary.weights_name is None:
            return f"{self.num_data} rows"
        return f"{summary.num_rows} rows of weight {self.num_data:g}"
