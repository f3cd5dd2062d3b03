"""A Bayesian Gaussian mixture as scikit-learn's users know mixtures: a thin face on `fit_mixture`."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin

from tfgmm.common.checks import check_choice
from tfgmm.data.carried import MISSING
from tfgmm.data.readers import Rows
from tfgmm.data.survey import Survey, survey_rows
from tfgmm.fit.estimator.answers import Answers
from tfgmm.fit.estimator.arguments import EstimatorOptions, going_on, options_of
from tfgmm.fit.estimator.foreign_arguments import explaining_others
from tfgmm.fit.estimator.kept import plain, restored
from tfgmm.fit.estimator.partial_fit import FitsInParts
from tfgmm.fit.estimator.rows import opened
from tfgmm.fit.fitting import fit_opened
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection

_KEPT_PLAIN = frozenset({"result_", "selection_"})  # attributes that files hold as plain numbers


class BayesianGaussianMixture(
    FitsInParts, Answers, ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator
):
    """Fits a Gaussian mixture with its uncertainty, and answers as the mixtures of scikit-learn do.

    It takes the place of `sklearn.mixture.GaussianMixture` and of its `BayesianGaussianMixture`: in pipelines, searches
    and pickles. Behind it is `tfgmm.fit_mixture`, whose result `result_` is, for the same seed. It loads no TensorFlow.

    Defaults differ from scikit-learn's where these would give worse fits: eight starts, of several kinds; priors that
    learn their scale; a bound that has stopped rising, not one that rises slowly. Each fit with the same `random_state`
    gives the same numbers, and by default that is 0.

    Args:
        n_components: K; or several numbers to compare, or "auto", 1 to 10: `selection_` then says what speaks for each.
        covariance_type: "full", "tied", "diag", "spherical", "tied_diag" or "tied_spherical"; or a list of them, or
            "auto", to be compared as well.
        tol: Gain of the bound that counts as none, nats per row. Default 1e-7: a larger one stops on plateaus. 0 goes
            on until nothing at all is gained.
        max_iter: Most sweeps over the rows from each start.
        n_init: Number of starts that are taken to their optimum. More than these are looked at. "auto" is 8; and 3 of
            more than 20,000 rows where components move.
        init_params: "auto", groups of rows found in several ways; "kmeans", those of one run of k-means; "k-means++" or
            "random_from_data", rows nearest to K chosen ones.
        means_init: Means of the components to start from, (K, D), data units.
        weight_concentration_prior_type: "dirichlet_distribution", K is the number of components; or
            "dirichlet_process", K is the most there may be.
        weight_concentration_prior: Concentration of the weights, positive. Default 1, or what `priors` say. For
            "dirichlet_process" keep it below K: the last component has what is left of the weight, so that with many
            times K it has nearly all.
        priors: `tfgmm.Priors` in data units, or "auto": priors from the rows.
        random_state: Seed of the fit, as it stands; a `RandomState`, or None, draws one.
        warm_start: Whether a fit goes on from the last one, where this had the same K, shape, weights and columns; then
            there is this one start. For rows that come in parts, see `partial_fit`.
        verbose: 1 shows a progress bar.
        missing: "integrate", NaN is a value that nobody saw, and is integrated out; or "refuse".
        posterior: What intervals come from: "mean_field", the fit itself; "auto", the exact posterior; see
            `tfgmm.fit_mixture`.
        criteria_at: Where `result_.aic` and `result_.bic` are taken: "mean", at the attributes; or "mode", at the
            maximum of the likelihood.
        moves: Whether components are moved from where they are needed least to where two fit better than one; "auto":
            from 5 components on; see `tfgmm.fit_mixture`.
        forgetting_factor: For `partial_fit`: what a row counts for of what the next row counts for. 1 remembers all
            rows alike, 1 - 1 / n about the last n.

    Raises:
        ValueError, TypeError: When it is fitted, as scikit-learn does. Arguments that it does not have, at once.

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
    >>> mixture = tfgmm.BayesianGaussianMixture(2).fit(rows)
    >>> sorted(mixture.means_.round(0).tolist()), np.bincount(mixture.predict(rows)).tolist()
    ([[-3.0, 0.0], [3.0, 1.0]], [50, 50])
    """

    @explaining_others
    def __init__(
        self,
        n_components: Any = 1,
        *,
        covariance_type: Any = "full",
        tol: float | None = None,
        max_iter: int = 200,
        n_init: int | Literal["auto"] = "auto",
        init_params: str = "auto",
        means_init: Any = None,
        weight_concentration_prior_type: str = "dirichlet_distribution",
        weight_concentration_prior: float | None = None,
        priors: Any = "auto",
        random_state: Any = 0,
        warm_start: bool = False,
        verbose: int = 0,
        missing: str = "integrate",
        posterior: str = "mean_field",
        criteria_at: str = "mean",
        moves: Any = "auto",
        forgetting_factor: float = 1.0,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.means_init = means_init
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.priors = priors
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.missing = missing
        self.posterior = posterior
        self.criteria_at = criteria_at
        self.moves = moves
        self.forgetting_factor = forgetting_factor

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, noise: Any = None) -> Self:
        """Fits the mixture to rows.

        Args:
            X: Rows, (N, D), data units; NaN is a gap.
            y: Ignored.
            sample_weight: How often each row counts, (N,) numbers of 0 or more.
            noise: Measurement noise of the rows, data units: standard deviations (N, D), or covariances (N, D, D).

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: Rows that scikit-learn refuses too; an argument out of its range.

        Warns:
            sklearn.exceptions.ConvergenceWarning: The bound was still rising after `max_iter` sweeps.
            tfgmm.OddDataWarning: What is odd about the rows; see `tfgmm.fit_mixture`.
        """
        # Warnings name the line that calls this: nothing stands between it and `fit_opened`
        return self._keep(fit_opened(*self._prepared(X, sample_weight, noise)))

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None, noise: Any = None) -> np.ndarray:
        """Fits the mixture to rows, and finds the component of each; arguments as `fit` has them.

        Returns:
            (N,) int64.
        """
        return self._keep(fit_opened(*self._prepared(X, sample_weight, noise))).predict(X, noise=noise)

    def transform(self, X: Any) -> np.ndarray:
        """Computes the same as `predict_proba`, as columns for the next step of a pipeline.

        Args:
            X: Rows, (N, D), data units.

        Returns:
            (N, K) float64, or a frame where `set_output` asks for one.
        """
        return self.predict_proba(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "integrate"
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        selection = state.get("selection_")
        if selection is not None and state["result_"] is selection.best:
            state = state | {"result_": None}  # it is one of the choice
        return {name: plain(value) if name in _KEPT_PLAIN else value for name, value in state.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {name: restored(value) if name in _KEPT_PLAIN else value for name, value in state.items()}
        if state.get("selection_") is not None and state["result_"] is None:
            state["result_"] = state["selection_"].best
        super().__setstate__(state)

    def _prepared(
        self, rows: Any, sample_weight: Any, noise: Any
    ) -> tuple[Rows, Survey, int | tuple[int, ...], EstimatorOptions, list[Any]]:
        """Checks all arguments, and writes them as `fit_opened` takes them."""
        check_choice("missing", self.missing, MISSING)
        options = options_of(self)
        source = opened(self, rows, sample_weight, noise, is_fit=True)
        source, survey, numbers, options, callbacks = self._ready(
            source, survey_rows(source, None, options.seed), options
        )
        if self.warm_start and hasattr(self, "result_"):
            options = going_on(options, self.result_, numbers, source.num_features)
        return source, survey, numbers, options, callbacks

    def _keep(self, found: FitResult | Selection) -> Self:
        self._forget_stream()
        self.selection_ = found if isinstance(found, Selection) else None
        self.result_ = found.best if isinstance(found, Selection) else found
        return self


class GaussianMixture(BayesianGaussianMixture):
    """Does the same as `BayesianGaussianMixture`, under the name that scikit-learn's mixture without priors has.

    Steps of pipelines and columns that `transform` makes are named after it: "gaussianmixture", "gaussianmixture0".

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0], [3.0]] * 50)
    >>> tfgmm.sklearn.GaussianMixture(2).fit(rows).get_feature_names_out().tolist()
    ['gaussianmixture0', 'gaussianmixture1']
    """
